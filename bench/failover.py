#!/usr/bin/env python3
"""(a) How long uploads are away when the leader dies, beside etcd, in turn, by the same client.

For each of kill -9, SIGTERM and SIGSTOP the leader of a running cluster is hit N times; the gap is the time from the
signal to the end of the first write that began after it, tried through both surviving members without pause. etcd
(three nodes, its defaults) is hit in the same way, a put through its JSON gateway standing for the upload.

    failover.py [-n 100] [--modes kill,term,stop] [--without-etcd]
"""
import argparse
import base64
import json
import pathlib
import random
import shutil
import signal
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "test/cluster"))
from harness import (Cluster, Failure, Http, NETWORK_ERRORS, Prober, Process, check, free_port, quantile, upload_once)

SIGNALS = {"kill": signal.SIGKILL, "term": signal.SIGTERM, "stop": signal.SIGSTOP}


class Holdfast:
    name = "holdfast"

    def __init__(self):
        self.cluster = Cluster()
        self.cluster.start()
        self.cluster.wait_writable()
        self.addresses, self.processes = self.cluster.masters, self.cluster.master_processes

    def leader(self):
        return self.cluster.leader(20)

    one_try = staticmethod(upload_once)

    def close(self):
        self.cluster.stop()


class Etcd:
    name = "etcd"

    def __init__(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="holdfast-etcd-"))
        clients, peers = [free_port() for _ in range(3)], [free_port() for _ in range(3)]
        self.addresses = [f"127.0.0.1:{p}" for p in clients]
        initial = ",".join(f"n{i}=http://127.0.0.1:{p}" for i, p in enumerate(peers))
        self.processes = []
        for i in range(3):
            self.processes.append(Process(f"n{i}", [
                "etcd", "--name", f"n{i}", "--data-dir", f"n{i}.etcd", "--initial-cluster", initial,
                "--initial-cluster-state", "new", "--initial-cluster-token", self.folder.name,
                "--listen-peer-urls", f"http://127.0.0.1:{peers[i]}", "--initial-advertise-peer-urls",
                f"http://127.0.0.1:{peers[i]}", "--listen-client-urls", f"http://{self.addresses[i]}",
                "--advertise-client-urls", f"http://{self.addresses[i]}"], self.folder).start())
        self.leader()

    def leader(self):
        end = time.monotonic() + 30
        client = Http(0.5)
        while time.monotonic() < end:
            leaders = {}
            for i, address in enumerate(self.addresses):
                try:
                    _, _, data = client.request("POST", address, "/v3/maintenance/status", body=b"{}")
                    status = json.loads(data)
                    leaders[i] = (status["leader"], status["header"]["member_id"])
                except (*NETWORK_ERRORS, ValueError, KeyError):
                    pass
            named = {leader for leader, _ in leaders.values()}
            if len(leaders) == 3 and len(named) == 1:
                for i, (leader, self_id) in leaders.items():
                    if leader == self_id:
                        return i
            time.sleep(0.02)
        raise Failure("etcd has no leader")

    @staticmethod
    def one_try(client, address):
        body = json.dumps({"key": base64.b64encode(b"k%d" % random.randrange(1 << 30)).decode(),
                           "value": base64.b64encode(b"x" * 64).decode()})
        status, _, data = client.request("POST", address, "/v3/kv/put", body=body)
        if status != 200:
            raise Failure(f"put: {status} {data[:100]}")

    def close(self):
        for process in self.processes:
            process.signal(signal.SIGCONT)
            process.kill()
        shutil.rmtree(self.folder, ignore_errors=True)


def one_death(system, mode):
    leader = system.leader()
    process = system.processes[leader]
    prober = Prober([a for i, a in enumerate(system.addresses) if i != leader], system.one_try)
    time.sleep(0.15 + random.random() * 0.1)
    since = time.monotonic()
    process.signal(SIGNALS[mode])
    try:
        return prober.gap(since)
    finally:
        prober.stop()
        if mode == "stop":
            process.signal(signal.SIGCONT)
        else:
            process.popen.wait(20)
            process.start()
        time.sleep(1)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("-n", type=int, default=100)
    parser.add_argument("--modes", default="kill,term,stop")
    parser.add_argument("--without-etcd", action="store_true")
    parser.add_argument("--json", help="write the figures to this file")
    options = parser.parse_args()
    systems = [Holdfast()] + ([] if options.without_etcd else [Etcd()])
    figures = {}
    try:
        for mode in options.modes.split(","):
            gaps = {system.name: [] for system in systems}
            for turn in range(options.n):
                for system in systems:
                    gaps[system.name].append(one_death(system, mode) * 1000)
                if sys.stderr.isatty():
                    print(f"\r{mode} {turn + 1}/{options.n}", end="", file=sys.stderr)
            for system in systems:
                values = gaps[system.name]
                figures[f"{mode}.{system.name}"] = {"median_ms": quantile(values, 0.5), "p99_ms": quantile(values, 0.99),
                                                    "worst_ms": max(values), "n": len(values)}
                print(f"{mode:5} {system.name:9} median {quantile(values, 0.5):8.1f} ms   p99 {quantile(values, 0.99):8.1f} ms"
                      f"   worst {max(values):8.1f} ms   of {len(values)}", flush=True)
            if len(systems) == 2:
                ratio = quantile(gaps["etcd"], 0.5) / quantile(gaps["holdfast"], 0.5)
                print(f"{mode:5} etcd's median is {ratio:.1f} times ours", flush=True)
    finally:
        for system in systems:
            system.close()
    if options.json:
        pathlib.Path(options.json).write_text(json.dumps(figures, indent=1))
    check(figures, "nothing was measured")


if __name__ == "__main__":
    main()
