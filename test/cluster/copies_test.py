#!/usr/bin/env python3
"""Copies under fire: volume servers are killed with -9 while replicated files are written.

Every acknowledged file must be on each of its holders afterwards, byte for byte.
"""
import os
import random
import time

from harness import Client, Cluster, Http, Load, check, payload, run

SECONDS = int(os.environ.get("COPIES_SECONDS", "20"))


def every_holder_has_every_acknowledged_file():
    with Cluster(masters=3, volumes=3) as cluster:
        cluster.wait_writable()
        load = Load(cluster.masters, writers=4, sizes=(1, 400_000), query="replication=001").start()
        chance = random.Random(7)
        kills, until = 0, time.monotonic() + SECONDS
        while time.monotonic() < until:
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


if __name__ == "__main__":
    run([every_holder_has_every_acknowledged_file])
