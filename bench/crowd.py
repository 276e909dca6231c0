#!/usr/bin/env python3
"""(n) What thousands of idle and slow connections cost the others: assigns, uploads and reads of 1 KB by one client at a time (latency)
and assigns and reads by `wrk` (rate), with the crowd of test/cluster/crowd.py at a master's and a volume server's ports and without,
in turns. Every ratio is the median of those of the rounds; above 1 the crowd costs something.

    crowd.py [--idle 3000] [--slow 300] [--grpc 1000] [--rounds 5] [--seconds 3]

--idle is of each HTTP port, --grpc of each gRPC port, --slow of each kind: heads to either port, bodies and reads of 10 MB at a kilobyte
a second.
"""
import argparse
import json
import pathlib
import re
import resource
import shutil
import statistics
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "test/cluster"))
from crowd import Crowd
from harness import Client, Cluster, check, payload, quantile


def latencies(cluster, seconds):
    """Milliseconds of each kind of request, one after the other."""
    client, data = Client(cluster.masters), payload(1, 1000)
    took = {"assign": [], "upload": [], "read": []}
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        at = [time.monotonic()]
        assigned = client.assign()
        at.append(time.monotonic())
        client.put(assigned, data)
        at.append(time.monotonic())
        client.read(assigned["fid"])
        at.append(time.monotonic())
        for kind, begin, until in zip(took, at, at[1:]):
            took[kind].append(1000 * (until - begin))
    return {f"{kind}, {name}": quantile(values, q) for kind, values in took.items() for name, q in (("median", 0.5), ("p99", 0.99))}


def rates(urls, seconds):
    if shutil.which("wrk") is None:
        return {}
    out = {}
    for kind, url in urls.items():
        text = subprocess.run(["wrk", "-t", "1", "-c", "32", "-d", f"{seconds:.0f}s", url], capture_output=True, text=True).stdout
        check("Non-2xx" not in text, f"{kind}: {text}")
        out[f"{kind} a second"] = float(re.search(r"Requests/sec:\s+([\d.]+)", text).group(1))
    return out


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--idle", type=int, default=3000)
    parser.add_argument("--slow", type=int, default=300)
    parser.add_argument("--grpc", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--json")
    options = parser.parse_args()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with Cluster(masters=1, volumes=1, host="127.0.0.1", sizes="4096") as cluster:
        cluster.wait_writable()
        client = Client(cluster.masters)
        master, volume = cluster.masters[0], cluster.volumes[0]
        small, large = client.upload(payload(2, 1000)), client.upload(payload(1, 10 << 20))
        urls = {"assigns": f"http://{master}/dir/assign", "reads": f"http://{volume}/{small}"}
        processes = (cluster.master_processes[0], cluster.volume_processes[0])
        before = [process.rss_mb() for process in processes]
        alone, beside, memory, cpu = [], [], [], []
        for _ in range(options.rounds):
            alone.append({**latencies(cluster, options.seconds), **rates(urls, options.seconds)})
            first = client.assign(f"?count={options.slow}")
            fids = [first["fid"]] + [f"{first['fid']}_{i}" for i in range(1, options.slow)]
            with Crowd(idle=[(master, options.idle), (volume, options.idle)], slow_heads=[(master, options.slow), (volume, options.slow)],
                       slow_bodies=[(first["url"], fids)], slow_reads=[(volume, "/" + large, options.slow)],
                       grpc=[(master, options.grpc), (volume, options.grpc)]) as crowd:
                crowd.settled()
                begin, was = time.monotonic(), [process.cpu_seconds() for process in processes]
                time.sleep(options.seconds)
                cpu.append([100 * (process.cpu_seconds() - then) / (time.monotonic() - begin) for process, then in zip(processes, was)])
                beside.append({**latencies(cluster, options.seconds), **rates(urls, options.seconds)})
                memory.append([process.rss_mb() for process in processes])
                counts = crowd.counts()
        total = 2 * options.idle + 4 * options.slow + 2 * options.grpc
        print(f"beside {total:,} connections: {2 * options.idle:,} idle, {4 * options.slow:,} slow, {2 * options.grpc:,} idle by gRPC")
        for kind in alone[0]:
            fast, slow = [one[kind] for one in alone], [one[kind] for one in beside]
            ratio = statistics.median(b / a if "second" not in kind else a / b for a, b in zip(fast, slow))
            shown = ["{:,.0f}" if "second" in kind else "{:.2f} ms"] * 2
            print(f"{kind}: alone " + shown[0].format(statistics.median(fast)) + ", beside them " + shown[1].format(statistics.median(slow)) +
                  f": {ratio:.2f}")
        for i, name in enumerate(("master", "volume server")):
            print(f"{name}: {before[i]:.0f} MB before, {statistics.median(one[i] for one in memory):.0f} MB beside them; they cost it "
                  f"{statistics.median(one[i] for one in cpu):.1f} % of a core")
        print(f"closed by the servers and back a second later, in the last round: { {kind: one['closed'] for kind, one in counts.items()} }", flush=True)
        if options.json:
            pathlib.Path(options.json).write_text(json.dumps({"alone": alone, "beside": beside, "memory_mb": memory, "cpu_percent": cpu}))


if __name__ == "__main__":
    main()
