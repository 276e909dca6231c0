#!/usr/bin/env python3
"""The cluster of the cheat sheet, as real processes: every way of starting it, losing any master, coming back."""
import os
import shutil
import signal
import subprocess
import time

from harness import (Client, Cluster, Failure, Http, Load, NETWORK_ERRORS, Process, WEED, check, free_port, payload,
                     run, until)


def serves_and_survives(cluster):
    """Uploads, kills the leader, uploads again through the others, reads both back, restarts it."""
    cluster.wait_writable()
    client = Client(cluster.masters)
    first = client.upload(payload(1, 5000))
    leader = cluster.leader()
    cluster.master_processes[leader].kill()
    others = Client([m for i, m in enumerate(cluster.masters) if i != leader])
    end = time.monotonic() + 10
    while True:
        try:
            second = others.upload(payload(2, 5000))
            break
        except (Failure, *NETWORK_ERRORS):
            check(time.monotonic() < end, "no upload within 10 s of the leader's death")
    check(others.read(second) == payload(2, 5000), "the second file reads back wrong")
    if cluster.layout == "separate":
        check(others.read(first) == payload(1, 5000), "the first file reads back wrong")
    cluster.master_processes[leader].start()
    cluster.leader()
    end = time.monotonic() + 10
    while True:
        try:
            check(client.read(first) == payload(1, 5000), "the first file reads back wrong after the restart")
            break
        except (Failure, *NETWORK_ERRORS):
            check(time.monotonic() < end, "the first file cannot be read 10 s after the restart")
            time.sleep(0.05)


def six_separate_processes():
    with Cluster() as cluster:
        serves_and_survives(cluster)


def three_servers_with_ip():
    with Cluster(layout="server") as cluster:
        serves_and_survives(cluster)


def _servers(ip_flag):
    cluster = Cluster(layout="server")
    for process in cluster.master_processes:
        process.argv = [a for a in process.argv if not a.startswith("-ip=")]
        if ip_flag:
            process.argv.append(ip_flag)
    with cluster:
        serves_and_survives(cluster)


def three_servers_with_master_ip():
    _servers("-master.ip=localhost")


def three_servers_without_ip():
    _servers(None)


def one_plain_server_is_a_whole_store():
    cluster = Cluster(masters=1, volumes=1, layout="server")
    process = cluster.master_processes[0]
    process.argv = [a for a in process.argv if not a.startswith(("-ip=", "-master.peers="))]
    with cluster:
        cluster.wait_writable()
        client = Client(cluster.masters)
        fid = client.upload(payload(7, 3000))
        check(client.read(fid) == payload(7, 3000), "reads back wrong")
        check(process.stop() == 0, "SIGTERM must end it with exit code 0")
        process.start()
        end = time.monotonic() + 10
        while True:
            try:
                check(client.read(fid) == payload(7, 3000), "reads back wrong after a restart")
                break
            except (Failure, *NETWORK_ERRORS):
                check(time.monotonic() < end, "not readable 10 s after a restart")
                time.sleep(0.05)
        cluster.wait_writable()


def a_volume_server_learns_the_other_masters():
    cluster = Cluster()
    for process in cluster.volume_processes:
        process.argv = [a if not a.startswith("-mserver=") else f"-mserver={cluster.masters[0]}" for a in process.argv]
    with cluster:
        cluster.wait_writable()
        time.sleep(1)
        cluster.master_processes[0].kill()
        client = Client(cluster.masters[1:])
        end = time.monotonic() + 10
        while True:
            try:
                fid = client.upload(b"after its only seed died")
                break
            except (Failure, *NETWORK_ERRORS):
                check(time.monotonic() < end, "no upload within 10 s though two masters live")
        # It keeps what it learned on disk: it starts again although its seed is gone.
        for process in cluster.volume_processes:
            process.kill()
            process.start()
        end = time.monotonic() + 10
        while True:
            try:
                check(client.read(fid) == b"after its only seed died", "reads back wrong")
                client.upload(b"again")
                break
            except (Failure, *NETWORK_ERRORS):
                check(time.monotonic() < end, "volume servers did not come back without their seed")
                time.sleep(0.05)


def everything_restarts_without_peers():
    with Cluster() as cluster:
        cluster.wait_writable()
        client = Client(cluster.masters)
        fid = client.upload(payload(3, 100))
        keys = {client.assign()["fid"] for _ in range(50)}
        for process in cluster.processes():
            process.kill()
        for process in cluster.processes():
            process.argv = [a for a in process.argv if not a.startswith("-peers=")]
            process.start()
        cluster.wait_writable()
        check(client.read(fid) == payload(3, 100), "reads back wrong after everything was killed")
        again = {client.assign()["fid"].split(",")[1][:-8] for _ in range(50)}
        check(not again & {k.split(",")[1][:-8] for k in keys}, "a key was handed out again after a restart of all")


def a_wiped_master_comes_back_as_a_new_member():
    with Cluster() as cluster:
        cluster.wait_writable()
        leader = cluster.leader()
        victim = (leader + 1) % 3
        cluster.master_processes[victim].kill()
        shutil.rmtree(cluster.folder / f"m{victim + 1}")
        (cluster.folder / f"m{victim + 1}").mkdir()
        cluster.master_processes[victim].start()
        # It counts again once the other follower may die without harm.
        other = (leader + 2) % 3
        client = Client(cluster.masters)
        end = time.monotonic() + 20
        while True:
            http = Http(1.0)
            try:
                _, status = http.json(cluster.masters[victim], "/cluster/status")
                if status.get("Leader"):
                    break
            except (*NETWORK_ERRORS, ValueError):
                pass
            check(time.monotonic() < end, "the wiped master knows no leader after 20 s")
            time.sleep(0.05)
        time.sleep(2)
        cluster.master_processes[other].kill()
        cluster.master_processes[leader].kill()
        cluster.master_processes[leader].start()
        cluster.wait_writable()
        client.upload(b"with the new member's vote")


def a_wiped_master_alone_hears_from_volume_servers_whose_it_is():
    with Cluster() as cluster:
        cluster.wait_writable()
        client = Client(cluster.masters)
        fid = client.upload(payload(7, 300))
        time.sleep(0.6)  # until the volume servers have written down who the masters are
        for process in cluster.master_processes:
            process.kill()
        victim = cluster.master_processes[0]
        shutil.rmtree(cluster.folder / "m1")
        (cluster.folder / "m1").mkdir()
        victim.argv = [a for a in victim.argv if not a.startswith("-peers=")]
        victim.start()
        time.sleep(2.0)
        status, answer = Http(1.0).json(cluster.masters[0], "/cluster/status")
        check(not answer.get("Leader"), f"founded a cluster of its own: {status} {answer}")
        check("knows this master's address as one of cluster" in victim.log(), "does not say what it waits for")
        for process in cluster.master_processes[1:]:
            process.start()
        cluster.wait_writable()
        check(client.read(fid) == payload(7, 300), "reads back wrong after the master was wiped")
        end = time.monotonic() + 10
        while not Http(1.0).json(cluster.masters[0], "/cluster/status")[1].get("Leader"):
            check(time.monotonic() < end, "the wiped master knows no leader after 10 s")
            time.sleep(0.05)


def an_even_number_of_masters_works_and_says_so():
    with Cluster(masters=2, volumes=1) as cluster:
        cluster.wait_writable()
        said = any("survive the loss of" in p.log() for p in cluster.master_processes)
        check(said, "no master said what one more or one less would give")


def ipv6_cluster():
    with Cluster(host="::1") as cluster:
        serves_and_survives(cluster)


def replicated_writes_are_on_every_copy():
    with Cluster() as cluster:
        cluster.wait_writable()
        client = Client(cluster.masters)
        assigned = client.assign("replication=002")
        client.put(assigned, payload(5, 2000))
        volume = assigned["fid"].split(",")[0]
        # A master that does not lead hears of a new volume by the servers' own reports: of the last copy a moment later.
        copies = lambda: client.lookup(volume)["locations"]
        until("three copies are known", lambda: len(copies()) == 3, 3)
        locations = copies()
        for location in locations:
            status, _, data = client.http.request("GET", location["url"], "/" + assigned["fid"])
            check(status == 200 and data == payload(5, 2000), f"copy at {location['url']} is wrong: {status}")
        # With a copy's server dead a write to that volume is an error, never half a success told as whole.
        dead = next(i for i, v in enumerate(cluster.volumes) if v != assigned["url"])
        cluster.volume_processes[dead].kill()
        status, _, _ = client.http.request("PUT", assigned["url"], "/" + assigned["fid"], body=b"other bytes",
                                           headers={"Content-Type": "application/octet-stream"})
        check(status >= 500, f"a write with a copy missing answered {status}")
        check(client.read(assigned["fid"]) in (payload(5, 2000), b"other bytes"), "unreadable after the failed write")


def a_silent_volume_server_is_not_assigned_to():
    with Cluster() as cluster:
        cluster.wait_writable()
        client = Client(cluster.masters)
        for _ in range(50):
            client.upload(b"spread")
        # One that holds volumes: the first growth may have found one server only.
        address = client.assign()["url"]
        frozen = cluster.volume_processes[cluster.volumes.index(address)]
        client.http.request("GET", cluster.masters[0], "/vol/grow?count=9")
        frozen.signal(signal.SIGSTOP)
        try:
            time.sleep(1.5)
            hit = sum(client.assign()["url"] == address for _ in range(200))
            check(hit == 0, f"{hit} of 200 assigns named a server silent for 1.5 s")
        finally:
            frozen.signal(signal.SIGCONT)
        end = time.monotonic() + 5
        while not any(client.assign()["url"] == address for _ in range(100)):
            check(time.monotonic() < end, "a server that is heard again is not assigned to")
            time.sleep(0.1)


def a_post_to_nobodys_volume_is_an_error():
    with Cluster() as cluster:
        cluster.wait_writable()
        status, _, body = Http().request("POST", cluster.volumes[0], "/4711,01637037d6", body=b"x",
                                         headers={"Content-Type": "application/octet-stream"})
        check(status in (404, 500), f"answered {status} {body!r}")


def unused_assigns_close_no_volume():
    with Cluster(sizes="64") as cluster:
        cluster.wait_writable()
        client = Client(cluster.masters)
        for _ in range(3000):
            client.assign()
        client.upload(b"still writable")


def first_upload_comes_within_a_second_or_two():
    cluster = Cluster()
    begin = time.monotonic()
    with cluster:
        cluster.wait_writable()
        took = time.monotonic() - begin
        print(f"  first upload {took:.2f} s after the start of six processes")
        for process in cluster.processes():
            print(f"  {process.name}: {process.rss_mb():.0f} MB resident")
        check(took < 10, f"{took:.1f} s from start to first upload")


if __name__ == "__main__":
    run([six_separate_processes, three_servers_with_ip, three_servers_with_master_ip, three_servers_without_ip,
         one_plain_server_is_a_whole_store, a_volume_server_learns_the_other_masters,
         everything_restarts_without_peers, a_wiped_master_comes_back_as_a_new_member,
         a_wiped_master_alone_hears_from_volume_servers_whose_it_is, an_even_number_of_masters_works_and_says_so, ipv6_cluster, replicated_writes_are_on_every_copy,
         a_silent_volume_server_is_not_assigned_to, a_post_to_nobodys_volume_is_an_error,
         unused_assigns_close_no_volume, first_upload_comes_within_a_second_or_two])
