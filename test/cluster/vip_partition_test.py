#!/usr/bin/env python3
"""Hazard 5 of spec/moosefs-ha 15: a partition under load, and the old leader after it, the virtual IP still on it.

Three hosts in network namespaces of this test's own, masters with -vip; clients on the hub know that address alone, through
the ARP cache of their kernel. They write without pause: keys of the masters' space, and files. The network parts between
the leader's host and the rest, whose links all stay up; it heals. Every change that was acknowledged is read back. Each host is asked
by ARP on its own link, on its side of the cut, whether it has the address: never may two.

    vip_partition_test.py [--seconds 25] [stories]       how long the cut is, 5 s by default

Needs root; skipped otherwise."""
import argparse
import subprocess
import sys
import threading
import time

from harness import Failure, Http, Load, NETWORK_ERRORS, check, until
from netns import HUB, Network, run_in_hub, sh
from vip_test import GRANT, Asker, Hosts, VIP, fits, reach, takers

MASTER = f"{VIP}:9333"
KV = "/cluster/kv/"
SECONDS = 5.0
KEYS_EACH = 12_000  # of four writers: the space takes 65,536


class Writers:
    """Puts of keys that were never written before, each with a value of its own, through the virtual IP alone."""

    def __init__(self, count=4):
        self.acknowledged = {}  # key: (value, when)
        self.failures = 0
        self.over = threading.Event()
        self.threads = [threading.Thread(target=self.run, args=(i,), daemon=True) for i in range(count)]
        for thread in self.threads:
            thread.start()

    def run(self, number):
        http = Http(1.0)
        for n in range(KEYS_EACH):
            if self.over.wait(0.002):
                break
            key, value = f"load/{number}/{n:05}", f"{number}-{n * 7919}"
            try:
                status, _, _ = http.request("PUT", MASTER, KV + key, body=value.encode())
            except NETWORK_ERRORS:
                status = 0
            if status == 200:
                self.acknowledged[key] = (value, time.monotonic())
            else:
                self.failures += 1
        http.close()

    def stop(self):
        self.over.set()
        for thread in self.threads:
            thread.join(10)

    def first_after(self, since):
        return min((at for _, at in self.acknowledged.values() if at >= since), default=None)


def all_keys(prefix):
    """What the cluster has below the prefix, asked through the virtual IP."""
    http, found, after = Http(10), {}, ""
    while True:
        status, page = http.json(MASTER, f"{KV}?prefix={prefix}&limit=10000&after={after}")
        check(status == 200, f"the list of keys: {status} {page}")
        found.update((one["key"], one["value"]) for one in page["keys"])
        if not page["more"]:
            http.close()
            return found
        after = page["after"]


def lost(writers):
    """The acknowledged changes that are not there any more."""
    found = all_keys("load/")
    return [key for key, (value, _) in writers.acknowledged.items() if found.get(key) != value]


def curl_inside(hosts, host, *flags):
    """(status, body) of a call to the virtual IP from inside this host; 0 when nobody answers."""
    out = subprocess.run(["ip", "netns", "exec", hosts.network.names[host], "curl", "-s", "-m", "4", "-w", "\n%{http_code}",
                          *flags], capture_output=True, text=True).stdout
    body, _, status = out.rpartition("\n")
    return int(status or 0), body


def put(key, value):
    status, _, body = Http(3.0).request("PUT", MASTER, KV + key, body=value.encode())
    check(status == 200, f"PUT {key}: {status} {body[:200]!r}")
    return True


def get(key):
    status, _, body = Http(3.0).request("GET", MASTER, KV + key)
    check(status == 200, f"GET {key}: {status} {body[:200]!r}")
    return body.decode()


def partition(seconds, during=None, healed=None):
    """Cuts the holder off for so long, under load. during(hosts, old): called once another holds the address; healed(hosts, old,
    fresh): after it. Figures: how long until another host answered on the address, and until the next acknowledged change; how
    many changes were acknowledged, and how many of them are lost; each host's answers in turn; who took the address in turn."""
    network = Network(3)
    try:
        with Hosts(network, volumes=range(3)) as hosts:
            reach(MASTER, 15)
            until("a key is taken", lambda: put("before", "1"))
            until("a file is taken", lambda: "fid" in Http(3.0).json(MASTER, "/dir/assign")[1])
            old = hosts.holder()
            askers = [Asker(f"v{i + 1}", 0.01) for i in range(3)]
            writers = Writers()
            files = Load([MASTER], writers=1, readers=0, pace=0.01).start()
            try:
                time.sleep(1)
                check([i for i, a in enumerate(askers) if a.answers] == [old], "others have the address as well")
                check(len(writers.acknowledged) > 50, "there is no load")
                network.unplug(old)
                since = time.monotonic()
                while not any(a.answers for i, a in enumerate(askers) if i != old):
                    check(time.monotonic() < since + GRANT + 10, "nobody else takes the address")
                    time.sleep(0.005)
                taken = min(a.answers[0][0] for i, a in enumerate(askers) if i != old and a.answers) - since
                fresh = next(i for i, a in enumerate(askers) if i != old and a.answers)
                last = askers[old].answers[-1][0] - since
                reach(MASTER, 10)
                if during:
                    during(hosts, old)
                time.sleep(max(0.0, since + seconds - time.monotonic()))
                network.plug_in(old)
                at_heal = len(writers.acknowledged)
                if healed:
                    healed(hosts, old, fresh)
                time.sleep(3)
            finally:
                writers.stop()
                files.stop()
                for asker in askers:
                    asker.close()
            reach(MASTER, 15)
            missing = lost(writers)
            check(not missing, f"{len(missing)} of {len(writers.acknowledged)} acknowledged changes are lost: {missing[:5]}")
            files.verify()
            again = writers.first_after(since + last)
            check(again is not None and at_heal < len(writers.acknowledged), "no change was acknowledged during the cut, or after")
            merged = sorted((at, asker_of) for asker_of, a in enumerate(askers) for at, _ in a.answers)
            turns = [who for n, (_, who) in enumerate(merged) if n == 0 or merged[n - 1][1] != who]
            return {"old_silent_s": last, "taken_s": taken, "away_s": again - since, "changes": len(writers.acknowledged),
                    "files": len(files.acknowledged), "failed": writers.failures, "lost": len(missing), "during": at_heal,
                    "turns": [hosts.hardware[i] for i in turns], "takers": takers(hosts),
                    "cache": sh("ip", "neighbour", "show", VIP)}
    finally:
        network.close()


def told(figures):
    print(f"  the old holder answered for the last time after {figures['old_silent_s'] * 1000:.0f} ms, another one from "
          f"{figures['taken_s'] * 1000:.0f} ms on; changes were away for {figures['away_s'] * 1000:.0f} ms")
    print(f"  {figures['changes']} changes and {figures['files']} files acknowledged ({figures['failed']} tries failed), "
          f"{figures['lost']} lost")


def hazard_5_a_partition_under_load_loses_no_acknowledged_change():
    figures = partition(SECONDS)
    told(figures)
    check(GRANT - 0.2 <= figures["taken_s"] <= GRANT + 2.5, f"taken after {figures['taken_s']:.3f} s")
    check(figures["old_silent_s"] < figures["taken_s"], "the old holder answered when another one did already")
    check(fits(figures["turns"], figures["takers"]), f"who answered, in turn: {figures['turns']}; took it: {figures['takers']}")
    check(figures["turns"][-1] in figures["cache"], f"the client's cache: {figures['cache']}, not {figures['turns'][-1]}")


def hazard_5_the_old_leader_with_the_address_still_on_it_refuses():
    """As if something else had kept the address where it was: the test puts it back on the old leader's host, to stay."""
    def during(hosts, old):
        until("the old leader let go", lambda: not hosts.has(old))
        hosts.inside(old, "ip", "address", "add", f"{VIP}/24", "dev", "eth0")
        until("the new leader takes changes", lambda: put("before", "2"))
        for flags in (["-X", "PUT", "--data-binary", "3", f"http://{MASTER}{KV}before"], [f"http://{MASTER}{KV}before"],
                      [f"http://{MASTER}/dir/assign"]):
            status, body = curl_inside(hosts, old, *flags)
            check(status >= 500 or status == 0, f"the old leader, cut off, answers {flags}: {status} {body}")
        status, body = curl_inside(hosts, old, f"http://{MASTER}/cluster/status")
        check(status == 200 and "IsLeader\":true" not in body.replace(" ", ""), f"it says that it leads: {status} {body}")
        check(until("an answer", lambda: [get("before")]) == ["2"], "the old leader's key has come through")

    def healed(hosts, old, fresh):
        # This client stays with the old host, whatever others announce.
        sh("ip", "neighbour", "replace", VIP, "lladdr", hosts.hardware[old], "dev", "br0", "nud", "permanent")
        until("the old master has found the leader", lambda: get("before") == "2")
        until("it passes changes on", lambda: put("after", "1"))
        sh("ip", "neighbour", "replace", VIP, "lladdr", hosts.hardware[fresh], "dev", "br0", "nud", "permanent")
        check(until("an answer", lambda: [get("after")]) == ["1"], "what was acknowledged through the old master is there at the leader")
        hosts.inside(old, "ip", "address", "del", f"{VIP}/24", "dev", "eth0")
        sh("ip", "neighbour", "del", VIP, "dev", "br0")

    told(partition(SECONDS, during, healed))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--seconds", type=float, default=SECONDS)
    options, stories = parser.parse_known_args()
    SECONDS = options.seconds
    if any(word.startswith("-") for word in stories):
        sys.exit(__doc__)
    if HUB is not None:
        sys.argv[1:] = stories
    run_in_hub(__file__, [hazard_5_a_partition_under_load_loses_no_acknowledged_change,
                          hazard_5_the_old_leader_with_the_address_still_on_it_refuses])
