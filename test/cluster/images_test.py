#!/usr/bin/env python3
"""Images in another size by a real volume server (spec/weed-cluster 3.8): sizes, kinds, what cannot be decoded, hostile
images, the worker's death, and JPEGs that are stored upright."""
import os
import pathlib
import random
import signal
import struct
import zlib

from harness import Client, Cluster, Http, check, run, until


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width=80, height=40, lines=None):
    """Noise, so that what comes back can be told from what went in."""
    noise = random.Random(width * height)
    rows = b"".join(b"\0" + noise.randbytes(3 * width) for _ in range(height if lines is None else lines))
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)) +
            chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))


def size_of(data):
    """(kind, width, height)"""
    if data.startswith(b"\x89PNG"):
        return ("png", *struct.unpack(">II", data[16:24]))
    if data.startswith(b"GIF8"):
        return ("gif", *struct.unpack("<HH", data[6:10]))
    if data.startswith(b"\xff\xd8"):
        at = 2
        while data[at] == 0xff:
            if data[at + 1] in (0xc0, 0xc1, 0xc2):
                height, width = struct.unpack(">HH", data[at + 5:at + 9])
                return ("jpeg", width, height)
            at += 2 + struct.unpack(">H", data[at + 2:at + 4])[0]
    return ("none", 0, 0)


def with_orientation(jpeg, orientation):
    """EXIF right behind the start: a TIFF with one entry."""
    tiff = b"MM\0*" + struct.pack(">IH", 8, 1) + struct.pack(">HHIHH", 0x0112, 3, 1, orientation, 0) + struct.pack(">I", 0)
    exif = b"Exif\0\0" + tiff
    return jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + jpeg[2:]


class Place:
    """One file id at its server, written again under other keys."""

    def __init__(self, cluster):
        self.client = Client(cluster.masters)
        self.http = Http(30)

    def store(self, data, name="photo.png", kind="image/png"):
        at = self.client.assign()
        body = (f'--B\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\nContent-Type: {kind}\r\n\r\n'.encode() + data +
                b"\r\n--B--\r\n")
        status, _, told = self.http.request("POST", at["url"], "/" + at["fid"], body, {"Content-Type": "multipart/form-data; boundary=B"})
        check(status == 201, f"POST: {status} {told}")
        return at["url"], "/" + at["fid"]

    def get(self, at, query, method="GET", **headers):
        return self.http.request(method, at[0], f"{at[1]}{query}", headers={k.replace("_", "-"): v for k, v in headers.items()})


def workers(process):
    found = []
    for folder in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            if folder.joinpath("cmdline").read_bytes() != b"holdfast-images\0":
                continue
            status = folder.joinpath("status").read_text()
        except OSError:
            continue
        if f"PPid:\t{process.popen.pid}\n" in status:
            found.append(int(folder.name))
    return found


def sizes_and_kinds():
    with Cluster(masters=1, volumes=1) as cluster:
        cluster.wait_writable()
        place = Place(cluster)
        original = png()
        at = place.store(original)
        check(not workers(cluster.volume_processes[0]), "nothing is started before the first image is asked for")
        for query, expected in (("width=20", (20, 10)), ("height=10", (20, 10)), ("width=20&height=30", (20, 30)), ("width=20&height=20", (20, 20)),
                                ("width=200&height=10", (200, 10)), ("width=30&height=10&mode=fit", (20, 10)),
                                ("width=20&height=30&mode=fill", (20, 30)), ("width=200", (80, 40)), ("width=0&height=-3", (80, 40)),
                                ("width=x", (80, 40)), ("crop_x1=10&crop_y1=5&crop_x2=70&crop_y2=40", (60, 35)),
                                ("crop_x2=60&crop_y2=40&width=30", (30, 20)), ("crop_x2=81&crop_y2=40", (80, 40))):
            status, headers, body = place.get(at, "?" + query)
            check((status, size_of(body)[1:]) == (200, expected), f"{query}: {status} {size_of(body)}")
            check((body == original) == (expected == (80, 40)), f"{query}: the original?")
            check(headers["content-type"] == "image/png", f"{query}: {headers}")
        plain = place.get(at, "")[1]
        status, headers, body = place.get(at, "?width=20")
        check(headers["etag"] == plain["etag"], "the ETag is the stored file's")
        check(place.get(at, "?width=20", If_None_Match=headers["etag"])[0] == 304, "and is asked for by it")
        check(place.get(at, "?width=20", "HEAD")[1]["content-length"] == str(len(body)), "HEAD tells the result's length")
        check(place.get(at, "?width=20", Range="bytes=1-3")[2] == b"PNG", "ranges are of the result")
        for ext, kind in ((".jpg", "jpeg"), (".jpeg", "jpeg"), (".gif", "gif"), (".webp", "png"), (".PNG", "png")):
            status, headers, body = place.get(at, ext + "?width=20")
            check(size_of(body) == (kind, 20, 10), f"{ext}: {status} {size_of(body)}")
        check(place.get(at, ".webp?crop_x2=20&crop_y2=20")[2] == original, "a .webp is not cut")
        check(place.get(at, ".txt?width=20")[2] == original, "no kind of image")
        large = png(1500, 1000)  # above what is read in one piece
        check(size_of(place.get(place.store(large), "?width=100")[2]) == ("png", 100, 67), "a large one")


def what_cannot_be_decoded_is_sent_as_it_is():
    with Cluster(masters=1, volumes=1) as cluster:
        cluster.wait_writable()
        place = Place(cluster)
        good = place.store(png())
        bomb = png(60_000, 60_000, lines=1)
        for data in (b"this is no image", png()[:100], b"\xff\xd8\xff\xe0 nor this", b"<svg onload=x>", bomb, b"GIF89a"):
            status, _, body = place.get(place.store(data), "?width=20")
            check((status, body) == (200, data), f"{data[:20]}: {status} {body[:20]}")
        check(size_of(place.get(good, "?width=2000000000&height=39")[2]) == ("png", 80, 40), "a size nobody has room for")
        # Damaged images of all kinds: each is answered, and the server stays.
        kinds = [png(30, 30)] + [place.get(good, ext + "?width=40")[2] for ext in (".jpg", ".gif")]
        noise = random.Random(5)
        for i in range(120):
            data = bytearray(kinds[i % len(kinds)])
            for _ in range(noise.randrange(1, 6)):
                data[noise.randrange(len(data))] = noise.randrange(256)
            if i % 4 == 0:
                del data[noise.randrange(len(data)):]
            status, _, body = place.get(place.store(bytes(data) or b"x"), f"?width={noise.randrange(1, 40)}&height={noise.randrange(30)}")
            check(status == 200 and body, f"image {i}: {status}")
        check(cluster.volume_processes[0].alive(), "the server is alive")
        check(size_of(place.get(good, "?width=20")[2]) == ("png", 20, 10), "and resizes")


def a_worker_that_dies_is_replaced():
    with Cluster(masters=1, volumes=1) as cluster:
        cluster.wait_writable()
        place = Place(cluster)
        at = place.store(png())
        process = cluster.volume_processes[0]
        for _ in range(3):
            check(size_of(place.get(at, "?width=20")[2]) == ("png", 20, 10), "resized")
            found = workers(process)
            check(1 <= len(found) <= 2, f"workers: {found}")
            for pid in found:
                os.kill(pid, signal.SIGKILL)
            until("a new one", lambda: size_of(place.get(at, "?width=20")[2]) == ("png", 20, 10))
        found = workers(process)
        process.kill()
        until("they end with the server", lambda: not any(pathlib.Path(f"/proc/{pid}/cmdline").exists() and
                                                          pathlib.Path(f"/proc/{pid}/cmdline").read_bytes() for pid in found))
        process.start()


def jpegs_are_stored_upright_when_asked_for():
    for flags in ((), ("-images.fix.orientation",)):
        with Cluster(masters=1, volumes=2, volume_flags=flags, master_flags=("-defaultReplication=001",)) as cluster:
            cluster.wait_writable()
            place = Place(cluster)
            jpeg = place.get(place.store(png()), ".jpg?width=60")[2]
            check(size_of(jpeg) == ("jpeg", 60, 30), f"{size_of(jpeg)}")
            turned = with_orientation(jpeg, 6)
            expected = ("jpeg", 30, 60) if flags else ("jpeg", 60, 30)
            at = place.store(turned, "photo.jpg", "image/jpeg")
            copies = [place.get((server, at[1]), "")[2] for server in cluster.volumes]
            check(size_of(copies[0]) == expected and copies[0] == copies[1], f"{flags}: {[size_of(c) for c in copies]}")
            if not flags:
                check(copies[0] == turned, "as it came")
            for data in (jpeg, with_orientation(jpeg, 1), with_orientation(b"\xff\xd8\xff\xd9", 6), png()):
                at = place.store(data, "photo.jpg", "image/jpeg")
                check(place.get(at, "")[2] == data, "nothing to be turned, or nothing that can be")


if __name__ == "__main__":
    run([sizes_and_kinds, what_cannot_be_decoded_is_sent_as_it_is, a_worker_that_dies_is_replaced,
         jpegs_are_stored_upright_when_asked_for])
