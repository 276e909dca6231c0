"""pyseaweed, used as its README shows: upload_file, get_file_url, delete_file; and what else its class has.

    python3 pyseaweed_readme.py <master host> <master port> <folder to write files in>
"""
import io
import os
import sys
import urllib.request

from pyseaweed import SeaweedFS
from pyseaweed.exceptions import BadFidFormat


def check(condition, text):
    if not condition:
        sys.exit(f"pyseaweed: {text}")


def usage(host, port, folder, use_session):
    w = SeaweedFS(host, port, use_session=use_session)
    path = os.path.join(folder, "n.txt")
    content = os.urandom(20000)
    with open(path, "wb") as file:
        file.write(content)

    fid = w.upload_file(path)
    check(fid, "upload_file gives no fid")
    url = w.get_file_url(fid)
    with urllib.request.urlopen(url) as answer:
        check(answer.read() == content, f"what {url} gives is not what was uploaded")
    with urllib.request.urlopen(urllib.request.Request(url, headers={"Range": "bytes=100-199"})) as answer:
        check(answer.status == 206 and answer.read() == content[100:200], f"a range of {url}")
    check(w.get_file(fid) == content, "get_file")
    check(w.get_file_size(fid) == len(content), f"get_file_size: {w.get_file_size(fid)}")
    check(w.file_exists(fid), "file_exists of a file that is there")

    stream = w.upload_file(stream=io.BytesIO(b"from a stream"), name="stream.txt")
    check(w.get_file(stream) == b"from a stream", "a stream")

    # What upload_file is given besides goes to /dir/assign.
    kept = w.upload_file(stream=io.BytesIO(b"two copies"), name="two", replication="001", collection="books", ttl="1h")
    check(kept and w.get_file(kept) == b"two copies", "replication, collection and ttl")
    places = {w.get_file_url(kept, public=False) for _ in range(40)}
    check(len(places) == 2, f"replication 001: {places}")

    check(w.delete_file(fid) is True, "delete_file")
    check(w.get_file(fid) is None and not w.file_exists(fid), "a deleted file is gone")
    check(w.delete_file(fid) is False, "delete_file of what is gone")
    check(w.delete_file(kept) is True and w.get_file(kept) is None, "a deletion counts for both copies")
    check(w.vacuum() is True and w.vacuum(threshold=0.5) is True, "vacuum")
    check(w.version and w.version[0].isdigit(), f"version: {w.version}")
    try:
        w.get_file_url("a")
        sys.exit("pyseaweed: a bad fid is taken")
    except BadFidFormat:
        pass


if __name__ == "__main__":
    for session in (False, True):
        usage(sys.argv[1], int(sys.argv[2]), sys.argv[3], session)
    print("pyseaweed: upload, url, range, size, stream, copies, delete, vacuum, version; with and without a session")
