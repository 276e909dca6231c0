#!/usr/bin/env python3
"""SeaweedFS's programs are made with grpc-go: what such a client trips over at masters, checked by one (test/clients/go).
Not-leader texts, first messages, nil fields, pings of idle connections, big messages, reflection, an upstream volume
server's heartbeats, and the admin lock over a failover. Skipped (77) where Go or its modules are not to be had."""
import subprocess
import sys
import time

from go_client import build
from harness import Client as Files, Cluster, Failure, check, run

SKIPPED = 77


def grpc(address):
    host, _, port = address.rpartition(":")
    return f"{host}:{int(port) + 10000}"


class Client:
    def __init__(self, program, cluster):
        self.program, self.cluster = program, cluster

    def check(self, what, *more, quiet=False):
        leader = self.cluster.leader()
        follower = (leader + 1) % len(self.cluster.masters)
        while not self.cluster.master_processes[follower].alive():
            follower = (follower + 1) % len(self.cluster.masters)
        argv = [str(self.program), what, f"-leader={grpc(self.cluster.masters[leader])}",
                f"-leaderHttp={self.cluster.masters[leader]}", f"-follower={grpc(self.cluster.masters[follower])}",
                f"-volume={grpc(self.cluster.volumes[0])}", f"-volumeHttp={self.cluster.volumes[0]}", *more]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=120)
        check(done.returncode == 0, f"{what}: {(done.stderr or done.stdout).strip()}")
        if not quiet:
            print(done.stdout, end="", flush=True)
        return done.stdout


def a_grpc_go_client_finds_what_it_expects():
    program, _ = build()
    with Cluster(masters=3, volumes=1, host="127.0.0.1", volume_flags=["-max=30"]) as cluster:
        cluster.wait_writable()
        client = Client(program, cluster)
        for what in ("transport", "reflection", "notleader", "assigns", "lists", "greetings", "heartbeats"):
            client.check(what)

        text = b"".join(b'{"n":%d,"pad":"%s"}\n' % (n, b"x" * 40) for n in range(20_000))
        client.check("queries", "-fid=" + Files(cluster.masters).upload(text))
        token, at = client.check("lock", quiet=True).split()
        cluster.master_processes[cluster.leader()].kill()
        killed = time.monotonic()
        cluster.leader()
        client.check("relock", f"-token={token}", f"-lockTime={at}")
        print(f"{(time.monotonic() - killed) * 1000:.0f} ms from the leader's death to the lock's release")


if __name__ == "__main__":
    try:
        program, why = build()
    except Failure as failure:
        print(f"FAILED: {failure}")
        sys.exit(1)
    if program is None:
        print(f"skipped: {why}")
        sys.exit(SKIPPED)
    run([a_grpc_go_client_finds_what_it_expects])
