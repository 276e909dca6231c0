#!/usr/bin/env python3
"""What operators look at: the access log and its rotation, /debug, a Grafana board whose every query names a metric that a
cluster serves, and pings from one server to another."""
import json
import re
import signal
import time

from harness import ROOT, Client, Cluster, Failure, Http, check, free_port, run, until
from shell_test import shell
from volume_move_test import rpc

LINE = re.compile(r'^(\S+) - - \[\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d \+0000\] "([A-Z]+) (\S+) HTTP/1\.1" (\d{3}) (\d+) "[^"]*" "[^"]*" '
                  r'\d+\.\d{6} (\S+) (\S+)$')


def lines(path):
    return [LINE.match(line) for line in path.read_text().splitlines()] if path.exists() else []


def requests_leave_a_line_and_the_file_can_be_moved():
    cluster = Cluster(masters=1, volumes=2, master_flags=("-defaultReplication=001", "-accessLog=./master.log"), volume_flags=("-accessLog=./volumes.log",))
    with cluster:
        cluster.wait_writable()
        client = Client(cluster.masters)
        at = client.assign()
        http = Http(5)
        status, headers, _ = http.request("PUT", at["url"], f"/{at['fid']}?jwt=secret", b"hello", {"Content-Type": "a/b"})
        check(status == 201, f"PUT: {status}")
        status, headers, _ = http.request("GET", at["url"], "/" + at["fid"], headers={"X-Amz-Request-Id": "mine"})
        log, master = cluster.folder / "volumes.log", cluster.folder / "master.log"
        until("a line of the read", lambda: any(m and m[2] == "GET" and m[3] == "/" + at["fid"] for m in lines(log)))
        check(all(lines(log)) and all(lines(master)), "every line has its form")
        read = next(m for m in lines(log) if m[2] == "GET" and m[3] == "/" + at["fid"])
        check(read.group(1) in ("127.0.0.1", "::1"), f"{read.groups()}")
        check(read.groups()[1:] == ("GET", "/" + at["fid"], "200", "5", headers["x-amz-request-id"], "mine"), f"{read.groups()}")
        put = next(m for m in lines(log) if m[2] == "PUT" and "jwt" in m[3])
        check(put[3] == f"/{at['fid']}?jwt=...", f"a token was written: {put[0]}")
        copy = until("the copy's line", lambda: [m for m in lines(log) if m[3].startswith(f"/{at['fid']}?") and "type=replicate" in m[3]])
        check(len(copy) == 1 and copy[0][7] == put[6], "the copy's line names the request it came from")
        until("a line of the assign", lambda: any(m and m[3] == "/dir/assign" and m[4] == "200" for m in lines(master)))

        log.rename(log.with_suffix(".1"))
        for process in cluster.volume_processes:
            process.signal(signal.SIGHUP)
        until("a new file", log.exists)
        before = len(lines(log.with_suffix(".1")))
        http.request("GET", cluster.volumes[0], "/healthz")
        http.request("GET", cluster.volumes[1], "/readyz")
        until("lines in it", lambda: {m[3] for m in lines(log)} >= {"/healthz", "/readyz"})
        check(len(lines(log.with_suffix(".1"))) == before, "the old one stays as it was")


def debug_is_off_unless_asked_for():
    port = free_port()
    with Cluster(masters=1, volumes=1, volume_flags=("-debug", f"-debug.port={port}")) as cluster:
        cluster.wait_writable()
        http, at = Http(5), f"127.0.0.1:{port}"
        status, _, body = http.request("GET", at, "/debug/threads")
        check(status == 200 and re.search(rb"^ *\d+ http\d* +[RS] ", body, re.M), f"{status} {body[:300]}")
        check(b"VmRSS:" in http.request("GET", at, "/debug/memory")[2], "memory")
        check(http.request("GET", at, "/debug/verbosity")[2] == b"0\n", "verbosity")
        check(http.request("POST", at, "/debug/verbosity?v=2")[2] == b"2\n", "is set")
        check(http.request("POST", at, "/debug/verbosity?v=x")[0] == 400, "to a number only")
        check(http.request("GET", at, "/debug/pprof/profile")[0] == 501 and http.request("GET", at, "/metrics")[0] == 404, "nothing else")
        for server in (cluster.volumes[0], cluster.masters[0]):
            check(http.request("GET", server, "/debug/threads")[0] in (400, 404), f"not on the main port of {server}")


def every_query_of_the_board_names_a_metric_that_is_served():
    board = json.loads((ROOT / "share/grafana/holdfast.json").read_text())
    with Cluster(masters=3, volumes=2, master_flags=("-defaultReplication=001",)) as cluster:
        cluster.wait_writable()
        client = Client(cluster.masters)
        fid = client.upload(b"a file")
        client.read(fid)
        served = set()
        for server in cluster.masters + cluster.volumes:
            status, _, text = Http(5).request("GET", server, "/metrics")
            check(status == 200, f"/metrics of {server}: {status}")
            served |= set(re.findall(r"^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{| )", text.decode(), re.M))
        queries = [(panel["title"], target["expr"]) for panel in board["panels"] for target in panel.get("targets", [])]
        queries += [(variable["name"], variable["query"]) for variable in board["templating"]["list"] if variable["type"] == "query"]
        check(len(queries) > 40, f"{len(queries)} queries")
        for title, query in queries:
            named = set(re.findall(r"\b(?:SeaweedFS|holdfast|process)_[a-zA-Z0-9_]+", query))
            check(named, f"{title}: names no metric: {query}")
            check(named <= served, f"{title}: nobody serves {named - served}")
        ids = [panel["id"] for panel in board["panels"]]
        check(len(ids) == len(set(ids)), "ids of panels are unique")


def metric(server, name, **labels):
    """The sum of a metric's samples that have these labels; nothing when there is none."""
    text = Http(5).request("GET", server, "/metrics")[2].decode()
    found = [float(value) for have, value in re.findall(rf"^{name}(?:{{(.*)}})? (\S+)$", text, re.M)
             if all(f'{key}="{wanted}"' in have for key, wanted in labels.items())]
    return sum(found) if found else None


def missing_copies_broken_reports_and_scrubs_are_counted():
    with Cluster(masters=1, volumes=2) as cluster:
        cluster.wait_writable()
        master, server = cluster.masters[0], cluster.volumes[0]
        client = Client(cluster.masters)
        volume = int(client.upload(b"a file", "replication=001&collection=two").split(",")[0])
        short = "SeaweedFS_master_under_replicated_volumes"
        until("all have their copies", lambda: metric(master, short, collection="two", rp="001") == 0)
        cluster.volume_processes[1].kill()
        until("a copy is missing", lambda: (metric(master, short, collection="two", rp="001") or 0) > 0)
        check(metric(server, "SeaweedFS_volumeServer_scrub_last_time_seconds", mode="full") is None, "nothing was scrubbed yet")
        before = time.time()
        shell(cluster, f"lock\nvolume.scrub -volumeId={volume}\n")
        check(before - 1 < metric(server, "SeaweedFS_volumeServer_scrub_last_time_seconds", mode="full") < time.time() + 1, "when")
        check(metric(server, "SeaweedFS_volumeServer_scrub_volume_failures", mode="full") == 0, "nothing is broken")
        cluster.master_processes[0].kill()
        cluster.master_processes[0].start()
        cluster.leader()
        until("the broken report is counted",
              lambda: metric(server, "SeaweedFS_volumeServer_master_disconnections", address=master) == 1)


def volume_servers_ping_for_others():
    with Cluster(masters=1, volumes=2) as cluster:
        cluster.wait_writable()
        one, other = cluster.volumes
        for target, kind in (("", ""), (other, "volumeServer"), (cluster.masters[0], "master")):
            told, = rpc(one, "Ping", {"target": target, "target_type": kind})
            times = [int(told[name]) for name in ("start_time_ns", "remote_time_ns", "stop_time_ns")]
            check(times == sorted(times) and times[0] > 0, f"{kind}: {told}")
        for target, kind, words in (("nowhere", "master", ": 3 unknown ping target nowhere of type master"),
                                    (other, "broker", f": 3 unknown ping target {other} of type broker"),
                                    (f"127.0.0.1:{free_port()}", "volumeServer", ": 2 ping volumeServer 127.0.0.1:")):
            try:
                rpc(one, "Ping", {"target": target, "target_type": kind})
                check(False, f"{target} answered")
            except Failure as failure:
                check(words in str(failure), f"{target}: {failure}")


if __name__ == "__main__":
    run([missing_copies_broken_reports_and_scrubs_are_counted, volume_servers_ping_for_others,
         requests_leave_a_line_and_the_file_can_be_moved, debug_is_off_unless_asked_for,
         every_query_of_the_board_names_a_metric_that_is_served])
