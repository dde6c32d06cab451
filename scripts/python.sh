#!/bin/sh
# Build the Python package, core and all, and install it into build/venv: scripts/python.sh [test|peers]
#
# PYTHON is the interpreter; else the distribution's, an optimised build. With `test`: the package's own tests, and CPython's
# asyncio tests on both backends; figures as of scripts/test.sh. With `peers`, and nothing else: what it is measured against,
# the newest of each, as far as it installs.
set -u
cd "$(dirname "$0")/.."
python=${PYTHON:-/usr/bin/python3}
[ -x "$python" ] || python=$(command -v python3)
venv=$PWD/build/venv
mkdir -p build

if [ "${1:-}" = peers ]; then
    for package in uvloop rloop rsloop zuvloop talyn aiohttp uvicorn httptools; do
        "$venv/bin/pip" --disable-pip-version-check install -q -U --only-binary :all: $package >build/python-peers.log 2>&1 ||
            echo "$package does not install here"
    done
    exit 0
fi

tally() {
    echo "$1: $2 passed, $3 failed, $4 skipped"
    [ -z "${EVEN_TALLY:-}" ] || echo "$1 $2 $3 $4" >>"$EVEN_TALLY"
}

echo "== python ($("$python" -c 'import sys; print(sys.version.split()[0])'), $python)"
[ -x "$venv/bin/python" ] || "$python" -m venv "$venv" || exit 1
if ! "$venv/bin/pip" --disable-pip-version-check install . >build/python.log 2>&1; then
    tail -40 build/python.log
    tally python-build 0 1 0
    exit 1
fi
[ "${1:-}" = test ] || exit 0

bad=0
"$venv/bin/pip" --disable-pip-version-check install -q aiohttp anyio httpx uvicorn websockets >build/python-programs.log 2>&1 ||
    tail -3 build/python-programs.log       # their tests say that they were skipped
# The load generator, by which their tests run the benchmarks once.
if ! { cmake -S . -B build -G Ninja -DEVEN_BUILD_TESTS=OFF -DEVEN_BUILD_BENCH=ON &&
    cmake --build build --target load; } >build/python-load.log 2>&1; then
    tail -5 build/python-load.log
fi
"$venv/bin/python" -m unittest discover -s python/tests >build/python-tests.log 2>&1 || bad=1
ran=$(sed -n 's/^Ran \([0-9]*\) tests\{0,1\} .*/\1/p' build/python-tests.log)
wrong=$(sed -n 's/^FAILED (\(.*\))/\1/p' build/python-tests.log | tr -c '0-9\n' '+' | sed 's/++*/+/g; s/^+//; s/+$//')
wrong=$((${wrong:-0}))
[ "$bad" = 0 ] || { cat build/python-tests.log; [ "$wrong" -gt 0 ] || wrong=1; }
tally python-own $((${ran:-$wrong} - wrong)) "$wrong" 0

for backend in uring epoll; do
    log=build/python-cpython-$backend.log
    if ! "$venv/bin/python" python/tests/cpython.py -v --backend $backend >$log 2>&1; then
        bad=1
        grep -v '^[0-9]* passed' $log | head -150
    fi
    sed -n '/^CPython /p' $log
    set -- $(sed -n 's/^\([0-9]*\) passed, \([0-9]*\) failed, \([0-9]*\) skipped$/\1 \2 \3/p' $log)
    tally python-cpython-$backend "${1:-0}" "${2:-1}" "${3:-0}"
done
exit $bad
