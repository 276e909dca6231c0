#!/usr/bin/env python3
"""Rolling upgrade from the first release: a cluster of its binary, masters and volume servers, becomes one of the present
binary, process by process, leaders among them, while files are written and read. Nothing is lost, no key is given twice,
what works at each step is printed as a table, and what the old ones do not understand (the key-value space, leases) is
off until the last of them is gone, and on then. HOLDFAST_OLD names the old program; without it the test is skipped
(tools/upgrade_test.sh builds it). mixed_versions_test.py has the steps between two levels one by one."""
import os
import pathlib
import re
import sys
import time

from harness import NETWORK_ERRORS, WEED, Cluster, Failure, Http, Load, check

OLD = os.environ.get("HOLDFAST_OLD", "")
SKIPPED = 77

# What is tried at each step, at every master: a method, a path, and whether the answer means that it works.
TRIED = (
    ("assign", "GET", "/dir/assign"),
    ("lookup", "GET", "/dir/lookup?volumeId=1"),
    ("page", "GET", "/"),
    ("who holds the lease", "GET", "/cluster/lease"),
    ("version vector", "GET", "/cluster/member"),
    ("step down", "POST", "/cluster/leader/stepdown"),
    ("key-value space", "PUT", "/cluster/kv/tried"),
)


def works(address, method, path):
    for _ in range(40):
        try:
            status, _, _ = Http(5).request(method, address, path, b"x" if method == "PUT" else None)
        except NETWORK_ERRORS:
            status = 503
        # 500: a leader that was just elected has not heard the others yet, and keeps the lead.
        if status not in (500, 503):
            return status == 200
        time.sleep(0.1)
    return False


def in_force(address):
    """(feature level, longest lease in ms) as this master tells them; nothing where it is of the first release."""
    http = Http(5)
    try:
        status, lease = http.json(address, "/cluster/lease")
        told = re.search(r"feature level (\d+)", http.request("GET", address, "/ui/index.html")[2].decode())
        return (int(told.group(1)), lease["capMs"]) if status == 200 and told else None
    except (*NETWORK_ERRORS, ValueError, KeyError):
        return None
    finally:
        http.close()


def still_off(cluster):
    found = [in_force(address) for address in cluster.masters]
    # Level 0: it has just started, and not read its log.
    check(all(one is None or (one[0] <= 1 and one[1] == 0) for one in found), f"a new feature is on beside the first release: {found}")


def row(cluster, name):
    """At how many masters each thing works."""
    out = [name]
    for _, method, path in TRIED:
        done = [works(address, method, path) for address in cluster.masters]
        out.append("yes" if all(done) else f"{sum(done)} of {len(done)}" if any(done) else "no")
        if method == "POST":
            cluster.leader(seconds=20)
    return out


def replace(cluster, process, load):
    check(process.stop() == 0, f"{process.name} did not stop cleanly")
    process.argv[process.argv.index(OLD)] = WEED
    if process.name.startswith("master"):
        process.argv.append("-leaseReads=on")  # also on machines whose clock may stop; the old one knows no such flag
    before = len(load.acknowledged)
    process.start()
    cluster.leader(seconds=20)
    end = time.monotonic() + 20
    while len(load.acknowledged) < before + 20:  # files go on
        check(time.monotonic() < end, f"no uploads after {process.name} was replaced")
        time.sleep(0.05)


def table(rows):
    heads = ["", *(name for name, _, _ in TRIED)]
    widths = [max(len(r[i]) for r in [heads, *rows]) for i in range(len(heads))]
    for line in [heads, ["-" * w for w in widths], *rows]:
        print("| " + " | ".join(text.ljust(w) for text, w in zip(line, widths)) + " |")


def main():
    with Cluster(masters=3, volumes=3, weed=OLD) as cluster:
        cluster.wait_writable()
        load = Load(cluster.masters, writers=2).start()
        rows = []
        try:
            rows.append(row(cluster, "all of the first release"))
            first = cluster.leader()
            others = [i for i in range(3) if i != first]
            replace(cluster, cluster.master_processes[others[0]], load)
            rows.append(row(cluster, "one master new"))
            still_off(cluster)
            # Whoever leads by now is next if it is old: a hand-over between releases.
            leader = cluster.leader()
            second = leader if leader != others[0] else others[1]
            replace(cluster, cluster.master_processes[second], load)
            rows.append(row(cluster, "two masters new"))
            for process in cluster.volume_processes:
                replace(cluster, process, load)
            rows.append(row(cluster, "and the volume servers"))
            still_off(cluster)
            last = [i for i in range(3) if i not in (others[0], second)][0]
            replace(cluster, cluster.master_processes[last], load)
            end = time.monotonic() + 20
            while not works(cluster.masters[0], "PUT", "/cluster/kv/a"):
                check(time.monotonic() < end, "the key-value space does not open when all masters are new")
            while not all(one and one[0] > 1 and one[1] > 0 for one in map(in_force, cluster.masters)):
                check(time.monotonic() < end, f"no leases when all masters are new: {[in_force(m) for m in cluster.masters]}")
                time.sleep(0.1)
            rows.append(row(cluster, "all new"))
        finally:
            load.stop()
        load.verify()
        check(rows[-1][1:] == ["yes"] * len(TRIED), f"not everything works in the end: {rows[-1]}")
        for r in rows:
            check(r[1] == r[2] == r[3] == "yes", f"files must go on at every step: {r}")
        check(Http(5).request("GET", cluster.masters[1], "/cluster/kv/a")[2] == b"x", "the key-value space reads back")

        def agree():
            facts = [Http(5).json(m, "/cluster/member")[1] for m in cluster.masters]
            return len({(f.get("digestAt"), f.get("digest")) for f in facts}) == 1
        end = time.monotonic() + 20
        while not agree():
            check(time.monotonic() < end, "the masters' states differ")
            time.sleep(0.3)
        table(rows)
        print(f"ok upgraded member by member: {len(load.acknowledged)} files, none lost, {len(load.assigned)} keys, none twice; "
              f"then feature level {in_force(cluster.masters[0])[0]}")


if __name__ == "__main__":
    if not OLD or not pathlib.Path(OLD).exists():
        print("0 passed, 0 failed, 1 skipped: HOLDFAST_OLD names no program; make upgrade-test builds it")
        sys.exit(SKIPPED)
    try:
        main()
    except Failure as failure:
        print(f"FAILED {failure}")
        sys.exit(1)
