#!/usr/bin/env python3
"""(b), (c), (e): reads, writes and assigns per second and CPU per request, as ratios against nginx and against a bare
epoll loop measured in the same run. Every server is pinned to one core, wrk to the others; the systems take turns,
medians are reported.

    throughput.py [--rounds 5] [--seconds 3] [--files 100000] [--only read,write,assign]
"""
import argparse
import json
import os
import pathlib
import random
import re
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "test/cluster"))
from harness import BIN, WEED, Client, Cluster, Http, NETWORK_ERRORS, Process, check, free_port

SERVER_CORE = "0"
LOAD_CORES = ",".join(str(i) for i in range(1, min(os.cpu_count(), 4))) or "0"
LOAD_THREADS = max(1, min(os.cpu_count(), 4) - 1)
PIN = ("taskset", "-c", SERVER_CORE)
OPEN_FILES_MAX = resource.getrlimit(resource.RLIMIT_NOFILE)[1]


def cpu_of(pids):
    total = 0
    for pid in pids:
        fields = open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()
        total += int(fields[11]) + int(fields[12])
    return total / os.sysconf("SC_CLK_TCK")


def wrk(address, pids, seconds, script=None, path="/", env=None, connections=32, threads=None):
    """(requests per second, server CPU in us per request)."""
    argv = ["taskset", "-c", LOAD_CORES, "wrk", "-t", str(threads or LOAD_THREADS), "-c", str(connections), "-d",
            f"{seconds}s"]
    if script:
        argv += ["-s", str(HERE / script)]
    argv += [f"http://{address}{path}"]
    before = cpu_of(pids)
    out = subprocess.run(argv, capture_output=True, text=True, env={**os.environ, **(env or {})}).stdout
    used = cpu_of(pids) - before
    done = int(re.search(r"(\d+) requests in", out).group(1))
    bad = re.search(r"Non-2xx or 3xx responses: (\d+)", out)
    check(not bad, f"wrk {address}{path}: {bad and bad.group(0)}")
    rate = float(re.search(r"Requests/sec:\s+([\d.]+)", out).group(1))
    return rate, used / done * 1e6


def children(pid):
    out = subprocess.run(["ps", "-o", "pid=", "--ppid", str(pid)], capture_output=True, text=True).stdout.split()
    return [pid] + [int(p) for p in out]


class Nginx:
    """One nginx worker that serves `files`; `cache` is how many files it may keep open, 0 for none."""

    def __init__(self, folder, files, cache):
        self.folder = folder / ("nginx-cache" if cache else "nginx")
        self.folder.mkdir()
        self.port = free_port()
        self.address = f"127.0.0.1:{self.port}"
        conf = self.folder / "nginx.conf"
        cache_lines = f"open_file_cache max={cache} inactive=60m; open_file_cache_valid 60m; open_file_cache_min_uses 1;"
        conf.write_text(f"""daemon off; master_process off; worker_processes 1; pid {self.folder}/pid; error_log {self.folder}/error.log;
worker_rlimit_nofile {OPEN_FILES_MAX};
events {{ worker_connections 1024; }}
http {{ access_log off; keepalive_requests 100000000; default_type application/octet-stream; tcp_nodelay on;
client_body_temp_path {self.folder}; proxy_temp_path {self.folder}; fastcgi_temp_path {self.folder};
uwsgi_temp_path {self.folder}; scgi_temp_path {self.folder};
{cache_lines if cache else ''}
server {{ listen {self.address}; root {files}; }} }}
""")
        self.process = Process("nginx", ["nginx", "-c", str(conf), "-p", str(self.folder)], self.folder, prefix=PIN)
        self.process.start()

    def pids(self):
        return [self.process.pid]


def wait_http(address, path="/"):
    end = time.monotonic() + 20
    while True:
        try:
            return Http(1.0).request("GET", address, path)
        except NETWORK_ERRORS:
            check(time.monotonic() < end, f"{address} does not answer")
            time.sleep(0.02)


def one_server(folder, extra_volume=(), replicas=1):
    """A master and `replicas` volume servers, each pinned to the server core."""
    cluster = Cluster(masters=1, volumes=replicas, folder=folder, sizes="1024", volume_flags=["-max=20", *extra_volume])
    for process in cluster.processes():
        process.prefix = list(PIN)
    cluster.start()
    cluster.wait_writable()
    return cluster


def fill(cluster, count, size=1024):
    """`count` files over a few volumes, uploaded by wrk; returns their paths. The data is not compressible."""
    client = Client(cluster.masters)
    paths = []
    per = (count + 4) // 5
    by_server = {}
    for _ in range(5):
        assigned = client.assign(f"count={per}")
        group = [f"/{assigned['fid']}"] + [f"/{assigned['fid']}_{i}" for i in range(1, per)]
        by_server.setdefault(assigned["url"], []).extend(group)
        paths += group
    for url, group in by_server.items():
        http = Http(10)
        data = random.Random(1).randbytes(size)
        for path in group:
            status, _, body = http.request("PUT", url, path, body=data,
                                           headers={"Content-Type": "application/octet-stream"})
            check(status == 201, f"PUT {url}{path}: {status} {body[:200]}")
    return paths, cluster.volumes[0]


def reads(folder, rounds, seconds, files):
    static = folder / "static"
    data = random.Random(1).randbytes(1024)
    names = [f"/{i % 256:02x}/{i}" for i in range(files)]
    for name in names:
        target = static / name[1:]
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)
    big = folder / "bare.dat"
    big.write_bytes(data * files)
    (folder / "names").write_text("\n".join(names) + "\n")
    (folder / "numbers").write_text("\n".join(f"/{i}" for i in range(files)) + "\n")
    # nginx holds a descriptor for each cached file, as far as the machine lets it. It reads no more files than that, so
    # that all its reads are hits; where there are fewer than the others read, holdfast is measured on as many, too.
    cacheable = min(files, OPEN_FILES_MAX - 1000)
    check(cacheable > 0, f"a hard limit of {OPEN_FILES_MAX} open files is too low for nginx's file cache")
    (folder / "cached-names").write_text("\n".join(names[:cacheable]) + "\n")
    if cacheable < files:
        print(f"nginx+open_file_cache reads {cacheable} files only: the limit of open files is {OPEN_FILES_MAX}", flush=True)
    plain, cached = Nginx(folder, static, 0), Nginx(folder, static, cacheable)
    bare_port = free_port()
    bare = Process("bare_loop", [str(BIN / "bare_loop"), str(bare_port), str(big), str(files)], folder, prefix=PIN)
    cluster = None
    try:
        bare.start()
        cluster = one_server(folder / "weed-read")
        paths, address = fill(cluster, files)
        (folder / "paths").write_text("\n".join(paths) + "\n")
        systems = {
            "holdfast": (address, [cluster.volume_processes[0].pid], "paths"),
            "nginx": (plain.address, plain.pids(), "names"),
            "nginx+open_file_cache": (cached.address, cached.pids(), "cached-names"),
            "bare epoll loop": (f"127.0.0.1:{bare_port}", [bare.pid], "numbers"),
        }
        beside = {name: "holdfast" for name in systems}
        if cacheable < files:
            (folder / "fewer-paths").write_text("\n".join(paths[:cacheable]) + "\n")
            systems[f"holdfast, {cacheable} files"] = (*systems["holdfast"][:2], "fewer-paths")
            beside["nginx+open_file_cache"] = f"holdfast, {cacheable} files"
        for where, _, _ in systems.values():
            wait_http(where, "/1")
        rates, costs = {n: [] for n in systems}, {n: [] for n in systems}
        for turn in range(rounds + 1):
            for name, (where, pids, list_name) in systems.items():
                rate, cost = wrk(where, pids, seconds, "read.lua", env={"PATHS": str(folder / list_name)})
                if turn:  # the first round warms caches
                    rates[name].append(rate)
                    costs[name].append(cost)
    finally:
        for process in (plain.process, cached.process, bare):
            process.kill()
        if cluster is not None:
            cluster.stop()
    result = {n: {"per_second": statistics.median(rates[n]), "cpu_us": statistics.median(costs[n])} for n in systems}
    for name in systems:
        line = f"read 1 KB  {name:24} {result[name]['per_second']:9.0f}/s  {result[name]['cpu_us']:6.1f} us CPU each"
        if name in beside and beside[name] != name:
            by_rate = statistics.median(a / b for a, b in zip(rates[beside[name]], rates[name]))
            by_cost = statistics.median(b / a for a, b in zip(costs[beside[name]], costs[name]))
            line += f"   {beside[name]} is {by_rate:.2f} of it, by CPU {by_cost:.2f}"
        print(line, flush=True)
    return result


def write_once(cluster, folder, body, seconds, query=""):
    """POSTs 1 KB files for `seconds` to one volume server; CPU of all volume servers per write."""
    client = Client(cluster.masters)
    assigned = client.assign(f"count=2000000{query}")
    group = [f"/{assigned['fid']}_{i}" for i in range(1, 400000)]
    (folder / "write-paths").write_text("\n".join(group) + "\n")
    pids = [p.pid for p in cluster.volume_processes]
    return wrk(assigned["url"], pids, seconds, "write.lua", threads=1,
               env={"PATHS": str(folder / "write-paths"), "BODY": body})


def writes(folder, rounds, seconds, nginx_cost):
    result = {}
    for copies, query in ((1, ""), (3, "&replication=002")):
        cluster = one_server(folder / f"weed-write{copies}", replicas=copies)
        try:
            if copies == 3:
                Client(cluster.masters).upload(b"grow", "replication=002")
            for body in ("raw", "multipart"):
                runs = [write_once(cluster, folder, body, seconds, query) for _ in range(rounds)]
                rate, cost = statistics.median(r for r, _ in runs), statistics.median(c for _, c in runs)
                result[f"{copies} copies {body}"] = {"per_second": rate, "cpu_us": cost}
                print(f"write 1 KB {body:9} {copies} copies {rate:9.0f}/s  {cost:6.1f} us CPU each", flush=True)
            if copies == 1:
                leader = cluster.masters[0]
                runs = [wrk(leader, [cluster.master_processes[0].pid], seconds, path="/dir/assign")
                        for _ in range(rounds)]
                rate, cost = statistics.median(r for r, _ in runs), statistics.median(c for _, c in runs)
                result["assign"] = {"per_second": rate, "cpu_us": cost}
                print(f"assign (HTTP)               {rate:9.0f}/s  {cost:6.1f} us CPU each", flush=True)
        finally:
            cluster.stop()
    if nginx_cost:
        for body in ("raw", "multipart"):
            both = result["assign"]["cpu_us"] + result[f"1 copies {body}"]["cpu_us"]
            print(f"assign + {body} POST: {both:.1f} us CPU = {both / nginx_cost:.2f} times nginx's per read", flush=True)
    return result


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=3)
    parser.add_argument("--files", type=int, default=100000)
    parser.add_argument("--only", default="read,write")
    parser.add_argument("--json")
    options = parser.parse_args()
    folder = pathlib.Path(tempfile.mkdtemp(prefix="holdfast-bench-"))
    figures = {}
    try:
        if "read" in options.only:
            figures["read"] = reads(folder, options.rounds, options.seconds, options.files)
        if "write" in options.only:
            nginx_cost = figures.get("read", {}).get("nginx", {}).get("cpu_us")
            figures["write"] = writes(folder, options.rounds, options.seconds, nginx_cost)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    if options.json:
        pathlib.Path(options.json).write_text(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
