#!/bin/sh
# Programs with a sanitizer, and the library as it is installed: without. tests/sanitizer/check.sh BUILD COMPILER
set -eu
build=$1
compiler=$2
here=$(cd "$(dirname "$0")" && pwd)
unset ASAN_OPTIONS LSAN_OPTIONS TSAN_OPTIONS
failed=0
command -v "$compiler" >/dev/null || { echo "no $compiler here"; exit 77; }
. "$here/../installed.sh"

# Older runtimes know no addresses as random as those of newer kernels.
plain=
setarch -R true 2>/dev/null && plain="setarch -R"

echo 'int main(void) { return 0; }' >"$folder/empty.c"
has() {
    "$compiler" -fsanitize="$1" "$folder/empty.c" -o "$folder/empty" 2>"$folder/log" && $plain "$folder/empty" >"$folder/log" 2>&1
}

compile() {     # COMPILER SANITIZER SOURCE LIBRARIES
    "$1" -g -O1 -fsanitize="$2" "$here/$3" $(pkg-config --cflags evenloop) $4 -pthread -o "$folder/program"
}

run() {
    status=0
    $plain "$folder/program" "$@" >"$folder/output" 2>&1 </dev/null || status=$?
}

complain() {
    failed=$((failed + 1))
    echo "$compiler, $what: ended with $status, $1:"
    head -40 "$folder/output"
}

quiet() {
    what=$*
    run "$@"
    if [ "$status" != 0 ] || [ -s "$folder/output" ]; then complain "and was to say nothing"; fi
}

finds() {       # REPORT ARGUMENTS
    report=$1
    shift
    what=$*
    run "$@"
    if [ "$status" = 0 ] || ! grep -q -e "$report" "$folder/output"; then complain "and was to find a $report"; fi
}

has address || has thread || { echo "$compiler has no sanitizer here"; exit 77; }
if has address; then
    for libraries in "$shared" "$static"; do
        compile "$compiler" address program.c "$libraries"
        for fakes in 0 1; do
            export ASAN_OPTIONS="detect_stack_use_after_return=$fakes"
            quiet process
            quiet jump
            quiet reuse
            quiet exit
            quiet child
            finds "detected memory leaks" leak
            finds stack-buffer-overflow overflow
            [ "$fakes" = 0 ] || finds stack-use-after-return return
        done
    done
    case $compiler in
    *clang*) other=clang++ ;;
    *) other=g++ ;;
    esac
    if command -v $other >/dev/null; then
        compile $other address throw.cc "$shared"
        quiet throw
    fi
fi
if has thread; then
    compile "$compiler" thread program.c "$shared"
    for what in process exit jump reuse; do
        quiet $what
    done
fi
echo "$failed failed"
[ $failed = 0 ]
