"""python-weed, used as its README shows: WeedMaster, WeedVolume, and WeedOperation's put, get, delete and their aliases.

    python3 python_weed_readme.py <master host:port> <folder to write files in>
"""
import gzip
import io
import os
import sys

from weed import operation
from weed.master import WeedMaster
from weed.util import Status


def check(condition, text):
    if not condition:
        sys.exit(f"python-weed: {text}")


def master_and_volume(url):
    master = WeedMaster(url_base=url)
    key = master.get_assign_key()
    check(key["count"] == 1 and "," in key["fid"], f"get_assign_key: {key}")
    several = master.acquire_new_assign_key(10)
    check(several["count"] == 10 and several.fid_full_url.endswith("/" + several.fid), f"ten keys: {several}")
    found = master.lookup(key["fid"])
    check(found["locations"][0]["url"] and found["locations"][0]["publicUrl"], f"lookup: {found}")
    check(master.lookup("99999") is None, "lookup of an unknown volume")
    check("DataCenters" in master.get_status()["Topology"], "get_status")
    check("Topology" in master.vacuum(), "vacuum")
    volume = master.get_volume(key["fid"])
    status = volume.get_status()
    check(int(key["fid"].split(",")[0]) in [one["Id"] for one in status["Volumes"]], f"status of a volume server: {status}")


def operations(url, folder):
    path = os.path.join(folder, "1.txt")
    with open(path, "wb") as file:
        file.write(b"a text of some lines\n" * 500)
    with open(path, "rb") as file:
        text = file.read()
    wo = operation.WeedOperation(master_url_base=url)

    put = wo.put(path)
    check(put.ok() and put.fid and put.storage_size == len(text) and put.etag, f"put: {put}")
    got = wo.get(put.fid)
    check(got.ok() and got.content == text, "get")
    check(wo.exists(put.fid), "exists")
    check(wo.get_content(put.fid) == text, "get_content")
    gone = wo.delete(put.fid)
    check(gone.ok() and gone.storage_size > 0, f"delete: {gone}")
    check(not wo.exists(put.fid), "exists after delete")
    check(wo.delete(put.fid).status == Status.FAILED, "delete of what is gone")

    created = wo.crud_create(path, file_name="1.txt")
    check(wo.crud_read(created.fid).content == text, "crud_read")
    check(wo.crud_read(created.fid).content_type.startswith("text/plain"), wo.crud_read(created.fid).content_type)
    updated = wo.crud_update(io.BytesIO(b"another content"), created.fid, file_name="1.txt")
    check(updated.ok() and wo.crud_read(created.fid).content == b"another content", f"crud_update: {updated}")
    packed = wo.put(io.BytesIO(gzip.compress(text)), file_name="1.txt.gz")
    check(gzip.decompress(wo.get(packed.fid).content) == text, "what was packed comes as it was")
    check(wo.cp(packed.fid, created.fid).ok() and gzip.decompress(wo.get(created.fid).content) == text, "cp")
    check(wo.crud_delete(created.fid).ok(), "crud_delete")

    fids = wo.acquire_new_fids(3)
    for i in range(3):
        check(wo.put(io.BytesIO(b"%d of three" % i), fid=fids[i]).ok(), f"put to {fids[i]}")
    check([wo.get(fid).content for fid in fids[:3]] == [b"0 of three", b"1 of three", b"2 of three"], "three by one assign")


if __name__ == "__main__":
    base = f"http://{sys.argv[1]}"
    master_and_volume(base)
    operations(base, sys.argv[2])
    print("python-weed: keys, lookup, status, vacuum; put, get, exists, delete, update, cp, several by one assign")
