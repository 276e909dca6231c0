#!/usr/bin/env python3
"""Vacuum under fire: files are written, overwritten and deleted while the leader vacuums their volumes over and over and
volume servers are killed with -9 at random moments of it.

Every file must then read as it was last acknowledged, at each of its holders, and what was deleted must stay so.
"""
import os
import random
import threading
import time

from harness import NETWORK_ERRORS, Client, Cluster, Failure, Http, check, payload, run, until

SECONDS = int(os.environ.get("VACUUM_SECONDS", "8"))
GONE = "gone"


class Writer(threading.Thread):
    """Knows what may be read of its files: the last state acknowledged, and those of attempts that failed since."""

    def __init__(self, masters, seed, query):
        super().__init__(daemon=True)
        self.client, self.draw, self.query = Client(masters, timeout=10), random.Random(seed), query
        self.states = {}  # fid -> [state, ...]; a state is (seed, size) or GONE
        self.urls = {}
        self.stopping = threading.Event()
        self.done = 0

    def run(self):
        while not self.stopping.is_set():
            try:
                self.step()
                self.done += 1
            except (Failure, *NETWORK_ERRORS):
                time.sleep(0.05)

    def step(self):
        if len(self.states) < 40:
            assigned = self.client.assign(self.query)
            self.urls[assigned["fid"]] = assigned["url"]
            self.states[assigned["fid"]] = [GONE]
        fid = self.draw.choice(sorted(self.states))
        delete = self.draw.random() < 0.25 and GONE not in self.states[fid]
        state = GONE if delete else (self.draw.getrandbits(62), self.draw.randint(1, 60_000))
        self.states[fid].append(state)  # until it is answered it may be there or not
        if delete:
            status, _, body = self.client.http.request("DELETE", self.urls[fid], "/" + fid)
            if status != 202:
                raise Failure(f"DELETE {fid}: {status} {body[:200]!r}")
        else:
            self.client.put({"fid": fid, "url": self.urls[fid]}, payload(*state))
        self.states[fid] = [state]


def read(http, url, fid):
    status, _, data = http.request("GET", url, "/" + fid)
    check(status in (200, 404), f"{fid} at {url}: {status}")
    return data if status == 200 else GONE


def revisions(cluster, http):
    out = {}
    for address in cluster.volumes:
        try:
            for volume in http.json(address, "/status")[1]["Volumes"]:
                out[address, volume["Id"]] = volume["CompactRevision"]
        except (Failure, *NETWORK_ERRORS):
            pass
    return out


def vacuums_go_on(cluster, stopping, counts):
    http, at = Http(30), 0
    while not stopping.is_set():
        at += 1
        try:
            status, _, body = http.request("GET", cluster.masters[at % len(cluster.masters)],
                                           "/vol/vacuum?garbageThreshold=0.05")
            counts[status] = counts.get(status, 0) + 1
        except NETWORK_ERRORS:
            pass
        time.sleep(0.02)


def write_and_vacuum(cluster, writers, seconds, chance, kill=True):
    """For so long, while servers are killed; then everything is at rest. (kills, answers to vacuums by their status)"""
    stopping, counts, kills = threading.Event(), {}, 0
    vacuum = threading.Thread(target=vacuums_go_on, args=(cluster, stopping, counts), daemon=True)
    for thread in (*writers, vacuum):
        thread.start()
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        time.sleep(chance.random() * 1.2)
        if not kill:
            continue
        victim = chance.choice(cluster.volume_processes)
        victim.kill()
        kills += 1
        time.sleep(chance.random() * 0.3)
        victim.start()
    for writer in writers:
        writer.stopping.set()
    for writer in writers:
        writer.join(30)
    stopping.set()
    vacuum.join(60)
    cluster.wait_writable()
    time.sleep(1)
    return kills, counts


def check_copies(cluster, writers):
    """Each file reads at each of its holders as it was last acknowledged, or as a change left it whose answer was lost. How many copies
    there were, and how many of them are gone, as they should be."""
    http, client, files, gone = Http(10), Client(cluster.masters), 0, 0
    for writer in writers:
        for fid, states in writer.states.items():
            allowed = [GONE if state == GONE else payload(*state) for state in states]
            for place in until(f"{fid} has holders", lambda v=fid.split(",")[0]: client.lookup(v).get("locations")):
                data = read(http, place["url"], fid)
                check(data in allowed, f"{fid} at {place['url']}: {'gone' if data == GONE else len(data)} instead of {states}")
                files, gone = files + 1, gone + (data == GONE)
    return files, gone


def nothing_is_lost(query, kill):
    with Cluster(masters=3, volumes=3) as cluster:
        cluster.wait_writable()
        writers = [Writer(cluster.masters, seed, query) for seed in range(4)]
        kills, counts = write_and_vacuum(cluster, writers, SECONDS, random.Random(11), kill)
        files, gone = check_copies(cluster, writers)
        vacuumed = sum(revisions(cluster, Http(10)).values())
        written = sum(writer.done for writer in writers)
        check(vacuumed > 5, f"only {vacuumed} vacuums took place: {counts}")
        check(files > 50 and written > 200, f"only {files} files compared, {written} changes")
        # What the last kill left half done went at the start after it.
        until("no file of a vacuum is left", lambda: not [
            p.name for p in cluster.folder.rglob("*.cp?") if p.suffix in (".cpd", ".cpx", ".cpc")])
        print(f"  {files} copies compared ({gone} gone), {written} changes, {vacuumed} vacuums, {kills} kills")


def one_copy_killed_again_and_again():
    nothing_is_lost("", True)


def two_copies_killed_again_and_again():
    nothing_is_lost("replication=001", True)


def two_copies_without_trouble():
    nothing_is_lost("replication=001", False)


def the_space_comes_back():
    with Cluster(masters=1, volumes=1) as cluster:
        cluster.wait_writable()
        client, http = Client(cluster.masters), Http(10)
        address = cluster.volumes[0]
        fids = [client.upload(payload(i, 50_000)) for i in range(200)]
        dats = lambda: sum(p.stat().st_size for p in cluster.folder.rglob("*.dat"))
        before = dats()
        for fid in fids[:150]:
            check(http.request("DELETE", address, "/" + fid)[0] == 202, fid)
        status, _, body = http.request("GET", cluster.masters[0], "/vol/vacuum")
        check(status == 200 and b"Topology" in body, f"{status} {body[:200]}")
        check(dats() < before / 2, f"{dats()} bytes after {before}")
        for i, fid in enumerate(fids):
            check((read(http, address, fid) == GONE) == (i < 150), fid)
        check(http.request("GET", cluster.masters[0], "/vol/vacuum?garbageThreshold=x")[0] == 406, "a bad threshold")
        print(f"  {before} bytes became {dats()}")


if __name__ == "__main__":
    run([the_space_comes_back, two_copies_without_trouble, one_copy_killed_again_and_again,
         two_copies_killed_again_and_again])
