#!/usr/bin/env python3
"""(f) From six started commands to the first upload; idle CPU and resident memory of each process.

    start.py [--rounds 5] [--idle 10]
"""
import argparse
import json
import pathlib
import statistics
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "test/cluster"))
from harness import Cluster


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--idle", type=float, default=10)
    parser.add_argument("--json")
    options = parser.parse_args()
    took, memory, idle = [], {}, {}
    for turn in range(options.rounds):
        cluster = Cluster()
        begin = time.monotonic()
        with cluster:
            cluster.wait_writable()
            took.append(time.monotonic() - begin)
            for process in cluster.processes():
                memory.setdefault(process.name, []).append(process.rss_mb())
            if turn == 0:
                time.sleep(2)
                before = {p.name: p.cpu_seconds() for p in cluster.processes()}
                time.sleep(options.idle)
                idle = {p.name: (p.cpu_seconds() - before[p.name]) / options.idle for p in cluster.processes()}
    print(f"six commands to the first upload: median {statistics.median(took):.2f} s, worst {max(took):.2f} s")
    for name in memory:
        print(f"{name:10} {statistics.median(memory[name]):6.1f} MB resident, idle {idle[name] * 100:.2f} % of a core")
    if options.json:
        pathlib.Path(options.json).write_text(json.dumps({"first_upload_s": statistics.median(took), "memory_mb": memory, "idle": idle}))


if __name__ == "__main__":
    main()
