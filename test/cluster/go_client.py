"""Builds test/clients/go, a client of masters made with grpc-go, out of our own .proto files; None where that cannot be."""
import fcntl
import hashlib
import os
import pathlib
import shutil
import subprocess

from harness import BIN, ROOT, Failure

SOURCES = ROOT / "test/clients/go"
PROTOS = ("api/master.proto", "api/volume_server.proto")
MODULE = "holdfast.test/client"
GENERATORS = ("google.golang.org/protobuf/cmd/protoc-gen-go", "google.golang.org/grpc/cmd/protoc-gen-go-grpc")


def _go(folder, *argv, env=None):
    done = subprocess.run(["go", *argv], cwd=folder, capture_output=True, text=True, timeout=600,
                          env={**os.environ, "GOTOOLCHAIN": "local", "GOFLAGS": "-mod=readonly -buildvcs=false", **(env or {})})
    return done.returncode, done.stdout + done.stderr


def build():
    """(path of the program, "") or (None, why there is none)."""
    for tool in ("go", "protoc"):
        if shutil.which(tool) is None:
            return None, f"there is no `{tool}` on this machine"
    into = BIN.parent / "go-client"
    into.mkdir(parents=True, exist_ok=True)
    sources = sorted(SOURCES.iterdir()) + [ROOT / "src" / name for name in PROTOS]
    digest = hashlib.sha256(b"".join(path.name.encode() + path.read_bytes() for path in sources)).hexdigest()
    program, stamp = into / "bin/client", into / "built"
    with open(into / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if program.exists() and stamp.exists() and stamp.read_text() == digest:
            return program, ""
        for path in into.glob("*.go"):
            path.unlink()
        for path in SOURCES.iterdir():
            shutil.copy(path, into)
        code, text = _go(into, "mod", "download")
        if code != 0:
            return None, f"the Go modules cannot be had here: {text.strip().splitlines()[-1] if text.strip() else code}"
        code, text = _go(into, "build", "-o", "bin/", *GENERATORS)
        if code != 0:
            raise Failure(f"the generators do not build: {text}")
        mapped = ",".join(f"M{name}={MODULE}/pb/{pathlib.Path(name).stem.replace('master', 'master_pb').replace('volume_server', 'volume_server_pb')}"
                          for name in PROTOS)
        done = subprocess.run(["protoc", "-I", str(ROOT / "src"), "--go_out=.", f"--go_opt=module={MODULE},{mapped}",
                               "--go-grpc_out=.", f"--go-grpc_opt=module={MODULE},{mapped}", *PROTOS], cwd=into,
                              capture_output=True, text=True, env={**os.environ, "PATH": f"{into}/bin:{os.environ['PATH']}"})
        if done.returncode != 0:
            raise Failure(f"protoc: {done.stderr}")
        code, text = _go(into, "build", "-o", "bin/client", ".")
        if code != 0:
            raise Failure(f"the client does not build: {text}")
        stamp.write_text(digest)
    return program, ""
