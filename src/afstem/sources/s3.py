"""S3, and what speaks as it does: the objects whose keys begin as a folder's, up to the next ``/``."""

import threading
from functools import cache
from typing import Any
from urllib.parse import unquote, urlsplit

import aiobotocore.session
import aiohttp
from aiobotocore.config import AioConfig
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectTimeoutError,
    NoCredentialsError,
    ReadTimeoutError,
    SSLError,
)

from afstem.errors import LoginRefused, SourceUnavailable
from afstem.settings import Actor, PullSettings, SourceSecrets
from afstem.sources import MAX_FILES, Entry, NotHad, Stamp

GONE = ("NoSuchKey", "404", "PreconditionFailed", "412")
NO_FOLDER = ("NoSuchBucket",)
ALLOWED_TO_TRY_AGAIN = ("SlowDown", "ServiceUnavailable", "InternalError", "RequestTimeout", "Throttling")


_MAKING_A_CLIENT = threading.Lock()
"""Sessions make no two clients at the same time."""


@cache
def _session() -> Any:
    """One for all actors: it keeps the description of S3, which takes a third of a second to read."""
    return aiobotocore.session.get_session()


class S3:
    """``s3://bucket/folder``, at the actor's ``endpoint`` if it is not Amazon's.

    Secrets: ``access_key`` and ``secret_key``, perhaps a ``session_token``; without them what the environment of
    the process grants (a role, ``AWS_PROFILE``), as Amazon's own tools do.
    """

    def __init__(self, actor: Actor, settings: PullSettings, secrets: SourceSecrets) -> None:
        url = urlsplit(actor.source)
        self._bucket = url.netloc
        folder = unquote(url.path).strip("/")
        self._prefix = f"{folder}/" if folder else ""
        self._actor = actor
        self._settings = settings
        self._secrets = secrets
        self._opened: Any = None
        self._client: Any = None
        self._body: Any = None

    async def connect(self) -> None:
        config = AioConfig(
            connect_timeout=self._settings.connect_seconds,
            read_timeout=self._settings.read_seconds,
            retries={"total_max_attempts": 1},
        )
        self._opened = _session().create_client(
            "s3",
            region_name=self._actor.region,
            endpoint_url=self._actor.endpoint,
            aws_access_key_id=self._secrets.get("access_key"),
            aws_secret_access_key=self._secrets.get("secret_key"),
            aws_session_token=self._secrets.get("session_token"),
            verify=self._settings.ca_file,
            config=config,
        )
        with _MAKING_A_CLIENT:
            self._client = await self._opened.__aenter__()

    async def entries(self) -> list[Entry]:
        entries: list[Entry] = []
        more: dict[str, str] = {}
        while True:
            page = await self._client.list_objects_v2(Bucket=self._bucket, Prefix=self._prefix, Delimiter="/", **more)
            for told in page.get("Contents", ()):
                name = told["Key"].removeprefix(self._prefix)
                if name:
                    changed_at = told["LastModified"].timestamp()
                    stamp = (told["Size"], told["ETag"], changed_at)
                    entries.append(Entry(name, "file", stamp, told["Size"], changed_at))
            if len(entries) > MAX_FILES:
                raise SourceUnavailable("too-many-files", transient=False)
            if not page.get("IsTruncated"):
                return entries
            more = {"ContinuationToken": page["NextContinuationToken"]}

    async def stamp(self, name: str) -> Stamp:
        told = await self._client.head_object(Bucket=self._bucket, Key=self._prefix + name)
        return told["ContentLength"], told["ETag"], told["LastModified"].timestamp()

    async def open(self, name: str) -> None:
        told = await self._client.get_object(Bucket=self._bucket, Key=self._prefix + name)
        self._body = told["Body"]

    async def read(self, count: int) -> bytes:
        return bytes(await self._body.read(count))

    async def shut(self) -> None:
        body, self._body = self._body, None
        if body is not None:
            body.close()

    async def close(self) -> None:
        if self._client is not None:
            await self._opened.__aexit__(None, None, None)

    def explain(self, error: Exception, name: str | None) -> Exception | None:
        match error:
            case ClientError():
                return self._explain_answer(error, name)
            case NoCredentialsError():
                return SourceUnavailable("no-credentials", transient=False)
            case SSLError():
                return SourceUnavailable("not-trusted", transient=False)
            case ConnectTimeoutError() | ReadTimeoutError():
                return SourceUnavailable("silent", transient=True)
            case BotoCoreError() | aiohttp.ClientError() | OSError():
                return SourceUnavailable("not-reached", transient=True)
        return None

    def _explain_answer(self, error: ClientError, name: str | None) -> Exception:
        code = error.response.get("Error", {}).get("Code", "")
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        if code in NO_FOLDER:
            return SourceUnavailable("no-such-folder", transient=False)
        if code in GONE:
            return FileNotFoundError() if name else SourceUnavailable("no-such-folder", transient=False)
        if status in (401, 403):
            return NotHad("not-opened") if name else LoginRefused()
        if status >= 500 or code in ALLOWED_TO_TRY_AGAIN:
            return SourceUnavailable("not-reached", transient=True)
        return NotHad("not-read") if name else SourceUnavailable("not-reached", transient=False)
