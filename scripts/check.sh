#!/bin/sh
# Run some of the configurations below, and end with the sum: scripts/check.sh NAME ...
set -u
cd "$(dirname "$0")/.."
mkdir -p build
export EVEN_TALLY="$PWD/build/tally.$$"
trap 'rm -f "$EVEN_TALLY"' EXIT
: >"$EVEN_TALLY"

# ThreadSanitizer of gcc 12 and clang 14 knows no addresses as random as those of newer kernels.
still=
setarch -R true 2>/dev/null && still="setarch;-R"

valgrind="valgrind;-q;--error-exitcode=99;--leak-check=full;--errors-for-leak-kinds=definite"

# Of the scripts among the tests, those that concern the compiler or the tree run once, in `test`.
programs="-LE script"
export ASAN_OPTIONS="detect_stack_use_after_return=0:abort_on_error=0:${ASAN_OPTIONS:-}"
export TSAN_OPTIONS="halt_on_error=1:atexit_sleep_ms=10:${TSAN_OPTIONS:-}"

configuration() {
    case $1 in
    # both backends and sim, seeds 1 to 200; and bench/, which nothing else of this builds
    test) scripts/test.sh test -DEVEN_BUILD_BENCH=ON ;;
    clang) scripts/test.sh clang -DCMAKE_C_COMPILER=clang ;;
    # without optimisation, every check on
    debug) scripts/test.sh debug -DCMAKE_BUILD_TYPE=Debug -DEVEN_DEBUG=ON -- $programs ;;
    asan) scripts/test.sh asan -DEVEN_SANITIZE=address,undefined -DEVEN_DEBUG=ON -- $programs ;;
    tsan) scripts/test.sh tsan -DEVEN_SANITIZE=thread -DEVEN_DEBUG=ON "-DEVEN_TEST_LAUNCHER=$still" -- $programs ;;
    clang-asan)
        scripts/test.sh clang-asan -DCMAKE_C_COMPILER=clang -DEVEN_SANITIZE=address,undefined -DEVEN_DEBUG=ON -- $programs ;;
    # valgrind sees nothing of what the kernel writes through io_uring
    valgrind)
        EVENLOOP_TEST_VALGRIND=1 EVENLOOP_TEST_SLOWER=20 EVENLOOP_TEST_SEEDS=1-3 scripts/test.sh valgrind -DEVEN_DEBUG=ON \
            "-DEVEN_TEST_LAUNCHER=$valgrind;--suppressions=$PWD/scripts/valgrind.supp" \
            -- $programs -E '\[uring\]' ;;
    nth) scripts/nth.sh ;;
    # EVEN_DEBUG: every invariant of the loop is checked after each pass
    seeds)
        EVENLOOP_TEST_SEEDS=1-${EVEN_SEEDS:-10000} scripts/test.sh seeds -DEVEN_DEBUG=ON -- $programs -R '\[sim\]' ;;
    aarch64)
        if ! scripts/sysroot.sh build/sysroot-aarch64 >build/sysroot.log 2>&1; then
            tail -5 build/sysroot.log
            echo "aarch64 0 1 0" >>"$EVEN_TALLY"
            return 1
        fi
        EVENLOOP_TEST_EMULATED=1 EVENLOOP_TEST_SLOWER=10 EVENLOOP_TEST_SEEDS=1-20 scripts/test.sh aarch64 \
            -DCMAKE_TOOLCHAIN_FILE=cmake/aarch64.cmake "-DEVEN_SYSROOT=$PWD/build/sysroot-aarch64" -- $programs ;;
    # the package in its virtual environment: its own tests, then CPython's
    python) scripts/python.sh test ;;
    python-asan) scripts/python.sh asan ;;
    python-wheel) scripts/python.sh wheel ;;
    python-nth) scripts/python.sh nth ;;
    python-leaks) scripts/python.sh leaks ;;
    # with each Python that is installed
    python-all) scripts/python.sh all ;;
    *) echo "scripts/check.sh: no configuration '$1'" >&2; return 2 ;;
    esac
}

for name in "$@"; do
    start=$(date +%s)
    configuration "$name" || { [ $? != 2 ] || echo "$name 0 1 0" >>"$EVEN_TALLY"; }
    echo "   ($name took $(($(date +%s) - start)) s)"
done
echo
scripts/tally.sh "$EVEN_TALLY"
