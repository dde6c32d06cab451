#!/bin/sh
# Build one configuration in build/NAME and run its tests:
#
#     scripts/test.sh NAME [-DOPTION=VALUE ...] [-- OPTIONS OF CTEST]
#
# Says `NAME: N passed, N failed, N skipped` and adds the figures to the file EVEN_TALLY, if that is set; scripts/tally.sh
# sums them up. What does not build is a failure, and the rest is tested all the same.
set -u
cd "$(dirname "$0")/.."
name=$1
shift
options=
while [ $# -gt 0 ] && [ "$1" != -- ]; do
    options="$options $1"
    shift
done
[ $# -gt 0 ] && shift
folder=$PWD/build/$name
log=$folder.log
mkdir -p build

tally() {
    echo "$name: $1 passed, $2 failed, $3 skipped"
    [ -z "${EVEN_TALLY:-}" ] || echo "$name $1 $2 $3" >>"$EVEN_TALLY"
    [ "$2" = 0 ]
    exit
}

echo "== $name"
build() {
    cmake -S . -B "$folder" -G Ninja -DEVEN_WERROR=ON -DEVEN_BUILD_TESTS=ON $options && cmake --build "$folder" -- -k 0
}
unbuilt=0
if ! build >"$log" 2>&1; then
    grep -A12 'FAILED:\|CMake Error' "$log" | head -80
    unbuilt=1       # what was built is tested all the same
fi
grep 'evenloop: .* missing' "$log"

rm -f "$folder/tests.xml"
ctest --test-dir "$folder" -j "$(nproc)" --output-on-failure --no-tests=error --output-junit tests.xml "$@" \
    </dev/null >"$log" 2>&1
status=$?
figure() { sed -n '1,20s/^.*[[:space:]]'$1'="\([0-9]*\)".*$/\1/p' "$folder/tests.xml" 2>/dev/null | head -1; }
total=$(figure tests)
failed=$(figure failures)
skipped=$(figure skipped)
sed -n 's/^.*\(evenloop: skipped: .*\)$/\1/p' "$folder/tests.xml" 2>/dev/null
if [ -z "$total" ]; then
    tail -40 "$log"
    tally 0 1 0
fi
# What failed, with its output; the whole is in the log.
if [ "$status" != 0 ]; then
    sed -n '/\*\*\*\(Failed\|Timeout\|Exception\|Not Run\)/,/^[[:space:]]*Start\|Test.*Passed/p' "$log" | head -200
    sed -n '/The following tests FAILED/,$p' "$log"
    [ "${failed:-0}" != 0 ] || unbuilt=1
fi
tally $((total - failed - skipped)) $((failed + unbuilt)) "$skipped"
