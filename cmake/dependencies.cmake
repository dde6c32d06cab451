# What the library uses where it is there. Without it, it still builds, and CMake says what is missing.
include(CheckIncludeFile)
find_package(Threads REQUIRED)
find_package(PkgConfig)

set(EVEN_PRIVATE_LIBRARIES)
set(EVEN_PRIVATE_INCLUDES)
set(EVEN_REQUIRES_PRIVATE)      # for the pkg-config file
set(EVEN_PRIVATE_MODULES)       # for the CMake package

function(even_optional module minimum define what)
    set(${define} OFF PARENT_SCOPE)
    if(PkgConfig_FOUND)
        pkg_check_modules(${define}_PC QUIET IMPORTED_TARGET "${module}>=${minimum}")
    endif()
    if(NOT ${define}_PC_FOUND)
        message(STATUS "evenloop: ${module} >= ${minimum} is missing: ${what}")
        return()
    endif()
    set(${define} ON PARENT_SCOPE)
    add_compile_definitions(${define})
    set(EVEN_PRIVATE_LIBRARIES ${EVEN_PRIVATE_LIBRARIES} ${${define}_PC_LINK_LIBRARIES} PARENT_SCOPE)
    set(EVEN_PRIVATE_INCLUDES ${EVEN_PRIVATE_INCLUDES} ${${define}_PC_INCLUDE_DIRS} PARENT_SCOPE)
    set(EVEN_REQUIRES_PRIVATE ${EVEN_REQUIRES_PRIVATE} ${module} PARENT_SCOPE)
endfunction()

even_optional(liburing 2.3 EVEN_HAVE_URING "no io_uring, the library uses epoll")
even_optional(libdw 0.170 EVEN_HAVE_LIBDW "reports give addresses instead of source lines")
check_include_file(valgrind/valgrind.h EVEN_VALGRIND_H)
if(EVEN_VALGRIND_H)
    add_compile_definitions(EVEN_HAVE_VALGRIND)
else()
    message(STATUS "evenloop: valgrind's headers are missing: valgrind will not know the tasks' stacks")
endif()
