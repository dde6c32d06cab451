#!/bin/sh
# The public header compiles as C17, ISO C and C++, without a warning: tests/header/check.sh INCLUDE COMPILER ...
set -u
cd "$(dirname "$0")"
include=$1
shift
bad=0
names=$(mktemp)
trap 'rm -f "$names"' EXIT
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
    # As installed, and beside the program.
    for flag in -isystem -I; do
        ./forgotten.py "$cc" $flag "$include" || bad=1
    done
    # Each file that a preprocessed line names is there: compiler caches look for it.
    "$cc" -I "$include" -std=gnu17 -E gnu.c | sed -n 's/^# [0-9]* "\([^<"][^"]*\)".*/\1/p' | sort -u >"$names"
    while read -r name; do
        [ -e "$name" ] || { echo "FAILED: $cc -E: no file $name"; bad=1; }
    done <"$names"
    # async and the like are not there without GNU C, and it says so.
    for std in c11 c17 c2x; do
        "$cc" -I "$include" -fsyntax-only -std=$std gnu.c 2>&1 | grep -q 'error.*std=gnu17' || {
            echo "FAILED: $cc -std=$std gnu.c: no word of -std=gnu17"
            bad=1
        }
    done
    cxx=$(echo "$cc" | sed 's/gcc/g++/; s/clang/clang++/')
    command -v "$cxx" >/dev/null || { echo "$cxx is not installed: left out"; continue; }
    for std in c++17 c++20; do
        try "$cxx" -x c++ -std=$std -pedantic-errors all.c
    done
    # Each header by itself.
    for header in "$include"/evenloop/*.h; do
        case $header in
        */async.h | */combine.h) ;;     # GNU C, and its second half
        *) try "$cc" -std=c17 -pedantic-errors -x c -include "$header" /dev/null ;;
        esac
    done
done
exit $bad
