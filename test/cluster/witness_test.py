#!/usr/bin/env python3
"""Two masters and one volume server that votes as their witness, as real processes: any one of the three is lost, one
after the other, and writes go on; where only the lost master had what was acknowledged, nobody leads, and says why; an
operator's recover takes over and names the loss.
"""
import shutil
import time

from harness import Client, Cluster, Http, NETWORK_ERRORS, Failure, check, payload, run, until
from recover_test import recover
from secret_test import write_secret


def status(cluster, i):
    return Http(1.0).json(cluster.masters[i], "/cluster/status")[1]


def put(master, key, value):
    """A replicated write, acknowledged."""
    code, _, body = Http(3.0).request("PUT", master, f"/cluster/kv/{key}", body=value.encode())
    check(code in (200, 201), f"PUT {key}: {code} {body[:300]!r}")
    return True


def get(master, key):
    code, _, body = Http(3.0).request("GET", master, f"/cluster/kv/{key}")
    check(code == 200, f"GET {key}: {code} {body[:300]!r}")
    return body.decode()


def with_witness(cluster, seconds=40):
    """Until the leader counts the volume server as a witness; then its index."""
    cluster.leader(20)
    until("a witness", lambda: status(cluster, cluster.leader()).get("Witness"), seconds)
    return cluster.leader()


def two(**more):
    return Cluster(masters=2, volumes=1, master_flags=("-witness=auto",), **more)


def in_sync(cluster):
    """Both masters have everything, and the witness was told so if it had been told otherwise."""
    time.sleep(2.5)


def any_one_is_lost_and_writes_go_on():
    with two() as cluster:
        cluster.wait_writable()
        lead = with_witness(cluster)
        until("the page shows it", lambda: b"WITNESS" in Http(2.0).request("GET", cluster.masters[lead], "/")[2], 5)
        until("a write", lambda: put(cluster.masters[lead], "a", "1"), 5)

        follower = 1 - lead
        cluster.master_processes[follower].kill()
        until("a write without the follower", lambda: put(cluster.masters[lead], "a", "2"), 10)
        cluster.master_processes[follower].start()
        until("the follower is back", lambda: status(cluster, follower).get("Leader"), 10)
        in_sync(cluster)

        cluster.master_processes[lead].kill()
        until("the other leads", lambda: status(cluster, follower).get("IsLeader"), 10)
        until("a write without the old leader", lambda: put(cluster.masters[follower], "a", "3"), 10)
        until("an upload", lambda: Client([cluster.masters[follower]]).upload(b"still"), 10)
        cluster.master_processes[lead].start()
        until("it is back", lambda: status(cluster, lead).get("Leader"), 10)
        in_sync(cluster)

        lead = cluster.leader()
        cluster.volume_processes[0].kill()
        for n in range(5):
            until("a write without the witness", lambda n=n: put(cluster.masters[lead], "a", f"w{n}"), 5)
            time.sleep(0.2)
        cluster.volume_processes[0].start()
        time.sleep(1.5)
        check("start number 2" in cluster.volume_processes[0].log(), "the witness is not the one it was before")
        cluster.master_processes[1 - lead].kill()
        until("a write with the witness that was restarted", lambda: put(cluster.masters[lead], "a", "4"), 10)
        check(get(cluster.masters[lead], "a") == "4", "reads back wrong")


def what_only_the_lost_one_had_is_not_lost():
    with two() as cluster:
        cluster.wait_writable()
        lead = with_witness(cluster)
        other = 1 - lead
        until("a write", lambda: put(cluster.masters[lead], "both", "1"), 5)
        time.sleep(0.5)
        cluster.master_processes[other].kill()
        until("a write alone", lambda: put(cluster.masters[lead], "alone", "1"), 10)
        cluster.master_processes[lead].kill()

        # The other one lacks it. It is not elected, not with the witness either, and says why.
        cluster.master_processes[other].start()
        time.sleep(5)
        seen = status(cluster, other)
        check(not seen.get("Leader"), f"it leads without what was acknowledged: {seen}")
        log = cluster.master_processes[other].log()
        check(f"only {cluster.masters[lead]}" in log and "everything that was acknowledged" in log, f"does not say why: {log[-2000:]}")
        try:
            Client([cluster.masters[other]]).assign()
            raise AssertionError("it assigns")
        except Failure as refused:
            check("everything that was acknowledged" in str(refused), f"refuses without saying why: {refused}")

        # With the one that has it back, all is as it was.
        cluster.master_processes[lead].start()
        until("a leader", lambda: status(cluster, other).get("Leader"), 15)
        lead = cluster.leader(15)
        check(get(cluster.masters[lead], "alone") == "1", "what one had acknowledged alone is gone")


def an_operator_takes_over():
    with two() as cluster:
        cluster.wait_writable()
        lead = with_witness(cluster)
        other = 1 - lead
        until("a write", lambda: put(cluster.masters[lead], "both", "1"), 5)
        until("it is on both", lambda: get(cluster.masters[other], "both") == "1", 5)
        cluster.master_processes[other].kill()
        until("a write alone", lambda: put(cluster.masters[lead], "alone", "1"), 10)
        cluster.master_processes[lead].kill()
        old = cluster.folder / "old"
        shutil.copytree(cluster.folder / f"m{lead + 1}", old)
        code, out, err = recover(cluster, other, answer="yes\n")
        check(code == 0 and "Done" in out, f"{code} {out} {err}")
        check("What may be lost" in out and "a witness" in out, f"recover does not say it: {out}")
        cluster.master_processes[other].start()
        until("it leads alone", lambda: status(cluster, other).get("IsLeader"), 10)
        check(get(cluster.masters[other], "both") == "1", "what both had is gone")
        until("a write", lambda: put(cluster.masters[other], "after", "1"), 10)
        until("an upload", lambda: Client([cluster.masters[other]]).upload(payload(1, 100)), 15)
        # The lost one comes back with what it had: it is turned away.
        cluster.master_processes[lead].start()
        until("the old one ends", lambda: not cluster.master_processes[lead].alive(), 15)


def a_cluster_secret_is_the_witness_s_as_well():
    secret = "-clusterSecretFile=./secret"
    with two_with_secret(volume_flags=[]) as cluster:
        cluster.wait_writable()
        lead = cluster.leader()
        until("the leader says why there is no witness", lambda: "is not believed" in cluster.master_processes[lead].log(), 40)
        check("clusterSecretFile" in cluster.master_processes[lead].log(), "and what to do")
        check(not status(cluster, lead).get("Witness"), "who does not know the secret does not vote")
        # Started with it, it votes, and one master alone goes on.
        server = cluster.volume_processes[0]
        server.stop()
        server.argv.append(secret)
        server.start()
        lead = with_witness(cluster, 90)
        cluster.master_processes[1 - lead].kill()
        until("a write without the follower", lambda: put(cluster.masters[lead], "a", "2"), 10)
        cluster.master_processes[1 - lead].start()
        until("the follower is back", lambda: status(cluster, 1 - lead).get("Leader"), 10)
        in_sync(cluster)
        cluster.master_processes[lead].kill()
        until("a write without the old leader", lambda: put(cluster.masters[1 - lead], "a", "3"), 10)


def two_with_secret(volume_flags):
    cluster = Cluster(masters=2, volumes=1, master_flags=("-witness=auto", "-clusterSecretFile=./secret"), volume_flags=volume_flags)
    write_secret(cluster.folder / "secret")
    return cluster


if __name__ == "__main__":
    run([any_one_is_lost_and_writes_go_on, what_only_the_lost_one_had_is_not_lost, an_operator_takes_over,
         a_cluster_secret_is_the_witness_s_as_well])
