"""A real browser for tests of the report: the system's Chromium, driven by Playwright's Python package.

``python tests/browser.py`` installs Debian's Chromium where there is none, and ``make test`` does so first: the package
holds no browser, and what it would download comes from where not every machine may fetch. The fixture ``browser``
(`conftest`) belongs to one test module, for while Playwright runs, nothing else may run an event loop in its thread.
"""

import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from system_packages import ensure

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
MISSING = "no browser: run 'make browser' as root, or install Chromium or Google Chrome so that it is on the PATH"

PATIENCE = 300_000
"""Milliseconds, for every wait in a browser: no test is about how long a page takes."""

_SETTLED = "() => new Promise(done => requestAnimationFrame(() => setTimeout(() => requestAnimationFrame(done), 30)))"
"""Focus is given, and images that are missing are told, when a page is drawn."""


def find_browser() -> str | None:
    """The path of the system's Chromium, if it has one."""
    return next((path for name in NAMES if (path := shutil.which(name))), None)


@contextmanager
def open_browser(path: str) -> Iterator["Browser"]:
    """The browser at the path, without a window and without network."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        # Its sandbox needs what containers and root do not have; the pages are our own.
        chromium = playwright.chromium.launch(
            executable_path=path, chromium_sandbox=False, args=["--disable-gpu"], timeout=PATIENCE
        )
        try:
            yield Browser(chromium)
        finally:
            chromium.close()


@dataclass
class Visit:
    """What a page did while it was loaded: nothing, if it is one of the report's."""

    dialogs: list[str] = field(default_factory=list)
    """What it said in windows of its own: script ran."""
    requests: list[str] = field(default_factory=list)
    """What it asked for besides itself, answered or not; not what its policy forbade."""
    complaints: list[str] = field(default_factory=list)
    """What the browser said on its console: what the page's policy forbade, for one."""
    elements: frozenset[str] = frozenset()
    links: tuple[str, ...] = ()
    """Where its links lead, as the browser understands them."""
    text: str = ""

    @property
    def ran(self) -> bool:
        return bool(self.dialogs or self.requests)


class Browser:
    """Visits pages on disk; tests that need more have a `context` of their own."""

    def __init__(self, chromium: Any) -> None:
        self._chromium = chromium
        self._visitor = self.context(offline=True, locale="da-DK")

    def context(self, **how: Any) -> Any:
        """A context of Playwright, made with its options; whatever is done in it has patience."""
        context = self._chromium.new_context(**how)
        context.set_default_timeout(PATIENCE)
        return context

    def visit(self, path: Path) -> Visit:
        """Load one page, with script allowed and the network shut, and watch it."""
        from playwright.sync_api import Error

        visit, requests = Visit(), []
        address = path.resolve().as_uri()
        with self._visitor.new_page() as page:
            page.on("dialog", lambda dialog: (visit.dialogs.append(dialog.message), dialog.dismiss()))
            page.on("request", lambda request: requests.append(request))
            page.on("console", lambda message: visit.complaints.append(message.text))
            page.on("pageerror", lambda error: visit.complaints.append(str(error)))
            try:
                page.goto(address)
                page.evaluate(_SETTLED)
                told = page.evaluate(
                    """() => ({
                        elements: [...document.querySelectorAll("*")].map(each => each.localName),
                        links: [...document.querySelectorAll("a[href], area[href]")].map(each => each.href),
                        text: document.documentElement.textContent,
                    })"""
                )
                visit.elements, visit.links = frozenset(told["elements"]), tuple(told["links"])
                visit.text = told["text"]
            except Error as error:  # it went elsewhere meanwhile
                visit.complaints.append(error.message)
            # Not the page itself, and the icon that it brings along so that none is looked for.
            visit.requests = [
                request.url
                for request in requests
                if request.failure != "csp" and request.url not in (address, "data:,")
            ]
        return visit


if __name__ == "__main__":
    sys.exit(ensure("chromium", find_browser(), MISSING))
