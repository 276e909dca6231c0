#!/usr/bin/env python3
"""What operators look at: the access log and its rotation, /debug, a Grafana board whose every query names a metric that a
cluster serves, and pings from one server to another."""
import json
import os
import random
import re
import signal
import socket
import time

from harness import ROOT, WEED, Client, Cluster, Failure, Http, Process, check, free_port, run, until
from shell_test import shell
from volume_move_test import rpc

LINE = re.compile(r'^(\S+) - - \[\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d \+0000\] "([A-Z]+) (\S+) HTTP/(?:1\.1|2\.0)" (\d{3}) (\d+|-) "[^"]*" "[^"]*" '
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


def a_call_is_found_again_in_the_logs_of_all_servers_that_took_part():
    flags = ("-accessLog=./access.log",)
    with Cluster(masters=3, volumes=2, master_flags=flags, volume_flags=flags) as cluster:
        cluster.wait_writable()
        client = Client(cluster.masters)
        fid = client.upload(b"a file")
        source = client.lookup(fid.split(",")[0])["locations"][0]["url"]
        target = next(server for server in cluster.volumes if server != source)
        follower = next(master for i, master in enumerate(cluster.masters) if i != cluster.leader())
        os.environ["REQUEST_ID"] = "an-id-of-ours"
        try:
            rpc(target, "VolumeCopy", {"volume_id": int(fid.split(",")[0]), "source_data_node": source})
            rpc(follower, "Seaweed/Assign", {"count": 1})
            os.environ["REQUEST_ID"] = "of-a-growth"
            rpc(follower, "Seaweed/Assign", {"count": 1, "collection": "new"})
            os.environ["REQUEST_ID"] = "of-a-vacuum"
            rpc(cluster.masters[cluster.leader()], "Seaweed/VacuumVolume", {"volume_id": int(fid.split(",")[0])})
        finally:
            del os.environ["REQUEST_ID"]

        def calls(request_id="an-id-of-ours"):
            return sorted(m[3].split("/")[-1] for m in lines(cluster.folder / "access.log") if m and m[6] == m[7] == request_id)

        until("all calls that belong together, the assign at the follower and at the leader",
              lambda: set(calls()) == {"VolumeCopy", "ReadVolumeFileStatus", "CopyFile", "Assign"} and calls().count("Assign") == 2)
        until("what the leader orders for an assign", lambda: calls("of-a-growth") == ["AllocateVolume"] * 7 + ["Assign"] * 2)
        until("what it orders for a vacuum", lambda: set(calls("of-a-vacuum")) == {"VacuumVolume"} | {f"VacuumVolume{step}" for step in ("Check", "Compact", "Commit")})
        check(all(lines(cluster.folder / "access.log")), "every line has its form")
        others = [m for m in lines(cluster.folder / "access.log") if m[3].startswith("/volume_server_pb.") and m[7] == "-"]
        check(all(len(m[6]) == 24 for m in others), "calls without an id have one of ours")


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


def documented(page):
    """(part of the page, names that each entry may mean): `_tail` ends a name that begins as the first one of its row."""
    part = None
    for line in page.splitlines():
        if line.startswith("## "):
            part = line[3:]
        if not line.startswith(("| `", "`process_")) and not (part == "Every process" and line.startswith("`")):
            continue
        first, *others = re.findall(r"`([A-Za-z_]+)`", line.split("|")[1] if line.startswith("|") else line)
        words = first.split("_")
        yield part, {first}
        for name in others:
            yield part, {"_".join(words[:n]) + name for n in range(1, len(words))} if name.startswith("_") else {name}


def the_page_of_metrics_names_what_is_served_and_nothing_else():
    logs = ("-accessLog=./access.log",)
    with Cluster(masters=3, volumes=2, master_flags=("-defaultReplication=001", *logs), volume_flags=logs) as cluster:
        port = free_port()
        cluster.others.append(Process("metalogger", [WEED, "-logtostderr=true", "metalogger", "-dir=./metalogger",
                                                     f"-master={cluster.masters[0]}", f"-metricsPort={port}"], cluster.folder).start())
        cluster.wait_writable()
        Http(5).request("PUT", cluster.masters[0], "/cluster/kv/key", b"value")

        def names(servers):
            texts = [Http(5).request("GET", server, "/metrics")[2].decode() for server in servers]
            return set(re.findall(r"^# TYPE (\S+)", "".join(texts), re.M))
        until("the metalogger is at work", lambda: "holdfast_metaloggers" in names(cluster.masters) and
              "holdfast_metalogger_following" in names([f"localhost:{port}"]))
        served = {"Masters": names(cluster.masters), "Volume servers": names(cluster.volumes), "Metaloggers": names([f"localhost:{port}"])}
        everywhere = set.intersection(*served.values())
        anywhere = set.union(*served.values())
        # What has not happened has no sample yet; then at least the source knows the name.
        source = "".join(p.read_text() for p in (ROOT / "src").rglob("*.cc") if not p.name.endswith("_test.cc"))
        told = set()
        for part, meant in documented((ROOT / "docs/metrics.md").read_text()):
            told |= meant & anywhere
            here = {"Every process": everywhere, "Requests": anywhere}.get(part) or served[part]
            check(meant & here or (not meant & anywhere and any(f'"{name}"' in source for name in meant)),
                  f"{part}: none of {sorted(meant)} is served")
        check(len(told) > 80, f"only {len(told)} names were compared")
        for part, there in served.items():
            check(there <= told, f"{part} serve what the page does not name: {sorted(there - told)}")


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


VOLUME = "SeaweedFS_volumeServer_"


def what_requests_meet_is_counted():
    with Cluster(masters=1, volumes=2, volume_flags=("-max=7",)) as cluster:
        cluster.wait_writable()
        one, other = cluster.volumes
        client, http = Client(cluster.masters), Http(5)
        check(metric(one, VOLUME + "max_volumes") == 7, "slots")
        # A request is under way until its answer has gone.
        fid = client.upload(b"needle in a haystack")
        at = client.lookup(fid.split(",")[0])["locations"][0]["url"]
        check(metric(one, VOLUME + "in_flight_requests", type="post") == 0, "nobody posts")
        check(metric(one, VOLUME + "in_flight_requests", type="get") == 1, "the scrape itself")
        with socket.create_connection(("127.0.0.1", int(one.rsplit(":", 1)[1]))) as slow:
            slow.sendall(b"POST /1,01637037d6 HTTP/1.1\r\nHost: x\r\nContent-Type: a/b\r\nContent-Length: 10\r\n\r\nhalf")
            until("a post is under way", lambda: metric(one, VOLUME + "in_flight_requests", type="post") == 1)
        until("it is gone with its client", lambda: metric(one, VOLUME + "in_flight_requests", type="post") == 0)
        # A server that does not hold the volume gets the file from the one that does.
        away = other if at == one else one
        check(metric(away, VOLUME + "handler_total", type="read_proxied") is None, "nothing was passed on yet")
        check(http.request("GET", away, "/" + fid)[0] == 200, "read through the other server")
        # It is counted once the answer has gone.
        until("one read was passed on", lambda: metric(away, VOLUME + "handler_total", type="read_proxied") == 1)
        # Bytes that are not what was written.
        check(metric(at, VOLUME + "file_read_invalid_needles") == 0, "nothing is damaged")
        dat = next(cluster.folder.glob(f"v*/{fid.split(',')[0]}.dat"))
        content = bytearray(dat.read_bytes())
        content[content.index(b"haystack")] ^= 1
        with open(dat, "r+b") as file:
            file.write(content)
        check(http.request("GET", at, "/" + fid)[0] == 500, "a damaged file")
        check(metric(at, VOLUME + "file_read_invalid_needles") == 1, "it is counted")
        check(metric(at, VOLUME + "file_read_failures") == 1, "as a failure too")


def copies_and_their_places_are_counted():
    with Cluster(masters=1, volumes=2) as cluster:
        cluster.wait_writable()
        master = cluster.masters[0]
        client, http = Client(cluster.masters), Http(5)
        fid = client.upload(b"a file", "replication=001&collection=two")
        volume = fid.split(",")[0]
        at = client.lookup(volume)["locations"][0]["url"]
        check(metric(at, VOLUME + "replication_operations_total", operation="write", result="success")
              == metric(at, VOLUME + "replication_targets_count"), "each operation is one in the histogram")
        check(metric(at, VOLUME + "replication_targets_bucket", le="1") >= 1, "one other copy")
        wrong = "SeaweedFS_master_replica_placement_mismatch"
        check(metric(master, wrong) is None, "all stand right")
        shell(cluster, f"lock\nvolume.configure.replication -volumeId={volume} -replication=010\n")
        until("two copies in one rack", lambda: metric(master, wrong, collection="two", id=volume) == 1)
        shell(cluster, f"lock\nvolume.configure.replication -volumeId={volume} -replication=001\n")
        until("as they should", lambda: metric(master, wrong) is None)
        sibling = next(i for i, server in enumerate(cluster.volumes) if server != at)
        put = lambda: http.request("PUT", at, f"/{fid}", random.randbytes(20), {"Content-Type": "a/b"})[0]
        until("a write to both, which the server remembers for some seconds", lambda: put() == 201)
        cluster.volume_processes[sibling].kill()
        check(put() == 500, "a write without its copy")
        check(metric(at, VOLUME + "replication_failures_total", operation="write", reason="unreachable") == 1, "it is counted")


def admin_locks_are_shown():
    with Cluster(masters=3, volumes=0) as cluster:
        leader = cluster.masters[cluster.leader()]
        name = "SeaweedFS_master_admin_lock"
        check(metric(leader, name) is None, "nobody holds a lock")
        lease = until("a lock", lambda: rpc(leader, "Seaweed/LeaseAdminToken", {"lock_name": "shell", "client_name": "me"})[0])
        for master in cluster.masters:
            until("every master shows it", lambda: metric(master, name, client="me") == 1)
        rpc(leader, "Seaweed/ReleaseAdminToken",
            {"previous_token": lease["token"], "previous_lock_time": lease["lock_ts_ns"], "lock_name": "shell"})
        until("it is free", lambda: all(metric(master, name) is None for master in cluster.masters))


def shards_found_damaged_and_made_anew_are_counted():
    with Cluster(masters=1, volumes=1) as cluster:
        cluster.wait_writable()
        server = cluster.volumes[0]
        fid = Client(cluster.masters).upload(b"a file", "collection=cold")
        volume = fid.split(",")[0]
        shell(cluster, f"lock\nec.encode -volumeId={volume} -dataShards=2 -parityShards=1\n")
        shard = cluster.folder / "v1" / f"cold_{volume}.ec01"
        content = bytearray(shard.read_bytes())
        content[100] ^= 1
        shard.write_bytes(content)
        shell(cluster, f"lock\nec.scrub -volumeId={volume} -mode=checksum\n", fails="")
        check(metric(server, VOLUME + "scrub_shard_failures", mode="checksum") == 1, "a shard is damaged")
        check(metric(server, VOLUME + "ec_rebuild_total") is None, "nothing was made anew")
        rpc(server, "VolumeServer/VolumeEcShardsRebuild", {"volume_id": int(volume), "collection": "cold"})
        check(metric(server, VOLUME + "ec_rebuild_total", result="success") == 1, "a rebuild")
        check(metric(server, VOLUME + "ec_rebuild_seconds_count") == 1, "its time")
        try:
            rpc(server, "VolumeServer/VolumeEcShardsRebuild", {"volume_id": 9999, "collection": "cold"})
            check(False, "an unknown volume was rebuilt")
        except Failure as failure:
            check("9999" in str(failure) or "was rebuilt" not in str(failure), str(failure))
        check(metric(server, VOLUME + "ec_rebuild_total", result="failure") == 1, "one that failed")


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
    run([a_call_is_found_again_in_the_logs_of_all_servers_that_took_part, what_requests_meet_is_counted, copies_and_their_places_are_counted, admin_locks_are_shown,
         shards_found_damaged_and_made_anew_are_counted, missing_copies_broken_reports_and_scrubs_are_counted, volume_servers_ping_for_others,
         requests_leave_a_line_and_the_file_can_be_moved, debug_is_off_unless_asked_for,
         every_query_of_the_board_names_a_metric_that_is_served, the_page_of_metrics_names_what_is_served_and_nothing_else])
