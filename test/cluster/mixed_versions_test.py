#!/usr/bin/env python3
"""A binary of the next feature level beside the present one: a cluster is upgraded one master at a time while files are
written and read, the new level counts only when all know it, and going back past it is refused in words. And one that
does not know the key-value space: until it is gone nothing of that reaches the log, and the refusal names it."""
import re
import sys
import time

from harness import BIN, NETWORK_ERRORS, WEED, Client, Cluster, Failure, Http, check, payload

NEXT = str(BIN / "next" / "weed")
FIRST = str(BIN / "first" / "weed")  # feature level 1: before the key-value space


def levels(cluster, alive):
    """The feature level in force, as each of these masters tells it on its page."""
    http = Http()
    found = []
    for i in alive:
        status, _, body = http.request("GET", cluster.masters[i], "/ui/index.html")
        told = re.search(r"feature level (\d+)", body.decode())
        check(status == 200 and told, f"no feature level on the page of {cluster.masters[i]}: {status}")
        found.append(int(told.group(1)))
    http.close()
    return found


def wait_levels(cluster, want, alive=(0, 1, 2), seconds=15):
    end = time.monotonic() + seconds
    while True:
        seen = None
        try:
            seen = levels(cluster, alive)
            if seen == [want] * len(alive):
                return
        except NETWORK_ERRORS as error:
            seen = error
        check(time.monotonic() < end, f"feature level {want} not reached within {seconds} s: {seen}")
        time.sleep(0.05)


def present_level(cluster):
    """The level of the present binary, from the first line of its log."""
    told = re.search(r"feature level (\d+), process", cluster.master_processes[0].log())
    check(told, "a master does not log its feature level at its start")
    return int(told.group(1))


def write_and_read(cluster, written, alive=(0, 1, 2)):
    client = Client([cluster.masters[i] for i in alive])
    end = time.monotonic() + 10
    while True:
        try:
            data = payload(len(written), 3000)
            written[client.upload(data)] = data
            break
        except (Failure, *NETWORK_ERRORS) as error:
            check(time.monotonic() < end, f"no upload within 10 s: {error}")
            time.sleep(0.02)
    for fid, data in written.items():
        check(client.read(fid) == data, f"{fid} reads back wrong")
    client.close()


def main():
    with Cluster() as cluster:
        cluster.wait_writable()
        level = present_level(cluster)
        wait_levels(cluster, level)
        written = {}
        write_and_read(cluster, written)
        # One after the other, the leader among them at some point.
        for i, process in enumerate(cluster.master_processes):
            check(process.stop() == 0, f"{process.name} did not stop cleanly")
            write_and_read(cluster, written, [j for j in range(3) if j != i])
            process.argv[process.argv.index(WEED)] = NEXT
            process.start()
            if i < 2:
                cluster.leader()
                time.sleep(1)
                wait_levels(cluster, level)  # also the one just started, once it has read its log
                write_and_read(cluster, written)
        wait_levels(cluster, level + 1)
        write_and_read(cluster, written)
        print("ok the level rises when the last master understands it, and files go on all the while")

        # Back to the old binary: it must say why and end, not guess at what it does not understand.
        process = cluster.master_processes[0]
        check(process.stop() == 0, "the new binary did not stop cleanly")
        before = len(process.log())
        process.argv[process.argv.index(NEXT)] = WEED
        process.start()
        try:
            status = process.popen.wait(15)
        except Exception:
            raise Failure("a master of the old level goes on in a cluster of the new one")
        text = process.log()[before:]
        check(status == 255, f"exit status {status}, not 255")
        check(f"feature level {level + 1}" in text and "newer" in text, f"it does not say what to do:\n{text[-1500:]}")
        write_and_read(cluster, written, [1, 2])
        process.argv[process.argv.index(WEED)] = NEXT
        process.start()
        wait_levels(cluster, level + 1)
        write_and_read(cluster, written)
        print("ok going back past the level is refused in words, and the newer binary takes part again")
    key_values()
    return 0


def key_values():
    with Cluster(masters=3, volumes=0, weed=FIRST) as cluster:
        http = Http()
        cluster.leader()
        wait_levels(cluster, 1)
        for i, process in enumerate(cluster.master_processes):
            # Asked of every master of the present release, leading or not.
            for address in cluster.masters[:i]:
                end = time.monotonic() + 10
                while True:
                    try:
                        status, _, body = http.request("PUT", address, "/cluster/kv/a", body=b"1")
                        told = body.decode()
                    except NETWORK_ERRORS as error:
                        status, told = 503, repr(error)  # it is starting
                    # One that was just replaced may be named for a moment: it has not greeted everybody yet.
                    if status == 501 and any(a in told for a in cluster.masters[i:]):
                        break
                    check(status in (501, 503) and time.monotonic() < end,
                          f"{address} beside the first release: {status} {told}")
                    time.sleep(0.1)  # who just started has not heard all yet
                old = [a for a in cluster.masters[i:] if a in told]
                check(old and "feature level 1" in told and "not all masters know the key-value space" in told, told)
            check(process.stop() == 0, f"{process.name} did not stop cleanly")
            process.argv[process.argv.index(FIRST)] = WEED
            process.start()
            cluster.leader()
        end = time.monotonic() + 15
        while True:
            try:
                if http.request("PUT", cluster.masters[0], "/cluster/kv/a", body=b"1")[0] == 200:
                    break
            except NETWORK_ERRORS:
                pass
            check(time.monotonic() < end, "the space does not open when all masters know it")
            time.sleep(0.05)
        check(http.request("GET", cluster.masters[1], "/cluster/kv/a")[2] == b"1", "get")
        http.close()
        print("ok the key-value space opens when the last master knows it, and says until then which one does not")


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Failure as failure:
        print(f"FAILED {failure}")
        sys.exit(1)
