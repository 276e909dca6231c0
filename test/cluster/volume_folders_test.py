#!/usr/bin/env python3
"""Volume folders written by hand, by spec/volume-format alone, under a real server; and what the server writes itself."""
import gzip
import json
import os
import random
import struct
import time
from collections import Counter

import volume_format as vf
from harness import NETWORK_ERRORS, Client, Cluster, Failure, Http, check, run
from volume_format import Volume, crc32c, fid, legacy, row, vif

SEED = int(os.environ.get("VOLUME_FOLDERS_SEED", "1"))


def prepared(*flags):
    """A cluster that is not started yet, and the folder of its volume server."""
    cluster = Cluster(masters=1, volumes=1, volume_flags=["-max=500", *flags], sizes="64")
    return cluster, cluster.folder / "v1"


def wait_loaded(cluster, count):
    until = time.monotonic() + 20
    while time.monotonic() < until:
        try:
            volumes = json.loads(get(cluster, "status")[2])["Volumes"]
            if len(volumes) >= count:
                return {volume["Id"]: volume for volume in volumes}
        except NETWORK_ERRORS:
            pass
        time.sleep(0.05)
    raise Failure("the volumes were not loaded")


def get(cluster, path, method="GET", headers=None):
    return Http(20).request(method, cluster.volumes[0], "/" + path, headers=headers or {})


def date(seconds):
    return time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(seconds))


def every_kind_of_needle_is_read():
    cluster, folder = prepared()
    chance, now, want = random.Random(3), int(time.time()), []
    for version in (1, 2, 3):
        volume = Volume(version)
        for flags in range(64):
            key = flags + 1
            plain = data = chance.randbytes(chance.randrange(1, 50))
            if flags & vf.COMPRESSED:
                data = gzip.compress(plain)
            volume.put(key, data, 0x1000 + key, flags=flags, name=b"n.x-y", mime=b"ab/c", modified=now - 100, ttl=(3, 2),
                       pairs=b'{"Color":"red"}', ns=now * 10**9 + key)
            headers = {}
            if version == 1:
                plain = data
            else:
                headers = {"content-disposition": "inline; filename=n.x-y" if flags & vf.NAME else None,
                           "last-modified": date(now - 100) if flags & vf.MODIFIED else None,
                           "color": "red" if flags & vf.PAIRS else None}
                if flags & vf.MIME:
                    headers["content-type"] = "ab/c"
            want.append((version, key, 0x1000 + key, 200, plain, headers))
        volume.put(100, b"legacy", crc=legacy(crc32c(b"legacy")))
        want.append((version, 100, 1, 200, b"legacy", {"etag": '"%08x"' % crc32c(b"legacy")}))
        volume.put(101, b"bad", crc=1)
        want.append((version, 101, 1, 500, b"", {}))
        volume.put(102, b"one").put(102, b"two two")
        want.append((version, 102, 1, 200, b"two two", {}))
        volume.put(103, b"gone").remove(103, crc=crc32c(b"gone"))
        volume.put(104, b"gone").remove(104, cookie=0)
        volume.put(105, b"gone").idx += row(105, 0, -1)
        volume.put(106, b"gone").idx += row(106, 8, -9)
        want += [(version, key, 1, 404, b"", {}) for key in (103, 104, 105, 106)]
        volume.put(107, b"")
        want.append((version, 107, 1, 200, b"", {"etag": '"00000000"'}))
        volume.put(2**64 - 1, b"max", 2**32 - 1)
        want.append((version, 2**64 - 1, 2**32 - 1, 200, b"max", {}))
        large = chance.randbytes(300_000)
        volume.put(108, large, flags=14, name=b"big.bin")
        want.append((version, 108, 1, 200, large, {}))
        volume.save(folder, version, vif(version=version) if version != 2 else None)
    # Bodies that end early, and one that does not end where it should.
    volume = Volume()
    for key, rest in enumerate((b"", b"\x02", b"\x3e\x01f\x00", b"\x00trailing"), 1):
        volume.put(key, b"abc", raw_body=struct.pack(">I", 3) + b"abc" + rest)
        want.append((4, key, 1, 200, b"abc", {}))
    volume.save(folder, 4, vif())
    with cluster:
        wait_loaded(cluster, 4)
        for volume_id, key, cookie, status, data, headers in want:
            answer = get(cluster, fid(volume_id, key, cookie))
            what = f"volume {volume_id} needle {key}"
            check(answer[0] == status, f"{what}: {answer[0]}, not {status}")
            check(status != 200 or answer[2] == data, f"{what}: other bytes")
            for name, value in headers.items():
                check(answer[1].get(name) == value, f"{what}: {name} is {answer[1].get(name)!r}, not {value!r}")


def damaged_folders_are_mended_or_left_alone():
    cluster, folder = prepared()
    now, want = int(time.time()), {}

    def several(count=5):
        volume = Volume()
        for key in range(1, count + 1):
            volume.put(key, b"d%d" % key, ns=key)
        return volume

    def expect(volume_id, found=(1, 2, 3, 4, 5), lost=()):
        want.update({(volume_id, key): b"d%d" % key for key in found})
        want.update({(volume_id, key): None for key in lost})

    several().save(folder, "my_col_1", vif())
    expect(1)
    several().save(folder, 2, vif(), idx=False)
    expect(2)
    volume = several()
    volume.idx = volume.idx[:-20]  # a row and a part of another
    volume.save(folder, 3, vif())
    expect(3)
    volume = several(4)
    volume.dat += vf.record(5, 1, b"d5" * 100)[0][:77]
    volume.save(folder, 4, vif())
    expect(4, (1, 2, 3, 4), (5,))
    volume = several()
    volume.dat = volume.dat[:-3]  # padding only
    volume.save(folder, 5, vif())
    expect(5)
    volume = several()
    volume.dat = volume.dat[:-20]
    volume.save(folder, 6, vif())
    expect(6, (1, 2, 3, 4), (5,))
    volume = several()
    volume.idx = bytes(len(volume.idx))
    volume.save(folder, 7, vif())
    expect(7)
    volume = several()
    volume.idx = row(1, 0, -1) + row(2, 0, -1) + volume.idx[32:]  # its head was lost
    volume.save(folder, 8, vif())
    expect(8)
    volume = several()
    volume.dat += bytes(4096)
    volume.save(folder, 9, vif())
    expect(9)
    several().save(folder, 10, "")
    expect(10)
    several().save(folder, 11, '{"version":3,"BytesOffset":4,"DestroyTime":"0","dat_file_size":5,"read_only":false}')
    expect(11)
    several().save(folder, 12, '{"version":3,"nonsense":1}')
    expect(12)
    volume = several()
    volume.dat = vf.superblock(extra=b"\x0a\x04\x08\x0a\x10\x04\0\0") + volume.dat[8:]
    volume.idx = b"".join(row(*(lambda k, o, s: (k, o * 8 + 8, s))(*struct.unpack_from(">QIi", volume.idx, at)))
                          for at in range(0, len(volume.idx), 16))
    volume.save(folder, 13, vif())
    expect(13)
    several().save(folder, 14, vif())  # its vacuum was not finished
    (folder / "14.cpd").write_bytes(b"x")
    (folder / "14.cpx").write_bytes(b"y")
    expect(14)
    Volume().put(1, b"before").save(folder, 15, vif())  # its vacuum only lacked the renaming
    several().save(folder, "new")
    (folder / "new.dat").rename(folder / "15.cpd")
    (folder / "new.idx").rename(folder / "15.cpx")
    (folder / "15.cpc").touch()
    expect(15)
    volume = Volume(ttl=(3, 2))
    volume.put(1, b"d1", flags=24, modified=now, ttl=(3, 2), ns=now * 10**9)
    volume.put(2, b"d2", flags=24, modified=now - 20000, ttl=(3, 2), ns=(now - 20000) * 10**9)
    volume.save(folder, 16, vif())
    expect(16, (1,), (2,))
    volume = Volume(2, ttl=(3, 2))  # a version without append times
    volume.put(1, b"d1", flags=24, modified=now, ttl=(3, 2)).put(2, b"d2", flags=24, modified=now - 20000, ttl=(3, 2))
    volume.save(folder, 17, vif(version=2))
    expect(17, (1,), (2,))
    several().save(folder, 18, vif(readOnly=True))
    expect(18)
    loaded = 18
    # Left alone.
    several().save(folder, 31, vif())
    (folder / "31.note").write_text("copying")
    several().save(folder, 32, vif(bytesOffset=5))
    (folder / "33.dat").write_bytes(b"\x09" + bytes(7))
    (folder / "33.idx").touch()
    (folder / "34.dat").write_bytes(b"\x03\0\0")
    (folder / "34.idx").touch()
    (folder / "35.vif").write_text(vif())
    left = {path: path.read_bytes() for path in folder.iterdir() if path.name[:2] in ("31", "32", "33", "34", "35")}
    for volume_id in (31, 32):
        expect(volume_id, (), (1,))
    with cluster:
        for life in ("first", "second"):
            status = wait_loaded(cluster, loaded)
            check(sorted(status) == list(range(1, loaded + 1)), f"loaded: {sorted(status)}")
            check(status[1]["Collection"] == "my_col", f"{status[1]}")
            for (volume_id, key), data in want.items():
                answer = get(cluster, fid(volume_id, key, 1))
                what = f"{life} life, volume {volume_id} needle {key}: {answer[0]} {answer[2]!r}"
                check(answer[0] == 404 if data is None else (answer[0], answer[2]) == (200, data), what)
            for volume_id in range(1, loaded + 1):
                answer = Http().request("PUT", cluster.volumes[0], f"/{volume_id},aa00000001", body=b"new")
                good = (500,) if volume_id == 18 else (201, 204)
                check(answer[0] in good, f"{life} life, writing to volume {volume_id}: {answer[0]} {answer[2]!r}")
            cluster.volume_processes[0].kill()
            cluster.volume_processes[0].start()
        wait_loaded(cluster, loaded)
        for path, content in left.items():
            check(path.read_bytes() == content, f"{path.name} was changed")


def damage_at_random_never_gives_wrong_bytes():
    cluster, folder = prepared()
    chance, truth, count = random.Random(SEED), {}, 200
    for volume_id in range(1, count + 1):
        volume, history = Volume(chance.choice((1, 2, 3, 3))), {}
        for ns in range(1, chance.randrange(2, 30)):
            key = chance.randrange(1, 12)
            if chance.random() < 0.25 and history.get(key, [None])[-1]:
                volume.remove(key, crc=crc32c(history[key][-1]), ns=ns)
                history[key].append(None)
            else:
                data = chance.randbytes(chance.choice((1, 5, 100, 3000)))
                volume.put(key, data, flags=14, name=b"a", modified=5, ns=ns)
                history.setdefault(key, []).append(data)
        dat, idx, kind = bytearray(volume.dat), bytearray(volume.idx), chance.randrange(8)
        if kind in (1, 3):
            del dat[chance.randrange(8, len(dat) + 1):]
        if kind in (2, 3):
            del idx[chance.randrange(0, len(idx) + 1):]
        if kind == 4:
            dat[chance.randrange(8, len(dat))] ^= 1 << chance.randrange(8)
        if kind == 5:
            idx[chance.randrange(0, len(idx))] ^= 1 << chance.randrange(8)
        if kind == 6:
            start = chance.randrange(8, len(dat))
            end = min(len(dat), start + chance.choice((16, 512, 4096)))
            dat[start:end] = bytes(end - start)
        if kind == 7:
            dat += chance.randbytes(chance.randrange(1, 5000))
        volume.dat, volume.idx = bytes(dat), bytes(idx)
        volume.save(folder, volume_id)
        truth[volume_id] = (kind, history)
    with cluster:
        for life in range(2):
            wait_loaded(cluster, count)
            seen = Counter()
            for volume_id, (kind, history) in truth.items():
                for key, values in history.items():
                    status, _, data = get(cluster, fid(volume_id, key, 1))
                    seen[status] += 1
                    what = f"life {life}, volume {volume_id} needle {key}, damage {kind}: {status}"
                    check(status in (200, 404, 500), what)
                    check(status != 200 or data in values, what + ", wrong bytes")
                    if kind in (0, 2, 7):  # the .dat is whole
                        check((data if status == 200 else None) == values[-1], what + ", not what was written last")
                status, _, data = Http().request("PUT", cluster.volumes[0], f"/{volume_id},ff00000001", body=b"new%d" % life)
                check(status != 201 or get(cluster, f"{volume_id},ff00000001")[2] == b"new%d" % life, "a new file")
            check(seen[200] > 500, f"{seen}")
            cluster.volume_processes[0].kill()
            cluster.volume_processes[0].start()


def what_it_writes_is_upstreams_to_the_byte():
    with Cluster(masters=1, volumes=1, volume_flags=["-max=1"], sizes="64") as cluster:
        cluster.wait_writable()
        client, folder, wanted, rows = Client(cluster.masters), cluster.folder / "v1", [], []
        volume = client.assign()["fid"].split(",")[0]
        at = (folder / f"{volume}.dat").stat().st_size  # behind the upload that showed it writable
        before = (folder / f"{volume}.idx").read_bytes()
        uploads = [({"Content-Type": "a/b", "Content-Disposition": "attachment; filename=n.x"}, b"hello", {"name": b"n.x", "mime": b"a/b"}),
                   ({"Content-Type": "application/octet-stream"}, b"12345678", {"mime": b"application/octet-stream"}),
                   ({"Seaweed-lower-case": "x<y", "Seaweed-Owner": "me", "Content-Type": "a/b"}, b"p",
                    {"mime": b"a/b", "pairs": b'{"Lower-Case":"x\\u003cy","Owner":"me"}'}),
                   ({"Content-Type": "a/b", "Content-Disposition": "attachment; filename=" + "n" * 256}, b"long", {"mime": b"a/b", "name": None}),
                   ({"Content-Type": "a/" + "m" * 255}, b"long", {}),
                   ({}, b"", {})]
        uploads += [({"Content-Type": "a/b", "Content-Disposition": "attachment; filename=n"}, b"x" * n, {"name": b"n", "mime": b"a/b"})
                    for n in [*range(1, 9), 300_000, 1_500_000]]  # every padding; larger than a loop reads; spooled
        for number, (headers, data, parts) in enumerate(uploads):
            assigned = client.assign()
            volume, rest = assigned["fid"].split(",")
            key, cookie = int(rest[:-8], 16), int(rest[-8:], 16)
            query = "?ts=1234567890" + ("&ttl=3h" if number % 3 == 0 else "")
            status, _, text = Http(20).request("PUT", cluster.volumes[0], "/" + assigned["fid"] + query, body=data, headers=headers)
            check(status == 201, f"{status} {text!r}")
            flags = vf.MODIFIED | vf.NAME | (vf.MIME if len(headers.get("Content-Type", "")) < 256 else 0)
            flags |= (vf.TTL if number % 3 == 0 else 0) | (vf.PAIRS if "pairs" in parts else 0)
            parts = {"name": assigned["fid"].encode(), "mime": b"", "pairs": b"", **parts}
            if parts["name"] is None:
                flags, parts["name"] = flags & ~vf.NAME, b""
            wanted.append((key, cookie, data, {"flags": flags, "modified": 1234567890, "ttl": (3, 2), **parts}))
            if number % 4 == 0:
                status, _, text = get(cluster, assigned["fid"], "DELETE")
                check(status == 202 and json.loads(text)["size"] == len(vf.body(data, **wanted[-1][3])), f"{status} {text!r}")
                wanted.append((key, cookie, None, {"crc": crc32c(data)}))
        check((folder / f"{volume}.vif").stat().st_size == 203, "a fresh .vif")
        dat, idx = (folder / f"{volume}.dat").read_bytes(), (folder / f"{volume}.idx").read_bytes()
        check(dat[:8] == vf.superblock(), dat[:8].hex())
        last_ns = 0
        for key, cookie, data, parts in wanted:
            size = struct.unpack_from(">i", dat, at + 12)[0]
            ns = struct.unpack_from(">Q", dat, at + 16 + size + 4)[0]
            check(last_ns < ns < time.time_ns(), f"append times: {last_ns}, {ns}")
            last_ns = ns
            whole, size = vf.record(key, cookie, data or b"", ns=ns, **parts)
            check(dat[at:at + len(whole)] == whole, f"at {at}: {dat[at:at + len(whole)][:200].hex()}, not {whole[:200].hex()}")
            rows.append(row(key, at, -1 if data is None else size))
            at += len(whole)
        check(len(dat) == at, "the end of the .dat")
        check(idx == before + b"".join(rows), "the .idx")


if __name__ == "__main__":
    run([every_kind_of_needle_is_read, damaged_folders_are_mended_or_left_alone, damage_at_random_never_gives_wrong_bytes,
         what_it_writes_is_upstreams_to_the_byte])
