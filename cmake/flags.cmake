# Compiler flags: what the whole tree is built with, and what only the library is.
include(CheckCCompilerFlag)

set(EVEN_WARNINGS -Wall -Wextra -Werror=switch -Wshadow -Wmissing-prototypes -Wstrict-prototypes -Wvla -Wundef)
if(EVEN_WERROR)
    list(APPEND EVEN_WARNINGS -Werror)
endif()

check_c_compiler_flag("-Werror -fstack-clash-protection" EVEN_FLAG_STACK_CLASH)
if(EVEN_FLAG_STACK_CLASH)
    set(EVEN_STACK_FLAG -fstack-clash-protection)
endif()

# The thread-local addresses of a library that is linked, not loaded late, cost one load.
set(EVEN_LIBRARY_FLAGS ${EVEN_WARNINGS} ${EVEN_STACK_FLAG} -fvisibility=hidden -ftls-model=initial-exec -fno-plt)
if(CMAKE_SYSTEM_PROCESSOR MATCHES "^(x86_64|amd64|AMD64)$")
    # The switch stores below the stack pointer, and lands on no endbr64.
    list(APPEND EVEN_LIBRARY_FLAGS -mno-red-zone -fcf-protection=none)
endif()

# What is built names no directory of the machine that built it; a debugger that is started in the tree finds the sources.
add_compile_options(-ffile-prefix-map=${PROJECT_SOURCE_DIR}/= -ffile-prefix-map=${CMAKE_BINARY_DIR}=.)

add_compile_definitions(_GNU_SOURCE)
add_compile_options(${EVEN_OPTIMIZE})
if(CMAKE_C_COMPILER_ID MATCHES Clang)
    add_compile_options($<$<COMPILE_LANGUAGE:C>:-gdwarf-4>)     # valgrind of Debian 12 reads no DWARF 5 of clang's
    add_compile_options($<$<COMPILE_LANGUAGE:ASM>:-g0>)         # clang's assembler takes no map of prefixes
endif()
if(EVEN_SANITIZE)
    # A failed check ends the program, so that a test cannot pass over it.
    add_compile_options(-fsanitize=${EVEN_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer)
    add_link_options(-fsanitize=${EVEN_SANITIZE})
endif()
if(EVEN_DEBUG)
    add_compile_definitions(EVEN_DEBUG)
endif()
if(EVEN_FAULTS)
    add_compile_definitions(EVEN_FAULTS)
endif()
