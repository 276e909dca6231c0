#!/usr/bin/env python3
"""Cut networks: three hosts in network namespaces of this test's own, each with a master and a volume server; the
client lives on the hub. Hosts are cut off wholly (link down) or in one direction (a blackhole route) while writers go
on. Needs root (for namespaces); says so and is skipped otherwise.
"""
import pathlib
import re
import shutil
import sys
import tempfile
import time

from harness import Client, Failure, Http, Load, NETWORK_ERRORS, Process, Prober, WEED, check, upload_once
from netns import Network, run_in_hub, sh


class Hosts:
    """A master and a volume server on each host of a Network."""

    def __init__(self, network):
        self.network = network
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="holdfast-net-"))
        self.masters = [f"10.77.0.{i + 1}:9333" for i in range(len(network.names))]
        peers = ",".join(self.masters)
        self.master_processes, self.volume_processes = [], []
        for i, name in enumerate(network.names):
            prefix = ("ip", "netns", "exec", name)
            env = {"TMPDIR": str(self.folder)}
            for kind in ("m", "v"):
                (self.folder / f"{kind}{i + 1}").mkdir()
            self.master_processes.append(Process(
                f"master{i + 1}", [WEED, "-logtostderr=true", "master", f"-ip=10.77.0.{i + 1}", "-port=9333",
                                   f"-mdir=./m{i + 1}", f"-peers={peers}", "-volumeSizeLimitMB=64"],
                self.folder, env, prefix).start())
            self.volume_processes.append(Process(
                f"volume{i + 1}", [WEED, "-logtostderr=true", "volume", f"-ip=10.77.0.{i + 1}", "-port=8080",
                                   f"-dir=./v{i + 1}", f"-mserver={peers}", "-preStopSeconds=0"],
                self.folder, env, prefix).start())

    def leader(self, among=None, seconds=10):
        end = time.monotonic() + seconds
        while True:
            for i in among if among is not None else range(len(self.masters)):
                try:
                    _, status = Http(0.5).json(self.masters[i], "/cluster/status")
                    if status.get("IsLeader"):
                        return i
                except (*NETWORK_ERRORS, ValueError):
                    pass
            check(time.monotonic() < end, "no leader")
            time.sleep(0.02)

    def wait_writable(self):
        end = time.monotonic() + 20
        client = Client(self.masters)
        while True:
            try:
                client.upload(b"ready")
                return
            except (Failure, *NETWORK_ERRORS):
                check(time.monotonic() < end, "no upload within 20 s")
                time.sleep(0.05)

    def close(self):
        for process in self.master_processes + self.volume_processes:
            process.kill()
        shutil.rmtree(self.folder, ignore_errors=True)


def with_hosts(story):
    network = Network(3)
    try:
        hosts = Hosts(network)
        try:
            hosts.wait_writable()
            story(network, hosts)
        except Exception:
            for p in hosts.master_processes:
                print(f"==== {p.name}\n{p.log()[-3000:]}", file=sys.stderr)
            raise
        finally:
            hosts.close()
    finally:
        network.close()


def gap_after_cut(network, hosts, host):
    """How long no upload that began after the cut had come to its end, in seconds."""
    prober = Prober([m for i, m in enumerate(hosts.masters) if i != host], upload_once, pace=0.005)
    time.sleep(0.2)
    network.cut(host)
    since = time.monotonic()  # not before: the command takes longer than an upload
    try:
        return prober.gap(since, 10)
    finally:
        prober.stop()


def a_leader_cut_off_is_replaced_and_stops_assigning():
    def story(network, hosts):
        load = Load(hosts.masters, writers=2).start()
        gaps = []
        try:
            for _ in range(4):
                leader = hosts.leader()
                time.sleep(1)
                gaps.append(gap_after_cut(network, hosts, leader))
                # The old leader is asked from inside its own host: cut off, it must not go on assigning.
                time.sleep(2.5)
                inside = sh("ip", "netns", "exec", network.names[leader], "curl", "-s", "-m", "4", "-o", "/dev/null",
                            "-w", "%{http_code}", f"http://{hosts.masters[leader]}/dir/assign", ok=True)
                check(inside == "503", f"the cut-off leader answered an assign with {inside}, not 503")
                network.heal(leader)
                time.sleep(1)
        finally:
            load.stop()
        load.verify()
        print("  uploads away after a cut: " + ", ".join(f"{g * 1000:.0f} ms" for g in gaps))
    with_hosts(story)


def a_follower_cut_off_is_soon_written_around():
    """Long before its volume server has missed its pulses (750 ms): the leader notices the silence of its master."""
    def story(network, hosts):
        load = Load(hosts.masters, writers=2).start()
        stuck, tries = 0, 0
        try:
            for turn in range(3):
                leader = hosts.leader()
                follower = (leader + 1 + turn % 2) % 3
                time.sleep(1)
                prober = Prober([hosts.masters[leader]], upload_once, pace=0.005)
                time.sleep(0.2)
                network.cut(follower)
                since = time.monotonic()
                time.sleep(0.65)
                prober.stop()
                time.sleep(1.1)  # those that hang have timed out
                late = [b for b in prober.failed if b >= since + 0.3]
                stuck += len(late)
                tries += len(late) + len([b for b, _ in prober.done if b >= since + 0.3])
                network.heal(follower)
                time.sleep(1)
        finally:
            load.stop()
        load.verify()
        print(f"  {stuck} of {tries} uploads begun 0.3 to 0.65 s after the cut went to the host that was cut off")
        check(tries > 30 and stuck <= tries / 10, f"{stuck} of {tries} uploads still went to the host that was cut off")
    with_hosts(story)


def a_one_way_cut_does_not_livelock():
    def story(network, hosts):
        load = Load(hosts.masters, writers=2).start()
        try:
            for turn in range(3):
                leader = hosts.leader()
                follower = (leader + 1 + turn % 2) % 3
                source, target = (leader, follower) if turn % 2 == 0 else (follower, leader)
                network.cut_one_way(source, target)
                time.sleep(2)
                client = Client(hosts.masters)
                done, end = 0, time.monotonic() + 5
                while done < 20:
                    try:
                        client.upload(b"during a one-way cut")
                        done += 1
                    except (Failure, *NETWORK_ERRORS):
                        check(time.monotonic() < end, f"only {done} uploads in 5 s during a one-way cut")
                network.heal_one_way(source, target)
                time.sleep(1)
        finally:
            load.stop()
        load.verify()
    with_hosts(story)


def without_datagrams_pulses_go_by_stream_and_nobody_is_silent():
    """A firewall that lets no UDP through to the masters, from one moment to the next, and later again."""
    def numbers(hosts, name):
        pages = [Http(2).request("GET", master, "/metrics")[2].decode() for master in hosts.masters]
        return [re.search(rf"^{name} (\S+)$", page, re.M)[1] for page in pages]

    def reports(hosts):
        return sum(float(n) for n in numbers(hosts, 'SeaweedFS_master_received_heartbeats{type="total"}'))

    def story(network, hosts):
        hosts.leader()
        time.sleep(3)  # pulses go by datagram by now
        silent = numbers(hosts, "holdfast_master_heartbeats_missed_total")
        load = Load(hosts.masters, writers=2).start()
        try:
            for _ in range(2):
                for name in network.names:
                    sh("ip", "netns", "exec", name, "ip", "rule", "add", "priority", "10", "ipproto", "udp", "dport", "19333",
                       "blackhole")
                time.sleep(4)
                for name in network.names:
                    sh("ip", "netns", "exec", name, "ip", "rule", "del", "priority", "10")
                time.sleep(2)
        finally:
            load.stop()
        load.verify()
        before = reports(hosts)
        time.sleep(3)
        each = (reports(hosts) - before) / 3 / 9
        check(each > 2.5, f"{each:.1f} pulses a second of each server at each master, of four")
        now = numbers(hosts, "holdfast_master_heartbeats_missed_total")
        check(now == silent, f"volume servers counted as silent: {silent} before, {now} after")
    with_hosts(story)


def who_does_not_reach_whom_is_told():
    """One way cut between any two, the leader among them: every master that is reached shows it, each says it once."""
    def reach(hosts, i):
        return {(c["from"], c["to"]): c["reached"] for c in Http(2).json(hosts.masters[i], "/cluster/lease")[1]["reach"]}

    def wait_for(hosts, what, condition, seconds=15):
        end = time.monotonic() + seconds
        while True:
            seen = [reach(hosts, i) for i in range(3)]
            if all(condition(cells) for cells in seen):
                return
            check(time.monotonic() < end, f"not within {seconds} s: {what}: {seen}")
            time.sleep(0.2)

    def story(network, hosts):
        whole = lambda cells: len(cells) == 6 and set(cells.values()) == {"yes"}
        wait_for(hosts, "all hear all", whole)
        leader = hosts.leader()
        followers = [i for i in range(3) if i != leader]
        for source, target in ((followers[0], followers[1]), (leader, followers[0])):
            a, b = hosts.masters[source], hosts.masters[target]
            network.cut_one_way(source, target)
            others = lambda cells: all(r == "yes" for pair, r in cells.items() if pair != (a, b))
            wait_for(hosts, f"{a} does not reach {b}", lambda cells: cells.get((a, b)) == "no" and others(cells))
            told = f"what {a} sends does not reach {b}, though the other way is open"
            end = time.monotonic() + 10
            while not all(told in p.log() for p in hosts.master_processes):
                check(time.monotonic() < end, "not told in every log")
                time.sleep(0.2)
            for address in hosts.masters:
                metrics = Http(2).request("GET", address, "/metrics")[2].decode()
                check(f'holdfast_master_reaches{{from="{a}",to="{b}"}} 0' in metrics, "in the metrics")
                check(told.encode() in Http(2).request("GET", address, "/")[2], "on the page")
            network.heal_one_way(source, target)
            wait_for(hosts, "all hear all again", whole)
            check(all(p.log().count(told) == 1 for p in hosts.master_processes), "told once")
    with_hosts(story)


if __name__ == "__main__":
    run_in_hub(__file__, [a_leader_cut_off_is_replaced_and_stops_assigning, a_follower_cut_off_is_soon_written_around,
                          a_one_way_cut_does_not_livelock,
                          without_datagrams_pulses_go_by_stream_and_nobody_is_silent, who_does_not_reach_whom_is_told])
