"""HTTPS: a folder that a web server lists as links, as most do.

Redirects are not followed: they could lead to where nothing is encrypted, and the login with them.
"""

import base64
import ssl
from html.parser import HTMLParser
from typing import Any
from urllib.parse import quote, unquote, urljoin, urlsplit

import aiohttp

from afstem.errors import LoginRefused, SourceUnavailable
from afstem.settings import Actor, PullSettings, SourceSecrets
from afstem.sources import MAX_FILES, Entry, NotHad, Stamp

MAX_LISTING_BYTES = 16 << 20
TELLS_NO_STAMP = (405, 501)


class Https:
    """``https://host/folder/``. Secrets: ``user`` and ``password``, or a ``token``; none for an open folder."""

    def __init__(self, actor: Actor, settings: PullSettings, secrets: SourceSecrets) -> None:
        self._folder = actor.source.rstrip("/") + "/"
        self._settings = settings
        self._secrets = secrets
        self._session: Any = None
        self._answer: Any = None
        self._urls: dict[str, str] = {}

    async def connect(self) -> None:
        headers = {"Accept-Encoding": "identity"}
        user, password = self._secrets.get("user"), self._secrets.get("password")
        if token := self._secrets.get("token"):
            headers["Authorization"] = f"Bearer {token}"
        elif user and password:
            headers["Authorization"] = "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()
        self._session = aiohttp.ClientSession(
            headers=headers,
            auto_decompress=False,
            connector=aiohttp.TCPConnector(ssl=ssl.create_default_context(cafile=self._settings.ca_file)),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=self._settings.connect_seconds),
        )

    async def entries(self) -> list[Entry]:
        async with self._ask("GET", self._folder) as answer:
            _check(answer)
            page = await answer.content.read(MAX_LISTING_BYTES)
            while len(page) < MAX_LISTING_BYTES and (more := await answer.content.read(MAX_LISTING_BYTES - len(page))):
                page += more
        links = _Links()
        links.feed(page.decode("utf-8", "replace"))
        base = urlsplit(self._folder)
        for link in links.found:
            url = urlsplit(urljoin(self._folder, link))
            folder, _, name = url.path.rpartition("/")
            inside = (url.scheme, url.netloc, folder + "/") == (base.scheme, base.netloc, base.path)
            if inside and name and not url.query and "/" not in unquote(name):
                self._urls[unquote(name)] = url._replace(fragment="").geturl()
        if len(self._urls) > MAX_FILES:
            raise SourceUnavailable("too-many-files", transient=False)
        return [Entry(name, "file") for name in self._urls]

    async def stamp(self, name: str) -> Stamp:
        async with self._ask("HEAD", self._url(name)) as answer:
            if answer.status in TELLS_NO_STAMP:
                return ()
            _check(answer, name)
            return _stamp_of(answer)

    async def open(self, name: str) -> None:
        self._answer = await self._ask("GET", self._url(name))
        _check(self._answer, name)

    async def read(self, count: int) -> bytes:
        return bytes(await self._answer.content.read(count))

    async def shut(self) -> None:
        answer, self._answer = self._answer, None
        if answer is not None:
            answer.close()

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    def explain(self, error: Exception, name: str | None) -> Exception | None:
        match error:
            case aiohttp.ClientSSLError():
                return SourceUnavailable("not-trusted", transient=False)
            case aiohttp.ClientError() | OSError():
                return SourceUnavailable("not-reached", transient=True)
        return None

    def _ask(self, method: str, url: str) -> Any:
        return self._session.request(method, url, allow_redirects=False)

    def _url(self, name: str) -> str:
        # A manifest is asked for whether or not it was listed.
        return self._urls.get(name) or urljoin(self._folder, quote(name, safe=""))


class _Links(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [value for name, value in attrs if tag == "a" and name == "href" and value]


def _check(answer: Any, name: str | None = None) -> None:
    status = answer.status
    if status == 200:
        return
    if status in (401, 403, 407):
        raise NotHad("not-opened") if name else LoginRefused
    if status in (404, 410):
        raise FileNotFoundError if name else SourceUnavailable("no-such-folder", transient=False)
    raise SourceUnavailable("not-reached", transient=status == 429 or status >= 500)


def _stamp_of(answer: Any) -> Stamp:
    return tuple(answer.headers.get(header) for header in ("Content-Length", "ETag", "Last-Modified"))
