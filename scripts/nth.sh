#!/bin/sh
# The ordinary tests with the Nth system call failing, then the Nth allocation, for every N, on both backends and sim, under
# AddressSanitizer. A test may cope, or give up with a failing assertion; it may not crash, hang, run into a check of the
# library's, or leave a descriptor, a heap object or memory behind (after giving up: if it is `.clean`, see tests/test.h).
#
#     scripts/nth.sh [NAME OF A TEST]     as CTest names it: a regular expression
set -u
cd "$(dirname "$0")/.."
export ASAN_OPTIONS="detect_stack_use_after_return=0:${ASAN_OPTIONS:-}"
exec scripts/test.sh nth -DEVEN_SANITIZE=address,undefined -DEVEN_DEBUG=ON -DEVEN_FAULTS=ON -- -L nth ${1:+-R "$1"}
