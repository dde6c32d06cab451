#!/bin/sh
# `make run`: the notes' gather program with its explanation, then the echo server under a load of its own.
set -eu
cd "$(dirname "$0")/.."
build=${1:-build}

echo "== examples/notes/gather.c, and what the loop does meanwhile"
echo
EVENLOOP_EXPLAIN=1 "$build/examples/notes/gather"
echo

folder=$(mktemp -d)
server=
finish() {
    [ -z "$server" ] || kill -INT "$server" 2>/dev/null || true
    rm -rf "$folder"
}
trap finish EXIT

echo "== examples/echo.c under a load: 50 connections, 64 bytes, one coroutine a connection"
echo
# A shell starts what runs beside it with SIGINT ignored.
env --default-signal=INT "$build/examples/echo" 127.0.0.1 0 >"$folder/echo" &
server=$!
while ! grep -q port "$folder/echo"; do
    kill -0 "$server" 2>/dev/null || { echo "the server has ended before it listened" >&2; server=; exit 1; }
    sleep 0.05
done
port=$(sed -n 's/.* port //p' "$folder/echo")
echo "echo is $(cat "$folder/echo")"
if [ ! -x "$build/bench/load" ]; then
    echo "the load generator, $build/bench/load, was not built: no figures" >&2
    exit 1
fi
"$build/bench/load" --progress --seconds 5 127.0.0.1 "$port"

# The processor time of the server, all its threads, until now.
ticks=$(awk '{ sub(/.*\) /, ""); print $12 + $13 }' "/proc/$server/stat")
kill -INT "$server"
(sleep 10; kill -KILL "$server") >/dev/null 2>&1 &
watchdog=$!
status=0
wait "$server" || status=$?
kill "$watchdog" 2>/dev/null || true
server=
awk -v t="$ticks" -v hz="$(getconf CLK_TCK)" -v s="$status" \
    'BEGIN { printf "the server: %.2f s of processor time, then SIGINT and exit status %d\n", t / hz, s }'
exit "$status"
