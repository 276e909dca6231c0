#!/usr/bin/env python3
"""The masters' key-value space on real processes: commands, HTTP, times to live, and what it promises while leaders are
killed, stopped and frozen: nothing acknowledged is lost, a retried change counts once, every read is linearizable."""
import bisect
import collections
import json
import random
import signal
import subprocess
import sys
import threading
import time
import uuid

from harness import BIN, NETWORK_ERRORS, Cluster, Failure, Http, check, quantile, run

HOLDFAST = str(BIN / "holdfast")
KV = "/cluster/kv/"


def kv(cluster, *arguments, stdin=None, masters=None, flags=()):
    """(exit status, stdout, stderr) of `holdfast kv`."""
    argv = [HOLDFAST, "kv", arguments[0], "-master=" + ",".join(masters or cluster.masters), "-timeout=20s", *flags, *arguments[1:]]
    done = subprocess.run(argv, input=stdin, capture_output=True, timeout=60, cwd=cluster.folder)
    return done.returncode, done.stdout, done.stderr.decode()


class Kv:
    """A client as a sensible program is one: any master, the next one when it fails, the same request id again."""

    def __init__(self, masters, timeout=1.5):
        self.masters, self.http = list(masters), Http(timeout)
        self.at = random.randrange(len(self.masters))

    def ask(self, method, path, body=None, seconds=20.0):
        """(status, headers, body) of the first definite answer; None when there is none in time."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            try:
                answer = self.http.request(method, self.masters[self.at % len(self.masters)], KV + path, body=body)
                if answer[0] not in (500, 503):
                    return answer
            except NETWORK_ERRORS:
                pass
            self.at += 1
            time.sleep(0.003)
        return None

    def put(self, key, value, query="", seconds=20.0):
        request = f"{key}?requestId={uuid.uuid4().hex}" + (f"&{query}" if query else "")
        return self.ask("PUT", request, value, seconds)

    def read(self, key):
        """(value, revision, revision of the space); (None, 0, ...) when there is no such key."""
        answer = self.ask("GET", key)
        check(answer is not None, f"no answer to GET {key}")
        if answer[0] == 404:
            return None, 0, json.loads(answer[2])["spaceRevision"]
        check(answer[0] == 200, f"GET {key}: {answer}")
        return answer[2], int(answer[1]["x-holdfast-revision"]), int(answer[1]["x-holdfast-space-revision"])

    def get(self, key):
        return self.read(key)[:2]

    def close(self):
        self.http.close()


# --- is a history linearizable? --------------------------------------------------------------------------------------

Op = collections.namedtuple("Op", "begin end kind key value revision space compare", defaults=(None, None, None, None))
INFINITY = float("inf")


def contradiction(history):
    """Whether all that clients saw of the whole space fits into one order; a sentence when not. The order is the one that
    the masters claim themselves: a write stands at its revision, a read (and a comparison that failed) behind the space's
    revision that came with it. If it explains every answer and never runs against the clock, the history is linearizable.

    write: value, revision (None and end INFINITY: its caller never learned the outcome), compare (revision or None);
    read: value, revision (None, 0: no such key), space; failed: a comparison, with the key's revision and space."""
    writes, lost = {}, {}  # by revision; by (key, value), since no value is written twice
    for op in history:
        if op.kind != "write":
            continue
        if op.revision is None:
            lost[op.key, op.value] = op
        elif op.revision in writes:
            return f"two writes at revision {op.revision}: {op}, {writes[op.revision]}"
        else:
            writes[op.revision] = op
    for op in history:
        if op.kind == "read" and op.revision and op.revision not in writes:
            # Nobody was told of this write: it must be one of those of unknown outcome.
            if (op.key, op.value) not in lost:
                return f"{op} saw what nobody wrote"
            writes[op.revision] = lost.pop((op.key, op.value))._replace(revision=op.revision)

    of_key = collections.defaultdict(list)
    for revision in sorted(writes):
        of_key[writes[revision].key].append(revision)

    def last_before(key, space):
        """The revision of the key's last known write at or before `space`."""
        known = of_key[key]
        at = bisect.bisect_right(known, space)
        return known[at - 1] if at else 0

    points = []
    for op in history:
        if op.kind == "write":
            continue
        points.append((op.begin, op.end, (op.space, 1), op))
        # A failed comparison may have met a write that no one else saw.
        if op.revision < last_before(op.key, op.space) or op.revision > op.space:
            return f"{op}, but there was a write at {last_before(op.key, op.space)}"
        if op.kind == "read" and op.revision and writes[op.revision][2:5] != ("write", op.key, op.value):
            return f"{op} saw {writes[op.revision]}"
        if op.kind == "failed" and op.revision == op.compare:
            return f"{op} failed although the comparison held"
    for revision, op in writes.items():
        points.append((op.begin, op.end, (revision, 0), op))
        if op.compare is not None and not op.compare == last_before(op.key, revision - 1):
            return f"{op} was done, but the key was at {last_before(op.key, revision - 1)}"
    # Against the clock: something that ended before this began stands behind it.
    ends = sorted((end, order, op) for _, end, order, op in points)
    at, highest = 0, ((0, 0), None)
    for begin, _, order, op in sorted(points):
        while at < len(ends) and ends[at][0] < begin:
            highest = max(highest, (ends[at][1], ends[at][2]), key=lambda h: h[0])
            at += 1
        if order < highest[0]:
            return f"{op} began after {highest[1]} had ended, and stands before it"
    return None


def checker():
    """The checker itself: histories that are linearizable and ones that are not."""
    def op(begin, end, kind, value, revision, space=None, compare=None):
        return Op(begin, end, kind, "k", value, revision, space, compare)

    write1, write2 = op(0, 1, "write", b"1", 1), op(2, 3, "write", b"2", 2)
    lost = op(0, INFINITY, "write", b"x", None)
    good = {
        "reads of each value": [write1, op(0, 1, "read", None, 0, 0), op(0, 1, "read", b"1", 1, 1), write2,
                                op(2, 3, "read", b"1", 1, 1), op(4, 5, "read", b"2", 2, 2)],
        "an unknown write is seen late": [lost, op(2, 3, "read", None, 0, 0), op(4, 5, "read", b"x", 1, 1)],
        "an unknown write is never seen": [lost, op(2, 3, "read", None, 0, 0)],
        "a comparison": [write1, op(2, 3, "write", b"2", 2, compare=1), op(4, 5, "failed", None, 2, 2, compare=1)],
        "a comparison that met an unseen write": [lost, op(4, 5, "failed", None, 1, 1, compare=0)],
    }
    bad = {
        "a stale read": [write1, write2, op(4, 5, "read", b"1", 1, 1)],
        "a stale read that claims to be fresh": [write1, write2, op(4, 5, "read", b"1", 1, 2)],
        "a read of the future": [write1, op(2, 3, "read", b"2", 2, 2), op(4, 5, "write", b"2", 2)],
        "a value that nobody wrote": [write1, op(2, 3, "read", b"9", 2, 2)],
        "another value than was written": [write1, op(2, 3, "read", b"9", 1, 1)],
        "reads that go back": [lost, op(2, 3, "read", b"x", 1, 1), op(4, 5, "read", None, 0, 0)],
        "two winners": [op(0, 1, "write", b"1", 1, compare=0), op(0, 1, "write", b"2", 2, compare=0)],
        "one revision twice": [write1, op(0, 1, "write", b"2", 1)],
        "writes against the clock": [op(0, 1, "write", b"1", 2), op(2, 3, "write", b"2", 1)],
        "a comparison that failed for nothing": [write1, op(2, 3, "failed", None, 1, 1, compare=1)],
        "a lost write": [write1, op(2, 3, "read", None, 0, 1)],
    }
    for name, history in good.items():
        check(contradiction(history) is None, f"{name}: refused: {contradiction(history)}")
    for name, history in bad.items():
        check(contradiction(history) is not None, f"{name}: not noticed")


# --- tests -----------------------------------------------------------------------------------------------------------

def commands():
    with Cluster(masters=3, volumes=0) as cluster:
        cluster.leader()
        status, out, err = kv(cluster, "put", "a/b c", "hello")
        check((status, out) == (0, b"revision 1\n"), f"put: {status} {out} {err}")
        check(kv(cluster, "get", "a/b c")[:2] == (0, b"hello"), "get")
        check(kv(cluster, "put", "bytes", "-", stdin=b"\x00\xff\n")[0] == 0, "put from stdin")
        check(kv(cluster, "get", "bytes")[:2] == (0, b"\x00\xff\n"), "get of bytes")
        (cluster.folder / "value").write_bytes(b"v" * 65536)
        check(kv(cluster, "put", "large", flags=["-file=value"])[0] == 0, "put of a file")
        check(kv(cluster, "get", "large")[1] == b"v" * 65536, "get of a large value")
        status, _, err = kv(cluster, "put", "large", "-", stdin=b"v" * 65537)
        check(status == 2 and "at most 65536 bytes" in err, f"too large: {status} {err}")
        # Comparisons and what is not there end with 1.
        check(kv(cluster, "put", "a/b c", "x", flags=["-cas=0"])[0] == 1, "cas=0 of a key that exists")
        status, out, _ = kv(cluster, "put", "a/b c", "x", flags=["-cas=1", "-json"])
        check(status == 0 and json.loads(out)["version"] == 2, f"cas: {status} {out}")
        status, out, err = kv(cluster, "get", "none")
        check((status, out) == (1, b"") and "does not exist" in err, f"get of nothing: {status} {out} {err}")
        check(kv(cluster, "delete", "none")[0] == 1, "delete of nothing")
        check(kv(cluster, "delete", "bytes", flags=["-cas=1"])[0] == 1, "delete with a failed comparison")
        check(kv(cluster, "delete", "bytes")[0] == 0 and kv(cluster, "get", "bytes")[0] == 1, "delete")
        # The same request again counts once.
        for _ in range(2):
            check(kv(cluster, "put", "once", "1", flags=["-requestId=r1"])[1] == b"revision 6\n", "request id")
        status, out, _ = kv(cluster, "list")
        check((status, out) == (0, b"a/b c\nlarge\nonce\n"), f"list: {status} {out}")
        check(kv(cluster, "list", "a/", flags=["-long"])[1] == b"4\t-\t1\ta/b c\n", "list -long of a prefix")
        check(kv(cluster, "list", flags=["-limit=1", "-after=a/b c"])[1] == b"large\n", "list -after")
        check(kv(cluster, "renew", "once")[0] == 2, "a key without a time to live is renewed")
        check(json.loads(kv(cluster, "get", "once", flags=["-json", "-stale"])[1])["appliedIndex"] > 0, "get -stale")
        # Usage.
        for arguments, words in ((["get"], "a key is missing"), (["put", "a", "b", "-ttl=5s"], "flags stand before"),
                                 (["put", "a"], "exactly one of them"), (["nosuch"], "there is no")):
            status, _, err = kv(cluster, *arguments)
            check(status == 2 and words in err, f"{arguments}: {status} {err}")
        status, _, err = kv(cluster, "put", "a", "b", flags=["-ttl=5"])
        check(status == 2 and "500ms, 10s" in err, f"wrong ttl: {status} {err}")
        for action in ("get", "put", "delete", "renew", "list", "watch"):
            status, out, _ = kv(cluster, action, "-h")
            check(status == 0 and b"Usage: holdfast kv " + action.encode() in out, f"{action} -h: {status} {out}")
        # One master that is there is enough, and the one that is not costs little.
        cluster.master_processes[0].kill()
        status, out, err = kv(cluster, "put", "left", "2", masters=cluster.masters[:2])
        check(status == 0, f"put with one of two masters dead: {status} {out} {err}")
        cluster.master_processes[1].kill()
        begin = time.monotonic()
        argv = [HOLDFAST, "kv", "get", "-master=" + cluster.masters[2], "-timeout=2s", "left"]
        done = subprocess.run(argv, capture_output=True, timeout=30)
        check(done.returncode == 3 and b"no master answered within 2 s" in done.stderr, f"without a majority: {done}")
        check(time.monotonic() - begin < 10, "-timeout is not kept")
        check(kv(cluster, "get", "left", masters=cluster.masters[2:], flags=["-stale"])[1] == b"2", "a stale read of the last one")


def idle_reads():
    """A leader at rest gathers the answers to its beats; a read must not wait for them."""
    with Cluster(masters=3, volumes=0) as cluster:
        leader = cluster.leader()
        client = Kv(cluster.masters)
        client.put("a", b"1")
        for place in (leader, (leader + 1) % 3):
            took = []
            for _ in range(60):
                time.sleep(0.015)
                begin = time.monotonic()
                status, _, body = client.http.request("GET", cluster.masters[place], KV + "a")
                took.append(time.monotonic() - begin)
                check((status, body) == (200, b"1"), f"{status} {body}")
            middle = quantile(took, 0.5)
            check(middle < 0.015, f"a read of a resting cluster takes {middle * 1000:.1f} ms, "
                                  f"at the {'leader' if place == leader else 'follower'}")


def watches():
    """A watch that goes on through the death of the master it waits at tells every change once and in order."""
    with Cluster(masters=3, volumes=0) as cluster:
        cluster.leader()
        client = Kv(cluster.masters)
        client.put("w/0", b"before")
        argv = [HOLDFAST, "kv", "watch", "-master=" + ",".join(cluster.masters), "-prefix", "-json", "-count=40", "w/"]
        watch = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        try:
            time.sleep(1)
            expected = []
            for i in range(40):
                answer = client.put(f"w/{i}", str(i).encode())
                check(answer and answer[0] == 200, f"put {i}: {answer}")
                expected.append((f"w/{i}", json.loads(answer[2])["revision"]))
                client.put(f"other/{i}", b"")
                if i in (10, 25):
                    victim = cluster.master_processes[cluster.leader()]
                    victim.kill()
                    victim.start()
            out, err = watch.communicate(timeout=20)
        finally:
            watch.kill()
        changes = [json.loads(line) for line in out.splitlines()]
        check([(c["key"], c["revision"]) for c in changes] == expected, f"watch told {changes}\nexpected {expected}\n{err}")
        check(changes[3]["value"] == "3" and changes[3]["type"] == "put", f"{changes[3]}")
        # A revision that is long gone is refused and names the oldest that is kept.
        for i in range(4200):
            answer = client.http.request("PUT", cluster.masters[i % 3], KV + "many", body=b"x")
            if i == 0:
                check(answer[0] == 200, f"{answer}")
        status, _, body = client.http.request("GET", cluster.masters[0], KV + "?watch=1&since=1")
        check(status == 410 and json.loads(body)["oldest"] > 80, f"compacted: {status} {body[:300]}")


def times_to_live():
    """A key lasts its time, a renewed one longer, and after a failover the full time again: then it goes, everywhere."""
    with Cluster(masters=3, volumes=0) as cluster:
        cluster.leader()
        client = Kv(cluster.masters)
        begin = time.monotonic()
        check(client.put("short", b"1", "ttl=1s")[0] == 200 and client.put("kept", b"1", "ttl=1s")[0] == 200, "put")
        while time.monotonic() < begin + 2.5:
            check(client.ask("POST", "kept?renew=true")[0] == 200, "a renewed key went")
            there = client.get("short")[0] is not None
            passed = time.monotonic() - begin
            check(there or passed > 1.0, f"the key went after {passed:.2f} s")
            time.sleep(0.1)
        check(client.get("short")[0] is None, "a key of 1 s is there after 2.5 s")
        revision = client.get("kept")[1]
        check(revision == 2, f"renewals changed the key: revision {revision}")

        for how in (signal.SIGKILL, signal.SIGTERM):
            check(client.put("lock", b"1", "ttl=3s")[0] == 200, "put")
            time.sleep(2)
            victim = cluster.leader()
            at = time.monotonic()
            cluster.master_processes[victim].signal(how)
            cluster.master_processes[victim].popen.wait()
            while client.get("lock")[0] is not None:
                check(time.monotonic() < at + 6, f"the key does not go after signal {how}")
                time.sleep(0.05)
            lasted = time.monotonic() - at
            check(lasted >= 2.95, f"after a failover (signal {how}) a key of 3 s lasted only {lasted:.2f} s")
            cluster.master_processes[victim].start()
            cluster.leader()
        # It is a committed entry: a restarted master has it too, from its log.
        for address in cluster.masters:
            end = time.monotonic() + 10
            status = body = listed = None
            while True:
                try:
                    status, _, body = client.http.request("GET", address, KV + "lock?stale=1")
                    listed = client.http.request("GET", address, KV + "?watch=1&since=0&timeout=0s&limit=1000")[2]
                    if status == 404 and listed.count(b'"type":"expire"') >= 3:
                        break
                except NETWORK_ERRORS:
                    pass
                check(time.monotonic() < end, f"{address}: {status} {body} {listed}")
                time.sleep(0.1)


class Workload:
    """Writers and readers of a few keys. All they did is written down, with when it began and ended."""
    KEYS = 12

    def __init__(self, masters):
        self.masters = masters
        self.stopping = threading.Event()
        self.mutex = threading.Lock()
        self.history = []
        self.acknowledged = {}  # key of its own -> (value, revision)
        self.increments = collections.Counter()
        self.unresolved = 0
        self.failures = []
        actions = [self._count, self._count, self._count, self._write, self._write, self._read, self._read, self._own]
        self.threads = [threading.Thread(target=self._run, args=(a, n), daemon=True) for n, a in enumerate(actions)]

    def start(self):
        for thread in self.threads:
            thread.start()
        return self

    def _run(self, action, number):
        client = Kv(self.masters)
        draw = random.Random(number)
        turn = 0
        try:
            while not self.stopping.is_set():
                turn += 1
                client.at += draw.random() < 0.1
                action(client, draw, f"{number}.{turn}".encode(), turn)
                time.sleep(0.002)
        except Exception as error:
            with self.mutex:
                self.failures.append(f"{action.__name__}: {error!r}")
        client.close()

    def _note(self, *fields, **more):
        with self.mutex:
            self.history.append(Op(*fields, **more))

    def _get(self, client, key):
        begin = time.monotonic()
        value, revision, space = client.read(key)
        self._note(begin, time.monotonic(), "read", key, value, revision, space)
        return value, revision

    def _put(self, client, key, value, compare=None):
        """Sent until the outcome is known; what the answer says."""
        begin = time.monotonic()
        answer = client.put(key, value, "" if compare is None else f"cas={compare}")
        end = time.monotonic()
        check(answer is not None and answer[0] in (200, 412), f"put: {answer}")
        told = json.loads(answer[2])
        if answer[0] == 200:
            self._note(begin, end, "write", key, value, told["revision"], compare=compare)
            return told["revision"]
        self._note(begin, end, "failed", key, None, told["revision"], told["spaceRevision"], compare)
        return None

    def _count(self, client, draw, mark, turn):
        """Increments a counter by compare-and-set; the request id settles what became of each try."""
        counter = f"counter/{draw.randrange(3)}"
        value, revision = self._get(client, counter)
        before = int(value.split()[0]) if value else 0
        if self._put(client, counter, f"{before + 1} {mark.decode()}".encode(), revision) is not None:
            with self.mutex:
                self.increments[counter] += 1

    def _write(self, client, draw, mark, turn):
        """Some writes are sent once, without an id: then the outcome may stay unknown."""
        key = f"register/{draw.randrange(self.KEYS)}"
        if draw.random() < 0.3:
            self._put(client, key, mark, self._get(client, key)[1])
        elif draw.random() < 0.5:
            self._put(client, key, mark)
        else:
            begin = time.monotonic()
            try:
                status, _, body = client.http.request("PUT", client.masters[client.at % 3], KV + key, body=mark)
            except NETWORK_ERRORS:
                status = 500
            if status == 200:
                self._note(begin, time.monotonic(), "write", key, mark, json.loads(body)["revision"])
            elif status != 503:  # that is surely without effect
                self._note(begin, INFINITY, "write", key, mark)
                with self.mutex:
                    self.unresolved += 1
            if status != 200:
                client.at += 1
                time.sleep(0.02)

    def _read(self, client, draw, mark, turn):
        client.at += 1
        self._get(client, f"register/{draw.randrange(self.KEYS)}")

    def _own(self, client, draw, mark, turn):
        """Keys that nobody else writes: what was acknowledged must be there at the end."""
        key = f"own/{turn % 200}"
        revision = self._put(client, key, mark)
        with self.mutex:
            self.acknowledged[key] = (mark, revision)

    def stop(self):
        self.stopping.set()
        for thread in self.threads:
            thread.join(40)
        check(not any(thread.is_alive() for thread in self.threads), "a client hangs")


def leaders_die():
    with Cluster(masters=3, volumes=0) as cluster:
        cluster.leader()
        check(Kv(cluster.masters).put("first", b"1")[0] == 200, "the space does not open")
        load = Workload(cluster.masters).start()
        frozen = None
        for how in (signal.SIGKILL, signal.SIGSTOP, signal.SIGTERM, signal.SIGKILL, signal.SIGSTOP, signal.SIGKILL):
            time.sleep(1.5)
            place = cluster.leader()
            victim = cluster.master_processes[place]
            victim.signal(how)
            if how == signal.SIGSTOP:
                cluster.leader(among=[i for i in range(3) if i != place])
                time.sleep(1)
                victim.signal(signal.SIGCONT)
            else:
                victim.popen.wait()
                time.sleep(0.5)
                victim.start()
        time.sleep(1.5)
        load.stop()
        check(not load.failures, f"clients failed: {load.failures}")

        client = Kv(cluster.masters)
        wrong = contradiction(load.history)
        check(wrong is None, f"not linearizable: {wrong}")
        total = 0
        for counter, times in load.increments.items():
            value, _ = client.get(counter)
            check(int(value.split()[0]) == times, f"{counter} is {value}, acknowledged were {times} increments")
            total += times
        for key, expected in load.acknowledged.items():
            check(client.get(key) == expected, f"acknowledged {key} = {expected}, there is {client.get(key)}")
        # The restarted ones have all of it too.
        listed = []
        for address in cluster.masters:
            _, _, body = client.http.request("GET", address, KV + "?limit=10000")
            page = json.loads(body)
            listed.append([(k["key"], k["value"], k["revision"]) for k in page["keys"]])
        check(listed[0] == listed[1] == listed[2], "the masters differ")
        print(f"  {total} increments, {len(load.acknowledged)} keys, {len(load.history)} operations checked, "
              f"{load.unresolved} of unknown outcome", flush=True)
        check(total > 200 and len(load.history) > 1000 and len(load.acknowledged) > 50, "too little happened to prove anything")


def restart_of_all():
    """Everything, the answers of request ids too, is there after all masters were killed at once."""
    with Cluster(masters=3, volumes=0) as cluster:
        cluster.leader()
        client = Kv(cluster.masters)
        for i in range(300):
            check(client.ask("PUT", f"k{i}?requestId=id{i}", str(i).encode())[0] == 200, "put")
        for process in cluster.master_processes:
            process.kill()
        for process in cluster.master_processes:
            process.start()
        cluster.leader()
        for i in (0, 150, 299):
            check(client.get(f"k{i}") == (str(i).encode(), i + 1), f"k{i}: {client.get(f'k{i}')}")
            answer = client.ask("PUT", f"k{i}?requestId=id{i}", str(i).encode())
            check(json.loads(answer[2])["revision"] == i + 1, f"a request that was answered counted again: {answer}")


if __name__ == "__main__":
    run([checker, commands, idle_reads, watches, times_to_live, restart_of_all, leaders_die])
