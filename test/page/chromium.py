"""Chromium without a window, driven over its DevTools pipe: pages, scripts, screenshots. Nothing but Python's library."""
import base64
import json
import os
import select
import shutil
import subprocess
import tempfile
import time


class BrowserError(Exception):
    pass


def find_chromium():
    for name in ("chromium", "chromium-browser", "google-chrome"):
        path = shutil.which(name)
        if path:
            return path
    return None


class Browser:
    """One browser process with a profile of its own, gone at the end."""

    def __init__(self):
        self.profile = tempfile.mkdtemp(prefix="holdfast-page-")
        to_browser, self.write_end = os.pipe()
        self.read_end, from_browser = os.pipe()
        # High numbers first: the pipes may themselves have been given 3 or 4.
        to_high, from_high = os.dup(to_browser), os.dup(from_browser)
        while to_high < 10 or from_high < 10:
            to_high, from_high = os.dup(to_high), os.dup(from_high)

        def take_places():
            os.dup2(to_high, 3)
            os.dup2(from_high, 4)

        self.process = subprocess.Popen(
            [find_chromium(), "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
             "--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage",
             "--hide-scrollbars", "--remote-debugging-pipe", f"--user-data-dir={self.profile}", "about:blank"],
            preexec_fn=take_places, pass_fds=(3, 4), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL)
        for fd in {to_browser, from_browser, to_high, from_high}:
            os.close(fd)
        self.buffer = b""
        self.next_id = 0
        self.events = []

    def call(self, method, params=None, session=None, timeout=30):
        self.next_id += 1
        message = {"id": self.next_id, "method": method, "params": params or {}}
        if session:
            message["sessionId"] = session
        os.write(self.write_end, json.dumps(message).encode() + b"\0")
        end = time.monotonic() + timeout
        while True:
            answer = self._next(end)
            if answer is None:
                raise BrowserError(f"no answer to {method} within {timeout} s")
            if answer.get("id") == message["id"]:
                if "error" in answer:
                    raise BrowserError(f"{method}: {answer['error']}")
                return answer["result"]
            self.events.append(answer)

    def _next(self, end):
        while b"\0" not in self.buffer:
            ready, _, _ = select.select([self.read_end], [], [], max(0, end - time.monotonic()))
            if not ready:
                return None
            piece = os.read(self.read_end, 1 << 20)
            if not piece:
                raise BrowserError("the browser has ended")
            self.buffer += piece
        text, self.buffer = self.buffer.split(b"\0", 1)
        return json.loads(text)

    def collect(self, seconds=0.05):
        """Takes in events for a moment."""
        end = time.monotonic() + seconds
        while True:
            event = self._next(end)
            if event is None:
                return self.events
            self.events.append(event)

    def close(self):
        self.process.kill()
        self.process.wait()
        os.close(self.write_end)
        os.close(self.read_end)
        shutil.rmtree(self.profile, ignore_errors=True)


class Page:
    def __init__(self, browser, url, width=1280, height=900, dark=False, script=True):
        self.browser = browser
        target = browser.call("Target.createTarget", {"url": "about:blank"})["targetId"]
        self.session = browser.call("Target.attachToTarget", {"targetId": target, "flatten": True})["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(domain + ".enable")
        self.call("Emulation.setDeviceMetricsOverride",
                  {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600})
        self.call("Emulation.setEmulatedMedia",
                  {"features": [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]})
        if not script:
            self.call("Emulation.setScriptExecutionDisabled", {"value": True})
        self.open(url)

    def call(self, method, params=None):
        return self.browser.call(method, params, self.session)

    def open(self, url):
        self.url = url
        self.call("Page.navigate", {"url": url})
        end = time.monotonic() + 40
        while not any(e.get("method") == "Page.loadEventFired" and e.get("sessionId") == self.session
                      for e in self.browser.collect()):
            if time.monotonic() > end:
                raise BrowserError(f"{url} does not load")

    def evaluate(self, expression):
        result = self.call("Runtime.evaluate", {"expression": expression, "returnByValue": True, "awaitPromise": True})
        if "exceptionDetails" in result:
            raise BrowserError(f"{expression}: {result['exceptionDetails']}")
        return result["result"].get("value")

    def wait(self, expression, seconds=20):
        """Until the expression is true; its value."""
        end = time.monotonic() + seconds
        while True:
            value = self.evaluate(expression)
            if value:
                return value
            if time.monotonic() > end:
                shown = self.evaluate("document.body.innerText")
                raise BrowserError(f"never true: {expression}\nthe page says:\n{shown}")
            time.sleep(0.05)

    def html(self):
        """The document as it is now, without running a script in it."""
        for attempt in range(20):
            try:
                root = self.call("DOM.getDocument", {"depth": -1})["root"]["nodeId"]
                return self.call("DOM.getOuterHTML", {"nodeId": root})["outerHTML"]
            except BrowserError:  # the page was loaded again between the two
                if attempt == 19:
                    raise
                time.sleep(0.1)

    def screenshot(self, path, whole=True):
        params = {"format": "png", "captureBeyondViewport": whole}
        if whole:
            size = self.call("Page.getLayoutMetrics")["cssContentSize"]
            params["clip"] = {"x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1}
        data = self.call("Page.captureScreenshot", params)["data"]
        os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
        with open(path, "wb") as f:
            f.write(base64.b64decode(data))

    def _events(self, method):
        self.browser.collect()
        return [e["params"] for e in self.browser.events if e.get("method") == method and e.get("sessionId") == self.session]

    def complaints(self):
        """Exceptions, errors and violations of the page's policy since it was made."""
        return [e["exceptionDetails"].get("text") for e in self._events("Runtime.exceptionThrown")] + \
               [e["entry"]["text"] for e in self._events("Log.entryAdded") if e["entry"]["level"] == "error"]

    def requested(self):
        return [e["request"]["url"] for e in self._events("Network.requestWillBeSent")]
