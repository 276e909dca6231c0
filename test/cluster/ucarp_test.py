#!/usr/bin/env python3
"""The recipe of docs/ucarp.md with real ucarp: two hosts in network namespaces of this test's own share an address by ucarp
and the scripts of share/ucarp; a master runs on the one that has it, a metalogger on the other; a third host has a volume server, and
clients are on the hub. Hosts die, come back, are cut off. Needs root and ucarp (Debian's package); skipped otherwise."""
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile
import time

from backups_test import metric
from harness import BIN, Client, Failure, Http, NETWORK_ERRORS, Process, ROOT, WEED, check, until
from netns import Network, run_in_hub, sh, skip

VIP = "10.77.0.200"
MASTER = f"{VIP}:9421"
KV = "/cluster/kv/"
SCRIPTS = ROOT / "share/ucarp"
LISTED = "10.77.0.1:9421.9420,10.77.0.2:9421.9420"


def put(key, value, master=MASTER):
    status, _, body = Http(1.0).request("PUT", master, KV + key, body=value.encode())
    check(status == 200, f"PUT {key}: {status} {body[:200]!r}")
    return True


def get(key, master=MASTER):
    status, _, body = Http(1.0).request("GET", master, KV + key)
    check(status == 200, f"GET {key}: {status} {body[:200]!r}")
    return body.decode()


class Hosts:
    """Two hosts A and B (0 and 1) with the recipe, a third with a volume server."""

    def __init__(self, network):
        self.network = network
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="holdfast-ucarp-"))
        self.ucarp = []
        for i in range(2):
            home = self.folder / f"{i + 1}"
            for folder in ("master", "copies", "run"):
                (home / folder).mkdir(parents=True)
            common = "WORKING_USER = root\nNICE_LEVEL = 0\nMASTER_HOST = 10.77.0.1,10.77.0.2\n"
            (home / "mfsmaster.cfg").write_text(f"{common}HA_ENABLED = 1\nDATA_PATH = {home}/master\n")
            (home / "mfsmetalogger.cfg").write_text(f"{common}DATA_PATH = {home}/copies\nMASTER_RECONNECTION_DELAY = 1\n")
            (home / "ucarp.conf").write_text(
                f"OTHER=10.77.0.{2 - i}\nPREFIX=24\nBIN={BIN}\nMASTER_CFG={home}/mfsmaster.cfg\n"
                f"METALOGGER_CFG={home}/mfsmetalogger.cfg\nLOG={home}/log\nRUN={home}/run\n")
            self.ucarp.append(Process(
                f"ucarp{i + 1}", ["ucarp", "-i", "eth0", "-s", f"10.77.0.{i + 1}", "-v", "42", "-p", "secret", "-a", VIP, "-b", "1",
                                  "-z", "-u", str(SCRIPTS / "vip-up"), "-d", str(SCRIPTS / "vip-down"), "-x", str(home / "ucarp.conf")],
                self.folder, None, ("ip", "netns", "exec", network.names[i])))
        (self.folder / "v3").mkdir()
        self.volume = Process("volume3", [WEED, "-logtostderr=true", "volume", "-ip=10.77.0.3", "-port=8080", "-dir=./v3",
                                          f"-mserver={LISTED}", "-preStopSeconds=0"], self.folder, None,
                              ("ip", "netns", "exec", network.names[2]))

    def inside(self, host, *argv, seconds=20):
        done = subprocess.run(["ip", "netns", "exec", self.network.names[host], *argv], capture_output=True, text=True,
                              timeout=seconds)
        return done.returncode, done.stdout + done.stderr

    def mfsmaster(self, host, *words):
        return self.inside(host, str(BIN / "mfsmaster"), "-c", str(self.folder / f"{host + 1}/mfsmaster.cfg"), *words)

    def begin(self):
        """As the page says: the cluster begins on A, without the other."""
        cfg = self.folder / "1/mfsmaster.cfg"
        text = cfg.read_text()
        cfg.write_text(text.replace("HA_ENABLED = 1", "HA_ENABLED = 0"))
        for action in ("start", "stop"):
            code, said = self.mfsmaster(0, action)
            check(code == 0, f"mfsmaster {action}: {said}")
            if action == "start":
                until("it leads", lambda: Http(1.0).json("10.77.0.1:9421", "/cluster/status")[1]["IsLeader"])
        cfg.write_text(text)
        self.ucarp[0].start()
        until("A has the address", lambda: put("begun", "1"))
        self.volume.start()
        self.ucarp[1].start()
        self.caught_up(1)
        until("a file", lambda: self.client().upload(b"ready"))

    def client(self):
        return Client([MASTER], timeout=1.0)

    def has(self, host):
        return VIP + "/" in self.inside(host, "ip", "address", "show", "dev", "eth0")[1]

    def log(self, host):
        path = self.folder / f"{host + 1}/log"
        return path.read_text(errors="replace") if path.exists() else ""

    def caught_up(self, host):
        """The metalogger of this host has everything that the master has said it did."""
        put("caught/up", str(time.monotonic()))
        def done():
            text = Http(1.0).request("GET", MASTER, "/metrics")[2].decode()
            return metric(MASTER, "holdfast_metaloggers") == 1 and metric(MASTER, "holdfast_metalogger_behind_entries") == 0 and (
                f"10.77.0.{host + 1}" in text)
        until("the metalogger has everything", done)
        time.sleep(0.3)
        until("the metalogger has everything", done)

    def kill(self, host):
        """The whole host, at once."""
        self.network.cut(host)
        for _ in range(3):  # what is started by a script meanwhile
            for pid in sh("ip", "netns", "pids", self.network.names[host], ok=True).split():
                try:
                    os.kill(int(pid), signal.SIGKILL)
                except ProcessLookupError:
                    pass
            time.sleep(0.05)
        self.ucarp[host].kill()
        self.inside(host, "ip", "address", "del", f"{VIP}/24", "dev", "eth0")

    def boot(self, host):
        self.network.heal(host)
        self.ucarp[host].start()

    def close(self, failed):
        if failed:
            for i in range(2):
                print(f"==== host {i + 1}\n{self.log(i)[-6000:]}\n==== ucarp\n{self.ucarp[i].log()[-1500:]}")
            print(self.volume.log()[-1500:])
        for host in range(3):
            for pid in sh("ip", "netns", "pids", self.network.names[host], ok=True).split():
                try:
                    os.kill(int(pid), signal.SIGKILL)
                except ProcessLookupError:
                    pass
        for process in (*self.ucarp, self.volume):
            process.kill()
        shutil.rmtree(self.folder, ignore_errors=True)


def with_hosts(story):
    network = Network(3)
    failed = True
    try:
        hosts = Hosts(network)
        try:
            hosts.begin()
            story(network, hosts)
            failed = False
        finally:
            hosts.close(failed)
    finally:
        network.close()


def taken_over(what, since):
    until("a change is acknowledged", lambda: put("after", what), 30)
    print(f"  {what}: changes are acknowledged again after {time.monotonic() - since:.1f} s")


def the_backup_restores_and_takes_over():
    def story(network, hosts):
        keys = {f"a/{n}": f"value {n}" for n in range(200)}
        for key, value in keys.items():
            put(key, value)
        client = hosts.client()
        files = {client.upload(f"file {n}".encode()): f"file {n}".encode() for n in range(20)}
        hosts.caught_up(1)
        hosts.kill(0)
        since = time.monotonic()
        taken_over("A is lost", since)
        check(hosts.has(1), "B has not the address")
        check("restored from the metalogger's files" in hosts.log(1) and "as a new cluster" in hosts.log(1), "the log of B")
        lost = [key for key, value in keys.items() if get(key) != value]
        check(not lost, f"the metalogger had everything, and {len(lost)} changes are lost")
        until("a file", lambda: hosts.client().upload(b"again"), 30)
        for fid, data in files.items():
            check(hosts.client().read(fid) == data, f"{fid} reads back wrong")
        fid = hosts.client().assign()["fid"]
        check(int(fid.split(",")[1][:-8], 16) > max(int(f.split(",")[1][:-8], 16) for f in files) + (1 << 32), "keys go on too soon")

        # A comes back. Started by hand on what it has, its master is turned away in words.
        network.heal(0)
        code, said = hosts.mfsmaster(0, "-f", "start")
        check(code != 0 and "What this one holds is void" in said, f"the old master: {code} {said[-1500:]}")
        # By the recipe it becomes the backup.
        hosts.boot(0)
        hosts.caught_up(0)
        check(hosts.has(1) and not hosts.has(0), "the address has moved")
        put("b", "from B")

        # Now B dies, and A goes on with what B had.
        hosts.caught_up(0)
        hosts.kill(1)
        since = time.monotonic()
        taken_over("B is lost", since)
        lost = [key for key, value in (*keys.items(), ("b", "from B")) if get(key) != value]
        check(not lost, f"{len(lost)} changes are lost: {lost[:5]}")
        until("a file", lambda: hosts.client().upload(b"once more"), 30)
        hosts.boot(1)
        hosts.caught_up(1)
    with_hosts(story)


def a_master_that_crashes_is_started_again_where_it_was():
    def story(network, hosts):
        put("a", "1")
        check(hosts.mfsmaster(0, "kill")[0] == 0, "kill")
        taken_over("A's master is killed", time.monotonic())
        check(hosts.has(0) and get("a") == "1" and "restored" not in hosts.log(0) + hosts.log(1), "taken over without need")
        hosts.caught_up(1)
        for _ in range(2):
            until("it runs", lambda: hosts.mfsmaster(0, "test")[0] == 0)
            check(hosts.mfsmaster(0, "kill")[0] == 0, "kill")
        taken_over("A's master does not stay up", time.monotonic())
        check(hosts.has(1) and not hosts.has(0), "A has the address still")
        check("has ended 3 times" in hosts.log(0) and get("a") == "1", hosts.log(0)[-1000:])
    with_hosts(story)


def the_address_is_moved_on_purpose():
    def story(network, hosts):
        for old, name, way in ((0, "A is asked to step back", lambda: hosts.ucarp[0].signal(signal.SIGUSR2)),
                               (1, "B's ucarp is ended", lambda: hosts.ucarp[1].stop())):
            put("moved", name)
            hosts.caught_up(1 - old)
            way()
            since = time.monotonic()
            until("the address is gone", lambda: not hosts.has(old))
            taken_over(name, since)
            check(hosts.has(1 - old) and get("moved") == name, "what was acknowledged before is lost")
            if not hosts.ucarp[old].alive():
                hosts.ucarp[old].start()
            hosts.caught_up(old)
    with_hosts(story)


def cut_and_heal(network, hosts):
    """A is cut off, and both go on; healed, A's master is told to stop, and B has the address alone."""
    put("both", "1")
    hosts.caught_up(1)
    network.unplug(0)
    taken_over("A is cut off", time.monotonic())
    put("b", "from B")
    check(hosts.has(0) and hosts.has(1), "this test proves nothing: only one has the address")
    code, said = hosts.inside(0, "curl", "-s", "-m", "2", "-X", "PUT", "--data-binary", "x", f"http://{MASTER}{KV}lost")
    check(code == 0 and "revision" in said, f"A does not go on by itself: {said}")
    network.plug_in(0)
    until("A's master is told to stop", lambda: "What this one holds is void" in hosts.log(0), 30)
    until("B has the address alone", lambda: hosts.has(1) and not hosts.has(0), 40)
    until("B serves, with what it acknowledged", lambda: get("b") == "from B" and get("both") == "1", 20)
    code, said = hosts.inside(0, "curl", "-s", "-m", "2", f"http://10.77.0.1:9421{KV}both")
    check(code != 0, f"A's master still answers: {said}")


def after_a_cut_the_generation_fences_the_old_master():
    """Both hosts have the address meanwhile: that is what the recipe cannot keep from happening."""
    def story(network, hosts):
        cut_and_heal(network, hosts)
        hosts.caught_up(0)  # A is the backup now
        hosts.kill(1)
        taken_over("B is lost", time.monotonic())
        check(get("b") == "from B", "what B acknowledged is lost")
    with_hosts(story)


def a_state_that_was_turned_away_is_not_gone_on_from():
    """A's master was told to stop, and then B is lost before A's metalogger has anything of it."""
    def story(network, hosts):
        cut_and_heal(network, hosts)
        hosts.kill(1)
        for path in (hosts.folder / "1/copies").glob("*.mfs*"):
            path.unlink()
        until("A says why it does not go on", lambda: "was turned away by a later one, which only 10.77.0.2 has" in hosts.log(0), 30)
        code, said = hosts.inside(0, "curl", "-s", "-m", "2", f"http://10.77.0.1:9421{KV}both")
        check(code != 0, f"A serves what is void: {said}")
        hosts.boot(1)
        until("B goes on with all it had", lambda: get("b") == "from B", 40)
        hosts.caught_up(0)
    with_hosts(story)


STORIES = [the_backup_restores_and_takes_over, a_master_that_crashes_is_started_again_where_it_was,
           the_address_is_moved_on_purpose, after_a_cut_the_generation_fences_the_old_master,
           a_state_that_was_turned_away_is_not_gone_on_from]

if __name__ == "__main__":
    if shutil.which("ucarp") is None:
        skip(STORIES, "ucarp is not installed (Debian's package of that name)")
    run_in_hub(__file__, STORIES)
