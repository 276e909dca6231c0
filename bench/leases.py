#!/usr/bin/env python3
"""(g) What leases and guardians are worth: how long replicated writes are away after kill -9 of the leader, with and without
its guardian, under the default lease and under one of 2 s; and reads of the masters' key-value space per second by lease
and by rounds, beside etcd's serializable and linearizable ones (through its JSON gateway, by the same client).

    leases.py [-n 20] [--seconds 3] [--only kill,read] [--without-etcd] [--json FILE]
"""
import argparse
import base64
import json
import os
import pathlib
import random
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "test/cluster"))
sys.path.insert(0, str(HERE))
from failover import Etcd
from guardian_test import KV, guardian_of, kill_together, others, put, until_put, wait_lease
from harness import Cluster, Http, check, quantile

KILLS = {  # name: lease, whether the guardian is killed as well, in which folder
    "lease 80 ms, guardian": ("80ms", False, None),
    "lease 80 ms, both killed": ("80ms", True, None),
    "lease 2 s, guardian": ("2s", False, None),
    "lease 2 s, guardian, in memory": ("2s", False, "/dev/shm"),
    "lease 2 s, both killed": ("2s", True, None),
}


class DiskProbe:
    """Syncs a few bytes beside the masters without pause: full service needs two syncs one after the other, a vote's and a
    write's, and this tells what they could cost at the time."""

    def __init__(self, folder):
        self.path, self.syncs, self.stopping = folder / "probe", [], threading.Event()
        self.thread = threading.Thread(target=self._run)
        self.thread.start()

    def _run(self):
        file = os.open(self.path, os.O_RDWR | os.O_CREAT)
        os.pwrite(file, bytes(8192), 0)
        os.fsync(file)
        while not self.stopping.wait(0.003):
            begin = time.monotonic()
            os.pwrite(file, os.urandom(64), 4096)
            os.fdatasync(file)
            self.syncs.append((begin, time.monotonic()))
        os.close(file)

    def longest(self, begin, end):
        return max((over - start for start, over in self.syncs if over >= begin and start <= end), default=0.0)

    def stop(self):
        self.stopping.set()
        self.thread.join()


def one_kill(cluster, both, probe):
    """Seconds until a write is acknowledged, and the longest sync of the disk meanwhile."""
    leader = wait_lease(cluster)
    process = cluster.master_processes[leader]
    time.sleep(random.random() * 0.1)
    guardian = guardian_of(process.pid)
    check(guardian, "the leader has no guardian")
    # Not waited for: the measurement begins here.
    if both:
        kill_together(process, guardian)
    else:
        process.popen.kill()
    since = time.monotonic()
    waited = until_put(others(cluster, leader), f"k{random.randrange(1 << 30)}")
    until = time.monotonic()
    process.popen.wait()
    process.start()
    return waited, probe.longest(since, until)


def kills(n, figures):
    for name, (lease, both, where) in KILLS.items():
        with tempfile.TemporaryDirectory(prefix="holdfast-leases-", dir=where, ignore_cleanup_errors=True) as folder, \
                Cluster(volumes=0, folder=folder, master_flags=["-leaseReads=on", f"-leaderLease={lease}"]) as cluster:
            probe = DiskProbe(pathlib.Path(folder))
            values = []
            try:
                for _ in range(n):
                    waited, longest = one_kill(cluster, both, probe)
                    values.append((waited * 1000, longest * 1000))
                    # A member that has just started reports what it may have granted before.
                    time.sleep(2.5 if lease == "2s" else 1)
            finally:
                probe.stop()
        times = [waited for waited, _ in values]
        late, beside = max(values)
        figures[f"kill.{name}"] = {"median_ms": quantile(times, 0.5), "p99_ms": quantile(times, 0.99), "n": len(times),
                                   "sync_beside_the_slowest_ms": beside}
        print(f"kill -9, {name:33} median {quantile(times, 0.5):7.1f} ms   p99 {quantile(times, 0.99):7.1f} ms   of {len(times)}"
              f"   (the slowest {late:.1f} ms, while a sync of the disk took {beside:.1f} ms)", flush=True)


def rate(address, path, seconds, script=None):
    argv = ["wrk", "-t", "1", "-c", "16", "-d", f"{seconds}s"] + (["-s", str(script)] if script else [])
    out = subprocess.run(argv + [f"http://{address}{path}"], capture_output=True, text=True, check=True).stdout
    check("Non-2xx" not in out, out)
    return float(re.search(r"Requests/sec:\s+([\d.]+)", out).group(1))


def reads(rounds, seconds, with_etcd, figures):
    clusters = {name: Cluster(volumes=0, master_flags=[f"-leaseReads={name}"]) for name in ("on", "off")}
    etcd = None
    folder = pathlib.Path(tempfile.mkdtemp(prefix="holdfast-leases-"))
    try:
        systems = {}
        for name, cluster in clusters.items():
            cluster.start()
            leader = wait_lease(cluster) if name == "on" else cluster.leader(20)
            until_put([cluster.masters[leader]], "key")
            put(Http(5), cluster.masters[leader], "key", b"x" * 64)
            systems["by lease" if name == "on" else "by rounds"] = (cluster.masters[leader], KV + "key", None)
        if with_etcd:
            etcd = Etcd()
            key = base64.b64encode(b"key").decode()
            leader = etcd.addresses[etcd.leader()]
            body = json.dumps({"key": key, "value": base64.b64encode(b"x" * 64).decode()})
            check(Http(5).request("POST", leader, "/v3/kv/put", body=body)[0] == 200, "etcd takes no put")
            for kind, serializable in (("serializable", True), ("linearizable", False)):
                script = folder / f"{kind}.lua"
                script.write_text('wrk.method = "POST"\nwrk.body = [[%s]]\n'
                                  % json.dumps({"key": key, "serializable": serializable}))
                systems[f"etcd, {kind}"] = (leader, "/v3/kv/range", script)
        rates = {name: [] for name in systems}
        for _ in range(rounds):
            for name, (address, path, script) in systems.items():
                rates[name].append(rate(address, path, seconds, script))
        for name, values in rates.items():
            figures[f"read.{name}"] = {"per_second": statistics.median(values)}
            print(f"reads, {name:20} {statistics.median(values):9.0f} a second", flush=True)
    finally:
        for cluster in clusters.values():
            cluster.stop()
        if etcd:
            etcd.close()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("-n", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=3)
    parser.add_argument("--only", default="kill,read")
    parser.add_argument("--without-etcd", action="store_true")
    parser.add_argument("--json", help="write the figures to this file")
    options = parser.parse_args()
    figures = {}
    if "kill" in options.only:
        kills(options.n, figures)
    if "read" in options.only:
        reads(options.rounds, options.seconds, not options.without_etcd, figures)
    if options.json:
        pathlib.Path(options.json).write_text(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
