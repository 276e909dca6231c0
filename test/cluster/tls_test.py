#!/usr/bin/env python3
"""gRPC by mutual TLS, as security.toml asks for it (docs/tls.md): a cluster works as any other; who has no certificate, one of
another authority, or a name that is not allowed, gets nowhere; half a configuration does not start."""
import socket
import ssl
import subprocess

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


if __name__ == "__main__":
    run([a_cluster_works_as_any_other, who_has_no_certificate_of_the_authority_gets_nowhere, only_names_that_are_allowed_are_answered,
         half_a_configuration_does_not_start])
