#!/usr/bin/env python3
"""Has TLC replay runs of the simulator against the model's actions (Trace.tla, InSyncTrace.tla): every run of the real core must be
allowed, and runs of cores with a rule taken out must not be. README.md is the manual."""
import argparse
import collections
import concurrent.futures
import json
import os
import re
import shutil
import subprocess
import sys
import time

import run as model

HERE = os.path.dirname(os.path.abspath(__file__))
SIM = os.environ.get("SIM", os.path.join(HERE, "..", "build", "release", "bin", "sim"))
STEPS = 15000  # events of the simulator: 2,000 to 6,000 lines
SECONDS = 300  # one run of TLC

# Rules taken out of the core (src/core/raft/mutation.h), each with a seed in whose run the model must object.
# Those of the register, in runs with a witness, stand in the second list.
MUTANTS = [(1, 1), (3, 14), (4, 1), (5, 1), (6, 2), (21, 95), (22, 18), (23, 2), (24, 2), (25, 1), (27, 5), (28, 15), (29, 26),
           (30, 1), (31, 10), (32, 1), (34, 74)]
WITNESS_MUTANTS = [(38, 2), (39, 1), (41, 1), (42, 8), (43, 1), (45, 2), (46, 1), (47, 16), (48, 1), (51, 99)]

# What must have happened in the sample, or nothing was checked.
KINDS = ("campaign", "vote", "count", "lead", "write", "take", "ack", "commit", "read", "hand-over", "certificate", "down",
         "restart", "term")
WITNESS_KINDS = ("propose", "register", "recorded", "confirm", "require", "unrequire")
NOT_OF_THE_REGISTER = ("read", "hand-over", "certificate")


def history(seed, steps, mutant, witness, path):
    """Has the simulator write it. A mutant may end by a failed CHECK; what was written until then counts."""
    line = [SIM, "--seed=%d" % seed, "--steps=%d" % steps, "--history=" + path]
    if mutant:
        line.append("--mutant=%d" % mutant)
    if witness:
        line.append("--witnesses=always")
    done = subprocess.run(line, capture_output=True, text=True)
    if done.returncode != 0 and not mutant:
        sys.exit("%s\n%s" % (" ".join(line), done.stderr))


def translate(path):
    """The history as TLA+, and the constants of its run. The first entry of all logs, of term 1, is left out."""
    lines, kinds, top, epochs, was = [], collections.Counter(), 1, 1, None
    with open(path) as file:
        told = [json.loads(text) for text in file if text.endswith("}\n")]  # a CHECK may have cut off the last
    lease, witness = told[0]["lease"], told[0]["witness"]
    members = list(range(1, told[0]["masters"] + 1)) + [witness] * (witness > 0)
    name = lambda number: "m%d" % number if number else "none"
    names = lambda numbers: ["{%s}" % ", ".join('"%s"' % name(one) for one in numbers)]  # a set, for value()
    for number, one in enumerate(told[1:], 2):
        if one["who"] not in members or (witness and (one["what"] in NOT_OF_THE_REGISTER or one.get("from") == witness and
                                                      one["what"] == "ack")):
            continue
        kinds[one["what"]] += 1
        dt = min(one["at"] - (one["at"] if was is None else was), lease + 1)
        was = one["at"]
        out = dict(n=number, dt=dt, what=one["what"], who=name(one["who"]))
        for key in ("index", "commit", "match", "equal", "term"):
            if key in one:
                out[key] = max(one[key] - 1, 0)
        top = max(top, out.get("term", 0))
        if "epoch" in one:
            epochs = max(epochs, one["epoch"])
            out["epoch"] = one["epoch"] - 1 if one["epoch"] else None
        for key in ("from", "for"):
            if key in one:
                out[key] = name(one[key])
        for key, to in (("age", "age"), ("key", "key"), ("incarnation", "process")):
            if key in one:
                out[to] = min(one[key], lease) if key == "age" else one[key]
        if "id" in one:
            out["id"] = str(one["id"])
        if one["what"] == "take":
            out["equal"] = max(out["equal"], out["match"])
        if "record" in one:
            term, count, who = one["record"]
            out["record"] = ("[t |-> %d, n |-> %d, set |-> %s]" % (max(term - 1, 0), count, names(who or members[:-1])[0]),)
        if "needs" in one:
            out["needs"] = (names(one["needs"])[0],)
        is_ = one.get("is", [])
        out["is"] = is_ if not is_ else [max(is_[0] - 1, 0)]
        if len(is_) > 1:
            out["is"] += [is_[1], max(is_[2] - 1, 0), is_[3] - 1, max(is_[4] - 1, 0)]
        if one["what"] == "restart":
            lines.append(dict(n=number, dt=dt, what="start", who=out["who"], **{"is": []}))
            out.update(what="disk", dt=0, vote=name(one["vote"]), log=[term - 1 for term in one.get("log", [])[1:]])
        lines.append(out)
    no_lease = epochs + 1

    def value(key, what):
        if isinstance(what, str):
            return '"%s"' % what
        if isinstance(what, tuple):  # TLA+ already
            return what[0]
        if isinstance(what, list):
            return "<<%s>>" % ", ".join(map(str, what))
        return str(no_lease if what is None else what)

    text = "----------------------------- MODULE TraceLines -----------------------------\nLines == <<\n"
    text += ",\n".join("  [" + ", ".join("%s |-> %s" % (k, value(k, v)) for k, v in line.items()) + "]" for line in lines)
    text += "\n>>\n=============================================================================\n"
    if witness:
        constants = dict(Master="{%s}" % ", ".join('"m%d"' % m for m in members[:-1]), Witness='"m%d"' % witness, MaxTerm=top + 1,
                         MaxAppends=len(lines), MaxRecords=len(lines), LateMail=False, Mutant='"none"')
        for line in lines:
            line["dt"] = 0
    else:
        constants = dict(model.LEASES, Server='{"m1", "m2", "m3"}', Key='{"0", "1", "2", "3", "4", "registry"}', MaxTerm=top + 1,
                         MaxAppends=len(lines), MaxEpoch=epochs, Slow=1, Fast=1, Ticks=lease, NoOps=True, Mutant='"none"')
    config = ["CONSTANT %s = %s" % (key, str(what).upper() if isinstance(what, bool) else what)
              for key, what in constants.items()]
    config.append("SPECIFICATION TraceSpec\n")
    states = 1 + len(lines) + sum(line["dt"] > 0 for line in lines)
    return text, "\n".join(config), states, kinds, lines, witness > 0


def check(seed, steps, mutant, witness, path=None):
    """Whether all lines were explained; and a sentence."""
    name = "seed %d%s%s" % (seed, " witness" * witness, ", mutant %d" % mutant if mutant else "") if path is None else os.path.basename(path)
    folder = os.path.join(model.WORK, "trace-" + re.sub(r"[^A-Za-z0-9]+", "-", name).strip("-"))
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)
    if path is None:
        path = os.path.join(folder, "history.jsonl")
        history(seed, steps, mutant, witness, path)
    text, config, states, kinds, lines, witness = translate(path)
    modules = ("InSync", "InSyncTrace") if witness else ("Leases", "Trace")
    for module in modules:
        shutil.copy(os.path.join(HERE, module + ".tla"), folder)
    with open(os.path.join(folder, "TraceLines.tla"), "w") as file:
        file.write(text)
    with open(os.path.join(folder, "run.cfg"), "w") as file:
        file.write(config)
    began = time.monotonic()
    out = model.tlc(folder, modules[-1], SECONDS)
    where = os.path.relpath(os.path.join(folder, "out.txt"), os.path.join(HERE, ".."))
    depth = re.search(r"depth of the complete state graph search is (\d+)", out)
    took = "%.0f s  [%s]" % (time.monotonic() - began, where)
    if "No error has been found" not in out or depth is None:
        return None, kinds, "TLC came to no end, %s" % took
    if int(depth.group(1)) == states:
        return True, kinds, "all %d lines are explained, %s" % (len(lines), took)
    refused = re.findall(r'^<<\s*"refused",\s*(\d+),\s*(.*?)\s*>>$', out, re.S | re.M)
    if refused:
        number, why = refused[-1][0], " ".join(re.sub(r'<<|>>|"|,', " ", refused[-1][1]).split())
    else:  # the state that has no successor: find its line by counting
        left, number, why = int(depth.group(1)), 0, "no action allows it"
        for line in lines:
            left -= 1 + (line["dt"] > 0)
            number = line["n"]
            if left <= 0:
                break
    with open(path) as file:
        told = file.read().splitlines()[int(number) - 1]
    return False, kinds, "line %s is refused: %s\n       %s\n       %s" % (number, why, told, took)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-seeds", type=int, default=20, help="how many runs of the real core (default 20)")
    parser.add_argument("-first", type=int, default=1, help="the first of their seeds")
    parser.add_argument("-steps", type=int, default=STEPS, help="events of the simulator in each (default %d)" % STEPS)
    parser.add_argument("-mutant", type=int, default=0, help="only runs of this one of the core's mutants")
    parser.add_argument("-leases", action="store_true", help="only runs of three masters")
    parser.add_argument("-witness", action="store_true", help="only runs of two masters and a witness")
    parser.add_argument("-file", help="only this history, as `sim --seed=N --history=FILE` wrote it")
    options = parser.parse_args()
    model.fetch_jar()
    if options.file:
        good, _, said = check(0, 0, 0, False, options.file)
        print(said)
        return 0 if good else 1
    wanted = []
    for witness, mutants in ((False, MUTANTS), (True, WITNESS_MUTANTS)):
        if options.witness and not witness or options.leases and witness:
            continue
        sample = range(options.first, options.first + options.seeds)
        wanted += [(seed, options.steps, options.mutant, witness) for seed in sample]
        if not options.mutant and options.first == 1:
            # It must be the mutant that is refused, not something that is wrong anyway.
            wanted += [(seed, STEPS, 0, witness) for seed in sorted({seed for _, seed in mutants}) if seed not in sample]
            wanted += [(seed, STEPS, mutant, witness) for mutant, seed in mutants]
    began, bad, kinds, lines = time.monotonic(), 0, collections.Counter(), 0
    with concurrent.futures.ThreadPoolExecutor(int(os.environ.get("JOBS", "2"))) as pool:
        for (seed, _, mutant, witness), (good, seen, said) in zip(wanted, pool.map(lambda one: check(*one), wanted)):
            right = good is (not mutant)
            if not mutant:
                kinds.update(seen)
                lines += sum(seen.values())
            bad += not right
            print("%-4s seed %d%s%s: %s" % ("ok" if right else "BAD", seed, " with a witness" * witness,
                                            " of mutant %d" % mutant if mutant else "", said), flush=True)
    must = () if options.mutant or options.seeds < 10 else \
        (() if options.witness else KINDS) + (() if options.leases else WITNESS_KINDS)
    missing = [kind for kind in must if not kinds[kind]]
    if missing:
        print("nothing was proven: no line of the kinds %s" % ", ".join(missing))
    print("%s: %d runs, %d not as they must be; %d lines of the core explained, %d of them reads by lease, %.0f s" %
          ("FAILED" if bad or missing else "PASSED", len(wanted), bad, lines, kinds["read"], time.monotonic() - began))
    return 1 if bad or missing else 0


if __name__ == "__main__":
    sys.exit(main())
