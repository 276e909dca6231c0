#!/usr/bin/env python3
"""A read-only master (-readOnly), as a real process: answers reads and says how old they may be, refuses changes in words,
never votes, never begins a cluster, and goes on answering when no leader is left.
"""
import json
import subprocess
import time

from harness import Client, Cluster, Failure, Http, NETWORK_ERRORS, Process, WEED, check, free_port, payload, run
from backups_test import get, put, until


def read_only(cluster, name="reader", peers=None, folder=None, flags=()):
    port = free_port()
    folder = folder or cluster.folder / name
    folder.mkdir(exist_ok=True)
    process = Process(name, [WEED, "-logtostderr=true", "master", "-ip=localhost", f"-port={port}", f"-mdir={folder}", "-readOnly",
                             f"-peers={','.join(peers or cluster.masters)}", *flags], cluster.folder, {"TMPDIR": str(cluster.folder)})
    process.address = f"localhost:{port}"
    return process


def staleness(address, path="/cluster/status"):
    _, headers, _ = Http(2).request("GET", address, path)
    value = headers["holdfast-staleness"]
    return None if value == "unknown" else float(value)


def it_answers_reads_with_their_age_and_refuses_changes():
    with Cluster(masters=3, volumes=1) as cluster:
        reader = read_only(cluster).start()
        try:
            cluster.wait_writable()
            until("a put", lambda: put(cluster.masters, "a", "1"))
            fid = Client(cluster.masters).upload(payload(1, 900))
            until("it knows the volume", lambda: check(Client([reader.address]).read(fid) == payload(1, 900), "other bytes"))
            until("it is fresh", lambda: check((staleness(reader.address) or 99) < 1, staleness(reader.address)))
            check(get([reader.address], "a") == "1", "another value")
            _, headers, _ = Http(2).request("GET", cluster.masters[0], "/cluster/status")
            check("holdfast-staleness" not in headers, "the others say it as well")

            for method, path in (("GET", "/dir/assign"), ("POST", "/dir/assign"), ("GET", "/vol/grow?count=1"), ("POST", "/col/delete?collection=x"),
                                 ("POST", "/submit"), ("PUT", "/cluster/kv/a"), ("DELETE", "/cluster/kv/a"), ("POST", "/cluster/kv/a")):
                status, _, body = Http(2).request(method, reader.address, path, body=b"" if method != "GET" else None)
                check(status == 403 and b"read-only" in body and b"localhost:" in body, f"{method} {path}: {status} {body}")
            done = subprocess.run([WEED, "-logtostderr=true", "upload", f"-master={reader.address}", __file__], capture_output=True, text=True, timeout=60)
            check(done.returncode == 0 and "fid" in done.stdout, f"a client that knows only the reader finds the others: {done}")
            check(get(cluster.masters, "a") == "1", "something was changed")

            # The bound holds: what was acknowledged longer ago than it says is there.
            for n in range(30):
                put(cluster.masters, "n", str(n))
                acknowledged = time.monotonic()
                while True:
                    began = time.monotonic()
                    status, headers, body = Http(2).request("GET", reader.address, "/cluster/kv/n?stale=true")
                    if began - float(headers["holdfast-staleness"]) > acknowledged + 0.002:
                        check(int(body) >= n, f"{body} after {n}, {headers['holdfast-staleness']} s old")
                        break
                    time.sleep(0.01)

            # It is a learner for good, and no majority counts it: with two of three gone there is no leader, however it is started.
            members = subprocess.run([WEED, "-logtostderr=true", "shell", f"-master={cluster.masters[0]}"], input="cluster.raft.ps\n",
                                     capture_output=True, text=True, timeout=30).stdout
            grpc = int(reader.address.split(":")[1]) + 10000
            check(f"localhost:{grpc} (Nonvoter)" in members and members.count("(Voter)") == 2, members)
            leader = cluster.leader()
            gone = [i for i in range(3) if i != leader]
            for i in gone:
                cluster.master_processes[i].kill()
            reader.kill()
            reader.start()
            def without_a_leader():
                status = Http(1).json(cluster.masters[leader], "/cluster/status")[1]
                check(not status.get("Leader"), f"{status}")
            until("no leader", without_a_leader)
            time.sleep(1.5)
            without_a_leader()
            until("it still answers", lambda: check(Client([reader.address]).read(fid) == payload(1, 900), "other bytes"), 20)
            age = staleness(reader.address)
            check(age is None or age > 1, f"age {age}")
            status, _, body = Http(2).request("GET", reader.address, "/cluster/kv/n?stale=true")
            check(status == 200 and int(body) >= 20, f"{status} {body}")  # what it knew as agreed on
            for i in gone:
                cluster.master_processes[i].start()
            until("it is fresh again", lambda: check((staleness(reader.address) or 99) < 1, staleness(reader.address)), 20)
        finally:
            reader.kill()


def it_never_begins_a_cluster_and_never_becomes_a_voter():
    with Cluster(masters=1, volumes=0) as cluster:
        until("a put", lambda: put(cluster.masters, "a", "1"))
        lone = Process("lone", [WEED, "-logtostderr=true", "master", "-ip=localhost", f"-port={free_port()}", f"-mdir={cluster.folder}", "-readOnly"],
                       cluster.folder).start()
        until("it ends", lambda: check(not lone.alive(), "it runs"))
        check("-readOnly needs -peers" in lone.log(), lone.log())
        reader = read_only(cluster).start()
        try:
            until("it is in", lambda: check(get([reader.address], "a") == "1", "no"))
            said = subprocess.run([WEED, "-logtostderr=true", "shell", f"-master={cluster.masters[0]}"], capture_output=True, text=True, timeout=30,
                                  input=f"lock; cluster.raft.add -id={reader.address} -address={reader.address} -voter=true\n")
            text = said.stdout + said.stderr
            check("never votes" in text, text)
            # A folder of a voter is not taken for reading.
            cluster.master_processes[0].stop()
            voter = cluster.master_processes[0]
            voter.argv.append("-readOnly")
            voter.start()
            until("it is refused", lambda: check(not voter.alive(), "it runs"))
            check("is that of a master that votes" in voter.log(), voter.log()[-800:])
            voter.argv.pop()
        finally:
            reader.kill()


if __name__ == "__main__":
    run([it_answers_reads_with_their_age_and_refuses_changes, it_never_begins_a_cluster_and_never_becomes_a_voter])
