#!/usr/bin/env python3
"""The cluster secret with real masters (docs/cluster-secret.md): a cluster that has one works as any other; who has another
secret, or none, is told so on both sides and gets nowhere; what strangers send to the port changes nothing; the secret is
neither in the list of processes nor in a log."""
import os
import socket
import subprocess
import time

from harness import (Client, Cluster, Failure, Http, NETWORK_ERRORS, Process, WEED, check, free_port, payload, run, until)
from watch_test import voters

SECRET = "correct horse battery staple"


def write_secret(path, text=SECRET, mode=0o600):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text + "\n")
    path.chmod(mode)


def with_secret(**more):
    cluster = Cluster(master_flags=["-clusterSecretFile=./secret"], **more)
    write_secret(cluster.folder / "secret")
    return cluster


def newcomer(cluster, name, flags, env=None):
    port = free_port()
    (cluster.folder / name).mkdir()
    argv = [WEED, "-logtostderr=true", "master", "-ip=localhost", f"-port={port}", f"-mdir=./{name}",
            "-peers=" + ",".join(cluster.masters), *flags]
    process = Process(name, argv, cluster.folder, {"TMPDIR": str(cluster.folder), **(env or {})}).start()
    cluster.volume_processes.append(process)  # stopped with the rest
    return f"localhost:{port}", process


def a_cluster_with_a_secret_works_as_any_other():
    with with_secret(volumes=1) as cluster:
        cluster.wait_writable()
        client = Client(cluster.masters)
        files = {client.upload(payload(i, 300)): payload(i, 300) for i in range(10)}
        # Datagrams flow, sealed: everybody hears everybody.
        def all_heard():
            cells = Http(2).json(cluster.masters[0], "/cluster/lease")[1]["reach"]
            return len(cells) == 6 and all(c["reached"] == "yes" for c in cells)
        until("all hear all", all_heard)
        # A leader dies, is replaced, comes back, and everybody is heard again.
        old = cluster.leader()
        cluster.master_processes[old].kill()
        cluster.leader(among=[i for i in range(3) if i != old])
        cluster.master_processes[old].start()
        until("all hear all again", all_heard)
        for fid, data in files.items():
            check(client.read(fid) == data, "reads back")
        # One that has it, by the environment, joins.
        address, _ = newcomer(cluster, "m4", [], {"WEED_CLUSTER_SECRET": SECRET})
        until("the newcomer votes", lambda: address in voters(cluster, 0))
        everything = "".join(p.log() for p in cluster.processes())
        listed = "".join(open(f"/proc/{p.pid}/cmdline").read() for p in cluster.processes() if p.alive())
        check(SECRET not in everything and SECRET not in listed, "the secret is shown")
        check("is refused" not in everything and "not believed" not in everything, "somebody was refused:\n" + everything[-2000:])


def who_has_another_secret_or_none_is_told_so_on_both_sides():
    with with_secret(volumes=0) as cluster:
        leader = cluster.leader()
        term = Http(2).json(cluster.masters[leader], "/cluster/member")[1]["term"]
        write_secret(cluster.folder / "other", "this is quite another secret")
        address, other = newcomer(cluster, "other-secret", ["-clusterSecretFile=./other"])
        plain_address, plain = newcomer(cluster, "no-secret", [])
        until("the one with another is told", lambda: "is not believed" in other.log() and "is another one" in other.log())
        until("the one with none is told", lambda: "this cluster has a secret" in plain.log())
        logs = lambda: "".join(p.log() for p in cluster.master_processes)
        until("the cluster says who came", lambda: f"which calls itself {address}, is another one" in logs())
        until("and who has none", lambda: f"which calls itself {plain_address}, has none" in logs())
        time.sleep(2)
        check(voters(cluster, leader) == sorted(cluster.masters), "nobody got in")
        check(Http(2).json(cluster.masters[leader], "/cluster/member")[1]["term"] == term, "and nothing moved")
        for p in cluster.master_processes:
            check(p.log().count("which calls itself " + address) <= 1, "told once:\n" + p.log())
        # A master that asks to be let in through the page's route is asked by the leader, and not believed either.
        status, _, body = Http(15).request("POST", cluster.masters[leader], f"/cluster/members/add?address={plain_address}", b"")
        check(status != 200 and b"secret" in body, f"{status} {body}")


def recover_with_another_secret_or_none_is_told_to_bring_the_right_one():
    with with_secret(volumes=0) as cluster:
        cluster.leader()
        # Entry 1 begins the term, entry 2 the cluster.
        until("the first master has the cluster's state", lambda: Http(2).json(cluster.masters[0], "/cluster/member")[1]["applied"] >= 2)
        cluster.master_processes[0].stop()
        write_secret(cluster.folder / "other", "this is quite another secret")

        def says(flags, words):
            done = subprocess.run([WEED, "-alsologtostderr=false", "recover", "-mdir=./m1", f"-port={cluster.master_ports[0]}", *flags],
                                  capture_output=True, text=True, timeout=30, cwd=cluster.folder, input="")
            check(done.returncode == 1 and "which is a majority" in done.stderr, f"{done.returncode} {done.stderr}")
            check(done.stdout.count(words) == 2, f"not said of both others: {words}\n{done.stdout}")
        says(["-clusterSecretFile=./secret"], "is alive, term")
        says(["-clusterSecretFile=./other"], "the cluster secret of the caller is another one: give it the -clusterSecretFile")
        says([], "this cluster has a secret and the caller has none: give it the -clusterSecretFile")


def what_strangers_send_to_the_port_changes_nothing():
    with with_secret(volumes=0) as cluster:
        leader = cluster.leader()
        before = Http(2).json(cluster.masters[leader], "/cluster/member")[1]["term"]
        sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        for port in cluster.master_ports:
            for junk in (b"", b"HFS1", b"HFB1" + bytes(200), b"HFR1" + bytes(200), b"HFS1" + bytes(1200), os.urandom(1400)):
                for _ in range(50):
                    sender.sendto(junk, ("127.0.0.1", port + 10000))
        time.sleep(1)
        check(cluster.leader() == leader, "the leader stays")
        check(Http(2).json(cluster.masters[leader], "/cluster/member")[1]["term"] == before, "in its term")


def what_is_wrong_with_the_secret_ends_the_start_in_words():
    with Cluster(masters=1, volumes=0) as cluster:
        def fails(flag, words, env=None):
            done = subprocess.run([WEED, "-logtostderr=true", "master", "-ip=localhost", f"-port={free_port()}", "-mdir=./x", flag],
                                  capture_output=True, text=True, timeout=30, cwd=cluster.folder, env={**os.environ, **(env or {})})
            check(done.returncode == 255 and words in done.stderr + done.stdout, f"{done.returncode} {done.stderr}")
        (cluster.folder / "x").mkdir()
        fails("-clusterSecretFile=./nowhere", "cannot be read")
        write_secret(cluster.folder / "open", mode=0o644)
        fails("-clusterSecretFile=./open", "chmod 600")
        write_secret(cluster.folder / "short", "short")
        fails("-clusterSecretFile=./short", "16 bytes at least")
        fails("-clusterSecretFile=", "16 bytes at least", {"WEED_CLUSTER_SECRET": "short"})


if __name__ == "__main__":
    run([a_cluster_with_a_secret_works_as_any_other, who_has_another_secret_or_none_is_told_so_on_both_sides,
         recover_with_another_secret_or_none_is_told_to_bring_the_right_one, what_strangers_send_to_the_port_changes_nothing,
         what_is_wrong_with_the_secret_ends_the_start_in_words])
