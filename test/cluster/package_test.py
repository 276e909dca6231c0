#!/usr/bin/env python3
"""The Debian package: built by tools/deb.sh, unpacked and looked at; installed, removed and purged by dpkg itself in a root of its
own (this machine's, with a layer above it that takes the changes), where the kernel lets us; and the systemd units: what they
start does start, with the settings of the package, and ends as they expect."""
import configparser
import ctypes
import gzip
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile

from harness import BIN, ROOT, Failure, Http, Process, check, free_port, run, until

FOLDER = pathlib.Path(tempfile.mkdtemp(prefix="holdfast-test-"))
UNITS = ("master", "volume", "server")


def ran(*argv, **more):
    done = subprocess.run([str(word) for word in argv], capture_output=True, text=True, timeout=120, **more)
    check(done.returncode == 0, f"{' '.join(map(str, argv))}: {done.returncode} {done.stdout} {done.stderr}")
    return done.stdout


def package():
    """Built once. INTO is relative, as it is for `make deb`."""
    found = list(FOLDER.glob("deb/*.deb"))
    if not found:
        ran(ROOT / "tools/deb.sh", env={**os.environ, "HOLDFAST_BIN": str(BIN), "INTO": os.path.relpath(FOLDER / "deb", ROOT), "COMPRESSION": "none"})
        found = list(FOLDER.glob("deb/*.deb"))
        check(len(found) == 1, f"one package is made: {found}")
        check(sorted(path.name for path in (FOLDER / "deb").iterdir()) == [found[0].name], "and nothing else is left behind")
    return found[0]


def unpacked():
    root = FOLDER / "root"
    if not root.exists():
        ran("dpkg-deb", "-x", package(), root)
    return root


def the_package_says_what_it_is():
    fields = dict(re.findall(r"^(\S+): (.*)$", ran("dpkg-deb", "-f", package()), re.M))
    check(fields["Package"] == "holdfast" and fields["Architecture"] == ran("dpkg", "--print-architecture").strip(), f"{fields}")
    ran("dpkg", "--validate-version", fields["Version"])
    check(int(fields["Installed-Size"]) > 1000, fields["Installed-Size"])
    depends = [one.split()[0] for one in fields["Depends"].split(", ")]
    for wanted in ("libc6", "libgrpc++1.51", "libssl3", "libstdc++6", "adduser"):
        check(wanted in depends, f"{wanted} is not among {depends}")
    owners = {line.split()[1] for line in ran("dpkg-deb", "-c", package()).splitlines()}
    check(owners == {"root/root"}, f"owners: {owners}")
    control = FOLDER / "control"
    ran("dpkg-deb", "-e", package(), control)
    conffiles = (control / "conffiles").read_text().split()
    check(conffiles == [f"/etc/holdfast/{unit}.options" for unit in sorted(UNITS)], f"conffiles: {conffiles}")
    for script in ("postinst", "prerm", "postrm"):
        check((control / script).stat().st_mode & 0o777 == 0o755, f"{script} can be run")
        ran("sh", "-n", control / script)
    ran("md5sum", "--check", "--quiet", control / "md5sums", cwd=unpacked())
    copyright_text = (unpacked() / "usr/share/doc/holdfast/copyright").read_text()
    check("License: Apache-2.0" in copyright_text and "/usr/share/common-licenses/Apache-2.0" in copyright_text, copyright_text)
    if shutil.which("lintian"):
        print(subprocess.run(["lintian", "--fail-on", "none", str(package())], capture_output=True, text=True).stdout, end="")


def the_package_holds_what_belongs_to_it():
    root = unpacked()
    for name in ("usr/bin/weed", "usr/sbin/mfsmaster", "usr/sbin/mfschunkserver", "usr/sbin/mfsmetalogger", "usr/sbin/mfsmetarestore"):
        path = root / name
        check(path.is_symlink() and path.resolve() == (root / "usr/bin/holdfast").resolve(), f"{name} is the program")
    check(ran(root / "usr/bin/weed", "version").startswith("version "), "the stripped program runs")
    check("usage: mfsmaster" in ran(root / "usr/sbin/mfsmaster", "-h"), "as a daemon of MooseFS")
    commands = re.findall(r"^  (\S+) {2,}\S", ran(root / "usr/bin/weed", "help").split("The commands are:")[1], re.M)
    for page in [f"man1/holdfast-{one}.1" for one in commands] + ["man1/holdfast.1", "man1/weed.1", "man8/mfsmaster.8", "man5/mfsmaster.cfg.5",
                                                                 "man8/mfsmetarestore.8"]:
        text = gzip.decompress((root / f"usr/share/man/{page}.gz").read_bytes()).decode()
        check(text.startswith(".TH "), f"{page}: {text[:40]!r}")
        check(str(FOLDER) not in text, f"{page} tells of this machine")
    for name in ("holdfast", "weed", "mfsmaster"):
        ran("bash", "--norc", "-c", f"source {root}/usr/share/bash-completion/completions/{name}; complete -p {name}")
    check((root / "usr/share/zsh/vendor-completions/_holdfast").read_text().startswith("#compdef holdfast weed"), "zsh")
    check("complete -c holdfast" in (root / "usr/share/fish/vendor_completions.d/weed.fish").read_text(), "fish")
    check(gzip.decompress((root / "usr/share/doc/holdfast/changelog.gz").read_bytes()).startswith(b"holdfast ("), "changelog")


def unit(name):
    """The sections of a unit; of a key that is repeated, the last."""
    parser = configparser.RawConfigParser(strict=False, delimiters=("=",))
    parser.optionxform = str
    parser.read(unpacked() / f"lib/systemd/system/holdfast-{name}.service")
    return parser


def what_a_unit_starts_does_start_and_ends_as_it_expects():
    ports = {name: free_port() for name in ("master", "volume", "server", "server.volume")}
    extra = {"master": [f"port={ports['master']}", "ip=127.0.0.1"],
             "volume": [f"port={ports['volume']}", "ip=127.0.0.1", "preStopSeconds=0"],
             "server": [f"master.port={ports['server']}", f"volume.port={ports['server.volume']}", "ip=127.0.0.1", "volume.preStopSeconds=0"]}
    state = FOLDER / "var/lib/holdfast"
    state.mkdir(parents=True, exist_ok=True)
    processes = []
    try:
        for name in UNITS:
            service = unit(name)["Service"]
            check(service["KillMode"] == "control-group", f"{name}: the guardian is left to end by itself")
            check(service.get("LogsDirectory") == "holdfast", f"{name}: /var/log/holdfast can take an access log")
            options = (unpacked() / f"etc/holdfast/{name}.options").read_text()
            options = options.replace("/var/lib/holdfast", str(state)).replace("localhost:9333", f"127.0.0.1:{ports['master']}")
            changed = FOLDER / f"{name}.options"
            changed.write_text(options + "\n" + "\n".join(extra[name]) + "\n")
            line = service["ExecStart"].replace(f"/etc/holdfast/{name}.options", str(changed)).replace("/usr/bin/holdfast", str(unpacked() / "usr/bin/holdfast"))
            check(str(changed) in line, line)
            processes.append(Process(name, line.split(), FOLDER, {"TMPDIR": str(FOLDER)}).start())
        http = Http(timeout=2)

        def assigned(port):
            status, _, body = http.request("GET", f"127.0.0.1:{port}", "/dir/assign")
            check(status == 200, f"{status} {body!r}")
            return True

        for name in ("master", "server"):
            until(f"the {name} assigns a file", lambda: assigned(ports[name]), 20)
        processes[1].signal(signal.SIGHUP)  # ExecReload
        check(http.request("GET", f"127.0.0.1:{ports['volume']}", "/status")[0] == 200, "the volume server serves on")
        http.close()
        for process in reversed(processes):
            check(process.stop() == 0, f"{process.name} ends with 0 at SIGTERM")
    except Failure:
        for process in processes:
            print(process.log(), file=sys.stderr)
        raise
    finally:
        for process in processes:
            process.kill()


def systemd_finds_nothing_wrong_with_the_units():
    if shutil.which("systemd-analyze") is None:
        print("(there is no systemd-analyze here)")
        return
    folder = FOLDER / "units"
    folder.mkdir()
    for name in UNITS:
        text = (unpacked() / f"lib/systemd/system/holdfast-{name}.service").read_text()
        (folder / f"holdfast-{name}.service").write_text(text.replace("/usr/bin/holdfast", str(unpacked() / "usr/bin/holdfast")))
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", *map(str, folder.iterdir())], capture_output=True, text=True, timeout=60)
    wrong = [line for line in done.stderr.splitlines() if "holdfast" in line]
    check(not wrong, f"systemd-analyze verify: {wrong}")


CLONE_NEWNS, MS_REC, MS_PRIVATE = 0x00020000, 0x4000, 1 << 18


def mounted(libc, source, target, kind, options=""):
    return libc.mount(source.encode(), str(target).encode(), kind.encode(), 0, options.encode()) == 0


def in_a_root_of_its_own(script):
    """Runs a shell script in a copy-on-write root above this machine's; None where that cannot be made. The child has mounts of its
    own, so nothing is left when it ends."""
    libc = ctypes.CDLL(None, use_errno=True)
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(read)
        os.dup2(write, 1)
        os.dup2(write, 2)
        layer, root = FOLDER / "layer", FOLDER / "whole"
        for path in (layer, root):
            path.mkdir(exist_ok=True)
        if os.geteuid() != 0 or libc.unshare(CLONE_NEWNS) != 0 or libc.mount(b"none", b"/", None, MS_REC | MS_PRIVATE, None) != 0:
            os._exit(77)
        if not mounted(libc, "tmpfs", layer, "tmpfs"):
            os._exit(77)
        (layer / "up").mkdir()
        (layer / "work").mkdir()
        if not mounted(libc, "overlay", root, "overlay", f"lowerdir=/,upperdir={layer}/up,workdir={layer}/work"):
            os._exit(77)
        shutil.copy(package(), root / "tmp/holdfast.deb")
        mounted(libc, "proc", root / "proc", "proc")
        os.chroot(root)
        os.chdir("/")
        os.execvpe("sh", ["sh", "-ec", script], {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C", "DEBIAN_FRONTEND": "noninteractive"})
    os.close(write)
    with os.fdopen(read) as output:
        text = output.read()
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if status == 77:
        return None
    check(status == 0, f"in its own root: {status} {text}")
    return text


def dpkg_installs_removes_and_purges_it():
    package()
    text = in_a_root_of_its_own("""
        rm -rf /etc/holdfast /var/lib/man-db/auto-update   # an index of all manual pages takes half a minute
        echo force-unsafe-io >/etc/dpkg/dpkg.cfg.d/test
        dpkg -i /tmp/holdfast.deb
        dpkg -s holdfast | grep -q '^Status: install ok installed'
        holdfast version
        mfsmaster -v
        getent passwd holdfast
        stat -c '%U %a' /var/lib/holdfast
        dpkg --verify holdfast
        echo '# mine' >>/etc/holdfast/master.options
        dpkg -i /tmp/holdfast.deb
        grep -q '# mine' /etc/holdfast/master.options && echo kept
        touch /var/lib/holdfast/1.dat
        mkdir /var/log/holdfast
        touch /var/log/holdfast/access.log
        dpkg -r holdfast
        ! command -v weed
        test -f /etc/holdfast/master.options && echo settings stay
        test -f /var/log/holdfast/access.log && echo logs stay
        dpkg -P holdfast
        test ! -e /etc/holdfast && echo settings go
        test ! -e /var/log/holdfast && echo logs go
        test -f /var/lib/holdfast/1.dat && echo files stay
    """)
    if text is None:
        print("(a root of its own cannot be made here)")
        return
    for wanted in ("version ", "holdfast:x:", "holdfast 750", "kept", "settings stay", "logs stay", "settings go", "logs go", "files stay",
                   "/var/lib/holdfast holds stored files and is left as it is"):
        check(wanted in text, f"{wanted!r} is not said: {text}")


if __name__ == "__main__":
    try:
        run([the_package_says_what_it_is, the_package_holds_what_belongs_to_it, what_a_unit_starts_does_start_and_ends_as_it_expects,
             systemd_finds_nothing_wrong_with_the_units, dpkg_installs_removes_and_purges_it])
    finally:
        shutil.rmtree(FOLDER, ignore_errors=True)
