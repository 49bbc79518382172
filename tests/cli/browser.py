# SPDX-License-Identifier: LGPL-2.1-or-later
"""A headless Chromium, driven over its DevTools protocol through a pair of pipes."""

import base64
import json
import os
import shutil
import subprocess
import tempfile
import time

TIMEOUT = 60  # seconds; a page answers within milliseconds unless the machine is very busy

# What a key press is made of: key, code, Windows virtual key code.
KEYS = {"Enter": ("Enter", "Enter", 13), "Escape": ("Escape", "Escape", 27), "Tab": ("Tab", "Tab", 9),
        "ArrowDown": ("ArrowDown", "ArrowDown", 40), "ArrowUp": ("ArrowUp", "ArrowUp", 38),
        "PageDown": ("PageDown", "PageDown", 34), "End": ("End", "End", 35), "Home": ("Home", "Home", 36),
        "/": ("/", "Slash", 191), " ": (" ", "Space", 32)}
TEXT = {"Enter": "\r", "/": "/", " ": " "}


def program():
    """Chromium's path, or None."""
    return shutil.which("chromium") or shutil.which("chromium-browser")


class Browser:
    """One browser with one page. A context manager."""

    def __init__(self):
        self._profile = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)  # the browser's helpers end after it
        to_browser, self._to = os.pipe()
        self._from, from_browser = os.pipe()
        # Chromium reads commands from descriptor 3 and writes answers to 4.
        arguments = [program(), "--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run",
                     "--disable-dev-shm-usage", "--hide-scrollbars", "--remote-debugging-pipe",
                     f"--user-data-dir={self._profile.name}", "about:blank"]
        shell = f'exec 3<&{to_browser} 4>&{from_browser}; exec "$@"'
        self._process = subprocess.Popen(["bash", "-c", shell, "bash", *arguments], stdin=subprocess.DEVNULL,
                                         stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                                         pass_fds=(to_browser, from_browser))
        os.close(to_browser)
        os.close(from_browser)
        os.set_blocking(self._from, False)
        self._buffer = b""
        self._number = 0
        self._session = None
        self.events = []  # of the page, since open()
        pages = self.send("Target.getTargets")["targetInfos"]
        page = next(target for target in pages if target["type"] == "page")
        self._session = self.send("Target.attachToTarget", targetId=page["targetId"], flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.send(f"{domain}.enable")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._process.kill()
        self._process.wait()
        os.close(self._to)
        os.close(self._from)
        self._profile.cleanup()

    def _read(self, deadline):
        """The next message."""
        while b"\0" not in self._buffer:
            if self._process.poll() is not None:
                raise RuntimeError(f"Chromium ended with exit code {self._process.returncode}")
            try:
                chunk = os.read(self._from, 1 << 20)
                self._buffer += chunk
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise TimeoutError("Chromium did not answer") from None
                time.sleep(0.002)
        message, self._buffer = self._buffer.split(b"\0", 1)
        return json.loads(message)

    def send(self, method, **parameters):
        """Calls one method of the protocol and returns its result."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        pending = json.dumps(message).encode() + b"\0"
        while pending:
            pending = pending[os.write(self._to, pending):]
        deadline = time.monotonic() + TIMEOUT
        while True:
            answer = self._read(deadline)
            if answer.get("id") == self._number:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']}")
                return answer["result"]
            self.events.append(answer)

    def size(self, width, height):
        self.send("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)

    def prefer(self, scheme):
        """What the system says it prefers: "light" or "dark"."""
        self.send("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])

    def open(self, path):
        self.send("Page.navigate", url="about:blank")
        self.events = []
        self.send("Page.navigate", url=f"file://{path}")
        self.wait(f"document.readyState === 'complete' && location.pathname === {json.dumps(str(path))}")

    def run(self, expression):
        """The value of a JavaScript expression in the page."""
        answer = self.send("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in answer:
            raise RuntimeError(f"{expression}: {answer['exceptionDetails']}")
        return answer["result"].get("value")

    def wait(self, expression):
        """Until the expression is true."""
        deadline = time.monotonic() + TIMEOUT
        while not self.run(expression):
            if time.monotonic() > deadline:
                raise TimeoutError(f"never true: {expression}")
            time.sleep(0.01)

    def settle(self):
        """Until what the last input changed is drawn."""
        self.run("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")

    def press(self, key, shift=False):
        name, code, number = KEYS[key]
        common = {"key": name, "code": code, "windowsVirtualKeyCode": number, "modifiers": 8 if shift else 0}
        text = {"text": TEXT[key]} if key in TEXT else {}
        self.send("Input.dispatchKeyEvent", type="keyDown", **common, **text)
        self.send("Input.dispatchKeyEvent", type="keyUp", **common)
        self.settle()

    def type(self, text):
        self.send("Input.insertText", text=text)
        self.settle()

    def click(self, selector):
        """With the mouse, in the middle of the element."""
        x, y = self.run(f"(() => {{ const node = document.querySelector({json.dumps(selector)});"
                        "node.scrollIntoView({block: 'nearest'}); const box = node.getBoundingClientRect();"
                        "return [box.x + box.width / 2, box.y + box.height / 2]; })()")
        for kind in ("mousePressed", "mouseReleased"):
            self.send("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)
        self.settle()

    def complaints(self):
        """Errors and warnings of the console, uncaught exceptions, and requests other than for the page."""
        self.settle()
        found = []
        for event in self.events:
            method, parameters = event.get("method"), event.get("params", {})
            if method == "Runtime.exceptionThrown":
                found.append(parameters["exceptionDetails"])
            elif method == "Runtime.consoleAPICalled":
                found.append(parameters["args"])
            elif method == "Log.entryAdded":
                found.append(parameters["entry"])
            elif method == "Network.requestWillBeSent" and not parameters["request"]["url"].startswith(("file:", "about:")):
                found.append(parameters["request"]["url"])
            elif method == "Page.javascriptDialogOpening":
                found.append(parameters)
        return found

    def screenshot(self):
        """PNG bytes."""
        return base64.b64decode(self.send("Page.captureScreenshot", format="png")["data"])
