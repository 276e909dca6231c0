#!/usr/bin/env python3
"""mfsmaster and mfschunkserver as real daemons: actions and their exit status, lock and pid, settings and what is wrong
with them, user, info file, and starts after a crash. Everything on free ports in a folder of the test's own.
"""
import os
import pathlib
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time

from harness import BIN, Client, Failure, Http, NETWORK_ERRORS, WEED, check, free_port, run, until

MASTER, CHUNKSERVER, METALOGGER, METARESTORE = (
    str(BIN / name) for name in ("mfsmaster", "mfschunkserver", "mfsmetalogger", "mfsmetarestore"))


class Host:
    """A master and a chunkserver of one host, each with its settings below one folder."""

    def __init__(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="holdfast-mfs-"))
        self.folder.chmod(0o755)
        self.port = {name: free_port() for name in ("masters", "ml", "http", "page", "data", "orders")}
        self.data = self.folder / "master"
        self.chunks = self.folder / "chunks"
        for folder in (self.data, self.chunks):
            folder.mkdir()
        self.metalogger_cfg = self.folder / "none.cfg"
        self.user = pwd.getpwuid(os.geteuid()).pw_name
        self.pids = set()
        self.write_settings()

    def write_settings(self, master="", chunkserver=""):
        """Settings of both; `master` and `chunkserver` are further lines."""
        self.master_cfg = self.folder / "mfsmaster.cfg"
        self.master_cfg.write_text(
            f"WORKING_USER = {self.user}\nDATA_PATH = {self.data}\nMASTER_PORT = {self.port['masters']}\n"
            f"MATOML_LISTEN_PORT = {self.port['ml']}\nMATOCL_LISTEN_PORT = {self.port['http']}\n"
            f"GUISERV_LISTEN_PORT = {self.port['page']}\nMATOCS_LISTEN_HOST = 127.0.0.1\n"
            f"NICE_LEVEL = 0\n{master}")
        self.chunkserver_cfg = self.folder / "mfschunkserver.cfg"
        hdd = self.folder / "mfshdd.cfg"
        hdd.write_text(f"# one disk\n{self.chunks} -1%\n")
        self.chunkserver_cfg.write_text(
            f"WORKING_USER = {self.user}\nDATA_PATH = {self.chunks}\nMASTER_HOST = 127.0.0.1\n"
            f"MASTER_PORT = {self.port['masters']}\nCSSERV_LISTEN_HOST = 127.0.0.1\n"
            f"CSSERV_LISTEN_PORT = {self.port['data']}\nCSSERV_ORDERS_PORT = {self.port['orders']}\n"
            f"HDD_CONF_FILENAME = {hdd}\nNICE_LEVEL = 0\n{chunkserver}")

    def cfg(self, program):
        return {MASTER: self.master_cfg, CHUNKSERVER: self.chunkserver_cfg, METALOGGER: self.metalogger_cfg}[program]

    def call(self, program, *words, seconds=20):
        """(status, stdout and stderr) of one run with this host's settings."""
        cfg = self.cfg(program)
        done = subprocess.run([program, "-c", str(cfg), *words], capture_output=True, text=True, timeout=seconds,
                              stdin=subprocess.DEVNULL, cwd="/")
        pid = self.pid(program)
        if pid:
            self.pids.add(pid)
        return done.returncode, done.stdout + done.stderr

    def must(self, status, program, *words, seconds=20):
        found, text = self.call(program, *words, seconds=seconds)
        check(found == status, f"{program} {' '.join(words)}: status {found}, not {status}: {text}")
        return text

    def pid(self, program):
        """Of the daemon, as test says; None when it does not run."""
        cfg = self.cfg(program)
        done = subprocess.run([program, "-c", str(cfg), "test"], capture_output=True, text=True, timeout=10)
        if done.returncode != 0:
            check(done.stdout.strip().endswith("is not running"), f"test says {done.stdout!r}")
            return None
        return int(done.stdout.split("pid:")[1])

    @property
    def http(self):
        return f"127.0.0.1:{self.port['http']}"

    def status(self):
        return Http(1).json(self.http, "/cluster/status")[1]

    def wait_leading(self, seconds=10):
        end = time.monotonic() + seconds
        while True:
            try:
                status = self.status()
                if status.get("IsLeader"):
                    return status
            except (*NETWORK_ERRORS, ValueError):
                pass
            check(time.monotonic() < end, "the master does not lead")
            time.sleep(0.02)

    def wait_writable(self, seconds=20):
        end = time.monotonic() + seconds
        while True:
            try:
                return Client([self.http]).upload(b"ready")
            except (Failure, *NETWORK_ERRORS) as error:
                check(time.monotonic() < end, f"no upload within {seconds} s: {error}")
                time.sleep(0.05)

    def close(self):
        for pid in self.pids:
            try:
                command = pathlib.Path(f"/proc/{pid}/cmdline").read_bytes()
                if str(self.folder).encode() in command:
                    os.kill(pid, signal.SIGKILL)
            except OSError:
                pass
        shutil.rmtree(self.folder, ignore_errors=True)


def with_host(story):
    host = Host()
    try:
        story(host)
    finally:
        host.close()


def a_plain_start_serves_on_an_empty_folder():
    def story(host):
        text = host.must(0, MASTER, "start")
        check("mfsmaster daemon initialized properly" in text, text)
        pid = host.pid(MASTER)
        check(pid is not None, "started, and test finds nothing")
        check((host.data / ".mfsmaster.lock").read_text().strip() == str(pid), "the lock file has another pid")
        check(os.getsid(pid) == pid, "the daemon has not left the session of its start")
        for number in (0, 1, 2):
            target = os.readlink(f"/proc/{pid}/fd/{number}")
            check(target == "/dev/null", f"descriptor {number} of the daemon is {target}")
        host.wait_leading()
        for port in ("http", "page"):
            code, _, body = Http(2).request("GET", f"127.0.0.1:{host.port[port]}", "/")
            check(code == 200 and b"<html" in body.lower(), f"no page on the {port} port: {code}")
        for port in ("masters", "ml"):
            socket.create_connection(("127.0.0.1", host.port[port]), 2).close()
        host.must(0, CHUNKSERVER, "start")
        host.wait_writable()
        check("mfschunkserver pid: " in host.must(0, CHUNKSERVER, "status"), "status does not say the pid")
        host.must(0, CHUNKSERVER, "stop")
        host.must(0, MASTER, "stop")
        check(host.pid(MASTER) is None and host.pid(CHUNKSERVER) is None, "stopped, and still there")
    with_host(story)


def actions_answer_with_their_status():
    def story(host):
        check("mfsmaster is not running" in host.must(1, MASTER, "test"), "test says nothing")
        host.must(0, MASTER, "stop")  # not running: said, and no error
        host.must(0, MASTER, "kill")
        for action in ("reload", "info", "try-restart"):
            host.must(1, MASTER, action)
        check("usage: mfsmaster" in host.must(1, MASTER, "begin"), "no usage after an unknown action")
        check("usage: mfsmaster" in host.must(1, MASTER, "-z"), "no usage after an unknown option")
        check("usage: mfsmaster" in host.must(0, MASTER, "-h"), "no usage")
        check("version: " in host.must(0, MASTER, "-v"), "no version")
        host.must(0, MASTER)  # no action is start
        first = host.pid(MASTER)
        text = host.must(1, MASTER, "start")
        check(f"process {first}" in text, f"a second start does not name the first: {text}")
        check(host.pid(MASTER) == first, "a second start did something to the first")
        host.must(0, MASTER, "RESTART")
        second = host.pid(MASTER)
        check(second not in (None, first), "restart left the old process")
        host.must(0, MASTER, "try-restart")
        third = host.pid(MASTER)
        check(third not in (None, second), "try-restart left the old process")
        host.must(0, MASTER, "reload")
        check(host.pid(MASTER) == third, "reload ended the daemon")
        host.must(0, MASTER, "kill")
        check(host.pid(MASTER) is None, "killed, and still there")
        host.must(0, MASTER, "restore")
        host.must(0, MASTER, "-a", "start")
        host.must(0, MASTER, "stop")
    with_host(story)


def a_daemon_that_cannot_start_says_so_and_leaves_nothing():
    def story(host):
        with socket.socket() as taken:
            taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            taken.bind(("0.0.0.0", host.port["page"]))
            taken.listen()
            text = host.must(1, MASTER, "start")
            check(str(host.port["page"]) in text and "address already in use" in text, text)
        check(host.pid(MASTER) is None, "it runs all the same")
        host.must(0, MASTER, "start")
        host.must(0, MASTER, "stop")
        host.write_settings(master=f"MATOCL_LISTEN_PORT = {host.port['masters']}\n")
        text = host.must(1, MASTER, "start")
        check("MASTER_PORT and MATOCL_LISTEN_PORT are both" in text, text)
        (host.folder / "mfshdd.cfg").write_text("# nothing\n")
        check("names no folder" in host.must(1, CHUNKSERVER, "start"), "a chunkserver without folders starts")
    with_host(story)


def wrong_lines_are_named_and_do_not_keep_it_from_starting():
    def story(host):
        lines = len(host.master_cfg.read_text().splitlines())
        host.write_settings(master="NO_SUCH_OPTION = 1\nDNS_REFRESH_TIME = 1d36h\nthis is nothing\nBACK_LOGS = 60\n")
        text = host.must(0, MASTER, "-u", "start")
        for offset, words in ((1, "NO_SUCH_OPTION is no option of mfsmaster"), (2, "DNS_REFRESH_TIME"),
                              (3, "bad definition")):
            place = f"{host.master_cfg}:{lines + offset}: "
            check(any(line.startswith(place) and words in line for line in text.splitlines()), f"no {place}{words}: {text}")
        check(f"BACK_LOGS (line {lines + 4})" in text and "without effect" in text, text)
        check("LOCK_MEMORY is not set: 0" in text, f"-u does not tell of defaults: {text}")
        host.must(0, MASTER, "stop")
        host.write_settings(master="DANGEROUS_MODE = 1\n")
        check("DANGEROUS_MODE" in host.must(1, MASTER, "start"), "a dangerous option is not named")
        host.must(0, MASTER, "-d", "start")
        host.must(0, MASTER, "stop")
        host.master_cfg.unlink()
        text = host.must(1, MASTER, "test")
        check("there is no" in text and "defaults are used" in text, text)
    with_host(story)


def a_killed_master_starts_again_with_all_it_knew():
    def story(host):
        host.must(0, MASTER, "start")
        host.must(0, CHUNKSERVER, "start")
        stored = [host.wait_writable()]
        for turn in range(3):
            os.kill(host.pid(MASTER), signal.SIGKILL)
            end = time.monotonic() + 5
            while host.pid(MASTER) is not None:
                check(time.monotonic() < end, "killed, and still there")
            host.must(0, MASTER, "start")  # no flag is needed
            stored.append(host.wait_writable())
        client = Client([host.http])
        for fid in stored:
            check(client.read(fid) == b"ready", f"{fid} is not what was stored")
        check(len(set(stored)) == len(stored), "a file id was given twice")
        host.must(0, CHUNKSERVER, "stop")
        host.must(0, MASTER, "stop")
    with_host(story)


def info_and_reload_reach_the_daemon():
    def story(host):
        host.must(0, MASTER, "start")
        host.wait_leading()
        path = host.data / ".mfsmaster_info.txt"

        def info():
            path.unlink(missing_ok=True)
            host.must(0, MASTER, "info")
            check(path.exists(), "info came back before the file was there")
            return path.read_text()

        text = info()
        for words in (f"pid: {host.pid(MASTER)}", f"MASTER_PORT = {host.port['masters']}  # line 3",
                      "DNS_REFRESH_TIME = 5  # default", "state: leader", f"settings: {host.master_cfg}"):
            check(words in text, f"no {words!r} in the info file:\n{text}")
        host.write_settings(master="SYSLOG_MIN_LEVEL = ERROR\n")
        host.must(0, MASTER, "reload")
        end = time.monotonic() + 5
        while "SYSLOG_MIN_LEVEL = ERROR" not in info():
            check(time.monotonic() < end, "reload changed nothing")
        # A file that must not be taken leaves everything as it is.
        host.write_settings(master="SYSLOG_MIN_LEVEL = DEBUG\nDANGEROUS_X = 1\n")
        host.must(1, MASTER, "reload")
        os.kill(host.pid(MASTER), signal.SIGHUP)
        time.sleep(0.2)
        check("SYSLOG_MIN_LEVEL = ERROR" in info(), "a refused file was taken")
        host.must(0, MASTER, "stop")
    with_host(story)


def stop_waits_no_longer_than_it_was_told():
    def story(host):
        host.must(0, MASTER, "start")
        pid = host.pid(MASTER)
        os.kill(pid, signal.SIGSTOP)
        begin = time.monotonic()
        text = host.must(1, MASTER, "-t", "1", "stop")
        check(0.9 < time.monotonic() - begin < 5 and "has not ended within 1 s" in text, text)
        check("runs already" in host.must(1, MASTER, "start"), "a stopped process does not hold its lock")
        host.must(0, MASTER, "kill")
        check(host.pid(MASTER) is None, "killed, and still there")
    with_host(story)


def in_the_foreground_it_stays_and_logs_to_stderr():
    def story(host):
        process = subprocess.Popen([MASTER, "-c", str(host.master_cfg), "-f", "start"], stderr=subprocess.PIPE, text=True,
                                   stdin=subprocess.DEVNULL)
        lines = []
        reader = threading.Thread(target=lambda: lines.extend(process.stderr), daemon=True)
        reader.start()
        try:
            end = time.monotonic() + 10
            while not any("daemon initialized properly" in line for line in list(lines)):
                check(process.poll() is None and time.monotonic() < end, f"no start: {lines}")
                time.sleep(0.02)
            check(host.pid(MASTER) == process.pid, "the process in the foreground is not the daemon")
            process.send_signal(signal.SIGTERM)
            check(process.wait(10) == 0, "SIGTERM does not end it with 0")
            reader.join(5)
            check(any("SIGTERM: stopping" in line for line in lines), f"no log on stderr: {lines}")
        finally:
            process.kill()
            process.wait()
    with_host(story)


def syslog_gets_the_lines_under_the_identity():
    """Where nobody is the log daemon, the test is it."""
    def story(host):
        path = "/dev/log"
        if os.path.exists(path):
            print("  skipped: this machine has a log daemon")
            return
        server = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            server.bind(path)
        except OSError as error:
            print(f"  skipped: {path}: {error}")
            return
        try:
            server.settimeout(5)
            host.write_settings(master="SYSLOG_IDENT = my-master\nNO_SUCH_OPTION = 1\n")
            host.must(0, MASTER, "start")
            host.must(0, MASTER, "stop")
            server.setblocking(False)
            lines = []
            while True:
                try:
                    lines.append(server.recv(8192).decode(errors="replace"))
                except BlockingIOError:
                    break
            check(any("my-master[" in line and "NO_SUCH_OPTION" in line and line.startswith("<28>") for line in lines),
                  f"no warning of the daemon's: {lines}")
            check(any("SIGTERM: stopping" in line and line.startswith("<29>") for line in lines),
                  f"information does not come as a notice: {lines}")
        finally:
            server.close()
            os.unlink(path)
    with_host(story)


def root_becomes_the_working_user():
    if os.geteuid() != 0:
        print("  skipped: needs root")
        return

    def story(host):
        host.user = "nobody"
        os.chmod(host.folder, 0o755)
        uid = pwd.getpwnam("nobody").pw_uid
        shutil.rmtree(host.data)  # made by the start, for the user
        host.write_settings(master="NICE_LEVEL = 3\nFILE_UMASK = 077\n")
        host.must(0, MASTER, "start")
        status = pathlib.Path(f"/proc/{host.pid(MASTER)}/status").read_text()
        fields = dict(line.split(":", 1) for line in status.splitlines() if ":" in line)
        check(fields["Uid"].split() == [str(uid)] * 4, f"runs as {fields['Uid']}")
        check(fields["Umask"].strip() == "0077", f"umask {fields['Umask']}")
        check(os.getpriority(os.PRIO_PROCESS, host.pid(MASTER)) == 3, "NICE_LEVEL is not taken")
        for path in [host.data, *host.data.rglob("*")]:
            check(path.lstat().st_uid == uid, f"{path} belongs to {path.lstat().st_uid}")
        host.wait_leading()
        host.must(0, MASTER, "stop")
        host.user = "no-such-user"
        host.write_settings()
        check("there is no user no-such-user" in host.must(1, MASTER, "start"), "an unknown user is not named")
    with_host(story)


def a_cluster_of_one_can_be_joined_later():
    def story(host):
        host.must(0, MASTER, "start")
        host.wait_leading()
        port = free_port()
        folder = host.folder / "second"
        folder.mkdir()
        # A master under the other names joins by the same port: 127.0.0.1:HTTP.MASTERS
        with open(host.folder / "second.log", "ab") as log:
            second = subprocess.Popen(
                [WEED, "-logtostderr=true", "master", "-ip=127.0.0.1", f"-port={port}", f"-mdir={folder}",
                 f"-peers=127.0.0.1:{host.port['http']}.{host.port['masters']}"], stdout=log, stderr=log,
                stdin=subprocess.DEVNULL)
        try:
            end = time.monotonic() + 10
            while len(host.status().get("Peers") or []) < 1:
                check(time.monotonic() < end, f"nobody joins: {host.status()}")
                time.sleep(0.05)
        finally:
            second.kill()
            second.wait()
        host.must(0, MASTER, "kill")
    with_host(story)


def three_masters_of_one_machine_form_a_cluster():
    """Hazard 10 of spec/moosefs-ha 15: on loopback addresses of their own, as newcomers try it; and although each was once
    started alone."""
    def story(host):
        addresses = ["127.0.0.1", "127.0.0.2", "127.0.0.3"]
        files = []

        def write(address, more):
            folder = host.folder / address
            folder.mkdir(exist_ok=True)
            path = host.folder / f"{address}.cfg"
            listen = "".join(f"{name}_LISTEN_HOST = {address}\n" for name in ("MATOCS", "MATOML", "MATOCL", "GUISERV"))
            path.write_text(f"WORKING_USER = {host.user}\nNICE_LEVEL = 0\nDATA_PATH = {folder}\n"
                            f"MASTER_PORT = {host.port['masters']}\nMATOML_LISTEN_PORT = {host.port['ml']}\n"
                            f"MATOCL_LISTEN_PORT = {host.port['http']}\nGUISERV_LISTEN_PORT = {host.port['page']}\n"
                            f"{listen}{more}")
            return path

        def act(path, *words, code=0):
            done = subprocess.run([MASTER, "-c", str(path), *words], capture_output=True, text=True, timeout=20)
            check(done.returncode == code, f"{path.name} {' '.join(words)}: {done.returncode}: {done.stderr}")

        def status(address):
            try:
                return Http(0.5).json(f"{address}:{host.port['http']}", "/cluster/status")[1] or {}
            except (*NETWORK_ERRORS, ValueError):
                return {}

        def wait(wanted, what):
            end = time.monotonic() + 15
            while not all(wanted(status(address)) for address in addresses):
                check(time.monotonic() < end, f"{what}: {[status(address) for address in addresses]}")
                time.sleep(0.05)

        try:
            files = [write(address, "") for address in addresses]
            for path in files:
                act(path, "start")
            wait(lambda s: s.get("IsLeader"), "each alone leads")
            act(files[0], "stop")
            act(files[0], "-e", "start", code=1)  # alone it would begin an empty cluster
            act(files[0], "start")
            wait(lambda s: s.get("IsLeader"), "each alone leads")
            for address in addresses:
                write(address, f"HA_ENABLED = 1\nMASTER_HOST = {', '.join(addresses)}\n")
            for path in files:
                act(path, "restart")
                time.sleep(0.7)
            wait(lambda s: len(s.get("Peers") or []) == 2 and s.get("Leader"), "no cluster of three")
            check(len({status(address)["Leader"] for address in addresses}) == 1, "two leaders")
            # Empty, it takes the place of the one that it was.
            act(files[0], "stop")
            act(files[0], "-e", "start")
            check((host.folder / addresses[0] / f"m{host.port['http']}.before-1" / "identity.json").exists(),
                  "-e keeps nothing of before")
            wait(lambda s: len(s.get("Peers") or []) == 2 and s.get("Leader"), "an empty master does not come back")
        finally:
            for path in files:
                subprocess.run([MASTER, "-c", str(path), "kill"], capture_output=True, timeout=20)
    with_host(story)


def a_folder_of_someone_else_is_named():
    if os.geteuid() != 0:
        print("  skipped: needs root")
        return

    def story(host):
        host.user = "nobody"
        host.write_settings()
        os.chmod(host.data, 0o700)  # root's
        text = host.must(1, MASTER, "start")
        check(f"{host.data} cannot be written by nobody" in text and "chown -R nobody" in text, text)
    with_host(story)


def a_metalogger_follows_and_its_files_start_another_master():
    def story(host):
        host.must(0, MASTER, "start")
        host.wait_leading()
        copies = host.folder / "copies"
        host.metalogger_cfg = host.folder / "mfsmetalogger.cfg"
        host.metalogger_cfg.write_text(f"DATA_PATH = {copies}\nWORKING_USER = {host.user}\nMASTER_HOST = 127.0.0.1\n"
                                       f"MASTER_PORT = {host.port['ml']}\nNICE_LEVEL = 0\nBACK_LOGS = 10\n")
        check("is not running" in host.must(1, METALOGGER, "test"), "test finds one")
        text = host.must(0, METALOGGER, "start")
        check("META_DOWNLOAD_FREQ is more than half of BACK_LOGS: 5 hours" in text, text)
        check("runs already" in host.must(1, METALOGGER, "start"), "two of them")

        def put(key):
            status, _, body = Http(2).request("PUT", host.http, f"/cluster/kv/{key}", body=b"v")
            if status != 200:
                raise Failure(f"{status} {body}")
            return True
        until("a put", lambda: put("a"))
        until("an image", lambda: (copies / "metadata_ml.mfs.back").exists())
        put("b")
        until("a change", lambda: b"COMMAND" in (copies / "changelog_ml.0.mfs").read_bytes())
        host.must(0, METALOGGER, "info")
        info = (copies / ".mfsmetalogger_info.txt").read_text()
        check(f"follows: 127.0.0.1:9421.{host.port['ml']}" in info and "behind: 0" in info, info)
        # The master's own copy is there as well.
        until("the master's image", lambda: (host.data / "metadata.mfs.back").exists())
        # metarestore keeps out of a folder that a master serves from.
        done = subprocess.run([METARESTORE, "-a", "-d", str(host.data)], capture_output=True, text=True, timeout=20)
        check(done.returncode == 1 and "mfsmaster runs in" in done.stderr, f"{done}")

        # All is lost; a folder with the metalogger's files becomes a master's.
        host.must(0, MASTER, "kill")
        host.must(0, METALOGGER, "stop")
        shutil.rmtree(host.data)
        shutil.copytree(copies, host.data, ignore=shutil.ignore_patterns(".*"))
        done = subprocess.run([METARESTORE, "-a", "-d", str(host.data)], capture_output=True, text=True, timeout=20)
        check(done.returncode == 0, f"{done}")
        host.must(0, MASTER, "start")
        host.wait_leading()
        for key in ("a", "b"):
            until(f"key {key}", lambda key=key: Http(2).request("GET", host.http, f"/cluster/kv/{key}")[2] == b"v")
        check(not (host.data / "metadata.mfs").exists() and (host.data / "metadata.mfs.back").exists(), "the image's name")
        host.must(0, METALOGGER, "start")
        until("the metalogger goes over to the new cluster", lambda: any(copies.glob("before-*")))
    with_host(story)


def samples_start_a_daemon_without_a_warning():
    def story(host):
        for name in ("mfsmaster", "mfschunkserver", "mfsmetalogger", "mfshdd"):
            done = subprocess.run([WEED, "scaffold", f"-config={name}"], capture_output=True, text=True, timeout=10)
            check(done.returncode == 0 and done.stdout.startswith("#"), f"no sample of {name}: {done.stderr}")
        done = subprocess.run([WEED, "scaffold", "-config=mfsmaster", f"-output={host.folder}/x"], capture_output=True)
        check(done.returncode != 0, "a folder that is not there is no error")
        out = host.folder / "samples"
        out.mkdir()
        for turn, status in ((1, 0), (2, 2)):  # a file that is there is left alone
            done = subprocess.run([WEED, "scaffold", "-config=mfsmaster", f"-output={out}"], capture_output=True)
            check(done.returncode == status, f"turn {turn}: {done}")
        sample = (out / "mfsmaster.cfg").read_text()
        own = host.master_cfg.read_text()
        host.master_cfg.write_text(sample + own)
        text = host.must(0, MASTER, "start")
        check(text.strip() == "mfsmaster daemon initialized properly", f"a sample with a few lines more is told of: {text}")
        host.must(0, MASTER, "stop")
    with_host(story)


if __name__ == "__main__":
    run([a_plain_start_serves_on_an_empty_folder, actions_answer_with_their_status,
         a_daemon_that_cannot_start_says_so_and_leaves_nothing, wrong_lines_are_named_and_do_not_keep_it_from_starting,
         a_killed_master_starts_again_with_all_it_knew, info_and_reload_reach_the_daemon,
         stop_waits_no_longer_than_it_was_told, in_the_foreground_it_stays_and_logs_to_stderr,
         syslog_gets_the_lines_under_the_identity, root_becomes_the_working_user, a_cluster_of_one_can_be_joined_later,
         three_masters_of_one_machine_form_a_cluster, a_folder_of_someone_else_is_named,
         a_metalogger_follows_and_its_files_start_another_master, samples_start_a_daemon_without_a_warning])
