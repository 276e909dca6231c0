#!/usr/bin/env python3
"""(f) From six started commands to the first upload; idle CPU and resident memory of each process.

    start.py [--rounds 5] [--idle 10]

Beside it, in the same rounds, what the heartbeats of a leader cost this machine by themselves (bare_beats).
"""
import argparse
import json
import pathlib
import statistics
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "test/cluster"))
from harness import BIN, Cluster


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--idle", type=float, default=10)
    parser.add_argument("--json")
    options = parser.parse_args()
    if not (BIN / "bare_beats").exists():
        sys.exit("bare_beats is not built: cmake --build --preset release --target bare_beats")
    took, memory, idle = [], {}, {}
    for _ in range(options.rounds):
        cluster = Cluster()
        begin = time.monotonic()
        with cluster:
            cluster.wait_writable()
            took.append(time.monotonic() - begin)
            # By its part: which of the masters leads differs from round to round.
            leader = cluster.leader()
            parts = {}
            for process in cluster.processes():
                master = process in cluster.master_processes
                part = "volume server" if not master else "leader" if process is cluster.master_processes[leader] else "follower"
                parts[process.name] = part
                memory.setdefault(part, []).append(process.rss_mb())
            time.sleep(2)
            before = {p.name: p.cpu_seconds() for p in cluster.processes()}
            time.sleep(options.idle)
            for process in cluster.processes():
                used = process.cpu_seconds() - before[process.name]
                idle.setdefault(parts[process.name], []).append(100 * used / options.idle)
        bare = subprocess.run([str(BIN / "bare_beats"), str(options.idle)], capture_output=True, text=True, check=True)
        idle.setdefault("bare beats", []).append(float(bare.stdout))
    print(f"six commands to the first upload: median {statistics.median(took):.2f} s, worst {max(took):.2f} s")
    for part, shares in idle.items():
        resident = f"{statistics.median(memory[part]):6.1f} MB resident, " if part in memory else " " * 20
        print(f"{part:14}{resident}idle {statistics.median(shares):.2f} % of a core (worst {max(shares):.2f})")
    if options.json:
        pathlib.Path(options.json).write_text(json.dumps({"first_upload_s": statistics.median(took), "memory_mb": memory, "idle": idle}))


if __name__ == "__main__":
    main()
