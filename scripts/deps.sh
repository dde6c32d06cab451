#!/bin/sh
# Install what is missing of the packages for: build, test, clang, check, python, programs, bench, clean-room. As root, or
# where sudo asks for no password; else print the command and stop.
set -eu

# CPython's own tests, in the version that is this release's python3; nothing while no list of packages is here.
testsuite() {
    version=$({ dpkg-query -W -f 'Depends: ${Depends}\n' python3 || :; apt-cache show --no-all-versions python3; } 2>/dev/null |
        sed -n 's/^Depends:.*\<python\(3\.[0-9]*\)\>.*/\1/p' | head -1)
    [ -z "$version" ] || echo "libpython$version-testsuite"
}

# libbz2-dev: pkg-config's flags for libdw's static library name it, and Debian's libdw-dev does not depend on it.
packages_of() {
    echo gcc libc6-dev make cmake ninja-build pkg-config liburing-dev libdw-dev libbz2-dev
    for goal in "$@"; do
        case $goal in
        build) ;;
        test) echo g++ libcmocka-dev valgrind python3 python3-venv ;;
        clang) echo clang ;;
        check) echo clang libclang-rt-dev clang-format gdb qemu-user gcc-aarch64-linux-gnu libc6-dev-arm64-cross util-linux ;;
        python) echo python3-dev python3-venv openssl; testsuite ;;
        # what the programs' tests talk to, and call; Debian starts the two servers it installs, the tests start their own
        programs) echo python3-dev python3-venv openssl openssh-client netcat-openbsd postgresql redis-server util-linux ;;
        bench) echo g++ libuv1-dev libboost-context-dev libssl-dev openssl strace valgrind wrk ;;
        clean-room) echo debootstrap util-linux ;;
        *)
            echo "scripts/deps.sh: '$goal' is none of build, test, clang, check, python, programs, bench, clean-room" >&2
            exit 2
            ;;
        esac
    done
}
packages=$(packages_of "$@")

if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
    for command in cc cmake ninja pkg-config; do
        command -v $command >/dev/null && continue
        echo "evenloop: '$command' is missing. On Debian this would be installed:" $packages >&2
        exit 1
    done
    exit 0
fi

missing_of() {
    for package in "$@"; do
        [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || printf ' %s' "$package"
    done
}
missing=$(missing_of $packages)
[ -n "$missing" ] || exit 0

install="apt-get install -y --no-install-recommends"
if [ "$(id -u)" = 0 ]; then
    as_root=
elif sudo -n true 2>/dev/null; then
    as_root="sudo -n"
else
    printf 'evenloop: some packages are missing, and only root can install them. Please run:\n\n    sudo %s\n\n' \
        "$install$missing" >&2
    exit 1
fi
export DEBIAN_FRONTEND=noninteractive
updated=1
$as_root apt-get -q update </dev/null >/dev/null || updated=
[ -n "$updated" ] || echo "evenloop: apt-get update failed; going on with the lists at hand" >&2

# Again: on a fresh machine the version of python3 is known only now.
packages=$(packages_of "$@")
missing=$(missing_of $packages)
unknown=
for package in $missing; do
    apt-cache show "$package" >/dev/null 2>&1 || unknown="$unknown $package"
done
if [ -n "$unknown" ] && [ -n "$updated" ]; then
    release=$(. /etc/os-release && echo "$PRETTY_NAME") 2>/dev/null || release="this release"
    echo "evenloop: $release, with the package sources it has, has no package$unknown" >&2
    exit 1
fi
echo "evenloop: installing$missing"
if ! $as_root env DEBIAN_FRONTEND=noninteractive $install $missing </dev/null >/dev/null; then
    echo "evenloop: apt-get could not install$missing" >&2
    exit 1
fi
