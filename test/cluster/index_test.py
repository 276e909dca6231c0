#!/usr/bin/env python3
"""Indexes on disk (`-index=leveldb` and its kin): files are written, overwritten and deleted, servers killed with -9, volumes
vacuumed and erasure-coded, the kind of index changed at a start. Every file reads as it was last acknowledged, and the
cache beside an .idx is used again after a kill and goes with its volume.
"""
import random

from harness import Client, Cluster, Http, check, payload, run, until
from shell_test import shell
from vacuum_test import GONE, Writer, check_copies, read, write_and_vacuum

FLAGS = ("-index=leveldb",)


def caches(cluster):
    return sorted(p.name for p in cluster.folder.rglob("*.hfidx") if p.is_dir())


def check_files(cluster, files):
    client, http = Client(cluster.masters), Http(10)
    for fid, data in files.items():
        url = until(f"{fid} has a holder", lambda f=fid: client.lookup(f.split(",")[0]).get("locations"))[0]["url"]
        got = read(http, url, fid)
        check(got == data, f"{fid}: {got if got == GONE else len(got)}, not {data if data == GONE else len(data)}")


def counts(cluster):
    return {one["Id"]: (one["FileCount"], one["DeleteCount"], one["DeletedByteCount"], one["Size"])
            for one in Http(10).json(cluster.volumes[0], "/status")[1]["Volumes"]}


def a_life_with_an_index_on_disk():
    with Cluster(masters=1, volumes=1, volume_flags=FLAGS) as cluster:
        cluster.wait_writable()
        client, http = Client(cluster.masters), Http(10)
        (cluster.folder / "v1" / "99.ldb").mkdir()
        files = {}
        for i in range(300):
            data = payload(i, 1 + i * 37 % 9000)
            assigned = client.assign()
            client.put(assigned, data)
            files[assigned["fid"]] = data
        for i, fid in enumerate(list(files)):
            if i % 5 == 0:
                check(http.request("DELETE", cluster.volumes[0], "/" + fid)[0] == 202, fid)
                files[fid] = GONE
            elif i % 7 == 0:
                files[fid] = payload(1000 + i, 500)
                client.put({"fid": fid, "url": cluster.volumes[0]}, files[fid])
        check(len(caches(cluster)) == len(counts(cluster)) > 0, f"{caches(cluster)}, {counts(cluster)}")
        check_files(cluster, files)
        before = counts(cluster)

        server = cluster.volume_processes[0]
        marks = [folder / "0" / "mark" for folder in cluster.folder.rglob("*.hfidx")]
        for mark in marks:
            mark.write_text("gone when it is made anew")
        server.kill()
        server.start()
        cluster.wait_writable()
        check_files(cluster, files)
        for volume, numbers in counts(cluster).items():  # wait_writable wrote one file
            check(numbers[1:3] == before[volume][1:3], f"volume {volume}: {numbers}, before the kill {before[volume]}")
        check(sum(mark.exists() for mark in marks) >= len(marks) - 1, "the indexes were made anew after a kill")

        # In memory and back.
        for flag in ("-index=memory", "-index=leveldbLarge"):
            server.stop()
            server.argv[-1] = flag
            server.start()
            cluster.wait_writable()
            check_files(cluster, files)
            for fid in [f for f in files if files[f] != GONE][:10]:
                check(http.request("DELETE", cluster.volumes[0], "/" + fid)[0] == 202, fid)
                files[fid] = GONE

        status, _, body = http.request("GET", cluster.masters[0], "/vol/vacuum?garbageThreshold=0.01")
        check(status == 200, f"{status} {body[:200]}")
        check_files(cluster, files)
        volume = next(iter(files)).split(",")[0]
        cache = next(cluster.folder.rglob(f"{volume}.hfidx"))
        check([p.name for p in cache.iterdir()] == ["1"], f"{list(cache.iterdir())}")

        kept = {fid: data for fid, data in files.items() if fid.split(",")[0] == volume}
        shell(cluster, f"lock\nec.encode -volumeId={volume} -dataShards=2 -parityShards=1\n", fails=None)
        check(f"{volume}.hfidx" not in caches(cluster), "the cache outlives its volume")
        check_files(cluster, kept)
        shell(cluster, f"lock\nec.decode -volumeId={volume}\n")
        check_files(cluster, kept)
        check(f"{volume}.hfidx" in caches(cluster), "the decoded volume has no index on disk")
        check((cluster.folder / "v1" / "99.ldb").is_dir(), "upstream's folder is gone")


def killed_again_and_again_while_it_is_vacuumed():
    with Cluster(masters=1, volumes=2, volume_flags=FLAGS) as cluster:
        cluster.wait_writable()
        writers = [Writer(cluster.masters, seed, "replication=001") for seed in range(3)]
        write_and_vacuum(cluster, writers, 6, random.Random(5))
        copies, _ = check_copies(cluster, writers)
        check(copies > 50, f"only {copies} copies compared")
        print(f"  {copies} copies compared")


if __name__ == "__main__":
    run([a_life_with_an_index_on_disk, killed_again_and_again_while_it_is_vacuumed])
