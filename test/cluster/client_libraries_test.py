#!/usr/bin/env python3
"""SeaweedFS's client libraries that other people published, used as their own READMEs show, against a cluster of ours: from the
npm registry, from PyPI and from Maven Central (test/clients). Skipped (77) where a language or its registry is not to be had.

    client_libraries_test.py npm|python|java
"""
import http.server
import json
import subprocess
import sys
import threading

from client_libraries import environment, install
from harness import Cluster, Failure, Http, check, run, split_address

SKIPPED = 77
LANGUAGE = sys.argv[1] if len(sys.argv) > 1 else "npm"


class MasterOf2018(http.server.BaseHTTPRequestHandler):
    """A master's answers as those of 2018 were, and nothing else: SeaweedFS has since said "volumeOrFileId" for "volumeId" and more
    of a place, "Layouts" for "layouts", and less of data centers and racks (spec/weed-cluster 2.3, 5.8). The Java libraries refuse
    what they do not know and read what is no longer there, so they cannot start with SeaweedFS 4.44 nor with us."""
    protocol_version = "HTTP/1.1"
    master = ""

    def do_GET(self):
        status, headers, body = Http().request("GET", self.master, self.path)
        if headers.get("content-type") == "application/json":
            body = json.dumps(self.of_2018(json.loads(body))).encode()
        self.send_response(status)
        self.send_header("Content-Type", headers.get("content-type", "text/plain"))
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def of_2018(self, answer):
        if "Leader" in answer:  # any master does; the library takes the leader's name for a host and one port
            answer = {"IsLeader": True, "Leader": self.headers["Host"], "Peers": []}
        if "volumeOrFileId" in answer:
            answer["volumeId"] = answer.pop("volumeOrFileId").split(",")[0]
            answer["locations"] = [{name: one[name] for name in ("url", "publicUrl")} for one in answer.get("locations", [])]
        if "Topology" in answer:
            topology = answer["Topology"]
            topology["layouts"] = topology.pop("Layouts")
            for center in topology["DataCenters"]:
                for rack in center["Racks"]:
                    for node in rack["DataNodes"]:
                        node["Free"] = node["Max"] - node["Volumes"]
                    self.sum_up(rack, rack["DataNodes"])
                self.sum_up(center, center["Racks"])
        return answer

    @staticmethod
    def sum_up(whole, parts):
        whole.update({name: sum(part[name] for part in parts) for name in ("Free", "Max")})

    def log_message(self, *_):
        pass


class Program:
    def __init__(self, folder, *argv):
        self.name = argv[0]
        self.popen = subprocess.Popen(argv, cwd=folder, env=environment(LANGUAGE, folder), text=True, stdin=subprocess.PIPE,
                                      stdout=subprocess.PIPE, stderr=subprocess.STDOUT)

    def lines(self):
        """What it prints, line by line; a line "kill <address>" waits for answer()."""
        for line in self.popen.stdout:
            if not line.startswith("kill "):
                print(line, end="", flush=True)
            yield line.strip()
        code = self.popen.wait(60)
        check(code == 0, f"{self.name} ended with {code}; its output is above")

    def answer(self, line):
        self.popen.stdin.write(line + "\n")
        self.popen.stdin.flush()


def clients(**more):
    cluster = Cluster(masters=3, volumes=2, host="127.0.0.1", volume_flags=["-max=50"], **more)
    (cluster.folder / "files").mkdir()
    return cluster


def npm():
    folder, _ = install("npm")
    with clients() as cluster:
        cluster.wait_writable()
        files = str(cluster.folder / "files")
        host, port = split_address(cluster.masters[(cluster.leader() + 1) % 3])  # a follower passes on what only the leader can do
        list(Program(folder, "node", "node_seaweedfs.js", host, str(port), files).lines())
        program = Program(folder, "node", "seaweedfs.js", files, *cluster.masters)
        deaths = 0
        for line in program.lines():
            if line.startswith("kill "):
                cluster.master_processes[cluster.masters.index(line.split()[1])].kill()
                deaths += 1
                program.answer("dead")
        check(deaths == 1, "seaweedfs.js asked for no death")


def python():
    folder, _ = install("python")
    with clients() as cluster:
        cluster.wait_writable()
        files = str(cluster.folder / "files")
        follower = cluster.masters[(cluster.leader() + 1) % 3]
        list(Program(folder, sys.executable, "pyseaweed_readme.py", *map(str, split_address(follower)), files).lines())
        list(Program(folder, sys.executable, "python_weed_readme.py", follower, files).lines())


def java():
    folder, _ = install("java")
    with clients() as cluster:
        cluster.wait_writable()
        MasterOf2018.master = cluster.masters[cluster.leader()]
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), MasterOf2018)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            list(Program(folder, "java", "-Dorg.slf4j.simpleLogger.defaultLogLevel=error", "-cp", "jars/*", "Readme.java", "127.0.0.1",
                         str(server.server_address[1])).lines())
        finally:
            server.shutdown()


if __name__ == "__main__":
    if LANGUAGE not in ("npm", "python", "java"):
        sys.exit(__doc__)
    try:
        folder, why = install(LANGUAGE)
    except Failure as failure:
        print(f"FAILED: {failure}")
        sys.exit(1)
    if folder is None:
        print(f"skipped: {why}")
        sys.exit(SKIPPED)
    run([{"npm": npm, "python": python, "java": java}[LANGUAGE]])
