#!/bin/sh
# The simulator: 1,000 seeds on two processes (SEEDS, FIRST, STEPS, JOBS change that); SEED=42 replays one with its trace.
set -eu
cd "$(dirname "$0")/.."
sim=${SIM:-build/release/bin/sim}
if [ -n "${SEED:-}" ]; then
  exec "$sim" --seed="$SEED" --steps="${STEPS:-100000}" --trace
fi
exec "$sim" --seeds="${SEEDS:-1000}" --first="${FIRST:-1}" --steps="${STEPS:-200000}" --jobs="${JOBS:-2}"
