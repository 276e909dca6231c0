#!/usr/bin/env python3
"""The master's page, looked at in a real browser. `page_test.py fake`: masters that pretend (page_server), so that every
state can be shown. `page_test.py cluster`: three real masters, the leading one killed. Exit 77: no browser, or no binary.
"""
import json
import os
import pathlib
import subprocess
import sys
import time
import urllib.request

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from chromium import Browser, BrowserError, Page, find_chromium  # noqa: E402

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
BIN = pathlib.Path(os.environ.get("HOLDFAST_BIN", ROOT / "build/release/bin")).resolve()
os.environ["HOLDFAST_BIN"] = str(BIN)  # test/cluster/harness.py starts what is there
PICTURES = pathlib.Path(os.environ.get("HOLDFAST_SCREENSHOTS", "build/screenshots"))


def check(condition, text):
    if not condition:
        raise AssertionError(text)


VERDICT = "document.querySelector('#verdict .main').innerText"
LEADERS = "[...document.querySelectorAll('#masters tr[data-master]')].filter(r => r.querySelector('.tag.lead')).map(r => r.dataset.master)"
MASTERS = "[...document.querySelectorAll('#masters tr[data-master]')].map(r => r.dataset.master)"
SERVERS = "[...document.querySelectorAll('#servers tr[data-server]')].map(r => r.dataset.server)"


def cell(row, name):
    return f"document.querySelector('{row}').querySelector('[data-is=\"{name}\"]').innerText"


class FakeCluster:
    def __init__(self):
        self.process = subprocess.Popen([BIN / "page_server"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        word, *ports = self.process.stdout.readline().split()
        check(word == "ready", "page_server is ready")
        self.masters = [f"127.0.0.1:{port}" for port in ports]

    def tell(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        check(self.process.stdout.readline() == "ok\n", f"page_server did not understand {line}")

    def close(self):
        self.process.stdin.close()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()


# The contrast of each visible text against what lies behind it, by WCAG's formula; the worst and where.
CONTRAST = """(() => {
  const channel = v => { v /= 255; return v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4; };
  const parse = c => (c.match(/[\\d.]+/g) || []).map(Number);
  const light = c => 0.2126 * channel(c[0]) + 0.7152 * channel(c[1]) + 0.0722 * channel(c[2]);
  const behind = e => {
    for (; e; e = e.parentElement) {
      const c = parse(getComputedStyle(e).backgroundColor);
      if (c.length === 3 || c[3] > 0.99) return c;
    }
    return [255, 255, 255];
  };
  let worst = [99, ''];
  for (const e of document.querySelectorAll('body *')) {
    const own = [...e.childNodes].some(n => n.nodeType === 3 && n.nodeValue.trim());
    if (!own || !e.getClientRects().length || ['SCRIPT', 'STYLE', 'NOSCRIPT', 'METER'].includes(e.nodeName)) continue;
    const a = light(parse(getComputedStyle(e).color)), b = light(behind(e));
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < worst[0]) worst = [ratio, e.outerHTML.slice(0, 120)];
  }
  return worst;
})()"""

# What sticks out of the window sideways.
OVERFLOW = """[...document.querySelectorAll('body *')].filter(e => e.getClientRects().length &&
  e.getBoundingClientRect().right > innerWidth + 1).map(e => e.outerHTML.slice(0, 120))"""


# Cells whose text does not fit, so that it lies over the next one.
SPILLED = """[...document.querySelectorAll('td, th')].filter(e => e.getClientRects().length && e.scrollWidth > e.clientWidth + 1)
  .map(e => e.outerHTML.slice(0, 120))"""


def shows_the_cluster(browser, cluster):
    page = Page(browser, f"http://{cluster.masters[0]}/")
    check(page.evaluate("document.title") == f"{cluster.masters[0]} – leader – Holdfast", page.evaluate("document.title"))
    check(page.evaluate(VERDICT) == f"{cluster.masters[0]} (this master) leads. All is well.", page.evaluate(VERDICT))
    check(page.evaluate(MASTERS) == sorted(cluster.masters), page.evaluate(MASTERS))
    check(page.evaluate(LEADERS) == [cluster.masters[0]], page.evaluate(LEADERS))
    row = f"tr[data-master=\"{cluster.masters[1]}\"]"
    check(page.evaluate(cell(row, "State")) == "FOLLOWER", "the second master follows")
    check(page.evaluate(cell(row, "Term")) == "1", "its term is shown")
    racks = page.evaluate("[...document.querySelectorAll('#servers h3')].map(h => h.firstChild.nodeValue)")
    check(racks == ["dc1 / r1", "dc1 / r2", "dc2 / r1"], racks)
    check(page.evaluate(SERVERS) == ["10.0.0.1:8080", "10.0.0.2:8080", "10.0.0.3:8080", "10.0.0.4:8080"], page.evaluate(SERVERS))
    row = "tr[data-server=\"10.0.0.1:8080\"]"
    check(page.evaluate(cell(row, "Volumes")) == "7 of 8", page.evaluate(cell(row, "Volumes")))
    check(page.evaluate(cell(row, "Volume ids")) == "1-7", "volume ids")
    check(page.evaluate(cell(row, "Disk free")) == "321 GiB", "space")
    check(page.evaluate(f"document.querySelector('{row} a').href") == "http://10.0.0.1:8080/ui/index.html", "link to the server")
    return page


def refreshes_itself(page, cluster):
    page.evaluate("window.notReloaded = true; window.row = document.querySelector('#masters tr[data-master]')")
    cluster.tell("leader 2")
    page.wait(f"JSON.stringify({LEADERS}) === '{json.dumps([cluster.masters[1]])}'", 20)
    check(page.evaluate(VERDICT) == f"{cluster.masters[1]} leads. All is well.", page.evaluate(VERDICT))
    check(page.evaluate("document.title").endswith(" – follower – Holdfast"), page.evaluate("document.title"))
    cluster.tell("server dc2 r9 10.0.0.9:8080 3")
    page.wait(f"{SERVERS}.includes('10.0.0.9:8080')", 20)
    check(page.evaluate("window.notReloaded && window.row.isConnected"), "the page changes what differs and nothing else")
    check(page.evaluate("document.getElementById('live').innerText") == "live", "says that it is live")


def tells_of_trouble(page, cluster):
    cluster.tell("silent 3")
    page.wait(f"{VERDICT}.includes('{cluster.masters[2]} is not heard')", 20)
    check("No further master may fail now." in page.evaluate("document.querySelector('#verdict .why').innerText"), "says what it means")
    cluster.tell("heard 3")
    cluster.tell("quiet 10.0.0.2:8080")
    page.wait(f"{VERDICT}.includes('one volume server is not heard')", 20)
    check("silent for 3 s" == page.evaluate(cell("tr[data-server=\"10.0.0.2:8080\"]", "State")), "the server's state")
    cluster.tell("nobody")
    page.wait(f"{VERDICT} === 'No leader: reads go on, uploads wait.'", 20)
    check(page.evaluate(LEADERS) == [], "nobody leads")
    page.screenshot(str(PICTURES / "no-leader.png"))
    cluster.tell("server dc1 r1 10.0.0.2:8080 2")
    cluster.tell("leader 1")
    page.wait(f"{VERDICT}.includes('All is well')", 20)


def outlives_its_master(page, cluster):
    cluster.tell("down 1")
    page.wait("document.getElementById('live').innerText.includes('has not answered for')", 20)
    check(page.evaluate(f"[...document.querySelectorAll('#masters a')].map(a => a.href)").count(f"http://{cluster.masters[1]}/") == 1,
          "the links to the others stay")
    page.screenshot(str(PICTURES / "gone.png"))
    cluster.tell("up 1")
    page.wait("document.getElementById('live').innerText === 'live'", 20)


def is_readable_everywhere(browser, cluster):
    for name, width, dark in (("wide-light", 1280, False), ("wide-dark", 1280, True), ("phone-light", 360, False),
                              ("phone-dark", 360, True), ("tablet-light", 768, False)):
        page = Page(browser, f"http://{cluster.masters[1]}/ui/index.html", width=width, height=800, dark=dark)
        page.screenshot(str(PICTURES / f"{name}.png"))
        check(page.evaluate("document.documentElement.scrollWidth <= innerWidth"), f"{name}: wider than the window")
        check(page.evaluate(OVERFLOW) == [], f"{name}: {page.evaluate(OVERFLOW)}")
        check(page.evaluate(SPILLED) == [], f"{name}: {page.evaluate(SPILLED)}")
        ratio, where = page.evaluate(CONTRAST)
        check(ratio >= 4.5, f"{name}: a contrast of {ratio:.2f} at {where}")
        background = page.evaluate("getComputedStyle(document.body).backgroundColor")
        check((sum(int(v) for v in background[4:-1].split(",")) < 128 * 3) == dark, f"{name}: {background}")
        check(page.complaints() == [], f"{name}: {page.complaints()}")


def loads_nothing_from_elsewhere(page, cluster):
    elsewhere = [u for u in page.requested() if not u.startswith(f"http://{cluster.masters[0]}/")]
    check(elsewhere == [], f"requests elsewhere: {elsewhere}")


def works_without_javascript(browser, cluster):
    page = Page(browser, f"http://{cluster.masters[2]}/", script=False)
    html = page.html()
    for text in cluster.masters + ["10.0.0.1:8080", "leads. All is well."]:
        check(text in html, f"without JavaScript {text} is missing")
    page.browser.events.clear()
    cluster.tell("server dc1 r1 10.0.0.77:8080 1")
    end = time.monotonic() + 30
    while True:  # the page asks to be loaded again every five seconds
        if "10.0.0.77:8080" in page.html():
            return
        check(time.monotonic() < end, "without JavaScript the page does not refresh itself")
        time.sleep(0.2)


def fake():
    cluster = FakeCluster()
    browser = Browser()
    try:
        for line in ("server dc1 r1 10.0.0.1:8080 7", "server dc1 r1 10.0.0.2:8080 2", "server dc1 r2 10.0.0.3:8080 0",
                     "server dc2 r1 10.0.0.4:8080 8"):
            cluster.tell(line)
        page = shows_the_cluster(browser, cluster)
        refreshes_itself(page, cluster)
        tells_of_trouble(page, cluster)
        loads_nothing_from_elsewhere(page, cluster)
        check(page.complaints() == [], page.complaints())
        outlives_its_master(page, cluster)
        is_readable_everywhere(browser, cluster)
        works_without_javascript(browser, cluster)
    finally:
        browser.close()
        cluster.close()


def steps_down(page, cluster, leader):
    """Clicks Step down, first with second thoughts; who leads then."""
    button = "document.querySelector('[data-step-down]')"
    page.wait(f"{button} && !{button}.hidden")
    page.evaluate(f"{button}.click()")
    page.wait("document.getElementById('ask').open")
    check(cluster.masters[leader] in page.evaluate("document.getElementById('ask').innerText"), "the dialog names nobody")
    page.screenshot(str(PICTURES / "cluster-step-down.png"))
    page.evaluate("document.getElementById('ask-no').click()")
    check(page.evaluate(LEADERS) == [cluster.masters[leader]], "cancelled, and another leads")
    # The other masters are asked how they are: all of them say where they are in the log.
    page.wait("[...document.querySelectorAll('#masters [data-is=\"Applied\"]')].every(c => /^\\d+$/.test(c.innerText)) &&"
              " [...document.querySelectorAll('#masters [data-is=\"Round trip\"]')].filter(c => / ms$/.test(c.innerText)).length === 2")
    page.wait(f"document.querySelectorAll('#history .lane').length === 5 && !!document.querySelector('#history .led')")
    page.evaluate(f"{button}.click()")
    page.evaluate("document.getElementById('ask-yes').click()")
    page.wait(f"{LEADERS}.length === 1 && {LEADERS}[0] !== '{cluster.masters[leader]}'")
    check(not page.evaluate("document.getElementById('ask').open"), "the dialog stays open")
    other = cluster.leader()
    check(other != leader, "the old one leads still")
    page.wait(f"{LEADERS}[0] === '{cluster.masters[other]}'")
    return other


def tells_what_is_watched(page, cluster):
    """Digests that agree, who votes, who reaches whom."""
    digests = "[...document.querySelectorAll('#masters tr[data-master] [data-is=\"Digest\"]')].map(c => c.innerText)"
    page.wait(f"{digests}.length === 3 && {digests}.every(d => /^[0-9a-f]{{8}}$/.test(d)) && new Set({digests}).size === 1", 20)
    page.wait("document.querySelectorAll('#reach td.yes').length === 6", 20)
    check(page.evaluate("document.querySelectorAll('#votes li').length") == 3, "who votes")
    check("leads" in page.evaluate("document.getElementById('lease').innerText"), "who leads, and by what right")
    check(page.evaluate("!document.getElementById('add').hidden"), "a master can be added")


def removes(page, cluster, dead):
    """Takes the dead master out of the cluster, first with second thoughts."""
    button = f"document.querySelector('[data-remove=\"{cluster.masters[dead]}\"]')"
    page.wait(f"{button} && !{button}.hidden")
    page.evaluate(f"{button}.click()")
    page.wait("document.getElementById('ask').open && !document.getElementById('ask-other-line').hidden")
    check(cluster.masters[dead] in page.evaluate("document.getElementById('ask-what').innerText"), "the dialog names nobody")
    page.evaluate("document.getElementById('ask-no').click()")
    # A place that no master has is no place to be taken over from: the words of the refusal are shown.
    page.evaluate(f"{button}.click()")
    page.evaluate("document.getElementById('ask-other').value = 'localhost:1'; document.getElementById('ask-yes').click()")
    page.wait("document.getElementById('ask-error').innerText.includes('does not answer')", 20)
    page.evaluate("document.getElementById('ask-other').value = ''; document.getElementById('ask-yes').click()")
    page.wait(f"{MASTERS}.length === 2 && !document.getElementById('ask').open", 20)
    check(cluster.masters[dead] not in page.evaluate(MASTERS), "the dead one is gone")


def real():
    sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "cluster"))
    from harness import Cluster
    cluster = Cluster(masters=3, volumes=3).start()
    browser = Browser()
    try:
        leader = cluster.leader()
        viewer = (leader + 1) % 3
        page = Page(browser, f"http://{cluster.masters[viewer]}/")
        page.wait(f"{MASTERS}.length === 3 && {SERVERS}.length === 3", 20)
        # The first to lead may hand over to a better one while the others start.
        end = time.monotonic() + 20
        while page.evaluate(LEADERS) != [cluster.masters[leader]]:
            check(time.monotonic() < end, f"{page.evaluate(LEADERS)}, not {cluster.masters[leader]}")
            leader = cluster.leader()
            time.sleep(0.1)
        check(sorted(page.evaluate(MASTERS)) == sorted(cluster.masters), page.evaluate(MASTERS))
        urllib.request.urlopen(f"http://{cluster.masters[viewer]}/dir/assign", timeout=10).read()
        page.wait("[...document.querySelectorAll('#servers [data-is=\"Volume ids\"]')].some(c => /^\\d/.test(c.innerText))", 20)
        page.screenshot(str(PICTURES / "cluster.png"))
        page.evaluate("window.notReloaded = true")
        tells_what_is_watched(page, cluster)
        leader = steps_down(page, cluster, leader)
        if leader == viewer:  # the next one to lead is killed, and not the one whose page is looked at
            leader = (viewer + 1) % 3
            request = urllib.request.Request(
                f"http://{cluster.masters[viewer]}/cluster/leader/stepdown?to={cluster.masters[leader]}", method="POST")
            urllib.request.urlopen(request, timeout=10).read()
            page.wait(f"{LEADERS}[0] === '{cluster.masters[leader]}'")
        cluster.master_processes[leader].kill()
        page.wait(f"{LEADERS}.length === 1 && {LEADERS}[0] !== '{cluster.masters[leader]}'", 20)
        page.wait(f"!!document.querySelector('tr[data-master=\"{cluster.masters[leader]}\"] .dot.broken')", 20)
        page.wait(f"{VERDICT}.includes('{cluster.masters[leader]} is not heard')", 20)
        check(page.evaluate("window.notReloaded"), "the page was not reloaded")
        time.sleep(0.6)  # colours fade over
        page.screenshot(str(PICTURES / "cluster-leader-killed.png"))
        removes(page, cluster, leader)
        # The browser tells of the refusal that was asked for.
        wrong = [text for text in page.complaints() if "status of 500" not in text]
        check(wrong == [], wrong)
    finally:
        browser.close()
        cluster.stop()


def main():
    if find_chromium() is None:
        print("skipped: no Chromium")
        return 77
    mode = sys.argv[1] if len(sys.argv) > 1 else "fake"
    if mode == "cluster" and not (BIN / "holdfast").exists():
        print("skipped: no holdfast binary in this build")
        return 77
    try:
        fake() if mode == "fake" else real()
    except (AssertionError, BrowserError) as error:
        print(f"FAILED: {error}")
        return 1
    print("ok")
    return 0


if __name__ == "__main__":
    sys.exit(main())
