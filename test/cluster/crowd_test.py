#!/usr/bin/env python3
"""Some hundreds of idle and slow connections at a master's and a volume server's ports (test/cluster/crowd.py): others are served as
before, the slow ones that keep on sending or reading are served too, and those that only hold a place are sent away.
How much they cost is measured in bench/load.py; here nothing is timed strictly."""
import os
import re
import shutil
import statistics
import time

from crowd import Crowd
from harness import Client, Cluster, Http, check, payload, run, until


def fids_of(client, count):
    first = client.assign(f"?count={count}")
    return first["url"], [first["fid"]] + [f"{first['fid']}_{i}" for i in range(1, count)]


def latencies(cluster, seconds):
    """Of uploads and reads through a client each, milliseconds, ten at least; whatever fails raises."""
    client, took = Client(cluster.masters), {"upload": [], "read": []}
    end, i = time.monotonic() + seconds, 0
    while time.monotonic() < end or i < 10:
        data = payload(i, 1000)
        begin = time.monotonic()
        fid = client.upload(data)
        middle = time.monotonic()
        check(client.read(fid) == data, f"{fid} reads otherwise")
        took["upload"].append(1000 * (middle - begin))
        took["read"].append(1000 * (time.monotonic() - middle))
        i += 1
    return took


def others_are_served():
    with Cluster(masters=1, volumes=1, host="127.0.0.1", sizes="1024") as cluster:
        cluster.wait_writable()
        client = Client(cluster.masters)
        large = client.upload(payload(1, 10 << 20))
        url, fids = fids_of(client, 100)
        calm = latencies(cluster, 1)
        master, volume = cluster.masters[0], cluster.volumes[0]
        before = [process.rss_mb() for process in (cluster.master_processes[0], cluster.volume_processes[0])]
        with Crowd(idle=[(master, 300), (volume, 300)], slow_heads=[(master, 100), (volume, 100)], slow_bodies=[(url, fids)],
                   slow_reads=[(volume, "/" + large, 100)], grpc=[(master, 200), (volume, 200)]) as crowd:
            crowd.settled()
            crowded = latencies(cluster, 3)
            counts = crowd.counts()
            check(counts["slow_reads"]["answers"].get("HTTP/1.1 200 OK", 0) >= 95, f"slow readers get no answer: {counts}")
            check(counts["slow_bodies"]["closed"] == 0 and counts["slow_reads"]["closed"] == 0 and counts["grpc"]["closed"] == 0,
                  f"those who are slow but at it were sent away: {counts}")
            memory = [process.rss_mb() for process in (cluster.master_processes[0], cluster.volume_processes[0])]
            # A head may take ten seconds.
            until("slow heads are answered with 408", lambda: crowd.counts()["slow_heads"]["answers"].get("HTTP/1.1 408 Request Timeout", 0) >= 190, 30)
            check(crowd.counts()["slow_bodies"]["closed"] == 0 and crowd.counts()["slow_reads"]["closed"] == 0, f"{crowd.counts()}")
        for what in calm:
            print(f"  {what}: {statistics.median(calm[what]):.2f} ms alone, {statistics.median(crowded[what]):.2f} ms beside 1,400 others")
        print(f"  memory: master {before[0]:.0f} -> {memory[0]:.0f} MB, volume server {before[1]:.0f} -> {memory[1]:.0f} MB")
        check(memory[0] - before[0] < 100 and memory[1] - before[1] < 200, f"the crowd costs too much memory: {before} {memory}")


def few_descriptors():
    """A crowd larger than the files that the processes may have open: idle ones give way, the gRPC port stays alive, and all else goes on."""
    if shutil.which("setpriv") is None or shutil.which("prlimit") is None:
        print("  no setpriv or prlimit: not tried")
        return
    bounded = ["setpriv", "--bounding-set=-sys_resource", "--inh-caps=-sys_resource"] if os.geteuid() == 0 else []
    bounded += ["prlimit", "--nofile=400:400"]
    cluster = Cluster(masters=1, volumes=1, host="127.0.0.1", sizes="1024")
    for process in cluster.processes():
        process.prefix = bounded
    with cluster:
        cluster.wait_writable()
        client = Client(cluster.masters)
        fid = client.upload(b"a file")
        master, volume = cluster.masters[0], cluster.volumes[0]
        check("Max open files            400" in open(f"/proc/{cluster.master_processes[0].pid}/limits").read(), "the limit is not there")
        with Crowd(idle=[(master, 500), (volume, 500)], grpc=[(master, 500), (volume, 500)]):
            time.sleep(4)
            latencies(cluster, 2)
            collection = client.upload(b"in a new volume", query="?collection=other")  # needs files, and gRPC's present connections
            for process in cluster.processes():
                used = len(os.listdir(f"/proc/{process.pid}/fd"))
                check(used < 400, f"{process.name} has {used} of 400 files open")
        for role, process in (("HTTP", cluster.volume_processes[0]), ("gRPC", cluster.master_processes[0])):
            check(re.search(role + ": .*open files.*ulimit -n", process.log()), f"{process.name} does not say it: {process.log()[-2000:]}")
        check(client.read(fid) == b"a file" and client.read(collection) == b"in a new volume", "what was uploaded")
        # And after it new gRPC connections are taken again: a volume server that comes now is one more.
        cluster.volume_processes[0].stop()
        cluster.volume_processes[0].start()
        until("the master hears of the volume server again", lambda: client.upload(b"afterwards"), 30)


run([others_are_served, few_descriptors])
