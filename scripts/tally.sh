#!/bin/sh
# The last word of `make test`, `make check` and .ci/run: the sum of a file that scripts/test.sh wrote.
awk '{ passed += $2; failed += $3; skipped += $4; if ($3) bad = bad " " $1 }
     END { if (!NR) failed = 1
           if (skipped) print skipped, "skipped"
           if (bad) print "failed in:" bad
           print passed + 0, "passed,", failed + 0, "failed"
           exit failed != 0 }' "$1"
