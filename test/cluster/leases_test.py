#!/usr/bin/env python3
"""Leases of the leading master with real processes: who holds one, that it moves without a wait at a hand-over, that it is
gone after a stop longer than itself, and that virtual machines and -leaseReads=off have none (docs/leases.md). The masters
run the binary of the next feature level, since leases wait until every master of a cluster knows them."""
import re
import signal
import sys
import time

from harness import BIN, NETWORK_ERRORS, Client, Cluster, Failure, Http, check, payload, run

NEXT = str(BIN / "next" / "weed")


def metrics(cluster, i):
    """The lease metrics of one master; empty while it does not answer."""
    http = Http(timeout=1.0)
    try:
        status, _, body = http.request("GET", cluster.masters[i], "/metrics")
        found = re.findall(r"^holdfast_raft_(is_leader|term|lease_held|lease_waits_total) (\S+)$", body.decode(), re.M)
        return {name: float(value) for name, value in found} if status == 200 else {}
    except NETWORK_ERRORS:
        return {}
    finally:
        http.close()


def holders(cluster, alive):
    seen = {i: metrics(cluster, i) for i in alive}
    return [i for i, m in seen.items() if m.get("lease_held") == 1], seen


def wait_holder(cluster, alive=(0, 1, 2), seconds=20):
    """The one master that leads and holds a lease."""
    end = time.monotonic() + seconds
    while True:
        held, seen = holders(cluster, alive)
        if len(held) == 1 and seen[held[0]].get("is_leader") == 1:
            return held[0], seen[held[0]]
        check(time.monotonic() < end, f"no single lease within {seconds} s: {seen}")
        time.sleep(0.05)


def upload(cluster, number, alive):
    client = Client([cluster.masters[i] for i in alive])
    end = time.monotonic() + 15
    while True:
        try:
            client.upload(payload(number, 2000))
            client.close()
            return
        except (Failure, *NETWORK_ERRORS) as error:
            check(time.monotonic() < end, f"no upload within 15 s: {error}")
            time.sleep(0.02)


def a_lease_is_held_and_handed_over_without_a_wait():
    with Cluster(weed=NEXT, master_flags=["-leaseReads=on"]) as cluster:
        cluster.wait_writable()
        old, before = wait_holder(cluster)
        others = [i for i in range(3) if i != old]
        check(cluster.master_processes[old].stop() == 0, "the leader did not stop cleanly")
        fresh, after = wait_holder(cluster, others)
        check(after["term"] > before["term"], f"term {after['term']} follows {before['term']}")
        waited = sum(metrics(cluster, i).get("lease_waits_total", 0) for i in others)
        check(waited == 0, "a hand-over left a lease to wait for")
        upload(cluster, 1, others)


def a_leader_that_was_stopped_for_longer_than_its_lease_holds_none():
    # Its guardian would say so, and nobody would wait: guardian_test.py.
    with Cluster(weed=NEXT, master_flags=["-leaseReads=on", "-leaderLease=500ms", "-guardian=false"]) as cluster:
        cluster.wait_writable()
        old, before = wait_holder(cluster)
        others = [i for i in range(3) if i != old]
        process = cluster.master_processes[old]
        process.signal(signal.SIGSTOP)
        try:
            fresh, _ = wait_holder(cluster, others)
            upload(cluster, 2, others)
        finally:
            process.signal(signal.SIGCONT)
        # The gauges may be a moment old; with the later term comes that the lease is gone, and it stays so.
        end = time.monotonic() + 10
        while metrics(cluster, old).get("term", 0) <= before["term"]:
            check(time.monotonic() < end, "the leader of the past does not learn of the later term")
            time.sleep(0.02)
        end = time.monotonic() + 1
        while time.monotonic() < end:
            held, seen = holders(cluster, range(3))
            check(old not in held or seen[old]["is_leader"] == 1, f"a master that does not lead holds a lease: {seen}")
        check("commits nothing for up to" in cluster.master_processes[fresh].log(),
              "the successor did not wait for the lease of one that only stood still")


def off_means_none():
    with Cluster(weed=NEXT, volumes=1, master_flags=["-leaseReads=off"]) as cluster:
        cluster.wait_writable()
        time.sleep(2)
        held, seen = holders(cluster, range(3))
        check(not held, f"a lease is held: {seen}")


def auto_says_so_on_a_virtual_machine():
    flags = open("/proc/cpuinfo", encoding="utf-8").read()
    virtual = "flags" not in flags or " hypervisor" in flags
    with Cluster(weed=NEXT, volumes=1) as cluster:
        cluster.wait_writable()
        if virtual:
            time.sleep(2)
            held, seen = holders(cluster, range(3))
            check(not held, f"a lease is held on a virtual machine: {seen}")
            for process in cluster.master_processes:
                told = process.log().count("this machine is virtual")
                check(told == 1, f"{process.name} says {told} times that it reads without leases")
        else:
            wait_holder(cluster)


if __name__ == "__main__":
    sys.exit(run([a_lease_is_held_and_handed_over_without_a_wait,
                  a_leader_that_was_stopped_for_longer_than_its_lease_holds_none, off_means_none,
                  auto_says_so_on_a_virtual_machine]))
