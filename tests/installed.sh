# For the checks that use the library as it is installed: to be sourced, with $build set. It makes $folder, which goes with the
# shell, installs to $folder/prefix, and says in $shared and $static how a program is linked.
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
unset EVENLOOP_BACKEND
cmake --install "$build" --prefix "$folder/prefix" >"$folder/log" || { cat "$folder/log"; exit 1; }
export PKG_CONFIG_PATH="$(dirname "$(find "$folder/prefix" -name evenloop.pc)")"
libdir=$(realpath "$(pkg-config --variable=libdir evenloop)")
export LD_LIBRARY_PATH="$libdir"
shared=$(pkg-config --libs evenloop)
static="$libdir/libevenloop.a $(pkg-config --static --libs evenloop | sed 's/-levenloop//')"
