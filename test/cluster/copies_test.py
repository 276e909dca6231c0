#!/usr/bin/env python3
"""Copies under fire: volume servers are killed with -9 while replicated files are written.

Every acknowledged file must be on each of its holders afterwards, byte for byte.
"""
import os
import random
import time

from harness import Client, Cluster, Http, Load, check, payload, run, until
from volume_move_test import rpc

SECONDS = int(os.environ.get("COPIES_SECONDS", "20"))


def every_holder_has_every_acknowledged_file():
    with Cluster(masters=3, volumes=3) as cluster:
        cluster.wait_writable()
        load = Load(cluster.masters, writers=4, sizes=(1, 400_000), query="replication=001").start()
        chance = random.Random(7)
        kills, end = 0, time.monotonic() + SECONDS
        while time.monotonic() < end:
            time.sleep(chance.random() * 1.5)
            victim = chance.choice(cluster.volume_processes)
            victim.kill()
            kills += 1
            time.sleep(chance.random() * 0.5)
            victim.start()
        time.sleep(1)
        load.stop()
        time.sleep(1)
        load.verify()
        client, http, holders, copies = Client(cluster.masters), Http(10), {}, 0
        for fid, (seed, size) in load.acknowledged.items():
            volume = fid.split(",")[0]
            if volume not in holders:
                holders[volume] = [place["url"] for place in client.lookup(volume)["locations"]]
                check(len(holders[volume]) == 2, f"volume {volume} has the holders {holders[volume]}")
            for url in holders[volume]:
                answer = http.request("GET", url, "/" + fid)
                check(answer[0] == 200, f"{fid} at {url}: {answer[0]}")
                check(answer[2] == payload(seed, size), f"{fid} at {url} differs")
                copies += 1
        check(copies > 100, f"only {copies} copies were compared")
        print(f"  {copies} copies compared after {kills} kills")


def assigned_with_holders(cluster, client):
    fid = client.upload(b"first", "replication=001")
    holders = [place["url"] for place in client.lookup(fid.split(",")[0])["locations"]]
    return fid, holders, next(url for url in cluster.volumes if url not in holders)


def a_write_through_a_server_without_the_volume_needs_all_copies():
    with Cluster(masters=1, volumes=3) as cluster:
        cluster.wait_writable()
        client, http = Client(cluster.masters), Http(10)
        fid, holders, other = assigned_with_holders(cluster, client)
        check(http.request("PUT", other, "/" + fid, b"through another")[0] == 201, "not written through another server")
        for url in holders:
            check(http.request("GET", url, "/" + fid)[2] == b"through another", f"not at {url}")
        cluster.volume_processes[cluster.volumes.index(holders[1])].kill()
        for _ in range(40):  # also when the masters do not name it any more
            status, _, body = http.request("PUT", other, "/" + fid, b"with one copy gone")
            check(status >= 400, f"acknowledged with one copy of two: {status} {body}")
            time.sleep(0.1)


def a_deletion_needs_all_copies():
    with Cluster(masters=1, volumes=3) as cluster:
        cluster.wait_writable()
        client, http = Client(cluster.masters), Http(10)
        fid, holders, _ = assigned_with_holders(cluster, client)
        volume = fid.split(",")[0]
        fids = [fid] + [f"{volume},{client.assign('replication=001')['fid'].split(',')[1]}" for _ in range(3)]
        for one in fids[1:]:
            check(http.request("PUT", holders[0], "/" + one, b"to be deleted")[0] == 201, f"{one} not written")
        check(http.request("DELETE", holders[0], "/" + fids[1])[0] == 202, "not deleted")
        rpc(holders[1], "VolumeUnmount", {"volume_id": int(volume)})
        status, _, body = http.request("DELETE", holders[0], "/" + fids[2])
        check(status >= 400, f"acknowledged with one copy of two: {status} {body}")
        rpc(holders[1], "VolumeMount", {"volume_id": int(volume)})
        until("it is deleted when all are back", lambda: http.request("DELETE", holders[0], "/" + fids[3])[0] == 202)
        check(http.request("GET", holders[1], "/" + fids[3])[0] == 404, "not deleted at the other one")


if __name__ == "__main__":
    run([every_holder_has_every_acknowledged_file, a_write_through_a_server_without_the_volume_needs_all_copies,
         a_deletion_needs_all_copies])
