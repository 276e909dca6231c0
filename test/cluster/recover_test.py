#!/usr/bin/env python3
"""`weed recover`, as real processes: two of three masters are gone for good, the third goes on as a new cluster that
knows less than the lost ones did; nothing stored is lost, no key is given twice, and the old ones that come back are
turned away.
"""
import os
import shutil
import subprocess
import time

from harness import (Client, Cluster, Failure, Http, Load, NETWORK_ERRORS, Process, WEED, check, free_port, payload,
                     run, until)
from members_test import raft_ps


def recover(cluster, i, *flags, answer="", folder=None):
    """(status, stdout, stderr) of recover on master i."""
    done = subprocess.run([WEED, "-alsologtostderr=false", "recover", f"-mdir={folder or cluster.folder / f'm{i + 1}'}",
                           f"-port={cluster.master_ports[i]}", *flags], input=answer, capture_output=True, text=True,
                          timeout=60)
    return done.returncode, done.stdout, done.stderr


def files_below(folder):
    return {str(p.relative_to(folder)): (p.stat().st_size, p.read_bytes()) for p in sorted(folder.rglob("*"))
            if p.is_file()}


def key_of(fid):
    return int(fid.split(",")[1][:-8], 16)


def leads(cluster, i):
    return Http(1.0).json(cluster.masters[i], "/cluster/status")[1].get("IsLeader")


def the_last_of_three_goes_on_alone():
    with Cluster() as cluster:
        cluster.wait_writable()
        old = cluster.folder / "old-disks"
        last = (cluster.leader() + 1) % 3
        gone = [i for i in range(3) if i != last]
        status, _, err = recover(cluster, last, "-yes")
        check(status == 1 and "stop it first" in err, f"recover beside a running master: {status} {err}")

        # The last one falls behind: what the others agree on meanwhile it will never learn.
        first = Load(cluster.masters, writers=2, readers=0).start()
        time.sleep(0.5)
        cluster.master_processes[last].kill()
        time.sleep(0.3)
        client = Client([cluster.masters[i] for i in gone])
        behind = [until("an upload through the two", lambda n=n: client.upload(payload(n, 500), f"collection=c{n}"))
                  for n in range(3)]
        cluster.master_processes[gone[0]].kill()
        cluster.master_processes[gone[0]].start()  # another incarnation, other key blocks
        time.sleep(0.5)
        first.stop()
        check(len(first.acknowledged) > 50, f"only {len(first.acknowledged)} files")
        highest = max([int(k, 16) for k in first.assigned] + [key_of(f) for f in behind])

        # With one other alive there is a majority, and no need.
        cluster.master_processes[gone[1]].kill()
        status, out, err = recover(cluster, last, "-yes")
        check(status == 1 and "which is a majority" in err, f"recover although two of three live: {status} {out} {err}")
        cluster.master_processes[gone[0]].kill()
        for i in gone:
            shutil.copytree(cluster.folder / f"m{i + 1}", old / f"m{i + 1}")
            shutil.rmtree(cluster.folder / f"m{i + 1}")
            (cluster.folder / f"m{i + 1}").mkdir()

        # Started as always it leads nothing. Asked and not answered with yes, nothing changes.
        cluster.master_processes[last].start()
        time.sleep(1)
        check(not Http(1.0).json(cluster.masters[last], "/cluster/status")[1].get("Leader"), "leads without a majority")
        cluster.master_processes[last].stop()
        own = cluster.folder / f"m{last + 1}" / f"m{cluster.master_ports[last]}"
        before = {name: data for name, data in files_below(own).items() if name != "lock"}
        for answer in ("", "no\n", "y\n"):
            status, out, err = recover(cluster, last, answer=answer)
            check(status == 1 and "nothing was changed" in err, f"{answer!r}: {status} {out} {err}")
        for part in ("What may be lost", "2^40 keys", f"{cluster.masters[gone[0]]} votes, does not answer", "last log entry"):
            check(part in out, f"not said: {part!r}\n{out}")
        after = {name: data for name, data in files_below(own).items() if name != "lock"}
        changed = [n for n in set(before) | set(after)
                   if before.get(n) != after.get(n) and not n.startswith(("log/", "vote", "progress"))]
        check(not changed, f"an unanswered recover changed {changed}")
        status, out, err = recover(cluster, last, answer="yes\n")
        check(status == 0 and "Done" in out, f"{status} {out} {err}")
        status, _, err = recover(cluster, last, "-yes")
        check(status == 1 and "only voter" in err, f"recover a second time: {status} {err}")

        # It leads alone, knows all files, and gives out keys above all that were ever given.
        cluster.master_processes[last].start()
        until("it leads", lambda: leads(cluster, last), 5)
        alone = Client([cluster.masters[last]])
        until("an upload", lambda: alone.upload(b"first after the recovery"), 15)
        for n, fid in enumerate(behind):
            check(until("a file it never knew of", lambda fid=fid: alone.read(fid)) == payload(n, 500), "reads back wrong")
        second = Load([cluster.masters[last]], writers=2, readers=1).start()
        time.sleep(1.0)

        # Both old ones come back from their disks, which were a majority once.
        for i in gone:
            shutil.rmtree(cluster.folder / f"m{i + 1}")
            shutil.copytree(old / f"m{i + 1}", cluster.folder / f"m{i + 1}")
            cluster.master_processes[i].start()
        for i in gone:
            until(f"old master {i + 1} ends", lambda i=i: not cluster.master_processes[i].alive(), 10)
            log = cluster.master_processes[i].log()
            check("lost its majority and an operator had it go on as cluster" in log, f"it does not say why: {log[-1500:]}")
        check(leads(cluster, last), "the recovered master was disturbed")
        # One of them again, called otherwise and without -peers: it finds its way to the same answer.
        i = gone[0]
        moved = free_port()
        folder = cluster.folder / "moved"
        folder.mkdir()
        shutil.copytree(old / f"m{i + 1}" / f"m{cluster.master_ports[i]}", folder / f"m{moved}")
        stray = Process("stray", [WEED, "-logtostderr=true", "master", "-ip=localhost", f"-port={moved}", f"-mdir={folder}"],
                        cluster.folder, {"TMPDIR": str(cluster.folder)}).start()
        try:
            until("the moved old master ends", lambda: not stray.alive(), 10)
            check("lost its majority" in stray.log(), stray.log()[-1500:])
        finally:
            stray.kill()

        # With their folders emptied they join, and then any one may die again.
        for i in gone:
            shutil.rmtree(cluster.folder / f"m{i + 1}")
            (cluster.folder / f"m{i + 1}").mkdir()
            cluster.master_processes[i].start()
        until("three vote", lambda: sorted(s for _, s in raft_ps(cluster.masters).values()) == ["Leader", "Voter", "Voter"])
        second.masters = cluster.masters
        cluster.master_processes[last].kill()
        client = Client([cluster.masters[i] for i in gone])
        until("an upload without the recovered one", lambda: client.upload(b"again"), 10)
        cluster.master_processes[last].start()
        time.sleep(0.5)
        second.stop()
        check(len(second.acknowledged) > 50, f"only {len(second.acknowledged)} files after the recovery")
        lowest = min(int(k, 16) for k in second.assigned)
        check(lowest > highest, f"key {lowest:x} was given after the recovery, {highest:x} before it")
        for load in (first, second):
            load.masters = cluster.masters
            load.verify()
        # An old member that joins the new cluster has learned whose place that took: it turns the old disks away as well.
        learned = [p for i in gone for p in (cluster.folder / f"m{i + 1}").rglob("identity.json")]
        check(len(learned) == 2 and all('"superseded"' in p.read_text() for p in learned), "the joined ones do not know")
        print(f"  highest key before 0x{highest:x}, lowest after 0x{lowest:x}; {len(first.acknowledged)} files before, "
              f"{len(second.acknowledged)} after")


def two_recovered_from_one_cluster_do_not_both_go_on():
    for at_once in (False, True):
        with Cluster(volumes=1) as cluster:
            cluster.wait_writable()
            until("all three know of a volume", lambda: all(
                Http(1.0).json(m, "/cluster/status")[1].get("MaxVolumeId") for m in cluster.masters))
            for process in cluster.master_processes:
                process.kill()
            for i in (0, 1):
                status, out, err = recover(cluster, i, "-yes")
                check(status == 0, f"{status} {out} {err}")
                process = cluster.master_processes[i]
                process.argv = [a for a in process.argv if not a.startswith("-peers=")]
            cluster.master_processes[1].start()
            if not at_once:
                # One that is at work, which the volume server has followed, is not disturbed by the other's start.
                until("an upload", lambda: Client([cluster.masters[1]]).upload(b"x"), 15)
                until("the volume server belongs to it", lambda: "has taken over the volumes" in
                      cluster.volume_processes[0].log(), 15)
            cluster.master_processes[0].start()
            until("one of them ends", lambda: not all(cluster.master_processes[i].alive() for i in (0, 1)), 15)
            ended = next(i for i in (0, 1) if not cluster.master_processes[i].alive())
            check(at_once or ended == 0, "the one at work has ended")
            check("two masters were recovered from one lost cluster" in cluster.master_processes[ended].log(),
                  "it does not say why")
            until("an upload", lambda: Client([cluster.masters[1 - ended]]).upload(b"x"), 15)
            time.sleep(1)
            check(cluster.master_processes[1 - ended].alive(), "both ended")
            # The third is not recovered any more while a successor can be asked.
            status, _, err = recover(cluster, 2, "-yes")
            check(status == 1 and "one successor only" in err, f"{status} {err}")


def wrong_calls_are_answered_in_words():
    with Cluster(masters=1, volumes=0) as cluster:
        cluster.leader()
        cluster.master_processes[0].stop()
        status, _, err = recover(cluster, 0)
        check(status == 1 and "only voter of its cluster" in err, f"{status} {err}")
        done = subprocess.run([WEED, "recover", f"-mdir={cluster.folder / 'm1'}"], capture_output=True, text=True)
        check(done.returncode == 1 and f"-port={cluster.master_ports[0]}" in done.stderr, f"{done.returncode} {done.stderr}")
        done = subprocess.run([WEED, "recover"], capture_output=True, text=True)
        check(done.returncode == 2 and "Usage" in done.stderr, f"{done.returncode} {done.stderr}")


if __name__ == "__main__":
    run([the_last_of_three_goes_on_alone, two_recovered_from_one_cluster_do_not_both_go_on,
         wrong_calls_are_answered_in_words])
