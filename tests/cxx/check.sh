#!/bin/sh
# Programs in C++, on each backend, with the shared library and the static one. tests/cxx/check.sh BUILD COMPILER
set -eu
build=$1
compiler=$2
here=$(cd "$(dirname "$0")" && pwd)
failed=0
command -v "$compiler" >/dev/null || { echo "no $compiler here"; exit 77; }
. "$here/../installed.sh"
printf 'no roast: ECANCELED\nno toast: EIO\ntea is ready\nthe roast is unwound\n' >"$folder/expected"

for libraries in "$shared" "$static"; do
    "$compiler" -std=c++17 -O2 -g -Wall -Wextra $(pkg-config --cflags evenloop) "$here/catch.cc" $libraries -pthread \
        -o "$folder/catch"
    for backend in uring epoll sim; do
        EVENLOOP_BACKEND=$backend "$folder/catch" || {
            echo "$compiler, $backend: catch.cc failed"
            failed=$((failed + 1))
        }
    done
    "$compiler" -std=c++17 -O2 -g -Wall -Wextra -Werror $(pkg-config --cflags evenloop) "$here/../../examples/tasks.cc" \
        $libraries -pthread -o "$folder/tasks"
    for backend in uring epoll sim; do
        EVENLOOP_BACKEND=$backend "$folder/tasks" >"$folder/printed" 2>&1 &&
            sort "$folder/printed" | cmp -s - "$folder/expected" || {
            echo "$compiler, $backend: examples/tasks.cc printed"
            cat "$folder/printed"
            failed=$((failed + 1))
        }
    done
done
echo "$failed failed"
[ $failed = 0 ]
