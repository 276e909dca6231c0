#!/usr/bin/env python3
"""Volumes go from one server to another: copied while they are written, followed by their tail; killed halfway with
-9; and backed up piece by piece, as `weed backup` does it. Nothing acknowledged may be missing, nothing half may stay.
"""
import base64
import json
import os
import random
import subprocess
import threading
import time

from harness import BIN, Client, Cluster, Http, check, payload, run, split_address, until

ROUNDS = int(os.environ.get("MOVE_ROUNDS", "8"))


def grpc_of(address):
    host, port = split_address(address)
    return f"{host}:{port + 10000}"


def rpc_process(address, method, request):
    method = method if "/" in method else f"VolumeServer/{method}"
    return subprocess.Popen([str(BIN / "holdfast_rpc"), grpc_of(address), method, json.dumps(request)],
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def rpc(address, method, request, seconds=60):
    """The answers; a Failure with the server's words."""
    process = rpc_process(address, method, request)
    out, words = process.communicate(timeout=seconds)
    check(process.returncode == 0, f"{method} at {address}: {process.returncode} {words.strip()}")
    return [json.loads(line) for line in out.splitlines()]


class Writers:
    """Write, overwrite and delete files of one volume at one server; remember what was acknowledged last of each."""

    def __init__(self, server, fid, threads=3, sizes=(0, 60_000)):
        self.server, self.fid, self.sizes = server, fid, sizes
        self.stopping = threading.Event()
        self.state = {}  # number -> (seed, size), None when deleted
        self.trouble = []
        self.threads = [threading.Thread(target=self._work, args=(i, threads), daemon=True) for i in range(threads)]

    def start(self):
        for thread in self.threads:
            thread.start()
        return self

    def stop(self):
        self.stopping.set()
        for thread in self.threads:
            thread.join()
        check(not self.trouble, self.trouble[:3])
        return self

    def name(self, number):
        return f"/{self.fid}_{number}"

    def _work(self, first, step):
        http, draw, number, mine = Http(20), random.Random(first), first, []
        try:
            while not self.stopping.is_set():
                dice = draw.random()
                if mine and dice < 0.15:
                    victim = draw.choice(mine)
                    status, _, body = http.request("DELETE", self.server, self.name(victim) + "?type=replicate")
                    check(status in (202, 404), f"DELETE {victim}: {status} {body!r}")
                    self.state[victim] = None
                    continue
                chosen = draw.choice(mine) if mine and dice < 0.35 else None
                if chosen is None:
                    chosen, number = number, number + step
                    mine.append(chosen)
                seed, size = draw.getrandbits(60), draw.randint(*self.sizes) if draw.random() < 0.95 else 0
                status, _, body = http.request("PUT", self.server, self.name(chosen) + "?type=replicate",
                                               body=payload(seed, size), headers={"Content-Type": "image/x"})
                check(status in (201, 204), f"PUT {chosen}: {status} {body!r}")
                self.state[chosen] = (seed, size)
        except Exception as error:  # noqa: the test tells it
            self.trouble.append(error)

    def verify(self, server):
        http = Http(20)
        for number, content in self.state.items():
            status, _, body = http.request("GET", server, self.name(number) + "?proxied=true")
            if content is None:
                check(status == 404, f"{self.name(number)} at {server}: deleted, and answered {status}")
            else:
                check(status == 200, f"{self.name(number)} at {server}: {status}")
                check(body == payload(*content), f"{self.name(number)} at {server}: {len(body)} bytes differ")
        return len(self.state)


def a_volume(cluster):
    """(source, target, fid, volume id): a fresh volume that only the source holds."""
    cluster.wait_writable()
    fid = Client(cluster.masters).assign("count=100000&collection=moving")["fid"]
    volume = int(fid.split(",")[0])
    place = Client(cluster.masters).lookup(volume)["locations"][0]["url"]
    at = cluster.volumes.index(place)
    return at, 1 - at, fid, volume


def files_of(cluster, at, volume):
    return sorted(p.name for p in (cluster.folder / f"v{at + 1}").iterdir() if p.name.startswith(f"moving_{volume}."))


def a_volume_moves_while_it_is_written():
    with Cluster(masters=1, volumes=2, volume_flags=["-max=30"]) as cluster:
        at, to, fid, volume = a_volume(cluster)
        source, target = cluster.volumes[at], cluster.volumes[to]
        writers = Writers(source, fid).start()
        time.sleep(1.5)
        answers = rpc(target, "VolumeCopy", {"volume_id": volume, "collection": "moving", "source_data_node": source})
        since = int(answers[-1]["last_append_at_ns"])
        check(since > 0, answers)
        tail = rpc_process(target, "VolumeTailReceiver", {"volume_id": volume, "since_ns": since,
                                                          "idle_timeout_seconds": 1, "source_volume_server": source})
        time.sleep(3)
        writers.stop()
        rpc(source, "VolumeMarkReadonly", {"volume_id": volume})
        _, words = tail.communicate(timeout=60)
        check(tail.returncode == 0, words)
        count = writers.verify(target)
        check(count > 100, f"only {count} files were written")
        rpc(source, "VolumeDelete", {"volume_id": volume})
        until("the master knows the one place left",
              lambda: [p["url"] for p in Client(cluster.masters).lookup(volume)["locations"]] == [target])
        cluster.volume_processes[to].kill()
        cluster.volume_processes[to].start()
        until("the volume is served again", lambda: Http().request("GET", target, "/status")[0] == 200)
        until("all is there after a kill", lambda: writers.verify(target) == count)
        print(f"  {count} files followed their volume")


def a_killed_copy_leaves_nothing_half():
    with Cluster(masters=1, volumes=2, volume_flags=["-max=30"]) as cluster:
        at, to, fid, volume = a_volume(cluster)
        source, target = cluster.volumes[at], cluster.volumes[to]
        writers = Writers(source, fid, sizes=(50_000, 200_000)).start()
        time.sleep(1)
        writers.stop()
        size = int(rpc(source, "ReadVolumeFileStatus", {"volume_id": volume})[0]["dat_file_size"])
        chance = random.Random(11)
        whole = broken = 0
        for turn in range(ROUNDS):
            # A fraction of a second long, killed within one and a half: some come through.
            copy = rpc_process(target, "VolumeCopy", {"volume_id": volume, "source_data_node": source,
                                                      "io_byte_per_second": 2 * size})
            time.sleep(chance.random() * 1.5)
            victim = cluster.volume_processes[to if turn % 3 else at]
            victim.kill()
            _, words = copy.communicate(timeout=60)
            check("no space" not in words, words)
            victim.start()
            for address in (source, target):
                until(f"{address} is there again", lambda: Http().request("GET", address, "/status")[0] == 200)
            names = files_of(cluster, to, volume)
            if copy.returncode == 0:
                check(f"moving_{volume}.dat" in names and f"moving_{volume}.note" not in names, names)
            if not names:
                broken += 1
                continue
            check(f"moving_{volume}.note" not in names, names)
            writers.verify(target)
            rpc(target, "VolumeDelete", {"volume_id": volume})
            whole += 1
        writers.verify(source)
        check(broken > 0 and whole > 0, f"{broken} copies were killed halfway, {whole} came through")
        print(f"  {broken} copies broke off without a trace, {whole} were whole")


def a_backup_takes_only_what_is_new():
    with Cluster(masters=1, volumes=2, volume_flags=["-max=30"]) as cluster:
        at, _, fid, volume = a_volume(cluster)
        source = cluster.volumes[at]
        local = b""
        since = 0
        for _ in range(4):
            writers = Writers(source, fid).start()
            time.sleep(0.5)
            writers.stop()
            status = rpc(source, "VolumeSyncStatus", {"volume_id": volume})[0]
            if not local:
                pieces = rpc(source, "CopyFile", {"volume_id": volume, "ext": ".dat", "compaction_revision": 0,
                                                  "stop_offset": status["tail_offset"]})
            else:
                pieces = rpc(source, "VolumeIncrementalCopy", {"volume_id": volume, "since_ns": since})
            news = b"".join(base64.b64decode(piece.get("file_content", "")) for piece in pieces)
            check(news and len(news) < int(status["tail_offset"]) + 8, f"{len(news)} bytes of {status}")
            local += news
            check(len(local) == int(status["tail_offset"]), f"{len(local)} bytes, not {status}")
            path = cluster.folder / f"v{at + 1}" / f"moving_{volume}.dat"
            check(local == path.read_bytes(), "the backup differs from the volume")
            since = last_time(local)
        check(rpc(source, "VolumeIncrementalCopy", {"volume_id": volume, "since_ns": since}) == [], "something is new")
        print(f"  {len(local)} bytes in four pieces")


def last_time(dat):
    """The time of the last record: read as a backup's client does, from the front."""
    at, time_ns = 8, 0
    while at + 16 <= len(dat):
        size = int.from_bytes(dat[at + 12:at + 16], "big")
        time_ns = int.from_bytes(dat[at + 20 + size:at + 28 + size], "big")
        length = 16 + size + 12
        at += length + 8 - length % 8
    return time_ns


if __name__ == "__main__":
    run([a_volume_moves_while_it_is_written, a_killed_copy_leaves_nothing_half, a_backup_takes_only_what_is_new])
