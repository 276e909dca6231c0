#!/usr/bin/env python3
"""Hazard 9 of spec/moosefs-ha 15; docs/operations.md says where the other nine are tested."""
import re
import subprocess
import time

from harness import Client, Cluster, Http, WEED, check, run, until
from members_test import raft_ps

KV = "/cluster/kv/"


def weed(cluster, *words):
    begin = time.monotonic()
    done = subprocess.run([WEED, "-alsologtostderr=false", *words], capture_output=True, text=True, timeout=60, cwd=cluster.folder)
    return done.returncode, done.stdout, done.stderr, time.monotonic() - begin


def put(master, key, value, query=""):
    status, _, body = Http(3.0).request("PUT", master, f"{KV}{key}{query}", body=value.encode())
    return status, body


def hazard_9_page_and_tools_without_a_leader():
    """One master of three is left: it lists all three, answers what needs no leader, and refuses the rest in words and in time."""
    with Cluster(volumes=1) as cluster:
        cluster.wait_writable()
        fid = Client(cluster.masters).upload(b"a file")
        old = cluster.leader()
        until("the key-value space", lambda: put(cluster.masters[old], "key", "value")[0] == 200)
        left = next(i for i in range(3) if i != old)
        address = cluster.masters[left]
        until("it has the key", lambda: Http(2).request("GET", address, KV + "key?stale=true")[2] == b"value")
        for i in range(3):
            if i != left:
                cluster.master_processes[i].kill()
        until("nobody leads", lambda: not Http(2).json(address, "/cluster/status")[1].get("Leader"))

        # The page, with every member and what became of it.
        def page():
            status, _, body = Http(5).request("GET", address, "/")
            check(status == 200, f"the page: {status}")
            return body.decode()
        until("the page tells it", lambda: "no leader" in re.search("<title>(.*)</title>", page()).group(1))
        text = page()
        check(all(master in text for master in cluster.masters), "the page does not list every master")
        check(cluster.volumes[0] in text, "the page does not list the volume server")
        lease = Http(2).json(address, "/cluster/lease")[1]
        check(sorted(m["address"] for m in lease["masters"]) == sorted(cluster.masters), f"/cluster/lease: {lease}")
        status, _, metrics = Http(2).request("GET", address, "/metrics")
        check(status == 200 and b"holdfast_raft_is_leader 0" in metrics, "the metrics")

        # Tools: lists and reads.
        rows = raft_ps([address])
        check(sorted(rows) == sorted(cluster.master_ports) and not any(s == "Leader" for _, s in rows.values()), f"{rows}")
        code, out, err, _ = weed(cluster, "lease", f"-master={address}")
        check(code == 0 and "no master leads" in out and all(master in out for master in cluster.masters), out + err)
        code, out, err, _ = weed(cluster, "lease", "-history", f"-master={address}")
        check(code == 0, out + err)
        code, out, err, _ = weed(cluster, "kv", "get", f"-master={address}", "-stale", "key")
        check(code == 0 and out == "value", f"kv get -stale: {code} {out} {err}")
        code, out, err, _ = weed(cluster, "download", f"-server={address}", "-dir=.", fid)
        check(code == 0 and not err and any(p.is_file() and p.read_bytes() == b"a file" for p in cluster.folder.iterdir()),
              f"download: {code} {out} {err}")

        # What needs a leader.
        (cluster.folder / "file").write_bytes(b"another")
        for words, wanted in ((["kv", "get", f"-master={address}", "-timeout=8s", "key"], 3),
                              (["kv", "put", f"-master={address}", "-timeout=8s", "key", "other"], 3),
                              (["backup", f"-master={address}", "-timeout=3s", "-output=image"], 1),
                              (["upload", f"-master={address}", "file"], None)):
            code, out, err, took = weed(cluster, *words)
            check(code == wanted if wanted else code != 0 or "error" in out, f"{words[:2]}: {code} {out} {err}")
            check("no leader" in out + err or "no master can lead" in out + err, f"{words[:2]} does not say that nobody leads: {out} {err}")
            check(took < 45, f"{words[:2]} took {took:.1f} s")
        for path in ("/dir/assign", "/cluster/kv/key"):
            status, _, body = Http(15).request("GET", address, path)
            check(status == 503 and (b"no leader" in body or b"no master can lead" in body), f"{path}: {status} {body}")

        # With one more there is a majority, and all goes on.
        cluster.master_processes[old].start()
        until("a leader", lambda: put(address, "key", "2")[0] == 200)
        check(Client([address]).read(fid) == b"a file", "the file is gone")


if __name__ == "__main__":
    run([hazard_9_page_and_tools_without_a_leader])
