#!/usr/bin/env python3
"""HTTPS, as security.toml asks for it (docs/tls.md): a cluster works as any other, with copies, passed-on requests and a leader's
death; who speaks plain HTTP is told so; client certificates; new certificates without a restart; half a configuration."""
import os
import signal
import socket
import ssl
import subprocess
import urllib.error
import urllib.request

from harness import Client, Cluster, Http, WEED, check, free_port, payload, run, split_address, until


def openssl(folder, *words):
    done = subprocess.run(["openssl", *words], cwd=folder, capture_output=True, text=True)
    check(done.returncode == 0, f"openssl {words}: {done.stderr}")


def authority(folder):
    folder.mkdir()
    openssl(folder, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30",
            "-subj", "/CN=test authority", "-keyout", "ca.key", "-out", "ca.crt")
    return folder


def issue(folder, name, names="DNS:localhost,IP:127.0.0.1"):
    (folder / "names").write_text(f"subjectAltName={names}\n")
    openssl(folder, "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", f"/CN={name}",
            "-keyout", f"{name}.key", "-out", f"{name}.csr")
    openssl(folder, "x509", "-req", "-in", f"{name}.csr", "-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial", "-days", "30",
            "-extfile", "names", "-out", f"{name}.new")
    os.replace(folder / f"{name}.new", folder / f"{name}.crt")


def settings(pki, client_certificates=False):
    text = f'[https.client]\nenabled = true\nca = "{pki}/ca.crt"\n'
    if client_certificates:
        text += f'cert = "{pki}/client.crt"\nkey = "{pki}/client.key"\n'
    for part in ("master", "volume"):
        text += f'[https.{part}]\ncert = "{pki}/server.crt"\nkey = "{pki}/server.key"\n'
        if client_certificates:
            text += f'ca = "{pki}/ca.crt"\n'
    return text


class Https(Cluster):
    def __init__(self, client_certificates=False, **options):
        super().__init__(**options)
        self.pki = authority(self.folder / "pki")
        issue(self.pki, "server")
        issue(self.pki, "client")
        (self.folder / "security.toml").write_text(settings(self.pki, client_certificates))
        Http.tls = ssl.create_default_context(cafile=str(self.pki / "ca.crt"))
        if client_certificates:
            Http.tls.load_cert_chain(self.pki / "client.crt", self.pki / "client.key")

    def stop(self):
        super().stop()
        Http.tls = None

    def weed(self, *words, folder=None, check_it=True):
        done = subprocess.run([WEED, *words], cwd=folder or self.folder, capture_output=True, text=True, timeout=60)
        check(done.returncode == 0 or not check_it, f"weed {words}: {done.stderr}")
        return done.stdout + done.stderr


def plain(address, path="/"):
    """What a server says to a client that speaks HTTP without TLS."""
    with socket.create_connection(split_address(address), 5) as connection:
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        said = b""
        while piece := connection.recv(4096):
            said += piece
        return said


def a_cluster_works_as_any_other():
    with Https(volumes=2) as cluster:
        cluster.wait_writable()
        client = Client(cluster.masters)
        files = {client.upload(payload(i, 5000), "replication=001"): payload(i, 5000) for i in range(10)}
        big = payload(77, 9_000_000)
        files[client.upload(big, "replication=001")] = big
        old = cluster.leader()
        cluster.master_processes[old].kill()
        cluster.leader(among=[i for i in range(3) if i != old])
        files[client.upload(payload(99, 300))] = payload(99, 300)
        cluster.master_processes[old].start()
        until("it is a master again", lambda: Http().json(cluster.masters[old], "/cluster/status")[1].get("Leader"))
        http = Http()
        for fid, data in files.items():
            check(client.read(fid) == data, "reads back")
            for server in cluster.volumes:  # from each, its own copy or passed on to the other
                status, _, body = http.request("GET", server, f"/{fid}")
                check(status == 200 and body == data, f"{server}: {status}")
        fid = next(iter(files))
        # A follower passes an assign on; a master's redirect and the page's links stay in HTTPS.
        follower = next(i for i in range(3) if i != cluster.leader())
        status, _, _ = http.request("GET", cluster.masters[follower], "/dir/assign")
        check(status == 200, f"assign at a follower: {status}")
        status, headers, _ = http.request("GET", cluster.masters[follower], f"/{fid}")
        check(status == 308 and headers["location"].startswith("https://"), f"{status} {headers}")
        _, _, page = http.request("GET", cluster.masters[follower], "/")
        check(b'href="http://' not in page, "a link of the page leaves HTTPS")
        for address in (cluster.masters[0], cluster.volumes[0]):
            said = plain(address)
            check(said.startswith(b"HTTP/1.0 400") and b"HTTPS" in said, f"{address} to plain HTTP: {said[:200]}")
        # The tools.
        (cluster.folder / "here.txt").write_bytes(b"by the command")
        said = cluster.weed("upload", "-master=" + cluster.masters[0], "here.txt")
        fid = said.split('"fid":"')[1].split('"')[0]
        (cluster.folder / "got").mkdir()
        cluster.weed("download", "-server=" + cluster.masters[0], "-dir=got", fid)
        check((cluster.folder / "got/here.txt").read_bytes() == b"by the command", "downloaded")
        cluster.weed("kv", "-master=" + cluster.masters[0], "put", "k", "v")
        check("v" in cluster.weed("kv", "-master=" + cluster.masters[0], "get", "k"), "kv over HTTPS")
        # One without the settings cannot, and hears why.
        elsewhere = cluster.folder / "elsewhere"
        elsewhere.mkdir()
        said = cluster.weed("kv", "-master=" + cluster.masters[0], "get", "k", folder=elsewhere, check_it=False)
        check("HTTPS" in said, f"without security.toml: {said}")


def clients_must_show_a_certificate_where_that_is_asked_for():
    with Https(client_certificates=True, volumes=2) as cluster:
        cluster.wait_writable()
        client = Client(cluster.masters)
        fid = client.upload(payload(1, 5000), "replication=001")  # the copy too: servers show theirs
        check(client.read(fid) == payload(1, 5000), "reads back")
        without = ssl.create_default_context(cafile=str(cluster.pki / "ca.crt"))
        for address in (cluster.masters[0], cluster.volumes[0]):
            try:
                urllib.request.urlopen(f"https://{address}/status", context=without, timeout=5).read()
                check(False, f"{address} answers without a certificate")
            except (OSError, urllib.error.URLError):
                pass


def new_certificates_count_without_a_restart():
    with Https(masters=1, volumes=1) as cluster:
        cluster.wait_writable()

        def serial():
            with Http.tls.wrap_socket(socket.create_connection(split_address(cluster.masters[0]), 5), server_hostname="localhost") as s:
                return s.getpeercert()["serialNumber"]

        before = serial()
        issue(cluster.pki, "server")
        cluster.master_processes[0].signal(signal.SIGHUP)
        until("the new certificate is shown", lambda: serial() != before)
        (cluster.pki / "server.crt").write_text("nothing")
        cluster.master_processes[0].signal(signal.SIGHUP)
        until("what is wrong is told", lambda: "the certificates from before stay" in cluster.master_processes[0].log())
        check(Client(cluster.masters).upload(b"x") != "", "uploads go on")


def half_a_configuration_does_not_start():
    with Https(masters=1, volumes=0) as cluster:
        cluster.leader()
        pki = cluster.pki
        issue(pki, "other")
        for name, text, words in [
                ("no-key", f'[https.master]\ncert = "{pki}/server.crt"\n', "https.master.key is not"),
                ("no-cert", f'[https.master]\nkey = "{pki}/server.key"\n', "https.master.cert is not"),
                ("only-ca", f'[https.master]\nca = "{pki}/ca.crt"\n', "https.master.cert and .key are not"),
                ("no-file", '[https.master]\ncert = "./none.crt"\nkey = "./none.key"\n', "none.crt"),
                ("other-key", f'[https.master]\ncert = "{pki}/server.crt"\nkey = "{pki}/other.key"\n', "other.key"),
                ("version", f'[tls]\nmin_version = "SSLv3"\n[https.master]\ncert = "{pki}/server.crt"\nkey = "{pki}/server.key"\n',
                 "there are 1.2 and 1.3"),
                ("client", f'[https.client]\nenabled = true\nca = "{pki}/none.crt"\n', "none.crt")]:
            folder = cluster.folder / name
            folder.mkdir()
            (folder / "security.toml").write_text(text)
            done = subprocess.run([WEED, "-logtostderr=true", "master", "-ip=localhost", f"-port={free_port()}", "-mdir=."],
                                  cwd=folder, capture_output=True, text=True, timeout=20)
            check(done.returncode != 0 and words in done.stderr, f"{name}: {done.returncode} {done.stderr}")


if __name__ == "__main__":
    run([a_cluster_works_as_any_other, clients_must_show_a_certificate_where_that_is_asked_for,
         new_certificates_count_without_a_restart, half_a_configuration_does_not_start])
