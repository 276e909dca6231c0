#!/bin/sh
# Layers, then the unit tests under address and undefined-behaviour sanitizers.
set -eu
cd "$(dirname "$0")/.."
tools/check_layers.py
cmake --preset dev >/dev/null
cmake --build --preset dev -j "${JOBS:-2}"
# Some tests of real processes and sockets have deadlines; a machine that stood still may have its second try.
(cd build/dev && ctest -L unit --output-on-failure -j "${JOBS:-2}" --repeat until-pass:2)
