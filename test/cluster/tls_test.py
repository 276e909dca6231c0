#!/usr/bin/env python3
"""gRPC by mutual TLS, as security.toml asks for it (docs/tls.md): a cluster works as any other; who has no certificate, one of
another authority, or a name that is not allowed, gets nowhere; half a configuration does not start."""
import pathlib
import socket
import ssl
import subprocess
import tempfile

from harness import Client, Cluster, Process, WEED, check, free_port, payload, run
from members_test import until

HTTP2 = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00"


def openssl(folder, *words):
    done = subprocess.run(["openssl", *words], cwd=folder, capture_output=True, text=True)
    check(done.returncode == 0, f"openssl {words}: {done.stderr}")


def authority(folder):
    """A folder of an authority and what it has signed: docs/tls.md's own commands."""
    folder.mkdir()
    openssl(folder, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30",
            "-subj", "/CN=test authority", "-keyout", "ca.key", "-out", "ca.crt")
    for name in ("master", "volume", "client"):
        openssl(folder, "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", f"/CN={name}01",
                "-keyout", f"{name}.key", "-out", f"{name}.csr")
        openssl(folder, "x509", "-req", "-in", f"{name}.csr", "-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial",
                "-days", "30", "-out", f"{name}.crt")
    return folder


def write_settings(folder, pki, more=""):
    folder.mkdir(exist_ok=True)
    text = f'[grpc]\nca = "{pki}/ca.crt"\n'
    for part in ("master", "volume", "client"):
        text += f'[grpc.{part}]\ncert = "{pki}/{part}.crt"\nkey = "{pki}/{part}.key"\n'
        if part == "master":
            text += more
    (folder / "security.toml").write_text(text)


def protected(more="", **options):
    cluster = Cluster(**options)
    write_settings(cluster.folder, authority(cluster.folder / "pki"), more)
    return cluster


def shell(cluster, folder, words):
    folder.mkdir(exist_ok=True)
    done = subprocess.run([WEED, "shell", "-master=" + ",".join(cluster.masters)], cwd=folder, input=words + "\nexit\n",
                          capture_output=True, text=True, timeout=60, env={"PATH": "/usr/bin:/bin", "HOME": str(folder)})
    return done.stdout + done.stderr


def grpc_place(address):
    host, port = address.rsplit(":", 1)
    return host, int(port) + 10000


def a_cluster_works_as_any_other():
    with protected(volumes=2) as cluster:
        cluster.wait_writable()
        client = Client(cluster.masters)
        files = {client.upload(payload(i, 300)): payload(i, 300) for i in range(10)}
        old = cluster.leader()
        cluster.master_processes[old].kill()
        cluster.leader(among=[i for i in range(3) if i != old])
        files[client.upload(payload(99, 300))] = payload(99, 300)
        cluster.master_processes[old].start()
        for fid, data in files.items():
            check(client.read(fid) == data, "reads back")
        said = shell(cluster, cluster.folder, "cluster.raft.ps")
        check("the raft cluster has 3 servers" in said, f"the shell with a certificate: {said}")
        # What goes over the wire is TLS 1.2 or later, and plaintext is not answered.
        place = grpc_place(cluster.masters[0])
        with socket.create_connection(place, 5) as plain:
            plain.settimeout(5)
            plain.sendall(HTTP2)
            try:
                check(not plain.recv(100).startswith(b"\x00\x00"), "plaintext HTTP/2 is answered")
            except ConnectionError:
                pass
        context = ssl.create_default_context(cafile=str(cluster.folder / "pki/ca.crt"))
        context.check_hostname = False
        context.set_alpn_protocols(["h2"])
        context.load_cert_chain(cluster.folder / "pki/client.crt", cluster.folder / "pki/client.key")
        with context.wrap_socket(socket.create_connection(place, 5)) as sealed:
            check(sealed.version() in ("TLSv1.2", "TLSv1.3") and sealed.selected_alpn_protocol() == "h2", sealed.version())


def who_has_no_certificate_of_the_authority_gets_nowhere():
    with protected(volumes=0) as cluster:
        leader = cluster.leader()
        said = shell(cluster, cluster.folder / "plain", "cluster.raft.ps")
        check("the raft cluster has" not in said and "rror" in said, f"without a certificate: {said}")
        write_settings(cluster.folder / "other", authority(cluster.folder / "pki2"))
        said = shell(cluster, cluster.folder / "other", "cluster.raft.ps")
        check("the raft cluster has" not in said and "rror" in said, f"with another authority's: {said}")
        # A master without certificates does not get in either.
        port = free_port()
        (cluster.folder / "plain/m").mkdir()
        argv = [WEED, "-logtostderr=true", "master", "-ip=localhost", f"-port={port}", "-mdir=./m", "-peers=" + ",".join(cluster.masters)]
        stranger = Process("stranger", argv, cluster.folder / "plain", {"TMPDIR": str(cluster.folder)}).start()
        cluster.volume_processes.append(stranger)  # stopped with the rest
        until("it says whom it waits for", lambda: "waits" in stranger.log() or "does not answer" in stranger.log(), 15)
        listed = shell(cluster, cluster.folder, "cluster.raft.ps")
        check("the raft cluster has 3 servers" in listed, f"a stranger got in: {listed}")


def only_names_that_are_allowed_are_answered():
    with protected(more='allowed_commonNames = "master01,volume01"\n', volumes=1) as cluster:
        cluster.wait_writable()
        Client(cluster.masters).upload(payload(1, 100))
        said = shell(cluster, cluster.folder, "cluster.raft.ps")
        check("the raft cluster has" not in said and "rror" in said, f"client01 is not allowed: {said}")
        until("a master says who was refused",
              lambda: any("the certificate of client01 is not among allowed_commonNames" in p.log() for p in cluster.master_processes), 5)


def half_a_configuration_does_not_start():
    with protected(volumes=0) as cluster:
        cluster.leader()
        for name, text, words in [
                ("no-cert", f'[grpc]\nca = "{cluster.folder}/pki/ca.crt"\n', "grpc.master.cert is not"),
                ("no-ca", f'[grpc.master]\ncert = "{cluster.folder}/pki/master.crt"\nkey = "{cluster.folder}/pki/master.key"\n',
                 "grpc.ca is not set"),
                ("no-file", '[grpc]\nca = "./none.crt"\n[grpc.master]\ncert = "./none.crt"\nkey = "./none.key"\n', "none.crt cannot be read"),
                ("no-pem", '[grpc]\nca = "./security.toml"\n[grpc.master]\ncert = "./security.toml"\nkey = "./security.toml"\n', "no PEM"),
                ("other-key", f'[grpc]\nca = "{cluster.folder}/pki/ca.crt"\n[grpc.master]\ncert = "{cluster.folder}/pki/master.crt"\n'
                 f'key = "{cluster.folder}/pki/volume.key"\n', "does not belong to the certificate")]:
            folder = cluster.folder / name
            folder.mkdir()
            (folder / "security.toml").write_text(text)
            done = subprocess.run([WEED, "-logtostderr=true", "master", "-ip=localhost", f"-port={free_port()}", "-mdir=."],
                                  cwd=folder, capture_output=True, text=True, timeout=20)
            check(done.returncode != 0 and words in done.stderr, f"{name}: {done.returncode} {done.stderr}")


def a_test_authority_is_made_by_one_command():
    with tempfile.TemporaryDirectory() as parent:
        pki = pathlib.Path(parent) / "pki of mine"

        def testca(*more):
            done = subprocess.run([WEED, "testca", f"-dir={pki}", *more], capture_output=True, text=True, timeout=20)
            return done.returncode, done.stdout, done.stderr

        code, out, err = testca("-hosts=localhost,127.0.0.1")
        check(code == 0 and err == "", f"testca: {code} {err}")
        names = sorted(path.name for path in pki.iterdir())
        check(sorted(pathlib.Path(line).name for line in out.splitlines()) == names, f"it says what it wrote: {out}")
        check({"ca.crt", "ca.key", "security.toml", "master.crt", "master.key", "client.key", "volume.crt"} <= set(names), f"{names}")
        for path in pki.iterdir():
            mode = path.stat().st_mode & 0o777
            check(mode == (0o600 if path.suffix == ".key" else 0o644), f"{path.name} has mode {mode:o}")
        check(pki.stat().st_mode & 0o777 == 0o700, "the folder is its owner's")
        openssl(pki, "verify", "-purpose", "sslserver", "-CAfile", "ca.crt", "master.crt", "volume.crt")
        openssl(pki, "verify", "-purpose", "sslclient", "-CAfile", "ca.crt", "master.crt", "volume.crt", "client.crt")

        # Nothing that is there is touched, and nothing is left half.
        before = {path.name: path.read_bytes() for path in pki.iterdir()}
        (pki / "ca.crt").unlink()
        code, out, err = testca()
        check(code == 1 and "is not overwritten" in err and out == "", f"a second time: {code} {err}")
        before.pop("ca.crt")
        check({path.name: path.read_bytes() for path in pki.iterdir()} == before, "what was there is as it was")
        for path in pki.iterdir():
            path.unlink()
        code, _, err = testca("-hosts=a b")
        check(code == 1 and "neither a host name nor an address" in err and not list(pki.iterdir()), f"a bad host: {code} {err}")
        check(testca()[0] == 0, "in an empty folder")

        # A cluster by it: -config_dir is the folder itself.
        cluster = Cluster(volumes=1)
        for process in cluster.processes():
            process.argv.insert(1, f"-config_dir={pki}")
        with cluster:
            cluster.wait_writable()
            client = Client(cluster.masters)
            check(client.read(client.upload(payload(1, 300))) == payload(1, 300), "reads back")
            masters = "-master=" + ",".join(cluster.masters)
            plain = shell(cluster, cluster.folder / "plain", "cluster.raft.ps")
            check("the raft cluster has" not in plain and "rror" in plain, f"without a certificate: {plain}")
            done = subprocess.run([WEED, f"-config_dir={pki}", "shell", masters], cwd=parent, input="cluster.raft.ps\nexit\n",
                                  capture_output=True, text=True, timeout=60)
            check("the raft cluster has 3 servers" in done.stdout, f"with one: {done.stdout} {done.stderr}")


if __name__ == "__main__":
    run([a_cluster_works_as_any_other, who_has_no_certificate_of_the_authority_gets_nowhere, only_names_that_are_allowed_are_answered,
         half_a_configuration_does_not_start, a_test_authority_is_made_by_one_command])
