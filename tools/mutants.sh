#!/bin/sh
# Takes one rule after the other out of the Raft core, and has the simulator notice: the recorded seed of each mutant
# first, then up to BUDGET fresh ones from FIRST on. Fails when a mutant lives. A few minutes.
set -eu
cd "$(dirname "$0")/.."
sim=${SIM:-build/release/bin/sim}
exec "$sim" --mutants --budget="${BUDGET:-600}" --first="${FIRST:-1}" --file=test/sim/seeds.txt
