#!/usr/bin/env python3
"""Volumes that go to other storage (docs/tiers.md), against live clusters: from hdd to ssd and back. Every file must read back
byte for byte all the time, deleted ones stay deleted, copies stand where their placement asks, and a move that breaks off leaves a
volume that can be read and written.
"""
import re
import signal
import threading

from harness import Client, Cluster, Failure, check, run, until
from shell_test import delete, files, holders, shell, shell_process, tree, verify


def disks(cluster, volume):
    """server -> disk type on which it has the volume."""
    out, server, disk = {}, None, None
    for line in shell(cluster, f"volume.list -volumeId={volume}\n").splitlines():
        if found := re.match(r"\s+DataNode (\S+) ", line):
            server = found[1]
        elif found := re.match(r"\s+Disk (\S+) ", line):
            disk = found[1]
        elif re.match(rf"\s+volume id:{volume} ", line):
            out[server] = disk
    return out


def volumes_of(written):
    return sorted({int(fid.split(",")[0]) for fid in written})


def has_files(cluster, i, volume):
    return sorted(p.name for p in (cluster.folder / f"v{i + 1}").rglob(f"*_{volume}.*"))


class Reader:
    """Reads files one after the other until it is stopped; each must be there with its bytes."""

    def __init__(self, cluster, written):
        self.written, self.client = written, Client(cluster.masters)
        self.rounds, self.failure, self.stopping = 0, None, False
        self.thread = threading.Thread(target=self._run)

    def _run(self):
        try:
            while not self.stopping:
                verify(self.client, self.written)
                self.rounds += 1
        except Failure as failure:
            self.failure = failure

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, kind, *_):
        self.stopping = True
        self.thread.join()
        if kind is None:
            check(self.failure is None, f"while volumes moved: {self.failure}")
            check(self.rounds > 0, "nothing was read meanwhile")


def each(cluster, *flags):
    """Flags of the volume servers, one after the other."""
    for process, more in zip(cluster.volume_processes, flags):
        process.argv += more
    return cluster


# --- from disk to disk ---

def full_and_quiet_volumes_go_from_hdd_to_ssd():
    with each(Cluster(masters=1, volumes=5, volume_flags=["-max=40"], sizes="1"),
              ["-rack=r1"], ["-rack=r2"], ["-rack=r1", "-disk=ssd"], ["-rack=r2", "-disk=ssd"], ["-rack=r2", "-disk=ssd"]) as cluster:
        cluster.wait_writable()
        client = Client(cluster.masters)
        written = files(client, 80, "replication=010&collection=cold")
        others = files(client, 10, "replication=010&collection=warm")
        deleted = list(written)[::9]
        for fid in deleted:
            delete(client, fid)
        volumes = volumes_of(written)
        full = "-collectionPattern=cold -fullPercent=1 -quietFor=0s"
        move = f"volume.tier.move -toDiskType=ssd {full}"
        until("all are quiet, and told so", lambda: all(f"volume {v} of" in shell(cluster, f"lock\n{move}\n") for v in volumes))
        before = tree(cluster)

        shell(cluster, f"{move} -apply\n", fails='need to run "lock" first')
        out = shell(cluster, f"lock\n{move}\n")
        check(all(f"volume {v} of collection cold: from {', '.join(cluster.volumes[:2])} to " in out for v in volumes), out)
        check("of collection warm" not in out, out)
        for wish in ("-fullPercent=1", "-quietFor=0s"):  # not quiet; not full
            check("nothing to move" in shell(cluster, f"lock\nvolume.tier.move -toDiskType=ssd {wish}\n"), wish)
        shell(cluster, "lock\nvolume.tier.move\n", fails="-toDiskType must say which disks")
        shell(cluster, "lock\nvolume.tier.move -toDiskType=hdd\n", fails="-fromDiskType and -toDiskType are the same")
        shell(cluster, "lock\nvolume.tier.move -toDiskType=nvme\n", fails="no volume server has disks of type nvme")
        check(tree(cluster) == before, "a dry run changed something")

        living = {fid: data for fid, data in written.items() if fid not in deleted}
        with Reader(cluster, living):
            out = shell(cluster, f"lock\n{move} -apply\n")
        for volume in volumes:
            check(f"volume {volume}: moved" in out, out)
            there = disks(cluster, volume)
            check(set(there.values()) == {"ssd"} and len(there) == 2, there)
            check(cluster.volumes[2] in there, f"{volume}: not in both racks: {there}")
            check(not has_files(cluster, 0, volume) and not has_files(cluster, 1, volume), "files stay at the source")
            until("they take writes", lambda: all("read_only" not in tree(cluster)[s][volume] for s in there))
        check(all(set(disks(cluster, v).values()) == {"hdd"} for v in volumes_of(others)), "others moved, too")
        check("nothing to move" in shell(cluster, f"lock\n{move} -apply\n"), "it would go on")
        verify(client, written, deleted)
        verify(client, others)
        # They take files again, and deletions.
        more = files(client, 5, "replication=010&collection=cold&disk=ssd")
        check(set(volumes_of(more)) <= set(volumes), f"{volumes_of(more)} are new")
        delete(client, next(iter(living)))
        verify(client, {**written, **more}, deleted + [next(iter(living))])

        # Back, with one copy each.
        back = f"volume.tier.move -fromDiskType=ssd -toDiskType=hdd -toReplication=000 {full} -apply"
        written.update(more)
        deleted.append(next(iter(living)))
        until("all are quiet again", lambda: all(f"volume {v} of" in shell(cluster, f"lock\n{back[:-7]}\n") for v in volumes))
        shell(cluster, f"lock\n{back}\n")
        for volume in volumes:
            check(list(disks(cluster, volume).values()) == ["hdd"], disks(cluster, volume))
            check("replica_placement:0 " in tree(cluster)[holders(cluster, volume)[0]][volume], "its placement is the old one")
        verify(client, written, deleted)
        for process in cluster.volume_processes:
            process.stop()
            process.start()
        until("all are back", lambda: all(len(holders(cluster, v)) == 1 for v in volumes))
        verify(client, written, deleted)
        print(f"  {len(volumes)} volumes there and back")


def servers_with_disks_of_both_kinds_change_places():
    with each(Cluster(masters=1, volumes=3, volume_flags=["-max=20,20", "-disk=hdd,ssd"], sizes="1"),
              *[[f"-dir=./v{i},./v{i}/fast"] for i in (1, 2, 3)]) as cluster:
        for i in (1, 2, 3):
            (cluster.folder / f"v{i}/fast").mkdir(exist_ok=True)
        until("all are there", lambda: len(tree(cluster)) == 3)
        client = Client(cluster.masters)
        written = files(client, 40, "replication=001&collection=both")
        volumes = volumes_of(written)
        move = "volume.tier.move -toDiskType=ssd -fullPercent=1 -quietFor=0s"
        until("all are quiet", lambda: all(f"volume {v} of" in shell(cluster, f"lock\n{move}\n") for v in volumes))
        # With two servers each copy would have to go before the other one is made.
        third = {v: next(s for s in cluster.volumes if s not in holders(cluster, v)) for v in volumes}
        one = volumes[0]
        cluster.volume_processes[cluster.volumes.index(third[one])].stop()
        until("it is let go", lambda: len(tree(cluster)) == 2)
        shell(cluster, f"lock\n{move} -collectionPattern=both -apply\n", fails="there is no place on ssd for all their copies")
        check(set(disks(cluster, one).values()) == {"hdd"}, disks(cluster, one))
        cluster.volume_processes[cluster.volumes.index(third[one])].start()
        until("it is back", lambda: len(tree(cluster)) == 3 and all(len(holders(cluster, v)) == 2 for v in volumes))
        with Reader(cluster, written):
            shell(cluster, f"lock\n{move} -apply\n")
        for volume in volumes:
            there = disks(cluster, volume)
            check(list(there.values()) == ["ssd", "ssd"] and third[volume] in there, there)
        verify(client, written)


def a_move_that_breaks_off_leaves_the_volume_as_it_was():
    with each(Cluster(masters=1, volumes=2, volume_flags=["-max=20"], sizes="1"), ["-disk=hdd"], ["-disk=ssd"]) as cluster:
        until("all are there", lambda: len(tree(cluster)) == 2)
        client = Client(cluster.masters)
        written = files(client, 20, "collection=stays", sizes=(200_000, 300_000))
        volume = max(volumes_of(written), key=lambda v: sum(int(f.split(",")[0]) == v for f in written))
        source, target = cluster.volumes
        move = "volume.tier.move -toDiskType=ssd -fullPercent=1 -quietFor=0s -apply"
        until("it is quiet", lambda: f"volume {volume} of" in shell(cluster, f"lock\n{move[:-7]}\n"))

        def a_slow_move():
            process = shell_process(cluster)
            process.stdin.write(f"lock\n{move} -ioBytePerSecond=100000\n")
            process.stdin.flush()
            until("it copies", lambda: list((cluster.folder / "v2").glob("stays_*.note")))
            return process

        process = a_slow_move()
        cluster.volume_processes[1].kill()
        out, errors = process.communicate(timeout=60)
        check("was not moved: VolumeCopy at" in out and "volumes were not moved" in errors, out + errors)
        check("moved\n" not in out, out)
        cluster.volume_processes[1].start()
        until("the target is back", lambda: target in tree(cluster))
        until("only the source has it", lambda: holders(cluster, volume) == [source])
        until("it takes writes", lambda: all("read_only" not in line for line in tree(cluster)[source].values()))
        verify(client, written)

        process = a_slow_move()
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
        check(process.returncode == 130 and f"-node={source} -writable" in errors, errors)
        until("the target has removed what it had", lambda: not list((cluster.folder / "v2").glob("stays_*")))
        shell(cluster, "lock\nvolume.mark -collection=stays -writable\n", fails="waiting for the admin lock")
        until("it takes writes", lambda: all("read_only" not in line for line in tree(cluster)[source].values()))
        shell(cluster, f"lock\n{move}\n")
        check(disks(cluster, volume) == {target: "ssd"}, disks(cluster, volume))
        verify(client, written)


if __name__ == "__main__":
    run([full_and_quiet_volumes_go_from_hdd_to_ssd, servers_with_disks_of_both_kinds_change_places,
         a_move_that_breaks_off_leaves_the_volume_as_it_was])
