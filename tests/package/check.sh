#!/bin/sh
# Install the build and use it from outside: by pkg-config, by CMake, by its command. tests/package/check.sh BUILD COMPILER
set -eu
build=$1
export CC="$2"
here=$(cd "$(dirname "$0")" && pwd)
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
prefix=$folder/prefix
cmake --install "$build" --prefix "$prefix" >"$folder/log" || { cat "$folder/log"; exit 1; }
unset EVENLOOP_BACKEND

pc=$(find "$prefix" -name evenloop.pc)
export PKG_CONFIG_PATH="$(dirname "$pc")"
libdir=$(realpath "$(pkg-config --variable=libdir evenloop)")
[ "$libdir" = "$(dirname "$(dirname "$pc")")" ] || { echo "the pkg-config file says $libdir, but is at $pc"; exit 1; }
pkg-config --cflags evenloop | grep -q -e -fstack-clash-protection || { echo "Cflags without -fstack-clash-protection"; exit 1; }

echo "== no directory of this machine"
tree=$(realpath "$here/../..")
found=$(grep -rlF -e "$tree/" -e "$(realpath "$build")/" "$prefix" || true)
[ -z "$found" ] || { echo "$tree stands in: $found"; exit 1; }

echo "== pkg-config, shared"
$CC -std=gnu17 -Wall -Wextra -Werror "$here/program.c" $(pkg-config --cflags --libs evenloop) -o "$folder/shared"
LD_LIBRARY_PATH=$libdir "$folder/shared"
readelf -d "$folder/shared" | grep -q 'NEEDED.*libevenloop\.so\.3\]' || { echo "not linked with libevenloop.so.3"; exit 1; }

echo "== unloaded while a thread of the library is at work"
$CC -std=gnu17 -Wall -Wextra -Werror -fPIC -shared "$here/plugin.c" $(pkg-config --cflags --libs evenloop) -o "$folder/plugin.so"
$CC -std=gnu17 -Wall -Wextra -Werror -D_GNU_SOURCE -rdynamic "$here/host.c" -o "$folder/host" -ldl -pthread
LD_LIBRARY_PATH=$libdir timeout 20 "$folder/host" "$folder/plugin.so"

echo "== pkg-config, static"
$CC -std=gnu17 "$here/program.c" $(pkg-config --cflags evenloop) "$libdir/libevenloop.a" \
    $(pkg-config --static --libs evenloop | sed 's/-levenloop//') -o "$folder/static"
"$folder/static"

echo "== CMake"
{ cmake -S "$here" -B "$folder/cmake" -DCMAKE_PREFIX_PATH="$prefix" && cmake --build "$folder/cmake"; } >"$folder/log" 2>&1 ||
    { cat "$folder/log"; exit 1; }
"$folder/cmake/shared"
"$folder/cmake/static"

echo "== the command"
"$prefix/bin/evenloop" run "$here/program.c"

# The prefix may be moved: nothing but the libraries' own search paths knows it.
mv "$prefix" "$folder/moved"
"$folder/moved/bin/evenloop" run "$here/program.c"
