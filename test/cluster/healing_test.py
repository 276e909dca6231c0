#!/usr/bin/env python3
"""Lost copies are made again (docs/self-healing.md): a volume server dies while files are written, overwritten and deleted,
its volumes get their second copy on another server, and it comes back with what it knew.

Every file must then read as it was last acknowledged, at each of its holders, and what was deleted must stay so, also
where the server that was away is asked itself.
"""
import random
import shutil
import time

from harness import NETWORK_ERRORS, Client, Cluster, Failure, Http, check, payload, run, until
from vacuum_test import GONE, Writer, check_copies, read

FLAGS = ("-healAfter=2s",)


class Places:
    """The url of a file: one of those that hold its volume now."""

    def __init__(self, masters, seed):
        self.client, self.draw = Client(masters, timeout=5), random.Random(seed)

    def __getitem__(self, fid):
        found = self.client.lookup(fid.split(",")[0]).get("locations")
        if not found:
            raise Failure(f"nobody has {fid}")
        return self.draw.choice(found)["url"]

    def __setitem__(self, fid, url):
        pass


class Healed(Cluster):
    def __init__(self, **more):
        super().__init__(masters=3, master_flags=FLAGS, **more)

    def __enter__(self):
        super().__enter__()
        self.wait_writable()
        self.client, self.http = Client(self.masters), Http(10)
        return self

    def writers(self, count=4):
        out = []
        for seed in range(count):
            writer = Writer(self.masters, seed, "replication=001")
            writer.urls = Places(self.masters, seed)
            out.append(writer)
        for writer in out:
            writer.start()
        until("files are written", lambda: all(w.done > 20 for w in out), 60)
        return out

    def holders(self, volume):
        return sorted(p["url"] for p in self.client.lookup(volume).get("locations") or [])

    def healed(self, volumes, without, seconds=60):
        """Waits until each has two copies, none of them on `without`."""
        def short():
            return {v: self.holders(v) for v in volumes
                    if len(self.holders(v)) != 2 or without in self.holders(v)}
        try:
            until("all copies are made again", lambda: not short(), seconds)
        except Failure as failure:
            raise Failure(f"{failure}: {short()}")


def answers(http, url):
    try:
        return http.request("GET", url, "/status")[0] == 200
    except NETWORK_ERRORS:
        return False


def put(http, url, fid, data):
    status, _, body = http.request("PUT", url, "/" + fid, data, {"Content-Type": "application/octet-stream"})
    return status, body


def end(writers):
    for writer in writers:
        writer.stopping.set()
    for writer in writers:
        writer.join(30)


def volumes_of(writers):
    return sorted({fid.split(",")[0] for writer in writers for fid in list(writer.states)})


def a_lost_copy_is_made_again():
    with Healed(volumes=4) as cluster:
        writers = cluster.writers()
        volumes = volumes_of(writers)
        lost = cluster.volumes[0]
        held = [v for v in volumes if lost in cluster.holders(v)]
        check(held, f"the first volume server has none of {volumes}")
        own = {}  # volume -> a file that nobody else touches
        for n in range(200):
            fid = cluster.client.upload(payload(n, 500), "replication=001")
            own.setdefault(fid.split(",")[0], (fid, n))
        held = sorted(set(held) | {v for v in own if lost in cluster.holders(v)})
        changed, *deleted = [own[v] for v in held if v in own]
        cluster.volume_processes[0].kill()
        cluster.healed(held, lost)
        done = [w.done for w in writers]
        until("files are written to volumes that were mended",
              lambda: all(w.done > before + 20 for w, before in zip(writers, done)), 60)
        log = "".join(p.log() for p in cluster.master_processes)
        check("1 of its 2 copies gone" in log and "a copy was made again on" in log, f"no word of why:\n{log[-3000:]}")
        # It comes back with what it knew, while files are changed.
        cluster.volume_processes[0].start()
        # Before anybody has told it: what it is asked to write is acknowledged by nobody.
        until("the old server answers", lambda: answers(cluster.http, lost))
        status, body = put(cluster.http, lost, changed[0], payload(1000, 500))
        check(status >= 400, f"a write of an old set of copies is acknowledged: {status} {body}")
        for fid, _ in deleted:
            status = cluster.http.request("DELETE", lost, "/" + fid)[0]
            check(status >= 400, f"a deletion of an old set of copies is acknowledged: {status}")
        until("the old copies serve nothing", lambda: "is neither read nor written any more"
              in cluster.volume_processes[0].log(), 30)
        time.sleep(2)
        end(writers)
        files, gone = check_copies(cluster, writers)
        for volume in held:
            check(lost not in cluster.holders(volume), f"volume {volume}: its old copy is found again")
        for fid, n in (changed, *deleted):
            for url in cluster.holders(fid.split(",")[0]):
                check(read(cluster.http, url, fid) == payload(n, 500), f"{fid} at {url} is not what was acknowledged")
        # Asked by who still has the old address, it serves what is true now or nothing.
        asked = 0
        for writer in writers:
            for fid, states in writer.states.items():
                if fid.split(",")[0] not in held:
                    continue
                status, _, data = cluster.http.request("GET", lost, "/" + fid)
                allowed = [GONE if state == GONE else payload(*state) for state in states]
                if status in (301, 302, 307):
                    continue
                check((data if status == 200 else GONE) in allowed + [GONE],
                      f"{fid}: the server that was away says {status} with {len(data)} bytes instead of {states}")
                check(status != 200 or data in allowed, f"{fid}: stale at {lost}")
                asked += 1
        # What is in them is known to the copies that count, so they go; but for the one with a file that is not.
        keeps = changed[0].split(",")[0]
        def left():
            return sorted(p.stem for p in (cluster.folder / "v1").glob("*.dat") if p.stem in held)
        until("the old copies are removed", lambda: left() == [keeps], 60)
        logs = lambda: "".join(p.log() for p in cluster.master_processes)
        until(f"there is a word on each of {held}", lambda: logs().count("is removed: each of its") == len(held) - 1)
        said = f"volume {keeps}: the old copy on {lost} serves nothing and stays: 1 of its"
        until("the one that stays is reported", lambda: said in logs())
        page = cluster.http.request("GET", cluster.masters[cluster.leader()], "/ui/index.html")[2].decode()
        check("serves nothing and stays" in page, "the page does not say so")
        # And do not come back.
        cluster.volume_processes[0].stop()
        cluster.volume_processes[0].start()
        time.sleep(4)
        for volume in held:
            check(lost not in cluster.holders(volume), f"volume {volume}: its old copy is found after a restart")
        print(f"  {len(held)} volumes mended; {files} copies compared ({gone} gone), {asked} asked of the old server")


def a_server_that_is_back_in_time_is_left_alone():
    with Healed(volumes=3) as cluster:
        fids = [cluster.client.upload(payload(i, 1000), "replication=001") for i in range(20)]
        volumes = sorted({fid.split(",")[0] for fid in fids})
        before = {v: until(f"both copies of {v} are known", lambda v=v: len(found := cluster.holders(v)) == 2 and found) for v in volumes}
        cluster.volume_processes[0].kill()
        time.sleep(1)
        cluster.volume_processes[0].start()
        until("all are back", lambda: {v: cluster.holders(v) for v in volumes} == before, 30)
        time.sleep(5)
        check({v: cluster.holders(v) for v in volumes} == before, "copies were moved")
        log = "".join(p.log() for p in cluster.master_processes)
        check("a copy was made again" not in log, "a copy was made again")


def alone_on(cluster, url, volume, data):
    """A file that one copy has and the others have not, as after a write that broke off or a loss of power."""
    fid = volume + "," + cluster.client.assign("replication=001")["fid"].split(",")[1]
    check(cluster.http.request("PUT", url, f"/{fid}?type=replicate", data)[0] == 201, "not written")
    return fid


def a_copy_that_is_the_beginning_of_another_gets_the_rest():
    with Healed(volumes=3) as cluster:
        fids = [cluster.client.upload(payload(i, 1000 + i), "replication=001") for i in range(40)]
        volume = fids[0].split(",")[0]
        here = [fid for fid in fids if fid.split(",")[0] == volume]
        one, other = cluster.holders(volume)
        added = [alone_on(cluster, one, volume, payload(100 + i, 300_000 * i)) for i in range(4)]
        check(cluster.http.request("DELETE", one, f"/{here[0]}?type=replicate")[0] == 202, "not deleted")
        check(read(cluster.http, other, added[1]) == GONE and read(cluster.http, other, here[0]) != GONE, "they are the same")
        logs = lambda: "".join(p.log() for p in cluster.master_processes)
        until("it is mended", lambda: f"the copy on {other} was the beginning of the one on {one}" in logs(), 60)
        for i, fid in enumerate(added):
            check(read(cluster.http, other, fid) == payload(100 + i, 300_000 * i), f"{fid} on {other}")
        check(read(cluster.http, other, here[0]) == GONE, "a deletion is missing")
        # It goes on as a copy like any other, also after a start, and nothing differs any more.
        again = volume + "," + cluster.client.assign("replication=001")["fid"].split(",")[1]
        until("it is written to again", lambda: put(cluster.http, one, again, b"again")[0] == 201)
        check(read(cluster.http, other, again) == b"again", "a write afterwards is not on it")
        holder = cluster.volume_processes[cluster.volumes.index(other)]
        holder.kill()
        holder.start()
        # Masters go on naming it for some seconds, whether it is there or not.
        until("it is back", lambda: answers(cluster.http, other) and cluster.holders(volume) == sorted([one, other]), 30)
        for i, fid in enumerate(added):
            check(read(cluster.http, other, fid) == payload(100 + i, 300_000 * i), f"{fid} on {other} after a start")
        for i, fid in enumerate(fids):
            if fid != here[0]:
                check(cluster.client.read(fid) == payload(i, 1000 + i), fid)
        check("its copies differ" not in logs(), logs()[-3000:])


def copies_that_differ_are_reported():
    with Healed(volumes=3) as cluster:
        fids = [cluster.client.upload(payload(i, 1000), "replication=001") for i in range(30)]
        volume = fids[0].split(",")[0]
        one, other = cluster.holders(volume)
        # Each has what the other has not: neither is the older one.
        alone, apart = alone_on(cluster, one, volume, b"alone"), alone_on(cluster, other, volume, b"another")
        logs = lambda: "".join(p.log() for p in cluster.master_processes)
        until("it is reported", lambda: f"volume {volume}: its copies differ" in logs(), 60)
        check("1 of the" in logs() and "is not the beginning of the other one" in logs(), logs()[-2000:])
        check(logs().count("its copies differ") == 1, "other volumes are said to differ, or it is said again and again")
        check(read(cluster.http, one, alone) == b"alone" and read(cluster.http, other, apart) == b"another", "a copy was changed")
        check(read(cluster.http, other, alone) == GONE and read(cluster.http, one, apart) == GONE, "a copy was changed")
        for i, fid in enumerate(fids):
            check(cluster.client.read(fid) == payload(i, 1000), fid)


def copied_by_hand(cluster, volume):
    """The server that did not have it, onto which an operator has copied its files."""
    holders = cluster.holders(volume)
    fresh = next(i for i, url in enumerate(cluster.volumes) if url not in holders)
    cluster.volume_processes[fresh].stop()
    source = cluster.folder / f"v{cluster.volumes.index(holders[0]) + 1}"
    for file in source.glob(f"{volume}.*"):
        shutil.copy(file, cluster.folder / f"v{fresh + 1}")
    cluster.volume_processes[fresh].start()
    return cluster.volumes[fresh]


def a_copy_made_by_hand_goes_when_it_is_equal():
    with Healed(volumes=3) as cluster:
        fids = {cluster.client.upload(payload(i, 1000 + i), "replication=001"): payload(i, 1000 + i) for i in range(60)}
        volumes = sorted({fid.split(",")[0] for fid in fids})
        volume, apart = volumes[0], volumes[1]
        gone = next(fid for fid in fids if fid.startswith(volume + ","))
        status = cluster.http.request("DELETE", cluster.holders(volume)[0], "/" + gone)[0]
        check(status == 202, f"not deleted: {status}")
        for one in (volume, apart):
            copied_by_hand(cluster, one)
            until(f"volume {one} has three copies", lambda: len(cluster.holders(one)) == 3, 30)
            if one == apart:  # each has what the others have not
                kept = {url: alone_on(cluster, url, apart, url.encode()) for url in cluster.holders(apart)}
        until(f"a copy of volume {volume} goes", lambda: len(cluster.holders(volume)) == 2, 60)
        logs = lambda: "".join(p.log() for p in cluster.master_processes)
        check(f"volume {volume}: 3 copies, and 2 were asked for" in logs(), logs()[-3000:])
        check("is one more than the 2 that were asked for, and all 3 were found equal" in logs(), logs()[-3000:])
        files = lambda: sorted(p.parent.name for p in cluster.folder.glob(f"v?/{volume}.dat"))
        until("its files are removed", lambda: len(files()) == 2, 60)
        until("that is said", lambda: "is removed: each of its" in logs() and "is known to all 2 copies that count" in logs())
        for fid, data in fids.items():
            for url in cluster.holders(fid.split(",")[0]):
                check(read(cluster.http, url, fid) == (GONE if fid == gone else data), f"{fid} at {url}")
        # It takes files again.
        def written():
            fid = cluster.client.assign("replication=001")["fid"]
            one, other = cluster.holders(volume)
            return fid.split(",")[0] == volume and put(cluster.http, one, fid, b"again")[0] == 201 and read(cluster.http, other, fid) == b"again"
        until("it takes files again", written, 30)
        # The one whose copies differ keeps all three, and that is said.
        until("it is reported", lambda: f"volume {apart}: its copies differ" in logs(), 60)
        check(len(cluster.holders(apart)) == 3, "a copy went that was not equal to the others")
        for url, fid in kept.items():
            check(read(cluster.http, url, fid) == url.encode(), f"{fid} at {url} is lost")


def leaders_die_meanwhile():
    with Healed(volumes=4) as cluster:
        writers = cluster.writers()
        volumes = volumes_of(writers)
        lost = cluster.volumes[1]
        held = [v for v in volumes if lost in cluster.holders(v)]
        cluster.volume_processes[1].kill()
        chance = random.Random(5)
        for _ in range(3):
            time.sleep(2.2 + chance.random() * 1.5)
            victim = cluster.master_processes[cluster.leader()]
            victim.kill()
            time.sleep(0.5)
            victim.start()
        cluster.healed(held, lost, 120)
        cluster.volume_processes[1].start()
        time.sleep(4)
        end(writers)
        files, gone = check_copies(cluster, writers)
        print(f"  {len(held)} volumes mended; {files} copies compared ({gone} gone)")


def sources_and_targets_die_meanwhile():
    with Healed(volumes=5) as cluster:
        writers = cluster.writers()
        volumes = volumes_of(writers)
        lost = cluster.volumes[0]
        held = [v for v in volumes if lost in cluster.holders(v)]
        cluster.volume_processes[0].kill()
        chance = random.Random(9)
        for _ in range(4):
            time.sleep(1.5 + chance.random())
            victim = chance.choice(cluster.volume_processes[1:])
            victim.kill()
            time.sleep(chance.random())
            victim.start()
        cluster.healed(held, lost, 120)
        cluster.volume_processes[0].start()
        time.sleep(4)
        end(writers)
        files, gone = check_copies(cluster, writers)
        print(f"  {len(held)} volumes mended; {files} copies compared ({gone} gone)")


if __name__ == "__main__":
    run([a_lost_copy_is_made_again, a_server_that_is_back_in_time_is_left_alone,
         a_copy_that_is_the_beginning_of_another_gets_the_rest, copies_that_differ_are_reported,
         a_copy_made_by_hand_goes_when_it_is_equal,
         leaders_die_meanwhile, sources_and_targets_die_meanwhile])
