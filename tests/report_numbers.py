"""Reads the numbers off a page of the report, to compare pages with each other, with Parquet, receipts and run.json.

A number in running text stands as ``<data value="1234" data-name="applied">1.234</data>``; a number in a table has the
name of its column (``<th data-name="applied">``, columns counted from the right, for a heading may span rows). The
``data-scope`` attributes of the elements around it go before its name: ``actor.jobcenter-75100.applied``.
"""

from html.parser import HTMLParser
from pathlib import Path

VOID = frozenset(("meta", "link", "br", "wbr", "hr", "img", "input"))


class PageReader(HTMLParser):
    """What a test asks of a page: numbers, links, elements and attributes, text."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.numbers: dict[str, int] = {}
        self.links: list[str] = []
        self.elements: set[str] = set()
        self.attributes: set[str] = set()
        self.headings = 0
        self.language = ""
        self.title = ""
        self.text: list[str] = []
        self._open: list[tuple[str, str | None]] = []
        self._number: tuple[str, int] | None = None
        self._columns: list[str | None] = []
        self._cells: list[str | None] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = dict(attrs)
        self.elements.add(tag)
        self.attributes.update(attributes)
        self.headings += tag == "h1"
        if tag == "html":
            self.language = attributes.get("lang") or ""
        for name in ("href", "src"):
            link = attributes.get(name)
            if link is not None:
                self.links.append(link)
        if tag not in VOID:
            self._open.append((tag, attributes.get("data-scope")))
        if tag == "data":
            self._number = (self._full(attributes["data-name"] or ""), int(attributes["value"] or ""))
            if self._cells:
                self._cells[-1] = None
        elif tag == "table":
            self._columns = []
        elif tag == "tr":
            self._cells = []
        elif tag in ("td", "th"):
            self._cells.append("" if tag == "td" else None)
            if tag == "th" and any(name == "thead" for name, _ in self._open):
                self._columns.append(attributes.get("data-name"))

    def handle_endtag(self, tag: str) -> None:
        if tag == "tr":
            self._take_row()
        opened, _ = self._open.pop()
        if opened != tag:
            raise AssertionError(f"<{opened}> is closed by </{tag}>")

    def handle_data(self, data: str) -> None:
        inside = self._open[-1][0] if self._open else ""
        if inside == "title":
            self.title += data
        if inside not in ("style", "script", "title"):
            self.text.append(data)
        if self._cells and self._cells[-1] is not None:
            self._cells[-1] += data
        if self._number and inside == "data":
            name, number = self._number
            self._number = None
            shown = data.replace(".", "").replace(",", "")
            if not shown.isdecimal() or int(shown) != number:
                raise AssertionError(f"{name} is {number}, but reads {data!r}")
            self._take(name, number)

    def _take_row(self) -> None:
        for name, cell in zip(reversed(self._columns), reversed(self._cells), strict=False):
            if name and cell and cell.strip():
                self._take(self._full(name), int(cell.strip("▲ ").replace(".", "").replace(",", "")))
        self._cells = []

    def _full(self, name: str) -> str:
        return ".".join([*(scope for _, scope in self._open if scope), name])

    def _take(self, name: str, number: int) -> None:
        if self.numbers.setdefault(name, number) != number:
            raise AssertionError(f"{name} is both {self.numbers[name]} and {number}")


def parse_page(path: Path) -> PageReader:
    """The page, parsed to its end; an element that is not closed, or a number that reads differently, fails."""
    reader = PageReader()
    reader.feed(path.read_text(encoding="utf-8"))
    reader.close()
    if reader._open:
        raise AssertionError(f"{path.name}: not closed: {reader._open}")
    return reader


def read_page(path: Path) -> dict[str, int]:
    """The numbers of a page by their full names."""
    return parse_page(path).numbers
