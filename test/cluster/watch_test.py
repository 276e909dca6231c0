#!/usr/bin/env python3
"""What the masters tell of themselves: lease.log and `lease`, with leaders that hand over, die, are frozen; members that are
added, replaced and removed over HTTP; and who may ask for it. Who reaches whom is seen in partition_test.py."""
import json
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request

from harness import (Client, Cluster, Failure, Http, NETWORK_ERRORS, Process, WEED, check, free_port, payload, run, until)

ON = ["-leaseReads=on"]


def post(address, path, headers=None):
    """Status and JSON body of a POST."""
    status, _, body = Http(15).request("POST", address, path, b"", headers)
    return status, json.loads(body or b"{}")


def log_of(cluster, i):
    """The lines of one master's lease.log; each must be a whole JSON object."""
    path = cluster.folder / f"m{i + 1}" / "lease.log"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def events(cluster, i):
    return [(e["event"], e["holder"]) for e in log_of(cluster, i)]


def lease_of(cluster, i):
    return Http(2).json(cluster.masters[i], "/cluster/lease")[1]


def holder_with_lease(cluster):
    def look():
        i = cluster.leader()
        return (i,) if lease_of(cluster, i).get("reads") == "lease" else None
    return until("the leader holds a lease", look)[0]


def weed(cluster, *words):
    done = subprocess.run([WEED, *words], capture_output=True, text=True, timeout=60, cwd=cluster.folder)
    return done.returncode, done.stdout, done.stderr


def voters(cluster, i):
    members = Http(2).json(cluster.masters[i], "/cluster/lease")[1]["masters"]
    return sorted(m["address"] for m in members if m["votes"])


def leases_are_written_down_from_grant_to_loss():
    with Cluster(volumes=1, master_flags=ON) as cluster:
        cluster.wait_writable()
        first = holder_with_lease(cluster)
        name = cluster.masters[first]
        until("its grant", lambda: any(e["event"] == "grant" and e.get("leaseMs") == 80 and e["holder"] == name
                                       for e in log_of(cluster, first)))
        status, body = post(name, "/cluster/leader/stepdown")
        check(status == 200, f"{status} {body}")
        second = until("another leader", lambda: (cluster.leader(),) if cluster.leader() != first else None)[0]
        until("the hand-over", lambda: ("hand-over", name) in events(cluster, first))
        until("the grant of the next", lambda: ("grant", cluster.masters[second]) in events(cluster, second))
        third = [i for i in range(3) if i not in (first, second)][0]
        until("the third saw it", lambda: ("grant", cluster.masters[second]) in events(cluster, third))

        # A crash: no last word, and others see whom they follow next.
        second = holder_with_lease(cluster)
        cluster.master_processes[second].kill()
        left = [i for i in range(3) if i != second]
        fresh = cluster.leader(among=left)
        for i in left:
            until("the grant after a crash", lambda i=i: ("grant", cluster.masters[fresh]) in events(cluster, i))

        # Each line has what it must have, in the order of time.
        for i in left:
            lines = log_of(cluster, i)
            for e in lines:
                check(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", e["wall"]), e)
                check(e["boot"] > 0 and e["term"] > 0 and e["cause"] and e["seenBy"] == cluster.masters[i], e)
            check(lines == sorted(lines, key=lambda e: e["boot"]), "in order")
        # A minute of renewals every 33 ms adds no line.
        check(sum(len(log_of(cluster, i)) for i in range(3)) < 40, "a line for each renewal?")

        # The command, from the files of a stopped master and from running ones.
        code, out, err = weed(cluster, "lease", "-history", f"-mdir=m{second + 1}")
        check(code == 0 and f"grant      term" in out and cluster.masters[second] in out, f"{code} {out} {err}")
        code, out, err = weed(cluster, "lease", "-history", "-json", "-n=1", "-master=" + ",".join(cluster.masters))
        check(code == 0 and len(out.splitlines()) == 1 and json.loads(out)["event"], f"{code} {out} {err}")
        holder_left = until("a lease again", lambda: "ms left" in weed(cluster, "lease", "-master=" + cluster.masters[left[0]])[1])
        check(holder_left, "who holds it")
        code, out, err = weed(cluster, "lease", "-history", "-mdir=nowhere")
        check(code == 1 and "there is no nowhere/lease.log" in err, err)
        code, out, err = weed(cluster, "lease", f"-master=localhost:{free_port()}", "-timeout=1s")
        check(code == 1 and "no master answers" in err, err)


def a_frozen_leader_finds_that_its_lease_ran_out():
    # Its guardian would say so, and nobody would wait: guardian_test.py.
    with Cluster(volumes=0, master_flags=ON + ["-leaderLease=500ms", "-guardian=false"]) as cluster:
        first = holder_with_lease(cluster)
        process = cluster.master_processes[first]
        process.signal(signal.SIGSTOP)
        try:
            cluster.leader(among=[i for i in range(3) if i != first])
            time.sleep(1)
        finally:
            process.signal(signal.SIGCONT)
        until("its own expiry", lambda: ("expiry", cluster.masters[first]) in events(cluster, first))
        others = [i for i in range(3) if i != first]
        until("the wait of the next one", lambda: any(e["event"] == "conflict" for i in others for e in log_of(cluster, i)))
        text = "".join(cluster.master_processes[i].log() for i in others)
        check(text.count("two terms overlapped") == 1, "told once in one log:\n" + text)
        metrics = "".join(Http(2).request("GET", cluster.masters[i], "/metrics")[2].decode() for i in others)
        check(re.search(r'holdfast_raft_lease_events_total\{event="conflict"\} [1-9]', metrics), "in the metrics")


def many_changes_and_the_want_of_a_leader_are_told_once():
    with Cluster(volumes=0) as cluster:
        for _ in range(6):
            status, body = post(cluster.masters[cluster.leader()], "/cluster/leader/stepdown")
            check(status == 200, f"{status} {body}")
            time.sleep(0.7)
        i = cluster.leader()
        until("an alarm of changes", lambda: [a for a in lease_of(cluster, i)["alarms"] if a["kind"] == "changes"])
        check(cluster.master_processes[i].log().count("leadership changed") == 1, "once in the log")
        for j in range(3):
            if j != i:
                cluster.master_processes[j].kill()
        alarm = until("an alarm without a leader", lambda: [a for a in lease_of(cluster, i)["alarms"] if a["kind"] == "no_leader"])
        check("no master leads" in alarm[0]["text"], alarm)
        status, _, page = Http(5).request("GET", cluster.masters[i], "/")
        check(status == 200 and b"no master leads" in page and b'data-alarm="no_leader"' in page, "the page tells it too")
        code, out, err = weed(cluster, "lease", f"-master={cluster.masters[i]}")
        check(code == 0 and "holder   none: no master leads" in out and "alarm    no master leads" in out, out + err)
        time.sleep(1.5)
        check(cluster.master_processes[i].log().count("no master leads") == 1, "once in the log")


def members_are_added_replaced_and_removed_over_http():
    with Cluster(masters=3, volumes=1) as cluster:
        cluster.wait_writable()
        peers = ",".join(cluster.masters)
        client = Client(cluster.masters)
        fids = [(client.upload(payload(i, 500)), payload(i, 500)) for i in range(20)]

        def another(name, with_peers=True):
            port = free_port()
            (cluster.folder / name).mkdir()
            argv = [WEED, "-logtostderr=true", "master", "-ip=localhost", f"-port={port}", f"-mdir=./{name}"]
            argv.append(f"-peers={peers}" if with_peers else "-peers=none")
            process = Process(name, argv, cluster.folder, {"TMPDIR": str(cluster.folder)}).start()
            cluster.master_processes.append(process)
            cluster.masters.append(f"localhost:{port}")
            cluster.master_ports.append(port)
            until("it serves", lambda: Http(1).request("GET", f"localhost:{port}", "/healthz")[0] == 200 and "serves http" in process.log())
            return f"localhost:{port}", process

        follower = cluster.masters[(cluster.leader() + 1) % 3]  # it passes the change on
        for path in ("add", "add?address=", "remove", "replace?address=localhost:1", "add?address=no%20host", "add?address=localhost:1&voter=maybe"):
            status, body = post(follower, f"/cluster/members/{path}")
            check(status == 400 and body["error"], f"{path}: {status} {body}")
        status, body = post(follower, "/cluster/members/remove?address=localhost:1")
        check(status == 404 and "no master of this cluster is called" in body["error"], body)
        status, body = post(follower, f"/cluster/members/add?address=localhost:{free_port()}")
        check(status == 500 and "does not answer" in body["error"] and "start it first" in body["error"], body)
        check(Http(5).request("GET", follower, "/cluster/members/add?address=localhost:1")[0] == 405, "GET changes nothing")

        # A lone cluster of its own that holds nothing is told of in words; with -peers it joins, by itself or by this.
        fourth, process = another("m4")
        status, body = post(follower, f"/cluster/members/add?address={fourth}")
        check(status == 200 and body["added"].startswith(fourth), body)
        until("the fourth votes", lambda: len(voters(cluster, 0)) == 4)

        # Its place is taken by a fifth; the fourth is dead by then.
        process.kill()
        fifth, _ = another("m5")
        status, body = post(follower, f"/cluster/members/replace?old={fourth}&address={fifth}")
        check(status == 200 and body["replaces"] == fourth, body)
        until("the fifth votes in its place", lambda: voters(cluster, 0) == sorted(cluster.masters[:3] + [fifth]), 30)

        # A living one goes only when that is meant.
        status, body = post(follower, f"/cluster/members/remove?address={fifth}")
        check(status == 400 and "is connected" in body["error"], body)
        status, body = post(follower, f"/cluster/members/remove?address={fifth}&force=true")
        check(status == 200 and body["removed"] == fifth, body)
        until("three are left", lambda: voters(cluster, 0) == sorted(cluster.masters[:3]))
        for fid, data in fids:
            check(client.read(fid) == data, f"{fid} reads back")


def only_those_who_may_change_members_do():
    with Cluster(masters=1, volumes=0) as cluster:
        address = cluster.masters[0]
        cluster.leader()
        for path in ("/cluster/members/add?address=localhost:1", "/cluster/members/remove?address=localhost:1",
                     "/cluster/members/replace?address=localhost:1&old=localhost:2"):
            status, body = post(address, path, {"Origin": "http://elsewhere.example", "Sec-Fetch-Site": "cross-site"})
            check(status == 403, f"{path} from another site: {status} {body}")
    toml = '[admin]\ntoken = "secret-word"\n'
    cluster = Cluster(masters=1, volumes=0)
    (cluster.folder / "security.toml").write_text(toml)
    with cluster:
        address = cluster.masters[0]
        cluster.leader()
        status, body = post(address, "/cluster/members/remove?address=localhost:1")
        check(status == 401, f"without the token: {status} {body}")
        status, body = post(address, "/cluster/members/remove?address=localhost:1", {"Authorization": "Bearer secret-word"})
        check(status == 404, f"with it the request is looked at: {status} {body}")


if __name__ == "__main__":
    run([leases_are_written_down_from_grant_to_loss, a_frozen_leader_finds_that_its_lease_ran_out,
         many_changes_and_the_want_of_a_leader_are_told_once, members_are_added_replaced_and_removed_over_http,
         only_those_who_may_change_members_do])
