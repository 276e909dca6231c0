#!/usr/bin/env python3
"""What `completion` and `man` print, as a shell and man take it: every command and every flag that the program says it has."""
import pathlib
import re
import shutil
import subprocess
import tempfile

from harness import WEED, check, run

FOLDER = pathlib.Path(tempfile.mkdtemp(prefix="holdfast-test-"))


def weed(*arguments):
    return subprocess.run([WEED, *arguments], capture_output=True, text=True, timeout=20)


def commands():
    text = weed("help").stdout
    return re.findall(r"^  (\S+) {2,}\S", text[text.index("The commands are:"):], re.M)


def flags_of(*command):
    """Names and whether each takes a value, as -h tells."""
    said = weed(*command, "-h")
    return {name: bool(word) for name, word in re.findall(r"^  -(\S+)(?: (\S+))?(?:\n|\t)", said.stdout + said.stderr, re.M)}


class Bash:
    """Asks the script as bash does when someone presses Tab behind the last word; the shell makes words of = and :."""

    def __init__(self):
        self.script = FOLDER / "completion.bash"
        self.script.write_text(weed("completion", "bash").stdout)

    def candidates(self, line):
        words = re.findall(r"=|:|[^\s=:]+", line) + ([""] if line.endswith((" ", ":")) or not line else [])
        quoted = " ".join("'" + word.replace("'", "'\\''") + "'" for word in words)
        text = f"source {self.script}; cd {FOLDER}; COMP_WORDS=({quoted}); COMP_CWORD={len(words) - 1}; _holdfast; printf '%s\\n' \"${{COMPREPLY[@]}}\""
        done = subprocess.run(["bash", "--norc", "-u", "-c", text], capture_output=True, text=True, timeout=20)
        check(done.returncode == 0 and done.stderr == "", f"{line!r}: {done.stderr}")
        return sorted(one for one in done.stdout.splitlines() if one)


def bash_completes_every_command_and_flag():
    bash = Bash()
    check(bash.candidates("holdfast ") == sorted(commands() + ["help"]), f"commands: {bash.candidates('holdfast ')}")
    check(bash.candidates("weed -logdir=/tmp ma") == ["man", "master", "master.follower"], f"{bash.candidates('weed -logdir=/tmp ma')}")
    check(bash.candidates("weed -v 3 -logdir /tmp vo") == ["volume"], "a global flag's value is no command")
    for command in commands():
        want = flags_of(command)
        check(want, f"{command} has flags")
        got = bash.candidates(f"holdfast {command} -")
        check(got == sorted(f"-{name}{'=' if value else ''}" for name, value in want.items()), f"{command}: {got}")
    check(bash.candidates("holdfast -logd") == ["-logdir="], "a global flag")
    for action in ("get", "put", "delete", "renew", "list", "watch"):
        got = bash.candidates(f"holdfast kv {action} -")
        check(got == sorted(f"-{name}{'=' if value else ''}" for name, value in flags_of("kv", action).items()), f"kv {action}: {got}")


def bash_completes_values_and_arguments():
    bash = Bash()
    (FOLDER / "a folder").mkdir(exist_ok=True)
    (FOLDER / "a file.txt").write_text("")
    check(bash.candidates("weed volume -dir=a") == ["a file.txt", "a folder"], f"{bash.candidates('weed volume -dir=a')}")
    check(bash.candidates("weed volume -dir a") == ["a file.txt", "a folder"], "behind a blank")
    check(bash.candidates("weed upload a") == ["a file.txt", "a folder"], "files to upload")
    check(bash.candidates("weed upload -master=localhost:9333,other:9334 -dataC") == ["-dataCenter="], "behind an address")
    check(bash.candidates("weed master -disableHttp=") == ["false", "true"], "a truth value")
    check(bash.candidates("weed master -disableHttp=t") == ["true"], "a truth value that has begun")
    check(bash.candidates("weed master -port=") == [] and bash.candidates("weed master -port ") == [], "numbers are nobody's to guess")
    check(bash.candidates("weed master --por") == ["--port.grpc=", "--port="], "two dashes")
    check(bash.candidates("weed kv ") == sorted(["get", "put", "delete", "renew", "list", "watch"]), "actions of kv")
    check(bash.candidates("holdfast completion ") == ["bash", "fish", "zsh"], "shells")
    check(bash.candidates("holdfast help mas") == ["master", "master.follower"], "topics of help")


def other_shells_take_theirs():
    for shell, lint in (("zsh", ["zsh", "-n"]), ("fish", ["fish", "--no-execute"])):
        text = weed("completion", shell)
        check(text.returncode == 0 and "holdfast" in text.stdout, shell)
        path = FOLDER / f"completion.{shell}"
        path.write_text(text.stdout)
        if shutil.which(shell):
            done = subprocess.run([*lint, str(path)], capture_output=True, text=True, timeout=20)
            check(done.returncode == 0, f"{shell}: {done.stderr}")
    done = weed("completion", "tcsh")
    check(done.returncode == 2 and "bash, zsh and fish" in done.stderr, f"tcsh: {done.stderr}")


def every_command_has_a_page():
    folder = FOLDER / "pages"
    folder.mkdir()
    check(weed("man", f"-output={folder}").returncode == 0, "man -output")
    names = {path.name for path in folder.iterdir()}
    check(names >= {"holdfast.1", "mfsmaster.8", "mfschunkserver.cfg.5"} | {f"holdfast-{one}.1" for one in commands()}, f"{names}")
    check(weed("man", "master").stdout == (folder / "holdfast-master.1").read_text(), "man <command> prints that page")
    for command in commands():
        text = (folder / f"holdfast-{command}.1").read_text()
        for name in flags_of(command):
            check("\n.B \\-" + name.replace("-", "\\-") in text, f"{command} -{name}")
    if shutil.which("groff"):
        for path in sorted(folder.iterdir()):
            done = subprocess.run(["groff", "-man", "-Tascii", "-ww", str(path)], capture_output=True, text=True, timeout=60)
            wrong = [line for line in done.stderr.splitlines() if "cannot adjust line" not in line and "can't break line" not in line]
            check(done.returncode == 0 and not wrong, f"{path.name}: {wrong}")
    done = weed("man", "nosuch")
    check(done.returncode == 2 and "no page" in done.stderr, f"nosuch: {done.stderr}")
    done = weed("man", f"-output={FOLDER}/none/there")
    check(done.returncode == 2 and "no such file or directory" in done.stderr, f"a folder that is not there: {done.stderr}")


if __name__ == "__main__":
    try:
        run([bash_completes_every_command_and_flag, bash_completes_values_and_arguments, other_shells_take_theirs, every_command_has_a_page])
    finally:
        shutil.rmtree(FOLDER, ignore_errors=True)
