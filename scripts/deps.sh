#!/bin/sh
# Install what is missing of the packages for: build, test, clang, check, python, bench. As root, or where sudo asks for no
# password; else print the command and stop.
set -eu
packages="gcc libc6-dev make cmake ninja-build pkg-config liburing-dev libdw-dev"
for goal in "$@"; do
    case $goal in
    build) ;;
    test) packages="$packages g++ libcmocka-dev valgrind python3 python3-venv" ;;
    clang) packages="$packages clang" ;;
    check)
        packages="$packages clang libclang-rt-dev clang-format gdb"
        packages="$packages qemu-user gcc-aarch64-linux-gnu libc6-dev-arm64-cross util-linux"
        ;;
    python) packages="$packages python3-dev python3-venv libpython3.11-testsuite openssl" ;;
    bench) packages="$packages g++ libuv1-dev libboost-context-dev libssl-dev openssl strace valgrind wrk" ;;
    *) echo "scripts/deps.sh: '$goal' is none of build, test, clang, check, python, bench" >&2; exit 2 ;;
    esac
done

if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
    for command in cc cmake ninja pkg-config; do
        command -v $command >/dev/null && continue
        echo "evenloop: '$command' is missing. On Debian this would be installed: $packages" >&2
        exit 1
    done
    exit 0
fi

missing=
for package in $packages; do
    [ "$(dpkg-query -W -f '${db:Status-Status}' $package 2>/dev/null)" = installed ] || missing="$missing $package"
done
[ -n "$missing" ] || exit 0

install="apt-get install -y --no-install-recommends$missing"
if [ "$(id -u)" = 0 ]; then
    as_root=
elif sudo -n true 2>/dev/null; then
    as_root="sudo -n"
else
    printf 'evenloop: some packages are missing, and only root can install them. Please run:\n\n    sudo %s\n\n' "$install" >&2
    exit 1
fi
echo "evenloop: installing$missing"
export DEBIAN_FRONTEND=noninteractive
$as_root apt-get -q update </dev/null >/dev/null || echo "evenloop: apt-get update failed; going on with the lists at hand" >&2
$as_root env DEBIAN_FRONTEND=noninteractive $install </dev/null >/dev/null
