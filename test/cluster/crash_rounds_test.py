#!/usr/bin/env python3
"""kill -9 of a volume server at random points of uploads, vacuum, erasure coding and copies, round after round, while files are
uploaded all the time. After each death everything acknowledged reads back, what was deleted stays so, and nothing half is left.

    test/cluster/crash_rounds_test.py --rounds 500 --seed 7
"""
import argparse
import os
import random
import threading
import time

from harness import NETWORK_ERRORS, Client, Cluster, Failure, Http, check, payload, run, until
from volume_move_test import rpc, rpc_process

ROUNDS, SEED = 12, int.from_bytes(os.urandom(4), "big")
COLLECTION = "c"
SHARDS = list(range(14))


class Uploads(threading.Thread):
    """Uploads all the time; knows each file that was acknowledged."""

    def __init__(self, masters):
        super().__init__(daemon=True)
        self.client, self.draw = Client(masters, timeout=5), random.Random(SEED)
        self.files, self.tried = {}, 0
        self.stopping = threading.Event()

    def run(self):
        while not self.stopping.is_set():
            seed, size = self.draw.getrandbits(62), self.draw.choice((10, 1000, 30_000, 400_000))
            self.tried += 1
            try:
                self.files[self.client.upload(payload(seed, size), f"collection={COLLECTION}")] = (seed, size)
            except (Failure, *NETWORK_ERRORS):
                time.sleep(0.02)
            time.sleep(0.004)


class Rounds:
    def __init__(self, cluster):
        self.cluster, self.chance, self.http = cluster, random.Random(SEED), Http(20)
        self.uploads = Uploads(cluster.masters)
        self.deleted, self.unsure = set(), set()  # unsure: the answer of a deletion was lost
        self.places = {}                          # volume -> number of its server
        self.whole = {}                           # what came to its end in spite of the kill, by kind

    def volumes(self, at):
        """Ids of the ordinary volumes with files that one server holds."""
        _, status = self.http.json(self.cluster.volumes[at], "/status")
        return [v["Id"] for v in status["Volumes"] if v["Collection"] == COLLECTION and v["FileCount"] > 0]

    def files_of(self, volume):
        return [fid for fid in list(self.uploads.files) if fid.startswith(f"{volume},")]

    def read(self, at, fid):
        status, _, data = self.http.request("GET", self.cluster.volumes[at], "/" + fid)
        check(status in (200, 404), f"{fid} at {self.cluster.volumes[at]}: {status} {data[:200]!r}")
        return data if status == 200 else None

    def verify(self, at, fids):
        for fid in fids:
            data = self.read(at, fid)
            if fid in self.deleted:
                check(data is None, f"{fid} was deleted and is there again")
            elif fid in self.unsure:
                check(data is None or data == payload(*self.uploads.files[fid]), f"{fid}: other bytes")
            else:
                check(data is not None, f"{fid} was acknowledged and is gone")
                check(data == payload(*self.uploads.files[fid]), f"{fid}: other bytes")

    # --- what is under way when a server dies; each gives how to wait for its end, and what must hold afterwards

    def upload(self, at, volume):
        return lambda: None, lambda: None

    def vacuum(self, at, volume):
        for fid in self.chance.sample(self.files_of(volume), len(self.files_of(volume)) // 5):
            if fid in self.deleted:
                continue
            self.unsure.add(fid)
            status, _, _ = self.http.request("DELETE", self.cluster.volumes[at], "/" + fid)
            if status in (202, 404):
                self.deleted.add(fid)
        answers = []

        def order():
            try:
                answers.append(Http(60).request("GET", self.cluster.masters[0], "/vol/vacuum?garbageThreshold=0.01")[0])
            except NETWORK_ERRORS:
                pass

        thread = threading.Thread(target=order, daemon=True)
        thread.start()
        return thread.join, lambda: None

    def erasure_code(self, at, volume):
        server = self.cluster.volumes[at]
        rpc(server, "VolumeMarkReadonly", {"volume_id": volume})
        coding = rpc_process(server, "VolumeEcShardsGenerate", {"volume_id": volume, "collection": COLLECTION})

        def after():
            names = [p.name for p in (self.cluster.folder / f"v{at + 1}").iterdir()]
            shards = [n for n in names if n.startswith(f"{COLLECTION}_{volume}.ec") and n[-2:].isdigit()]
            if coding.returncode == 0:
                check(len(shards) == 14, f"encoded, and there are {shards}")
                self.count("erasure_code")
            # With all its shards it comes up as an erasure-coded volume (spec/volume-format 8, rule 4), else as it was.
            coded = volume not in [v["Id"] for v in self.http.json(server, "/status")[1]["Volumes"]]
            if coded:
                check(len(shards) == 14, f"served from {shards}")
                self.verify(at, self.files_of(volume))
                rpc(server, "VolumeEcShardsUnmount", {"volume_id": volume, "shard_ids": SHARDS})
            rpc(server, "VolumeEcShardsDelete", {"volume_id": volume, "collection": COLLECTION, "shard_ids": SHARDS})
            if coded:
                rpc(server, "VolumeMount", {"volume_id": volume})
            rpc(server, "VolumeMarkWritable", {"volume_id": volume})
            left = [p.name for p in (self.cluster.folder / f"v{at + 1}").iterdir() if p.name.startswith(f"{COLLECTION}_{volume}.ec")]
            check(not left, f"left of the encoding: {left}")
        return coding.communicate, after

    def copy(self, at, volume):
        to = 1 - at
        coming = rpc_process(self.cluster.volumes[to], "VolumeCopy",
                             {"volume_id": volume, "collection": COLLECTION, "source_data_node": self.cluster.volumes[at]})

        def after():
            names = [p.name for p in (self.cluster.folder / f"v{to + 1}").iterdir() if p.name.startswith(f"{COLLECTION}_{volume}.")]
            if coming.returncode == 0:
                check(f"{COLLECTION}_{volume}.dat" in names, f"copied, and there are {names}")
                self.count("copy")
            if f"{COLLECTION}_{volume}.dat" in names:
                check(f"{COLLECTION}_{volume}.note" not in names, f"half a copy is kept: {names}")
                rpc(self.cluster.volumes[to], "VolumeDelete", {"volume_id": volume})
            else:
                check(not names, f"left of the copy: {names}")
        return coming.communicate, after

    def count(self, kind):
        self.whole[kind] = self.whole.get(kind, 0) + 1

    def is_served(self, at):
        until("the server is back", lambda: self.http.request("GET", self.cluster.volumes[at], "/status")[0] == 200)

    def one(self, number):
        at = self.chance.randrange(2)
        held = self.volumes(at)
        if not held:
            return False
        volume = self.chance.choice(held)
        kind = (self.upload, self.vacuum, self.erasure_code, self.copy)[number % 4]
        wait, after = kind(at, volume)
        time.sleep(self.chance.random() ** 2 * 0.6)
        victim = 1 - at if kind == self.copy and self.chance.random() < 0.5 else at
        self.cluster.volume_processes[victim].kill()
        wait()
        self.cluster.volume_processes[victim].start()
        self.is_served(victim)
        after()
        self.verify(at, self.files_of(volume)[-150:])
        return True

    def run(self):
        self.uploads.start()
        until("files are there", lambda: len(self.uploads.files) > 50, 30)
        done = number = 0
        while done < ROUNDS:
            number += 1
            check(number < ROUNDS + 100, "volumes with files are not to be found")
            try:
                done += self.one(number)
            except Exception as error:
                raise Failure(f"round {number}, seed {SEED}: {error}")
            if done % 50 == 0:
                self.verify_all()
        self.uploads.stopping.set()
        self.uploads.join()
        self.verify_all()
        print(f"  {done} deaths, seed {SEED}: {len(self.uploads.files)} files acknowledged ({self.uploads.tried} tried), "
              f"{len(self.deleted)} deleted, none lost, none back; came to their end all the same: {self.whole}")

    def verify_all(self):
        for at in range(2):
            for volume in self.volumes(at):
                self.verify(at, self.files_of(volume))


def nothing_acknowledged_is_lost():
    with Cluster(masters=1, volumes=2, volume_flags=["-max=20"], sizes="1000") as cluster:
        cluster.wait_writable()
        Rounds(cluster).run()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--seed", type=int, default=SEED)
    given, rest = parser.parse_known_args()
    ROUNDS, SEED = given.rounds, given.seed
    import sys
    sys.argv[1:] = rest
    run([nothing_acknowledged_is_lost])
