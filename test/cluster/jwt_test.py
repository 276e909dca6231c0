#!/usr/bin/env python3
"""Tokens (JWT), as security.toml asks for them (spec/weed-cluster 3.11): who was given a file id may write it, and nobody
else; readers need a token of their own where a read key is set; keys change at SIGHUP."""
import base64
import hashlib
import hmac
import json
import signal
import subprocess
import time

from harness import Client, Cluster, Http, WEED, check, payload, run
from members_test import until
from volume_move_test import rpc

WRITE, READ = "write-secret", "read-secret"


def encoded(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=")


def token(fid, key=WRITE, seconds=10, algorithm="HS256"):
    claims = json.dumps({"fid": fid, "exp": int(time.time()) + seconds}).encode()
    said = encoded(json.dumps({"alg": algorithm, "typ": "JWT"}).encode()) + b"." + encoded(claims)
    return (said + b"." + encoded(hmac.new(key.encode(), said, hashlib.sha256).digest())).decode()


def settings(cluster, write=WRITE, read="", more=""):
    text = f'[jwt.signing]\nkey = "{write}"\n'
    if read:
        text += f'[jwt.signing.read]\nkey = "{read}"\n'
    (cluster.folder / "security.toml").write_text(text + more)


def guarded(**options):
    cluster = Cluster(**{key: options.pop(key) for key in ("master_flags",) if key in options})
    settings(cluster, **options)
    return cluster


def wait_writable(cluster):
    until("an assign is answered", lambda: assigned(cluster.masters[0])[0] is not None, 20)


def assigned(master, query=""):
    """(fid, url, token): what /dir/assign says, the token from its header."""
    status, headers, body = Http(10).request("GET", master, "/dir/assign" + query)
    if status != 200:
        return None, None, None
    answer = json.loads(body)
    given = headers.get("authorization", "")
    check(given.startswith("Bearer "), f"no token with an assign: {headers}")
    return answer["fid"], answer["url"], given[len("Bearer "):]


def ask(method, url, path, given=None, body=None, **headers):
    if body is not None:
        headers.setdefault("Content_Type", "application/octet-stream")
    if given:
        headers["Authorization"] = "Bearer " + given
    status, _, answer = Http(10).request(method, url, path, body, {k.replace("_", "-"): v for k, v in headers.items()})
    return status, answer


def refused(what, answer):
    check(answer == (401, b'{"error":"wrong jwt"}'), f"{what}: {answer}")


def only_who_was_given_a_file_id_writes_it():
    with guarded(master_flags=("-defaultReplication=001",)) as cluster:
        wait_writable(cluster)
        for master in cluster.masters:  # followers pass it on, token and all
            fid, url, given = assigned(master)
            path = "/" + fid
            other = assigned(master)[0]
            for what, bad in (("no token", None), ("another key", token(fid, "guess")), ("expired", token(fid, seconds=-1)),
                              ("another file's", token(other)), ("unsigned", token(fid, algorithm="none")),
                              ("the read key's", token(fid, READ)), ("garbage", "x.y.z")):
                refused("POST with " + what, ask("POST", url, path, bad, b"no"))
            # A token that is wrong is not made good by one that comes later.
            refused("a wrong one first", ask("POST", url, f"{path}?jwt=x", given, b"no"))
            status, answer = ask("POST", url, path, given, b"yes")
            check(status == 201, f"POST with the token: {status} {answer}")
            check(ask("GET", url, path) == (200, b"yes"), "it is there, and reading is free")
            refused("DELETE without a token", ask("DELETE", url, path))
            check(ask("GET", url, path) == (200, b"yes"), "it is still there")
            looked_up = Http(5).request("GET", master, f"/dir/lookup?fileId={fid}")
            given = looked_up[1].get("authorization", "")[len("Bearer "):]
            places = [place["url"] for place in json.loads(looked_up[2])["locations"]]
            check(len(places) == 2, f"copies: {looked_up}")
            check(all(ask("GET", place, path) == (200, b"yes") for place in places), "on both servers")
            check(ask("DELETE", url, path, given)[0] == 202, "DELETE with a token of the lookup")
            check(all(ask("GET", place, path)[0] == 404 for place in places), "gone from both")
        check("authorization" not in Http(5).request("GET", cluster.masters[0], "/dir/lookup?volumeId=1")[1],
              "no token for a whole volume")


def a_token_may_come_in_three_ways_and_siblings_are_shown_it():
    with guarded(master_flags=("-defaultReplication=001",)) as cluster:
        wait_writable(cluster)
        fid, url, given = assigned(cluster.masters[1], "?count=3")
        for what, answer in (("query", ask("POST", url, f"/{fid}?jwt={given}", body=b"one")),
                             ("cookie", ask("POST", url, f"/{fid}_1", body=b"two", Cookie=f"a=b; AT={given}; c=d")),
                             ("header", ask("POST", url, f"/{fid}_2", body=b"three", Authorization="bearer " + given))):
            check(answer[0] == 201, f"in the {what}: {answer}")
        for suffix, data in (("", b"one"), ("_1", b"two"), ("_2", b"three")):
            for volume in cluster.volumes:
                check(ask("GET", volume, f"/{fid}{suffix}") == (200, data), f"{suffix} by {volume}")


def clients_need_no_more_than_the_masters():
    with guarded() as cluster:
        wait_writable(cluster)
        environment = {"PATH": "/usr/bin:/bin", "HOME": str(cluster.folder)}
        data = payload(7, 300_000)
        (cluster.folder / "file.bin").write_bytes(data)
        masters = ",".join(cluster.masters)
        done = subprocess.run([WEED, "upload", f"-master={masters}", "file.bin"], cwd=cluster.folder, env=environment,
                              capture_output=True, text=True, timeout=60)
        check(done.returncode == 0, f"upload: {done.stderr}")
        fid = json.loads(done.stdout)[0]["fid"]
        (cluster.folder / "file.bin").unlink()
        done = subprocess.run([WEED, "download", f"-server={cluster.masters[0]}", fid], cwd=cluster.folder, env=environment,
                              capture_output=True, text=True, timeout=60)
        check((cluster.folder / "file.bin").read_bytes() == data, f"download: {done.stderr}")
        done = subprocess.run([WEED, "benchmark", f"-master={masters}", "-n=200", "-c=4", "-deletePercent=30"], env=environment,
                              cwd=cluster.folder, capture_output=True, text=True, timeout=120)
        check(done.returncode == 0 and "Failed requests:        0" in done.stdout, f"benchmark: {done.stdout}{done.stderr}")
        for master in cluster.masters:
            status, answer = ask("POST", master, "/submit", body=b"by way of the master", Content_Type="text/plain")
            check(status == 201, f"/submit: {status} {answer}")
            name = json.loads(answer)["fid"]
            check(ask("GET", cluster.volumes[0], "/" + name) == (200, b"by way of the master"), "what was submitted")


def deletions_in_a_batch_reach_the_copies_of_a_mended_volume():
    with guarded(master_flags=("-healAfter=2s",)) as cluster:
        wait_writable(cluster)
        fid, url, given = assigned(cluster.masters[0], "?replication=001")
        volume = fid.split(",")[0]
        check(ask("PUT", url, "/" + fid, given, b"a file")[0] == 201, "PUT")

        def holders():
            return sorted(at["url"] for at in Client(cluster.masters).lookup(volume).get("locations") or [])

        lost = next(server for server in holders() if server != url)
        cluster.volume_processes[cluster.volumes.index(lost)].kill()
        until("the lost copy is made again elsewhere", lambda: len(holders()) == 2 and lost not in holders(), 60)
        for server in holders():
            check(ask("GET", server, "/" + fid) == (200, b"a file"), f"the file at {server}")
        result = rpc(url, "BatchDelete", {"file_ids": [fid]})[0]["results"][0]
        check(result["status"] == 202, f"{result}")
        # Its caller may know the lost copy only: the server that is asked tells the new one.
        for server in holders():
            check(ask("GET", server, "/" + fid)[0] == 404, f"it is gone at {server}")
        log = cluster.volume_processes[cluster.volumes.index(url)].log()
        check("only as far as the caller does" not in log, "a copy refused it")


def readers_need_the_read_keys_token():
    with guarded(read=READ) as cluster:
        wait_writable(cluster)
        fid, url, given = assigned(cluster.masters[0])
        check(ask("POST", url, "/" + fid, given, b"secret")[0] == 201, "written")
        elsewhere = next(volume for volume in cluster.volumes if volume != url)
        for volume in (url, elsewhere):
            for method in ("GET", "HEAD"):
                check(ask(method, volume, "/" + fid)[0] == 401, f"{method} without a token")
                check(ask(method, volume, "/" + fid, given)[0] == 401, f"{method} with the write key's")
        refused("a bad path too", ask("GET", url, "/nonsense"))
        answer = Http(5).request("GET", cluster.masters[2], f"/dir/lookup?fileId={fid}&read=yes")
        given = answer[1].get("authorization", "")[len("Bearer "):]
        check(ask("GET", url, "/" + fid, given) == (200, b"secret"), "with the read key's")
        check(ask("GET", elsewhere, "/" + fid, given) == (200, b"secret"), "by way of another server")
        check(ask("GET", url, f"/{fid}?jwt={given}") == (200, b"secret"), "in the query, as a link has it")
        check(ask("POST", url, "/" + fid, given, b"no")[0] == 401, "it does not write")


def download_fetches_the_readers_token_by_itself():
    with guarded(read=READ) as cluster:
        wait_writable(cluster)
        fid, url, given = assigned(cluster.masters[0])
        check(ask("POST", url, "/" + fid, given, b"secret")[0] == 201, "written")
        for name in (fid, fid + "_1"):
            done = subprocess.run([WEED, "download", f"-master={','.join(cluster.masters)}", name], cwd=cluster.folder,
                                  env={"PATH": "/usr/bin:/bin", "HOME": str(cluster.folder)}, capture_output=True, text=True, timeout=60)
            if name == fid:
                check((cluster.folder / fid).exists() and (cluster.folder / fid).read_bytes() == b"secret",
                      f"download: {done.stdout}{done.stderr}")
            else:
                check("File Not Found" in done.stdout, f"what is not there is said so: {done.stdout}{done.stderr}")


def the_page_is_hidden_unless_asked_for():
    for more, status in (("", 400), ("[access]\nui = true\n", 200)):
        with guarded(more=more) as cluster:
            wait_writable(cluster)
            got = ask("GET", cluster.volumes[0], "/ui/index.html")[0]
            check(got == status, f"access.ui {more!r}: {got}")


def keys_change_at_sighup():
    with guarded() as cluster:
        wait_writable(cluster)
        fid, url, given = assigned(cluster.masters[0])
        settings(cluster, write="another")
        for process in cluster.processes():
            process.signal(signal.SIGHUP)
        until("the old token is refused", lambda: ask("POST", url, "/" + fid, given, b"no")[0] == 401)
        until("new ones are given", lambda: token_works(cluster))
        settings(cluster, write="")
        for process in cluster.processes():
            process.signal(signal.SIGHUP)
        until("none is needed", lambda: ask("POST", url, "/" + fid, body=b"free")[0] == 201)


def token_works(cluster):
    fid, url, given = assigned(cluster.masters[0])
    return ask("POST", url, "/" + fid, given, b"yes")[0] == 201


if __name__ == "__main__":
    run([only_who_was_given_a_file_id_writes_it, a_token_may_come_in_three_ways_and_siblings_are_shown_it,
         clients_need_no_more_than_the_masters, deletions_in_a_batch_reach_the_copies_of_a_mended_volume, readers_need_the_read_keys_token,
         download_fetches_the_readers_token_by_itself, the_page_is_hidden_unless_asked_for,
         keys_change_at_sighup])
