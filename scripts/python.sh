#!/bin/sh
# Build the Python package, core and all, and install it into a virtual environment; perhaps test it there:
#
#     scripts/python.sh          into build/venv
#     scripts/python.sh test     and run the package's own tests, and CPython's asyncio tests on both backends
#     scripts/python.sh all      the same with every other Python that is installed, in build/venv-3.X
#     scripts/python.sh asan     in build/venv-asan, under AddressSanitizer: its own tests, and some of CPython's
#     scripts/python.sh wheel    in build/venv-wheel: the source distribution, a wheel of it, and what it is without this tree
#     scripts/python.sh nth      every single allocation fails, on both backends
#     scripts/python.sh leaks    a hundred thousand of everything
#     scripts/python.sh programs [NAME ...]   the tests of other programs, on asyncio's loop and on ours
#     scripts/python.sh peers    what it is measured against, into build/venv: the newest of each, as far as it installs
#
# PYTHON is the interpreter; else the distribution's, an optimised build. Figures as of scripts/test.sh.
set -u
cd "$(dirname "$0")/.."
python=${PYTHON:-/usr/bin/python3}
[ -x "$python" ] || python=$(command -v python3)
programs="aiohttp anyio distributed gunicorn httpx hypercorn ipykernel jupyter_client nest_asyncio pytest pytest-asyncio
    quart twisted uvicorn uvicorn-worker uvloop websockets"
bad=0
export PYTHON_GIL=1     # a free-threaded Python would warn, wherever a test looks, that importing the package turns it on
mkdir -p build

tally() {
    echo "$1: $2 passed, $3 failed, $4 skipped"
    [ -z "${EVEN_TALLY:-}" ] || echo "$1 $2 $3 $4" >>"$EVEN_TALLY"
}

pip() {
    "$venv/bin/python" -m pip --disable-pip-version-check "$@"
}

# A virtual environment (of the interpreter $1, in the folder $2), and what `name` and `venv` are from now on.
environment() {
    venv=$PWD/build/$2
    name=python${2#venv}
    echo "== $name ($("$1" -c 'import sys; print(sys.version.split()[0])'), $1)"
    [ -x "$venv/bin/python" ] || "$1" -m venv "$venv" || exit 1
}

# The package, into it: pip's options.
install() {
    pip install "$@" . >"build/$name.log" 2>&1 && return
    tail -40 "build/$name.log"
    tally "$name-build" 0 1 0
    exit 1
}

# Python under what is in `under` (a command and its arguments, or nothing).
under=
own() {
    log=build/$name-own.log
    ok=1
    $under "$venv/bin/python" -m unittest discover -s python/tests "$@" >"$log" 2>&1 || ok=0
    ran=$(sed -n 's/^Ran \([0-9]*\) tests\{0,1\} .*/\1/p' "$log")
    # A figure of `FAILED (failures=1, skipped=2)` or of `OK (skipped=2)`.
    figure() { sed -n 's/^\(FAILED\|OK\) (.*\<'"$1"'=\([0-9]*\).*/\2/p' "$log"; }
    failures=$(figure failures) errors=$(figure errors) skipped=$(figure skipped) surprises=$(figure 'unexpected successes')
    wrong=$((${failures:-0} + ${errors:-0} + ${surprises:-0}))
    if [ "$ok" = 0 ]; then
        bad=1
        cat "$log"
        [ "$wrong" -gt 0 ] || wrong=1
    fi
    passed=$((${ran:-0} - wrong - ${skipped:-0}))
    tally "$name-own" $((passed > 0 ? passed : 0)) "$wrong" "${skipped:-0}"
}

# CPython's: options and names for cpython.py.
theirs() {
    for backend in uring epoll; do
        log=build/$name-cpython-$backend.log
        if ! $under "$venv/bin/python" python/tests/cpython.py -v --backend $backend "$@" >"$log" 2>&1; then
            bad=1
            grep -v '^[0-9]* passed' "$log" | head -150
        fi
        sed -n '/^CPython /p' "$log"
        figures=$(sed -n 's/^\([0-9]*\) passed, \([0-9]*\) failed, \([0-9]*\) skipped$/\1 \2 \3/p' "$log")
        tally "$name-cpython-$backend" ${figures:-0 1 0}
    done
}

# Programs for the tests, into it. Where one does not install (a Python that is too new for it), only its tests are skipped.
with_programs() {
    # shellcheck disable=SC2086
    pip install -q --prefer-binary $programs >"build/$name-programs.log" 2>&1 && return
    for program in $programs; do
        pip install -q --only-binary :all: "$program" >"build/$name-programs.log" 2>&1 || echo "$program does not install here"
    done
}

case ${1:-build} in
build)
    environment "$python" venv
    install
    ;;
test)
    environment "$python" venv
    install
    with_programs
    # The load generator, by which the tests run the benchmarks once.
    if ! { cmake -S . -B build -G Ninja -DEVEN_BUILD_TESTS=OFF -DEVEN_BUILD_BENCH=ON &&
        cmake --build build --target load; } >build/python-load.log 2>&1; then
        tail -5 build/python-load.log
    fi
    own
    theirs
    ;;
all)
    # The distribution's, those installed by hand, and pyenv's; one of each version; not that of `test`.
    seen=" $("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')"
    set --
    for folder in /usr/bin /usr/local/bin "$HOME"/.pyenv/versions/*/bin; do
        set -- "$@" "$folder"/python3.[0-9][0-9] "$folder"/python3.[0-9][0-9]t
    done
    for candidate; do
        version=$("$candidate" -c 'import sys, venv, ensurepip
print("%d.%d%s" % (*sys.version_info[:2], sys.abiflags)) if sys.version_info >= (3, 11) else 0' 2>/dev/null)
        case "${version:-0} $seen " in
        0\ * | *" $version "*) continue ;;
        esac
        seen="$seen $version"
        environment "$candidate" "venv-$version"
        install
        with_programs
        own
        theirs
    done
    ;;
asan)
    environment "$python" venv-asan
    install --force-reinstall --no-deps --config-settings=cmake.build-type=Debug --config-settings=install.strip=false \
        --config-settings=cmake.define.EVEN_SANITIZE=address,undefined --config-settings=cmake.define.EVEN_DEBUG=ON
    with_programs
    # Leaks are for python/tests/test_leaks.py: an interpreter leaves much behind at its end. PYTHONMALLOC: so that it sees
    # objects. The Nth allocation takes its own time.
    under="env LD_PRELOAD=$(gcc -print-file-name=libasan.so):$(gcc -print-file-name=libubsan.so) PYTHONMALLOC=malloc
        ASAN_OPTIONS=detect_leaks=0:abort_on_error=1:detect_stack_use_after_return=0
        UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1 EVENLOOP_SANITIZED=1 EVENLOOP_NTH_EVERY=200 EVENLOOP_LEAK_ROUNDS=200"
    own
    theirs test_events test_sock_lowlevel test_sendfile test_server test_buffered_proto test_streams test_ssl
    ;;
wheel)
    environment "$python" venv-wheel
    log=build/$name.log
    rm -rf build/dist
    if ! pip install -q build mypy >"$log" 2>&1 || ! "$venv/bin/python" -m build --outdir build/dist . >>"$log" 2>&1; then
        tail -40 "$log"
        tally "$name-build" 0 1 0
        exit 1
    fi
    under="env EVENLOOP_DIST=$PWD/build/dist"
    own -p wheel.py
    ;;
nth)
    environment "$python" venv
    install
    name=python-nth
    log=build/$name.log
    if ! "$venv/bin/python" python/tests/nth.py -v >"$log" 2>&1; then
        bad=1
        grep -v ' failures of an allocation, ' "$log" | head -150
    fi
    figures=$(sed -n 's/^\([0-9]*\) passed, \([0-9]*\) failed, \([0-9]*\) skipped$/\1 \2 \3/p' "$log")
    tally $name ${figures:-0 1 0}
    ;;
leaks)
    environment "$python" venv
    install
    name=python-leaks
    under="env EVENLOOP_LEAK_ROUNDS=100000"
    own -k test_leaks
    ;;
programs)
    shift
    exec "$python" python/programs/run.py "$@"
    ;;
peers)
    environment "$python" venv
    for package in uvloop rloop rsloop zuvloop talyn aiohttp uvicorn httptools; do
        pip install -q -U --only-binary :all: $package >build/python-peers.log 2>&1 || echo "$package does not install here"
    done
    ;;
*)
    echo "scripts/python.sh: '$1'?" >&2
    exit 2
    ;;
esac
exit $bad
