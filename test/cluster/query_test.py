#!/usr/bin/env python3
"""Query: records of JSON and CSV chosen by the volume server (docs/query.md), of files as they were uploaded: plain, packed by the
server, packed by the client, above a MiB, several at once; and what it says to what it cannot read."""
import base64
import gzip
import json

from harness import Client, Cluster, Failure, Http, check, run
from volume_move_test import rpc

LINES = {"json_input": {"type": "LINES"}}


class Store:
    def __init__(self, cluster):
        cluster.wait_writable()
        self.client, self.http = Client(cluster.masters), Http(10)
        self.server = cluster.volumes[0]

    def put(self, data, kind="application/octet-stream", **headers):
        at = self.client.assign()
        status, _, body = self.http.request("PUT", at["url"], "/" + at["fid"], data,
                                            {"Content-Type": kind, **{k.replace("_", "-"): v for k, v in headers.items()}})
        check(status == 201, f"PUT: {status} {body}")
        return at["fid"]

    def query(self, fids, input, **more):
        request = {"from_file_ids": fids if isinstance(fids, list) else [fids], "input_serialization": input, **more}
        stripes = rpc(self.server, "Query", request)
        return b"".join(base64.b64decode(stripe["records"]) for stripe in stripes).decode()

    def refused(self, code, words, fids, input, **more):
        try:
            self.query(fids, input, **more)
        except Failure as failure:
            check(f": {code} " in str(failure) and words in str(failure), f"wanted {code} {words!r}: {failure}")
            return
        check(False, f"answered instead of {words!r}")


def records_are_chosen_whatever_way_a_file_is_stored():
    with Cluster(masters=1, volumes=1) as cluster:
        store = Store(cluster)
        lines = [{"n": i, "name": f"name {i}", "home": {"town": "Ulm" if i % 2 else "Bonn"}} for i in range(300)]
        text = "".join(json.dumps(line) + "\n" for line in lines).encode()
        wish = {"selections": ["name", "home.town"], "filter": {"field": "n", "operand": ">", "value": "297"}}
        want = '{"name":"name 298","home.town":"Bonn"}\n{"name":"name 299","home.town":"Ulm"}\n'
        plain = store.put(text)
        for fid in (plain, store.put(text, "text/plain"), store.put(gzip.compress(text), "text/plain", Content_Encoding="gzip")):
            check(store.query(fid, LINES, **wish) == want, f"{fid}: {store.query(fid, LINES, **wish)}")
        packed = store.put(gzip.compress(text), "application/gzip")
        check(store.query(packed, {**LINES, "compression_type": "GZIP"}, **wish) == want, "a file that is a gzip stream")
        store.refused(3, "record 1: no JSON", packed, LINES)
        store.refused(3, "no gzip stream", plain, {**LINES, "compression_type": "GZIP"})

        large = store.put(text * 200)  # some MB: read piece by piece
        got = store.query(large, LINES, filter={"field": "n", "operand": "=", "value": "7"})
        check(got == (json.dumps(lines[7]) + "\n") * 200, f"{len(got)} bytes")
        got = store.query([plain, large], LINES, selections=["n"], filter={"field": "n", "operand": "=", "value": "7"},
                          output_serialization={"csv_output": {}})
        check(got == "7\n" * 201, got[:100])

        document = store.put(json.dumps(lines).encode(), "application/json")
        check(store.query(document, {"json_input": {"type": "document"}}, **wish) == want, "a document")

        table = store.put(b"id;name\n1;'it;s'\n2;x\n", "text/csv")
        csv = {"csv_input": {"file_header_info": "USE", "field_delimiter": ";", "quote_character": "'"}}
        check(store.query(table, csv) == "1,it;s\n2,x\n", "CSV")
        check(store.query(table, csv, selections=["name"], filter={"field": "id", "operand": "<", "value": "2"},
                          output_serialization={"json_output": {"record_delimiter": "|"}}) == '{"name":"it;s"}|', "CSV to JSON")
        check(store.query(store.put(b"x"), {"csv_input": {}}, filter={"field": "_2", "operand": ""}) == "", "nothing fits")


def what_cannot_be_read_is_said():
    with Cluster(masters=1, volumes=1) as cluster:
        store = Store(cluster)
        fid = store.put(b'{"a":1}\n{"a":\n')
        store.refused(3, f"{fid}: record 2: no JSON", fid, LINES)
        store.refused(3, "csv_input or json_input", fid, {})
        store.refused(3, 'json_input.type "LINE"', fid, {"json_input": {"type": "LINE"}})
        store.refused(3, 'compression_type "BZIP2"', fid, {**LINES, "compression_type": "BZIP2"})
        store.refused(3, 'no operand "like"', fid, LINES, filter={"field": "a", "operand": "like", "value": "1"})
        store.refused(3, "field_delimiter must be one character", fid, {"csv_input": {"field_delimiter": "ab"}})
        store.refused(3, "from_file_ids names no file", [], LINES)
        store.refused(3, "from_file_ids", "x", LINES)
        store.refused(12, "Parquet is not read here", fid, {"parquet_input": {}})
        store.refused(5, "", fid[:-1] + ("0" if fid[-1] != "0" else "1"), LINES)  # another cookie
        store.refused(5, "", "4711,01637037d6", LINES)
        manifest = json.dumps({"name": "x", "size": 8, "chunks": [{"fid": fid, "offset": 0, "size": 8}]}).encode()
        at = store.client.assign()
        check(store.http.request("PUT", at["url"], f"/{at['fid']}?cm=true", manifest, {"Content-Type": "application/json"})[0] == 201, "a manifest")
        store.refused(12, "manifest of chunks", at["fid"], LINES)
        dat = next(cluster.folder.glob(f"v1/{fid.split(',')[0]}.dat"))
        content = bytearray(dat.read_bytes())
        content[content.index(b'{"a":1}') + 5] ^= 1
        dat.write_bytes(content)
        store.refused(2, "", fid, LINES)


if __name__ == "__main__":
    run([records_are_chosen_whatever_way_a_file_is_stored, what_cannot_be_read_is_said])
