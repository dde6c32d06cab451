#!/bin/sh
# Unpack the few arm64 libraries that the tests want beside the cross compiler's own into FOLDER, with lists of packages of
# its own: the system's architectures and packages stay as they are.
set -eu
folder=${1:?usage: scripts/sysroot.sh FOLDER}
[ -e "$folder/done" ] && exit 0
mkdir -p "$folder/lists/partial" "$folder/cache/archives/partial"
folder=$(cd "$folder" && pwd)
with() {
    program=$1
    shift
    "$program" -q -o APT::Architecture=arm64 -o APT::Architectures=arm64 -o Dir::State::lists="$folder/lists" \
        -o Dir::Cache="$folder/cache" -o Dir::State::status=/dev/null -o APT::Sandbox::User=root "$@"
}
# The first of them that this release has: from Debian 13 on some have a t64 in their names.
one_of() {
    for package; do
        ! with apt-cache show "$package" >/dev/null 2>&1 || { echo "$package"; return; }
    done
    echo "$1"
}
with apt-get update
cd "$folder"
with apt-get download libcmocka0 libcmocka-dev liburing2 liburing-dev "$(one_of libdw1t64 libdw1)" libdw-dev \
    "$(one_of libelf1t64 libelf1)" libelf-dev zlib1g zlib1g-dev liblzma5 liblzma-dev libbz2-1.0 libbz2-dev libzstd1 libzstd-dev
for package in *.deb; do
    dpkg-deb -x "$package" root
    rm "$package"
done
rm -rf lists cache
touch done
