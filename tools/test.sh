#!/bin/sh
# All tests that fit in CI: sanitized unit tests, a little fuzzing, then simulation, real processes and the page with
# the release build. The last lines are ctest's own summary. T=regex runs only the tests whose names match.
set -eu
cd "$(dirname "$0")/.."
jobs=${JOBS:-2}
cmake --preset release >/dev/null
cmake --build --preset release -j "$jobs"
if [ -n "${T:-}" ]; then
  cmake --preset dev >/dev/null
  cmake --build --preset dev -j "$jobs"
  (cd build/dev && ctest --output-on-failure -L unit -R "$T")
  cd build/release && exec ctest --output-on-failure -R "$T"
fi
tools/check.sh
SECONDS_EACH=${SECONDS_EACH:-10} tools/fuzz.sh
cd build/release
ctest --output-on-failure -j "$jobs" --repeat until-pass:2
