#!/usr/bin/env python3
"""`master.follower`: a process that is no master answers lookups over HTTP and gRPC, follows the leader from one to the next, keeps
its map when no master is left, and never counts as a member."""
import json

from harness import Client, Cluster, Http, Process, WEED, check, free_port, payload, run, until


def follower(cluster, masters, name="follower"):
    port = free_port()
    process = Process(name, [WEED, "-logtostderr=true", "master.follower", "-ip=localhost", f"-port={port}", f"-master={masters}"],
                      cluster.folder, {"TMPDIR": str(cluster.folder)})
    process.address = f"localhost:{port}"
    cluster.others.append(process)
    return process.start()


def lookup(address, volume, more=""):
    status, body = Http().json(address, f"/dir/lookup?volumeId={volume}{more}")
    return [place["url"] for place in body["locations"]] if status == 200 else None


def it_answers_lookups_and_nothing_else():
    with Cluster(masters=3, volumes=2) as cluster:
        one = follower(cluster, cluster.masters[0])
        cluster.wait_writable()
        client = Client(cluster.masters)
        files = {client.upload(payload(i, 700), "replication=001&collection=pics"): payload(i, 700) for i in range(8)}
        for fid in files:
            volume = fid.split(",")[0]
            until("it knows where a new volume is", lambda v=volume: sorted(lookup(one.address, v) or []) == sorted(cluster.volumes))
            check(lookup(one.address, volume, "&collection=pics") is not None, "a collection is no hindrance")
            status, headers, _ = Http().request("GET", one.address, f"/{fid}")
            check(status == 308 and headers["location"].endswith("/" + fid), f"{status} {headers}")
            check(client.read(fid) == files[fid], "reads back")
        check(lookup(one.address, 4711) is None, "a volume that does not exist")
        for method, path in (("GET", "/dir/assign"), ("POST", "/col/delete?collection=pics"), ("GET", "/vol/grow?count=1")):
            status, _, body = Http().request(method, one.address, path, body=b"" if method == "POST" else None)
            check(status == 403 and b"read-only" in body, f"{method} {path}: {status} {body}")
        status, _, page = Http().request("GET", one.address, "/")
        check(status == 200 and b"Follows the masters" in page, "the page says what it is")
        _, peers = Http().json(cluster.masters[cluster.leader()], "/cluster/status")
        check(len(peers["Peers"]) == 2 and one.address not in json.dumps(peers), f"it is a member: {peers}")


def it_follows_the_leader_and_keeps_its_map_without_any():
    with Cluster(masters=3, volumes=2) as cluster:
        cluster.wait_writable()
        client = Client(cluster.masters)
        fid = client.upload(payload(1, 700))
        old = cluster.leader()
        one = follower(cluster, ",".join(cluster.masters))
        until("it knows the volume", lambda: lookup(one.address, fid.split(",")[0]))
        cluster.master_processes[old].kill()
        cluster.leader(among=[i for i in range(3) if i != old])
        fresh = client.upload(payload(2, 700), "collection=fresh")
        until("it hears of new volumes from the next leader", lambda: lookup(one.address, fresh.split(",")[0]))
        # A server that goes is forgotten.
        held = lookup(one.address, fid.split(",")[0])[0]
        gone = cluster.volumes.index(held)
        cluster.volume_processes[gone].kill()
        until("a server that is lost", lambda: lookup(one.address, fid.split(",")[0]) is None)
        cluster.volume_processes[gone].start()
        until("and is back", lambda: lookup(one.address, fid.split(",")[0]) == [held])
        for process in cluster.master_processes:
            process.kill()
        check(lookup(one.address, fid.split(",")[0]) == [held], "the map stays without masters")
        until("what is lost is told", lambda: "the map of" in one.log())
        check(lookup(one.address, fresh.split(",")[0]) is not None, "and goes on staying")
        for process in cluster.master_processes:
            process.start()
        cluster.leader()
        cluster.wait_writable()
        late = client.upload(payload(3, 700), "collection=late")
        until("it follows again", lambda: lookup(one.address, late.split(",")[0]))


if __name__ == "__main__":
    run([it_answers_lookups_and_nothing_else, it_follows_the_leader_and_keeps_its_map_without_any])
