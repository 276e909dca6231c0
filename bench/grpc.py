#!/usr/bin/env python3
"""(j) Assigns over gRPC per second, by a client made with grpc-go as SeaweedFS's programs are: one connection, many calls at a
time. Beside it, in the same run, the client, the connection and the master: calls that do nothing (Ping of the master itself),
which is what gRPC alone costs here. Needs Go and its modules; 77 without.

    grpc.py [--rounds 3] [--streams 64] [--seconds 3]
"""
import argparse
import pathlib
import statistics
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "test/cluster"))
from go_client import build
from harness import Cluster, check


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--streams", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=3)
    arguments = parser.parse_args()
    program, why = build()
    if program is None:
        print(f"skipped: {why}")
        return 77
    assigns, pings = [], []
    # The volumes are never written to, but each assign counts for a megabyte: large ones do not fill up.
    with Cluster(masters=3, volumes=1, host="127.0.0.1", sizes="30000", volume_flags=["-max=200"]) as cluster:
        cluster.wait_writable()
        leader = cluster.master_ports[cluster.leader()]
        for _ in range(arguments.rounds):
            done = subprocess.run([str(program), "bench", f"-leader=127.0.0.1:{leader + 10000}", f"-streams={arguments.streams}",
                                   f"-seconds={arguments.seconds}"], capture_output=True, text=True, timeout=120)
            check(done.returncode == 0, f"the client: {done.stderr}")
            a, p = map(float, done.stdout.split())
            assigns.append(a)
            pings.append(p)
    a, p = statistics.median(assigns), statistics.median(pings)
    print(f"assigns by gRPC {a:,.0f}/s, empty calls {p:,.0f}/s, ratio {a / p:.2f} (median of {arguments.rounds})")
    return 0


if __name__ == "__main__":
    sys.exit(main())
