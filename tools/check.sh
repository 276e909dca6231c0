#!/bin/sh
# Layers, then the unit tests under address and undefined-behaviour sanitizers.
set -eu
cd "$(dirname "$0")/.."
tools/check_layers.py
cmake --preset dev >/dev/null
cmake --build --preset dev -j "${JOBS:-2}"
(cd build/dev && ctest -L unit --output-on-failure -j "${JOBS:-2}")
