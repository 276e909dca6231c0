#!/usr/bin/env python3
"""The command line as a user meets it (spec/weed-cluster 1): texts, which stream they go to, exit codes, environment,
-options files, fatal messages, signals, and what upload, download, benchmark and version print.

    cli_test.py [part of a test's name]
"""
import json
import os
import pathlib
import pty
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

from harness import BIN, WEED, Cluster, Failure, check, free_port

FOLDER = None  # made by main(); each test may leave files in it


def weed(*arguments, env=None, cwd=None, timeout=60, program=WEED):
    """(exit status, stdout, stderr) of one call."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith("WEED_")}
    clean.update({"TMPDIR": str(FOLDER), "HOME": str(FOLDER)})
    clean.update(env or {})
    done = subprocess.run([program, *arguments], cwd=cwd or FOLDER, env=clean, timeout=timeout, text=True,
                          stdin=subprocess.DEVNULL, capture_output=True)
    return done.returncode, done.stdout, done.stderr


def expect(got, want, what):
    check(got == want, f"{what}: expected {want!r}, got {got!r}")


def expect_part(text, part, what="output"):
    check(part in text, f"{what} lacks {part!r}: {text[:2000]!r}")


# --- shape -----------------------------------------------------------------------------------------------------------

def test_no_command_prints_the_list_and_global_flags_on_stderr():
    for line in ([], ["-h"], ["--help"]):
        status, out, err = weed(*line)
        expect(status, 2, f"exit of {line}")
        expect(out, "", "stdout")
        for part in ("The commands are:", "  master ", "  volume ", "  -v value", "  -logdir string", "  -options file"):
            expect_part(err, part)
    status, out, err = weed("-nosuch=1", "version")
    expect(status, 2, "exit")
    expect(err.splitlines()[0], "flag provided but not defined: -nosuch", "first line")


def test_servers_may_have_as_many_open_files_as_the_system_allows():
    folder = pathlib.Path(tempfile.mkdtemp(dir=FOLDER))
    line = f"ulimit -S -n 256; exec {WEED} -logtostderr=true volume -ip=127.0.0.1 -port={free_port()} -dir={folder} -preStopSeconds=0"
    with subprocess.Popen(["bash", "-c", line], stderr=subprocess.DEVNULL, env={**os.environ, "TMPDIR": str(FOLDER)}) as server:
        try:
            end = time.monotonic() + 20
            while True:
                limits = re.search(r"Max open files +(\d+) +(\d+)", pathlib.Path(f"/proc/{server.pid}/limits").read_text())
                soft, hard = int(limits.group(1)), int(limits.group(2))
                if soft == hard:
                    break
                check(time.monotonic() < end, f"open files: {soft} of {hard}")
                time.sleep(0.05)
        finally:
            server.kill()


def test_help_prints_the_list_on_stdout():
    status, out, err = weed("help")
    expect((status, err), (0, ""), "exit and stderr")
    expect_part(out, "The commands are:")


def test_help_of_a_command_splits_words_and_flags():
    status, out, err = weed("help", "master")
    expect(status, 0, "exit")
    check(out.startswith("Usage: weed master -port=9333"), out)
    expect(out.split("\n")[1], "", "second line")
    check(out.split("\n")[2].startswith("  "), out)
    check(err.startswith("Default Parameters:\n  -"), err)
    expect_part(err, "  -port int\n    \tport for HTTP (default 9333)\n")


def test_help_of_the_wrong_thing():
    expect(weed("help", "nosuch"), (2, "", "Unknown help topic `nosuch`.  Run 'weed help'.\n"), "help nosuch")
    expect(weed("help", "a", "b"), (2, "", "usage: weed help command\n\nToo many arguments given.\n"), "help a b")


def test_an_unknown_command():
    expect(weed("nosuch"), (2, "", "weed: unknown subcommand \"nosuch\"\nRun 'weed help' for usage.\n"), "nosuch")


def test_every_known_command_is_either_there_or_said_to_come():
    names = """admin autocomplete autocomplete.uninstall backup benchmark compact download export filer filer.backup
        filer.cat filer.copy filer.meta.backup filer.meta.scan filer.meta.tail filer.remote.gateway filer.remote.sync
        filer.replicate filer.sync filer.sync.verify fix fuse iam master master.follower mini mount mq.agent mq.broker
        mq.kafka.gateway s3 scaffold server shell update upload version volume webdav sftp worker""".split()
    for name in names:
        status, out, err = weed(name, "-h")
        expect(status, 2, name)
        check("unknown subcommand" not in err, f"{name}: {err}")


def test_the_program_calls_itself_as_it_was_called():
    expect_part(weed("nosuch", program=str(BIN / "holdfast"))[2], "Run 'holdfast help' for usage.")


def test_dash_h_prints_usage_without_an_error_line():
    for command in ("master", "volume", "server", "upload", "download", "benchmark", "version", "master.follower"):
        status, out, err = weed(command, "-h")
        expect((status, out), (2, ""), command)
        check(err.startswith(f"Example: weed {command}"), err)
        expect_part(err, "Default Usage:\n  -")
        expect_part(err, "Description:\n  ")
        names = re.findall(r"^  -(\S+)", err, re.M)
        expect(names, sorted(names), f"{command}: order of flags")


def test_flag_errors_come_first_and_exit_2():
    for line, text in (
            (["master", "-nosuch"], "flag provided but not defined: -nosuch"),
            (["master", "-v=2"], "flag provided but not defined: -v"),
            (["master", "-port"], "flag needs an argument: -port"),
            (["master", "-port=x"], 'invalid value "x" for flag -port: strconv.ParseInt: parsing "x": invalid syntax'),
            (["master", "-volumeSizeLimitMB=-1"],
             'invalid value "-1" for flag -volumeSizeLimitMB: strconv.ParseUint: parsing "-1": invalid syntax'),
            (["master", "-garbageThreshold=x"],
             'invalid value "x" for flag -garbageThreshold: strconv.ParseFloat: parsing "x": invalid syntax'),
            (["master", "-electionTimeout=5"],
             'invalid value "5" for flag -electionTimeout: time: missing unit in duration "5"'),
            (["volume", "-hasSlowRead=x"],
             'invalid boolean value "x" for -hasSlowRead: strconv.ParseBool: parsing "x": invalid syntax'),
            (["volume", "---port=1"], "bad flag syntax: ---port=1"),
            (["-v=x", "version"], 'invalid value "x" for flag -v: strconv.Atoi: parsing "x": invalid syntax')):
        status, out, err = weed(*line)
        expect((status, out), (2, ""), str(line))
        expect(err.splitlines()[0], text, str(line))


def test_version_prints_one_line():
    status, out, err = weed("version")
    expect(status, 0, "exit")
    check(re.fullmatch(r"version 30GB \d+\.\d+\.\d+ [0-9a-f]* \w+ \w+\n", out), out)
    status, out, err = weed("version", "x")
    expect((status, out), (2, ""), "version x")
    check(err.startswith("\nExample: weed version"), err)


# --- environment and -options ----------------------------------------------------------------------------------------

def test_the_environment_sets_flags_of_commands_without_a_prefix_and_global_ones_with():
    status, _, err = weed("master", env={"PORT": "x"})
    expect(status, 2, "exit")
    expect(err.splitlines()[0],
           'invalid value "x" for environment variable port: strconv.ParseInt: parsing "x": invalid syntax', "PORT")
    status, _, err = weed("version", env={"WEED_V": "x"})
    expect(err.splitlines()[0],
           'invalid value "x" for environment variable v: strconv.Atoi: parsing "x": invalid syntax', "WEED_V")
    status, _, _ = weed("version", env={"V": "x"})
    expect(status, 0, "V is no flag of version")


def test_an_options_file_fills_what_was_not_given():
    path = FOLDER / "options"
    path.write_text("# mine\nport : 1\n")
    status, _, err = weed("master", f"-options={path}")
    expect(status, 2, "exit")
    expect(err.splitlines()[0],
           'invalid value ": 1" for configuration variable port: strconv.ParseInt: parsing ": 1": invalid syntax', "")
    # The command line wins: the bad line is not looked at. What fails then is the missing folder.
    path.write_text("port=x\nmdir=" + str(FOLDER / "missing" / "deeper") + "\n")
    status, _, err = weed("-logtostderr", "master", f"-options={path}", f"-port={free_port()}")
    expect(status, 255, "exit")
    expect_part(err, "Check Meta Folder (-mdir) Writable")
    # The environment comes before the file, and may name the file.
    status, _, err = weed("-logtostderr", "master", env={"OPTIONS": str(path), "PORT": str(free_port())})
    expect(status, 255, "exit")
    status, _, err = weed("master", "-options=" + str(FOLDER / "nosuch"))
    expect((status, err), (2, f"open {FOLDER}/nosuch: no such file or directory\n"), "missing file")
    expect(weed("-options=/no/such", "version")[::2], (2, "open /no/such: no such file or directory\n"), "global")


# --- what is wrong at start ------------------------------------------------------------------------------------------

def fatal(*arguments, text, env=None):
    status, out, err = weed("-logtostderr", *arguments, env=env)
    expect((status, out), (255, ""), str(arguments) + err[-500:])
    lines = [line for line in err.splitlines() if line.startswith("F")]
    check(lines and text in lines[0], f"{arguments}: no fatal line with {text!r}: {err[-1000:]}")
    check(re.match(r"F\d{4} \d\d:\d\d:\d\d\.\d{6} \w+\.cc:\d+ ", lines[0]), lines[0])


def test_folders_that_cannot_be_used():
    port = free_port()
    deep = str(FOLDER / "no" / "where")
    fatal("master", f"-port={port}", f"-mdir={deep}",
          text=f"Check Meta Folder (-mdir) Writable {deep} : stat {deep}: no such file or directory")
    fatal("server", f"-master.port={port}", f"-dir={deep}",
          text=f'Check Meta Folder (-mdir="{deep}") Writable: stat {deep}: no such file or directory')
    fatal("volume", f"-port={port}", f"-dir={deep}",
          text=f"Check Data Folder(-dir) Writable {deep} : stat {deep}: no such file or directory")


def test_lists_that_do_not_fit_the_folders():
    here = str(FOLDER)
    fatal("volume", f"-dir={here}", "-max=1,2", text="1 directories by -dir, but only 2 max is set by -max")
    fatal("volume", f"-dir={here}", "-disk=a,b", text="1 directories by -dir, but only 2 disk types is set by -disk")
    fatal("volume", f"-dir={here}", "-max=x", text="The max specified in -max not a valid number x")
    fatal("volume", f"-dir={here}", "-minFreeSpace=abc",
          text="The value specified in -minFreeSpace not a valid value abc")


def test_values_that_make_no_sense():
    here = str(FOLDER)
    fatal("master", f"-mdir={here}", "-volumeSizeLimitMB=30721", text="volumeSizeLimitMB should not exceed 30720")
    fatal("master", f"-mdir={here}", "-port=70000", text="a port is 0 to 65535")
    fatal("master", f"-mdir={here}", "-peers=a:b:c", text="-peers")
    fatal("master", f"-mdir={here}", "-ip=203.0.113.7", f"-port={free_port()}",
          text="203.0.113.7 is no address of this machine: -ip.bind says where to listen")
    fatal("server", f"-dir={here}", "-master.port=9333", "-volume.port=9333",
          text="-master.port and -volume.port are both 9333")
    fatal("master", f"-mdir={here}", "-electionTimeout=100ms", "-heartbeatInterval=50ms", text="third")
    fatal("server", f"-dir={here}", "-master=false", "-master.peers=none",
          text="'-master.peers=none' is only valid when starting a master server, but master is not starting.")


def test_a_port_in_use():
    folder = FOLDER / "taken"
    folder.mkdir()
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        grpc = free_port()
        fatal("master", "-ip=127.0.0.1", f"-port={port}", f"-port.grpc={grpc}", f"-mdir={folder}",
              text=f"Master startup error: listen tcp 127.0.0.1:{port}: bind: address already in use")
        fatal("volume", "-ip=127.0.0.1", f"-port={port}", f"-port.grpc={grpc}", f"-dir={folder}",
              text=f"listen tcp 127.0.0.1:{port}: bind: address already in use")


def test_a_second_process_on_the_same_folder_is_refused():
    with Store("twice") as store:
        fatal("master", "-ip=localhost", f"-port={store.master_port}", f"-port.grpc={free_port()}",
              f"-mdir={store.folder}", text="in use")


# --- a running store -------------------------------------------------------------------------------------------------

class Store:
    """`weed server` with everything else at its default, in a folder of its own."""

    def __init__(self, name, *flags, env=None):
        self.folder = FOLDER / name
        self.master_port, self.volume_port = free_port(), free_port()
        self.master = f"localhost:{self.master_port}"
        self.flags, self.env = flags, env or {}
        self.log = FOLDER / f"{name}.log"

    def __enter__(self):
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                [WEED, "-logtostderr", "server", "-ip=localhost", f"-dir={self.folder}",
                 f"-master.port={self.master_port}", f"-volume.port={self.volume_port}", "-volume.preStopSeconds=0",
                 "-master.volumeSizeLimitMB=64", *self.flags],
                cwd=FOLDER, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                env={**os.environ, "TMPDIR": str(FOLDER), **self.env})
        try:
            self._wait_for_upload()
        except BaseException:  # without __enter__'s end there is no __exit__
            self.process.kill()
            self.process.wait()
            raise
        return self

    def _wait_for_upload(self):
        first = FOLDER / "first.txt"
        first.write_text("first")
        end = time.monotonic() + 20
        while True:
            status, out, err = weed("upload", f"-master={self.master}", str(first))
            if status == 0 and '"error"' not in out:
                return
            if time.monotonic() > end or self.process.poll() is not None:
                raise Failure(f"no upload within 20 s: {out} {err[:200]}\n{self.log.read_text()[-3000:]}")
            time.sleep(0.05)

    def __exit__(self, kind, value, trace):
        if kind is not None:
            print(self.log.read_text()[-3000:], file=sys.stderr)
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(15)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
                if kind is None:
                    raise Failure("the store did not stop within 15 s of SIGTERM")


def test_upload_prints_one_line_of_json_and_download_brings_the_file_back():
    with Store("updown") as store:
        a, b = FOLDER / "a b.txt", FOLDER / "b<&>.bin"
        a.write_text("hello, world")
        b.write_bytes(os.urandom(300_000))
        status, out, err = weed("upload", f"-master={store.master}", str(a), str(b))
        expect((status, err), (0, ""), "exit and stderr")
        expect(out.count("\n"), 1, "lines")
        expect_part(out, "\\u003c")
        one, two = json.loads(out)
        expect(list(one), ["fileName", "url", "fid", "size"], "keys")
        expect((one["fileName"], one["size"]), ("a b.txt", 12), "first")
        expect((two["fileName"], two["size"]), ("b<&>.bin", 300_000), "second")
        expect(two["fid"], one["fid"] + "_1", "second id")
        expect(one["url"], f"localhost:{store.volume_port}/{one['fid']}", "url")

        target = FOLDER / "fetched"
        target.mkdir()
        got = weed("download", f"-master={store.master}", f"-dir={target}", one["fid"], two["fid"])
        expect(got, (0, "", ""), "download")
        expect((target / a.name).read_text(), "hello, world", a.name)
        check((target / b.name).read_bytes() == b.read_bytes(), "the second file came back changed")
        expect(sorted(p.name for p in target.iterdir()), sorted([a.name, b.name]), "nothing else is left")

        volume = one["fid"].split(",")[0]
        status, out, _ = weed("download", f"-server={store.master}", f"-dir={target}", "abc", f"{volume},00ffffffffff",
                              "99999,0100000000")
        expect((status, out), (0, "Download Error:  abc Invalid fileId abc\n"
                               f"Download Error:  {volume},00ffffffffff File Not Found\n"
                               "Download Error:  99999,0100000000 File Not Found\n"), "download errors")
        expect(weed("download"), (0, "", ""), "download of nothing")


def test_upload_of_a_folder_prints_a_line_for_each_file():
    with Store("folder") as store:
        root = FOLDER / "tree"
        (root / "deep").mkdir(parents=True)
        (root / "x.pdf").write_text("x")
        (root / "deep" / "y.pdf").write_text("yy")
        (root / "z.txt").write_text("zzz")
        status, out, _ = weed("upload", f"-master={store.master}", f"-dir={root}", "-include=*.pdf")
        expect(status, 0, "exit")
        expect([(f["fileName"], f["size"]) for line in out.splitlines() for f in json.loads(line)],
               [("y.pdf", 2), ("x.pdf", 1)], "files")
        status, out, err = weed("upload", f"-master={store.master}", f"-dir={FOLDER}/nosuch")
        line = f"lstat {FOLDER}/nosuch: no such file or directory\n"
        expect((status, out), (2, line * 2), "missing folder")


def test_upload_of_a_missing_file_uploads_nothing():
    with Store("missing") as store:
        there = FOLDER / "there.txt"
        there.write_text("there")
        status, out, err = weed("upload", f"-master={store.master}", str(there), "/no/such/file")
        expect((status, out), (2, "open /no/such/file: no such file or directory\n"), "exit and stdout")
        check(err.startswith("\nExample: weed upload"), err)
        # An assign that is refused: gRPC's text, as upstream's client prints it.
        status, out, err = weed("upload", f"-master={store.master}", "-replication=256", str(there))
        expect((status, out), (2, "rpc error: code = Unknown desc = unexpected replication type: 256\n"), "bad code")
        status, out, err = weed("upload", f"-master={store.master}", "-replication=001", str(there))
        expect(status, 2, "a code that one server cannot satisfy")
        check(out.startswith("rpc error: code = ResourceExhausted desc = no writable volumes for {"), out)
        status, out, err = weed("upload", "-master=localhost:1", str(there))
        expect(status, 2, "no master")
        check(out.startswith("upload: get master localhost:1 configuration: rpc error: code = Unavailable desc = "), out)
        status, out, err = weed("upload", f"-master={store.master}")
        expect((status, out), (2, ""), "no files")


def on_terminal(*arguments, env=None):
    """(exit status, stdout, what the terminal on stderr saw)."""
    master, slave = pty.openpty()
    process = subprocess.Popen([WEED, *arguments], cwd=FOLDER, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                               stderr=slave, env={**os.environ, "TERM": "xterm", "TMPDIR": str(FOLDER), **(env or {})})
    os.close(slave)
    seen = bytearray()

    def drain():
        try:
            while piece := os.read(master, 4096):
                seen.extend(piece)
        except OSError:
            pass  # the last holder of the other end is gone

    reader = threading.Thread(target=drain)
    reader.start()
    out = process.communicate(timeout=60)[0]
    reader.join()
    os.close(master)
    return process.returncode, out.decode(), seen.decode()


def test_progress_is_shown_on_terminals_only_and_colours_can_be_refused():
    with Store("progress") as store:
        big = FOLDER / "big.bin"
        big.write_bytes(os.urandom(30 << 20))
        status, out, err = weed("upload", f"-master={store.master}", "-maxMB=0", str(big))
        expect((status, err), (0, ""), "not a terminal")
        status, out, seen = on_terminal("upload", f"-master={store.master}", "-maxMB=0", str(big))
        expect(status, 0, "exit")
        check(re.search("\\r\x1b\\[36m[01] of 1 files, [0-9.]+ [KM]?B of 30.0 MB", seen), repr(seen[:500]))
        check(seen.endswith("\r\x1b[K"), "the line is not wiped at the end")
        fid = json.loads(out)[0]["fid"]
        target = FOLDER / "progress-fetched"
        target.mkdir()
        status, out, seen = on_terminal("download", f"-master={store.master}", f"-dir={target}", fid,
                                        env={"NO_COLOR": "1"})
        expect((status, out), (0, ""), "exit and stdout")
        check("big.bin: " in seen and "\x1b[36m" not in seen, repr(seen[:500]))
        check((target / "big.bin").read_bytes() == big.read_bytes(), "the file came back changed")


def test_ctrl_c_leaves_nothing_half_written():
    with Store("interrupted") as store:
        big = FOLDER / "huge.bin"
        with open(big, "wb") as file:
            file.truncate(200 << 20)  # zeros; the volume server does not compress what has no type
        status, out, _ = weed("upload", f"-master={store.master}", "-maxMB=0", str(big))
        expect(status, 0, "upload" + out)
        fid = json.loads(out)[0]["fid"]
        target = FOLDER / "cut"
        target.mkdir()
        cut = 0
        for wait in (0.02, 0.04, 0.06, 0.08, 0.1, 0.12, 0.14, 0.16, 0.18, 0.2, 0.25, 0.3):
            process = subprocess.Popen([WEED, "download", f"-master={store.master}", f"-dir={target}", fid],
                                       cwd=FOLDER, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
            time.sleep(wait)
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=30)
            left = [p.name for p in target.iterdir()]
            if process.returncode in (130, -signal.SIGINT):  # the latter before main() even began
                cut += process.returncode == 130
                whole = left == [big.name] and (target / big.name).stat().st_size == big.stat().st_size
                if whole:  # Ctrl-C came after the file was complete: all or nothing
                    (target / big.name).unlink()
                else:
                    expect(left, [], "what is left after Ctrl-C")
            else:
                expect((process.returncode, left), (0, [big.name]), "a download that was faster than Ctrl-C")
                (target / big.name).unlink()
        check(cut > 0, "no download was slow enough to be interrupted")


def test_benchmark_prints_its_report_and_writes_a_histogram():
    with Store("bench") as store:
        listed, histogram = FOLDER / "list.txt", FOLDER / "histogram.tsv"
        status, out, err = weed("benchmark", f"-master={store.master}", "-n=2000", "-c=8", f"-list={listed}",
                                f"-histogram={histogram}", "-deletePercent=10")
        expect(status, 0, "exit" + err)
        lines = out.splitlines()
        check(lines[0].startswith("This is Holdfast version 30GB "), lines[0])
        for header in ("------------ Writing Benchmark ----------", "------------ Randomly Reading Benchmark ----------"):
            check(header in lines, f"no {header!r} in {out}")
        for pattern in (r"Concurrency Level:      8", r"Time taken for tests:   \d+\.\d{3} seconds",
                        r"Completed requests:      \d+", r"Failed requests:        0",
                        r"Total transferred:      \d+ bytes", r"Requests per second:    \d+\.\d\d \[#/sec\]",
                        r"Transfer rate:          \d+\.\d\d \[Kbytes/sec\]", r"Connection Times \(ms\)",
                        r"              min      avg        max      std",
                        r"Total:        \d+\.\d      \d+\.\d       \d+\.\d      \d+\.\d",
                        r"   50% +\d+\.\d ms", r"  100% +\d+\.\d ms|   \d\d% +\d+\.\d ms"):
            expect(len(re.findall(f"^(?:{pattern})$", out, re.M)) >= 2, True, pattern + "\n" + out)
        fids = listed.read_text().split()
        check(1500 < len(fids) < 2000, f"{len(fids)} ids listed: deleted ones must not be")
        expect(len(set(fids)), len(fids), "ids are unique")
        rows = [line.split("\t") for line in histogram.read_text().splitlines() if not line.startswith("#")]
        expect(sum(int(r[3]) for r in rows if r[0] == "read"), 2000, "reads in the histogram")
        check(all(float(r[1]) < float(r[2]) for r in rows), "bounds of the histogram")
        status, out, err = weed("benchmark", f"-master={store.master}", "-readOnly", "-readSequentially", "-n=100",
                                f"-list={listed}")
        expect(status, 0, "readOnly")
        check("Writing" not in out, out)


def test_benchmark_of_nothing_is_refused():
    status, out, err = weed("benchmark", "-readOnly", "-writeOnly")
    expect(status, 2, "exit")
    expect(err.splitlines()[0], "Error: -readOnly and -writeOnly are mutually exclusive.", "first line")
    # What cannot be written is told before a million files are, and needs no master.
    for flag in ("-list", "-histogram"):
        status, out, err = weed("benchmark", "-master=localhost:1", f"{flag}=/no/such/file")
        expect((status, out.splitlines()[1:]), (1, ["cannot write /no/such/file: no such file or directory"]), flag)


def test_uploads_and_downloads_go_on_while_the_leader_is_killed():
    with Cluster() as cluster:
        cluster.wait_writable()
        root, target = FOLDER / "many", FOLDER / "back"
        root.mkdir()
        target.mkdir()
        for i in range(400):
            (root / f"{i:03}").write_bytes(os.urandom(2000 + i))
        masters = ",".join(cluster.masters)
        process = subprocess.Popen([WEED, "upload", f"-master={masters}", f"-dir={root}"], cwd=FOLDER,
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        lines = [process.stdout.readline() for _ in range(50)]  # it is under way
        cluster.master_processes[cluster.leader()].kill()
        out, err = process.communicate(timeout=60)
        expect((process.returncode, err), (0, ""), "exit and stderr")
        stored = [json.loads(line)[0] for line in lines + out.splitlines()]
        expect([f for f in stored if "error" in f], [], "files that failed")
        expect(len({f["fid"] for f in stored}), 400, "ids")
        # All masters are named, the dead one too.
        got = weed("download", f"-master={masters}", f"-dir={target}", *[f["fid"] for f in stored])
        expect(got, (0, "", ""), "download")
        for f in stored:
            name = f["fileName"]
            check((target / name).read_bytes() == (root / name).read_bytes(), f"{name} came back changed")


def test_signals_end_a_server_with_0():
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGALRM):
        with Store(f"signal{number.value}") as store:
            store.process.send_signal(signal.SIGHUP)  # reload, not an end
            time.sleep(0.1)
            check(store.process.poll() is None, "SIGHUP ended the server")
            store.process.send_signal(number)
            expect(store.process.wait(15), 0, number.name)


def test_flags_not_honoured_yet_are_told_of_once():
    with Store("notes", "-filer", "-s3", "-master.raftBootstrap", "-master.resumeState=false") as store:
        log = store.log.read_text()
        for part in ("-filer is accepted, but not honoured yet", "-s3 is accepted, but not honoured yet",
                     "-master.raftBootstrap deletes nothing here", "-master.resumeState=false deletes nothing here"):
            expect(log.count(part), 1, part + "\n" + log)


def test_master_toml_and_environment_reach_the_master():
    config = FOLDER / "etc"
    config.mkdir(exist_ok=True)
    (config / "master.toml").write_text("[master.volume_growth]\ncopy_1 = 2\n")
    for env, volumes in (({}, 2), ({"WEED_MASTER_VOLUME_GROWTH_COPY_1": "3"}, 3)):
        with Store(f"toml{volumes}", env={"WEED_CONFIG_DIR": str(config), **env}) as store:
            grown = len(list(store.folder.glob("*.dat")))
            expect(grown, volumes, f"volumes grown with {env}")
    (config / "master.toml").write_text("[master\n")
    fatal("master", f"-mdir={FOLDER}", f"-port={free_port()}", env={"WEED_CONFIG_DIR": str(config)},
          text="master.toml:1")


def main():
    global FOLDER
    wanted = sys.argv[1] if len(sys.argv) > 1 else ""
    tests = [(n, f) for n, f in globals().items() if n.startswith("test_") and wanted in n]
    check(tests, f"no test has {wanted!r} in its name")
    failed = 0
    for name, test in tests:
        with tempfile.TemporaryDirectory(prefix="holdfast-cli-") as folder:
            FOLDER = pathlib.Path(folder)
            begun = time.monotonic()
            try:
                test()
                print(f"ok    {name} ({time.monotonic() - begun:.1f} s)", flush=True)
            except (Failure, subprocess.TimeoutExpired, OSError, ValueError, KeyError) as error:
                failed += 1
                print(f"FAIL  {name}: {error}", flush=True)
    print(f"{len(tests) - failed} of {len(tests)} passed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
