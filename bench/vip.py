#!/usr/bin/env python3
"""(h) The virtual IP: how long its address is answered by nobody when the leader is killed -9, ended, told to step down, or its
host is gone, asked by ARP every 5 ms from another host; and what a cut of 25 s under load, then healed, costs of the changes
that were acknowledged through it. Hosts are network namespaces, so it needs root; skipped otherwise.

    vip.py [-n 20] [--seconds 25] [--only hand-over,partition] [--json FILE]
"""
import argparse
import json
import pathlib
import signal
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "test/cluster"))
from harness import Http, check, quantile
from netns import Network, enter_hub
from vip_partition_test import partition, until
from vip_test import VIP, Asker, Hosts, reach


def step_down(hosts, old):
    status, _, body = Http(5.0).request("POST", hosts.masters[old], "/cluster/leader/stepdown")
    check(status == 200, f"step down: {status} {body[:200]!r}")


def is_back(hosts, host):
    """The host's master follows or leads, and has been heard for long enough that it may be the next."""
    reach(f"{VIP}:9333", 20)
    until("the master that came back finds the leader",
          lambda: Http(1.0).json(hosts.masters[host], "/cluster/status")[1].get("Leader"))
    time.sleep(1)


def ended(hosts, old):
    hosts.processes[old].popen.wait()
    hosts.processes[old].start()


HITS = {  # what befalls the holder, and what brings it back
    "kill -9": (lambda hosts, old: hosts.processes[old].popen.kill(), ended),
    "SIGTERM": (lambda hosts, old: hosts.processes[old].signal(signal.SIGTERM), ended),
    "step down": (step_down, lambda hosts, old: None),
    "host gone": (lambda hosts, old: hosts.network.cut(old), lambda hosts, old: hosts.network.heal(old)),
}


def one(hosts, asker, hit, undo):
    """Milliseconds until another host answers."""
    reach(f"{VIP}:9333", 20)
    old = hosts.holder()
    time.sleep(0.3)
    begin = time.monotonic()
    hit(hosts, old)
    while True:
        found = [at for at, who in list(asker.answers) if at > begin and who != hosts.hardware[old]]
        if found:
            break
        check(time.monotonic() < begin + 20, "nobody takes the address")
        time.sleep(0.002)
    undo(hosts, old)
    is_back(hosts, old)
    return (found[0] - begin) * 1000


def hand_overs(n, figures):
    network = Network(3)
    try:
        with Hosts(network) as hosts:
            reach(f"{VIP}:9333", 20)
            asker = Asker()
            try:
                for name, (hit, undo) in HITS.items():
                    values = [one(hosts, asker, hit, undo) for _ in range(n)]
                    figures[f"vip.{name}"] = {"median_ms": quantile(values, 0.5), "worst_ms": max(values), "n": n}
                    print(f"virtual IP, {name:12} median {quantile(values, 0.5):7.1f} ms   worst {max(values):7.1f} ms   of {n}",
                          flush=True)
            finally:
                asker.close()
    finally:
        network.close()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("-n", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=25)
    parser.add_argument("--only", default="hand-over,partition")
    parser.add_argument("--json", help="write the figures to this file")
    options = parser.parse_args()
    enter_hub(str(pathlib.Path(__file__).resolve()), HITS)
    figures = {}
    if "hand-over" in options.only:
        hand_overs(options.n, figures)
    if "partition" in options.only:
        seen = partition(options.seconds)
        figures["vip.partition"] = {name: seen[name] for name in ("changes", "files", "lost", "taken_s", "away_s")}
        print(f"a cut of {options.seconds:.0f} s under load: {seen['changes']} changes and {seen['files']} files acknowledged through the "
              f"virtual IP, {seen['lost']} of them lost; another host answered after {seen['taken_s'] * 1000:.0f} ms", flush=True)
    if options.json:
        pathlib.Path(options.json).write_text(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
