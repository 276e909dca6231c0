"""Hosts as network namespaces of a test's own: a hub, in which the test itself runs, with a bridge, and hosts on it.

A script ends with `run_in_hub(__file__, [stories])`: it is started again inside the hub. Without root, or where
namespaces are not allowed, it says so and ends with 77, which is "skipped".
"""
import os
import pathlib
import shutil
import subprocess
import sys

from harness import Failure, run

HUB = os.environ.get("HOLDFAST_TEST_HUB")
SKIPPED = 77


def sh(*argv, ok=False):
    result = subprocess.run(argv, capture_output=True, text=True)
    if result.returncode != 0 and not ok:
        raise Failure(f"{' '.join(argv)}: {result.stderr.strip()}")
    return result.stdout


class Network:
    """Namespaces HUB-1..n, each with eth0 10.77.0.i and fd77::i on a bridge inside the hub's own namespace."""

    def __init__(self, hosts):
        self.names = [f"{HUB}-{i + 1}" for i in range(hosts)]
        sh("ip", "link", "set", "lo", "up")
        # With an address of its own: else it has that of one of its ports, and another one when that is unplugged.
        sh("ip", "link", "add", "br0", "address", "02:00:0a:4d:00:fe", "type", "bridge")
        sh("ip", "address", "add", "10.77.0.254/24", "dev", "br0")
        sh("ip", "-6", "address", "add", "fd77::fe/64", "dev", "br0", "nodad", ok=True)  # not on machines without IPv6
        sh("ip", "link", "set", "br0", "up")
        for i, name in enumerate(self.names):
            sh("ip", "netns", "add", name)
            sh("ip", "link", "add", f"v{i + 1}", "type", "veth", "peer", "name", "eth0", "netns", name)
            sh("ip", "link", "set", f"v{i + 1}", "master", "br0", "up")
            for command in (("link", "set", "lo", "up"), ("address", "add", f"10.77.0.{i + 1}/24", "dev", "eth0"),
                            ("link", "set", "eth0", "up")):
                sh("ip", "netns", "exec", name, "ip", *command)
            sh("ip", "netns", "exec", name, "ip", "-6", "address", "add", f"fd77::{i + 1}/64", "dev", "eth0", "nodad",
               ok=True)

    def use_name_server(self, address):
        """All hosts ask this one, and nobody else."""
        for name in self.names:
            folder = pathlib.Path("/etc/netns") / name
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "resolv.conf").write_text(f"nameserver {address}\noptions timeout:1 attempts:1\n")

    def cut(self, host):
        sh("ip", "link", "set", f"v{host + 1}", "down")

    def heal(self, host):
        sh("ip", "link", "set", f"v{host + 1}", "up")

    def unplug(self, host):
        """As cut, but the host's own link stays up: it is the network behind that parts. Its address answers on its side."""
        sh("ip", "link", "set", f"v{host + 1}", "nomaster")

    def plug_in(self, host):
        sh("ip", "link", "set", f"v{host + 1}", "master", "br0")

    def cut_one_way(self, source, target):
        """`source` can no longer send to `target`; the other direction works."""
        sh("ip", "netns", "exec", self.names[source], "ip", "route", "add", "blackhole", f"10.77.0.{target + 1}/32")

    def heal_one_way(self, source, target):
        sh("ip", "netns", "exec", self.names[source], "ip", "route", "del", "blackhole", f"10.77.0.{target + 1}/32",
           ok=True)

    def close(self):
        for i, name in enumerate(self.names):
            sh("ip", "link", "del", f"v{i + 1}", ok=True)  # with a namespace alone it would go some time later
            sh("ip", "netns", "del", name, ok=True)
            shutil.rmtree(pathlib.Path("/etc/netns") / name, ignore_errors=True)
        sh("ip", "link", "del", "br0", ok=True)


def skip(stories, why):
    print(f"0 passed, 0 failed, {len(stories)} skipped: {why}")
    sys.exit(SKIPPED)


def enter_hub(script, stories):
    """Starts the script again inside a hub of its own, and ends as that one did. There it returns."""
    if os.geteuid() != 0:
        skip(stories, "network namespaces need root")
    if HUB is not None:
        return
    hub = f"hft{os.getpid()}"
    if subprocess.run(["ip", "netns", "add", hub], capture_output=True).returncode != 0:
        skip(stories, "network namespaces cannot be made here")
    try:
        if subprocess.run(["ip", "netns", "exec", hub, "true"], capture_output=True).returncode != 0:
            skip(stories, "network namespaces cannot be entered here (a plain chroot?)")
        code = subprocess.run(["ip", "netns", "exec", hub, sys.executable, script, *sys.argv[1:]],
                              env={**os.environ, "HOLDFAST_TEST_HUB": hub}).returncode
    finally:
        sh("ip", "netns", "del", hub, ok=True)
    sys.exit(code)


def run_in_hub(script, stories):
    enter_hub(script, stories)
    run(stories)
