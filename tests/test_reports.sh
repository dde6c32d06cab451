#!/bin/sh
# The lines in reports: "never awaited" names the line of the call, "went on" the line of the await, whatever compiler and
# optimisation built the program.
#     test_reports.sh INCLUDE_DIRECTORY LIBEVENLOOP.A LIBRARIES...
set -eu
include=$1
library=$2
shift 2
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
passed=0 failed=0

cat >"$dir/program.c" <<'END'
#define EVEN_SHORT_NAMES
#include <evenloop.h>
async(int, forgotten, (int, n))
{
    return n;
}
static int helper(void)
{
    (void)!forgotten(1);                                    /* line 9 */
    return 0;
}
async(int, ignores)
{
    await(even_sleep(10));                                  /* line 14 */
    return 0;
}
async(int, main_)
{
    __auto_type c =
        forgotten(2);                                       /* line 20 */
    even_detach(c);
    helper();
    __auto_type t = create_task(ignores());
    await(even_sleep(0));
    even_cancel(t);
    await(t);
    __auto_type spent = forgotten(3);
    await(spent);
    await(spent);                                           /* line 29 */
    return 0;
}
int main(void)
{
    return even_run(main_());
}
END

expect() {
    if grep -q -- "$2" "$dir/output"; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        echo "$1: nothing says \"$2\":"
        cat "$dir/output"
    fi
}

for compiler in gcc clang; do
    command -v $compiler >/dev/null || continue
    for level in -O0 -O1 -O2 -O3 -Os; do
        what="$compiler $level"
        if ! $compiler -std=gnu17 -g $level -I"$include" "$dir/program.c" "$library" "$@" -o "$dir/program" 2>"$dir/output"; then
            failed=$((failed + 1))
            echo "$what: does not compile:"
            cat "$dir/output"
            continue
        fi
        "$dir/program" 2>"$dir/output" || { failed=$((failed + 1)); echo "$what: ended with $?"; cat "$dir/output"; }
        if ! grep -q 'program.c:' "$dir/output"; then
            echo "skipped: no lines here (built without libdw)"
            exit 77
        fi
        expect "$what" "coroutine 'forgotten' was never awaited; it was made at program.c:9$"
        expect "$what" "coroutine 'forgotten' was never awaited; it was made at program.c:20$"
        expect "$what" "'Task-2' (ignores) went on after its cancellation.*program.c:14"
        expect "$what" "coroutine 'forgotten': the object was awaited before and is spent; at program.c:29$"
    done
done
echo "$passed passed, $failed failed"
[ $failed = 0 ]
