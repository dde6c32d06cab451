# Headers, both libraries, the command, a pkg-config file and a CMake package.
include(CMakePackageConfigHelpers)

install(TARGETS evenloop evenloop_static EXPORT evenloop
        LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR}
        ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(DIRECTORY include/ DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} FILES_MATCHING PATTERN "*.h")
if(TARGET evenloop_cli)
    install(TARGETS evenloop_cli RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
endif()

string(REPLACE ";" ", " EVEN_PC_REQUIRES_PRIVATE "${EVEN_REQUIRES_PRIVATE}")
# Relative to the file, so that an installed tree may be moved.
file(RELATIVE_PATH EVEN_PC_UP /prefix/${CMAKE_INSTALL_LIBDIR}/pkgconfig /prefix)
configure_file(cmake/evenloop.pc.in evenloop.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/evenloop.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)

set(EVEN_PACKAGE_FOLDER ${CMAKE_INSTALL_LIBDIR}/cmake/evenloop)
install(EXPORT evenloop NAMESPACE evenloop:: FILE evenloopTargets.cmake DESTINATION ${EVEN_PACKAGE_FOLDER})
configure_package_config_file(cmake/evenloopConfig.cmake.in evenloopConfig.cmake INSTALL_DESTINATION ${EVEN_PACKAGE_FOLDER})
write_basic_package_version_file(evenloopConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/evenloopConfig.cmake ${PROJECT_BINARY_DIR}/evenloopConfigVersion.cmake
        DESTINATION ${EVEN_PACKAGE_FOLDER})
