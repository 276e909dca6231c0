#!/bin/bash
# Stops what tools/up.sh started: volume servers first, then masters, each told with SIGTERM and, when that does not
# help within 20 s, killed. Files stay under .run/.
set -eu
cd "$(dirname "$0")/.."
weed=$PWD/${BIN:-build/release/bin}/weed
run=.run

stopped=0
for name in volume-1 volume-2 volume-3 master-1 master-2 master-3; do
  pid=$(cat "$run/$name.pid" 2>/dev/null) || continue
  # The number may belong to someone else by now. The command line tells, also when the program was rebuilt meanwhile.
  if [ "$(tr '\0' '\n' <"/proc/$pid/cmdline" 2>/dev/null | head -n 1)" = "$weed" ]; then
    kill -TERM "$pid" 2>/dev/null || true
    stopped=$((stopped + 1))
  else
    rm -f "$run/$name.pid"
  fi
done
for pid_file in "$run"/*.pid; do
  [ -e "$pid_file" ] || continue
  pid=$(cat "$pid_file")
  for _ in $(seq 200); do
    kill -0 "$pid" 2>/dev/null || break
    sleep 0.1
  done
  if kill -0 "$pid" 2>/dev/null; then
    echo "$(basename "$pid_file" .pid) did not end within 20 s and is killed"
    kill -9 "$pid" 2>/dev/null || true
  fi
  rm -f "$pid_file"
done
if [ $stopped = 0 ]; then
  echo "nothing was running"
else
  echo "stopped $stopped processes; files and logs stay in $run/ (rm -r $run forgets them)"
fi
