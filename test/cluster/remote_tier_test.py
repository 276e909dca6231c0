#!/usr/bin/env python3
"""Volumes whose data lies in a bucket of S3, by the rpcs of a volume server: files are read, deleted and brought back; the
server dies at each request to the bucket, and no file is missing then; a bucket that does not answer holds up nobody else.

    remote_tier_test.py [story]
"""
import json
import threading
import time

import s3_server
from harness import Client, Cluster, Http, check, payload, run, until
from volume_move_test import rpc, rpc_process


class World:
    """A master that knows the bucket, a volume server, and a read-only volume with files of many sizes."""

    def __init__(self, files=12, sizes=(1, 40_000), large=True, volume_flags=()):
        self.s3 = s3_server.S3Server(bucket="cold")
        self.cluster = Cluster(masters=1, volumes=1, volume_flags=volume_flags)
        (self.cluster.folder / "master.toml").write_text(self.s3.master_toml("cold"))
        self.files_wanted, self.sizes, self.large = files, sizes, large

    def __enter__(self):
        self.s3.start()
        self.cluster.start()
        self.cluster.wait_writable()
        self.server = self.cluster.volumes[0]
        self.http = Http(timeout=20)
        client = Client(self.cluster.masters)
        assigned = client.assign("collection=pics&count=100")
        self.volume = int(assigned["fid"].split(",")[0])
        self.fid = assigned["fid"]
        self.data = {}
        for n in range(1, self.files_wanted):
            size = self.sizes[0] + (self.sizes[1] - self.sizes[0]) * n // self.files_wanted
            self.data[n] = payload(n, size)
        if self.large:
            self.data[90] = payload(90, 3 << 20)  # whole by one request
            self.data[91] = payload(91, 11 << 20)  # in pieces
        for n, data in self.data.items():
            status, _, body = self.http.request("PUT", self.server, f"/{self.fid}_{n}", body=data,
                                                headers={"Content-Type": "application/octet-stream"})
            check(status == 201, f"{status} {body!r}")
        rpc(self.server, "VolumeMarkReadonly", {"volume_id": self.volume, "persist": True})
        client.close()
        return self

    def __exit__(self, *failure):
        self.s3.fault = None
        self.http.close()
        self.cluster.__exit__(*failure)
        self.s3.stop()

    def path(self, ext):
        return self.cluster.folder / "v1" / f"pics_{self.volume}{ext}"

    def get(self, n, headers=None):
        return self.http.request("GET", self.server, f"/{self.fid}_{n}", headers=headers)

    def check_files(self, when, deleted=()):
        for n, data in self.data.items():
            status, _, body = self.get(n)
            if n in deleted:
                check(status == 404, f"{when}: file {n} was deleted and answers {status}")
            else:
                check(status == 200 and body == data, f"{when}: file {n} of {len(data)} bytes: {status}, {len(body)} bytes")

    def upload(self, **more):
        return rpc(self.server, "VolumeTierMoveDatToRemote",
                   {"volume_id": self.volume, "collection": "pics", "destination_backend_name": "s3.cold", **more})

    def download(self, **more):
        return rpc(self.server, "VolumeTierMoveDatFromRemote", {"volume_id": self.volume, "collection": "pics", **more})

    def restart(self, kill=False):
        process = self.cluster.volume_processes[0]
        process.kill() if kill else process.stop()
        process.start()
        self.http.close()
        until("the server answers", lambda: self.http.request("GET", self.server, "/status")[0] == 200)

    def info(self):
        _, status = self.http.json(self.server, "/status")
        return next(v for v in status["Volumes"] if v["Id"] == self.volume)

    def wait_for_tier(self):
        """A server that was started hears of the bucket with the first answer of a master."""
        until("the tier is known", lambda: self.get(1)[0] != 503)


def there_and_back():
    with World() as world:
        whole = world.path(".dat").read_bytes()
        told = world.upload()
        check(told[-1]["processedPercentage"] == 100 and int(told[-1]["processed"]) == len(whole), told)
        check(not world.path(".dat").exists(), "the .dat is still on the disk")
        check(list(world.s3.objects.values()) == [whole], "the object is not what the .dat was")
        vif = json.loads(world.path(".vif").read_text())
        [file] = vif["files"]
        check((file["backendType"], file["backendId"], file["fileSize"]) == ("s3", "cold", str(len(whole))), file)
        check(world.info()["RemoteStorageName"] == "s3.cold" and world.info()["ReadOnly"], world.info())
        world.check_files("in the bucket")
        check(world.get(1, {"Range": "bytes=5-9"})[2] == world.data[1][5:10], "a range of a small file")
        check(world.get(91, {"Range": "bytes=9000000-9000999"})[2] == world.data[91][9000000:9001000], "a range of a large file")
        check(world.get(99)[0] == 404, "a file that never was")
        status, _, body = world.http.request("PUT", world.server, f"/{world.fid}_50", body=b"x")
        check(status == 500 and b"read only" in body, f"a write: {status} {body!r}")
        status, _, _ = world.http.request("DELETE", world.server, f"/{world.fid}_2")
        check(status == 202, f"a deletion: {status}")
        check(world.path(".idx").read_bytes()[-8:] == b"\0\0\0\0\xff\xff\xff\xff", "its row has no place")
        world.restart()
        world.wait_for_tier()
        world.check_files("after a restart", deleted=[2])
        check(list(world.s3.objects.values()) == [whole], "the object has changed")
        told = world.download()
        check(told[-1]["processedPercentage"] == 100, told)
        check(world.path(".dat").read_bytes() == whole and not world.s3.objects, "back on the disk")
        world.check_files("back on the disk", deleted=[2])
        world.restart()
        world.check_files("back, after a restart", deleted=[2])
        rpc(world.server, "VolumeMarkWritable", {"volume_id": world.volume})
        check(world.http.request("PUT", world.server, f"/{world.fid}_50", body=b"x")[0] == 201, "it takes writes again")


def before_a_master_is_heard():
    with World(large=False) as world:
        world.upload()
        world.cluster.volume_processes[0].stop()
        world.cluster.master_processes[0].kill()
        world.cluster.volume_processes[0].start()
        world.http.close()
        until("the server answers", lambda: world.http.request("GET", world.server, "/status")[0] == 200)
        check(world.info()["RemoteStorageName"] == "s3.cold", "the volume is there")
        check(world.get(1)[0] == 503, f"a read before anybody told: {world.get(1)[0]}")
        check(world.get(99)[0] == 404, "what never was is known without the bucket")
        check(world.http.request("DELETE", world.server, f"/{world.fid}_1")[0] == 500, "a deletion before anybody told")
        world.cluster.master_processes[0].start()
        world.wait_for_tier()
        world.check_files("once a master told")
        found = until("the master knows it", lambda: Client(world.cluster.masters).lookup(world.volume).get("locations"))
        check(found[0]["url"] == world.server, found)


def dies_at_each_request():
    """kill -9 while the bucket is asked for something, for each of these requests in turn."""
    with World(files=6, large=False) as world:
        moves = {"up": ("VolumeTierMoveDatToRemote", {"destination_backend_name": "s3.cold"}), "down": ("VolumeTierMoveDatFromRemote", {})}
        deaths = 0
        for direction, (method, more) in moves.items():
            at = 0
            while True:
                if direction == "down" and world.info()["RemoteStorageName"] == "":
                    world.upload()
                counted = [0]

                def fault(*_):
                    counted[0] += 1
                    if counted[0] == at + 1:
                        world.cluster.volume_processes[0].popen.kill()
                    return None
                world.s3.fault = fault
                process = rpc_process(world.server, method, {"volume_id": world.volume, "collection": "pics", **more})
                process.communicate(timeout=60)
                world.s3.fault = None
                if process.returncode == 0:
                    break
                deaths += 1
                world.restart(kill=True)
                world.wait_for_tier()
                world.check_files(f"killed at request {at + 1} on the way {direction}")
                if direction == "up" and world.info()["RemoteStorageName"] != "":
                    world.download()
                at += 1
            world.check_files(f"at last, {direction}")
        check(deaths >= 15, f"only {deaths} deaths")
        print(f"{deaths} deaths, {len(world.s3.objects)} objects left over")


def a_silent_bucket_holds_up_nobody():
    with World(large=False, volume_flags=("-index=leveldb",)) as world:
        client = Client(world.cluster.masters)
        local = client.upload(payload(1, 300_000))  # larger than what a loop reads by itself
        world.upload()
        world.check_files("with an index on disk")
        silent = threading.Event()
        world.s3.fault = lambda *_: silent.wait(60) and None
        readers = [threading.Thread(target=lambda: Http(timeout=90).request("GET", world.server, f"/{world.fid}_3"), daemon=True)
                   for _ in range(60)]
        for reader in readers:
            reader.start()
        until("the bucket is asked", lambda: len(world.s3.requests) > 20)
        begin = time.monotonic()
        for n in range(50):
            check(client.read(local) == payload(1, 300_000), "a file on the disk")
            client.upload(payload(n, 2_000_000))  # spooled: it needs the threads of the disks
        check(time.monotonic() - begin < 20, f"reads and writes of the disk took {time.monotonic() - begin:.1f} s")
        silent.set()
        for reader in readers:
            reader.join(60)
        world.s3.fault = None
        world.check_files("when it answers again")
        client.close()


def deleting_a_volume_takes_its_object_along():
    with World(files=3, large=False) as world:
        world.upload(keep_local_dat_file=True)
        check(world.path(".dat").exists() and len(world.s3.objects) == 1, "kept in both places")
        before = len(world.s3.requests)
        world.check_files("kept")
        check(len(world.s3.requests) == before, "the bucket was asked for what lies on the disk")
        world.upload()
        check(not world.path(".dat").exists(), "let go of")
        for call, request in (("VolumeCopy", {"source_data_node": "127.0.0.1:1.1"}), ("VacuumVolumeCompact", {}),
                              ("VolumeEcShardsGenerate", {"collection": "pics"}), ("VolumeMarkWritable", {}),
                              ("CopyFile", {"ext": ".dat", "stop_offset": 1000, "compaction_revision": 0})):
            process = rpc_process(world.server, call, {"volume_id": world.volume, **request})
            _, words = process.communicate(timeout=30)
            check(process.returncode != 0, f"{call} of a volume in a bucket")
            if call != "VolumeCopy":  # its source is nobody
                check("lies in s3.cold" in words, f"{call}: {words}")
        world.check_files("all refused")
        rpc(world.server, "VolumeDelete", {"volume_id": world.volume, "keep_remote_data": True})
        check(len(world.s3.objects) == 1, "the object was to be kept")
        check(not world.path(".vif").exists(), "the volume is deleted")
    with World(files=3, large=False) as world:
        world.upload()
        rpc(world.server, "VolumeDelete", {"volume_id": world.volume})
        check(not world.s3.objects, "the object is left over")
        check(not world.path(".vif").exists() and not world.path(".idx").exists(), "files are left over")


if __name__ == "__main__":
    run([there_and_back, before_a_master_is_heard, dies_at_each_request, a_silent_bucket_holds_up_nobody,
         deleting_a_volume_takes_its_object_along])
