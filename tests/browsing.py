"""`guerdon collect serve` in a process of its own, and a browser that looks at it."""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, ClassVar

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
RULES = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]}


class Server:
    """`guerdon collect serve` in a process of its own."""

    started: ClassVar[list[subprocess.Popen[bytes]]] = []

    def __init__(self, folder: Path, *options: str, port: int = 0) -> None:
        self.log = folder / "serve.log"
        command = [sys.executable, "-m", "guerdon", "collect", "serve", *options, "--port", str(port)]
        with self.log.open("w") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, cwd=folder)
        self.started.append(self.process)
        for _ in range(600):
            if found := re.search(r"Open (http\S+)", self.log.read_text()):
                self.link = found[1]
                return
            assert self.process.poll() is None, self.log.read_text()
            time.sleep(0.1)
        raise AssertionError("the server does not start")

    @property
    def base(self) -> str:
        return self.link.split("/?")[0]

    @property
    def invitation(self) -> str:
        """The link that makes the first admin."""
        found = re.search(r"once: (\S+)", self.log.read_text())
        assert found
        return found[1]

    def stop(self, how: int = signal.SIGINT) -> None:
        self.process.send_signal(how)
        self.process.wait(20)


def new_page(browser: Any, **options: Any) -> Any:
    page = browser.new_context(**options).new_page()
    page.set_default_timeout(15_000)
    faults: list[str] = []
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("console", lambda message: faults.append(message.text) if message.type == "error" else None)
    page.faults = faults
    return page


def look(axe: Any, page: Any, name: str, width: int) -> list[tuple[str, str, str]]:
    """What axe finds on a page, which must not be wider than the screen."""
    wide = page.evaluate("document.documentElement.scrollWidth")
    assert wide <= width, f"{name} is {wide} wide"
    violations = axe.run(page, options=RULES).response["violations"]
    return [(name, one["id"], one["nodes"][0]["html"]) for one in violations]
