#!/bin/sh
# The command: tests/test_cli.sh EVENLOOP [EMULATOR ...]
set -u
evenloop=$1
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
export TMPDIR="$folder/tmp"
mkdir "$TMPDIR"
cd "$folder" || exit 1
bad=0

# expect STATUS WORDS COMMAND...: the exit status, and words that stand in its output (both streams).
expect() {
    status=$1 words=$2
    shift 2
    output=$("$@" 2>&1 </dev/null)
    got=$?
    if [ $got != "$status" ]; then
        echo "FAILED: $*: exit status $got instead of $status:"; echo "$output"; bad=1
    fi
    case $output in
    *"$words"*) ;;
    *) echo "FAILED: $*: '$words' is not in its output:"; echo "$output"; bad=1 ;;
    esac
}

cat >plain.c <<'END'
#include <evenloop.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
int main(int argc, char **argv)
{
    const char *backend = getenv("EVENLOOP_BACKEND"), *seed = getenv("EVENLOOP_SEED"), *explain = getenv("EVENLOOP_EXPLAIN");
    printf("backend %s, seed %s, explain %s, version %s, name %s;", backend ? backend : "none", seed ? seed : "none",
           explain ? explain : "none", even_version(), strrchr(argv[0], '/'));
    for (int i = 1; i < argc; i++)
        printf(" <%s>", argv[i]);
    puts("");
    fflush(stdout);
    if (argc > 1 && strcmp(argv[1], "term") == 0)
        raise(SIGTERM);
    if (argc > 1 && strcmp(argv[1], "wait") == 0)
        pause();
    return argc > 1 ? atoi(argv[1]) : 0;
}
END
cat >mistake.c <<'END'
#include <evenloop.h>
int main(void) { return no_such_thing; }
END
cat >flags.c <<'END'
#include <stdio.h>
int main(void) { return puts(WORDS) < 0; }
END
cat >sleep.c <<'END'
#define EVEN_SHORT_NAMES
#include <evenloop.h>
#include <stdio.h>
async(int, program)
{
    try_await(even_sleep(3600));
    puts("an hour later");
    return 0;
}
int main(void) { return even_run(program()) < 0; }
END

expect 0 "usage: evenloop" "$evenloop" --help
expect 2 "usage: evenloop" "$evenloop"
expect 0 "evenloop 0." "$evenloop" --version
expect 2 "unknown command 'walk'" "$evenloop" walk
expect 2 "was \`evenloop run plain.c\` meant?" "$evenloop" plain.c
expect 2 "unknown option '--fast'" "$evenloop" --fast
expect 0 "usage: evenloop run" "$evenloop" run --help
expect 2 "which file?" "$evenloop" run
expect 2 "unknown option '--fast'" "$evenloop" run --fast plain.c
expect 2 "unknown option '-x'" "$evenloop" run -x plain.c
expect 2 "'--seed' wants a value" "$evenloop" run plain.c --seed
expect 2 "the seed 'abc' is not a whole number" "$evenloop" run plain.c --seed abc
expect 2 "--virtual-time" "$evenloop" run plain.c --virtual-time --backend epoll
expect 2 "no backend is called 'kqueue'" "$evenloop" run plain.c --backend kqueue
expect 2 "no optimisation is called '9'" "$evenloop" run plain.c -O9
expect 2 "there is 'arg' too" "$evenloop" run plain.c arg
expect 1 "'missing.c': No such file" "$evenloop" run missing.c
expect 1 "neither a C file" "$evenloop" run "$folder"
expect 1 "no_such_thing" "$evenloop" run mistake.c
expect 1 "'mistake.c' does not compile" "$evenloop" run mistake.c
expect 1 "the compiler 'no-such-cc' cannot be run" env CC=no-such-cc "$evenloop" run plain.c
expect 1 "no folder can be made" env TMPDIR=/nonexistent "$evenloop" run plain.c

unset EVENLOOP_BACKEND EVENLOOP_SEED EVENLOOP_EXPLAIN
expect 0 "backend none, seed none, explain none, version 0.1.0, name /plain;" "$evenloop" run plain.c
expect 7 "explain 1, version 0.1.0, name /plain; <7> <--seed> <a b>" "$evenloop" run plain.c --explain -O 2 -- 7 --seed "a b"
expect 0 "backend sim, seed 42" "$evenloop" run --virtual-time --seed=42 plain.c
expect 0 "backend epoll" "$evenloop" run --backend epoll plain.c
expect 0 "from CFLAGS" env 'CFLAGS=-DWORDS="from\040CFLAGS"' LDLIBS=-lm "$evenloop" run flags.c
expect 143 "<term>" sh -c '"$0" run plain.c -- term; exit $?' "$evenloop"
expect 0 "an hour later" "$evenloop" run --virtual-time sleep.c

# A program as it is.
"${CC:-cc}" -x c -o program - <<'END'
#include <stdio.h>
int main(int argc, char **argv) { printf("%s %s\n", argv[0], argc > 1 ? argv[1] : "-"); return argc; }
END
expect 2 "./program x" "$evenloop" run ./program -- x
expect 1 "program -" "$evenloop" run program

# A signal that is sent to the command alone reaches the program, and the command ends as the program does.
"$evenloop" run plain.c -- wait >out &
pid=$!
while ! grep -q '<wait>' out; do
    kill -0 $pid 2>/dev/null || break
    sleep 0.05
done
kill -TERM $pid
wait $pid
[ $? = 143 ] || { echo "FAILED: SIGTERM was not passed on"; bad=1; }

[ -z "$(ls "$TMPDIR")" ] || { echo "FAILED: left behind: $(ls "$TMPDIR")"; bad=1; }
exit $bad
