"""Real Holdfast processes for tests: start, kill, freeze and question them.

Everything runs on loopback (or in network namespaces a test makes), on free ports, in a temporary folder that is
removed at the end. Only processes started here are signalled, by pid. Two runs at once do not meet: ports are held
by lock files.
"""
import fcntl
import hashlib
import http.client
import json
import os
import pathlib
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
BIN = pathlib.Path(os.environ.get("HOLDFAST_BIN", ROOT / "build/release/bin"))
WEED = str(BIN / "weed")
NETWORK_ERRORS = (OSError, http.client.HTTPException)


class Failure(Exception):
    """A test's own verdict: what was expected and what was seen."""


def check(condition, text):
    if not condition:
        raise Failure(text)


def until(what, condition, seconds=20):
    """Waits until the condition holds, and gives what it gave; while it raises it does not hold."""
    end = time.monotonic() + seconds
    while True:
        try:
            last = condition()
            if last:
                return last
        except (Failure, *NETWORK_ERRORS, ValueError, KeyError) as error:
            last = error
        check(time.monotonic() < end, f"not within {seconds} s: {what} ({last!r})")
        time.sleep(0.02)


# --- ports -----------------------------------------------------------------------------------------------------------

_held = []


def _is_free(port, host):
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        with socket.socket(family, kind) as s:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                s.bind((host, port))
            except OSError:
                return False
    return True


def free_port(host="127.0.0.1"):
    """A port whose gRPC twin (+10000) is free too; held for this process by a lock file."""
    folder = pathlib.Path(tempfile.gettempdir()) / "holdfast-test-ports"
    folder.mkdir(exist_ok=True)
    for _ in range(2000):
        port = random.randrange(11000, 21900)
        lock = open(folder / str(port), "w")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            lock.close()
            continue
        if _is_free(port, host) and _is_free(port + 10000, host):
            _held.append(lock)
            return port
        lock.close()
    raise Failure("no free port found")


# --- one process -----------------------------------------------------------------------------------------------------

class Process:
    """One started program with its log; `name` is for messages, `prefix` e.g. ip netns exec NAME."""

    def __init__(self, name, argv, folder, env=None, prefix=()):
        self.name, self.argv, self.folder = name, list(argv), pathlib.Path(folder)
        self.env, self.prefix = env, list(prefix)
        self.popen = None
        self.log_path = self.folder / f"{name}.log"

    def start(self):
        check(self.popen is None or self.popen.poll() is not None, f"{self.name} runs already")
        with open(self.log_path, "ab") as log:
            self.popen = subprocess.Popen(self.prefix + self.argv, cwd=self.folder, stdout=log, stderr=log,
                                          stdin=subprocess.DEVNULL, env={**os.environ, **(self.env or {})})
        return self

    @property
    def pid(self):
        return self.popen.pid

    def alive(self):
        return self.popen is not None and self.popen.poll() is None

    def signal(self, number):
        if self.alive():
            self.popen.send_signal(number)

    def kill(self):
        if self.alive():
            self.popen.kill()
        if self.popen is not None:
            self.popen.wait()

    def stop(self, seconds=20):
        """SIGTERM, then the exit code."""
        self.signal(signal.SIGCONT)
        self.signal(signal.SIGTERM)
        try:
            return self.popen.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            raise Failure(f"{self.name} did not stop within {seconds} s of SIGTERM")

    def log(self):
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    def rss_mb(self):
        for line in open(f"/proc/{self.pid}/status"):
            if line.startswith("VmRSS"):
                return int(line.split()[1]) / 1024
        return 0.0

    def cpu_seconds(self):
        return time.clock_gettime(~self.pid << 3 | 2)  # the process's CPU clock, in nanoseconds; /proc counts in 10 ms


class PeakMemory:
    """The highest resident memory of each of these processes while the block runs, in MB."""

    def __init__(self, processes):
        self.processes, self.stopping = list(processes), threading.Event()
        self.thread = threading.Thread(target=self._watch, daemon=True)

    def _watch(self):
        while not self.stopping.wait(0.005):
            for i, process in enumerate(self.processes):
                if process.alive():
                    self.peak[i] = max(self.peak[i], process.rss_mb())

    def grown(self):
        """The most that one of them took more than before."""
        return max(peak - before for peak, before in zip(self.peak, self.before))

    def __enter__(self):
        self.before = [process.rss_mb() for process in self.processes]
        self.peak = list(self.before)
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stopping.set()
        self.thread.join()


# --- HTTP ------------------------------------------------------------------------------------------------------------

def split_address(address):
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)


class Http:
    """Keep-alive connections of one thread, one per address."""
    tls = None  # an ssl.SSLContext: all requests of this program are HTTPS

    def __init__(self, timeout=5.0):
        self.timeout = timeout
        self.connections = {}

    def request(self, method, address, path, body=None, headers=None, timeout=None):
        """(status, headers, body). A connection that was closed while idle is dialled once more."""
        for attempt in (0, 1):
            connection = self.connections.get(address)
            fresh = connection is None
            if fresh:
                host, port = split_address(address)
                if Http.tls is None:
                    connection = http.client.HTTPConnection(host, port, timeout=timeout or self.timeout)
                else:
                    connection = http.client.HTTPSConnection(host, port, timeout=timeout or self.timeout, context=Http.tls)
                self.connections[address] = connection
            elif connection.sock:
                connection.sock.settimeout(timeout or self.timeout)
            try:
                connection.request(method, path, body=body, headers=headers or {})
                response = connection.getresponse()
                data = response.read()
                if response.will_close:
                    self.connections.pop(address, None)
                    connection.close()
                return response.status, dict((k.lower(), v) for k, v in response.getheaders()), data
            except (http.client.RemoteDisconnected, ConnectionResetError, BrokenPipeError):
                self.connections.pop(address, None)
                connection.close()
                if fresh or attempt or method == "POST":
                    raise
            except Exception:
                self.connections.pop(address, None)
                connection.close()
                raise

    def json(self, address, path, timeout=None):
        status, _, data = self.request("GET", address, path, timeout=timeout)
        return status, (json.loads(data) if data else None)

    def close(self):
        for connection in self.connections.values():
            connection.close()
        self.connections.clear()


def payload(seed, size):
    """`size` bytes that follow from `seed`; not compressible."""
    return random.Random(seed).randbytes(size)


def digest(data):
    return hashlib.sha256(data).hexdigest()


# --- a cluster -------------------------------------------------------------------------------------------------------

class Cluster:
    """`masters` masters and `volumes` volume servers. layout: "separate" (six commands) or "server" (pairs in one
    process). Flags are appended to every command of that role."""

    def __init__(self, masters=3, volumes=3, layout="separate", host="localhost", master_flags=(), volume_flags=(),
                 server_flags=(), folder=None, weed=None, env=None, sizes="128"):
        self.folder = pathlib.Path(folder or tempfile.mkdtemp(prefix="holdfast-test-"))
        self.own_folder = folder is None
        self.host, self.layout = host, layout
        weed = weed or WEED
        bind = "::1" if ":" in host else "127.0.0.1"
        self.master_ports = [free_port(bind) for _ in range(masters)]
        self.volume_ports = [free_port(bind) for _ in range(volumes)]
        text = f"[{host}]" if ":" in host else host
        self.masters = [f"{text}:{p}" for p in self.master_ports]
        self.volumes = [f"{text}:{p}" for p in self.volume_ports]
        peers = ",".join(self.masters)
        env = {"TMPDIR": str(self.folder), **(env or {})}
        self.master_processes, self.volume_processes = [], []
        self.others = []  # processes of the test that end with the cluster
        start = [weed, "-logtostderr=true"]
        if layout == "server":
            check(masters == volumes, "layout server needs as many masters as volume servers")
            for i in range(masters):
                argv = start + ["server", f"-ip={host}", f"-master.port={self.master_ports[i]}", f"-dir=./{i + 1}",
                                f"-volume.port={self.volume_ports[i]}", f"-master.peers={peers}",
                                "-volume.preStopSeconds=0", f"-master.volumeSizeLimitMB={sizes}", *server_flags]
                process = Process(f"server{i + 1}", argv, self.folder, env)
                self.master_processes.append(process)
                self.volume_processes.append(process)
            return
        for i in range(masters):
            (self.folder / f"m{i + 1}").mkdir(parents=True, exist_ok=True)
            argv = start + ["master", f"-ip={host}", f"-port={self.master_ports[i]}", f"-mdir=./m{i + 1}",
                            f"-peers={peers}", f"-volumeSizeLimitMB={sizes}", *master_flags]
            self.master_processes.append(Process(f"master{i + 1}", argv, self.folder, env))
        for i in range(volumes):
            (self.folder / f"v{i + 1}").mkdir(parents=True, exist_ok=True)
            argv = start + ["volume", f"-ip={host}", f"-dir=./v{i + 1}", f"-port={self.volume_ports[i]}",
                            f"-mserver={peers}", "-preStopSeconds=0", *volume_flags]
            self.volume_processes.append(Process(f"volume{i + 1}", argv, self.folder, env))

    def processes(self):
        return list(dict.fromkeys(self.master_processes + self.volume_processes))

    def start(self):
        for process in self.processes():
            process.start()
        return self

    def leader(self, seconds=10.0, among=None):
        """Index of the master that says it leads and that a majority of the answering ones names."""
        client = Http(timeout=0.5)
        end = time.monotonic() + seconds
        seen = {}
        while time.monotonic() < end:
            seen = {}
            for i, address in enumerate(self.masters):
                if (among is not None and i not in among) or not self.master_processes[i].alive():
                    continue
                try:
                    _, seen[i] = client.json(address, "/cluster/status")
                except (*NETWORK_ERRORS, ValueError):
                    continue
            leaders = [i for i, s in seen.items() if s.get("IsLeader")]
            if len(leaders) == 1:
                port = f":{self.master_ports[leaders[0]]}."  # without -ip a master may go by another host name
                named = sum(1 for s in seen.values() if port in s.get("Leader", ""))
                if named * 2 > len(seen):
                    client.close()
                    return leaders[0]
            time.sleep(0.01)
        raise Failure(f"no single leader within {seconds} s: {seen}")

    def wait_writable(self, seconds=20.0):
        """Until an upload through some master succeeds; returns seconds waited."""
        client = Client(self.masters)
        begin = time.monotonic()
        while True:
            try:
                client.upload(b"ready")
                return time.monotonic() - begin
            except (Failure, *NETWORK_ERRORS) as error:
                if time.monotonic() - begin > seconds:
                    raise Failure(f"no upload within {seconds} s: {error}")
                time.sleep(0.01)

    def logs(self, last=4000):
        return "\n".join(f"==== {p.name}\n{p.log()[-last:]}" for p in self.processes())

    def stop(self):
        processes = self.others + self.processes()
        for process in processes:
            process.signal(signal.SIGCONT)
            process.signal(signal.SIGTERM)
        end = time.monotonic() + 10
        for process in processes:
            if process.popen is None:
                continue
            try:
                process.popen.wait(max(0.1, end - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
        if self.own_folder:
            shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self):
        return self.start()

    def __exit__(self, kind, value, trace):
        if kind is not None:
            print(self.logs(), file=sys.stderr)
        self.stop()


class Client:
    """Uploads and reads as a sensible client does: any master, the next one when it fails."""

    def __init__(self, masters, timeout=3.0):
        self.masters = list(masters)
        self.http = Http(timeout)
        self.at = random.randrange(len(self.masters))

    def _any_master(self, path, timeout=None):
        last = None
        for _ in range(len(self.masters)):
            address = self.masters[self.at % len(self.masters)]
            try:
                status, _, data = self.http.request("GET", address, path, timeout=timeout)
                if status == 200:
                    return json.loads(data)
                last = Failure(f"{address}{path}: {status} {data[:300]!r}")
                if status < 500:
                    raise last
            except NETWORK_ERRORS as error:
                last = Failure(f"{address}{path}: {error!r}")
            self.at += 1
        raise last

    def assign(self, query="", timeout=None):
        return self._any_master("/dir/assign" + (f"?{query}" if query else ""), timeout)

    def lookup(self, volume_id):
        return self._any_master(f"/dir/lookup?volumeId={volume_id}")

    def put(self, assigned, data, query=""):
        status, _, body = self.http.request(
            "PUT", assigned["url"], "/" + assigned["fid"] + (f"?{query}" if query else ""), body=data,
            headers={"Content-Type": "application/octet-stream"})
        if status not in (201, 204):
            raise Failure(f"PUT {assigned}: {status} {body[:300]!r}")

    def upload(self, data, query="", timeout=None):
        assigned = self.assign(query, timeout)
        self.put(assigned, data)
        return assigned["fid"]

    def read(self, fid):
        found = self.lookup(fid.split(",")[0])
        last = None
        for location in found.get("locations", []):
            try:
                status, _, data = self.http.request("GET", location["url"], "/" + fid)
                if status == 200:
                    return data
                last = Failure(f"GET {location['url']}/{fid}: {status}")
            except NETWORK_ERRORS as error:
                last = Failure(f"GET {location['url']}/{fid}: {error!r}")
        raise last or Failure(f"{fid}: no locations")

    def close(self):
        self.http.close()


class Load:
    """Writers and readers that go on through any surviving master; remembers every key handed out and every file that
    was acknowledged. `verify()` reads all back and compares byte for byte."""

    def __init__(self, masters, writers=3, readers=1, sizes=(1, 4000), query="", pace=0.0):
        """pace: seconds a writer rests after each file, where fewer files do."""
        self.masters, self.sizes, self.query, self.pace = masters, sizes, query, pace
        self.stopping = threading.Event()
        self.mutex = threading.Lock()
        self.assigned = {}  # key in hex -> how often it was handed out
        self.acknowledged = {}  # fid -> (seed, size)
        self.failures = 0
        self.wrong = []
        self.reads = 0
        self.threads = [threading.Thread(target=self._write, daemon=True) for _ in range(writers)]
        self.threads += [threading.Thread(target=self._read, daemon=True) for _ in range(readers)]

    def start(self):
        for thread in self.threads:
            thread.start()
        return self

    def _write(self):
        client = Client(self.masters)
        draw = random.Random()
        turn = 0
        while not self.stopping.wait(self.pace):
            turn += 1
            seed, size = draw.getrandbits(62), draw.randint(*self.sizes)
            try:
                assigned = client.assign(self.query)
                key = assigned["fid"].split(",")[1][:-8]
                with self.mutex:
                    self.assigned[key] = self.assigned.get(key, 0) + 1
                if turn % 5 == 0:
                    continue  # an id that is never written must stay unique too
                client.put(assigned, payload(seed, size))
                with self.mutex:
                    self.acknowledged[assigned["fid"]] = (seed, size)
            except (Failure, *NETWORK_ERRORS):
                with self.mutex:
                    self.failures += 1
                time.sleep(0.002)
        client.close()

    def _read(self):
        client = Client(self.masters)
        draw = random.Random()
        while not self.stopping.is_set():
            with self.mutex:
                count = len(self.acknowledged)
                fid = None
                if count:
                    skip = draw.randrange(min(count, 500))
                    fid = next(f for i, f in enumerate(reversed(self.acknowledged)) if i == skip)
                expected = self.acknowledged.get(fid)
            if fid is None:
                time.sleep(0.01)
                continue
            try:
                data = client.read(fid)
                self.reads += 1
                if data != payload(*expected):
                    self.wrong.append(fid)
            except (Failure, *NETWORK_ERRORS):
                pass
            time.sleep(0.005)
        client.close()

    def stop(self):
        self.stopping.set()
        for thread in self.threads:
            thread.join(30)

    def verify(self):
        """Raises unless every acknowledged file reads back right and every key was handed out once."""
        doubled = [key for key, times in self.assigned.items() if times > 1]
        check(not doubled, f"{len(doubled)} file keys were handed out twice, e.g. {doubled[:5]}")
        check(not self.wrong, f"{len(self.wrong)} files read back wrong while running, e.g. {self.wrong[:5]}")
        client = Client(self.masters)
        for fid, expected in self.acknowledged.items():
            try:
                data = client.read(fid)
            except (Failure, *NETWORK_ERRORS) as error:
                raise Failure(f"acknowledged file {fid} cannot be read: {error!r}")
            check(data == payload(*expected), f"acknowledged file {fid} reads back other bytes")
        client.close()
        check(len(self.acknowledged) > 0, "nothing was written: the test proved nothing")


class Prober:
    """Measures how long uploads are away. One thread for each given master goes on uploading through it, each try a
    new request; `gap(since)` is the time from `since` to the end of the first upload that began after it."""

    def __init__(self, masters, one_try, pace=None):
        """one_try(http, master): does one upload through `master`, raises when it fails.

        pace: a try begins every so many seconds whatever became of those before it, each on connections of its own. For
        machines that vanish: a try that was under way with one of them waits for its time-out, which is no measure of
        when uploads are back."""
        self.pace = pace
        self.stopping = threading.Event()
        self.done = []  # (begin, end) of successes
        self.failed = []  # begins of tries, with a pace
        self.condition = threading.Condition()
        self.threads = [threading.Thread(target=self._probe, args=(m, one_try), daemon=True) for m in masters]
        for thread in self.threads:
            thread.start()

    def _try(self, master, one_try):
        client = Http(timeout=1.0)
        begin = time.monotonic()
        try:
            one_try(client, master)
        except (Failure, *NETWORK_ERRORS, ValueError, KeyError):
            with self.condition:
                self.failed.append(begin)
            return
        finally:
            client.close()
        with self.condition:
            self.done.append((begin, time.monotonic()))
            self.condition.notify_all()

    def _probe(self, master, one_try):
        while self.pace is not None and not self.stopping.is_set():
            threading.Thread(target=self._try, args=(master, one_try), daemon=True).start()
            self.stopping.wait(self.pace)
        client = Http(timeout=1.0)
        while not self.stopping.is_set():
            begin = time.monotonic()
            try:
                one_try(client, master)
            except (Failure, *NETWORK_ERRORS, ValueError, KeyError):
                time.sleep(0.0005)
                continue
            with self.condition:
                self.done.append((begin, time.monotonic()))
                self.condition.notify_all()
            time.sleep(0.0005)
        client.close()

    def gap(self, since, seconds=30.0):
        deadline = time.monotonic() + seconds
        with self.condition:
            while True:
                ends = [end for begin, end in self.done if begin >= since]
                if ends:
                    return min(ends) - since
                if not self.condition.wait(max(0.0, deadline - time.monotonic())):
                    raise Failure(f"no upload within {seconds} s")

    def stop(self):
        self.stopping.set()
        for thread in self.threads:
            thread.join(5)


def upload_once(client, master, data=b"x" * 1024):
    """assign through `master`, then PUT of 1 KB: the one try of a Prober."""
    status, _, body = client.request("GET", master, "/dir/assign")
    if status != 200:
        raise Failure(f"assign: {status}")
    assigned = json.loads(body)
    status, _, _ = client.request("PUT", assigned["url"], "/" + assigned["fid"], body=data,
                                  headers={"Content-Type": "application/octet-stream"})
    if status not in (201, 204):
        raise Failure(f"put: {status}")


def quantile(values, q):
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(q * len(ordered)))]


def run(tests):
    """Runs functions named on the command line (all by default); prints one line each; exit code 1 on a failure."""
    wanted = sys.argv[1:]
    passed = failed = 0
    for test in tests:
        if wanted and test.__name__ not in wanted:
            continue
        begin = time.monotonic()
        try:
            test()
            passed += 1
            print(f"ok {test.__name__} ({time.monotonic() - begin:.1f} s)", flush=True)
        except Exception as error:  # a failing test must not hide the next
            failed += 1
            print(f"FAILED {test.__name__}: {error!r}", flush=True)
    print(f"{passed} passed, {failed} failed", flush=True)
    sys.exit(1 if failed or not passed else 0)
