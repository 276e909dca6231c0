#!/usr/bin/env python3
"""(i) Acknowledged changes lost by a restore from a metalogger's files, when the masters are lost for good: when it was caught up,
when it was killed together with them under load, and when it had stood still for a second before. One master, four clients that
put keys without pause; the restored master is started, and every acknowledged key looked up.

    restore.py [-n 5] [--json FILE]
"""
import argparse
import json
import pathlib
import shutil
import signal
import statistics
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "test/cluster"))
from backups_test import Metalogger, restore, start_restored, until, wait_caught_up
from harness import Cluster, Http, NETWORK_ERRORS, check

KV = "/cluster/kv/"
CASES = ("caught up", "killed under load", "one second behind")
KEYS_EACH = 14_000


class Writers:
    def __init__(self, master):
        self.master = master
        self.acknowledged = set()
        self.over = threading.Event()
        self.threads = [threading.Thread(target=self.run, args=(i,), daemon=True) for i in range(4)]
        for thread in self.threads:
            thread.start()

    def run(self, number):
        http = Http(2.0)
        for n in range(KEYS_EACH):
            if self.over.is_set():
                break
            key = f"load/{number}/{n:05}"
            try:
                if http.request("PUT", self.master, KV + key, body=b"value")[0] == 200:
                    self.acknowledged.add(key)
            except NETWORK_ERRORS:
                time.sleep(0.01)
        http.close()

    def stop(self):
        self.over.set()
        for thread in self.threads:
            thread.join(10)


def all_keys(master):
    http, found, after = Http(10), set(), ""
    while True:
        status, page = http.json(master, f"{KV}?prefix=load/&limit=10000&keysOnly=true&after={after}")
        check(status == 200, f"the list of keys: {status} {page}")
        found.update(one["key"] if isinstance(one, dict) else one for one in page["keys"])
        if not page["more"]:
            http.close()
            return found
        after = page["after"]


def one(case):
    """(acknowledged, lost, changes a second)"""
    with Cluster(masters=1, volumes=0) as cluster:
        master = cluster.masters[0]
        cluster.leader()
        until("the key-value space", lambda: check(Http(1).request("PUT", master, KV + "ready", body=b"1")[0] == 200, "no"))
        logger = Metalogger(cluster).start()
        wait_caught_up(cluster, logger)
        begin = time.monotonic()
        writers = Writers(master)
        time.sleep(2)
        if case == "one second behind":
            logger.signal(signal.SIGSTOP)
            time.sleep(1)
        if case == "caught up":
            writers.stop()
            wait_caught_up(cluster, logger)
        rate = len(writers.acknowledged) / (time.monotonic() - begin)
        logger.popen.kill()
        cluster.master_processes[0].kill()
        writers.stop()
        logger.kill()
        restore("-a", "-d", logger.dir)
        image = cluster.folder / "restored.mfs"
        shutil.move(logger.dir / "metadata.mfs", image)
        start_restored(cluster, 0, image)
        cluster.leader()
        until("it answers", lambda: check(Http(1).request("GET", master, KV + "ready")[0] == 200, "no"))
        return len(writers.acknowledged), len(writers.acknowledged - all_keys(master)), rate


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("-n", type=int, default=5)
    parser.add_argument("--json", help="write the figures to this file")
    options = parser.parse_args()
    figures = {}
    for case in CASES:
        runs = [one(case) for _ in range(options.n)]
        lost = [lost for _, lost, _ in runs]
        figures[f"restore.{case}"] = {"acknowledged": [a for a, _, _ in runs], "lost": lost}
        print(f"restore, metalogger {case:18} lost: median {statistics.median(lost):6.0f}, most {max(lost):6} of about "
              f"{statistics.median([a for a, _, _ in runs]):.0f}, at {statistics.median([r for _, _, r in runs]):.0f} changes a second",
              flush=True)
        check(case != "caught up" or max(lost) == 0, "a metalogger that was caught up has cost acknowledged changes")
    if options.json:
        pathlib.Path(options.json).write_text(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
