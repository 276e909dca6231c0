#!/usr/bin/env python3
"""Chaos: leaders die by kill -9, stop by SIGTERM, freeze by SIGSTOP and thaw, while writers and readers go on through
any master. In the end every acknowledged file is read back and compared, and no file key was handed out twice.

    chaos_test.py [--deaths N] [--modes kill,term,stop] [--seconds-between S] [--layout separate|server]
"""
import argparse
import random
import signal
import sys
import time

from harness import Cluster, Failure, Load, Prober, check, quantile, upload_once


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--deaths", type=int, default=12)
    parser.add_argument("--modes", default="kill,term,stop")
    parser.add_argument("--seconds-between", type=float, default=1.0)
    parser.add_argument("--replication", default="000")
    parser.add_argument("--seed", type=int, default=None)
    options = parser.parse_args()
    modes = options.modes.split(",")
    seed = options.seed if options.seed is not None else random.randrange(1 << 30)
    draw = random.Random(seed)
    print(f"chaos: seed {seed}, {options.deaths} leader deaths, modes {modes}", flush=True)
    gaps = {mode: [] for mode in modes}
    with Cluster() as cluster:
        cluster.wait_writable()
        load = Load(cluster.masters, writers=2, query=f"replication={options.replication}").start()
        try:
            for death in range(options.deaths):
                mode = modes[death % len(modes)]
                leader = cluster.leader(20)
                process = cluster.master_processes[leader]
                survivors = [m for i, m in enumerate(cluster.masters) if i != leader]
                prober = Prober(survivors, upload_once)
                time.sleep(0.2)
                since = time.monotonic()
                process.signal({"kill": signal.SIGKILL, "term": signal.SIGTERM, "stop": signal.SIGSTOP}[mode])
                try:
                    gap = prober.gap(since, 30)
                finally:
                    prober.stop()
                gaps[mode].append(gap)
                print(f"  death {death + 1}: {mode} of master {leader + 1}: uploads away {gap * 1000:.0f} ms", flush=True)
                time.sleep(draw.uniform(0, 0.5))
                if mode == "stop":
                    process.signal(signal.SIGCONT)
                else:
                    process.popen.wait(20)
                    process.start()
                time.sleep(draw.uniform(0.5, 1.5) * options.seconds_between)
        finally:
            load.stop()
        cluster.leader(20)
        load.verify()
        print(f"chaos: {len(load.acknowledged)} files acknowledged and read back, {len(load.assigned)} keys unique, "
              f"{load.reads} reads while running, {load.failures} tries failed")
    for mode, values in gaps.items():
        if values:
            print(f"gap {mode}: median {quantile(values, 0.5) * 1000:.1f} ms, p99 {quantile(values, 0.99) * 1000:.1f} ms, "
                  f"worst {max(values) * 1000:.1f} ms of {len(values)}")
    print("1 passed, 0 failed")


if __name__ == "__main__":
    try:
        main()
    except Failure as failure:
        print(f"FAILED: {failure}")
        sys.exit(1)
