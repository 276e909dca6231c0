#!/bin/sh
# All tests that fit in CI: sanitized unit tests, a little fuzzing, simulation, then real processes of the release
# build. The last lines are ctest's own summary.
set -eu
cd "$(dirname "$0")/.."
jobs=${JOBS:-2}
cmake --preset release >/dev/null
cmake --build --preset release -j "$jobs"
if [ -n "${T:-}" ]; then
  cd build/release && exec ctest --output-on-failure -R "$T"
fi
tools/check.sh
SECONDS_EACH=${SECONDS_EACH:-10} tools/fuzz.sh
cd build/release
ctest --output-on-failure -j "$jobs"
