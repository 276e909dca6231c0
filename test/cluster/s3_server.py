"""A bucket for tests that speaks S3 over HTTP and refuses what is not signed right (AWS Signature Version 4).

    with s3_server.S3Server(bucket="cold") as s3: ...      # s3.endpoint, s3.bucket, s3.access_key, s3.secret_key
    python3 s3_server.py PORT BUCKET ACCESS_KEY SECRET_KEY # prints "ready PORT", ends when its input is closed

It knows PUT, GET (with ranges), HEAD and DELETE of objects and multipart uploads, path-style. Objects are kept in memory.
`fault` is asked before each request is answered: what it returns, an HTTP status, is answered instead; it may also wait.
"""
import hashlib
import hmac
import http.server
import json
import re
import sys
import threading
import urllib.parse
import xml.etree.ElementTree as ElementTree

REGION = "test-region-1"
EMPTY = hashlib.sha256(b"").hexdigest()


def _hmac(key, text):
    return hmac.new(key, text.encode(), hashlib.sha256).digest()


def signature(secret, method, path, query, headers, signed, payload_hash, region):
    """Of one request, as Amazon's documentation of Signature Version 4 reckons it. `headers` have lower-case names."""
    pairs = sorted((urllib.parse.quote(k, safe="-_.~"), urllib.parse.quote(v, safe="-_.~"))
                   for k, v in urllib.parse.parse_qsl(query, keep_blank_values=True))
    canonical = "\n".join([
        method, urllib.parse.quote(urllib.parse.unquote(path), safe="/-_.~"), "&".join(f"{k}={v}" for k, v in pairs),
        *(f"{name}:{' '.join(headers.get(name, '').split())}" for name in signed), "", ";".join(signed), payload_hash])
    date = headers["x-amz-date"]
    scope = f"{date[:8]}/{region}/s3/aws4_request"
    to_sign = "\n".join(["AWS4-HMAC-SHA256", date, scope, hashlib.sha256(canonical.encode()).hexdigest()])
    key = ("AWS4" + secret).encode()
    for part in (date[:8], region, "s3", "aws4_request"):
        key = _hmac(key, part)
    return hmac.new(key, to_sign.encode(), hashlib.sha256).hexdigest()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def setup(self):
        super().setup()
        with self.store.lock:
            self.store.connections += 1

    def handle(self):
        try:
            super().handle()
        except ConnectionError:
            pass  # a client that broke off, or was killed

    def log_message(self, *_):
        pass

    def answer(self, status, body=b"", **headers):
        if isinstance(body, str):
            body = body.encode()
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        if "Content_Length" not in headers:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def refuse(self, status, code, message):
        self.answer(status, f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>{message}</Message></Error>",
                    Content_Type="application/xml")

    def check(self, body):
        """Why the request is not to be believed; None when it is."""
        given = re.fullmatch(r"AWS4-HMAC-SHA256 Credential=([^/]+)/(\d{8})/([^/]+)/s3/aws4_request, ?"
                             r"SignedHeaders=([^,]+), ?Signature=([0-9a-f]{64})", self.headers.get("Authorization", ""))
        if not given:
            return "AccessDenied", "Access Denied"
        user, _, region, signed, theirs = given.groups()
        signed = signed.split(";")
        headers = {k.lower(): v for k, v in self.headers.items()}
        payload = headers.get("x-amz-content-sha256", "")
        if user != self.store.access_key:
            return "InvalidAccessKeyId", "The AWS Access Key Id you provided does not exist in our records."
        if region != self.store.region:
            return "AuthorizationHeaderMalformed", f"the region '{region}' is wrong; expecting '{self.store.region}'"
        unsigned = [name for name in headers if name.startswith("x-amz-") and name not in signed]
        if unsigned or "host" not in signed or "x-amz-date" not in signed:
            return "AccessDenied", f"There were headers present in the request which were not signed: {unsigned}"
        if payload != "UNSIGNED-PAYLOAD" and payload != hashlib.sha256(body).hexdigest():
            return "XAmzContentSHA256Mismatch", "The provided 'x-amz-content-sha256' header does not match what was computed."
        path, _, query = self.path.partition("?")
        ours = signature(self.store.secret_key, self.command, path, query, headers, signed, payload, region)
        if not hmac.compare_digest(ours, theirs):
            return "SignatureDoesNotMatch", "The request signature we calculated does not match the signature you provided."
        return None

    def serve(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        path, _, query = self.path.partition("?")
        query = dict(urllib.parse.parse_qsl(query, keep_blank_values=True))
        bucket, _, key = urllib.parse.unquote(path).lstrip("/").partition("/")
        store = self.store
        with store.lock:
            store.requests.append((self.command, self.path, self.headers.get("Range"), dict(self.headers)))
        status = store.fault(self.command, self.path, body) if store.fault else None
        if status == "cut":  # the connection ends in the middle of the answer
            self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort")
            self.close_connection = True
            return
        if status:
            return self.refuse(status, "SlowDown" if status == 503 else "InternalError", "as the test asked for")
        wrong = self.check(body)
        if wrong:
            return self.refuse(403, *wrong)
        if bucket != store.bucket:
            return self.refuse(404, "NoSuchBucket", "The specified bucket does not exist")
        with store.lock:
            getattr(self, "do_" + self.command + "_object")(key, query, body)

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = serve

    def do_HEAD_object(self, key, query, _):
        if key not in self.store.objects:
            return self.answer(404)
        self.answer(200, Content_Length=str(len(self.store.objects[key])), ETag=self.store.etags[key])

    def do_GET_object(self, key, query, _):
        if key not in self.store.objects:
            return self.refuse(404, "NoSuchKey", "The specified key does not exist.")
        data = self.store.objects[key]
        wanted = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
        if not wanted or self.store.ignores_ranges:
            return self.answer(200, data, ETag=self.store.etags[key])
        begin, end = int(wanted[1]), min(int(wanted[2]), len(data) - 1)
        if begin >= len(data):
            return self.refuse(416, "InvalidRange", "The requested range is not satisfiable")
        self.answer(206, data[begin:end + 1], Content_Range=f"bytes {begin}-{end}/{len(data)}", ETag=self.store.etags[key])

    def do_PUT_object(self, key, query, body):
        etag = f'"{hashlib.md5(body).hexdigest()}"'
        if "uploadId" in query:
            if query["uploadId"] not in self.store.uploads:
                return self.refuse(404, "NoSuchUpload", "The specified upload does not exist.")
            self.store.uploads[query["uploadId"]][int(query["partNumber"])] = body
        else:
            self.store.keep(key, body, etag, self.headers.get("x-amz-storage-class", "STANDARD"))
        self.answer(200, ETag=etag)

    def do_POST_object(self, key, query, body):
        store = self.store
        if "uploads" in query:
            store.last_upload += 1
            upload = f"upload+{store.last_upload}/="  # characters that must be escaped in a query
            store.uploads[upload] = {}
            store.upload_class[upload] = self.headers.get("x-amz-storage-class", "STANDARD")
            return self.answer(200, f"<InitiateMultipartUploadResult><Bucket>{store.bucket}</Bucket><Key>{key}</Key>"
                                    f"<UploadId>{upload}</UploadId></InitiateMultipartUploadResult>")
        upload = query.get("uploadId")
        if upload not in store.uploads:
            return self.refuse(404, "NoSuchUpload", "The specified upload does not exist.")
        parts = store.uploads[upload]
        named = [(int(part.findtext("{*}PartNumber")), part.findtext("{*}ETag").strip('"'))
                 for part in ElementTree.fromstring(body).iter() if part.tag.endswith("Part")]
        for number, etag in named:
            if number not in parts or hashlib.md5(parts[number]).hexdigest() != etag:
                return self.refuse(400, "InvalidPart", f"part {number} was not found or has another ETag")
        if any(len(parts[number]) < 5 << 20 for number, _ in named[:-1]):
            return self.refuse(400, "EntityTooSmall", "Your proposed upload is smaller than the minimum allowed object size.")
        data = b"".join(parts[number] for number, _ in sorted(named))
        etag = f'"{hashlib.md5(data).hexdigest()}-{len(named)}"'
        store.keep(key, data, etag, store.upload_class.pop(upload))
        del store.uploads[upload]
        self.answer(200, f"<CompleteMultipartUploadResult><Key>{key}</Key><ETag>{etag}</ETag></CompleteMultipartUploadResult>")

    def do_DELETE_object(self, key, query, _):
        if "uploadId" in query:
            self.store.uploads.pop(query["uploadId"], None)
        else:
            self.store.objects.pop(key, None)
        self.answer(204)


class S3Server:
    def __init__(self, bucket="bucket", access_key="AKIDEXAMPLE", secret_key="a/secret+key=", region=REGION, port=0,
                 fault=None):
        self.bucket, self.access_key, self.secret_key, self.region = bucket, access_key, secret_key, region
        self.fault = fault        # (method, path, body) -> status, "cut" or None
        self.objects = {}         # key -> bytes
        self.etags, self.classes = {}, {}
        self.uploads = {}         # multipart uploads that were not ended: id -> {number: bytes}
        self.upload_class = {}
        self.requests = []        # (method, path, range, headers)
        self.ignores_ranges = False
        self.connections = 0      # that were ever opened
        self.last_upload = 0
        self.lock = threading.RLock()
        handler = type("BoundHandler", (Handler,), {"store": self})
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", port), handler)
        self.server.daemon_threads = True
        self.endpoint = f"http://127.0.0.1:{self.server.server_port}"

    def keep(self, key, data, etag, storage_class):
        self.objects[key], self.etags[key], self.classes[key] = data, etag, storage_class

    def start(self):
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def stop(self):
        self.server.shutdown()
        self.server.server_close()

    def master_toml(self, id="default", storage_class=""):
        """The lines of a master.toml that name this bucket as s3.<id>."""
        lines = {"enabled": True, "aws_access_key_id": self.access_key, "aws_secret_access_key": self.secret_key,
                 "region": self.region, "bucket": self.bucket, "endpoint": self.endpoint, "storage_class": storage_class}
        words = (f"{k} = {str(v).lower() if isinstance(v, bool) else chr(34) + v + chr(34)}" for k, v in lines.items())
        return f"[storage.backend.s3.{id}]\n" + "\n".join(words) + "\n"

    __enter__ = start

    def __exit__(self, *_):
        self.stop()


def obey(store, line):
    """Commands of a test that is not Python: `fail STATUS TIMES [METHOD]` (a number or "cut"), `ignore-ranges`,
    `state`, `connections`."""
    word, *rest = line.split()
    if word == "ignore-ranges":
        store.ignores_ranges = True
        return "ok"
    if word == "connections":
        return str(store.connections)
    if word == "state":
        return json.dumps({"objects": {k: [len(v), store.classes[k]] for k, v in store.objects.items()},
                           "uploads": len(store.uploads), "requests": len(store.requests)})
    left = [int(rest[1])]

    def fault(method, *_):
        if left[0] == 0 or (len(rest) > 2 and rest[2] != method):
            return None
        left[0] -= 1
        return rest[0] if rest[0] == "cut" else int(rest[0])
    store.fault = fault
    return "ok"


if __name__ == "__main__":
    with S3Server(port=int(sys.argv[1]), bucket=sys.argv[2], access_key=sys.argv[3], secret_key=sys.argv[4]) as server:
        print("ready", server.server.server_port, flush=True)
        for line in sys.stdin:
            print(obey(server, line), flush=True)
