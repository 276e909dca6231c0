"""Volume files as spec/volume-format describes them, written and read here byte by byte without any code of the server's."""
import json
import struct

_TABLE = []
for _i in range(256):
    _c = _i
    for _ in range(8):
        _c = (_c >> 1) ^ (0x82F63B78 if _c & 1 else 0)
    _TABLE.append(_c)

COMPRESSED, NAME, MIME, MODIFIED, TTL, PAIRS, MANIFEST = 1, 2, 4, 8, 16, 32, 128


def crc32c(data):
    c = 0xFFFFFFFF
    for byte in data:
        c = _TABLE[(c ^ byte) & 255] ^ (c >> 8)
    return c ^ 0xFFFFFFFF


def legacy(crc):
    """The form in which checksums were stored before 3.09."""
    return (((crc >> 15) | (crc << 17 & 0xFFFFFFFF)) + 0xA282EAD8) & 0xFFFFFFFF


def superblock(version=3, replication=0, ttl=(0, 0), revision=0, extra=b""):
    return bytes([version, replication, *ttl]) + struct.pack(">HH", revision, len(extra)) + extra


def body(data, flags=0, name=b"", mime=b"", modified=0, ttl=(0, 0), pairs=b"", version=3):
    if version == 1:
        return data
    if not data:
        return b""
    out = struct.pack(">I", len(data)) + data + bytes([flags])
    if flags & NAME:
        out += bytes([len(name)]) + name
    if flags & MIME:
        out += bytes([len(mime)]) + mime
    if flags & MODIFIED:
        out += struct.pack(">Q", modified)[3:]
    if flags & TTL:
        out += bytes(ttl)
    if flags & PAIRS:
        out += struct.pack(">H", len(pairs)) + pairs
    return out


def record(key, cookie, data=b"", version=3, ns=1, crc=None, raw_body=None, **parts):
    """The whole record and its size field."""
    inside = body(data, version=version, **parts) if raw_body is None else raw_body
    crc = crc32c(data) if crc is None else crc
    out = struct.pack(">IQi", cookie, key, len(inside)) + inside + struct.pack(">I", crc)
    scratch = struct.pack(">Q", key)
    if version == 3:
        out += struct.pack(">Q", ns)
        scratch = struct.pack(">II", len(inside), 0)
    elif version == 2 and inside and parts.get("flags", 0) & MODIFIED:
        scratch = struct.pack(">Q", parts.get("modified", 0))[4:] + struct.pack(">Q", key)[4:]
    return out + scratch[:8 - len(out) % 8], len(inside)


def row(key, offset, size):
    return struct.pack(">QIi", key, offset // 8, size)


def vif(**settings):
    fresh = {"files": [], "version": 3, "replication": "", "bytesOffset": 4, "datFileSize": "0", "expireAtSec": "0",
             "readOnly": False, "ecShardConfig": None, "readOnlyCanDelete": False}
    return json.dumps({**fresh, **settings}, indent=2)


def fid(volume, key, cookie):
    return f"{volume},{struct.pack('>Q', key).lstrip(bytes(1)).hex()}{cookie:08x}"


class Volume:
    """Grows a .dat and its .idx in memory."""

    def __init__(self, version=3, **head):
        self.version = version
        self.dat = superblock(version, **head)
        self.idx = b""

    def put(self, key, data, cookie=1, **parts):
        self.dat += bytes(-len(self.dat) % 8)
        whole, size = record(key, cookie, data, version=self.version, **parts)
        self.idx += row(key, len(self.dat), size)
        self.dat += whole
        return self

    def remove(self, key, cookie=1, crc=0, ns=1):
        self.idx += row(key, len(self.dat), -1)
        self.dat += record(key, cookie, version=self.version, crc=crc, ns=ns)[0]
        return self

    def save(self, folder, base, settings=None, idx=True):
        (folder / f"{base}.dat").write_bytes(self.dat)
        if idx:
            (folder / f"{base}.idx").write_bytes(self.idx)
        if settings is not None:
            (folder / f"{base}.vif").write_text(settings)
