#!/usr/bin/env python3
"""Clients that talk to followers while the leader is killed, stopped or frozen: every assign is answered 200 with a key
of its own, and a growth is done once, or answered that its outcome is unknown. Nobody ever says 502 or 406.

forward_test.py [--rounds N]: N leader deaths of each kind.
"""
import argparse
import json
import signal
import sys
import threading
import time

from harness import NETWORK_ERRORS, Cluster, Http, check, run, until

ROUNDS = 2
CLUSTER = None


def cluster():
    global CLUSTER
    if CLUSTER is None:
        CLUSTER = Cluster(masters=3, volumes=2, volume_flags=["-max=200"], sizes="64").start()
        CLUSTER.wait_writable()
    return CLUSTER


class Asker(threading.Thread):
    """Asks one master the same again and again; keeps every answer with its times."""

    def __init__(self, address, path, pause=0.0):
        super().__init__()
        self.address, self.path, self.pause = address, path, pause
        self.answers = []
        self.going_on = True

    def run(self):
        http = Http(timeout=30)
        while self.going_on:
            begin = time.monotonic()
            try:
                status, headers, body = http.request("POST", self.address, self.path)
            except NETWORK_ERRORS as error:
                status, headers, body = 0, {}, repr(error).encode()
            self.answers.append((begin, time.monotonic(), status, headers, body))
            time.sleep(self.pause)
        http.close()

    def end(self):
        self.going_on = False
        self.join()


def end_leader(kind, leader):
    """Ends the leading master; a function that brings it back."""
    process = cluster().master_processes[leader]
    if kind == "frozen":
        process.signal(signal.SIGSTOP)
        return lambda: process.signal(signal.SIGCONT)
    process.signal(signal.SIGKILL if kind == "killed" else signal.SIGTERM)

    def back():
        process.popen.wait()
        process.start()
    return back


def leader_and_followers():
    leader = cluster().leader()
    return leader, [m for i, m in enumerate(cluster().masters) if i != leader]


def assigns_go_on(kind):
    keys = set()
    slowest = []
    for _ in range(ROUNDS):
        leader, followers = leader_and_followers()
        askers = [Asker(address, "/dir/assign") for address in followers]
        for asker in askers:
            asker.start()
        time.sleep(0.3)
        begin = time.monotonic()
        back = end_leader(kind, leader)
        time.sleep(1.5)
        for asker in askers:
            asker.end()
        back()
        for asker in askers:
            check(len(asker.answers) > 10, f"{asker.address} answered only {len(asker.answers)} times")
            for _, _, status, _, body in asker.answers:
                check(status == 200, f"leader {kind}: {asker.address} answered {status} {body!r}")
                fid = json.loads(body)["fid"]
                key = fid.split(",")[1][:-8]
                check(key not in keys, f"leader {kind}: {fid} was given twice")
                keys.add(key)
        slowest.append(max(done - asked for asker in askers for asked, done, *_ in asker.answers if done > begin))
        time.sleep(0.5)
        cluster().leader()
    print(f"leader {kind}: {len(keys)} assigns through followers; the slowest of each death took "
          + ", ".join(f"{1000 * s:.0f} ms" for s in slowest))


def assigns_go_on_when_the_leader_is_killed():
    assigns_go_on("killed")


def assigns_go_on_when_the_leader_is_told_to_stop():
    assigns_go_on("stopped")


def assigns_go_on_when_the_leader_is_frozen():
    assigns_go_on("frozen")


def growth_is_done_once_or_not_known():
    http = Http(timeout=30)
    for round_number in range(ROUNDS):
        collection = f"g{round_number}{int(time.time())}"
        leader, followers = leader_and_followers()
        asker = Asker(followers[0], f"/vol/grow?count=1&collection={collection}")
        asker.start()
        time.sleep(0.1)
        back = end_leader("killed", leader)
        time.sleep(1.0)
        asker.end()
        back()
        cluster().leader()
        done = unknown = 0
        for _, _, status, headers, body in asker.answers:
            if status == 200:
                check(body == b'{"count":1}', f"{body!r}")
                done += 1
            elif status == 500 and (b"may have been done or not" in body or b"it is not known" in body):
                unknown += 1
            elif status == 406 and b"volumes left" in body:
                pass  # the slots are used up: an answer, and nothing was done
            else:
                check(status == 503 and "retry-after" in headers, f"growth answered {status} {body!r}")
        end = time.monotonic() + 10
        while True:  # what was made is known once the volume servers have reported
            status, _, body = http.request("GET", cluster().masters[cluster().leader()], "/dir/status")
            layouts = json.loads(body)["Topology"]["Layouts"] or []
            made = sum(len(l["writables"] or []) for l in layouts if l["collection"] == collection)
            if done <= made:
                break
            check(time.monotonic() < end, f"{done} growths were answered 200 and only {made} volumes are there")
            time.sleep(0.1)
        check(made <= done + unknown, f"{made} volumes, though only {done} growths were answered and {unknown} unknown")
        http.request("GET", cluster().masters[cluster().leader()], f"/col/delete?collection={collection}")
        print(f"growth: {done} done, {unknown} unknown, {made} volumes")


def without_a_majority_everyone_says_what_is_going_on():
    survivor = leader_and_followers()[1][0]
    ended = [p for m, p in zip(cluster().masters, cluster().master_processes) if m != survivor]
    for process in ended:
        process.kill()
    http = Http(timeout=10)
    # Elected between the two deaths it assigns from its block of keys until it misses its majority.
    until("it does not lead", lambda: not http.json(survivor, "/cluster/status")[1].get("IsLeader"), 2)
    begin = time.monotonic()
    status, headers, body = http.request("GET", survivor, "/dir/assign")
    took = time.monotonic() - begin
    check(status == 503 and "retry-after" in headers, f"{status} {body!r}")
    check(json.loads(body)["error"], f"{body!r}")
    check(took < 5, f"it took {took:.1f} s to say so")
    check(http.request("GET", survivor, "/cluster/healthz")[0] == 503, "healthz")
    check(http.request("GET", survivor, "/")[0] == 200, "the page is there")
    check(http.request("GET", survivor, "/dir/lookup?volumeId=1")[0] == 200, "lookups go on")
    for process in ended:
        process.start()
    cluster().leader()


def followers_name_all_copies_of_a_new_volume():
    """The leader assigned to it, so both are there; a follower may have been told of one of them."""
    leader, http = cluster().leader(), Http()
    for n in range(20):
        fid = http.json(cluster().masters[leader], f"/dir/assign?collection=new{n}&replication=001")[1]["fid"]
        for i in {0, 1, 2} - {leader}:
            _, found = http.json(cluster().masters[i], f"/dir/lookup?volumeId={fid.split(',')[0]}")
            check(len(found.get("locations", [])) == 2, f"copies of {fid} at a follower: {found}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    arguments, names = parser.parse_known_args()
    ROUNDS = arguments.rounds
    sys.argv[1:] = names  # run() takes the names of the tests wanted
    try:
        run([followers_name_all_copies_of_a_new_volume, assigns_go_on_when_the_leader_is_killed, assigns_go_on_when_the_leader_is_told_to_stop,
             assigns_go_on_when_the_leader_is_frozen, growth_is_done_once_or_not_known,
             without_a_majority_everyone_says_what_is_going_on])
    finally:
        if CLUSTER is not None:
            CLUSTER.stop()
