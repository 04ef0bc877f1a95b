"""Files and folders that hold personal data: readable by their owner alone, durable before they get their name."""

import contextlib
import json
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any


def private_folder(path: Path) -> Path:
    """Make the folder (and missing parents) with mode 0700 whatever the umask; returns it."""
    missing = [folder for folder in (path, *path.parents) if not folder.exists()]
    path.mkdir(parents=True, exist_ok=True)
    for folder in missing:
        folder.chmod(0o700)
    return path


def open_private(path: Path) -> IO[bytes]:
    """A new file of mode 0600 to write, whatever stood there before; unlike `private_file` not brought to disk."""
    path.unlink(missing_ok=True)
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")


@contextlib.contextmanager
def private_file(path: Path) -> Iterator[IO[bytes]]:
    """Write a file that appears under its name complete, on disk and with mode 0600, or not at all."""
    unfinished = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            os.fchmod(stream.fileno(), 0o600)
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        unfinished.replace(path)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise
    sync(path.parent)


def write_json(path: Path, content: Any) -> None:
    """Write one JSON object as a private file."""
    with private_file(path) as stream:
        stream.write(json.dumps(content, ensure_ascii=False, indent=1).encode())
        stream.write(b"\n")


def read_json(path: Path) -> Any:
    return json.loads(path.read_bytes())


def sync(path: Path) -> None:
    """Make the content of a file, or the names created or replaced in a folder, survive a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
