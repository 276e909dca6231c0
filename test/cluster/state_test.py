#!/usr/bin/env python3
"""What volume servers tell masters of themselves beside their volumes: maintenance, in which they are read and nothing else, and
the digests by which servers of SeaweedFS save full lists."""
import json
import subprocess
import time

from harness import BIN, Client, Cluster, Failure, Http, check, run, until
from shell_test import shell
from volume_move_test import grpc_of, rpc

WORDS = "is in maintenance mode"


def refused(server, method, request):
    try:
        rpc(server, method, request)
    except Failure as failure:
        return WORDS in str(failure)
    return False


def a_server_in_maintenance_is_read_and_gets_nothing_else():
    with Cluster(masters=3, volumes=2) as cluster:
        cluster.wait_writable()
        one, other = cluster.volumes
        client, http = Client(cluster.masters), Http(5)
        fids = [client.upload(b"before") for _ in range(20)]
        places = {fid: client.lookup(fid.split(",")[0])["locations"][0]["url"] for fid in fids}
        here = next(fid for fid, place in places.items() if place == one)
        volume = int(here.split(",")[0])
        shell(cluster, f"lock\nvolumeServer.state -nodes={one} -maintenanceOn\n")

        def assigned():
            return {http.json(master, "/dir/assign?count=1")[1]["url"] for master in cluster.masters for _ in range(10)}

        until("all masters send writes to the other one", lambda: assigned() == {other})
        status, body = http.json(cluster.masters[0], "/vol/grow?count=3&collection=new")
        check(status == 200, f"grow: {status} {body}")
        check({client.assign("collection=new")["url"] for _ in range(20)} == {other}, "new volumes lie on the other server")
        check(client.read(here) == b"before", "it is read")
        for method in ("PUT", "DELETE"):
            status, _, body = http.request(method, one, "/" + here, b"after" if method == "PUT" else None)
            check(status == 500 and WORDS in body.decode(), f"{method}: {status} {body}")
        for method in ("VacuumVolumeCompact", "VacuumVolumeCommit", "VolumeDelete", "VolumeMarkReadonly", "VolumeEcShardsGenerate",
                       "VolumeEcShardsRebuild", "VolumeEcShardsCopy", "VolumeEcShardsDelete", "VolumeEcBlobDelete", "VolumeEcShardsToVolume"):
            request = {"volume_id": volume}
            if method == "VolumeEcShardsCopy":
                request["source_data_node"] = other
            check(refused(one, method, request), f"{method} was obeyed, or said otherwise")
        check(refused(one, "AllocateVolume", {"volume_id": 4711, "version": 3}), "a volume was made")

        def told():
            state = rpc(one, "VolumeServerStatus", {})[0]["state"]
            return state["maintenance"], int(state["version"])

        check(told() == (True, 1), f"{told()}")
        cluster.volume_processes[0].stop()
        cluster.volume_processes[0].start()
        until("it is back, and still in maintenance", lambda: told() == (True, 1))
        until("its volumes are known again", lambda: client.read(here) == b"before")
        time.sleep(1)  # several of its reports
        check(assigned() == {other}, "a restart ended it")
        shell(cluster, f"lock\nvolumeServer.state -nodes={one} -maintenanceOff\n")
        until("it is written to again", lambda: assigned() == {one, other})
        check(http.request("PUT", one, "/" + here, b"after")[0] == 201, "it takes writes")


def servers_of_seaweedfs_tell_digests():
    with Cluster(masters=1, volumes=1) as cluster:
        cluster.wait_writable()
        digest = 0xf585f9060a78341f
        volume = {"id": 7, "size": 104, "file_count": 2, "delete_count": 1, "deleted_byte_count": 5, "replica_placement": 1,
                  "version": 3, "ttl": 0x302, "modified_at_second": 1700000001, "collection": "pics"}
        head = {"ip": "127.0.0.1", "port": 1, "max_volume_counts": {"": 8}, "has_no_ec_shards": True}
        reports = [{**head, "volumes": [volume], "volume_digest": str(digest)},
                   {**head, "volume_digest": str(digest)},
                   {**head, "changed_volumes": [{**volume, "size": 105}], "volume_digest": str(digest)},
                   {**head, "volumes": [volume], "volume_digest": str(digest)},
                   {**head, "deleted_volumes": [{"id": 7}], "volume_digest": "0"},
                   {**head, "volume_digest": "1"}]
        done = subprocess.run([str(BIN / "holdfast_rpc"), grpc_of(cluster.masters[0]), "Seaweed/SendHeartbeat", *map(json.dumps, reports)],
                              capture_output=True, text=True, timeout=30)
        answers = [json.loads(line) for line in done.stdout.splitlines()]
        check(done.returncode == 0 and len(answers) == 3, f"{done.returncode} {done.stdout} {done.stderr}")
        check(all(answer["volume_digest_supported"] and int(answer["volume_size_limit"]) > 0 for answer in answers), f"{answers}")
        check([answer.get("resend_full_volume_list", False) for answer in answers] == [False, True, True], f"{answers}")


if __name__ == "__main__":
    run([a_server_in_maintenance_is_read_and_gets_nothing_else, servers_of_seaweedfs_tell_digests])
