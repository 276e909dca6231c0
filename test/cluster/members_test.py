#!/usr/bin/env python3
"""Masters come and go, as real processes: begun one by one with the commands of the cheat sheet, started again without
-peers; added, removed, replaced and handed over by the shell while files are written.

Each story of the beginning is told twice: on this machine (free ports), and with the very commands, ports included, in
a network namespace that has nothing but loopback. Namespaces need root; without it those stories are skipped.
"""
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time

from harness import (Client, Cluster, Failure, Http, Load, NETWORK_ERRORS, Process, WEED, check, free_port, payload,
                     run, until)

LOOPBACK_ONLY = "HOLDFAST_TEST_LOOPBACK_ONLY"

MASTERS = """
weed master -port=9333 -mdir=./1
weed master -port=9334 -mdir=./2 -peers=localhost:9333
weed master -port=9335 -mdir=./3 -peers=localhost:9334
"""
VOLUMES = """
weed volume -dir=./1 -port=8080
weed volume -dir=./2 -port=8081 -mserver=localhost:9334
weed volume -dir=./3 -port=8082 -mserver=localhost:9335
"""
SERVERS = """
weed server -master.port=9333 -dir=./1 -volume.port=8080
weed server -master.port=9334 -dir=./2 -volume.port=8081 -master.peers=localhost:9333
weed server -master.port=9335 -dir=./3 -volume.port=8082 -master.peers=localhost:9334
"""


class Sheet:
    """The commands of the cheat sheet in one folder. With free ports when others may use the usual ones; then the one
    command that relies on the default master gets it named."""

    def __init__(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="holdfast-members-"))
        usual = os.environ.get(LOOPBACK_ONLY) is not None
        ports = {p: p if usual else free_port() for p in (9333, 9334, 9335, 8080, 8081, 8082)}
        self.ports = {str(usual_port): str(port) for usual_port, port in ports.items()}
        self.masters = [f"localhost:{ports[p]}" for p in (9333, 9334, 9335)]
        self.processes = []

    def commands(self, text):
        out = []
        for line in text.strip().splitlines():
            for usual, port in self.ports.items():
                line = line.replace(usual, port)
            words = line.split()[1:]
            if words[0] == "volume" and "-mserver" not in line and self.ports["9333"] != "9333":
                words.append(f"-mserver={self.masters[0]}")
            out.append(words)
        return out

    def add(self, name, words):
        argv = [WEED, "-logtostderr=true", *words]
        if words[0] != "master":  # a stop under test need not wait for clients to look elsewhere
            argv.append("-preStopSeconds=0" if words[0] == "volume" else "-volume.preStopSeconds=0")
        process = Process(name, argv, self.folder, {"TMPDIR": str(self.folder)})
        self.processes.append(process)
        return process.start()

    def status(self, i):
        return Http(1.0).json(self.masters[i], "/cluster/status")[1]

    def stats(self, i):
        return Http(1.0).json(self.masters[i], "/raft/stats")[1]

    def clusters(self):
        """The ids of all clusters that any process ever took part in."""
        return {c for p in self.processes for c in re.findall(r"takes part in cluster (\S+)", p.log())}

    def knows_all(self, i):
        """Whether master i lists the two others (by port: without -ip a host goes by the name it finds for itself)."""
        peers = " ".join(self.status(i).get("Peers", []))
        return all(f":{p}" in peers for j, p in enumerate(m.split(":")[1] for m in self.masters) if j != i)

    def in_word(self, i):
        return self.status(i).get("Leader") and self.knows_all(i)

    def wait_for_all(self):
        for i in range(3):
            until(f"master {i + 1} knows a leader and both others", lambda i=i: self.in_word(i))
        # As voters: each of them may be lost then. A learner is promoted when it has caught up.
        def voters():
            return all(self.stats(i)["num_peers"] == "2" for i in range(3))
        until("all three vote", voters)

    def stop(self):
        for process in self.processes:
            process.signal(15)
        for process in self.processes:
            process.stop()

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        if kind is not None:
            for p in self.processes:
                print(f"==== {p.name}\n{p.log()[-4000:]}", file=sys.stderr)
        for process in self.processes:
            process.kill()
        shutil.rmtree(self.folder, ignore_errors=True)


def without_peers(words):
    return [w for w in words if not w.startswith(("-peers=", "-master.peers="))]


def serves_survives_and_restarts(sheet, masters, volumes):
    client = Client(sheet.masters)
    sheet.wait_for_all()
    fid = until("an upload", lambda: client.upload(payload(1, 3000)))
    check(client.read(fid) == payload(1, 3000), "the file reads back wrong")
    # Any one may die: the one all others were pointed at, here.
    sheet.processes[0].kill()
    others = Client(sheet.masters[1:])
    second = until("an upload without the first master", lambda: others.upload(payload(2, 3000)))
    check(others.read(second) == payload(2, 3000), "the file reads back wrong without the first master")
    sheet.processes[0].start()
    sheet.wait_for_all()

    # All stop, and each master is started alone and without -peers: it knows the others from disk.
    sheet.stop()
    before = list(sheet.processes)
    sheet.processes.clear()
    for i, words in enumerate(masters):
        process = sheet.add(f"{before[i].name}-again", without_peers(words))
        until(f"master {i + 1} knows the others from disk", lambda i=i: sheet.knows_all(i))
        if i == 0:
            time.sleep(1)
            check(not sheet.status(0).get("Leader"), "one of three leads alone after the restart")
        if masters is not volumes and process.alive() and i == 2:
            for j, volume in enumerate(volumes):
                sheet.add(f"{before[3 + j].name}-again", volume)
    sheet.wait_for_all()
    for f, seed in ((fid, 1), (second, 2)):
        check(until("a read after the restart", lambda f=f: client.read(f)) == payload(seed, 3000),
              "a file reads back wrong after the restart")
    until("an upload after the restart", lambda: client.upload(b"again"))
    check(len(sheet.clusters()) == 1, f"more than one cluster was founded: {sheet.clusters()}")
    for process in sheet.processes:
        check(process.alive(), f"{process.name} has ended")


def six_commands(pause):
    with Sheet() as sheet:
        masters, volumes = sheet.commands(MASTERS), sheet.commands(VOLUMES)
        for i, words in enumerate(masters):
            sheet.add(f"master{i + 1}", words)
            if pause:
                until("it has a leader", lambda i=i: sheet.status(i).get("Leader"))
        for i, words in enumerate(volumes):
            sheet.add(f"volume{i + 1}", words)
        serves_survives_and_restarts(sheet, masters, volumes)


def three_servers(pause):
    with Sheet() as sheet:
        servers = sheet.commands(SERVERS)
        for i, words in enumerate(servers):
            sheet.add(f"server{i + 1}", words)
            if pause:
                until("it has a leader", lambda i=i: sheet.status(i).get("Leader"))
        serves_survives_and_restarts(sheet, servers, servers)


def masters_begun_one_by_one():
    six_commands(pause=True)


def masters_begun_at_once():
    six_commands(pause=False)


def servers_begun_one_by_one():
    three_servers(pause=True)


def servers_begun_at_once():
    three_servers(pause=False)


BEGINNINGS = [masters_begun_one_by_one, masters_begun_at_once, servers_begun_one_by_one, servers_begun_at_once]


def with_nothing_but_loopback():
    """Hazard 10 of spec/moosefs-ha 15: the same stories, the usual ports and all, where there is no other interface than lo."""
    if os.geteuid() != 0:
        print("  skipped: network namespaces need root")
        return
    name = f"hfl{os.getpid()}"

    def sh(*argv):
        return subprocess.run(argv, capture_output=True, text=True)
    if sh("ip", "netns", "add", name).returncode != 0:
        print("  skipped: no network namespace can be made here")
        return
    try:
        if sh("ip", "netns", "exec", name, "true").returncode != 0:
            print("  skipped: network namespaces cannot be entered here (a plain chroot?)")
            return
        check(sh("ip", "netns", "exec", name, "ip", "link", "set", "lo", "up").returncode == 0, "no loopback")
        links = sh("ip", "netns", "exec", name, "ip", "-o", "link", "show", "up").stdout
        check(links.count("\n") == 1 and " lo:" in links, f"not only loopback: {links}")
        done = subprocess.run(["ip", "netns", "exec", name, sys.executable, __file__],
                              env={**os.environ, LOOPBACK_ONLY: name})
        check(done.returncode == 0, "see above")
    finally:
        sh("ip", "netns", "del", name)


# --- the shell, and members changed while files are written ------------------------------------------------------------

def shell(masters, *lines, flags=(), timeout=60):
    """(stdout, stderr) of the lines given to `weed shell` on its input."""
    done = subprocess.run([WEED, "-alsologtostderr=false", "shell", f"-master={','.join(masters)}", *flags],
                          input="\n".join(lines) + "\n", capture_output=True, text=True, timeout=timeout)
    check(done.returncode == 0, f"the shell ended with {done.returncode}: {done.stderr}")
    return done.stdout, done.stderr


def raft_ps(masters):
    """{grpc port: (id, suffrage)} as the shell shows them."""
    out, err = shell(masters, "cluster.raft.ps")
    check(not err, err)
    lines = out.splitlines()
    rows = [re.fullmatch(r"  \* (\S+) \S+:(\d+) \((Leader|Voter|Nonvoter)\)", line) for line in lines[1:]]
    check(all(rows), f"unexpected lines: {out}")
    check(lines[0] == f"the raft cluster has {len(rows)} servers", lines[0])
    return {int(row[2]) - 10000: (row[1], row[3]) for row in rows}


def the_shell_reads_lines_and_goes_on_after_errors():
    with Cluster() as cluster:
        cluster.wait_writable()
        ports = cluster.master_ports
        rows = raft_ps([cluster.masters[1]])
        check(sorted(rows) == sorted(ports), f"{rows}")
        leader = cluster.leader()
        check([p for p, (_, s) in rows.items() if s == "Leader"] == [ports[leader]], f"{rows}, leads {leader}")
        check(sorted(s for _, s in rows.values()) == ["Leader", "Voter", "Voter"], f"{rows}")

        out, err = shell(cluster.masters, "cluster.raft.ps; nosuch", "volume.fsck", "volume.balance -apply", "# text",
                         "cluster.raft.add -nosuch=1", "cluster.raft.remove", "lock; unlock", 'help "cluster.raft.add"',
                         "volume.list -v=3", "exit", "cluster.raft.ps")
        check(out.count("the raft cluster has") == 1, f"exit did not end it: {out}")
        for part in ("unknown command: nosuch\n", "unknown command: volume.fsck\n  it comes with a later release",
                     "unknown command: #\n", "flag provided but not defined: -nosuch\nUsage of cluster.raft.add:\n  -address",
                     "error: -id must say which master", 'error: need to run "lock" first to continue'):
            check(part in err, f"not on stderr: {part!r}\n{err}")
        for part in ("  cluster.raft.add\t# adds a master", "Topology volumeSizeLimit:128 MB hdd(volume:", "      DataNode "):
            check(part in out, f"not on stdout: {part!r}\n{out}")
        check("volume id:" not in out, "-v=3 shows volumes")
        for i in range(5):
            Client(cluster.masters).upload(payload(i, 100), "collection=pictures")
        out, err = until("five files are reported",
                         lambda: (lambda o: o if re.search("^Total volumes:.* file_count:5 ", o[0], re.M) else None)(
                             shell(cluster.masters, "volume.list -collectionPattern=pic*", "collection.list")), 10)
        check('collection:"pictures"' in out and " collections.\n" in out, out)
        out, _ = shell(cluster.masters, "cluster.ps")
        check(all(f":{p}" in out for p in cluster.volume_ports), out)
        out, _ = shell(cluster.masters, "help")
        check("  cluster.raft.transferLeader " in out, out)


def the_shell_says_when_nobody_leads_and_when_nobody_answers():
    with Cluster(volumes=0) as cluster:
        cluster.leader()
        for process in cluster.master_processes[1:]:
            process.kill()
        rows = until("the list without a leader",
                     lambda: (lambda r: r if not any(s == "Leader" for _, s in r.values()) else None)(
                         raft_ps(cluster.masters[:1])))
        check(len(rows) == 3, f"{rows}")
        begin = time.monotonic()
        _, err = shell(cluster.masters[:1], "cluster.raft.transferLeader")
        check("error: the masters have no leader" in err and time.monotonic() - begin < 50, err)


def new_master(cluster, peers, name):
    """Another master, not started; `peers` is what its flag says."""
    port = free_port()
    (cluster.folder / name).mkdir()
    argv = [WEED, "-logtostderr=true", "master", f"-ip={cluster.host}", f"-port={port}", f"-mdir=./{name}",
            f"-peers={peers}", "-volumeSizeLimitMB=128"]
    process = Process(name, argv, cluster.folder, {"TMPDIR": str(cluster.folder)})
    cluster.masters.append(f"{cluster.host}:{port}")
    cluster.master_ports.append(port)
    cluster.master_processes.append(process)
    return len(cluster.masters) - 1


def voters(cluster, *, at=None):
    rows = raft_ps([m for m, p in zip(cluster.masters, cluster.master_processes) if p.alive()] if at is None else at)
    return sorted(cluster.master_ports.index(p) for p, (_, s) in rows.items() if s != "Nonvoter")


def members_change_while_files_are_written():
    with Cluster() as cluster:
        cluster.wait_writable()
        load = Load(cluster.masters[:3], writers=3).start()
        try:
            # The lead goes round, to the one named by address and by id, and to the best heir.
            for turn in range(4):
                leader = cluster.leader()
                rows = raft_ps(cluster.masters)
                other = (leader + 1) % 3
                port = cluster.master_ports[other]
                wish = [f"-address={cluster.masters[other]}", f"-id={rows[port][0]}", "",
                        f"-address={cluster.host}:{port + 10000}"][turn]
                out, err = shell(cluster.masters, f"cluster.raft.transferLeader {wish}")
                who = out.strip().removeprefix(f"leadership went from {cluster.masters[leader]} to ")
                check(not err and who in cluster.masters, f"{out}{err}, not to one of {cluster.masters}")
                now = cluster.leader()
                check(now == other if wish else now != leader, f"{now} leads after {wish}: {out}")

            # A fourth joins by -peers; a fifth is added as one that only learns, and votes when asked again.
            fourth = new_master(cluster, cluster.masters[0], "m4")
            cluster.master_processes[fourth].start()
            until("the fourth votes", lambda: voters(cluster) == [0, 1, 2, 3])
            fifth = new_master(cluster, cluster.masters[0] + ",localhost:1", "m5")
            # It waits for a master that never comes, so it founds nothing; the cluster it names invites it as a learner
            # that votes later. So take a name only, which no cluster answers.
            process = cluster.master_processes[fifth]
            process.argv = [a if not a.startswith("-peers=") else f"-peers={cluster.masters[fifth]},localhost:1"
                            for a in process.argv]
            process.start()
            until("the fifth answers", lambda: Http(1.0).json(cluster.masters[fifth], "/cluster/status"))
            out, err = shell(cluster.masters[:3], f"cluster.raft.add -id={cluster.masters[fifth]} -voter=false")
            check(not err, err)
            until("the fifth learns", lambda: raft_ps(cluster.masters[:3])[cluster.master_ports[fifth]][1] == "Nonvoter")
            time.sleep(0.5)
            check(voters(cluster) == [0, 1, 2, 3], "a learner that was not to vote votes")
            out, err = shell(cluster.masters[:3], f"cluster.raft.add -id={cluster.masters[fifth]}")
            check(not err, err)
            until("the fifth votes", lambda: voters(cluster) == [0, 1, 2, 3, 4])

            # Removed: a dead one by address, a living one by id, and the leader, who hands over first.
            dead = next(i for i in (0, 1, 2) if i != cluster.leader())
            cluster.master_processes[dead].kill()
            out, err = shell(cluster.masters, f"cluster.raft.remove -id={cluster.masters[dead]}")
            check(not err, err)
            expected = [i for i in range(5) if i != dead]
            check(voters(cluster) == expected, f"{voters(cluster)}")
            leader = cluster.leader()
            out, err = shell(cluster.masters, f"cluster.raft.remove -id={raft_ps(cluster.masters)[cluster.master_ports[leader]][0]}")
            check(not err, err)
            until("the removed leader ends", lambda: not cluster.master_processes[leader].alive())
            check("was removed" in cluster.master_processes[leader].log(), "a removed master does not say so")
            expected.remove(leader)
            until("three are left", lambda: voters(cluster) == expected)

            # The dead one returns from its old disk: told that it was removed, it ends and disturbs nobody.
            before = cluster.leader(among=expected)
            cluster.master_processes[dead].start()
            until("the one removed while dead ends", lambda: not cluster.master_processes[dead].alive())
            check("is not a member of this cluster any more" in cluster.master_processes[dead].log(),
                  "it does not say that it was removed")
            check(cluster.leader(among=expected) == before, "the removed one's return changed who leads")
            from recover_test import recover  # which imports this file
            for i, was in ((leader, "running"), (dead, "down")):
                code, _, err = recover(cluster, i, "-yes")
                check(code == 1 and "is no member of its cluster any more" in err, f"recover of one removed while {was}: {code} {err}")

            # Replaced: with its folder emptied it joins as a new member at the same place.
            shutil.rmtree(cluster.folder / f"m{dead + 1}")
            (cluster.folder / f"m{dead + 1}").mkdir()
            cluster.master_processes[dead].argv = [
                a if not a.startswith("-peers=") else f"-peers={cluster.masters[expected[0]]}"
                for a in cluster.master_processes[dead].argv]
            cluster.master_processes[dead].start()
            expected = sorted(expected + [dead])
            until("the replaced one votes", lambda: voters(cluster) == expected)
            # Nobody can be removed so that the others would be no living majority.
            a, b = [i for i in expected if i != cluster.leader()][:2]
            cluster.master_processes[a].kill()
            out, err = shell(cluster.masters, f"cluster.raft.remove -id={cluster.masters[b]}")
            check(not err or "no majority would be alive" in err, err)
            cluster.master_processes[a].start()
            time.sleep(1)
        finally:
            load.stop()
        load.masters = cluster.masters
        load.verify()
        print(f"  {len(load.acknowledged)} files written meanwhile, {load.failures} tries failed")


def a_changed_ip_heals_itself():
    """One master is called otherwise at its next start, then all of them at once: the others, the volume servers and the
    next start without -peers all know."""
    with Cluster() as cluster:
        cluster.wait_writable()
        load = Load(cluster.masters, writers=2).start()
        try:
            def rename(process, ip):
                process.argv = [f"-ip={ip}" if a.startswith("-ip=") else a for a in process.argv]

            def known_as(i, name):
                def seen():
                    return all(f"{name}:{cluster.master_ports[i]}." in " ".join(
                        Http(1.0).json(m, "/cluster/status")[1].get("Peers", []))
                        for j, m in enumerate(cluster.masters) if j != i)
                until(f"master {i + 1} is known as {name}", seen)
            for i in (cluster.leader(), (cluster.leader() + 1) % 3):
                process = cluster.master_processes[i]
                process.stop()
                rename(process, "127.0.0.1")
                process.argv = without_peers(process.argv)
                process.start()
                known_as(i, "127.0.0.1")
                cluster.leader()
            # All at once, with the new list; the volume servers stay as they are.
            for process in cluster.master_processes:
                process.stop()
            for process in cluster.master_processes:
                rename(process, "127.0.0.2")
                process.argv = without_peers(process.argv) + [
                    "-peers=" + ",".join(f"127.0.0.2:{p}" for p in cluster.master_ports)]
                process.start()
            cluster.masters = [f"127.0.0.2:{p}" for p in cluster.master_ports]
            for i in range(3):
                known_as(i, "127.0.0.2")
            cluster.leader()
            # From disk alone.
            for process in cluster.master_processes:
                process.stop()
                process.argv = without_peers(process.argv)
            for process in cluster.master_processes:
                process.start()
            cluster.leader()
        finally:
            load.stop()
        load.masters = cluster.masters
        until("an upload under the new names", lambda: Client(cluster.masters).upload(b"x"))
        load.verify()


def a_longer_list_after_a_stop_brings_the_new_ones_in():
    with Cluster() as cluster:
        cluster.wait_writable()
        fid = Client(cluster.masters).upload(payload(1, 100))
        for process in cluster.master_processes:
            process.stop()
        for name in ("m4", "m5"):
            new_master(cluster, "", name)
        for process in cluster.master_processes:
            process.argv = without_peers(process.argv) + ["-peers=" + ",".join(cluster.masters)]
            process.start()
        until("five vote", lambda: voters(cluster) == [0, 1, 2, 3, 4])
        log = "".join(p.log() for p in cluster.master_processes[:3])
        check("-peers differs from the stored members" in log, "no line tells the difference")
        for i in (0, 1):
            cluster.master_processes[i].kill()
        client = Client(cluster.masters[2:])
        until("an upload with two of five lost", lambda: client.upload(b"x"))
        check(client.read(fid) == payload(1, 100), "reads back wrong")


def a_strangers_master_is_refused_in_words():
    with Cluster() as cluster, Cluster(masters=1, volumes=1) as stranger:
        cluster.wait_writable()
        stranger.wait_writable()
        fid = Client(stranger.masters).upload(payload(1, 100))
        process = stranger.master_processes[0]
        process.stop()
        process.argv = without_peers(process.argv) + [f"-peers={cluster.masters[0]}"]
        process.start()
        until("it says what to do", lambda: "Both may hold files, so they cannot become one" in process.log())
        check(len(raft_ps(cluster.masters)) == 3, "a stranger became a member")
        until("its own files", lambda: Client(stranger.masters).read(fid) == payload(1, 100))
        _, err = shell(cluster.masters, f"cluster.raft.add -id={stranger.masters[0]}")
        check("belongs to another cluster" in err, err)
        check(len(raft_ps(cluster.masters)) == 3, "a stranger was added")
        # One that holds nothing is told how to come.
        lone = new_master(cluster, "none", "m4")
        cluster.master_processes[lone].start()
        until("it leads itself", lambda: Http(1.0).json(cluster.masters[lone], "/cluster/status")[1].get("IsLeader"))
        until("it is told how it would join", lambda: "which it founded by itself and which holds nothing: start it again with "
              "-peers=" in shell(cluster.masters[:3], f"cluster.raft.add -id={cluster.masters[lone]}")[1])


if __name__ == "__main__":
    if os.environ.get(LOOPBACK_ONLY):
        run(BEGINNINGS)
    run(BEGINNINGS + [with_nothing_but_loopback, the_shell_reads_lines_and_goes_on_after_errors,
                      the_shell_says_when_nobody_leads_and_when_nobody_answers, members_change_while_files_are_written,
                      a_changed_ip_heals_itself, a_longer_list_after_a_stop_brings_the_new_ones_in,
                      a_strangers_master_is_refused_in_words])
