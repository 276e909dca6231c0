#!/usr/bin/env python3
"""The maintenance commands of `weed shell` against live clusters: the lock, dry runs that change nothing, volumes moved
while files are written, lost copies made again and surplus ones dropped, balance and evacuation, erasure coding there and
back. What was acknowledged must read back byte for byte at every step, and what was deleted must stay so.
"""
import re
import signal
import subprocess
import time

from harness import BIN, ROOT, WEED, Client, Cluster, Failure, Http, Load, check, payload, run, until
from tls_test import protected


def shell_process(cluster):
    return subprocess.Popen([WEED, "-logtostderr=true", "shell", "-master=" + ",".join(cluster.masters)], cwd=cluster.folder,
                            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def shell(cluster, commands, fails=None, seconds=120):
    """What it printed; its stderr must be empty, or hold `fails`."""
    process = shell_process(cluster)
    try:
        out, errors = process.communicate(commands, timeout=seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        raise Failure(f"{commands!r} took over {seconds} s: {process.communicate()}")
    check(process.returncode == 0, f"{commands!r}: exit {process.returncode}: {errors}")
    if fails is None:
        check(errors == "", f"{commands!r}: {out}{errors}")
    else:
        check(fails in errors, f"{commands!r}: expected {fails!r}, not {errors!r}; {out}")
    return out


def tree(cluster):
    """server -> {volume: line} as volume.list shows them; shards as (volume, shard)."""
    out, server = {}, None
    for line in shell(cluster, "volume.list\n").splitlines():
        if found := re.match(r"\s+DataNode (\S+) ", line):
            server = found[1]
            out[server] = {}
        elif found := re.match(r"\s+volume id:(\d+) ", line):
            out[server][int(found[1])] = line.strip()
        elif found := re.match(r"\s+ec volume id:(\d+) .*shards:\[([\d ]*)\]", line):
            for shard in found[2].split():
                out[server][int(found[1]), int(shard)] = line.strip()
    return out


def holders(cluster, volume):
    return sorted(server for server, volumes in tree(cluster).items() if volume in volumes)


def files(client, count, query="", sizes=(1, 60_000)):
    """fid -> bytes, of files that were uploaded."""
    out = {}
    for i in range(count):
        data = payload(i, sizes[0] + (i * 7919) % (sizes[1] - sizes[0]))
        out[client.upload(data, query)] = data
    return out


def verify(client, written, deleted=()):
    for fid, data in written.items():
        if fid in deleted:
            try:
                places = client.lookup(fid.split(",")[0])["locations"]
            except Failure as error:
                # Nothing was left in its volume. A master that has just been started knows only a moment later that nobody will tell of it.
                check("not found" in str(error) or "warming up" in str(error), error)
                continue
            for location in places:
                status, _, _ = client.http.request("GET", location["url"], "/" + fid)
                check(status == 404, f"{fid} at {location['url']} was deleted and answers {status}")
        else:
            check(client.read(fid) == data, f"{fid} reads back other bytes")


def delete(client, fid):
    url = client.lookup(fid.split(",")[0])["locations"][0]["url"]
    status, _, body = client.http.request("DELETE", url, "/" + fid)
    check(status == 202, f"DELETE {fid}: {status} {body!r}")


# --- the lock, and what needs it ---

def the_lock_keeps_others_out():
    with Cluster(masters=3, volumes=1) as cluster:
        cluster.wait_writable()
        shell(cluster, "volume.mark -volumeId=1 -readonly\n", fails='error: need to run "lock" first to continue')
        out = shell(cluster, "collection.delete -collection=x\n", fails='error: need to run "lock" first to continue')
        check(out == 'Running in simulation mode. Use "-apply" option to apply the changes.\n', out)
        shell(cluster, "lock; unlock\nlock\nunlock\n")
        first = shell_process(cluster)
        first.stdin.write("lock\nvolume.list\n")
        first.stdin.flush()
        first.stdout.readline()  # so it has the lock
        # It is renewed past its ten seconds, and over the death of the leader that gave it.
        time.sleep(3)
        victim = cluster.leader()
        cluster.master_processes[victim].kill()
        time.sleep(9)
        second = shell_process(cluster)
        second.stdin.write("lock\ncollection.delete -collection=x -apply\n")
        second.stdin.flush()
        time.sleep(1.5)
        check(second.poll() is None, "the second shell did not wait")
        first.stdin.write("volume.vacuum.disable\nvolume.vacuum.enable\nunlock\n")
        first.stdin.close()
        check(first.stderr.read() == "", "the first shell lost its lock")
        first.stdout.read()
        first.wait(10)
        out, errors = second.communicate(timeout=30)
        check("waiting for the admin lock, which" in errors and "error" not in errors, errors)
        check("collection x is deleted." in out, out)


def a_lost_lock_is_told():
    with Cluster(masters=1, volumes=1) as cluster:
        cluster.wait_writable()
        first = shell_process(cluster)
        first.stdin.write("lock\nvolume.list\n")
        first.stdin.flush()
        first.stdout.readline()
        first.send_signal(signal.SIGSTOP)  # or it might renew before the second one asks
        masters = "-master=" + ",".join(cluster.masters)
        subprocess.run([str(BIN / "holdfast"), "kv", masters, "delete", "admin-locks/shell"], check=True, timeout=20,
                       capture_output=True, cwd=cluster.folder)
        second = shell_process(cluster)
        second.stdin.write("lock\nvolume.list\n")
        second.stdin.flush()
        second.stdout.readline()
        first.send_signal(signal.SIGCONT)
        line = first.stderr.readline()
        check("the admin lock is lost" in line, line)
        first.stdin.write("collection.delete -collection=x -apply\n")
        out, errors = first.communicate(timeout=20)
        check('need to run "lock" first' in errors and "is deleted" not in out, out + errors)
        out, errors = second.communicate("collection.delete -collection=x -apply\n", timeout=20)
        check("collection x is deleted." in out and errors == "", out + errors)


def simple_commands():
    flags = ["-max=20", "-rack=r1"]
    with Cluster(masters=1, volumes=2, volume_flags=flags) as cluster:
        cluster.wait_writable()
        client = Client(cluster.masters)
        written = files(client, 20, "collection=kept")
        files(client, 5, "collection=gone")
        volume = int(list(written)[-1].split(",")[0])  # the first ones are deleted below; this one is never empty
        before = tree(cluster)
        out = shell(cluster, "lock\ncollection.delete -collection=gone\nvolume.deleteEmpty -quietFor=0s\nvolumeServer.leave "
                             f"-node={cluster.volumes[0]}\nunlock\nvolume.fix.replication\n")
        check("collection 'gone' will be deleted. Use -apply to apply the change." in out, out)
        check(tree(cluster).keys() == before.keys() and
              all(tree(cluster)[s].keys() == before[s].keys() for s in before), "a dry run changed something")
        out = shell(cluster, "lock\ncollection.delete -collection=gone -apply\ncollection.list\n")
        check("collection gone is deleted." in out and '"gone"' not in out and '"kept"' in out, out)

        grown = len(sum((list(v) for v in tree(cluster).values()), []))
        shell(cluster, "volume.grow -collection=kept -count=3\n")
        until("the new volumes are told of", lambda: len(sum((list(v) for v in tree(cluster).values()), [])) == grown + 3)
        shell(cluster, "volume.grow\n", fails="error: collection option is required")
        shell(cluster, "volume.grow -collection=nosuch\n", fails="error: collection not found")

        node = holders(cluster, volume)[0]
        out = shell(cluster, f"lock\nvolume.mark -volumeId={volume} -readonly\nvolume.list -volumeId={volume} -readonly\n")
        check(f"volume {volume} at {node}: read-only" in out, out)
        until("it is told read-only", lambda: "read_only:true" in tree(cluster)[node][volume])
        check(f"volume id:{volume} " not in shell(cluster, "volume.list -writable\n"), "listed as writable")
        shell(cluster, f"lock\nvolume.mark -volumeId={volume} -node={node} -writable\n")
        until("it is told writable", lambda: "read_only" not in tree(cluster)[node][volume])
        shell(cluster, f"lock\nvolume.mark -volumeId={volume}\n", fails="one of -writable, -readonly and -readonlyCanDelete")

        shell(cluster, f"lock\nvolume.unmount -volumeId={volume} -node={node}\n")
        until("it is gone", lambda: holders(cluster, volume) == [])
        shell(cluster, f"lock\nvolume.mount -volumeId={volume} -node={node}\n")
        until("it is back", lambda: holders(cluster, volume) == [node])
        verify(client, written)

        shell(cluster, f"lock\nvolume.configure.replication -volumeId={volume} -replication=001\n")
        until("its placement is told", lambda: "replica_placement:1 " in tree(cluster)[node][volume])
        shell(cluster, f"lock\nvolume.configure.replication -volumeId={volume} -replication=000\n")
        shell(cluster, f"lock\nvolume.configure.replication -volumeId={volume}\n", fails="-replication must say")

        for fid in list(written)[:10]:
            delete(client, fid)
        shell(cluster, f"lock\nvolume.vacuum.disable\nvolume.vacuum.enable\nvolume.vacuum -garbageThreshold=0.01\n")
        verify(client, written, deleted=list(written)[:10])
        out = shell(cluster, f"lock\nvolume.scrub -volumeId={volume}\nvolume.scrub -mode=index\n")
        check("scrubbed 1 volumes with" in out and "0 broken" in out, out)

        out = shell(cluster, "cluster.check\n")
        check(f"volumeServer {cluster.volumes[0]}: ok" in out, out)
        out = shell(cluster, "cluster.status\n")
        check("volume servers: 2 in 1 data centers and 1 racks" in out, out)
        check(f"leader {cluster.masters[cluster.leader()]}\n" in out, out)
        shell(cluster, f"volumeServer.state -nodes={node} -maintenanceOn\n", fails='need to run "lock"')
        out = shell(cluster, f"lock\nvolumeServer.state -nodes={node} -maintenanceOn\nvolumeServer.state\n")
        check(out.count("maintenance:true") == 2 and out.count("maintenance:false") == 1, out)
        shell(cluster, f"lock\nvolumeServer.state -nodes={node} -maintenanceOff\n")

        shell(cluster, "lock\nvolume.deleteEmpty -quietFor=0s -apply\n")
        check(volume in tree(cluster)[node], "a volume with files was deleted as empty")
        verify(client, written, deleted=list(written)[:10])
        out = shell(cluster, f"lock\nvolumeServer.leave -node={node} -apply\n")
        until("the server is let go", lambda: node not in tree(cluster))


def a_server_that_was_told_to_leave_gets_no_more_volumes():
    with Cluster(masters=1, volumes=3, volume_flags=["-max=20"]) as cluster:
        cluster.wait_writable()
        for n in range(3):
            files(Client(cluster.masters), 5, f"collection=c{n}")
        node = cluster.volumes[0]
        shell(cluster, f"lock\nvolumeServer.evacuate -node={node} -apply\n")
        until("it is empty", lambda: not tree(cluster)[node])
        out = shell(cluster, "lock\nvolume.balance\n")
        check(node in out, f"the balance would not fill it, so this shows nothing: {out}")
        # In maintenance it is as full.
        full = cluster.volumes[1]
        move = f"volume.move -volumeId={next(iter(tree(cluster)[full]))} -source={full} -target={node}\n"
        shell(cluster, f"lock\nvolumeServer.state -nodes={node} -maintenanceOn\n")
        until("no volume goes there", lambda: node not in shell(cluster, "lock\nvolume.balance\n"))
        shell(cluster, "lock\n" + move, fails=f"{node} takes no volume of type hdd: it is full, leaving, or in maintenance")
        shell(cluster, f"lock\nvolumeServer.state -nodes={node} -maintenanceOff\n")
        until("volumes go there", lambda: node in shell(cluster, "lock\nvolume.balance\n"))
        shell(cluster, f"lock\nvolumeServer.leave -node={node} -apply\n{move}", fails="it is full, leaving, or in maintenance")
        out = shell(cluster, f"lock\nvolumeServer.leave -node={node} -apply\nvolume.balance -apply\n")
        check(node not in out.split("reports to the masters no more")[1], out)
        until("the server is let go", lambda: node not in tree(cluster))


def every_command_has_help_and_a_line_in_the_docs():
    with Cluster(masters=1, volumes=0) as cluster:
        listed = re.findall(r"^  (\S+) +# \S", shell(cluster, "help\n"), re.M)
        check(len(listed) > 35, listed)
        page = (ROOT / "docs/shell.md").read_text()
        rows = " ".join(line.split("|")[1] for line in page.splitlines() if line.startswith("| `"))
        for name in listed:
            family, _, last = name.rpartition(".")
            check(f"`{name}`" in rows or f"`.{last}`" in rows and f"`{family}" in rows or name == "exit",
                  f"docs/shell.md has no row for {name}")
            if name == "exit":
                continue
            flags = re.findall(r"^  -(\w+)", shell(cluster, f"help {name}\n"), re.M)
            known = page + (ROOT / "docs/operations.md").read_text()
            for flag in flags:
                check(f"-{flag}" in known or flag in ("timeout", "shardReplicaPlacement", "maxParallelizationPerServer", "verbose"),
                      f"the docs do not tell of {name} -{flag}")
        shell(cluster, "nosuch\n", fails="unknown command: nosuch\n")
        shell(cluster, "volume.fsck\n", fails="it comes with a later release")
        shell(cluster, "volume.list -nosuch\n", fails="flag provided but not defined: -nosuch")


# --- moves ---

def volumes_move_while_files_are_written():
    with Cluster(masters=1, volumes=3, volume_flags=["-max=40", "-rack=r1"]) as cluster:
        cluster.wait_writable()
        client = Client(cluster.masters)
        client.upload(b"first", "replication=001&collection=moving")
        load = Load(cluster.masters, writers=4, sizes=(1, 30_000), query="replication=001&collection=moving").start()
        removed, kept = {}, files(client, 60, "replication=001&collection=moving")
        try:
            moves = 0
            for _ in range(2):
                for volume in sorted({int(fid.split(",")[0]) for fid in kept}):
                    present = holders(cluster, volume)
                    if len(present) != 2:
                        continue
                    target = next(v for v in cluster.volumes if v not in present)
                    gone = next((f for f in kept if f not in removed and int(f.split(",")[0]) == volume), None)
                    if gone:
                        delete(client, gone)
                        removed[gone] = True
                    shell(cluster, f"lock\nvolume.move -volumeId={volume} -source={present[0]} -target={target}\n")
                    moves += 1
                    until("it moved", lambda: holders(cluster, volume) == sorted([present[1], target]))
                    until("it takes writes again", lambda: all("read_only" not in tree(cluster)[s][volume]
                                                               for s in holders(cluster, volume)))
        finally:
            load.stop()
        check(moves >= 4, f"only {moves} moves")
        check(len(load.acknowledged) > 50, f"only {len(load.acknowledged)} files were written meanwhile")
        load.verify()
        verify(client, kept, deleted=removed)
        # What cannot be done leaves the volume as it was, and writable.
        volume = int(next(iter(kept)).split(",")[0])
        present = holders(cluster, volume)
        shell(cluster, f"lock\nvolume.move -volumeId={volume} -source={present[0]} -target={present[1]}\n",
              fails=f"has volume {volume} already")
        shell(cluster, f"lock\nvolume.move -volumeId={volume} -source={present[0]} -target={present[0]}\n",
              fails="source and target volume servers are the same!")
        check(holders(cluster, volume) == present, "it moved all the same")
        until("it is writable", lambda: all("read_only" not in tree(cluster)[s][volume] for s in present))
        print(f"  {moves} moves, {len(load.acknowledged)} files written meanwhile, {load.failures} tries failed")


def a_broken_move_leaves_the_volume_where_it_was():
    with Cluster(masters=1, volumes=2, volume_flags=["-max=40", "-rack=r1"]) as cluster:
        cluster.wait_writable()
        client = Client(cluster.masters)
        written = files(client, 60, "collection=stays", sizes=(200_000, 300_000))
        volume = max((int(f.split(",")[0]) for f in written), key=lambda v: sum(int(f.split(",")[0]) == v for f in written))
        source = holders(cluster, volume)[0]
        target = next(v for v in cluster.volumes if v != source)

        def a_slow_move():
            process = shell_process(cluster)
            process.stdin.write(f"lock\nvolume.move -volumeId={volume} -source={source} -target={target} -ioBytePerSecond=500000\n")
            process.stdin.flush()
            until("it copies", lambda: (cluster.folder / f"v{cluster.volumes.index(target) + 1}" / f"stays_{volume}.note").exists())
            until("the source is frozen", lambda: "read_only:true" in tree(cluster)[source][volume])
            return process

        def is_as_before():
            until("only the source has it", lambda: holders(cluster, volume) == [source])
            there = cluster.folder / f"v{cluster.volumes.index(target) + 1}"
            until("the target has removed what it had of it", lambda: not list(there.glob(f"stays_{volume}.*")))
            verify(client, written)

        # The target dies.
        process = a_slow_move()
        victim = cluster.volume_processes[cluster.volumes.index(target)]
        victim.kill()
        _, errors = process.communicate(timeout=60)
        check("error: VolumeCopy at" in errors, errors)
        until("the source takes writes again", lambda: "read_only" not in tree(cluster)[source][volume])
        victim.start()
        until("the target is back", lambda: target in tree(cluster))
        is_as_before()

        # The source dies, and is read-only when it comes back, as the shell said.
        process = a_slow_move()
        victim = cluster.volume_processes[cluster.volumes.index(source)]
        victim.kill()
        out, errors = process.communicate(timeout=60)
        check("error: " in errors and f"volume {volume} at {source} stays read-only" in out, out + errors)
        victim.start()
        until("the source is back", lambda: "read_only:true" in tree(cluster).get(source, {}).get(volume, ""))
        is_as_before()
        shell(cluster, f"lock\nvolume.mark -volumeId={volume} -writable\n")
        until("it takes writes again", lambda: "read_only" not in tree(cluster)[source][volume])

        # The shell is interrupted, and says what it leaves; its lock ends by itself.
        process = a_slow_move()
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
        check(process.returncode == 130 and f"volume.mark -volumeId={volume} -node={source} -writable" in errors, errors)
        is_as_before()
        shell(cluster, f"lock\nvolume.mark -volumeId={volume} -writable\n", fails="waiting for the admin lock")
        until("it takes writes again", lambda: "read_only" not in tree(cluster)[source][volume])
        shell(cluster, f"lock\nvolume.move -volumeId={volume} -source={source} -target={target}\n")
        until("it moved", lambda: holders(cluster, volume) == [target])
        verify(client, written)


def servers_are_filled_alike_and_emptied():
    with Cluster(masters=1, volumes=3, volume_flags=["-max=40", "-rack=r1"]) as cluster:
        cluster.wait_writable()
        client = Client(cluster.masters)
        written = {}
        for i in range(4):
            written.update(files(client, 8, f"collection=c{i}"))
        first = cluster.volumes[0]
        for other in cluster.volumes[1:]:
            before = tree(cluster)
            out = shell(cluster, f"volumeServer.evacuate -node={other} -target={first}\n")
            check("Running in simulation mode" in out and (not before[other] or "move volume" in out), out)
            check({s: set(v) for s, v in tree(cluster).items()} == {s: set(v) for s, v in before.items()}, "a dry run moved something")
            shell(cluster, f"lock\nvolumeServer.evacuate -node={other} -target={first} -apply\n")
            until("it is empty", lambda: tree(cluster)[other] == {})
        verify(client, written)
        count = len(tree(cluster)[first])
        before = tree(cluster)
        out = shell(cluster, "lock\nvolume.balance\n")
        check("move volume" in out, out)
        check({s: set(v) for s, v in tree(cluster).items()} == {s: set(v) for s, v in before.items()}, "a dry run moved something")
        shell(cluster, "lock\nvolume.balance -volumesPerExec=2 -apply\n")
        until("two moved", lambda: len(tree(cluster)[first]) == count - 2)
        shell(cluster, "lock\nvolume.balance -apply\n")
        until("all are filled alike", lambda: max(len(v) for v in tree(cluster).values()) -
              min(len(v) for v in tree(cluster).values()) <= 1)
        check("nothing to move" in shell(cluster, "lock\nvolume.balance\n"), "it would go on for ever")
        verify(client, written)
        print(f"  {count} volumes moved there and back")


def volumes_move_where_all_goes_by_mutual_tls():
    with protected(masters=1, volumes=2, volume_flags=["-max=40", "-rack=r1"]) as cluster:
        cluster.wait_writable()
        client = Client(cluster.masters)
        written = files(client, 10, "collection=tls")
        volume = int(next(iter(written)).split(",")[0])
        source = holders(cluster, volume)[0]
        target = next(v for v in cluster.volumes if v != source)
        shell(cluster, f"lock\nvolume.move -volumeId={volume} -source={source} -target={target}\n")
        check(holders(cluster, volume) == [target], "it did not move")
        shell(cluster, f"lock\nec.encode -volumeId={volume}\nec.decode -volumeId={volume}\n")
        verify(client, written)


# --- copies ---

def copies_are_made_again_and_surplus_ones_dropped():
    with Cluster(masters=1, volumes=3, volume_flags=["-max=40", "-rack=r1"]) as cluster:
        cluster.wait_writable()
        client = Client(cluster.masters)
        written = files(client, 60, "replication=001&collection=safe")
        deleted = list(written)[::7]
        for fid in deleted:
            delete(client, fid)
        volumes = sorted({int(fid.split(",")[0]) for fid in written})
        before = tree(cluster)
        lost = cluster.volumes[1]
        affected = [v for v in volumes if v in before[lost]]
        check(affected, f"{lost} has nothing")
        cluster.volume_processes[1].kill()
        until("it is forgotten", lambda: lost not in tree(cluster), 60)
        left = tree(cluster)
        out = shell(cluster, "volume.fix.replication\n")
        check(all(f"volume {v} of collection safe 001, under-replicated: 1 of 2 copies" in out for v in affected), out)
        check({s: set(v) for s, v in tree(cluster).items()} == {s: set(v) for s, v in left.items()}, "a dry run made something")
        out = shell(cluster, "lock\nvolume.fix.replication -collectionPattern=sa* -apply\n")
        check(all(f"volume {v}: the leader made a copy at " in out for v in affected), out)
        until("each has two copies", lambda: all(len(holders(cluster, v)) == 2 for v in volumes))
        until("and takes writes", lambda: all("read_only" not in line for v in tree(cluster).values() for line in v.values()))
        verify(client, written, deleted)
        # Files that go while the server is away must not come back with its old copies, whom nothing takes for new ones.
        late = [fid for fid in written if fid not in deleted and int(fid.split(",")[0]) in affected][:5]
        for fid in late:
            delete(client, fid)
        deleted += late
        extra = client.upload(b"a file more", "replication=001&collection=extra")
        cluster.volume_processes[1].start()
        until("its old copies are told that they are", lambda: all(
            f"volume {v}: the copy on {lost} is of before the volume was mended" in cluster.master_processes[0].log()
            for v in affected), 60)
        check(all(lost not in holders(cluster, v) and len(holders(cluster, v)) == 2 for v in affected), "an old copy counts")
        for fid in late:
            status = client.http.request("GET", lost, f"/{fid}?proxied=true")[0]
            check(status == 404, f"{fid} was deleted, and the old copy answers {status}")
        verify(client, written, deleted)

        # A copy too many.
        more = int(extra.split(",")[0])
        shell(cluster, f"lock\nvolume.copy -source={cluster.volumes[0]} -target={lost} -volumeId={more}\n")
        until("there is a third copy", lambda: len(holders(cluster, more)) == 3)
        shell(cluster, "lock\nvolume.check.disk -slow\n")
        out = shell(cluster, "lock\nvolume.fix.replication -apply\n")
        check("is equal to those that stay and is dropped" in out and re.search(rf"volume {more}: its copies are of epoch [1-9][0-9]* now", out), out)
        until("it has two copies again", lambda: len(holders(cluster, more)) == 2)
        until("and takes writes again", lambda: all("read_only" not in line for v in tree(cluster).values() for line in v.values()))
        check(client.read(extra) == b"a file more", "the file is another one")
        verify(client, written, deleted)
        print(f"  {len(affected)} of {len(volumes)} volumes had lost a copy")


def a_copy_that_missed_files_is_filled_up():
    with Cluster(masters=1, volumes=2, volume_flags=["-max=40", "-rack=r1"]) as cluster:
        cluster.wait_writable()
        client = Client(cluster.masters)
        written = files(client, 30, "replication=001&collection=two")
        fid = next(iter(written))
        volume = int(fid.split(",")[0])
        here, there = cluster.volumes
        # type=replicate goes to one server only: what a copy that was away has missed.
        http = Http(10)
        lost, base = {}, client.assign("count=20&replication=001&collection=two")["fid"]
        other = int(base.split(",")[0])
        for i in range(1, 6):
            data = payload(1000 + i, 5000)
            status, _, body = http.request("PUT", here, f"/{base}_{i}?type=replicate", body=data,
                                           headers={"Content-Type": "application/octet-stream"})
            check(status == 201, body)
            lost[f"{base}_{i}"] = data
        dead = next(f for f in written if int(f.split(",")[0]) == other) if any(
            int(f.split(",")[0]) == other for f in written) else None
        if dead:
            status, _, _ = http.request("DELETE", here, f"/{dead}?type=replicate")
            check(status == 202, "delete at one copy")
        out = shell(cluster, f"lock\nvolume.check.disk -volumeId={other} -nonRepairThreshold=1\n")
        check("5 files never came to the second" in out, out)
        check(http.request("GET", there, f"/{base}_1?proxied=true")[0] == 404, "a dry run copied it")
        shell(cluster, f"lock\nvolume.mark -volumeId={other} -node={there} -readonly\n")
        out = shell(cluster, f"lock\nvolume.check.disk -volumeId={other} -nonRepairThreshold=1 -apply\n")
        check(f"the copy at {there} is read-only and stays as it is" in out, out)
        check(http.request("GET", there, f"/{base}_1?proxied=true")[0] == 404, "a read-only copy was written to")
        out = shell(cluster, f"lock\nvolume.check.disk -volumeId={other} -nonRepairThreshold=1 -fixReadOnly -apply\n")
        check("5 files copied from" in out, out)
        until("it is read-only again", lambda: "read_only:true" in tree(cluster)[there][other])
        shell(cluster, f"lock\nvolume.mark -volumeId={other} -node={there} -writable\n")
        for name, data in lost.items():
            check(http.request("GET", there, f"/{name}?proxied=true")[2] == data, name)
        if dead:
            check(http.request("GET", here, f"/{dead}?proxied=true")[0] == 404, "a deleted file came back")
            out = shell(cluster, f"lock\nvolume.check.disk -volumeId={other} -syncDeleted -apply\n")
            check("are deleted at the second" in out, out)
            check(http.request("GET", there, f"/{dead}?proxied=true")[0] == 404, "it was not deleted there")
        check(", 0 of them differ still" in shell(cluster, f"lock\nvolume.check.disk -slow -volumeId={other}\n"), "they differ still")
        until("they take writes", lambda: all("read_only" not in line for v in tree(cluster).values() for line in v.values()))


def send_to_one(server, method, path, data=None, epoch=0):
    """As a write that reaches this copy only."""
    path += f"?type=replicate&epoch={epoch}" if epoch else "?type=replicate"
    status, _, body = Http(10).request(method, server, path, body=data, headers={"Content-Type": "application/octet-stream"})
    check(status == (202 if method == "DELETE" else 201), f"{method} {path} at {server}: {status} {body!r}")


def drift(cluster, client):
    """A volume of two copies which then differ: its id, what is in it, what was deleted from one copy, and its copies' servers."""
    fids = [client.assign("count=40&replication=001&collection=apart&writableVolumeCount=1")["fid"]]
    fids += [f"{fids[0]}_{i}" for i in range(1, 40)]
    volume = int(fids[0].split(",")[0])
    until("it has two copies", lambda: len(holders(cluster, volume)) == 2)
    one, two = holders(cluster, volume)
    data = {fid: payload(i, 1 + i * 701) for i, fid in enumerate(fids)}
    for fid in fids[:20]:
        client.put({"fid": fid, "url": one}, data[fid])
    for fid in fids[20:25]:
        send_to_one(one, "PUT", f"/{fid}", data[fid])
    for fid in fids[25:30]:
        send_to_one(two, "PUT", f"/{fid}", data[fid])
    for i, fid in enumerate(fids[:5]):  # overwritten at one copy, at the other one, or first here and then there
        for server in (one, two)[:i % 2 + 1]:
            data[fid] = payload(100 + i, 9000 + len(server) + i * 11 + (server == two))
            send_to_one(server, "PUT", f"/{fid}", data[fid])
    deleted = fids[5:12] + [fids[24], fids[29]]
    for i, fid in enumerate(deleted[:7]):
        send_to_one((one, two)[i % 2], "DELETE", f"/{fid}")
    send_to_one(one, "DELETE", f"/{fids[24]}")
    send_to_one(two, "DELETE", f"/{fids[29]}")
    return volume, {fid: data[fid] for fid in fids[:30]}, deleted, (one, two)


def check_merged(cluster, volume, data, deleted, servers):
    """Every copy has every file, by itself, and none of those that were deleted."""
    http = Http(10)
    for server in servers:
        for fid, content in data.items():
            status, _, body = http.request("GET", server, f"/{fid}?proxied=true")
            if fid in deleted:
                check(status == 404, f"{fid} was deleted, and {server} answers {status}")
            else:
                check(status == 200 and body == content, f"{fid} at {server}: {status}, {len(body)} bytes of {len(content)}")
    out = shell(cluster, f"lock\nvolume.check.disk -slow -volumeId={volume}\n")
    check("1 volumes with several copies, 0 of them differ still" in out, out)


def copies_that_drifted_apart_are_made_one_again():
    with Cluster(masters=1, volumes=3, volume_flags=["-max=20", "-rack=r1"]) as cluster:
        cluster.wait_writable()
        client = Client(cluster.masters)
        volume, data, deleted, (one, two) = drift(cluster, client)
        third = next(s for s in cluster.volumes if s not in (one, two))
        shell(cluster, f"volume.merge -volumeId={volume}\n", fails='need to run "lock" first')
        shell(cluster, "lock\nvolume.merge\n", fails="-volumeId")
        shell(cluster, f"lock\nvolume.merge -volumeId={volume} -target={one}\n", fails="has a copy itself")
        out = shell(cluster, f"lock\nvolume.merge -volumeId={volume} -target={third}\n")
        check(f"the merged volume at {third} is as planned" in out and "merged, it has 21 files and 9 deletions" in out, out)
        until("its copies are where they were", lambda: holders(cluster, volume) == [one, two])
        until("they take writes", lambda: all("read_only" not in tree(cluster)[s][volume] for s in (one, two)))
        check_merged(cluster, volume, data, deleted, (one, two))
        more = next(iter(data))
        client.put({"fid": f"{more}_39", "url": two}, b"one more")
        data[f"{more}_39"] = b"one more"
        check_merged(cluster, volume, data, deleted, (one, two))
        check("the same files are in all copies; nothing is done" in shell(cluster, f"lock\nvolume.merge -volumeId={volume}\n"), "it merged")

        # Copies that are compacted, as merged ones are, may have forgotten what was deleted. After the first round they are of an
        # epoch, which what is built in the second one must have as well.
        for process in cluster.volume_processes:
            process.stop()
            process.start()
        until("all are back", lambda: holders(cluster, volume) == [one, two], 60)
        epoch = re.search(rf"volume {volume}: its copies are of epoch ([1-9][0-9]*) now", out)
        for late in (f"{more}_37", f"{more}_38"):
            send_to_one(one, "PUT", f"/{late}", b"at one copy only", epoch and int(epoch[1]))
            data[late] = b"at one copy only"
            shell(cluster, f"lock\nvolume.merge -volumeId={volume}\n", fails="1 files (the first: ")
            until("it takes writes again", lambda: all("read_only" not in tree(cluster)[s][volume] for s in (one, two)))
            out = shell(cluster, f"lock\nvolume.merge -volumeId={volume} -keepUnclear\n")
            epoch = re.search(rf"volume {volume}: its copies are of epoch ([1-9][0-9]*) now", out)
            check(epoch, out)
            until("its copies are where they were", lambda: holders(cluster, volume) == [one, two])
            check_merged(cluster, volume, data, deleted, (one, two))


def a_merge_that_breaks_off_is_taken_up_again():
    cluster = Cluster(masters=1, volumes=3, volume_flags=["-max=20", "-rack=r1"])
    for i, process in enumerate(cluster.volume_processes):  # files of one volume in several folders
        for name in ("b", "idx"):
            (cluster.folder / f"v{i + 1}{name}").mkdir()
        process.argv += [f"-dir=./v{i + 1},./v{i + 1}b", f"-dir.idx=./v{i + 1}idx"]
    with cluster:
        cluster.wait_writable()
        client = Client(cluster.masters)
        volume, data, deleted, (one, two) = drift(cluster, client)
        third = next(s for s in cluster.volumes if s not in (one, two))
        process = shell_process(cluster)
        process.stdin.write(f"lock\nvolume.merge -volumeId={volume}\n")
        process.stdin.flush()
        for line in process.stdout:
            if f"the merged volume goes to {two}" in line:
                break
        process.kill()
        process.wait()
        until("the merged volume counts", lambda: {one, third} <= set(holders(cluster, volume)))
        check(all("read_only:true" in tree(cluster)[s][volume] for s in holders(cluster, volume)), "a copy takes writes")
        out = shell(cluster, f"lock\nvolume.merge -volumeId={volume}\n", fails="waiting for the admin lock")
        copies = holders(cluster, volume)
        check(len(copies) >= 2, f"{copies}: {out}")
        check_merged(cluster, volume, data, deleted, copies)


def a_damaged_copy_is_named_and_not_merged():
    with Cluster(masters=1, volumes=3, volume_flags=["-max=20", "-rack=r1"]) as cluster:
        cluster.wait_writable()
        client = Client(cluster.masters)
        volume, data, deleted, (one, two) = drift(cluster, client)
        path = next(cluster.folder.glob(f"**/apart_{volume}.dat"))
        raw = bytearray(path.read_bytes())
        at = raw.find(list(data.values())[15][:64])  # at both copies, and in the merged volume
        check(at > 0, "the file is not where it should be")
        raw[at] ^= 1
        path.write_bytes(raw)
        shell(cluster, f"lock\nvolume.merge -volumeId={volume}\n", fails="is damaged")
        check(holders(cluster, volume) == [one, two], "something was built")
        until("they take writes again", lambda: all("read_only" not in tree(cluster)[s][volume] for s in (one, two)))


# --- erasure coding ---

def erasure_coding_there_and_back():
    with Cluster(masters=1, volumes=4, volume_flags=["-max=40", "-rack=r1"]) as cluster:
        cluster.wait_writable()
        client = Client(cluster.masters)
        written = files(client, 80, "replication=001&collection=cold")
        volume = max((int(f.split(",")[0]) for f in written), key=lambda v: sum(int(f.split(",")[0]) == v for f in written))
        written = {fid: data for fid, data in written.items() if int(fid.split(",")[0]) == volume}
        deleted = list(written)[:3]
        delete(client, deleted[0])

        def shards():
            return {s: sorted(k[1] for k in v if isinstance(k, tuple) and k[0] == volume) for s, v in tree(cluster).items()}

        out = shell(cluster, f"lock\nec.encode -volumeId={volume}\n")
        check("all 10+4 shards" in out, out)
        until("only shards are left", lambda: holders(cluster, volume) == [])
        check(sorted(sum(shards().values(), [])) == list(range(14)), shards())
        check(max(len(s) for s in shards().values()) <= 4, shards())
        verify(client, written, deleted[:1])
        delete(client, deleted[1])
        verify(client, written, deleted[:2])
        shell(cluster, f"lock\nec.encode -volumeId={volume}\n", fails="no server has it")
        shell(cluster, f"lock\nec.scrub -volumeId={volume}\n")

        # A server with its shards is gone for good: its folder is emptied.
        victim = max(range(4), key=lambda i: len(shards()[cluster.volumes[i]]))
        lost = shards()[cluster.volumes[victim]]
        cluster.volume_processes[victim].kill()
        for path in (cluster.folder / f"v{victim + 1}").iterdir():
            if path.name.startswith(f"cold_{volume}."):
                path.unlink()
        cluster.volume_processes[victim].start()
        until("its shards are missing", lambda: shards().get(cluster.volumes[victim]) == [], 60)
        verify(client, written, deleted[:2])
        out = shell(cluster, "ec.check.replication\n")
        check(f"ec volume {volume} of collection cold: {len(lost)} of 14 shards are missing: {' '.join(map(str, lost))}, ec.rebuild" in out
              and "1 of them not as they should be" in out, out)
        before = shards()
        out = shell(cluster, "lock\nec.rebuild\n")
        check(f"shards {' '.join(map(str, lost))} are lost" in out, out)
        check(shards() == before, "a dry run rebuilt something")
        shell(cluster, "lock\nec.rebuild -apply\n")
        until("all shards are there", lambda: sorted(sum(shards().values(), [])) == list(range(14)))
        out = shell(cluster, "lock\nec.balance\n")
        check("move shard" in out, out)
        shell(cluster, "lock\nec.balance -apply\n")
        until("they are spread", lambda: sorted(len(s) for s in shards().values()) == [3, 3, 4, 4])
        check(sorted(sum(shards().values(), [])) == list(range(14)), shards())
        verify(client, written, deleted[:2])
        check("1 erasure-coded volumes, 0 of them not" in shell(cluster, "ec.check.replication\n"), "something is wrong with shards")

        # A server lets go of its shards, and has them again after a restart.
        server = cluster.volumes[victim]
        mounted = shards()[server]
        shell(cluster, f"lock\nec.shard.unmount -volumeId={volume} -node={server} -shardIds=31\n", fails="has no shard 31 of volume")
        shell(cluster, f"lock\nec.shard.unmount -volumeId={volume} -node={server} -shardIds={mounted[0]}\n")
        check(shards()[server] == mounted[1:], shards())
        shell(cluster, f"lock\nec.shard.unmount -volumeId={volume} -node={server}\n")
        check(shards()[server] == [], shards())
        verify(client, written, deleted[:2])
        cluster.volume_processes[victim].stop()
        cluster.volume_processes[victim].start()
        until("they are mounted again", lambda: shards().get(server) == mounted, 60)

        # A server is emptied, shards and all.
        empty = cluster.volumes[0]
        shell(cluster, f"lock\nvolumeServer.evacuate -node={empty} -apply\n")
        until("it is empty", lambda: tree(cluster)[empty] == {})
        check(sorted(sum(shards().values(), [])) == list(range(14)), shards())
        verify(client, written, deleted[:2])

        delete(client, deleted[2])
        shell(cluster, f"lock\nec.decode -volumeId={volume}\n")
        until("a normal volume is there", lambda: len(holders(cluster, volume)) == 1)
        until("and no shard", lambda: sum(shards().values(), []) == [])
        verify(client, written, deleted)
        shell(cluster, "lock\nvolume.fix.replication -apply\n")
        until("it has two copies", lambda: len(holders(cluster, volume)) == 2)
        verify(client, written, deleted)
        shell(cluster, f"lock\nec.encode -volumeId={volume} -dataShards=3 -parityShards=2\n")
        until("3+2", lambda: sorted(sum(shards().values(), [])) == list(range(5)))
        verify(client, written, deleted)
        print(f"  {len(written)} files")


if __name__ == "__main__":
    run([the_lock_keeps_others_out, a_lost_lock_is_told, every_command_has_help_and_a_line_in_the_docs, simple_commands,
         a_server_that_was_told_to_leave_gets_no_more_volumes, volumes_move_while_files_are_written,
         a_broken_move_leaves_the_volume_where_it_was, servers_are_filled_alike_and_emptied,
         volumes_move_where_all_goes_by_mutual_tls, copies_are_made_again_and_surplus_ones_dropped,
         a_copy_that_missed_files_is_filled_up, copies_that_drifted_apart_are_made_one_again,
         a_merge_that_breaks_off_is_taken_up_again, a_damaged_copy_is_named_and_not_merged, erasure_coding_there_and_back])
