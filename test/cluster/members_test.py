#!/usr/bin/env python3
"""Masters come and go, as real processes: begun one by one with the commands of the cheat sheet, started again without
-peers.

Each story of the beginning is told twice: on this machine (free ports), and with the very commands, ports included, in
a network namespace that has nothing but loopback. Namespaces need root; without it those stories are skipped.
"""
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time

from harness import Client, Failure, Http, NETWORK_ERRORS, Process, WEED, check, free_port, payload, run

LOOPBACK_ONLY = "HOLDFAST_TEST_LOOPBACK_ONLY"

MASTERS = """
weed master -port=9333 -mdir=./1
weed master -port=9334 -mdir=./2 -peers=localhost:9333
weed master -port=9335 -mdir=./3 -peers=localhost:9334
"""
VOLUMES = """
weed volume -dir=./1 -port=8080
weed volume -dir=./2 -port=8081 -mserver=localhost:9334
weed volume -dir=./3 -port=8082 -mserver=localhost:9335
"""
SERVERS = """
weed server -master.port=9333 -dir=./1 -volume.port=8080
weed server -master.port=9334 -dir=./2 -volume.port=8081 -master.peers=localhost:9333
weed server -master.port=9335 -dir=./3 -volume.port=8082 -master.peers=localhost:9334
"""


class Sheet:
    """The commands of the cheat sheet in one folder. With free ports when others may use the usual ones; then the one
    command that relies on the default master gets it named."""

    def __init__(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="holdfast-members-"))
        usual = os.environ.get(LOOPBACK_ONLY) is not None
        ports = {p: p if usual else free_port() for p in (9333, 9334, 9335, 8080, 8081, 8082)}
        self.ports = {str(usual_port): str(port) for usual_port, port in ports.items()}
        self.masters = [f"localhost:{ports[p]}" for p in (9333, 9334, 9335)]
        self.processes = []

    def commands(self, text):
        out = []
        for line in text.strip().splitlines():
            for usual, port in self.ports.items():
                line = line.replace(usual, port)
            words = line.split()[1:]
            if words[0] == "volume" and "-mserver" not in line and self.ports["9333"] != "9333":
                words.append(f"-mserver={self.masters[0]}")
            out.append(words)
        return out

    def add(self, name, words):
        argv = [WEED, "-logtostderr=true", *words]
        if words[0] != "master":  # a stop under test need not wait for clients to look elsewhere
            argv.append("-preStopSeconds=0" if words[0] == "volume" else "-volume.preStopSeconds=0")
        process = Process(name, argv, self.folder, {"TMPDIR": str(self.folder)})
        self.processes.append(process)
        return process.start()

    def status(self, i):
        return Http(1.0).json(self.masters[i], "/cluster/status")[1]

    def stats(self, i):
        return Http(1.0).json(self.masters[i], "/raft/stats")[1]

    def clusters(self):
        """The ids of all clusters that any process ever took part in."""
        return {c for p in self.processes for c in re.findall(r"takes part in cluster (\S+)", p.log())}

    def until(self, what, condition, seconds=15):
        end = time.monotonic() + seconds
        last = None
        while True:
            try:
                last = condition()
                if last:
                    return last
            except (Failure, *NETWORK_ERRORS, ValueError) as error:
                last = error
            check(time.monotonic() < end, f"not within {seconds} s: {what} ({last!r})")
            time.sleep(0.05)

    def knows_all(self, i):
        """Whether master i lists the two others (by port: without -ip a host goes by the name it finds for itself)."""
        peers = " ".join(self.status(i).get("Peers", []))
        return all(f":{p}" in peers for j, p in enumerate(m.split(":")[1] for m in self.masters) if j != i)

    def in_word(self, i):
        return self.status(i).get("Leader") and self.knows_all(i)

    def wait_for_all(self):
        for i in range(3):
            self.until(f"master {i + 1} knows a leader and both others", lambda i=i: self.in_word(i))
        # As voters: each of them may be lost then. A learner is promoted when it has caught up.
        def voters():
            return all(self.stats(i)["num_peers"] == "2" for i in range(3))
        self.until("all three vote", voters)

    def stop(self):
        for process in self.processes:
            process.signal(15)
        for process in self.processes:
            process.stop()

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        if kind is not None:
            for p in self.processes:
                print(f"==== {p.name}\n{p.log()[-4000:]}", file=sys.stderr)
        for process in self.processes:
            process.kill()
        shutil.rmtree(self.folder, ignore_errors=True)


def without_peers(words):
    return [w for w in words if not w.startswith(("-peers=", "-master.peers="))]


def serves_survives_and_restarts(sheet, masters, volumes):
    client = Client(sheet.masters)
    sheet.wait_for_all()
    fid = sheet.until("an upload", lambda: client.upload(payload(1, 3000)))
    check(client.read(fid) == payload(1, 3000), "the file reads back wrong")
    # Any one may die: the one all others were pointed at, here.
    sheet.processes[0].kill()
    others = Client(sheet.masters[1:])
    second = sheet.until("an upload without the first master", lambda: others.upload(payload(2, 3000)))
    check(others.read(second) == payload(2, 3000), "the file reads back wrong without the first master")
    sheet.processes[0].start()
    sheet.wait_for_all()

    # All stop, and each master is started alone and without -peers: it knows the others from disk.
    sheet.stop()
    before = list(sheet.processes)
    sheet.processes.clear()
    for i, words in enumerate(masters):
        process = sheet.add(f"{before[i].name}-again", without_peers(words))
        sheet.until(f"master {i + 1} knows the others from disk", lambda i=i: sheet.knows_all(i))
        if i == 0:
            time.sleep(1)
            check(not sheet.status(0).get("Leader"), "one of three leads alone after the restart")
        if masters is not volumes and process.alive() and i == 2:
            for j, volume in enumerate(volumes):
                sheet.add(f"{before[3 + j].name}-again", volume)
    sheet.wait_for_all()
    for f, seed in ((fid, 1), (second, 2)):
        check(sheet.until("a read after the restart", lambda f=f: client.read(f)) == payload(seed, 3000),
              "a file reads back wrong after the restart")
    sheet.until("an upload after the restart", lambda: client.upload(b"again"))
    check(len(sheet.clusters()) == 1, f"more than one cluster was founded: {sheet.clusters()}")
    for process in sheet.processes:
        check(process.alive(), f"{process.name} has ended")


def six_commands(pause):
    with Sheet() as sheet:
        masters, volumes = sheet.commands(MASTERS), sheet.commands(VOLUMES)
        for i, words in enumerate(masters):
            sheet.add(f"master{i + 1}", words)
            if pause:
                sheet.until("it has a leader", lambda i=i: sheet.status(i).get("Leader"))
        for i, words in enumerate(volumes):
            sheet.add(f"volume{i + 1}", words)
        serves_survives_and_restarts(sheet, masters, volumes)


def three_servers(pause):
    with Sheet() as sheet:
        servers = sheet.commands(SERVERS)
        for i, words in enumerate(servers):
            sheet.add(f"server{i + 1}", words)
            if pause:
                sheet.until("it has a leader", lambda i=i: sheet.status(i).get("Leader"))
        serves_survives_and_restarts(sheet, servers, servers)


def masters_begun_one_by_one():
    six_commands(pause=True)


def masters_begun_at_once():
    six_commands(pause=False)


def servers_begun_one_by_one():
    three_servers(pause=True)


def servers_begun_at_once():
    three_servers(pause=False)


BEGINNINGS = [masters_begun_one_by_one, masters_begun_at_once, servers_begun_one_by_one, servers_begun_at_once]


def with_nothing_but_loopback():
    """The same stories, the usual ports and all, where there is no other interface than lo."""
    if os.geteuid() != 0:
        print("  skipped: network namespaces need root")
        return
    name = f"hfl{os.getpid()}"

    def sh(*argv):
        return subprocess.run(argv, capture_output=True, text=True)
    if sh("ip", "netns", "add", name).returncode != 0:
        print("  skipped: no network namespace can be made here")
        return
    try:
        if sh("ip", "netns", "exec", name, "true").returncode != 0:
            print("  skipped: network namespaces cannot be entered here (a plain chroot?)")
            return
        check(sh("ip", "netns", "exec", name, "ip", "link", "set", "lo", "up").returncode == 0, "no loopback")
        links = sh("ip", "netns", "exec", name, "ip", "-o", "link", "show", "up").stdout
        check(links.count("\n") == 1 and " lo:" in links, f"not only loopback: {links}")
        done = subprocess.run(["ip", "netns", "exec", name, sys.executable, __file__],
                              env={**os.environ, LOOPBACK_ONLY: name})
        check(done.returncode == 0, "see above")
    finally:
        sh("ip", "netns", "del", name)


if __name__ == "__main__":
    if os.environ.get(LOOPBACK_ONLY):
        run(BEGINNINGS)
    run(BEGINNINGS + [with_nothing_but_loopback])
