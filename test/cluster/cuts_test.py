#!/usr/bin/env python3
"""Three hosts found by one name, cut in every way: a host from all others, in either direction or both, and two from each
other. Meanwhile our own client of the key-value space goes on by that name, and so do uploads; the page of every master that
can be asked shows who leads, or that it does not know, never somebody else. After each cut is healed all agree.

Hosts are network namespaces of this test's own, the name server is a real one. Needs root and dnsmasq; says so and is
skipped otherwise.
"""
import os
import re
import sys
import threading
import time

from dns_test import DNSMASQ, with_hosts
from harness import BIN, Http, Load, NETWORK_ERRORS, check, until
from netns import HUB, run_in_hub, skip

MASTERS = range(3)
CLIENT = 3  # a host of its own, which knows the name and nothing else
HOLDFAST = str(BIN / "holdfast")


def address(host):
    return f"10.77.0.{host + 1}:9421"


def shown(host):
    """Who leads by this master's page: its host, "none" if it says so, "gone" if it does not answer."""
    http = Http(1.0)
    try:
        status, _, body = http.request("GET", address(host), "/")
    except NETWORK_ERRORS:
        return "gone"
    finally:
        http.close()
    check(status == 200, f"the page of host {host + 1}: {status}")
    rows = re.findall(r'<tr data-master="10\.77\.0\.(\d+):9421">(.*?)</tr>', body.decode(), re.S)
    check(len(rows) == 3, f"the page of host {host + 1} shows {len(rows)} masters")
    leaders = [int(number) - 1 for number, row in rows if 'class="tag lead"' in row]
    check(len(leaders) <= 1, f"the page of host {host + 1} shows {len(leaders)} leaders")
    if not leaders:
        check("No leader" in body.decode(), f"the page of host {host + 1} shows neither a leader nor that there is none")
    return leaders[0] if leaders else "none"


class KvWriter:
    """Counts a key up, each time by a process of its own that knows the masters by their name only."""

    def __init__(self, hosts):
        self.hosts, self.stopping, self.done, self.failed = hosts, threading.Event(), [], []
        self.thread = threading.Thread(target=self._run)
        self.thread.start()

    def _run(self):
        number = 0
        while not self.stopping.is_set():
            number += 1
            begin = time.monotonic()
            code, text = self.hosts.inside(CLIENT, HOLDFAST, "kv", "put", "-master=mfsmaster:9421", "-timeout=15s", "count",
                                           str(number), seconds=40)
            if code == 0:
                self.done.append((begin, time.monotonic()))
            else:
                self.failed.append((begin, text))
            self.last = number

    def slowest(self, since):
        return max((end - begin for begin, end in self.done if end > since), default=0.0)

    def acknowledged(self, since, seconds):
        """Seconds until a put that began after `since` was acknowledged."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            for begin, over in self.done[-5:]:
                if begin > since:
                    return over - since
            time.sleep(0.01)
        check(False, f"no put was acknowledged within {seconds} s; last trouble: {self.failed[-1:]}")

    def stop(self):
        self.stopping.set()
        self.thread.join(60)


def leader_of_most(hosts):
    """The host that leads: of those that say so the one of the latest term; None: nobody does."""
    said = []
    for host in MASTERS:
        status = hosts.status(host)
        if status and status.get("IsLeader"):
            said.append((status.get("Term", 0), host))
    return max(said)[1] if said else None


# A cut, given the network, the leader and the two others, answers how to heal it. Beside it what pages may show besides who
# leads once all is settled: "none" where a master may hear nothing of the leader, "gone": it cannot be asked.
def isolate(net, leader, a, b):
    net.cut(leader)
    return lambda: net.heal(leader)


def isolate_follower(net, leader, a, b):
    net.cut(a)
    return lambda: net.heal(a)


def one_way(*pairs_of):
    def cut(net, leader, a, b):
        place = {"leader": leader, "a": a, "b": b}
        pairs = [(place[x], place[y]) for x, y in pairs_of]
        for source, target in pairs:
            net.cut_one_way(source, target)

        def heal():
            for source, target in pairs:
                net.heal_one_way(source, target)
        return heal
    return cut


CUTS = {
    "the leader from all": (isolate, {"leader": "gone"}),
    "a follower from all": (isolate_follower, {"a": "gone"}),
    "what the leader sends": (one_way(("leader", "a"), ("leader", "b")), {"leader": "none"}),
    "what is sent to the leader": (one_way(("a", "leader"), ("b", "leader")), {"leader": "none"}),
    "what a follower sends": (one_way(("a", "leader"), ("a", "b")), {"a": "none"}),
    "what is sent to a follower": (one_way(("leader", "a"), ("b", "a")), {"a": "none"}),
    "leader and a follower from each other": (one_way(("leader", "a"), ("a", "leader")), {"leader": "none", "a": "none"}),
    "what the leader sends to one": (one_way(("leader", "a")), {"leader": "none", "a": "none"}),
    "what one sends to the leader": (one_way(("a", "leader")), {"leader": "none", "a": "none"}),
    "the followers from each other": (one_way(("a", "b"), ("b", "a")), {}),
}


def pages(hosts, may_be):
    """True: every page shows who leads, or what it may. Raises otherwise."""
    seen = {host: shown(host) for host in MASTERS}
    leader = leader_of_most(hosts)
    check({one for one in seen.values() if isinstance(one, int)} == {leader} and
          all(isinstance(one, int) or one == may_be.get(host) for host, one in seen.items()),
          f"the pages show {seen}, {leader} leads")
    return True


def cut_in_every_way_page_and_clients_follow():
    def story(hosts):
        net = hosts.network
        hosts.names.say(MASTERS)
        for host in MASTERS:
            hosts.logged(host)
        hosts.wait_members(MASTERS, 3)
        for host in MASTERS:
            hosts.logged(host, "mfschunkserver")
        hosts.upload(MASTERS)
        until("all pages show one leader", lambda: pages(hosts, {}), 10)
        writer, load = KvWriter(hosts), Load([address(host) for host in MASTERS], writers=2, pace=0.02).start()
        try:
            writer.acknowledged(time.monotonic(), 20)
            for name, (cut, exceptions) in CUTS.items():
                leader = leader_of_most(hosts)
                check(leader is not None, "nobody leads")
                a, b = [host for host in MASTERS if host != leader]
                files = len(load.acknowledged)
                since = time.monotonic()
                heal = cut(net, leader, a, b)
                try:
                    place = {"leader": leader, "a": a, "b": b}
                    may_be = {place[who]: what for who, what in exceptions.items()}
                    took = writer.acknowledged(since, 15)
                    until(f"{name} cut: the pages show who leads", lambda m=may_be: pages(hosts, m), 10)
                    settled = time.monotonic() - since
                    # It stays so: no page changes its mind, and whoever is shown takes writes.
                    for _ in range(10):
                        time.sleep(0.1)
                        pages(hosts, may_be)
                    again = writer.acknowledged(time.monotonic(), 15)
                    until(f"{name} cut: uploads go on", lambda n=files: len(load.acknowledged) > n, 10)
                finally:
                    heal()
                healed = time.monotonic()
                until(f"{name} healed: all agree", lambda: pages(hosts, {}), 15)
                agreed = time.monotonic() - healed
                hosts.wait_members(MASTERS, 3)
                print(f"  {name:38} a put after {took * 1000:5.0f} ms, later {again * 1000:4.0f} ms, the slowest "
                      f"{writer.slowest(since) * 1000:5.0f}; pages right after {settled * 1000:5.0f} ms, healed "
                      f"{agreed * 1000:5.0f} ms; {len(load.acknowledged) - files} uploads", flush=True)
        finally:
            writer.stop()
            load.stop()
        # Not one of the client's callers has seen an error, and what was acknowledged is there.
        check(not writer.failed, f"puts that failed: {writer.failed[:3]}")
        code, text = hosts.inside(CLIENT, HOLDFAST, "kv", "get", "-master=mfsmaster:9421", "count")
        check(code == 0 and re.match(rf"{writer.last}(\D|$)", text), f"the key says {text}, {writer.last} was acknowledged")
        load.verify()
    with_hosts(4, story)


STORIES = [cut_in_every_way_page_and_clients_follow]

if __name__ == "__main__":
    if HUB is None and not os.path.exists(DNSMASQ):
        skip(STORIES, "there is no dnsmasq (Debian package dnsmasq-base)")
    run_in_hub(__file__, STORIES)
