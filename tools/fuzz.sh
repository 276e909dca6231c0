#!/bin/sh
# Builds every fuzzer with clang and runs each for SECONDS_EACH seconds; a crash leaves its input in build/fuzz.
set -eu
cd "$(dirname "$0")/.."
cmake --preset fuzz >/dev/null
cmake --build --preset fuzz -j "${JOBS:-2}" --target fuzzers
found=0
for fuzzer in build/fuzz/bin/*_fuzz; do
  [ -x "$fuzzer" ] || continue
  found=1
  name=$(basename "$fuzzer")
  mkdir -p "build/fuzz/corpus/$name"
  echo "fuzzing $name for ${SECONDS_EACH:-60} s"
  "$fuzzer" -max_total_time="${SECONDS_EACH:-60}" -rss_limit_mb=2048 -artifact_prefix="build/fuzz/$name-" \
    "build/fuzz/corpus/$name" >"build/fuzz/$name.log" 2>&1 || { tail -40 "build/fuzz/$name.log"; exit 1; }
  tail -1 "build/fuzz/$name.log"
done
[ "$found" = 1 ] || { echo "no fuzzers were built"; exit 1; }
