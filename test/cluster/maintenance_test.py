#!/usr/bin/env python3
"""The scripts of master.toml: the leader, and it alone, has the shell run them, over and over, under the admin lock; the next
leader goes on with them, and what cannot be run is told of in the log.
"""
import subprocess

from harness import WEED, Client, Cluster, Failure, check, run, until

SCRIPTS = """
# a remark
no.such.command -x; collection.delete -collection="gone" -apply
volume.fsck
volume.mark -volumeId=4711 -readonly
"""
TOML = "[master.maintenance]\nsleep_minutes = 0.03\nscripts = '''" + SCRIPTS + "'''\n"


def upload_to_gone(client):
    fid = client.upload(b"to be swept", "collection=gone")
    return int(fid.split(",")[0])


def is_gone(client, volume):
    try:
        client.lookup(volume)
    except Failure as error:
        return "not found" in str(error)
    return False


def the_leader_runs_scripts():
    cluster = Cluster(masters=3, volumes=1)
    (cluster.folder / "master.toml").write_text(TOML)
    with cluster:
        cluster.wait_writable()
        client = Client(cluster.masters)
        volume = upload_to_gone(client)
        until("the first leader deletes the collection", lambda: is_gone(client, volume))
        leader = cluster.leader()
        log = cluster.master_processes[leader].log()
        for text in ('line 2: "no.such.command -x" is left out: the shell has no such command',
                     'line 3: "volume.fsck" is left out: this release has no such command yet',
                     'maintenance: runs "collection.delete -collection=gone -apply"', "collection gone is deleted."):
            check(text in log, f"the leader's log does not say {text!r}")
        until("the log tells why a command failed",
              lambda: "maintenance: volume.mark -volumeId=4711 -readonly: error: " in cluster.master_processes[leader].log())

        # While somebody else has the lock nothing is run; the log names who.
        shell = subprocess.Popen([WEED, "-logtostderr=true", "shell", "-master=" + ",".join(cluster.masters), "-prompt=next"],
                                 cwd=cluster.folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        try:
            check(shell.stdout.readline() == "next\n", "-prompt")
            shell.stdin.write("lock\n")
            shell.stdin.flush()
            check(shell.stdout.readline() == "next\n", "lock")
            volume = upload_to_gone(client)
            until("the log names who has the lock",
                  lambda: f"(pid {shell.pid}): weed shell has" in cluster.master_processes[leader].log())
            check(not is_gone(client, volume), "it ran without the lock")
        finally:
            shell.stdin.close()
            shell.wait(20)
        until("it goes on when the lock is free", lambda: is_gone(client, volume))

        cluster.master_processes[leader].kill()
        cluster.wait_writable()
        second = cluster.leader()
        volume = upload_to_gone(client)
        until("the second leader deletes the collection", lambda: is_gone(client, volume), seconds=40)
        check("maintenance: runs" in cluster.master_processes[second].log(), "the second leader's log")
        third = ({0, 1, 2} - {leader, second}).pop()
        check("maintenance: runs" not in cluster.master_processes[third].log(), "a follower ran scripts")


if __name__ == "__main__":
    run([the_leader_runs_scripts])
