#!/usr/bin/env python3
"""Copies of the masters' state, as real processes: a metalogger follows a cluster through the deaths of its masters; when
all of them are lost, metarestore and a fresh master go on from its files, with everything it had, and nothing is given
twice. And the hazards of spec/moosefs-ha 15 that concern such copies, each a test named after its number.
"""
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time

from harness import (BIN, Client, Cluster, Failure, Http, NETWORK_ERRORS, Load, Process, WEED, check, free_port, run,
                     until as until_true)

HOLDFAST = str(BIN / "holdfast")
METARESTORE = str(BIN / "mfsmetarestore")


def until(what, condition, seconds=15):
    """Until the condition raises nothing."""
    until_true(what, lambda: condition() is not False, seconds)


def call(*words, cwd=None, program=HOLDFAST, seconds=60):
    argv = [program] if program == METARESTORE else [program, "-logtostderr=true"]
    done = subprocess.run([*argv, *map(str, words)], capture_output=True, text=True, timeout=seconds, cwd=cwd)
    return done.returncode, done.stdout, done.stderr


def restore(*words, status=0):
    found, out, err = call(*words, program=METARESTORE)
    check(found == status, f"mfsmetarestore {words}: status {found}, not {status}\n{out}\n{err}")
    return out + err


def backup(masters, output, *flags, status=0):
    found, out, err = call("backup", f"-master={','.join(masters)}", f"-output={output}", *flags)
    check(found == status, f"backup: status {found}, not {status}\n{out}\n{err}")
    return out + err


class Metalogger(Process):
    def __init__(self, cluster, name="ml", flags=(), masters=None):
        self.port = free_port()
        self.dir = cluster.folder / name
        super().__init__(name, [HOLDFAST, "-logtostderr=true", "metalogger", f"-master={','.join(masters or cluster.masters)}",
                                f"-dir={self.dir}", f"-metricsPort={self.port}", "-metricsIp=127.0.0.1", *flags],
                         cluster.folder, {"TMPDIR": str(cluster.folder)})
        cluster.others.append(self)

    def metric(self, name):
        return metric(f"127.0.0.1:{self.port}", name)

    def position(self):
        return self.metric("holdfast_metalogger_position")

    def files(self):
        return sorted(p.name for p in self.dir.iterdir() if not p.name.startswith("."))


def metric(address, name):
    _, _, body = Http(1.0).request("GET", address, "/metrics")
    found = re.search(rf"^{name}(?:{{[^}}]*}})? (\S+)$", body.decode(), re.M)
    return float(found.group(1)) if found else None


def put(masters, key, value):
    """Acknowledged by some master, or a Failure."""
    last = None
    for address in masters:
        try:
            status, _, body = Http(2.0).request("PUT", address, f"/cluster/kv/{key}", body=value.encode())
            if status == 200:
                return
            last = f"{address}: {status} {body[:200]!r}"
        except NETWORK_ERRORS as error:
            last = repr(error)
    raise Failure(f"put {key}: {last}")


def get(masters, key):
    for address in masters:
        try:
            status, _, body = Http(2.0).request("GET", address, f"/cluster/kv/{key}")
            if status in (200, 404):
                return body.decode() if status == 200 else None
        except NETWORK_ERRORS:
            continue
    raise Failure(f"get {key}: nobody answers")


def committed(cluster, among=None):
    return metric(cluster.masters[cluster.leader(among=among)], "holdfast_raft_commit_index")


def wait_caught_up(cluster, logger, among=None, seconds=20):
    def caught_up():
        check(logger.position() == committed(cluster, among), f"{logger.position()} of {committed(cluster, among)}")
    until("the metalogger has everything", caught_up, seconds)


def ready(cluster):
    cluster.wait_writable()
    until("the key-value space", lambda: put(cluster.masters, "ready", "yes"))


def start_restored(cluster, i, image):
    """Master i anew, in an empty folder but for the image."""
    folder = cluster.folder / f"m{i + 1}"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    shutil.copy(image, folder / "metadata.mfs")
    process = cluster.master_processes[i]
    process.argv = [word for word in process.argv if not word.startswith("-peers")]
    return process.start()


def all_masters_lost_and_the_cluster_goes_on_from_a_metalogger():
    with Cluster() as cluster:
        ready(cluster)
        logger = Metalogger(cluster).start()
        load = Load(cluster.masters, writers=2, readers=0).start()
        written = {}
        for n in range(60):
            until("a put", lambda n=n: put(cluster.masters, f"a/{n}", f"value {n}"))
            written[f"a/{n}"] = f"value {n}"
            if n == 20:  # whom it follows, and then who leads
                cluster.master_processes[0].kill()
            if n == 40:
                cluster.master_processes[0].start()
                time.sleep(0.5)
                cluster.leader()
                cluster.master_processes[cluster.leader()].kill()
        load.stop()
        check(len(load.acknowledged) > 20, f"only {len(load.acknowledged)} files")
        alive = [i for i in range(3) if cluster.master_processes[i].alive()]
        wait_caught_up(cluster, logger, alive)
        files = logger.files()
        check(files == ["changelog_ml.0.mfs", "metadata_ml.mfs.back"], f"files {files}")
        before = Http(1).json(cluster.masters[alive[0]], "/cluster/status")[1]
        for process in cluster.master_processes:
            process.kill()
        logger.kill()

        copy = cluster.folder / "copy"
        shutil.copytree(logger.dir, copy)
        out = restore("-a", "-d", copy)
        check("written" in out and "missing" not in out, out)
        process = start_restored(cluster, 1, copy / "metadata.mfs")
        until("the restored master leads", lambda: check(cluster.leader(among=[1]) == 1, "no"))
        check("goes on from the restored state" in process.log(), process.log()[-2000:])
        until("an upload", lambda: Client([cluster.masters[1]]).upload(b"again"), 30)
        for key, value in written.items():
            found = get([cluster.masters[1]], key)
            check(found == value, f"{key} is {found!r}, not {value!r}")

        # Keys and volume ids go on far behind everything that may have been given out; the files are all there.
        highest = max(int(key, 16) for key in load.assigned)
        client = Client([cluster.masters[1]])
        key = int(client.assign()["fid"].split(",")[1][:-8], 16)
        check(key > highest + (1 << 32), f"key {key:x} after {highest:x}")
        check(not {f"{key:x}"} & set(load.assigned), "a key came twice")
        for fid, (seed, size) in list(load.acknowledged.items())[:50]:
            until("a file of before", lambda fid=fid: client.read(fid), 20)
        after = Http(1).json(cluster.masters[1], "/cluster/status")[1]
        check(after["MaxVolumeId"] >= before["MaxVolumeId"] + 4096, f"volume ids {before} {after}")

        # Started again as always: from its own log; the image has its usual name.
        check(not (cluster.folder / "m2" / "metadata.mfs").exists(), "metadata.mfs is still there")
        check((cluster.folder / "m2" / "metadata.mfs.back").exists(), "metadata.mfs.back is not there")
        put([cluster.masters[1]], "later", "yes")
        cluster.master_processes[1].kill()
        cluster.master_processes[1].start()
        until("it leads again", lambda: check(cluster.leader(among=[1]) == 1, "no"))
        check(get([cluster.masters[1]], "later") == "yes", "what came after the restore is lost at a restart")

        # An old master that comes back is told to stop.
        cluster.master_processes[0].start()
        until("the old master ends", lambda: check(not cluster.master_processes[0].alive(), "it runs"), 30)
        check("What this one holds is void" in cluster.master_processes[0].log(), cluster.master_processes[0].log()[-1500:])

        # The metalogger goes over to the successor, and keeps what it had.
        logger.start()
        until("the metalogger follows", lambda: check(logger.metric("holdfast_metalogger_following") == 1 and
                                                      logger.position() == metric(cluster.masters[1], "holdfast_raft_commit_index"), "no"), 30)
        aside = [name for name in logger.files() if name.startswith("before-")]
        check(len(aside) == 1 and (logger.dir / aside[0] / "metadata_ml.mfs.back").exists(), f"{logger.files()}")


def hazard_1_a_torn_last_line_costs_no_other():
    with Cluster(masters=1, volumes=0) as cluster:
        until("the key-value space", lambda: put(cluster.masters, "ready", "yes"))
        logger = Metalogger(cluster).start()
        until("it follows", lambda: check(logger.metric("holdfast_metalogger_following") == 1, "no"))
        for n in range(20):
            put(cluster.masters, f"k{n}", "v")
        wait_caught_up(cluster, logger)
        logger.kill()
        log = logger.dir / "changelog_ml.0.mfs"
        whole = log.read_bytes()
        lines = whole.splitlines(keepends=True)
        last = int(lines[-1].split(b":")[0])
        log.write_bytes(whole[:-5])
        out = restore("-a", "-verify", "-d", logger.dir)
        check(f"reached  entry {last - 1} " in out and "the last line has no end" in out, out)

        # The metalogger itself asks for that line again.
        logger.start()
        until("it has the line again", lambda: check(log.read_bytes()[:len(whole)] == whole, "no"))
        until("it has a second image", lambda: check((logger.dir / "metadata_ml.mfs.back.1").exists(), "no"))
        logger.kill()

        # As if the newest image were not there: its change logs have to do.
        (logger.dir / "metadata_ml.mfs.back.1").rename(logger.dir / "metadata_ml.mfs.back")

        # Damage in the middle is named to the byte, nothing is written unasked, and -b takes the state before it.
        at = whole.index(lines[6])
        log.write_bytes(whole[:at + 30] + bytes([whole[at + 30] ^ 1]) + whole[at + 31:])
        lost = int(lines[6].split(b":")[0])
        out = restore("-a", "-d", logger.dir, status=1)
        check(f"changelog_ml.0.mfs: line 7 (byte {at}, behind entry {lost - 1})" in out, out)
        check(f"entry {lost} is missing" in out and "nothing is written" in out, out)
        check(not (logger.dir / "metadata.mfs").exists(), "written all the same")
        out = restore("-a", "-b", "-d", logger.dir)
        check(f"entry {lost - 1} of term" in out, out)

        # A gap between files, in any order of arguments.
        folder = cluster.folder / "apart"
        folder.mkdir()
        head = lines[0]
        (folder / "one").write_bytes(head + b"".join(lines[1:5]))
        (folder / "three").write_bytes(head + b"".join(lines[9:]))
        image = logger.dir / "metadata_ml.mfs.back"
        out = restore("-m", image, "-o", folder / "out", folder / "three", folder / "one", status=1)
        first, second = int(lines[5].split(b":")[0]), int(lines[8].split(b":")[0])
        check(f"entries {first} to {second} are missing: one goes up to {first - 1}, and three goes on with {second + 1}" in out, out)
        (folder / "two").write_bytes(head + b"".join(lines[4:10]))
        out = restore("-m", image, "-o", folder / "out", folder / "three", folder / "one", folder / "two")
        check(f"reached  entry {last} " in out, out)
        dumped = [json.loads(line) for line in restore("-m", folder / "out").splitlines()]
        keys = {line["key"]: line["value"] for line in dumped if line["type"] == "key"}
        check(keys.get("k19") == "v" and dumped[0]["index"] == last, f"{dumped[0]} {keys}")
        dumped = [json.loads(line) for line in restore("-a", "-dump", "-d", logger.dir, status=1).splitlines()
                  if line.startswith("{")]
        puts = [r["key"] for line in dumped for r in line.get("requests", ()) if r["command"] == "put"]
        check("k3" in puts, f"{puts}")


def hazards_2_and_3_a_lower_version_or_a_foreign_cluster_deletes_nothing():
    with Cluster(masters=1, volumes=0) as cluster, Cluster(masters=1, volumes=0) as stranger:
        until("the key-value space", lambda: put(cluster.masters, "ready", "yes"))
        until("the other one", lambda: put(stranger.masters, "ready", "yes"))
        old = cluster.folder / "old"
        cluster.master_processes[0].stop()
        shutil.copytree(cluster.folder / "m1", old)
        cluster.master_processes[0].start()
        cluster.leader()
        logger = Metalogger(cluster).start()
        for n in range(30):
            until("a put", lambda n=n: put(cluster.masters, f"k{n}", "v"))
        wait_caught_up(cluster, logger)
        position = logger.position()
        logger.stop()
        kept = {name: (logger.dir / name).read_bytes() for name in logger.files()}

        # The master comes back from an old copy of its folder: it has less, and then something else.
        cluster.master_processes[0].kill()
        shutil.rmtree(cluster.folder / "m1")
        shutil.copytree(old, cluster.folder / "m1")
        cluster.master_processes[0].start()
        cluster.leader()
        logger.start()
        until("it says so", lambda: check("nothing here is given up" in logger.log(), logger.log()[-1000:]))
        check(logger.position() == position, f"{logger.position()}, not {position}")
        for n in range(60):
            until("a put", lambda n=n: put(cluster.masters, f"other{n}", "v"))
        until("it tells the histories apart", lambda: check("has another entry" in logger.log(), logger.log()[-1000:]), 30)
        logger.stop()
        now = {name: (logger.dir / name).read_bytes() for name in logger.files()}
        check(now == kept, f"files changed: {sorted(now)} {sorted(kept)}")

        # A master of another cluster behind the name.
        logger.argv = [f"-master={stranger.masters[0]}" if word.startswith("-master=") else word for word in logger.argv]
        cluster.master_processes[0].kill()
        logger.start()
        until("it refuses the stranger", lambda: check("it is not followed" in logger.log() and "belongs to cluster" in logger.log(),
                                                       logger.log()[-1000:]))
        time.sleep(1)
        logger.stop()
        now = {name: (logger.dir / name).read_bytes() for name in logger.files()}
        check(now == kept, "files changed")
        logs = sorted(str(p) for p in logger.dir.glob("changelog*"))
        foreign = Metalogger(stranger, "theirs").start()
        until("it has files", lambda: check("changelog_ml.0.mfs" in foreign.files() or put(stranger.masters, "x", "y"), "no"))
        foreign.stop()
        out = restore("-m", logger.dir / "metadata_ml.mfs.back", "-o", cluster.folder / "out", *logs,
                      foreign.dir / "changelog_ml.0.mfs")
        check("of another cluster" in out, out)


def hazard_4_an_image_for_a_new_follower_at_any_moment():
    with Cluster(masters=3, volumes=0) as cluster:
        # Right when there is a cluster, without a single change.
        until("an image of a fresh cluster", lambda: backup(cluster.masters, cluster.folder / "fresh"))
        until("the key-value space", lambda: put(cluster.masters, "ready", "yes"))
        for n in range(4):
            put([m for i, m in enumerate(cluster.masters) if cluster.master_processes[i].alive()], f"k{n}", "v")
            leader = cluster.leader()
            cluster.master_processes[leader].kill()
            out = backup(cluster.masters, cluster.folder / "copy", "-keep=2")
            dumped = [json.loads(line) for line in restore("-m", cluster.folder / "copy").splitlines()]
            keys = {line["key"] for line in dumped if line["type"] == "key"}
            check({f"k{i}" for i in range(n + 1)} <= keys, f"{keys}\n{out}")
            logger = Metalogger(cluster, f"ml{n}").start()
            until("a metalogger follows", lambda: check(logger.metric("holdfast_metalogger_following") == 1 and
                                                        "metadata_ml.mfs.back" in logger.files(), "no"))
            logger.stop()
            cluster.master_processes[leader].start()
            cluster.leader()
        check(sorted(p.name for p in cluster.folder.glob("copy*")) == ["copy", "copy.1", "copy.2"], "generations")
        for process in cluster.master_processes:
            process.kill()
        before = (cluster.folder / "copy").read_bytes()
        backup(cluster.masters, cluster.folder / "copy", "-timeout=1s", status=1)
        check((cluster.folder / "copy").read_bytes() == before, "the copy of before is gone")


def hazard_7_lag_is_visible():
    with Cluster(masters=3, volumes=0) as cluster:
        until("the key-value space", lambda: put(cluster.masters, "ready", "yes"))
        logger = Metalogger(cluster).start()
        until("it follows", lambda: check(logger.metric("holdfast_metalogger_following") == 1, "no"))
        wait_caught_up(cluster, logger)
        for address in cluster.masters:
            until("each master knows of it", lambda a=address: check(metric(a, "holdfast_metaloggers") == 1, "no"))
        logger.signal(19)  # frozen: nobody waits for it
        begin = time.monotonic()
        for n in range(50):
            put(cluster.masters, f"k{n}", "v")
        check(time.monotonic() - begin < 10, "a frozen metalogger slows the masters down")
        for address in cluster.masters:
            until("the lag", lambda a=address: check(metric(a, "holdfast_metalogger_behind_entries") >= 50 and
                                                     metric(a, "holdfast_metalogger_behind_seconds") > 0 and
                                                     metric(a, "holdfast_metalogger_silent_seconds") > 0.5, "no"))
        for address in cluster.masters:
            seen = Http(1).json(address, "/cluster/metaloggers")[1]["Metaloggers"]
            check(len(seen) == 1 and seen[0]["Behind"] >= 50 and seen[0]["SilentSeconds"] > 0.5, f"{seen}")
            page = Http(1).request("GET", address, "/")[2].decode()
            check('id="metaloggers"' in page and f"{seen[0]['Behind']} entries" in page, "it is not on the page")
        logger.signal(18)
        for address in cluster.masters:
            until("it has caught up", lambda a=address: check(metric(a, "holdfast_metalogger_behind_entries") == 0, "no"), 20)
        # Two on one machine have one name and address: the one that lags is not hidden behind the other, whichever it is.
        second = Metalogger(cluster, "ml2").start()
        for lame, last in ((logger, "a"), (second, "b")):
            for address in cluster.masters:
                until("both have caught up", lambda a=address: check(metric(a, "holdfast_metaloggers") == 2 and not any(
                    one["Behind"] for one in Http(1).json(a, "/cluster/metaloggers")[1]["Metaloggers"]), "no"), 20)
            lame.signal(19)
            for n in range(20):
                put(cluster.masters, f"{last}{n}", "v")
            for address in cluster.masters:
                until("the lag of one of two", lambda a=address: check(
                    metric(a, "holdfast_metalogger_behind_entries") >= 20 and
                    metric(a, "holdfast_metalogger_silent_seconds") > 0.5, "no"))
            lame.signal(18)
        members = Http(1).json(cluster.masters[0], "/cluster/status")[1]
        check(len(members.get("Members", members.get("Peers", []))) <= 3, f"it became a member: {members}")


def without_masters_a_metalogger_rests_and_finds_those_that_return():
    with Cluster(volumes=0) as cluster:
        until("the key-value space", lambda: put(cluster.masters, "ready", "yes"))
        logger = Metalogger(cluster).start()
        until("it follows", lambda: check(logger.metric("holdfast_metalogger_following") == 1, "no"))
        for process in cluster.master_processes:
            process.kill()
        until("it says so", lambda: check("failed to connect" in logger.log() or "Connection refused" in logger.log(), "no"))
        time.sleep(2)
        begun = logger.cpu_seconds()
        time.sleep(15)
        used = (logger.cpu_seconds() - begun) / 15
        print(f"  without masters a metalogger takes {used * 100:.2f} % of a core")
        check(used < 0.003, f"{used * 100:.2f} % of a core without masters")
        for process in cluster.master_processes:
            process.start()
        cluster.leader(20)
        begun = time.monotonic()
        until("it follows", lambda: check(logger.metric("holdfast_metalogger_following") == 1, "no"))
        took = time.monotonic() - begun
        print(f"  it follows {took * 1000:.0f} ms after they have a leader again")
        check(took < 1.5, f"after {took} s")


def hazard_8_a_crash_needs_no_flag():
    with Cluster(masters=1, volumes=0) as cluster:
        until("the key-value space", lambda: put(cluster.masters, "ready", "yes"))
        logger = Metalogger(cluster).start()
        until("it follows", lambda: check(logger.metric("holdfast_metalogger_following") == 1, "no"))
        for n in range(10):
            put(cluster.masters, f"k{n}", "v")
            logger.kill()
            cluster.master_processes[0].kill()
            cluster.master_processes[0].start()
            logger.start()
            cluster.leader()
            until("a put", lambda n=n: put(cluster.masters, f"later{n}", "v"))
        wait_caught_up(cluster, logger)
        logger.stop()
        out = restore("-a", "-verify", "-d", logger.dir)
        check("11 keys" in out or "21 keys" in out, out)

        # A restored state beside another one, and one whose cluster lives, are refused in words.
        restore("-a", "-d", logger.dir)
        cluster.master_processes[0].stop()
        shutil.copy(logger.dir / "metadata.mfs", cluster.folder / "m1" / "metadata.mfs")
        cluster.master_processes[0].start()
        until("it is refused", lambda: check(not cluster.master_processes[0].alive(), "it runs"))
        check("only one can go on" in cluster.master_processes[0].log(), cluster.master_processes[0].log()[-1000:])
        (cluster.folder / "m1" / "metadata.mfs").unlink()
        cluster.master_processes[0].start()
        cluster.leader()
        other = cluster.folder / "other"
        other.mkdir()
        shutil.copy(logger.dir / "metadata.mfs", other / "metadata.mfs")
        second = Process("second", [WEED, "-logtostderr=true", "master", "-ip=localhost", f"-port={free_port()}", f"-mdir={other}"],
                         cluster.folder).start()
        until("it is refused", lambda: check(not second.alive(), "it runs"))
        check("is alive and has more than any copy" in second.log(), second.log()[-1000:])
        damaged = bytearray((other / "metadata.mfs").read_bytes())
        damaged[len(damaged) // 2] ^= 1
        (other / "metadata.mfs").write_bytes(damaged)
        second.start()
        until("a damaged one is refused", lambda: check(not second.alive(), "it runs"))
        check("is damaged: its checksum is another" in second.log(), second.log()[-1000:])


def a_volume_server_carries_a_metalogger_along():
    with Cluster(masters=1, volumes=1, volume_flags=["-metalogger=./copies"]) as cluster:
        ready(cluster)
        folder = cluster.folder / "copies"
        def caught_up():
            put(cluster.masters, "one", "more")
            last = committed(cluster)
            time.sleep(0.3)
            lines = (folder / "changelog_ml.0.mfs").read_bytes().splitlines()
            check(int(lines[-1].split(b":")[0]) >= last, "behind")
        until("the copies", caught_up)
        copy = cluster.folder / "scp"
        shutil.copytree(folder, copy)  # as scp would, while it writes
        restore("-a", "-d", copy)


if __name__ == "__main__":
    run([all_masters_lost_and_the_cluster_goes_on_from_a_metalogger, hazard_1_a_torn_last_line_costs_no_other,
         hazards_2_and_3_a_lower_version_or_a_foreign_cluster_deletes_nothing,
         hazard_4_an_image_for_a_new_follower_at_any_moment, hazard_7_lag_is_visible, hazard_8_a_crash_needs_no_flag,
         without_masters_a_metalogger_rests_and_finds_those_that_return, a_volume_server_carries_a_metalogger_along])
