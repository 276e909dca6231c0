#!/usr/bin/env python3
"""kill -9 of a volume server at random points of uploads, vacuum, erasure coding and copies, round after round, while files are
uploaded all the time. After each death everything acknowledged reads back, what was deleted stays so, and nothing half is left.

And kill -9 of the server that gets the rest of another one's copy, of that one, and of the leader, at random points of that: it
stays a beginning of the other copy, and in the end both are equal.

    test/cluster/crash_rounds_test.py --rounds 500 --catch-up-rounds 100 --seed 7 [story ...]
"""
import argparse
import os
import random
import threading
import time

from harness import NETWORK_ERRORS, Client, Cluster, Failure, Http, check, digest, payload, run, until
from volume_move_test import rpc, rpc_process

ROUNDS, CATCH_UP_ROUNDS, SEED = 12, 4, int.from_bytes(os.urandom(4), "big")
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


class CatchUps:
    """Volumes with two copies, of which one is made the longer one again and again: by writes and deletions that only it is told of, as
    after a write that broke off. The other one gets the rest while servers die."""

    GRACE = 0.25  # s; the leader looks at all volumes once, from twelve times that on
    VOLUMES, WORDS_MAX = 3, 60

    def __init__(self, cluster):
        self.cluster, self.chance = cluster, random.Random(SEED)
        self.client, self.http = Client(cluster.masters, timeout=5), Http(20)
        self.words = {}   # volume -> what was said to it, in order: (fid, digest of its data or None: deleted)
        self.both = {}    # volume -> how many words of it both copies are known to have
        self.killed, self.interrupted, self.looks, self.written_meanwhile = {}, 0, 0, 0
        self.seen = set()

    def new_fid(self, volume):
        return f"{volume}," + self.client.assign("replication=001&collection=" + COLLECTION)["fid"].split(",")[1]

    def add_volumes(self):
        def another():
            self.http.request("GET", self.cluster.masters[self.cluster.leader()], f"/vol/grow?count=1&replication=001&collection={COLLECTION}")
            for _ in range(20):
                volume = self.client.assign("replication=001&collection=" + COLLECTION)["fid"].split(",")[0]
                if volume not in self.seen:
                    return volume
        while len(self.words) < self.VOLUMES:
            volume = until("there is another volume", another)
            self.words[volume], self.both[volume] = [], 0
            self.seen.add(volume)

    def say(self, url, volume, count):
        """To one copy alone."""
        alive = [fid for fid, what in self.words[volume] if what is not None]
        gone = {fid for fid, what in self.words[volume] if what is None}
        for _ in range(count):
            if alive and self.chance.random() < 0.15:
                fid = self.chance.choice(alive)
                if fid in gone:
                    continue
                status = self.http.request("DELETE", url, f"/{fid}?type=replicate")[0]
                check(status == 202, f"{fid} not deleted: {status}")
                gone.add(fid)
                self.words[volume].append((fid, None))
                continue
            fid, data = self.new_fid(volume), payload(self.chance.getrandbits(62), self.chance.choice((0, 7, 3000, 200_000, 1_500_000)))
            status = self.http.request("PUT", url, f"/{fid}?type=replicate", data)[0]
            check(status == 201, f"{fid} not written: {status}")
            self.words[volume].append((fid, digest(data)))

    def read(self, url, fid):
        status, _, data = self.http.request("GET", url, "/" + fid)
        check(status in (200, 404), f"{fid} at {url}: {status} {data[:200]!r}")
        return digest(data) if status == 200 else None

    def state(self, url, volume):
        """How many of the words this copy has. It may get the rest while it is read, and for a moment others are asked in its place."""
        return until(f"volume {volume} at {url} is a beginning", lambda: (self.state_now(url, volume),), 10)[0]

    def state_now(self, url, volume):
        words, now, fitting = self.words[volume], {}, []
        have = {fid: data for fid, _ in words if (data := self.read(url, fid)) is not None}
        for n in range(len(words) + 1):
            if n:
                now[words[n - 1][0]] = words[n - 1][1]
            if n >= self.both[volume] and have == {fid: data for fid, data in now.items() if data is not None}:
                fitting.append(n)
        check(fitting, f"volume {volume} at {url} is no beginning of the {len(words)} words, or lost some of the {self.both[volume]} it had; "
                       f"it has {len(have)} files")
        return fitting[-1]

    def serves(self, url, volume):
        _, status = self.http.json(url, "/status")
        return any(v["Id"] == int(volume) and not v["ReadOnly"] for v in status["Volumes"])

    def are_mended(self):
        for volume, words in self.words.items():
            for url in self.cluster.volumes:
                if self.state(url, volume) != len(words):
                    return False
        return True

    def bytes_of(self, server):
        return sum(path.stat().st_size for path in (self.cluster.folder / f"v{server + 1}").glob(f"{COLLECTION}_*.dat"))

    def strike(self, at_once):
        """Kills whoever is drawn at some time after a server began to fetch what its copy lacks, when `at_once` is done."""
        before = [self.bytes_of(i) for i in range(2)]

        def under_way(i):
            return list((self.cluster.folder / f"v{i + 1}").glob(f"{COLLECTION}_*.dat.tmp"))

        def begun():
            """Also one that was over between two looks: the copy is longer then, and nobody writes."""
            return [i for i in range(2) if under_way(i) or self.bytes_of(i) > before[i]]
        target = until("a copy gets the rest of another", begun, 60)[0]
        at_once()
        delay = self.chance.random() ** 3 * 0.25
        who = self.chance.choice(("target", "target", "source", "leader"))
        time.sleep(delay)
        if who == "leader":
            process = self.cluster.master_processes[self.cluster.leader()]
        else:
            process = self.cluster.volume_processes[target if who == "target" else 1 - target]
        self.interrupted += bool(under_way(0) or under_way(1))
        process.kill()
        self.killed[who] = self.killed.get(who, 0) + 1
        time.sleep(self.chance.random() * 0.3)
        process.start()

    def write_meanwhile(self, acknowledged):
        """Clients do not wait for a copy to be mended: what they are told of is on both copies."""
        for n in range(60):
            volume, data = self.chance.choice(list(self.words)), payload(n, 5000)
            fid = self.new_fid(volume)
            try:
                if Http(5).request("PUT", self.cluster.volumes[n % 2], "/" + fid, data)[0] == 201:
                    acknowledged[fid] = digest(data)
            except NETWORK_ERRORS:
                pass
            time.sleep(0.005)

    def retire(self, volume, acknowledged):
        """A volume that clients wrote to meanwhile: its copies may have their files in different orders, and then neither is the older one.
        Nothing of it is lost."""
        words, both = self.words.pop(volume), self.both.pop(volume)
        allowed = {}
        for n, (fid, data) in enumerate(words):
            allowed.setdefault(fid, {None} if n >= both else set())
            if n < both:
                allowed[fid].clear()
            allowed[fid].add(data)
        allowed |= {fid: {data} for fid, data in acknowledged.items() if fid.startswith(volume + ",")}
        for url in self.cluster.volumes:
            for fid, states in allowed.items():
                until(f"{fid} at {url} is what was acknowledged", lambda: self.read(url, fid) in states, 10)
        self.remove(volume)

    def remove(self, volume):
        """The leader looks at one volume after the other: only those in use are there."""
        for url in self.cluster.volumes:
            rpc(url, "VolumeDelete", {"volume_id": int(volume)})

    def new_leader(self):
        process = self.cluster.master_processes[self.cluster.leader()]
        process.kill()
        process.start()

    def one(self, number):
        self.add_volumes()
        for volume in self.words:
            self.say(self.chance.choice(self.cluster.volumes), volume, self.chance.randrange(1, 14))
        self.new_leader()  # which looks at all volumes
        acknowledged = {}
        writes = threading.Thread(target=self.write_meanwhile, args=(acknowledged,), daemon=True)
        if number % 8 == 0:
            self.strike(writes.start)
            writes.join()
        else:
            self.strike(lambda: None)
        for url in self.cluster.volumes:
            for volume in self.words:
                until(f"volume {volume} is served at {url}", lambda: self.serves(url, volume), 30)
        if number % 8 == 0:
            self.written_meanwhile += len(acknowledged)
            for volume in list(self.words):
                self.retire(volume, acknowledged)
        for url in self.cluster.volumes:
            for volume in self.words:
                self.state(url, volume)
        begin = time.monotonic()
        while not self.are_mended():
            took = time.monotonic() - begin
            check(took < 150, "not mended within 150 s")
            time.sleep(0.3)
            if took > 45 * (self.looks + 1):  # one that could not have them compared looks again a day later, the next leader at once
                self.looks += 1
                self.new_leader()
        self.looks = 0
        for volume, words in list(self.words.items()):
            rows = [(self.cluster.folder / f"v{i + 1}" / f"{COLLECTION}_{volume}.idx").read_bytes() for i in range(2)]
            # What was written and deleted again is in neither, and nothing that anybody would miss.
            check(rows[0].startswith(rows[1]) or rows[1].startswith(rows[0]), f"the indexes of volume {volume} differ")
            self.both[volume] = len(words)
            if len(words) > self.WORDS_MAX:
                self.words.pop(volume)
                self.remove(volume)

    def run(self):
        for number in range(1, CATCH_UP_ROUNDS + 1):
            try:
                self.one(number)
            except Exception as error:
                raise Failure(f"round {number}, seed {SEED}: {error}")
        print(f"  {CATCH_UP_ROUNDS} deaths, seed {SEED}: {self.killed}, {self.interrupted} of them while the rest was on its way; the copies of "
              f"{len(self.seen)} volumes equal after each; {self.written_meanwhile} files were acknowledged meanwhile, none lost")


def catch_up(*flags):
    with Cluster(masters=3, volumes=2, master_flags=[f"-healAfter={CatchUps.GRACE}s"], volume_flags=["-max=200", *flags],
                 sizes="1000") as cluster:
        cluster.wait_writable()
        CatchUps(cluster).run()


def a_copy_that_gets_the_rest_stays_a_beginning():
    catch_up()


def and_with_its_index_on_disk():
    catch_up("-index=leveldb")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--catch-up-rounds", type=int, default=CATCH_UP_ROUNDS)
    parser.add_argument("--seed", type=int, default=SEED)
    given, rest = parser.parse_known_args()
    ROUNDS, CATCH_UP_ROUNDS, SEED = given.rounds, given.catch_up_rounds, given.seed
    import sys
    sys.argv[1:] = rest
    run([nothing_acknowledged_is_lost, a_copy_that_gets_the_rest_stays_a_beginning, and_with_its_index_on_disk])
