"""Installs the clients that other people published (test/clients/npm, python, java) into build/clients, pinned by their lock
files; None and the reason where a language or its registry is not to be had."""
import fcntl
import hashlib
import os
import shutil
import subprocess
import sys

from harness import BIN, ROOT, Failure

INTO = BIN.parent / "clients"  # the build folder's: installed once, used by every later run


def _digest(folder):
    files = sorted(path for path in folder.iterdir() if path.is_file())
    return hashlib.sha256(b"".join(path.name.encode() + path.read_bytes() for path in files)).hexdigest()


def _run(folder, *argv):
    try:
        done = subprocess.run(argv, cwd=folder, capture_output=True, text=True, timeout=300, stdin=subprocess.DEVNULL)
    except subprocess.TimeoutExpired:
        return 1, f"{argv[0]} did not end within 300 s"
    return done.returncode, (done.stdout + done.stderr).strip()


def _install_npm(folder):
    code, text = _run(folder, "npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error")
    if code != 0 and any(word in text for word in ("EINTEGRITY", "EUSAGE")):
        raise Failure(f"package-lock.json does not fit: {text}")
    return code, text


def _install_python(folder):
    code, text = _run(folder, sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps",
                      "--require-hashes", "--target", str(folder / "packages"), "-r", "requirements.txt")
    if code != 0 and "DO NOT MATCH THE HASHES" in text:
        raise Failure(f"requirements.txt does not fit: {text}")
    return code, text


def _install_java(folder):
    return _run(folder, "mvn", "--quiet", "--batch-mode", "--no-transfer-progress", f"-Dmaven.repo.local={INTO}/maven",
                "-DoutputDirectory=jars", "org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy-dependencies")


LANGUAGES = {
    "npm": (_install_npm, ("node", "npm")),
    "python": (_install_python, ()),
    "java": (_install_java, ("java", "javac", "mvn")),
}


def install(language):
    """(folder with sources and packages, "") or (None, why there is none)."""
    installer, tools = LANGUAGES[language]
    for tool in tools:
        if shutil.which(tool) is None:
            return None, f"there is no `{tool}` on this machine"
    if language == "python" and _run(ROOT, sys.executable, "-m", "pip", "--version")[0] != 0:
        return None, "python3 has no pip on this machine"
    sources, into = ROOT / "test/clients" / language, INTO / language
    into.mkdir(parents=True, exist_ok=True)
    digest, stamp = _digest(sources), into / "installed"
    with open(INTO / f"{language}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if stamp.exists() and stamp.read_text() == digest:
            return into, ""
        shutil.rmtree(into)
        shutil.copytree(sources, into)
        code, text = installer(into)
        if code != 0:
            lines = [line for line in text.splitlines() if line.strip()]
            return None, f"the packages cannot be had here: {lines[-1] if lines else code}"
        stamp.write_text(digest)
    return into, ""


def environment(language, folder):
    return {**os.environ, **({"PYTHONPATH": str(folder / "packages"), "PYTHONDONTWRITEBYTECODE": "1"} if language == "python" else {})}
