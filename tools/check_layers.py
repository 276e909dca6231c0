#!/usr/bin/env python3
"""Holds every #include "folder/..." under src/ against tools/layers.txt.

Exit 0 when all includes point to the ground, 1 with one line per stray include otherwise.
"""
import pathlib
import re
import sys

root = pathlib.Path(__file__).resolve().parent.parent
allowed = {}
for line in (root / "tools/layers.txt").read_text().splitlines():
    line = line.split("#")[0].strip()
    if line:
        folder, _, rest = line.partition(":")
        allowed[folder.strip()] = {folder.strip(), *rest.split()}

stray = 0
seen = 0
include = re.compile(r'^\s*#\s*include\s+"([^"/]+)/([^"]+)"')
test_file = re.compile(r"_(test|fuzz|bench)\.cc$")
for path in sorted((root / "src").rglob("*")):
    if path.suffix not in (".h", ".cc"):
        continue
    folder = path.relative_to(root / "src").parts[0]
    if folder not in allowed:
        print(f"{path.relative_to(root)}: folder {folder} is not in tools/layers.txt")
        stray += 1
        continue
    for number, line in enumerate(path.read_text().splitlines(), 1):
        found = include.match(line)
        if not found:
            continue
        seen += 1
        target = found.group(1)
        # Generated protobuf headers are included as "api/x.pb.h"; test/ helpers only from tests.
        if target == "test" and test_file.search(path.name):
            continue
        if target not in allowed[folder]:
            print(f"{path.relative_to(root)}:{number}: {folder}/ may not include {target}/")
            stray += 1
if seen == 0 and any((root / "src").rglob("*.cc")):
    print("check_layers: no includes found at all; the check itself is broken")
    sys.exit(1)
sys.exit(1 if stray else 0)
