#!/bin/sh
# The public header compiles as C17, ISO C and C++, without a warning: tests/header/check.sh INCLUDE COMPILER ...
set -u
cd "$(dirname "$0")"
include=$1
shift
bad=0
try() {
    "$@" -I "$include" -fsyntax-only -Wall -Wextra -Werror || { echo "FAILED: $*"; bad=1; }
}
strict="-Wshadow -Wmissing-prototypes -Wstrict-prototypes"
for cc in "$@"; do
    command -v "$cc" >/dev/null || { echo "$cc is not installed: left out"; continue; }
    for std in c11 c17 c2x; do
        try "$cc" -std=$std -pedantic-errors $strict all.c
    done
    try "$cc" -std=gnu17 $strict all.c
    try "$cc" -std=gnu17 $strict bare_names.c
    try "$cc" -std=gnu17 $strict gnu.c
    try "$cc" -std=gnu11 $strict gnu.c
    try "$cc" -std=gnu17 -O2 $strict gnu.c
    cxx=$(echo "$cc" | sed 's/gcc/g++/; s/clang/clang++/')
    command -v "$cxx" >/dev/null || { echo "$cxx is not installed: left out"; continue; }
    for std in c++17 c++20; do
        try "$cxx" -x c++ -std=$std -pedantic-errors all.c
    done
    # Each header by itself.
    for header in "$include"/evenloop/*.h; do
        [ "$(basename "$header")" = async.h ] || try "$cc" -std=c17 -pedantic-errors -x c -include "$header" /dev/null
    done
done
exit $bad
