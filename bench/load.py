#!/usr/bin/env python3
"""(m) Three masters and 1,000 simulated volume servers with 1,000 volumes each, which report to all three as real ones do
(bench/load_servers.cc): the masters' memory and CPU, bytes of heartbeats, assigns a second, and the time without assigns when the
leader is killed. Then one real volume server with 10 million needles: its start, its memory and its open files.

    load.py [--servers 1000] [--volumes 1000] [--processes 4] [--rest 20] [--deaths 5] [--needles 10] [--in-volumes 10] [--index memory]
            [--only masters,needles]

As root it runs in a network of its own, so that what goes over loopback is the masters' and servers' alone; else heartbeats are
counted with whatever else this machine sends to itself.
"""
import argparse
import json
import os
import pathlib
import re
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "test/cluster"))
from harness import BIN, NETWORK_ERRORS, WEED, Cluster, Failure, Http, Process, check, free_port, until


class Servers:
    """Processes of load_servers, and on how many streams they are accepted."""

    def __init__(self, cluster, options):
        each = -(-options.servers // options.processes)
        self.reported = {}
        self.processes = []
        for first in range(0, options.servers, each):
            count = min(each, options.servers - first)
            popen = subprocess.Popen([str(BIN / "load_servers"), ",".join(cluster.masters), str(first), str(count), str(options.volumes),
                                      str(options.at_once)],
                                     stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
            self.processes.append(popen)
            threading.Thread(target=self.follow, args=(popen,), daemon=True).start()

    def follow(self, popen):
        for line in popen.stdout:
            self.reported[popen.pid] = int(line.split()[1])

    def accepted(self):
        check(all(popen.poll() is None for popen in self.processes), "a load_servers process has ended")
        return sum(self.reported.values())

    def stop(self):
        for popen in self.processes:
            popen.terminate()
            popen.wait()


def loopback_bytes():
    for line in open("/proc/net/dev"):
        if line.strip().startswith("lo:"):
            return int(line.split()[1])
    raise Failure("there is no loopback")


def volumes_known(address):
    """How many volumes this master would give places of: from the page's status of the topology."""
    status, answer = Http(timeout=30).json(address, "/dir/status")
    check(status == 200, f"/dir/status: {status}")
    return sum(node["Volumes"] for center in answer["Topology"]["DataCenters"] or [] for rack in center["Racks"] for node in rack["DataNodes"])


def assigns_per_second(address, seconds=5):
    if shutil.which("wrk") is None:
        return None
    out = subprocess.run(["wrk", "-t", "1", "-c", "32", "-d", f"{seconds}s", f"http://{address}/dir/assign"], capture_output=True, text=True).stdout
    bad = re.search(r"Non-2xx or 3xx responses: (\d+)", out)
    check(not bad, f"assigns were refused: {bad and bad.group(0)}")
    return float(re.search(r"Requests/sec:\s+([\d.]+)", out).group(1))


def gap_of_a_death(cluster):
    """Seconds from kill -9 of the leader to the end of the first assign, through any survivor, that began after it."""
    leader = cluster.leader(30)
    others = [address for i, address in enumerate(cluster.masters) if i != leader]
    http = {address: Http(timeout=0.3) for address in others}
    for address in others:
        http[address].request("GET", address, "/dir/assign")
    cluster.master_processes[leader].kill()
    begin = time.monotonic()
    while time.monotonic() < begin + 30:
        for address in others:
            try:
                status, _, _ = http[address].request("GET", address, "/dir/assign")
            except NETWORK_ERRORS:
                continue
            if status == 200:
                return leader, time.monotonic() - begin
    raise Failure("no assign within 30 s of the leader's death")


def rest(cluster, seconds):
    """Bytes a second over loopback, and of each master the share of a core, while nothing happens."""
    cpu = [process.cpu_seconds() for process in cluster.master_processes]
    sent, begin = loopback_bytes(), time.monotonic()
    time.sleep(seconds)
    took = time.monotonic() - begin
    return (loopback_bytes() - sent) / took, [100 * (process.cpu_seconds() - was) / took for process, was in zip(cluster.master_processes, cpu)]


def masters(options, result):
    wanted = options.servers * options.volumes
    with Cluster(masters=3, volumes=0, host="127.0.0.1", sizes="30000") as cluster:
        leader = cluster.leader()
        time.sleep(2)
        empty = [process.rss_mb() for process in cluster.master_processes]
        beats, _ = rest(cluster, 5)
        before, begin = loopback_bytes(), time.monotonic()
        servers = Servers(cluster, options)
        try:
            until("all servers are accepted by all masters", lambda: servers.accepted() == 3 * options.servers, 600)
            took = time.monotonic() - begin
            until("all masters know all volumes", lambda: all(volumes_known(address) == wanted for address in cluster.masters), 120)
            full = loopback_bytes() - before - beats * took
            print(f"{options.servers:,} servers with {options.volumes:,} volumes each, accepted by three masters after {took:.1f} s; "
                  f"a full report is {full / options.servers / 3 / 1024:.0f} KiB, all of them {full / 2**20:.0f} MiB", flush=True)
            time.sleep(10)  # adopted, and the pace of the pulses agreed on
            memory = [process.rss_mb() for process in cluster.master_processes]
            sent, cpu = rest(cluster, options.rest)
            sent -= beats
            print(f"memory of a master {statistics.median(memory):.0f} MB (empty {statistics.median(empty):.0f}), most {max(memory):.0f}")
            leader = cluster.leader()
            followers = [share for i, share in enumerate(cpu) if i != leader]
            print(f"at rest: leader {cpu[leader]:.1f} % of a core, followers {statistics.median(followers):.1f} %; heartbeats {sent / 1024:,.0f} "
                  f"KiB a second in all, {sent / options.servers / 3:.0f} bytes a second of each server to each master", flush=True)
            rate = assigns_per_second(cluster.masters[leader])
            if rate is not None:
                print(f"assigns over HTTP {rate:,.0f}/s")
            status, answer = Http().json(cluster.masters[leader], f"/dir/lookup?volumeId={wanted}")
            check(status == 200, f"the last volume is found: {answer}")
            gaps, back = [], []
            for _ in range(options.deaths):
                dead, gap = gap_of_a_death(cluster)
                gaps.append(gap * 1000)
                process, begin = cluster.master_processes[dead], time.monotonic()
                process.start()
                until("the master knows all volumes again", lambda: volumes_known(cluster.masters[dead]) == wanted, 300)
                back.append(time.monotonic() - begin)
                time.sleep(3)
            if gaps:
                print(f"kill -9 of the leader: assigns away for {statistics.median(gaps):.0f} ms (worst {max(gaps):.0f} of {len(gaps)}); started "
                      f"again it knows every volume after {statistics.median(back):.1f} s (worst {max(back):.1f})")
            result["masters"] = {"servers": options.servers, "volumes": options.volumes, "accepted_s": took, "report_bytes": full / options.servers / 3,
                                 "memory_mb": memory, "empty_mb": empty, "cpu_percent": cpu, "heartbeat_bytes_per_s": sent, "assigns_per_s": rate,
                                 "gaps_ms": gaps, "back_s": back}
        finally:
            servers.stop()


def needles(options, result):
    folder = pathlib.Path(tempfile.mkdtemp(prefix="holdfast-load-"))
    try:
        (folder / "v").mkdir()
        volumes = options.in_volumes or options.needles
        each = options.needles * 1000000 // volumes
        subprocess.run([str(BIN / "fill_volumes"), str(folder / "v"), str(volumes), str(each)], check=True)
        took, memory, files = [], [], 0
        for _ in range(3 if options.index == "memory" else 4):
            port = free_port()
            argv = [WEED, "-logtostderr=true", "volume", "-ip=127.0.0.1", f"-port={port}", "-dir=./v", f"-max={volumes + 100}", "-preStopSeconds=0",
                    f"-index={options.index}", f"-mserver=127.0.0.1:{free_port()}"]
            begin = time.monotonic()
            process = Process("volume", argv, folder, {"TMPDIR": str(folder)}).start()
            http = Http(timeout=5)
            try:
                last = f"/{volumes},{volumes * each:x}00000007"
                until("the last needle is read", lambda: http.request("GET", f"127.0.0.1:{port}", last)[0] == 200, 300)
                took.append(time.monotonic() - begin)
                memory.append(process.rss_mb())
                files = len(os.listdir(f"/proc/{process.pid}/fd"))
                status, answer = http.json(f"127.0.0.1:{port}", "/status")
                check(sum(one["FileCount"] for one in answer["Volumes"]) == volumes * each, f"/status: {answer['Volumes'][:1]}")
            finally:
                process.stop()
        if options.index != "memory":
            print(f"the first start made the index on disk: {took.pop(0):.2f} s, {memory.pop(0):.0f} MB")
        print(f"{options.needles} million needles in {volumes} volumes, -index={options.index}: started and read after "
              f"{statistics.median(took):.2f} s (worst {max(took):.2f}), {statistics.median(memory):.0f} MB, {files} open files")
        result["needles"] = {"millions": options.needles, "volumes": volumes, "index": options.index, "start_s": took, "memory_mb": memory,
                             "open_files": files}
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--servers", type=int, default=1000)
    parser.add_argument("--volumes", type=int, default=1000)
    parser.add_argument("--processes", type=int, default=4)
    parser.add_argument("--at-once", type=int, default=25, help="servers of each process that may wait for an answer; 1000: all come at one instant")
    parser.add_argument("--rest", type=float, default=20)
    parser.add_argument("--deaths", type=int, default=5)
    parser.add_argument("--needles", type=int, default=10, help="millions")
    parser.add_argument("--in-volumes", type=int, default=0, help="volumes of that server; 0: one for each million")
    parser.add_argument("--index", default="memory", help="-index of the volume server with many needles")
    parser.add_argument("--only", default="masters,needles")
    parser.add_argument("--json")
    options = parser.parse_args()
    if os.geteuid() == 0 and "HOLDFAST_LOAD_APART" not in os.environ and shutil.which("unshare") and shutil.which("ip"):
        if subprocess.run(["unshare", "-n", "true"], capture_output=True).returncode == 0:
            os.environ["HOLDFAST_LOAD_APART"] = "1"
            os.execvp("unshare", ["unshare", "-n", "sh", "-c", 'ip link set lo up && exec "$@"', "load", sys.executable, *sys.argv])
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    result = {}
    for part in options.only.split(","):
        {"masters": masters, "needles": needles}[part](options, result)
    if options.json:
        pathlib.Path(options.json).write_text(json.dumps(result))


if __name__ == "__main__":
    main()
