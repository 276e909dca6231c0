#!/usr/bin/env python3
"""A volume of several GiB is made again after its server was lost, under writes, and copied at a bounded pace: memory stays where it
was, and nothing is lost. For `make soak`: it takes minutes and some 12 GB of disk.

    large_copy_test.py [GiB=3]
"""
import sys
import threading
import time

from harness import Client, Cluster, Http, PeakMemory, check, payload, until
from volume_move_test import rpc_process

PIECE = 64 << 20
PACE = 128  # MiB a second, of the second copy


def main():
    pieces = int(float(sys.argv[1] if len(sys.argv) > 1 else 3) * 1024) // 64
    data = payload(1, PIECE)
    with Cluster(masters=1, volumes=3, host="127.0.0.1", sizes="30000", master_flags=["-healAfter=2s"],
                 volume_flags=["-fileSizeLimitMB=256", "-max=20"]) as cluster:
        cluster.wait_writable()
        client, http = Client(cluster.masters, timeout=120), Http(120)
        first = client.assign(f"?count={pieces}&replication=001")
        volume = first["fid"].split(",")[0]
        fids = [first["fid"]] + [f"{first['fid']}_{i}" for i in range(1, pieces)]
        begin = time.monotonic()
        for i, fid in enumerate(fids):
            body = i.to_bytes(8, "big") + data[8:]
            status, _, answer = http.request("PUT", first["url"], "/" + fid, body, {"Content-Type": "application/octet-stream"})
            check(status == 201, f"{fid}: {status} {answer[:200]!r}")
        print(f"{pieces * 64 / 1024:.1f} GiB in volume {volume} after {time.monotonic() - begin:.0f} s", flush=True)
        holders = lambda: sorted(place["url"] for place in client.lookup(volume).get("locations") or [])
        lost = holders()[0]
        at = cluster.volumes.index(lost)
        stopping, written, failed = threading.Event(), [], [0]

        def write():
            own = Client(cluster.masters, timeout=10)
            while not stopping.is_set():
                body = payload(len(written), 2000)
                try:
                    written.append((own.upload(body, "replication=001"), body))
                except Exception:  # whoever is told of a failure has nothing to lose
                    failed[0] += 1
                time.sleep(0.01)

        writers = [threading.Thread(target=write, daemon=True) for _ in range(3)]
        others = [process for i, process in enumerate(cluster.volume_processes) if i != at]
        with PeakMemory(others + cluster.master_processes) as memory:
            for writer in writers:
                writer.start()
            cluster.volume_processes[at].kill()
            begin = time.monotonic()
            until("it has two copies again", lambda: len(holders()) == 2 and lost not in holders(), 600)
            took = time.monotonic() - begin
        print(f"made again after {took:.0f} s; memory before {[f'{mb:.0f}' for mb in memory.before]} MB, at most {[f'{mb:.0f}' for mb in memory.peak]} MB; "
              f"{len(written)} writes meanwhile, {failed[0]} refused", flush=True)
        check(memory.grown() < 300, "memory grew with the volume")
        # The server that was lost gets its old copy away, or keeps it aside; then a copy for it at a bounded pace.
        stopping.set()
        for writer in writers:
            writer.join()
        http = Http(120)
        for url in holders():
            for i, fid in enumerate(fids):
                if i % 8 == 0:
                    status, _, body = http.request("GET", url, "/" + fid)
                    check(status == 200 and body == i.to_bytes(8, "big") + data[8:], f"{fid} at {url}: {status}")
        for fid, body in written:
            check(client.read(fid) == body, f"{fid} is lost")
        cluster.volume_processes[at].start()
        status = lambda: [one["Id"] for one in http.json(lost, "/status")[1]["Volumes"]]
        until("the old copy is removed", lambda: int(volume) not in status(), 300)
        source = holders()[0]
        with PeakMemory(cluster.volume_processes) as memory:
            begin = time.monotonic()
            copy = rpc_process(lost, "VolumeCopy", {"volume_id": int(volume), "source_data_node": source, "io_byte_per_second": PACE << 20})
            out, err = copy.communicate(timeout=600)
            took = time.monotonic() - begin
        check(copy.returncode == 0, f"VolumeCopy: {out} {err}")
        print(f"copied at {pieces * 64 / took:.0f} MiB/s of the {PACE} allowed; memory at most {[f'{mb:.0f}' for mb in memory.peak]} MB", flush=True)
        check(took > 0.8 * pieces * 64 / PACE, "faster than it may be")
        check(memory.grown() < 300, "memory grew with the volume")
        status_, _, body = http.request("GET", lost, "/" + fids[-1])
        check(status_ == 200 and body == (pieces - 1).to_bytes(8, "big") + data[8:], f"the last file at the copy: {status_}")
    print("passed")


if __name__ == "__main__":
    main()
