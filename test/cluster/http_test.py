#!/usr/bin/env python3
"""The HTTP of master and volume server, row by row of spec/weed-cluster sections 2 and 3, against real processes."""
import base64
import gzip
import hashlib
import http.client
import json
import re
import socket
import time

from harness import Client, Cluster, Failure, Http, NETWORK_ERRORS, check, payload, run, split_address

CLUSTER = None


def cluster():
    global CLUSTER
    if CLUSTER is None:
        CLUSTER = Cluster(masters=3, volumes=2, volume_flags=["-max=40"], sizes="64").start()
        CLUSTER.wait_writable()
    return CLUSTER


def leader():
    return cluster().masters[cluster().leader()]


def follower():
    return cluster().masters[(cluster().leader() + 1) % 3]


def ask(address, method, path, body=None, headers=None):
    return Http().request(method, address, path, body=body, headers=headers or {})


def same(got, want, what):
    check(got == want, f"{what}: expected {want!r}, got {got!r}")


def fresh(query=""):
    return Client(cluster().masters).assign(query)


def raw(address, data, timeout=5):
    """Sends raw bytes, returns all that comes until close or timeout."""
    with socket.create_connection(split_address(address), timeout=timeout) as s:
        s.sendall(data)
        out = b""
        try:
            while True:
                piece = s.recv(65536)
                if not piece:
                    return out, True
                out += piece
        except socket.timeout:
            return out, False


# --- master ----------------------------------------------------------------------------------------------------------

def master_assign():
    for address in (leader(), follower()):
        status, headers, body = ask(address, "GET", "/dir/assign")
        same(status, 200, "assign")
        same(headers["content-type"], "application/json", "type")
        same(headers["x-content-type-options"], "nosniff", "nosniff")
        check(re.fullmatch(r"[0-9A-F]{24}", headers.get("x-amz-request-id", "")), f"request id {headers}")
        check("server" not in headers, "no Server header on the master")
        match = re.fullmatch(rb'\{"fid":"(\d+),([0-9a-f]+)","url":"[^"]+","publicUrl":"[^"]+","count":1\}', body)
        check(match, f"assign body {body!r}")
        check(len(match.group(2)) % 2 == 0, "the key is printed by whole bytes")
    status, _, body = ask(leader(), "GET", "/dir/assign?count=5&pretty=y")
    check(b'"count": 5' in body and b'\n  "fid"' in body, f"pretty {body!r}")
    status, _, body = ask(leader(), "POST", "/dir/assign", body="count=3",
                          headers={"Content-Type": "application/x-www-form-urlencoded"})
    same(json.loads(body)["count"], 3, "count from a form body")
    for bad in ("0", "-1", "x"):
        same(json.loads(ask(leader(), "GET", f"/dir/assign?count={bad}")[2])["count"], 1, f"count={bad}")
    status, headers, body = ask(leader(), "HEAD", "/dir/assign")
    same((status, body), (200, b""), "HEAD")


def master_assign_refusals():
    same(ask(leader(), "GET", "/dir/assign?ttl=zz")[::2],
         (406, b'{"error":"strconv.Atoi: parsing \\"z\\": invalid syntax"}'), "bad ttl")
    status, _, body = ask(leader(), "GET", "/dir/assign?replication=256")
    same(status, 406, "replication=256")
    check(b"unexpected replication type: 256" in body, f"{body!r}")
    same(ask(leader(), "GET", "/dir/assign?preallocate=x")[::2],
         (406, b'{"error":"Failed to parse int64 preallocate = x: strconv.ParseInt: parsing \\"x\\": invalid syntax"}'),
         "preallocate")
    same(ask(leader(), "GET", "/dir/assign?replication=256&ttl=zz&preallocate=x")[::2],
         (406, b'{"error":"unexpected replication type: 256"}'), "the first thing wrong")
    for address in (leader(), follower()):
        for name in ("../x", "a/b", "%00", "%0a", "%ff", "a" * 300):
            for route in ("/dir/assign?", "/vol/grow?count=1&"):
                status, _, body = ask(address, "GET", f"{route}collection={name}")
                same(status, 406, f"collection {name!r} by {route}")
                check(b"the collection's name" in body, body)
    status, headers, body = ask(leader(), "GET", "/dir/assign?replication=200")
    check(status in (503, 406), f"replication=200 on one data center: {status} {body!r}")
    if status == 503:
        check("retry-after" in headers, "503 has Retry-After")
        check(b"no writable volumes for {" in body, f"{body!r}")


def master_lookup():
    fid = fresh()["fid"]
    volume = fid.split(",")[0]
    for address in cluster().masters:
        status, _, body = ask(address, "GET", f"/dir/lookup?volumeId={volume}")
        same(status, 200, "lookup")
        answer = json.loads(body)
        same(list(answer), ["volumeOrFileId", "locations"], "key order")
        same(answer["volumeOrFileId"], volume, "echo")
        same(list(answer["locations"][0]), ["url", "publicUrl", "dataCenter", "grpcPort"], "location keys")
        same(json.loads(ask(address, "GET", f"/dir/lookup?volumeId={fid}")[2])["volumeOrFileId"], volume, "cut at comma")
        same(json.loads(ask(address, "GET", f"/dir/lookup?fileId={fid}")[2])["volumeOrFileId"], volume, "fileId")
        same(json.loads(ask(address, "GET", f"/dir/lookup?volumeId=00{volume}")[2])["volumeOrFileId"], "00" + volume,
             "text as given")
        same(ask(address, "GET", "/dir/lookup?volumeId=99999")[::2],
             (404, b'{"volumeOrFileId":"99999","error":"volume id 99999 not found"}'), "unknown")
        same(ask(address, "GET", "/dir/lookup?volumeId=abc")[::2],
             (404, b'{"volumeOrFileId":"abc","error":"Unknown volume id abc"}'), "no number")
        same(ask(address, "GET", "/dir/lookup")[::2], (404, b'{"error":"Unknown volume id "}'), "none given")


def master_redirect():
    fid = fresh()["fid"]
    for address in cluster().masters:
        status, headers, body = ask(address, "GET", f"/{fid}?a=b&c=d")
        same(status, 308, "redirect")
        check(headers["location"].endswith(f"/{fid}?a=b&c=d"), headers["location"])
        same(headers["content-type"], "text/html; charset=utf-8", "type")
        same(body, b'<a href="' + headers["location"].replace("&", "&amp;").encode() + b'">Permanent Redirect</a>.\n\n',
             "body")
        status, headers, body = ask(address, "POST", f"/{fid}")
        same((status, body, headers.get("content-type")), (308, b"", None), "POST is redirected without a body")
    same(ask(leader(), "GET", "/99999,01637037d6")[::2],
         (404, b'{"error":"volume id 99999 not found: volume id 99999 not found"}'), "unknown")
    same(ask(leader(), "GET", "/nosuchpage")[::2],
         (404, b'{"error":"volume id nosuchpage not found: Unknown volume id nosuchpage"}'), "not a number")


def master_paths():
    for path in ("/dir/", "/dir/assign/", "/stats/health", "/3,01637037d6/a.txt", "/DIR/assign"):
        status, headers, body = ask(leader(), "GET", path)
        same((status, body, headers["content-type"]), (404, b"404 page not found\n", "text/plain; charset=utf-8"), path)
    status, headers, body = ask(leader(), "GET", "//dir/../dir/assign?x=1")
    same((status, headers["location"], body), (301, "/dir/assign?x=1", b""), "clean-up")


def master_status():
    for address in cluster().masters:
        status, headers, body = ask(address, "GET", "/dir/status")
        same(status, 200, "dir/status")
        answer = json.loads(body)
        same(list(answer), ["Topology", "TopologyId", "Version"], "keys")
        same(list(answer["Topology"]), ["Max", "Free", "DataCenters", "Layouts"], "Topology keys")
        nodes = [n for d in answer["Topology"]["DataCenters"] for r in d["Racks"] for n in r["DataNodes"]]
        same(sorted(n["Url"] for n in nodes), sorted(cluster().volumes), "nodes")
        same(list(nodes[0]), ["Url", "PublicUrl", "Volumes", "EcShards", "Max", "VolumeIds"], "node keys")
        same(answer["Topology"]["DataCenters"][0]["Id"], "DefaultDataCenter", "default data center")
        check(re.fullmatch(r"[0-9a-f-]{36}", answer["TopologyId"]), "TopologyId")
        layout = answer["Topology"]["Layouts"][0]
        same(sorted(layout), ["collection", "diskType", "replication", "ttl", "writables"], "layout keys")
        answer = json.loads(ask(address, "GET", "/vol/status")[2])
        same(list(answer), ["Version", "Volumes"], "vol/status")
        rack = answer["Volumes"]["DataCenters"]["DefaultDataCenter"]["DefaultRack"]
        same(sorted(rack), sorted(cluster().volumes), "vol/status nodes")


def master_cluster_status():
    lead = leader()
    for address in cluster().masters:
        status, headers, body = ask(address, "GET", "/cluster/status")
        same(status, 200, "status")
        check("x-amz-request-id" not in headers, "no request id on /cluster/status")
        answer = json.loads(body)
        check(answer["Leader"].startswith(lead), f"{answer}")
        same(answer.get("IsLeader"), True if address == lead else None, "IsLeader")
        check(answer["MaxVolumeId"] > 0, f"{answer}")
        same(sorted(p.split(".1")[0].split(".2")[0].split(".3")[0] for p in answer["Peers"]),
             sorted(m for m in cluster().masters if m != address), "Peers are the others")
        for path in ("/cluster/healthz", "/healthz", "/readyz"):
            same(ask(address, "GET", path)[::2], (200, b""), path)
            same(ask(address, "HEAD", path)[0], 200, "HEAD " + path)
        same(ask(address, "POST", "/cluster/status")[::2], (405, b""), "POST")


def master_grow_and_collections():
    status, _, body = ask(follower(), "GET", "/vol/grow?count=2&collection=grown")
    same((status, body), (200, b'{"count":2}'), "grow")
    same(ask(leader(), "GET", "/vol/grow?count=0")[::2], (200, b'{"count":0}'), "count=0")
    same(ask(leader(), "GET", "/vol/grow")[::2], (406, b'{"error":"can not parse parameter count "}'), "no count")
    same(ask(leader(), "GET", "/vol/grow?count=x")[::2], (406, b'{"error":"can not parse parameter count x"}'), "count=x")
    status, _, body = ask(leader(), "GET", "/vol/grow?count=100000")
    check(status == 406 and re.search(rb"only \d+ volumes left, not enough for 100000", body), f"{status} {body!r}")
    status, _, body = ask(leader(), "GET", "/vol/grow?count=1&dataCenter=nowhere")
    check(status == 406 and b"No matching data node found!" in body, f"{status} {body!r}")
    status, _, body = ask(leader(), "GET", "/collection/info?collection=grown")
    same(status, 200, "info")
    same(sorted(json.loads(body)), ["Collection", "FileCount", "TotalSize", "UsedSize", "Version", "VolumeCount"], "keys")
    same(ask(leader(), "GET", "/collection/info")[::2], (400, b'{"error":"collection is required"}'), "required")
    same(ask(leader(), "GET", "/collection/info?collection=none")[::2],
         (400, b'{"error":"collection none does not exist"}'), "unknown")
    fid = fresh("collection=grown")["fid"]
    same(ask(follower(), "GET", "/col/delete?collection=grown")[::2], (204, b""), "delete")
    end = time.monotonic() + 5
    while ask(leader(), "GET", f"/dir/lookup?volumeId={fid.split(',')[0]}")[0] != 404:
        check(time.monotonic() < end, "a deleted collection's volume is still found")
        time.sleep(0.05)
    same(ask(leader(), "GET", "/col/delete?collection=grown")[::2],
         (400, b'{"error":"collection grown does not exist"}'), "deleted twice")
    status, _, body = ask(leader(), "GET", "/col/delete")
    check(status == 400, f"deleting without a name must not delete the default collection: {status}")
    status, _, body = ask(leader(), "GET", "/vol/vacuum")
    same(status, 200, f"vacuum {body!r}")
    check("Topology" in json.loads(body), f"not the body of /dir/status: {body!r}")
    status, _, body = ask(follower(), "GET", "/vol/vacuum?garbageThreshold=a")
    same((status, body), (406, b'{"error":"garbageThreshold a is not a valid float number"}'), "a bad threshold")


def master_submit():
    boundary = "b0undary"
    body = (f"--{boundary}\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.txt\"\r\n"
            f"Content-Type: text/plain\r\n\r\nhello, world\r\n--{boundary}--\r\n").encode()
    for address in (leader(), follower()):
        status, _, answer = ask(address, "POST", "/submit", body=body,
                                headers={"Content-Type": f"multipart/form-data; boundary={boundary}"})
        same(status, 201, f"submit {answer!r}")
        answer = json.loads(answer)
        same(list(answer), ["eTag", "fid", "fileName", "fileUrl", "size"], "keys")
        same((answer["fileName"], answer["size"]), ("a.txt", 12), "name and size")
        same(Client(cluster().masters).read(answer["fid"]), b"hello, world", "reads back")
    same(ask(leader(), "GET", "/submit")[::2], (405, b'{"error":"Only submit via POST!"}'), "GET")


def master_page():
    for path in ("/", "/ui/index.html"):
        for address in cluster().masters:
            status, headers, body = ask(address, "GET", path)
            same(status, 200, path)
            check("text/html" in headers["content-type"], headers["content-type"])
            for volume in cluster().volumes:
                check(volume.encode() in body, f"{path} at {address} does not show {volume}")
            for master in cluster().masters:
                check(master.encode() in body, f"{path} at {address} does not show {master}")


# --- volume ----------------------------------------------------------------------------------------------------------

def put(data, headers=None, query="", assigned=None, method="PUT"):
    assigned = assigned or fresh()
    status, answered, body = ask(assigned["url"], method, "/" + assigned["fid"] + query, body=data, headers=headers or {})
    return assigned["url"], "/" + assigned["fid"], status, answered, body


def volume_raw_put_and_get():
    url, path, status, headers, body = put(payload(1, 1000), {"Content-Type": "application/octet-stream"})
    same(status, 201, f"put {body!r}")
    check(re.fullmatch(r'"[0-9a-f]{8}"', headers["etag"]), headers["etag"])
    answer = json.loads(body)
    same((answer["size"], '"' + answer["eTag"] + '"'), (1000, headers["etag"]), "size and eTag")
    same(list(answer), ["name", "size", "eTag", "mime"], f"keys of {answer}")
    same(answer["name"], path[1:], "a raw PUT's default name")
    status, headers, got = ask(url, "GET", path)
    same((status, got), (200, payload(1, 1000)), "get")
    same(headers["content-length"], "1000", "length")
    same(headers["accept-ranges"], "bytes", "ranges")
    same(headers["content-disposition"], f'inline; filename="{path[1:]}"', "disposition")
    check("last-modified" in headers, "Last-Modified")
    check(headers["server"].startswith("SeaweedFS Volume 30GB 4.44"), headers.get("server"))
    check(re.fullmatch(r"[0-9A-F]{24}", headers["x-amz-request-id"]), headers["x-amz-request-id"])
    status, head, got = ask(url, "HEAD", path)
    same((status, got, head["content-length"]), (200, b"", "1000"), "HEAD")
    same(ask(url, "GET", path[:-8] + "00000000")[0], 404, "wrong cookie")
    status, _, body = ask(url, "PUT", path, body=payload(1, 1000), headers={"Content-Type": "application/octet-stream"})
    same((status, body), (204, b""), "unchanged")
    status, _, body = ask(url, "PUT", path[:-8] + "00000001", body=b"other")
    check(status == 500 and b"mismatching cookie 1" in body, f"{status} {body!r}")


def volume_multipart():
    boundary = "----x"
    part = (f"--{boundary}\r\nContent-Disposition: form-data; name=\"file\"; filename=\"my photo.txt\"\r\n"
            f"Content-Type: text/html\r\n\r\n").encode() + b"<p>hi</p>" + f"\r\n--{boundary}--\r\n".encode()
    url, path, status, headers, body = put(part, {"Content-Type": f"multipart/form-data; boundary={boundary}"},
                                           "?ts=1700000000", method="POST")
    same(status, 201, f"{body!r}")
    answer = json.loads(body)
    same((answer["name"], answer["size"], answer["mime"]), ("my photo.txt", 9, "text/html"), "answer")
    status, headers, got = ask(url, "GET", path)
    same((status, got, headers["content-type"]), (200, b"<p>hi</p>", "text/html"), "get")
    same(headers["last-modified"], "Tue, 14 Nov 2023 22:13:20 GMT", "ts")
    same(headers["content-disposition"], 'inline; filename="my photo.txt"', "name")
    same(ask(url, "GET", path + "?dl=true")[1]["content-disposition"], 'attachment; filename="my photo.txt"', "dl")
    same(ask(url, "GET", path, headers={"If-Modified-Since": "Tue, 14 Nov 2023 22:13:20 GMT"})[0], 304, "since")
    same(ask(url, "GET", path, headers={"If-Modified-Since": "Tue, 14 Nov 2023 22:13:19 GMT"})[0], 200, "since older")
    same(ask(url, "GET", path, headers={"If-None-Match": headers["etag"]})[0], 304, "etag")
    same(ask(url, "GET", path, headers={"If-None-Match": "*"})[0], 200, "no star")
    status, headers, _ = ask(url, "GET", path + "?response-content-type=x/y&response-cache-control=no-store")
    same((headers["content-type"], headers["cache-control"]), ("x/y", "no-store"), "response-*")
    for form in (path.replace(",", "/"), path + ".jpg", path.replace(",", "/") + "/other.css", path.replace(",", "%2C")):
        same(ask(url, "GET", form)[::2][0], 200, form)
    same(ask(url, "GET", path.replace(",", "/") + "/other.css")[1]["content-disposition"], "inline; filename=other.css",
         "URL name")


def volume_gzip():
    text = b"compress me, please. " * 200
    url, path, status, _, body = put(text, {"Content-Type": "text/plain"})
    same((status, json.loads(body)["size"]), (201, len(text)), "size is the original's")
    status, headers, got = ask(url, "GET", path)
    same((got, headers.get("content-encoding")), (text, None), "decompressed")
    status, headers, got = ask(url, "GET", path, headers={"Accept-Encoding": "gzip"})
    same(headers.get("content-encoding"), "gzip", "sent as stored")
    same(got[:10].hex(), "1f8b08000000000004ff", "gzip head")
    same(gzip.decompress(got), text, "decompresses")
    packed = gzip.compress(text)
    url, path, status, _, body = put(packed, {"Content-Type": "text/plain", "Content-Encoding": "gzip"})
    same((status, json.loads(body)["size"]), (201, len(text)), "already gzip")
    same(ask(url, "GET", path)[2], text, "decompressed")
    same(ask(url, "GET", path, headers={"Accept-Encoding": "gzip"})[2], packed, "as is")


def volume_ranges():
    data = payload(9, 10240)
    url, path, *_ = put(data, {"Content-Type": "application/x-thing"})

    def get(value):
        return ask(url, "GET", path, headers={"Range": value})
    for value, begin, end in (("bytes=0-9", 0, 9), ("bytes=100-", 100, 10239), ("bytes=-10", 10230, 10239),
                              ("bytes=0-99999", 0, 10239), ("bytes=-99999", 0, 10239), ("bytes= 1 - 3 ", 1, 3)):
        status, headers, got = get(value)
        same((status, headers.get("content-range"), got), (206, f"bytes {begin}-{end}/10240", data[begin:end + 1]), value)
    for value in ("bytes=10241-", "bytes=5-3", "bytes=x-1", "bytes=5", "bytes=-", "Bytes=0-1", "items=0-1"):
        status, headers, got = get(value)
        same((status, got, headers.get("content-range")), (416, b"invalid range\n", None), value)
    status, headers, got = get("bytes=10240-")
    same((status, headers["content-range"], got), (206, "bytes 10240-10239/10240", b""), "a == total")
    status, headers, got = get("bytes=0-1,10-12")
    same(status, 206, "several")
    boundary = re.fullmatch(r"multipart/byteranges; boundary=([0-9a-f]{60})", headers["content-type"]).group(1)
    want = b"".join(f"--{boundary}\r\nContent-Range: bytes {a}-{b}/10240\r\nContent-Type: application/x-thing\r\n\r\n".encode()
                    + data[a:b + 1] + b"\r\n" for a, b in ((0, 1), (10, 12)))[0:-2] + f"\r\n--{boundary}--\r\n".encode()
    same(got, want, "multipart body")
    same(ask(url, "HEAD", path, headers={"Range": "bytes=0-9"})[1]["content-length"], "10240", "HEAD ignores Range")


def volume_pairs_md5_and_empty():
    url, path, status, _, _ = put(b"x", {"Seaweed-Owner": "me", "Seaweed-lower-case": "x<y"})
    same(status, 201, "pairs")
    headers = ask(url, "GET", path)[1]
    same((headers.get("owner"), headers.get("lower-case")), ("me", "x<y"), "pairs come back")
    good = base64.b64encode(hashlib.md5(b"data").digest()).decode()
    _, _, status, headers, body = put(b"data", {"Content-MD5": good})
    same((status, headers["content-md5"], json.loads(body)["contentMd5"]), (201, good, good), "right md5")
    _, _, status, _, body = put(b"datb", {"Content-MD5": good})
    check(status == 400 and b"Content-MD5 did not match md5 of file data" in body, f"{status} {body!r}")
    url, path, status, _, body = put(b"")
    same(status, 201, f"empty {body!r}")
    status, headers, got = ask(url, "GET", path)
    same((status, got, headers.get("etag"), headers.get("last-modified")), (200, b"", '"00000000"', None), "empty file")


def volume_delete():
    url, path, *_ = put(b"delete me", {"Content-Type": "a/b"})
    same(ask(url, "DELETE", path[:-8] + "00000000")[::2],
         (400, b'{"error":"File Random Cookie does not match."}'), "wrong cookie")
    status, _, body = ask(url, "DELETE", path)
    check(status == 202 and json.loads(body)["size"] > 9, f"{status} {body!r}")
    same(ask(url, "GET", path)[0], 404, "gone")
    same(ask(url, "GET", path + "?readDeleted=true")[::2], (200, b"delete me"), "readDeleted")
    same(ask(url, "DELETE", path)[::2], (404, b'{"size":0}'), "again")
    same(ask(url, "DELETE", "/abc")[::2], (400, b'{"error":"Invalid fid: "}'), "bad fid")
    same(ask(url, "PUT", path, body=b"delete me", headers={"Content-Type": "a/b"})[0], 201, "after a delete: written again")


def volume_bad_ids():
    url = cluster().volumes[0]
    for path in ("/abc", "/3", "/3,01637037d6/my.jpg", "/a/b/c/d", "/a/b/c/d,e", "/stats/counter"):
        status, headers, body = ask(url, "GET", path)
        same((status, body), (400, b""), f"GET {path}")
    for path, text in (("/abc,01637037d6", 'strconv.ParseUint: parsing "abc": invalid syntax'),
                       ("/3,zz", "Invalid fid: zz"), ("/3,0163703_1", "KeyHash is too short."),
                       ("/3,01637037d601637037d601637037d6", "KeyHash is too long."),
                       ("/3,zz637037d6", 'Parse needleId error: needle id zz format error: strconv.ParseUint: parsing "zz": invalid syntax'),
                       ("/3,01zz7037d6", 'Parse cookie error: needle cookie zz7037d6 format error: strconv.ParseUint: parsing "zz7037d6": invalid syntax'),
                       ("/3,01637037d6_x", 'strconv.ParseUint: parsing "x": invalid syntax')):
        status, _, body = ask(url, "PUT", path, body=b"x")
        same((status, json.loads(body)["error"]), (400, text), f"PUT {path}")
    same(ask(url, "GET", "/99999,01637037d6")[0], 404, "unknown volume")


def volume_count_suffixes():
    assigned = fresh("count=3")
    for i, suffix in enumerate(("", "_1", "_2")):
        same(ask(assigned["url"], "PUT", "/" + assigned["fid"] + suffix, body=b"n%d" % i)[0], 201, suffix)
    for i, suffix in enumerate(("", "_1", "_2")):
        same(ask(assigned["url"], "GET", "/" + assigned["fid"] + suffix)[2], b"n%d" % i, suffix)


def volume_not_local():
    first = fresh()
    other = next(v for v in cluster().volumes if v != first["url"])
    ask(first["url"], "PUT", "/" + first["fid"], body=b"elsewhere")
    status, _, body = ask(other, "GET", "/" + first["fid"])
    same((status, body), (200, b"elsewhere"), "read through another server")
    status, _, body = ask(other, "PUT", "/" + first["fid"], body=b"forwarded")
    same(status, 201, f"write through another server {body!r}")
    same(ask(first["url"], "GET", "/" + first["fid"])[2], b"forwarded", "stored at the holder")


def volume_methods_and_admin():
    url = fresh()["url"]  # one that holds volumes: the first growth may have found one server only
    status, headers, _ = ask(url, "OPTIONS", "/3,01637037d6")
    same((status, headers["access-control-allow-methods"]), (200, "PUT, POST, GET, DELETE, OPTIONS"), "OPTIONS")
    same(ask(url, "PATCH", "/3,01637037d6")[::2], (400, b'{"error":"unsupported method PATCH"}'), "PATCH")
    same(ask(url, "GET", "/healthz")[::2], (200, b""), "healthz")
    same(ask(url, "GET", "/readyz")[::2], (200, b""), "readyz")
    status, _, body = ask(url, "GET", "/status")
    answer = json.loads(body)
    same(list(answer), ["DiskStatuses", "Version", "Volumes"], "status")
    check(answer["Volumes"], "status shows volumes")
    same(list(answer["Volumes"][0]), ["Collection", "DiskType", "RemoteStorageName", "ReplicaPlacement", "Ttl", "Size",
                                      "DeletedByteCount", "ModifiedAtSecond", "Id", "DiskId", "CompactRevision",
                                      "FileCount", "DeleteCount", "Version", "ReadOnly"], "volume keys")
    status, headers, _ = ask(url, "GET", "/99999,01637037d6", headers={"Origin": "http://a"})
    same((headers.get("access-control-allow-origin"), headers.get("access-control-allow-credentials")), ("*", "true"),
         "CORS")


def malformed_requests_harm_nobody():
    good = put(b"still here")
    for address in (cluster().volumes[0], leader()):
        for data in (b"GARBAGE\r\n\r\n", b"GET /%zz HTTP/1.1\r\nHost: x\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n",
                     b"GET /a b c HTTP/1.1\r\nHost: x\r\n\r\n",
                     b"GET / HTTP/1.1\r\nHost: x\r\n" + b"X-Long: " + b"a" * 2_000_000 + b"\r\n\r\n",
                     b"POST /3,01637037d6 HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n",
                     b"POST /3,01637037d6 HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
                     b"\x00\x01\x02\x03\r\n\r\n"):
            try:
                out, closed = raw(address, data)
            except (ConnectionResetError, BrokenPipeError):
                out, closed = b"", True
            check(closed, f"{address} keeps the connection open after {data[:40]!r}: {out[:80]!r}")
            # A master redirects by the path alone, before it looks at a body.
            check(out == b"" or re.match(rb"HTTP/1\.[01] (4\d\d|505|308)", out), f"{data[:40]!r} answered {out[:80]!r}")
        with socket.create_connection(split_address(address), timeout=5) as s:  # truncated body
            s.sendall(b"POST /3,01637037d6 HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nshort")
    same(ask(good[0], "GET", good[1])[2], b"still here", "the server still serves")


def pipelined_requests_are_answered_in_order():
    url, path, *_ = put(b"piped")
    one = f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode()
    out, _ = raw(url, one * 3 + f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
    same(out.count(b"HTTP/1.1 200 OK"), 4, "answers")
    same(out.count(b"\r\n\r\npiped"), 4, "bodies")


def expect_100_and_chunked():
    assigned = fresh()
    data = payload(3, 50000)
    head = (f"PUT /{assigned['fid']} HTTP/1.1\r\nHost: x\r\nContent-Type: a/b\r\nExpect: 100-continue\r\n"
            f"Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n").encode()
    with socket.create_connection(split_address(assigned["url"]), timeout=5) as s:
        s.sendall(head)
        check(s.recv(100).startswith(b"HTTP/1.1 100"), "100 Continue")
        for i in range(0, len(data), 9000):
            piece = data[i:i + 9000]
            s.sendall(b"%x\r\n" % len(piece) + piece + b"\r\n")
        s.sendall(b"0\r\n\r\n")
        check(s.recv(1000).startswith(b"HTTP/1.1 201"), "201")
    same(ask(assigned["url"], "GET", "/" + assigned["fid"])[2], data, "reads back")


def metrics_are_served():
    for address in (leader(), follower()):
        _, _, body = ask(address, "GET", "/metrics")
        check(b"holdfast_" in body or b"SeaweedFS_" in body, f"master metrics: {body[:200]!r}")


if __name__ == "__main__":
    try:
        run([master_assign, master_assign_refusals, master_lookup, master_redirect, master_paths, master_status,
             master_cluster_status, master_grow_and_collections, master_submit, master_page, volume_raw_put_and_get,
             volume_multipart, volume_gzip, volume_ranges, volume_pairs_md5_and_empty, volume_delete, volume_bad_ids,
             volume_count_suffixes, volume_not_local, volume_methods_and_admin, malformed_requests_harm_nobody,
             pipelined_requests_are_answered_in_order, expect_100_and_chunked])
    finally:
        if CLUSTER is not None:
            CLUSTER.stop()
