#!/usr/bin/env python3
"""Bounds and bad days: big bodies, slow clients, full disks, killed volume servers, folders that are not ours."""
import http.client
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections import Counter

from harness import (Client, Cluster, Failure, Http, Load, NETWORK_ERRORS, PeakMemory, check, payload, run, split_address, until)


def big_bodies_stream():
    with Cluster(masters=1, volumes=1, sizes="4096", volume_flags=["-fileSizeLimitMB=1100", "-max=3"]) as cluster:
        cluster.wait_writable()
        client = Client(cluster.masters)
        assigned = client.assign()
        host, port = split_address(assigned["url"])
        piece = payload(5, 1 << 20)
        for megabytes in (256, 1024):
            assigned = client.assign()
            with PeakMemory(cluster.volume_processes[:1]) as memory:
                connection = http.client.HTTPConnection(host, port, timeout=120)
                connection.putrequest("PUT", "/" + assigned["fid"])
                connection.putheader("Content-Type", "application/octet-stream")
                connection.putheader("Content-Length", str(megabytes << 20))
                connection.endheaders()
                for _ in range(megabytes):
                    connection.send(piece)
                response = connection.getresponse()
                check(response.status == 201, f"{megabytes} MB: {response.status} {response.read()[:300]!r}")
                connection.close()
            print(f"  upload of {megabytes} MB: memory {memory.before[0]:.0f} -> {memory.peak[0]:.0f} MB at most")
            check(memory.grown() < 100, f"an upload of {megabytes} MB took {memory.grown():.0f} MB")
            with PeakMemory(cluster.volume_processes[:1]) as memory:
                connection = http.client.HTTPConnection(host, port, timeout=120)
                connection.request("GET", "/" + assigned["fid"])
                response = connection.getresponse()
                check(response.status == 200, f"read: {response.status}")
                for _ in range(megabytes):
                    check(response.read(1 << 20) == piece, "reads back other bytes")
                connection.close()
            print(f"  read of {megabytes} MB: memory {memory.before[0]:.0f} -> {memory.peak[0]:.0f} MB at most")
            check(memory.grown() < 100, f"a read of {megabytes} MB took {memory.grown():.0f} MB")
        status, _, body = Http(60).request("PUT", assigned["url"], "/" + client.assign()["fid"], body=b"x",
                                           headers={"Content-Type": "a/b"})
        check(status == 201, "a small file after the big ones")


def a_file_over_the_limit_is_refused():
    with Cluster(masters=1, volumes=1, volume_flags=["-fileSizeLimitMB=1"]) as cluster:
        cluster.wait_writable()
        client = Client(cluster.masters)
        assigned = client.assign()
        status, _, body = client.http.request("PUT", assigned["url"], "/" + assigned["fid"], body=payload(1, 1 << 20),
                                              headers={"Content-Type": "a/b"})
        check(status == 201, f"exactly the limit is allowed: {status} {body!r}")
        try:
            status, _, body = Http().request("PUT", assigned["url"], "/" + client.assign()["fid"],
                                             body=payload(1, (1 << 20) + 1), headers={"Content-Type": "a/b"})
            check(status == 400 and b"file over the limited 1048576 bytes" in body, f"{status} {body!r}")
        except (BrokenPipeError, ConnectionResetError):
            pass  # answered and closed before all was sent
        check(client.upload(b"still serves"), "serves on")


def slow_clients_harm_nobody():
    with Cluster(masters=1, volumes=1) as cluster:
        cluster.wait_writable()
        client = Client(cluster.masters)
        fid = client.upload(b"here")
        for address in (cluster.volumes[0], cluster.masters[0]):
            slow = []
            for _ in range(200):
                s = socket.create_connection(split_address(address), timeout=5)
                s.sendall(b"GET / HTTP/1.1\r\nHost:")
                slow.append(s)
            begin = time.monotonic()
            for _ in range(50):
                check(client.read(fid) == b"here", "unreadable beside slow clients")
            check(time.monotonic() - begin < 5, "slow beside slow clients")
            # A header that never ends is cut off within a bounded time.
            end = time.monotonic() + 40
            open_ = set(slow)
            while open_ and time.monotonic() < end:
                for s in list(open_):
                    s.setblocking(False)
                    try:
                        if s.recv(1000) == b"":
                            open_.discard(s)
                    except BlockingIOError:
                        pass
                    except OSError:
                        open_.discard(s)
                time.sleep(0.2)
            check(not open_, f"{len(open_)} connections with an unfinished header are still open after 40 s")
            for s in slow:
                s.close()


def killed_volume_servers_lose_no_acknowledged_write():
    with Cluster(masters=1, volumes=2) as cluster:
        cluster.wait_writable()
        load = Load(cluster.masters, writers=3, sizes=(1, 60000)).start()
        for turn in range(6):
            time.sleep(1)
            victim = cluster.volume_processes[turn % 2]
            victim.kill()
            time.sleep(0.3)
            victim.start()
        time.sleep(1.5)
        load.stop()
        time.sleep(1)
        load.verify()
        print(f"  {len(load.acknowledged)} acknowledged files read back after 6 kills")


def a_volume_server_that_freezes_while_volumes_are_made_is_left_out():
    with Cluster(masters=1, volumes=4, volume_flags=["-max=100"]) as cluster:
        until("all volume servers have room", lambda: Http().json(cluster.masters[0], "/dir/status")[1]["Topology"]["Free"] == 400)
        victim = cluster.volume_processes[0]
        victim.signal(signal.SIGSTOP)
        answers = {}

        # Three volumes of three copies each: hardly a collection whose volumes can all do without one of four servers.
        def assign(collection):
            answers[collection] = Http(30).json(cluster.masters[0], f"/dir/assign?replication=002&collection={collection}")

        threads = [threading.Thread(target=assign, args=(f"c{i}",)) for i in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        check(len(answers) == 8 and all(status == 200 for status, _ in answers.values()), f"assigns beside a frozen server: {answers}")
        for _, assigned in answers.values():
            status, _, body = Http().request("PUT", assigned["url"], "/" + assigned["fid"], body=b"x", headers={"Content-Type": "a/b"})
            check(status == 201, f"{assigned}: {status} {body!r}")
        check("fell silent before it answered" in cluster.master_processes[0].log(), "no volume was to be made on the frozen server")
        victim.signal(signal.SIGCONT)

        def copies():
            return Counter(path.name for path in cluster.folder.glob("v*/c*.dat"))

        until("what was begun on it is gone again everywhere", lambda: set(copies().values()) == {3}, 30)


def _tmpfs(folder, megabytes):
    folder.mkdir(parents=True, exist_ok=True)
    result = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(folder)],
                            capture_output=True, text=True)
    return result.returncode == 0


def a_full_volume_disk_is_an_error_and_loses_nothing():
    cluster = Cluster(masters=1, volumes=1, volume_flags=["-max=3"], sizes="64")
    disk = cluster.folder / "v1"
    if os.geteuid() != 0 or not _tmpfs(disk, 24):
        print("  skipped: a small disk needs root to mount one")
        return
    try:
        with cluster:
            cluster.wait_writable()
            client = Client(cluster.masters)
            written, refused = {}, None
            for i in range(200):
                try:
                    written[client.upload(payload(i, 400000))] = i
                except (Failure, *NETWORK_ERRORS) as error:
                    refused = error
                    break
            check(refused is not None, "a full disk refused nothing")
            check(len(written) > 10, f"only {len(written)} files fitted")
            for fid, i in written.items():
                check(client.read(fid) == payload(i, 400000), "an acknowledged file is gone after the disk was full")
            cluster.volume_processes[0].kill()
            cluster.volume_processes[0].start()
            end = time.monotonic() + 10
            while True:
                try:
                    for fid, i in written.items():
                        check(client.read(fid) == payload(i, 400000), "other bytes after a restart on the full disk")
                    break
                except (Failure, *NETWORK_ERRORS) as error:
                    check(time.monotonic() < end, f"unreadable after a restart on the full disk: {error}")
                    time.sleep(0.1)
    finally:
        subprocess.run(["umount", "-l", str(disk)], capture_output=True)
        shutil.rmtree(cluster.folder, ignore_errors=True)


def a_master_with_a_full_disk_hands_over():
    cluster = Cluster(masters=3, volumes=1)
    if os.geteuid() != 0 or not all(_tmpfs(cluster.folder / f"m{i + 1}", 96) for i in range(3)):
        print("  skipped: a small disk needs root to mount one")
        return
    try:
        with cluster:
            cluster.wait_writable()
            leader = cluster.leader()
            with open(cluster.folder / f"m{leader + 1}" / "ballast", "wb") as ballast:
                try:
                    while True:
                        ballast.write(b"\0" * (1 << 20))
                except OSError:
                    pass
            client = Client(cluster.masters)
            for i in range(100):
                client.upload(b"while a master's disk is full")
                if i % 10 == 0:
                    client.http.request("GET", cluster.masters[leader], f"/vol/grow?count=1&collection=c{i}")
            said = cluster.master_processes[leader].log()
            check(cluster.master_processes[leader].alive(), "a master with a full disk must not die")
            (cluster.folder / f"m{leader + 1}" / "ballast").unlink()
            client.upload(b"after")
    finally:
        for i in range(3):
            subprocess.run(["umount", "-l", str(cluster.folder / f"m{i + 1}")], capture_output=True)
        shutil.rmtree(cluster.folder, ignore_errors=True)


def a_copied_master_folder_is_refused_in_words():
    with Cluster(masters=3, volumes=1) as cluster:
        cluster.wait_writable()
        leader = cluster.leader()
        a, b = (leader + 1) % 3, (leader + 2) % 3
        # b is stopped and started on a copy of a's folder, its own m<port> replaced: two processes with one identity.
        cluster.master_processes[b].stop()
        source = cluster.folder / f"m{a + 1}" / f"m{cluster.master_ports[a]}"
        target = cluster.folder / f"m{b + 1}" / f"m{cluster.master_ports[b]}"
        check(source.is_dir(), f"state is expected in {source.name} under -mdir")
        shutil.rmtree(target)
        shutil.copytree(source, target)
        cluster.master_processes[b].start()
        time.sleep(3)
        log = cluster.master_processes[b].log() + cluster.master_processes[a].log() + cluster.master_processes[leader].log()
        check("cop" in log.lower(), "nobody says that a folder was copied")
        Client(cluster.masters).upload(b"the others go on")


def a_second_process_on_the_same_folder_is_refused():
    with Cluster(masters=1, volumes=1) as cluster:
        cluster.wait_writable()
        for process in cluster.processes():
            argv = [a for a in process.argv]
            result = subprocess.run(argv, cwd=cluster.folder, capture_output=True, text=True, timeout=30)
            check(result.returncode == 255, f"{process.name} twice: exit {result.returncode} {result.stderr[-500:]}")
            check(result.stderr.strip(), "it must say why")


if __name__ == "__main__":
    run([big_bodies_stream, a_file_over_the_limit_is_refused, slow_clients_harm_nobody,
         killed_volume_servers_lose_no_acknowledged_write, a_volume_server_that_freezes_while_volumes_are_made_is_left_out, a_full_volume_disk_is_an_error_and_loses_nothing,
         a_master_with_a_full_disk_hands_over, a_copied_master_folder_is_refused_in_words,
         a_second_process_on_the_same_folder_is_refused])
