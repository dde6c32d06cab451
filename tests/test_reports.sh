#!/bin/sh
# What reports say: "never awaited" names the line of the call, "went on" the line of the await, whatever compiler and
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
    (void)!forgotten(1);                                    /* HELPER */
    return 0;
}
async(int, ignores)
{
    await(even_sleep(10));                                  /* TOLD */
    return await(even_sleep(0));
}
async(int, naps) { return await(even_sleep(0.01)); }
static void nothing(even_handle *h)                         /* NOTHING */
{
    (void)h;
}
async(int, misuses)
{
    __auto_type anna = create_task(naps(), .name = "Anna");
    even_detach(anna);
    even_detach(anna);                                      /* TWICE */
    static even_handle h = EVEN_HANDLE(nothing);
    even_call_soon(even_running_loop(), &h);
    even_call_soon(even_running_loop(), &h);                /* QUEUED */
    even_future *f = even_future_new(even_future);          /* FUTURE */
    even_cancel(f);
    even_set_result(f, 1);                                  /* SET */
    even_detach(f);
    char c;
    await(even_read(EVEN_STREAM, &c, 1));                   /* TEMPLATE */
    return await(even_sleep(0.02));
}
async(int, main_)
{
    __auto_type c =
        forgotten(2);                                       /* MAIN */
    even_detach(c);
    helper();
    __auto_type t = create_task(ignores());
    await(even_sleep(0));
    even_cancel(t);
    await(t);
    __auto_type spent = forgotten(3);
    await(spent);
    await(spent);                                           /* SPENT */
    await(wait_for(spent, 1));                              /* WITHIN */
    int rc = await(misuses());
    return rc < 0 ? rc : -EPIPE;
}
int main(void)
{
    return even_main(main_()) != 1;
}
END

cat >"$dir/whole.c" <<'END'
#define EVEN_SHORT_NAMES
#include <evenloop.h>
async(int, naps) { return await(even_sleep(0.01)); }
int main(void)
{
    return even_main(naps());
}
END

# The line that is marked so.
line() {
    grep -n "/\* $1 \*/" "$dir/program.c" | cut -d: -f1
}

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
        expect "$what" "coroutine 'forgotten' was never awaited; it was made at program.c:$(line HELPER)$"
        expect "$what" "coroutine 'forgotten' was never awaited; it was made at program.c:$(line MAIN)$"
        expect "$what" "'Task-2' (ignores) went on after its cancellation.*program.c:$(line TOLD)"
        expect "$what" "coroutine 'forgotten': the object was awaited before and is spent; at program.c:$(line SPENT)$"
        expect "$what" "coroutine 'forgotten': the object was awaited before and is spent; at program.c:$(line WITHIN)$"
        expect "$what" "task 'Anna' (naps) was given up once too often.*while it runs; at program.c:$(line TWICE)$"
        expect "$what" "even_call_soon: the handle is queued already.*program.c:.*; at program.c:$(line QUEUED)$"
        expect "$what" "'future' (made at program.c:$(line FUTURE)) cannot be completed: it was cancelled; at.*:$(line SET)$"
        expect "$what" "even_read in Task-1: EVEN_STREAM stands for .*; at program.c:$(line TEMPLATE)$"
        expect "$what" "the main task 'Task-1' (main_) failed with EPIPE"
        if grep 'bug in the library' "$dir/output"; then
            failed=$((failed + 1))
        fi
        $compiler -std=gnu17 -g $level -I"$include" "$dir/whole.c" "$library" "$@" -o "$dir/whole"
        EVENLOOP_EXPLAIN=1 "$dir/whole" 2>"$dir/output" || failed=$((failed + 1))
        expect "$what" "the loop begins, with one task: Task-1 (naps)  (whole.c:6)$"
    done
done
echo "$passed passed, $failed failed"
[ $failed = 0 ]
