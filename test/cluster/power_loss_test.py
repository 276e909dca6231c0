#!/usr/bin/env python3
"""Loss of power, as docs/durability.md has it row by row: machines whose disks end at one moment, with what was on them then.

Each machine, a master and a volume server in one process, has an ext4 of its own in a file. Its power goes: the file system is shut
down without another byte to its disk (the ioctl that testers of file systems use), and only then the process dies. Mounted again it
is what a real one would be: its journal, and what had been synced or written back. Needs root and loop devices; skipped otherwise.
"""
import fcntl
import os
import pathlib
import struct
import subprocess
import sys
import tempfile
import time

from harness import Client, Cluster, Failure, Http, NETWORK_ERRORS, check, payload, run, until
from netns import SKIPPED

MACHINES = 3
SHUTDOWN, WITHOUT_ITS_LOG = 0x8004587D, 2  # EXT4_IOC_SHUTDOWN, EXT4_GOING_FLAGS_NOLOGFLUSH


def sh(*argv):
    done = subprocess.run(argv, capture_output=True, text=True)
    if done.returncode != 0:
        raise Failure(f"{' '.join(argv)}: {done.stderr.strip()}")


class Disk:
    """An ext4 in a file, mounted at `folder`. Nothing is written back unasked while a test runs."""

    def __init__(self, folder):
        self.folder, self.image = folder, folder.with_suffix(".ext4")
        folder.mkdir()
        with open(self.image, "wb") as f:
            f.truncate(256 << 20)
        sh("mkfs.ext4", "-q", "-F", self.image)
        self.mount()

    def mount(self):
        sh("mount", "-o", "loop,commit=300", self.image, self.folder)

    def lose_power(self):
        fd = os.open(self.folder, os.O_RDONLY)
        try:
            fcntl.ioctl(fd, SHUTDOWN, struct.pack("I", WITHOUT_ITS_LOG))
        finally:
            os.close(fd)

    def unmount(self):
        def gone():
            if self.folder.is_mount():
                sh("umount", self.folder)
            return True
        until(f"{self.folder} is unmounted", gone)  # a guardian holds it for a moment longer than its master


class Machines(Cluster):
    def __init__(self, *server_flags):
        folder = pathlib.Path(tempfile.mkdtemp(prefix="holdfast-power-"))
        self.disks = [Disk(folder / str(i + 1)) for i in range(MACHINES)]
        super().__init__(MACHINES, MACHINES, "server", folder=folder, server_flags=[
            "-master.defaultReplication=001", "-master.healAfter=0s", "-volume.max=40", *server_flags])
        self.own_folder = True

    def lose_power(self, *machines):
        for i in machines:
            self.disks[i].lose_power()
        for i in machines:
            self.master_processes[i].kill()
            self.disks[i].unmount()
            self.disks[i].mount()

    def back(self, *machines):
        for i in machines:
            self.master_processes[i].start()
        until("all volume servers are back", lambda: self.heard() == MACHINES)

    def heard(self):
        _, _, text = Http(2).request("GET", self.masters[self.leader()], "/metrics")
        values = dict(line.rsplit(" ", 1) for line in text.decode().splitlines() if line.startswith("holdfast_master_servers"))
        return float(values["holdfast_master_servers"]) - float(values["holdfast_master_servers_silent"])

    def volumes_of(self, collection):
        """(machine, volume) of each copy."""
        listed = [(i, Http(2).json(at, "/status")[1]["Volumes"]) for i, at in enumerate(self.volumes)]
        return sorted((i, v["Id"]) for i, volumes in listed for v in volumes if v["Collection"] == collection)

    def stop(self):
        for process in self.processes():
            process.kill()
        for disk in self.disks:
            disk.unmount()
        super().stop()


class Story:
    """Files and keys of a cluster, and where each is."""

    def __init__(self, cluster):
        self.cluster, self.client, self.http = cluster, Client(cluster.masters), Http(3)
        self.keys = []

    def assign(self, collection):
        assigned = self.client.assign(f"collection={collection}")
        self.keys.append(assigned["fid"].split(",")[1][:-8])
        return assigned

    def uploads(self, collection, count, query=""):
        fids = []
        for n in range(count):
            assigned = until("an assign", lambda: self.assign(collection))
            self.client.put(assigned, payload(assigned["fid"], 2000 + n), query)
            fids.append((assigned["fid"], 2000 + n))
        return fids

    def delete(self, fid, query=""):
        where = self.client.lookup(fid.split(",")[0])["locations"][0]["url"]
        status, _, body = self.http.request("DELETE", where, f"/{fid}{query}")
        check(status == 202, f"DELETE {fid}: {status} {body}")

    def status_at(self, machine, fid):
        """As this machine itself answers: 404 also when it has no such volume."""
        status, _, data = self.http.request("GET", self.cluster.volumes[machine], f"/{fid}?proxied=true")
        return status, data

    def kept(self, files, machines=range(MACHINES)):
        """How many copies of each file there are on these machines; each that is there is what was uploaded."""
        copies = []
        for fid, size in files:
            answers = [self.status_at(m, fid) for m in machines]
            check(all(s in (200, 404) for s, _ in answers), f"{fid}: {[s for s, _ in answers]}")
            check(all(d == payload(fid, size) for s, d in answers if s == 200), f"{fid} reads back other bytes")
            copies.append(sum(s == 200 for s, _ in answers))
        return copies

    def keys_are_unique(self):
        check(len(set(self.keys)) == len(self.keys), "keys were given twice")


def kv_put(client, key, value):
    for master in client.masters:
        try:
            status, _, _ = client.http.request("PUT", master, f"/cluster/kv/{key}", body=value)
            if status == 200:
                return True
        except NETWORK_ERRORS:
            pass
    raise Failure("no put")


def kv_get(client, master, key):
    status, _, body = client.http.request("GET", master, f"/cluster/kv/{key}")
    return body if status == 200 else None


def one_machine_loses_power():
    with Machines() as cluster:
        cluster.wait_writable()
        story = Story(cluster)
        synced = story.uploads("synced", 20, "fsync=true")
        plain = story.uploads("plain", 60)
        deleted, plain = plain[:10], plain[10:]
        for fid, _ in deleted:
            story.delete(fid)
        buried, synced = synced[:10], synced[10:]
        for fid, _ in buried:
            story.delete(fid, "?fsync=true")
        check(kv_put(story.client, "row", b"kept"), "put")
        lost = cluster.leader()
        others = [i for i in range(MACHINES) if i != lost]
        before = story.kept(plain)
        check(set(before) == {2}, f"copies before: {before}")
        there = sum(story.kept(plain, [lost]))
        check(there > 0, "the machine had no copy: this proves nothing")
        cluster.lose_power(lost)

        check(min(story.kept(plain, others)) >= 1, "the other copies are kept")
        more = story.uploads("later", 20)
        cluster.back(lost)
        check(set(story.kept(synced)) == {2}, f"with fsync=true both copies are kept: {story.kept(synced)}")
        check(min(story.kept(plain)) >= 1, "every acknowledged file is on a copy")
        left = sum(story.kept(plain, [lost]))
        check(left < there, "nothing was lost on that machine: no power was lost")
        check(not sum(story.kept(deleted, others)), "what was deleted is so at the others")
        check(not sum(story.kept(buried)), "what was deleted with fsync=true is so everywhere")
        check(set(story.kept(more)) == {2}, "what came meanwhile is on the two others")
        check(kv_get(story.client, cluster.masters[lost], "row") == b"kept", "what masters replicate is kept")
        story.uploads("after", 20)
        story.keys_are_unique()
        print(f"  of {there} files of the page cache {left} are left on that machine, all on the others")


def all_machines_lose_power_at_once():
    with Machines() as cluster:
        cluster.wait_writable()
        story = Story(cluster)
        plain = story.uploads("plain", 60)
        synced = story.uploads("synced", 40, "fsync=true")
        gone, synced = synced[:10], synced[10:]
        for fid, _ in gone:
            story.delete(fid, "?fsync=true")
        for n in range(20):
            check(kv_put(story.client, f"row/{n}", b"kept"), "put")
        status, _, body = story.http.request("GET", cluster.masters[0], "/vol/grow?collection=made&count=4")
        check(status == 200, f"grow: {status} {body}")
        made = cluster.volumes_of("made")
        check(len(made) >= 8, f"made: {made}")
        cluster.lose_power(*range(MACHINES))
        cluster.back(*range(MACHINES))

        check(set(story.kept(synced)) == {2}, f"with fsync=true both copies are kept: {story.kept(synced)}")
        left = sum(c > 0 for c in story.kept(plain))
        check(left < len(plain), "nothing was lost: no power was lost")
        for master in cluster.masters:
            for n in range(20):
                check(kv_get(story.client, master, f"row/{n}") == b"kept", f"row/{n} of {master}")
        check(not sum(story.kept(gone)), "what was deleted with fsync=true is so everywhere")
        check(cluster.volumes_of("made") == made, f"volumes that were made: {made}, now {cluster.volumes_of('made')}")
        print(f"  {left} of {len(plain)} files of the page cache are left")
        story.uploads("plain", 20)
        story.uploads("made", 20)
        story.uploads("synced", 20, "fsync=true")
        story.keys_are_unique()


def with_the_flag_every_upload_and_deletion_is_kept():
    with Machines("-volume.fsync") as cluster:
        cluster.wait_writable()
        story = Story(cluster)
        files = story.uploads("c", 50)
        gone, files = files[:10], files[10:]
        for fid, _ in gone:
            story.delete(fid)
        cluster.lose_power(*range(MACHINES))
        cluster.back(*range(MACHINES))
        check(set(story.kept(files)) == {2}, f"both copies are kept: {story.kept(files)}")
        check(not sum(story.kept(gone)), "what was deleted is so everywhere")
        story.uploads("c", 20)
        story.keys_are_unique()


STORIES = [one_machine_loses_power, all_machines_lose_power_at_once, with_the_flag_every_upload_and_deletion_is_kept]


def cannot():
    if os.geteuid() != 0:
        return "mounting needs root"
    with tempfile.TemporaryDirectory(prefix="holdfast-power-") as folder:
        try:
            disk = Disk(pathlib.Path(folder) / "try")
        except (Failure, OSError) as error:
            return f"no ext4 can be made and mounted here: {error}"
        try:
            disk.lose_power()
        except OSError as error:
            return f"this kernel's ext4 cannot be shut down: {error}"
        finally:
            disk.unmount()
    return None


if __name__ == "__main__":
    why = cannot()
    if why:
        print(f"0 passed, 0 failed, {len(STORIES)} skipped: {why}")
        sys.exit(SKIPPED)
    run(STORIES)
