#!/usr/bin/env python3
"""Masters that find each other by a name: hosts in network namespaces of this test's own, and a real name server
(dnsmasq) on the hub, whose records come and go. Needs root (for namespaces) and dnsmasq; says so and is skipped
otherwise.
"""
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time

from harness import BIN, Client, Failure, Http, NETWORK_ERRORS, WEED, Process, check
from netns import HUB, Network, run_in_hub, skip

NAME_SERVER = "10.77.0.254"
DNSMASQ = shutil.which("dnsmasq") or "/usr/sbin/dnsmasq"


class NameServer:
    """Says of `mfsmaster` what it was last told."""

    def __init__(self, folder):
        self.hosts = folder / "records"
        self.say([])
        self.process = Process("dnsmasq", [DNSMASQ, "--no-daemon", "--no-resolv", "--no-hosts", "--port=53",
                                           f"--listen-address={NAME_SERVER}", "--bind-interfaces", "--user=root",
                                           "--conf-file=/dev/null", "--pid-file=", f"--addn-hosts={self.hosts}"], folder)

    def say(self, hosts, prefix="10.77.0."):
        self.hosts.write_text("".join(f"{prefix}{host + 1} mfsmaster\n" for host in hosts))
        if hasattr(self, "process") and self.process.alive():
            self.process.signal(signal.SIGHUP)

    def start(self):
        before = self.process.log().count("started, version")
        self.process.start()
        end = time.monotonic() + 10
        while self.process.log().count("started, version") == before:  # before it, SIGHUP would end it
            check(self.process.alive() and time.monotonic() < end, f"dnsmasq does not start: {self.process.log()}")
            time.sleep(0.02)


class Hosts:
    """Hosts with the settings that mfsmaster and mfschunkserver need, and no more."""

    def __init__(self, network):
        self.network = network
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="holdfast-dns-"))
        network.use_name_server(NAME_SERVER)
        self.names = NameServer(self.folder)
        self.names.start()
        self.daemons = {}
        for i in range(len(network.names)):
            host = self.folder / f"host{i + 1}"
            (host / "m").mkdir(parents=True)
            (host / "c").mkdir()
            (host / "mfsmaster.cfg").write_text(
                f"HA_ENABLED = 1\nMASTER_HOST = mfsmaster\nDNS_REFRESH_TIME = 1\nDATA_PATH = {host}/m\n"
                "WORKING_USER = root\nNICE_LEVEL = 0\n")
            (host / "mfshdd.cfg").write_text(f"{host}/c -1%\n")
            (host / "mfschunkserver.cfg").write_text(
                f"MASTER_HOST = mfsmaster\nDNS_REFRESH_TIME = 1\nDATA_PATH = {host}/c\nWORKING_USER = root\nNICE_LEVEL = 0\n"
                f"HDD_CONF_FILENAME = {host}/mfshdd.cfg\n")

    def inside(self, host, *argv, seconds=20):
        done = subprocess.run(["ip", "netns", "exec", self.network.names[host], *argv], capture_output=True, text=True,
                              timeout=seconds, stdin=subprocess.DEVNULL)
        return done.returncode, done.stdout + done.stderr

    def daemon(self, host, program, action):
        """A daemon as its users start it; status 0 is wanted."""
        path = self.folder / f"host{host + 1}" / f"{program}.cfg"
        code, text = self.inside(host, str(BIN / program), "-c", str(path), action)
        check(code == 0, f"{program} {action} on host {host + 1}: {code}: {text}")
        return text

    def logged(self, host, program="mfsmaster"):
        """The same in the foreground, with its log in a file."""
        path = self.folder / f"host{host + 1}" / f"{program}.cfg"
        process = Process(f"{program}{host + 1}", [str(BIN / program), "-c", str(path), "-f", "start"], self.folder,
                          prefix=("ip", "netns", "exec", self.network.names[host]))
        self.daemons[f"{program}{host + 1}"] = process
        return process.start()

    def status(self, host):
        try:
            return Http(0.5).json(f"10.77.0.{host + 1}:9421", "/cluster/status")[1]
        except (*NETWORK_ERRORS, ValueError):
            return None

    def members(self, host):
        status = self.status(host) or {}
        return 1 + len(status.get("Peers") or []) if status.get("Leader") else 0

    def wait_members(self, hosts, count, seconds=15):
        end = time.monotonic() + seconds
        while True:
            seen = {host: self.members(host) for host in hosts}
            if all(n == count for n in seen.values()):
                break
            check(time.monotonic() < end, f"members seen: {seen}, not {count} everywhere")
            time.sleep(0.05)
        leaders = {(self.status(host) or {}).get("Leader") for host in hosts}
        check(len(leaders) == 1, f"more than one leader: {leaders}")

    def leader(self, hosts, seconds=10):
        end = time.monotonic() + seconds
        while True:
            for host in hosts:
                if (self.status(host) or {}).get("IsLeader"):
                    return host
            check(time.monotonic() < end, "no leader")
            time.sleep(0.02)

    def upload(self, hosts, seconds=20):
        client = Client([f"10.77.0.{host + 1}:9421" for host in hosts])
        end = time.monotonic() + seconds
        while True:
            try:
                return client.upload(b"by name")
            except (Failure, *NETWORK_ERRORS) as error:
                check(time.monotonic() < end, f"no upload within {seconds} s: {error}")
                time.sleep(0.05)

    def wait_log(self, process, words, seconds=10):
        end = time.monotonic() + seconds
        while words not in process.log():
            check(time.monotonic() < end, f"{process.name} does not log {words!r}")
            time.sleep(0.05)

    def close(self):
        for process in self.daemons.values():
            process.kill()
        for i in range(len(self.network.names)):
            for program in ("mfschunkserver", "mfsmaster"):
                path = self.folder / f"host{i + 1}" / f"{program}.cfg"
                self.inside(i, str(BIN / program), "-c", str(path), "kill")
        self.names.process.kill()
        shutil.rmtree(self.folder, ignore_errors=True)


def with_hosts(count, story):
    network = Network(count)
    try:
        hosts = Hosts(network)
        try:
            story(hosts)
        except Exception:
            for process in [*hosts.daemons.values(), hosts.names.process]:
                print(f"==== {process.name}\n{process.log()[-3000:]}", file=sys.stderr)
            raise
        finally:
            hosts.close()
    finally:
        network.close()


def three_hosts_that_know_only_the_name_form_a_cluster():
    def story(hosts):
        hosts.names.say([0, 1, 2])
        for host in range(3):
            hosts.daemon(host, "mfsmaster", "start")
        hosts.wait_members(range(3), 3)
        for host in range(3):
            hosts.daemon(host, "mfschunkserver", "start")
        fid = hosts.upload(range(3))
        # The leader dies; it comes back with a plain start, as what it was.
        for _ in range(2):
            leader = hosts.leader(range(3))
            rest = [host for host in range(3) if host != leader]
            hosts.daemon(leader, "mfsmaster", "kill")
            hosts.upload(rest)
            hosts.daemon(leader, "mfsmaster", "start")
            hosts.wait_members(range(3), 3)
        check(Client([f"10.77.0.{h + 1}:9421" for h in range(3)]).read(fid) == b"by name", "a file is gone")
        # All at once, from disk.
        for host in range(3):
            hosts.daemon(host, "mfsmaster", "kill")
        for host in range(3):
            hosts.daemon(host, "mfsmaster", "start")
        hosts.wait_members(range(3), 3)
        hosts.upload(range(3))
    with_hosts(3, story)


def records_that_come_and_go_are_noticed():
    def story(hosts):
        hosts.names.say([0])
        masters = [hosts.logged(0)]
        hosts.wait_members([0], 1)  # a name with one record is a cluster of one
        hosts.names.say([0, 1, 2])
        hosts.wait_log(masters[0], "mfsmaster has changed: new 10.77.0.2, 10.77.0.3")
        masters += [hosts.logged(1), hosts.logged(2)]
        hosts.wait_members(range(3), 3)
        chunkserver = hosts.logged(0, "mfschunkserver")
        hosts.upload(range(3))
        hosts.names.say([0, 1, 2, 3])
        for master in masters:
            hosts.wait_log(master, "new 10.77.0.4")
        hosts.wait_log(chunkserver, "new 10.77.0.4")
        masters.append(hosts.logged(3))
        hosts.wait_members(range(4), 4)
        # What the name no longer stands for stays a member: only an operator removes one.
        hosts.names.say([0, 1])
        for master in masters:
            hosts.wait_log(master, "gone 10.77.0.3, 10.77.0.4")
        time.sleep(0.5)
        hosts.wait_members(range(4), 4)
        hosts.upload(range(4))
    with_hosts(4, story)


def a_name_server_that_is_down_changes_nothing():
    def story(hosts):
        # Nothing is founded without an answer: of three masters, one would seem to be all.
        hosts.names.process.kill()
        masters = [hosts.logged(host) for host in range(3)]
        hosts.wait_log(masters[0], "mfsmaster cannot be resolved")
        time.sleep(1)
        check(all(hosts.members(host) == 0 for host in range(3)), "a cluster was founded without a name server")
        hosts.names.say([0, 1, 2])
        hosts.names.start()
        hosts.wait_members(range(3), 3)
        chunkserver = hosts.logged(0, "mfschunkserver")
        hosts.upload(range(3))
        hosts.names.process.kill()
        hosts.wait_log(masters[0], "its last addresses stay: 10.77.0.1, 10.77.0.2, 10.77.0.3")
        hosts.wait_log(chunkserver, "its last addresses stay")
        hosts.upload(range(3))
        # Members know each other from disk, and chunkservers the masters.
        leader = hosts.leader(range(3))
        masters[leader].kill()
        rest = [host for host in range(3) if host != leader]
        hosts.upload(rest)
        hosts.logged(leader)
        hosts.wait_members(range(3), 3)
        chunkserver.kill()
        hosts.logged(0, "mfschunkserver")
        hosts.upload(range(3))
    with_hosts(3, story)


def the_other_names_of_the_program_follow_a_name_too():
    """weed master -peers=name, weed volume -mserver=name, and a client that sees no error while masters die."""
    def story(hosts):
        hosts.names.say([0, 1, 2])

        def weed(host, name, *argv):
            (hosts.folder / f"{name}{host + 1}").mkdir(exist_ok=True)
            process = Process(f"{name}{host + 1}", [WEED, "-logtostderr=true", name, f"-ip=10.77.0.{host + 1}", *argv],
                              hosts.folder, prefix=("ip", "netns", "exec", hosts.network.names[host]))
            hosts.daemons[process.name] = process
            return process.start()

        def master(host):
            return weed(host, "master", "-port=9421", f"-mdir=./master{host + 1}", "-peers=mfsmaster:9421",
                        "-volumeSizeLimitMB=64")

        masters = [master(host) for host in range(3)]
        hosts.wait_members(range(3), 3)
        for host in range(2):
            weed(host, "volume", "-port=8080", f"-dir=./volume{host + 1}", "-mserver=mfsmaster:9421", "-preStopSeconds=0")
        hosts.upload(range(3))
        file = hosts.folder / "file"
        file.write_bytes(b"from a client")
        for turn in range(6):
            leader = hosts.leader(range(3))
            client = next(host for host in range(3) if host != leader)
            if turn % 2 == 0:
                masters[leader].kill()
            code, text = hosts.inside(client, WEED, "-logtostderr=true", "upload", "-master=mfsmaster:9421", str(file),
                                      seconds=30)
            check(code == 0 and '"fid"' in text, f"a client saw the change: {code}: {text}")
            if turn % 2 == 0:
                masters[leader] = master(leader)
                hosts.wait_members(range(3), 3)
    with_hosts(3, story)


def records_of_ipv6_alone_are_as_good():
    def story(hosts):
        done = subprocess.run(["ping", "-6", "-c", "1", "-W", "2", "fd77::1"], capture_output=True) \
            if shutil.which("ping") else None
        if done is not None and done.returncode != 0:
            print("  skipped: no IPv6 between the hosts")
            return
        hosts.names.say([0, 1, 2], prefix="fd77::")
        for host in range(3):
            hosts.daemon(host, "mfsmaster", "start")
        hosts.wait_members(range(3), 3)
        leader = hosts.leader(range(3))
        address = hosts.status(leader)["Leader"]
        check(address.startswith("[fd77::") or "fd77::" in address, f"the leader is called {address}")
        for host in range(3):
            hosts.daemon(host, "mfschunkserver", "start")
        hosts.upload(range(3))
        hosts.daemon(leader, "mfsmaster", "kill")
        hosts.upload([host for host in range(3) if host != leader])
    with_hosts(3, story)


STORIES = [three_hosts_that_know_only_the_name_form_a_cluster, records_that_come_and_go_are_noticed,
           a_name_server_that_is_down_changes_nothing, the_other_names_of_the_program_follow_a_name_too,
           records_of_ipv6_alone_are_as_good]

if __name__ == "__main__":
    if HUB is None and not os.path.exists(DNSMASQ):
        skip(STORIES, "there is no dnsmasq (Debian package dnsmasq-base)")
    run_in_hub(__file__, STORIES)
