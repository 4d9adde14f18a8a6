"""Walks a browser to an application and looks at the pages that it is shown instead.

walk.py DRIVER PROXY CHROMIUM ARTIFACTS: the WebDriver's address, the proxy's HOST:PORT, the browser, a directory.
"""

import base64
import json
import sys
import urllib.error
import urllib.request

DRIVER, PROXY, CHROMIUM, ARTIFACTS = sys.argv[1:]
PHONE, DESKTOP = (390, 844), (1280, 800)
WANTED = f"https://dumper.{PROXY}/a/path?b=c&d=%2F%2Fevil.example"
TAB = "\ue004"
PASSED = 0


def ok(what):
    global PASSED
    PASSED += 1
    print("ok:", what, file=sys.stderr)


def check(is_so, what):
    if not is_so:
        sys.exit(f"ERROR: {what}")


def ask(method, path, body=None):
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(DRIVER + path, data, {"Content-Type": "application/json"}, method=method)
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)["value"]
    except urllib.error.HTTPError as error:
        sys.exit(f"ERROR: {method} {path}: {error.read().decode()}")


class Browser:
    """A browser with an empty profile. Its window has one of two shapes; pages can run no script of theirs."""

    def __init__(self, size, dark):
        host = PROXY.rsplit(":", 1)[0]
        rules = f"MAP {host} 127.0.0.1, MAP *.{host} 127.0.0.1, MAP * ~NOTFOUND"
        flags = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars",
                 "--no-proxy-server", "--disable-background-networking", f"--host-resolver-rules={rules}",
                 f"--window-size={size[0]},{size[1]}"]
        if dark:
            flags.append("--force-dark-mode")
        options = {"binary": CHROMIUM, "args": flags,
                   "prefs": {"profile.managed_default_content_settings.javascript": 2}}
        if size == PHONE:
            metrics = {"width": size[0], "height": size[1], "pixelRatio": 2, "mobile": True, "touch": True}
            options["mobileEmulation"] = {"deviceMetrics": metrics}
        wanted = {"browserName": "chrome", "acceptInsecureCerts": True, "goog:chromeOptions": options}
        self.path = "/session/" + ask("POST", "/session", {"capabilities": {"alwaysMatch": wanted}})["sessionId"]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        ask("DELETE", self.path)

    def open(self, url):
        ask("POST", self.path + "/url", {"url": url})

    def url(self):
        return ask("GET", self.path + "/url")

    def title(self):
        return ask("GET", self.path + "/title")

    def source(self):
        return ask("GET", self.path + "/source")

    def run(self, script):
        return ask("POST", self.path + "/execute/sync", {"script": script, "args": []})

    def press(self, key):
        keys = [{"type": "keyDown", "value": key}, {"type": "keyUp", "value": key}]
        ask("POST", self.path + "/actions", {"actions": [{"type": "key", "id": "keyboard", "actions": keys}]})

    def screenshot(self, name):
        path = f"{ARTIFACTS}/{name}.png"
        with open(path, "wb") as file:
            file.write(base64.b64decode(ask("GET", self.path + "/screenshot")))


LUMINANCE = """
const parts = text => text.match(/[\\d.]+/g).map(Number);
const light = ([r, g, b]) => [r, g, b].map(v => v / 255).map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
const behind = node => { for (; node; node = node.parentElement) {
    const colour = parts(getComputedStyle(node).backgroundColor);
    if (colour.length < 4 || colour[3] > 0) return colour; } return [255, 255, 255]; };
const worst = [...document.querySelectorAll('body *')].filter(node => [...node.childNodes].some(
        child => child.nodeType === 3 && child.textContent.trim())).map(node => {
    const [a, b] = [light(parts(getComputedStyle(node).color)), light(behind(node))].sort((a, b) => b - a);
    return (a + 0.05) / (b + 0.05); });
return Math.min(...worst);
"""


def looks_right(browser, what):
    """What every page of ours keeps: one heading, a language, nothing cut off, text that can be read, no script."""
    check(browser.run("return document.documentElement.lang") == "en", f"{what}: no language")
    check(browser.run("return document.querySelectorAll('h1').length") == 1, f"{what}: not one h1")
    wide = browser.run("return document.documentElement.scrollWidth - document.documentElement.clientWidth")
    check(wide <= 0, f"{what}: {wide} pixels are beyond the edge")
    contrast = browser.run(LUMINANCE)
    check(contrast >= 4.5, f"{what}: contrast {contrast:.2f}, at least 4.5 is readable")
    check("<script" not in browser.source().lower(), f"{what}: has a script")
    ok(f"{what}: nothing is cut off, contrast {contrast:.1f}, no script")


def keyboard(browser, what):
    """Everything that can be used or scrolled is reached with the tab key, and is seen to have the focus."""
    usable = "a[href],button,input:not([type=hidden]),select,textarea,summary"
    count = browser.run(f"""return [...document.querySelectorAll('{usable}')].length
        + [...document.querySelectorAll('pre')].filter(node => node.scrollWidth > node.clientWidth).length""")
    seen = 0
    for _ in range(count):
        browser.press(TAB)
        found = browser.run("""const node = document.activeElement, style = getComputedStyle(node);
            return node !== document.body && [node.tagName, style.outlineStyle, parseFloat(style.outlineWidth)]""")
        check(found, f"{what}: the tab key leads to {seen} of {count} places")
        check(found[1] != "none" and found[2] > 0, f"{what}: the focus on {found[0]} is not seen")
        seen += 1
    ok(f"{what}: the tab key leads to all {count} places, each with a visible focus")


for name, size, dark in [("phone", PHONE, False), ("phone-dark", PHONE, True), ("desktop", DESKTOP, False), ("desktop-dark", DESKTOP, True)]:
    with Browser(size, dark) as browser:
        browser.open(WANTED)
        check(browser.url().startswith(f"https://{PROXY}/web/login"), f"{name}: redirected to {browser.url()}")
        check(browser.title() == "Sign in to browser.example", f"{name}: the page is called {browser.title()}")
        check("dumper.proxy.example.test" in browser.source(), f"{name}: the page does not say where one was going")
        ok(f"{name}: the application leads to {browser.url()}")
        browser.screenshot(f"login-{name}")
        looks_right(browser, name)
        keyboard(browser, name)
        browser.open(f"https://{PROXY}/no/such/page")
        browser.screenshot(f"not-found-{name}")
        looks_right(browser, f"{name}, a page that is not there")
print(f"{PASSED} passed, 0 failed")
