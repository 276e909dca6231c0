#!/bin/sh
# The unit tests under the thread sanitizer. It makes everything ten times slower, so a test that misses a deadline is
# tried again; a report of the sanitizer fails the run whether the test passed or not.
# Accesses made from inside the libraries of Debian (gRPC, protobuf), which are not instrumented, are not looked at: each
# 200 KB that went through them cost thousands of false reports, found and suppressed one after another under one lock,
# and held a cluster up for seconds.
set -eu
cd "$(dirname "$0")/.."
cmake --preset tsan >/dev/null
cmake --build --preset tsan -j "${JOBS:-2}"
rm -f build/tsan/race.*
status=0
(cd build/tsan && TSAN_OPTIONS="suppressions=$PWD/../../tools/tsan.supp log_path=$PWD/race ignore_noninstrumented_modules=1" \
  ctest -L unit --output-on-failure -j "${JOBS:-2}" --repeat until-pass:3) || status=1
for race in build/tsan/race.*; do
  [ -e "$race" ] || continue
  cat "$race"
  status=1
done
[ $status = 0 ] && echo "the thread sanitizer found nothing"
exit $status
