#!/usr/bin/env python3
"""Files in chunks (spec/weed-cluster 1.9, 3.5, 3.7, 3.10) on two real volume servers: `weed upload -maxMB` cuts them, any
server puts them together for readers, whole and in ranges, also with tokens and with a server lost; deleting one deletes
its chunks."""
import json
import signal
import subprocess

from harness import Client, Cluster, Http, WEED, check, payload, run, until
from jwt_test import settings

READ = "read-secret"


def weed(cluster, *argv, expect=0, timeout=60):
    done = subprocess.run([WEED, *argv], cwd=cluster.folder, capture_output=True, text=True, timeout=timeout,
                          env={"PATH": "/usr/bin:/bin", "HOME": str(cluster.folder)})
    check(done.returncode == expect, f"{argv}: {done.returncode} {done.stdout} {done.stderr}")
    return done.stdout


def uploaded(cluster, name, data, *flags):
    (cluster.folder / name).write_bytes(data)
    return json.loads(weed(cluster, "upload", f"-master={cluster.masters[0]}", *flags, name))[0]


def get(server, path, **headers):
    return Http(20).request("GET", server, path, headers={k.replace("_", "-"): v for k, v in headers.items()})


def manifest_of(cluster, fid):
    status, headers, body = get(cluster.volumes[0], f"/{fid}?cm=false")
    check(status == 200, f"manifest {fid}: {status}")
    return json.loads(body)


def holder(cluster, fid):
    return Client(cluster.masters).lookup(fid.split(",")[0])["locations"][0]["url"]


def upload_cuts_and_every_server_puts_together():
    with Cluster(masters=1, volumes=2) as cluster:
        cluster.wait_writable()
        data = payload(1, 10_500_000)
        sent = uploaded(cluster, "big.mp4", data, "-maxMB=1")
        check(sent["size"] == len(data) and "error" not in sent, f"told: {sent}")
        fid = sent["fid"]
        manifest = manifest_of(cluster, fid)
        check(manifest["name"] == "big.mp4" and manifest["mime"] == "video/mp4" and manifest["size"] == len(data), f"{manifest}")
        check([c["size"] for c in manifest["chunks"]] == [1 << 20] * 10 + [len(data) - (10 << 20)], "sizes of the chunks")
        places = {json.dumps(Client(cluster.masters).lookup(c["fid"].split(",")[0])["locations"]) for c in manifest["chunks"]}
        check(len(places) == 2, f"the chunks lie on both servers: {places}")
        for server in cluster.volumes:
            status, headers, body = get(server, "/" + fid)
            check(status == 200 and body == data, f"whole, by {server}: {status} {len(body)}")
            check(headers["x-file-store"] == "chunked" and headers["content-type"] == "video/mp4", f"{headers}")
            for begin, end in ((0, 0), (1_048_575, 1_048_576), (5_000_000, 9_999_999)):
                status, headers, body = get(server, "/" + fid, Range=f"bytes={begin}-{end}")
                check(status == 206 and body == data[begin:end + 1], f"{begin}-{end} by {server}: {status}")
            status, headers, _ = Http(5).request("HEAD", server, "/" + fid)
            check(status == 200 and headers["content-length"] == str(len(data)), f"HEAD: {headers}")
        (cluster.folder / "got").mkdir()
        weed(cluster, "download", f"-master={cluster.masters[0]}", "-dir=got", fid)
        check((cluster.folder / "got/big.mp4").read_bytes() == data, "weed download")

        status, _, body = Http(20).request("DELETE", holder(cluster, fid), "/" + fid)
        check((status, json.loads(body)) == (202, {"size": len(data)}), f"DELETE: {status} {body}")
        for chunk in manifest["chunks"] + [{"fid": fid}]:
            for server in cluster.volumes:
                check(get(server, "/" + chunk["fid"])[0] == 404, f"{chunk['fid']} is still on {server}")


def small_files_and_text_are_the_same_as_ever():
    with Cluster(masters=1, volumes=2) as cluster:
        cluster.wait_writable()
        text = b"the quick brown fox jumps over the lazy dog\n" * 60_000
        fid = uploaded(cluster, "big.txt", text, "-maxMB=1")["fid"]  # its chunks are stored packed
        check(len(manifest_of(cluster, fid)["chunks"]) == 3, "three chunks")
        for server in cluster.volumes:
            status, headers, body = get(server, "/" + fid, Accept_Encoding="gzip")
            check(status == 200 and body == text and headers["content-type"].startswith("text/plain"), f"{server}: {status} {headers}")
        exact = payload(2, 1 << 20)
        sent = uploaded(cluster, "exact.bin", exact, "-maxMB=1")
        status, headers, body = get(cluster.volumes[0], "/" + sent["fid"])
        check(body == exact and "x-file-store" not in headers, "a file of just -maxMB is one file")
        sent = uploaded(cluster, "never.bin", payload(3, 5 << 20), "-maxMB=0")
        check("x-file-store" not in get(cluster.volumes[0], "/" + sent["fid"])[1], "-maxMB=0 never cuts")


def chunks_need_no_token_of_the_client():
    cluster = Cluster(masters=1, volumes=2)
    settings(cluster, read=READ)
    with cluster:
        until("an assign", lambda: Http(5).request("GET", cluster.masters[0], "/dir/assign")[0] == 200)
        data = payload(4, 5_000_000)
        fid = uploaded(cluster, "big.bin", data, "-maxMB=1")["fid"]
        for server in cluster.volumes:
            check(get(server, "/" + fid)[0] == 401, "no token")
            answer = Http(5).request("GET", cluster.masters[0], f"/dir/lookup?fileId={fid}&read=yes")
            status, _, body = get(server, "/" + fid, Authorization=answer[1]["authorization"])
            check(status == 200 and body == data, f"by {server}: {status}")
        answer = Http(5).request("GET", cluster.masters[0], f"/dir/lookup?fileId={fid}")
        status, _, body = Http(20).request("DELETE", holder(cluster, fid), "/" + fid, headers={"Authorization": answer[1]["authorization"]})
        check(status == 202, f"DELETE with a token of the manifest alone: {status} {body}")


def a_server_lost_costs_nothing_where_there_are_copies():
    with Cluster(masters=1, volumes=2, master_flags=("-defaultReplication=001",)) as cluster:
        cluster.wait_writable()
        data = payload(5, 6_000_000)
        fid = uploaded(cluster, "big.bin", data, "-maxMB=1")["fid"]
        for lost, left in ((0, 1), (1, 0)):
            cluster.volume_processes[lost].kill()
            status, _, body = get(cluster.volumes[left], "/" + fid)
            check(status == 200 and body == data, f"with server {lost + 1} lost: {status}")
            cluster.volume_processes[lost].start()
            until("it is back", lambda: get(cluster.volumes[lost], "/" + fid)[0] == 200)


def a_lost_chunk_is_told():
    with Cluster(masters=1, volumes=2) as cluster:
        cluster.wait_writable()
        data = payload(6, 3_000_000)
        fid = uploaded(cluster, "big.bin", data, "-maxMB=1")["fid"]
        chunks = manifest_of(cluster, fid)["chunks"]
        first, last = chunks[0]["fid"], chunks[-1]["fid"]
        for chunk, whole in ((last, False), (first, True)):
            for location in Client(cluster.masters).lookup(chunk.split(",")[0])["locations"]:
                check(Http(5).request("DELETE", location["url"], "/" + chunk)[0] == 202, "deleted")
            for server in cluster.volumes:
                try:
                    status, _, body = get(server, "/" + fid)
                    check(whole and status == 500 and body == b"File Not Found\n", f"{status} {body[:50]}")
                except Exception as error:
                    check(not whole, f"{error!r}")  # begun and broken off


def an_interrupted_upload_leaves_no_chunks():
    with Cluster(masters=1, volumes=1) as cluster:
        cluster.wait_writable()
        (cluster.folder / "huge.bin").write_bytes(payload(7, 100_000_000))
        before = files(cluster)
        process = subprocess.Popen([WEED, "upload", f"-master={cluster.masters[0]}", "-maxMB=1", "huge.bin"], cwd=cluster.folder,
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={"PATH": "/usr/bin:/bin", "HOME": str(cluster.folder)})
        until("some chunks", lambda: files(cluster) > before + 3)
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=60)
        check(process.returncode == 130 and out == b"", f"{process.returncode} {out}")
        # The one under way may have been stored a moment later.
        check(files(cluster) <= before + 1, f"{files(cluster) - before} chunks were left")


def files(cluster):
    volumes = Http(5).json(cluster.volumes[0], "/status")[1]["Volumes"]
    return sum(v["FileCount"] - v["DeleteCount"] for v in volumes)


if __name__ == "__main__":
    run([upload_cuts_and_every_server_puts_together, small_files_and_text_are_the_same_as_ever,
         chunks_need_no_token_of_the_client, a_server_lost_costs_nothing_where_there_are_copies, a_lost_chunk_is_told,
         an_interrupted_upload_leaves_no_chunks])
