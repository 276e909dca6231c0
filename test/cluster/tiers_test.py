#!/usr/bin/env python3
"""Volumes that go to other storage (docs/tiers.md), against live clusters: from hdd to ssd and back, to a bucket of S3 and back.
Every file must read back byte for byte all the time, deleted ones stay deleted, copies stand where their placement asks, and a move
that breaks off leaves a volume that can be read and written.
"""
import json
import re
import signal
import subprocess
import threading
import time

import s3_server
from harness import BIN, Client, Cluster, Failure, check, payload, run, split_address, until
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
        for volume in volumes:
            found = re.search(rf"volume {volume} of collection cold: from (\S+), (\S+) to ", out)
            check(found and set(found.groups()) == set(cluster.volumes[:2]), out)
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


# --- to a bucket ---

QUIET = "-fullPercent=0.1 -quietFor=0s"


def with_stores(cluster, *tomls):
    """Its masters read these at the start, and again at SIGHUP."""
    (cluster.folder / "master.toml").write_text("\n".join(tomls))
    return cluster


def go_away(s3):
    def hang_up(*_):
        raise ConnectionResetError
    s3.fault = hang_up  # on connections that are there already
    s3.stop()


def back_again(s3):
    """A bucket that was stopped, where it was and with what was in it."""
    fresh = s3_server.S3Server(bucket=s3.bucket, port=s3.server.server_address[1])
    fresh.objects, fresh.etags = s3.objects, s3.etags
    return fresh.start()


def backends_told(cluster):
    """By GetMasterConfiguration."""
    host, port = split_address(cluster.masters[0])
    done = subprocess.run([str(BIN / "holdfast_rpc"), f"{host}:{port + 10000}", "Seaweed/GetMasterConfiguration", "{}"],
                          capture_output=True, text=True, timeout=20, check=True)
    return sorted((b["id"], b["properties"]["bucket"]) for b in json.loads(done.stdout)["storage_backends"])


def dats(cluster, volume):
    return sorted(str(p.relative_to(cluster.folder)) for p in cluster.folder.glob(f"v*/*_{volume}.dat"))


def remote_name(cluster, volume):
    """Of its one holder; "" while none tells."""
    lines = [volumes[volume] for volumes in tree(cluster).values() if volume in volumes]
    check(len(lines) == 1, f"volume {volume} has {len(lines)} holders")
    found = re.search(r'remote_storage_name:"([^"]*)"', lines[0])
    return found[1] if found else ""


def upload_quiet(cluster, flags, volumes):
    """Until all of them went: some may have been written to a moment ago."""
    out = ""

    def all_went():
        nonlocal out
        out += shell(cluster, f"lock\nvolume.tier.upload {flags} {QUIET}\n")
        return all(f"volume {v}: lies in" in out for v in volumes)

    until("all went", all_went, seconds=60)


def ranges_read_back(client, fid, data):
    url = client.lookup(fid.split(",")[0])["locations"][0]["url"]
    for begin, end in ((0, 0), (1, 1000), (len(data) // 2, len(data) - 1), (len(data) - 1, len(data) - 1)):
        status, headers, body = client.http.request("GET", url, "/" + fid, headers={"Range": f"bytes={begin}-{end}"})
        check(status == 206 and body == data[begin:end + 1], f"{fid} bytes {begin}-{end}: {status}, {len(body)} bytes")
    status, headers, _ = client.http.request("HEAD", url, "/" + fid)
    check(status == 200 and int(headers["content-length"]) == len(data), f"HEAD {fid}: {status} {headers}")


def volumes_go_to_a_bucket_and_come_back():
    with s3_server.S3Server(bucket="cold") as s3, \
            with_stores(Cluster(masters=3, volumes=3, volume_flags=["-max=40", "-rack=r1"], sizes="20",
                                master_flags=["-healAfter=3s"]), s3.master_toml()) as cluster:
        cluster.wait_writable()
        client = Client(cluster.masters, timeout=10)
        query = "replication=001&collection=cold"
        written = files(client, 60, query)
        large = payload(77, 9_000_000)
        written[client.upload(large, query)] = large
        deleted = list(written)[:40:8]
        for fid in deleted:
            delete(client, fid)
        volumes = volumes_of(written)
        living = {fid: data for fid, data in written.items() if fid not in deleted}
        check(all(len(dats(cluster, v)) == 2 for v in volumes), "not two copies each")

        shell(cluster, f"volume.tier.upload -dest=s3 {QUIET}\n", fails='need to run "lock" first')
        shell(cluster, "lock\nvolume.tier.upload\n", fails="-dest must say which store")
        check("no volume is full and quiet" in shell(cluster, "lock\nvolume.tier.upload -dest=s3 -quietFor=0s\n"), "not full")
        check("no volume is full and quiet" in shell(cluster, "lock\nvolume.tier.upload -dest=s3 -fullPercent=0.1\n"), "not quiet")
        with Reader(cluster, living):
            upload_quiet(cluster, "-dest=s3 -collectionPattern=cold", volumes)
        for volume in volumes:
            check(remote_name(cluster, volume) == "s3", tree(cluster))
            check(dats(cluster, volume) == [], dats(cluster, volume))
        check(len(s3.objects) == len(volumes), f"{len(s3.objects)} objects for {len(volumes)} volumes")
        verify(client, written, deleted)
        for fid in (next(fid for fid in living if len(living[fid]) > 3000), next(f for f in living if living[f] == large)):
            ranges_read_back(client, fid, living[fid])

        # Files are deleted there, and new ones go elsewhere.
        more = list(living)[1::5]
        for fid in more:
            delete(client, fid)
        deleted += more
        new = files(client, 10, query)
        check(not set(volumes_of(new)) & set(volumes), "a volume in the bucket was written to")
        verify(client, {**written, **new}, deleted)

        # One holder is what there is to be: nobody makes another one, and nobody moves it.
        time.sleep(5)
        check(all(len(holders(cluster, v)) == 1 for v in volumes), "a copy was made")
        out = shell(cluster, "volume.fix.replication\n")
        check(not any(f"volume {v} " in out or f"volume {v}:" in out for v in volumes), out)
        one = volumes[0]
        holder = holders(cluster, one)[0]
        other = next(s for s in cluster.volumes if s != holder)
        for command in (f"volume.move -volumeId={one} -source={holder} -target={other}",
                        f"volume.copy -volumeId={one} -source={holder} -target={other}", f"ec.encode -volumeId={one}"):
            shell(cluster, f"lock\n{command}\n", fails=f"volume {one} lies in s3, and only {holder} knows where: bring it back first")
        out = shell(cluster, f"volumeServer.evacuate -node={holder}\n", fails="not everything fits elsewhere")
        check(f"volume {one} of {holder} lies in s3, and only this server knows where" in out, out)
        shell(cluster, "lock\nvolume.balance -apply\n")
        check(holders(cluster, one) == [holder] and remote_name(cluster, one) == "s3", "it was moved")

        # It comes back after a restart of all, without the masters' help for its place, and what was deleted stays so.
        for process in cluster.processes():
            process.stop()
        # Of one nothing but its index and its .vif is saved, on another server.
        there = cluster.folder / f"v{cluster.volumes.index(other) + 1}"
        for end in ("idx", "vif"):
            (cluster.folder / f"v{cluster.volumes.index(holder) + 1}" / f"cold_{one}.{end}").rename(there / f"cold_{one}.{end}")
        for process in cluster.processes():
            process.start()
        until("all are back", lambda: all(len(holders(cluster, v)) == 1 for v in volumes))
        check(holders(cluster, one) == [other], holders(cluster, one))
        cluster.wait_writable()

        def all_read():
            try:
                verify(client, {**written, **new}, deleted)
                return True
            except Failure as failure:
                check(" 404" not in str(failure), failure)  # for a moment 503: no master has told of the bucket yet
                return False
        until("all read back", all_read)

        # What was deleted is taken out.
        before = sum(len(o) for o in s3.objects.values())
        gone = [fid for fid in living if fid not in deleted][::2]
        for fid in gone:
            delete(client, fid)
        deleted += gone
        until("the masters know how much", lambda: "instead of" in
              shell(cluster, "lock\nvolume.tier.compact -collectionPattern=cold -garbageThreshold=0.2\n", seconds=60))
        check(len(s3.objects) == len(volumes) and sum(len(o) for o in s3.objects.values()) < before, f"{len(s3.objects)} objects")
        check(all(remote_name(cluster, v) == "s3" for v in volumes), tree(cluster))
        verify(client, {**written, **new}, deleted)

        # And back, with all copies.
        with Reader(cluster, {fid: data for fid, data in written.items() if fid not in deleted}):
            out = shell(cluster, "lock\nvolume.tier.download -collectionPattern=cold\n")
        check(all(f"volume {v}: is at " in out for v in volumes), out)
        check(s3.objects == {}, f"{list(s3.objects)} stay in the bucket")
        until("all copies are made again", lambda: all(len(dats(cluster, v)) == 2 for v in volumes), seconds=60)
        until("they take writes", lambda: not any("read_only" in line for v in tree(cluster).values() for line in v.values()))
        shell(cluster, "lock\nvolume.check.disk -slow\n")
        verify(client, {**written, **new}, deleted)
        shell(cluster, f"lock\nvolume.tier.download -volumeId={one}\n", fails="it lies in no store outside the cluster")
        shell(cluster, f"lock\nvolume.tier.compact -volumeId={one}\n", fails="it is not held by one server with its data in a store")
        print(f"  {len(volumes)} volumes there and back")


def a_bucket_that_says_no_leaves_the_volume_on_the_disk():
    s3 = s3_server.S3Server(bucket="cold").start()
    try:
        good = s3.master_toml()
        wrong = s3.master_toml(id="wrong").replace(s3.secret_key, "another secret")
        none = s3.master_toml(id="none").replace('"cold"', '"nosuch"')
        check("another secret" in wrong and '"nosuch"' in none, wrong + none)
        with with_stores(Cluster(masters=1, volumes=2, volume_flags=["-max=20", "-rack=r1"]), wrong, none) as cluster:
            cluster.wait_writable()
            client = Client(cluster.masters, timeout=10)
            written = files(client, 20, "replication=001&collection=cold")
            volume = volumes_of(written)[0]
            for dest, words in (("s3.wrong", "SignatureDoesNotMatch"), ("s3.none", "NoSuchBucket"),
                                ("s3", "s3 is no storage backend: the masters' master.toml names s3.none, s3.wrong")):
                shell(cluster, f"lock\nvolume.tier.upload -volumeId={volume} -dest={dest}\n", fails=words)
                check(len(dats(cluster, volume)) == 2 and len(holders(cluster, volume)) == 2, "copies are gone")
                until("it takes writes", lambda: all("read_only" not in v[volume] for v in tree(cluster).values()))
            verify(client, written)
            # The masters learn of a store without a restart.
            with_stores(cluster, good, wrong)
            cluster.master_processes[0].signal(signal.SIGHUP)
            until("the volume servers know", lambda: all("s3: volumes may lie there" in p.log() for p in cluster.volume_processes))
            check(backends_told(cluster) == [("default", "cold"), ("wrong", "cold")], backends_told(cluster))
            shell(cluster, f"lock\nvolume.tier.upload -volumeId={volume} -dest=s3.none\n", fails="names s3, s3.wrong")
            out = shell(cluster, f"lock\nvolume.tier.upload -volumeId={volume} -dest=s3\n")
            check(f"volume {volume}: lies in s3" in out, out)
            fid = next(f for f in written if int(f.split(",")[0]) == volume)
            url = client.lookup(fid.split(",")[0])["locations"][0]["url"]
            shell(cluster, f"lock\nvolume.tier.upload -volumeId={volume} -dest=s3.wrong\n", fails="lies in s3 already: bring it back first")
            # The bucket is away: what lies there is not to be had, and is not gone.
            go_away(s3)
            status, _, body = client.http.request("GET", url, "/" + fid, timeout=30)
            check(status == 503, f"{status} {body!r}")
            shell(cluster, f"lock\nvolume.tier.download -volumeId={volume}\n", fails="VolumeTierMoveDatFromRemote at")
            check(remote_name(cluster, volume) == "s3", "it is not told so any more")
            elsewhere = {f: d for f, d in written.items() if int(f.split(",")[0]) != volume}
            verify(client, elsewhere)
            s3 = back_again(s3)
            verify(client, written)
            shell(cluster, f"lock\nvolume.tier.download -volumeId={volume}\n")
            check(s3.objects == {}, "it stays in the bucket")
            verify(client, written)
    finally:
        s3.stop()


def an_upload_that_breaks_off_leaves_the_volume_on_the_disk():
    hold, held = threading.Event(), threading.Event()

    def wait(method, *_):
        if method == "PUT" and not hold.is_set():
            held.set()
            hold.wait(60)

    with s3_server.S3Server(bucket="cold", fault=wait) as s3, \
            with_stores(Cluster(masters=1, volumes=2, volume_flags=["-max=20", "-rack=r1"]), s3.master_toml(id="slow")) as cluster:
        cluster.wait_writable()
        client = Client(cluster.masters, timeout=10)
        written = files(client, 20, "replication=001&collection=cold")
        volume = volumes_of(written)[0]
        upload = f"volume.tier.upload -volumeId={volume} -dest=s3.slow"
        process = shell_process(cluster)
        process.stdin.write(f"lock\n{upload}\n")
        process.stdin.flush()
        check(held.wait(20), "nothing was sent")
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=30)
        check(process.returncode == 130 and f"volume.mark -volumeId={volume}" in errors, errors)
        hold.set()
        until("nothing stays in the bucket", lambda: s3.objects == {})
        check(len(dats(cluster, volume)) == 2, "a copy is gone")
        verify(client, written)
        # The same again, with the .dat kept.
        out = shell(cluster, f"lock\n{upload} -keepLocalDatFile\n", fails="waiting for the admin lock")
        check(f"volume {volume}: lies in s3.slow" in out, out)
        check(len(dats(cluster, volume)) == 1 and len(s3.objects) == 1, f"{dats(cluster, volume)} {list(s3.objects)}")
        go_away(s3)
        verify(client, written)  # of the .dat that was kept
        later = back_again(s3)
        shell(cluster, f"lock\n{upload}\n")
        check(dats(cluster, volume) == [] and len(s3.objects) == 1, f"{dats(cluster, volume)} {list(s3.objects)}")
        verify(client, written)
        # Deleted, it goes from the bucket too; and with its collection.
        s3 = later
        shell(cluster, f"lock\nvolume.delete -volumeId={volume} -node={holders(cluster, volume)[0]}\n")
        until("its object is gone", lambda: s3.objects == {})
        shell(cluster, f"lock\nvolume.tier.upload -volumeId={volumes_of(written)[1]} -dest=s3.slow\n")
        check(len(s3.objects) == 1, f"{list(s3.objects)}")
        shell(cluster, "lock\ncollection.delete -collection=cold -apply\n")
        until("its object is gone", lambda: s3.objects == {})
        s3.stop()


if __name__ == "__main__":
    run([volumes_go_to_a_bucket_and_come_back, a_bucket_that_says_no_leaves_the_volume_on_the_disk,
         an_upload_that_breaks_off_leaves_the_volume_on_the_disk, full_and_quiet_volumes_go_from_hdd_to_ssd, servers_with_disks_of_both_kinds_change_places,
         a_move_that_breaks_off_leaves_the_volume_as_it_was])
