#!/usr/bin/env python3
"""The virtual IP of the leading master (docs/virtual-ip.md): three hosts in network namespaces of this test's own, the
client on the hub with the ARP cache of its kernel. The leader is ended, killed, stopped, cut off; all the time the hub asks by ARP
who has the address, and never may an earlier holder answer after a later one has. Needs root; skipped otherwise."""
import ctypes
import os
import pathlib
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time

from guardian_test import guardian_of
from harness import Failure, Http, NETWORK_ERRORS, Process, WEED, check
from netns import Network, run_in_hub, sh

VIP, VIP6 = "10.77.0.200", "fd77::200"
SO_ATTACH_FILTER = 26
GRANT = 3.0  # seconds: what a new leader waits for when nobody tells it anything


class Asker:
    """Asks "who has the address?" every few milliseconds by ARP and notes who answers. On br0 it asks as a client does, all
    hosts at once; on a host's own link (v1, v2 ...) it asks that host alone, as one who wants the address would: that
    leaves no trace in the host's cache, and works while the link is no part of the bridge."""

    def __init__(self, interface="br0", every=0.005):
        self.interface, self.every = interface, every
        self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        # Of a port of the bridge only those hear anything who hear everything: a filter leaves them ARP alone.
        code = struct.pack("HBBI" * 4, 0x28, 0, 0, 12, 0x15, 0, 1, 0x0806, 0x06, 0, 0, 0xffff, 0x06, 0, 0, 0)
        program = ctypes.create_string_buffer(code)
        self.socket.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, struct.pack("HP", 4, ctypes.addressof(program)))
        self.socket.bind((interface, 0x0806 if interface == "br0" else 0x0003))
        self.socket.settimeout(every)
        self.own = self.socket.getsockname()[4]
        self.answers = []  # (time, hardware address)
        self.over = threading.Event()
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def run(self):
        question = (b"\xff" * 6 + self.own + b"\x08\x06" + struct.pack("!HHBBH", 1, 0x0800, 6, 4, 1) + self.own +
                    socket.inet_aton("10.77.0.254" if self.interface == "br0" else "0.0.0.0") + bytes(6) + socket.inet_aton(VIP))
        asked = 0.0
        while not self.over.is_set():
            try:
                if time.monotonic() - asked > self.every:
                    asked = time.monotonic()
                    self.socket.send(question)
                packet = self.socket.recv(2048)
            except TimeoutError:
                continue
            except OSError:  # the link is down
                time.sleep(self.every)
                continue
            # Answers to this question only: announcements are addressed to all.
            if packet[:6] == self.own and packet[20:22] == b"\x00\x02" and packet[28:32] == socket.inet_aton(VIP):
                self.answers.append((time.monotonic(), packet[22:28].hex(":")))

    def close(self):
        self.over.set()
        self.thread.join()
        self.socket.close()

    def holders(self, since=0.0):
        """Who answered, in order, each run of one holder once."""
        seen = []
        for at, who in list(self.answers):
            if at >= since and (not seen or seen[-1] != who):
                seen.append(who)
        return seen


class Hosts:
    def __init__(self, network, vip=f"{VIP}/24", flags=(), masters=None, volumes=()):
        """masters: how many of the hosts have one, all if not said; volumes: hosts with a volume server."""
        self.network = network
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="holdfast-vip-"))
        hosts = range(masters or len(network.names))
        self.masters = [f"10.77.0.{i + 1}:9333" for i in hosts]
        self.hardware = [self.inside(i, "cat", "/sys/class/net/eth0/address").strip() for i in range(len(network.names))]
        secret = self.folder / "secret"
        secret.write_text("correct horse battery staple\n")
        secret.chmod(0o600)
        self.processes = []
        for i in hosts:
            (self.folder / f"m{i + 1}").mkdir()
            argv = [WEED, "-logtostderr=true", "master", f"-ip=10.77.0.{i + 1}", "-ip.bind=::" if ":" in vip else "-ip.bind=0.0.0.0",
                    "-port=9333", f"-mdir=./m{i + 1}", f"-peers={','.join(self.masters)}", f"-vip={vip}",
                    "-vip.interface=eth0", *[flag.replace("@", str(i + 1)) for flag in flags]]
            self.processes.append(Process(f"master{i + 1}", argv, self.folder, {"TMPDIR": str(self.folder)},
                                          ("ip", "netns", "exec", network.names[i])))
        for i in volumes:
            (self.folder / f"v{i + 1}").mkdir()
            argv = [WEED, "-logtostderr=true", "volume", f"-ip=10.77.0.{i + 1}", "-port=8080", f"-dir=./v{i + 1}",
                    f"-mserver={','.join(self.masters)}", "-preStopSeconds=0"]
            self.processes.append(Process(f"volume{i + 1}", argv, self.folder, {"TMPDIR": str(self.folder)},
                                          ("ip", "netns", "exec", network.names[i])))

    def inside(self, host, *argv):
        return sh("ip", "netns", "exec", self.network.names[host], *argv)

    def __enter__(self):
        for process in self.processes:
            process.start()
        return self

    def __exit__(self, kind, value, trace):
        if kind is not None:
            print("\n".join(f"==== {p.name}\n{p.log()[-3000:]}" for p in self.processes))
        for process in self.processes:
            process.signal(signal.SIGCONT)
            process.signal(signal.SIGTERM)
        for process in self.processes:
            try:
                process.popen.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def has(self, host, address=VIP):
        return address + "/" in self.inside(host, "ip", "address", "show", "dev", "eth0")

    def holder(self, seconds=15, but=None):
        """The host that has the address on its interface."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            found = [i for i in range(len(self.masters)) if i != but and self.has(i)]
            if len(found) == 1:
                return found[0]
            time.sleep(0.02)
        raise Failure(f"nobody has the address within {seconds} s")


def takers(hosts):
    """The hardware addresses of those who took the address, in order, as their logs say."""
    events = []
    for i, process in enumerate(hosts.processes[:len(hosts.masters)]):
        for line in process.log().splitlines():
            if " holds the virtual IP " in line:
                events.append((line[1:21], hosts.hardware[i]))
    return [who for _, who in sorted(events)]


def fits(seen, taken):
    """Whether those who answered, in turn, did so in the order in which they took it. On a busy machine the lead may move
    once more by itself; but whoever answers after another had, must have taken it again."""
    at = 0
    for who in seen:
        while at < len(taken) and taken[at] != who:
            at += 1
        if at == len(taken):
            return False
    return True


def reach(address, seconds):
    """Seconds until the address answers HTTP with a leader's status."""
    begin = time.monotonic()
    while time.monotonic() - begin < seconds:
        http = Http(0.3)
        try:
            _, status = http.json(address, "/cluster/status")
            if status.get("IsLeader"):
                return time.monotonic() - begin
        except (*NETWORK_ERRORS, ValueError):
            time.sleep(0.005)
        finally:
            http.close()
    raise Failure(f"{address} is not answered by the leader within {seconds} s")


def story(hit, undo, least, most, after=1.0, flags=()):
    """`hit` befalls the holder; another one answers, after a time within bounds; `undo` brings the former back, which must
    not answer."""
    network = Network(3)
    try:
        with Hosts(network, flags=flags) as hosts:
            reach(f"{VIP}:9333", 15)
            old = hosts.holder()
            asker = Asker()
            try:
                time.sleep(0.3)
                check(asker.holders()[-1:] == [hosts.hardware[old]], f"asked who has it: {asker.holders()}, {hosts.hardware}")
                since = time.monotonic()
                hit(hosts, old)
                while asker.holders()[-1] == hosts.hardware[old]:
                    check(time.monotonic() < since + most + 10, "nobody else takes the address")
                    time.sleep(0.005)
                taken = time.monotonic() - since
                reach(f"{VIP}:9333", 10)
                reached = time.monotonic() - since
                print(f"  another holds it after {taken * 1000:.0f} ms, and answers HTTP after {reached * 1000:.0f} ms")
                undo(hosts, old)
                time.sleep(after)
                seen, taken_by = asker.holders(), takers(hosts)
                check(fits(seen, taken_by), f"who answered, in turn: {seen}; who took it, in turn: {taken_by}")
                cache = sh("ip", "neighbour", "show", VIP)
                check(seen[-1] in cache, f"the client's cache names another than {seen[-1]}: {cache}")
                check(least <= taken <= most, f"after {taken:.3f} s, not within {least} to {most} s")
            finally:
                asker.close()
    finally:
        network.close()


def nothing(hosts, old):
    pass


def ended():
    def hit(hosts, old):
        check(hosts.processes[old].stop() == 0, "it did not end cleanly")
    story(hit, nothing, 0, 1.5)


def killed(flags=()):
    def undo(hosts, old):
        hosts.processes[old].popen.wait()
        hosts.processes[old].start()
    story(lambda hosts, old: hosts.processes[old].kill(), undo, 0, 1.5, after=2, flags=flags)


def ended_and_killed_with_a_cluster_secret():
    """What a leader or its guardian says about the address is sealed like everything else, and believed."""
    flags = ["-clusterSecretFile=./secret"]
    story(lambda hosts, old: check(hosts.processes[old].stop() == 0, "it did not end cleanly"), nothing, 0, 1.5, flags=flags)
    killed(flags)


def killed_with_its_guardian():
    def hit(hosts, old):
        # Stopped first: killed first, a busy machine has time to start another one that speaks.
        guardian = guardian_of(hosts.processes[old].pid)
        os.kill(guardian, signal.SIGSTOP)
        hosts.processes[old].kill()
        os.kill(guardian, signal.SIGKILL)
    story(hit, lambda hosts, old: hosts.processes[old].start(), GRANT - 0.2, GRANT + 2.5, after=2)


def stopped():
    story(lambda hosts, old: hosts.processes[old].signal(signal.SIGSTOP),
          lambda hosts, old: hosts.processes[old].signal(signal.SIGCONT), 0, 1.5, after=2)


def stopped_with_its_guardian():
    def both(hosts, old, number):
        os.kill(guardian_of(hosts.processes[old].pid), number)
        hosts.processes[old].signal(number)
    story(lambda hosts, old: both(hosts, old, signal.SIGSTOP), lambda hosts, old: both(hosts, old, signal.SIGCONT),
          GRANT - 0.2, GRANT + 2.5, after=2)


def cut_off():
    story(lambda hosts, old: hosts.network.cut(old), lambda hosts, old: hosts.network.heal(old), GRANT - 0.2, GRANT + 2.5,
          after=4)


def longest_silence(asker, since):
    """Seconds between two answers, from then to now."""
    times = [since, *[at for at, _ in asker.answers if at >= since], time.monotonic()]
    return max(later - earlier for earlier, later in zip(times, times[1:]))


def two_masters_and_a_witness():
    """The witness answers no datagrams; the grant of the address is renewed through it all the same. Any one of the three is
    lost: the address stays where the leader is, or moves as with three masters."""
    network = Network(3)
    asker = None

    def status(host):
        try:
            return Http(1.0).json(hosts.masters[host], "/cluster/status")[1]
        except (*NETWORK_ERRORS, ValueError):
            return {}

    def until(what, condition, seconds=40):
        end = time.monotonic() + seconds
        while not condition():
            check(time.monotonic() < end, f"not within {seconds} s: {what}")
            time.sleep(0.05)

    def stays(what, holder, seconds=5):
        since = time.monotonic()
        time.sleep(seconds)
        silence = longest_silence(asker, since)
        check(hosts.holder() == holder and asker.holders(since) == [hosts.hardware[holder]] and silence < 1,
              f"{what}: {asker.holders(since)}, not only {hosts.hardware[holder]}; silence of {silence:.2f} s")

    def in_sync():
        until("both masters know the leader", lambda: all(status(i).get("Leader") for i in range(2)))
        time.sleep(2.5)  # everything is on both, and the witness has been told

    def moves(what, old, hit, least, most):
        since = time.monotonic()
        hit()
        until(what, lambda: asker.holders(since)[-1:] == [hosts.hardware[1 - old]], most + 10)
        taken = time.monotonic() - since
        print(f"  {what}: the other holds it after {taken * 1000:.0f} ms")
        reach(f"{VIP}:9333", 5)
        check(least <= taken <= most, f"{what}: after {taken:.3f} s, not within {least} to {most} s")

    try:
        with Hosts(network, flags=["-witness=auto"], masters=2, volumes=[2]) as hosts:
            reach(f"{VIP}:9333", 15)
            until("a witness", lambda: status(hosts.holder()).get("Witness"))
            asker = Asker()
            in_sync()
            holder = hosts.holder()
            network.unplug(2)
            stays("the witness is cut off", holder)
            network.plug_in(2)
            in_sync()
            network.unplug(1 - holder)
            stays("the other master is cut off", holder)
            network.plug_in(1 - holder)
            in_sync()
            hosts.processes[1 - holder].kill()
            stays("the other master is dead", holder)
            hosts.processes[holder].signal(signal.SIGSTOP)  # its guardian takes the address away
            until("the address is gone", lambda: not hosts.has(holder), 10)
            hosts.processes[holder].signal(signal.SIGCONT)
            until("it leads again, by the witness's vote, and has the address", lambda: hosts.has(holder), 10)
            reach(f"{VIP}:9333", 5)
            hosts.processes[1 - holder].start()
            in_sync()
            moves("the holder is killed", holder, hosts.processes[holder].kill, 0, 1.5)
            hosts.processes[holder].start()
            in_sync()
            holder = hosts.holder()
            moves("the holder is cut off", holder, lambda: network.unplug(holder), GRANT - 0.2, GRANT + 2.5)
            check(not hosts.has(holder), "cut off, it keeps the address")
            network.plug_in(holder)
            in_sync()
            check(fits(asker.holders(), takers(hosts)), f"who answered: {asker.holders()}; took it: {takers(hosts)}")
    finally:
        if asker:
            asker.close()
        network.close()


def ipv6_and_commands():
    network = Network(3)
    try:
        if f"{VIP6[:4]}" not in sh("ip", "-6", "address", "show", "dev", "br0"):
            print("  no IPv6 here")
            return
        with Hosts(network, vip=f"{VIP6}/64",
                   flags=["-onLeader=echo $HOLDFAST_ROLE $HOLDFAST_TERM >> said@",
                          "-onFollower=echo $HOLDFAST_ROLE $HOLDFAST_TERM >> said@"]) as hosts:
            reach(f"[{VIP6}]:9333", 15)
            old = next(i for i in range(3) if hosts.has(i, VIP6))
            hosts.processes[old].kill()
            print(f"  [{VIP6}] is answered again after {reach(f'[{VIP6}]:9333', 10) * 1000:.0f} ms")
            fresh = next(i for i in range(3) if i != old and hosts.has(i, VIP6))
            check(hosts.processes[fresh].stop() == 0, "it did not end cleanly")
            said = [(hosts.folder / f"said{i + 1}").read_text().split("\n") for i in (old, fresh)]
            for lines, expected in zip(said, (["leader"], ["leader", "follower"])):
                roles = [line.split()[0] for line in lines if line]
                # One that leads as soon as it takes part was never seen to follow.
                check(roles in (expected, ["follower", *expected]), f"{said}")
            check(not hosts.has(fresh, VIP6), "an orderly end leaves the address behind")
    finally:
        network.close()


def what_cannot_be_is_refused():
    network = Network(1)
    try:
        hosts = Hosts(network)
        def refusal(*flags):
            done = subprocess.run(["ip", "netns", "exec", network.names[0], WEED, "-logtostderr=true", "master", "-ip=10.77.0.1",
                                   "-port=9333", "-mdir=./m1", *flags], capture_output=True, text=True, timeout=20, cwd=hosts.folder)
            check(done.returncode != 0, f"{flags} starts")
            return done.stderr
        hosts.inside(0, "ip", "address", "add", f"{VIP}/24", "dev", "eth0")
        for flags, words in ((["-vip=10.77.0.200/24", "-vip.interface=eth0"], "is set on eth0 to stay"),
                             (["-vip=10.77.0.200/24", "-vip.interface=eth9"], "no network interface \"eth9\""),
                             (["-vip=10.77.0.200/24"], "-vip needs -vip.interface"), (["-vip.interface=eth0"], "without -vip"),
                             (["-vip=10.77.0/24", "-vip.interface=eth0"], "is no address"),
                             (["-vip=10.77.0.1/33", "-vip.interface=eth0"], "1 to 32")):
            said = refusal(*flags)
            check(words in said, f"{flags}: {said[-500:]}")
        check(hosts.has(0), "an address of somebody else was taken away")
        shutil.rmtree(hosts.folder)
    finally:
        network.close()


def where_nothing_listens_on_it_the_log_says_so():
    """Without -ip.bind a master listens on its own address: it holds the virtual IP, and refuses whoever calls there."""
    network = Network(1)
    hosts = Hosts(network)
    master = hosts.processes[0]

    def is_heard():
        try:
            socket.create_connection((VIP, 9333), 2).close()
            return True
        except ConnectionRefusedError:
            return False

    try:
        everywhere = master.argv
        master.argv = [flag for flag in everywhere if not flag.startswith("-ip.bind")]
        master.start()
        hosts.holder()
        check(not is_heard(), "it is heard at the virtual IP: there is nothing to warn of")
        check(master.log().count("refuses whoever calls the virtual IP 10.77.0.200") == 1, master.log()[-3000:])
        check("give -ip.bind=0.0.0.0" in master.log(), "it does not say what to do")
        master.stop()
        master.argv = everywhere
        master.start()
        hosts.holder()
        check(is_heard(), "with -ip.bind=0.0.0.0 it is not heard at the virtual IP")
        check(master.log().count("refuses whoever calls the virtual IP") == 1, "it says so although it listens there")
    finally:
        master.kill()
        shutil.rmtree(hosts.folder, ignore_errors=True)
        network.close()


if __name__ == "__main__":
    run_in_hub(__file__, [ended, killed, killed_with_its_guardian, stopped, stopped_with_its_guardian, cut_off,
                          ended_and_killed_with_a_cluster_secret, two_masters_and_a_witness, ipv6_and_commands, what_cannot_be_is_refused,
                          where_nothing_listens_on_it_the_log_says_so])
