"""Files and folders that hold personal data, readable by their owner alone, and how a file survives a power cut.

A file is durable when its content *and* the name in its folder are on disk: first the one is brought there, then the
file gets its name, then the other.
"""

import contextlib
import io
import json
import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any


def private_folder(path: Path) -> Path:
    """Make the folder (and missing parents) with mode 0700 whatever the umask; returns it."""
    _make_folder(path)
    return path


def lasting_folder(path: Path, *, private: bool = True) -> Path:
    """The same, and the names of what was made are on disk; ``private`` or with the umask's mode."""
    for folder in _make_folder(path, private=private):
        sync(folder.parent)
    return path


def _make_folder(path: Path, *, private: bool = True) -> list[Path]:
    """Make a folder and its missing parents; returns what was made."""
    missing = [folder for folder in (path, *path.parents) if not folder.exists()]
    for folder in reversed(missing):
        # Private from the first moment, or a run that is killed right here leaves a folder that others can enter. A
        # umask can only take away more; chmod gives it back to the owner.
        folder.mkdir(mode=0o700 if private else 0o777, exist_ok=True)
        if private:
            folder.chmod(0o700)
    path.mkdir(exist_ok=True)  # which refuses a file of that name
    return missing


def open_private(path: Path) -> IO[bytes]:
    """A new file of mode 0600 to write, whatever stood there before; unlike `private_file` not brought to disk."""
    path.unlink(missing_ok=True)
    return io.BufferedWriter(_NewFile(str(path), "xb", opener=_open_for_owner))


def _open_for_owner(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


class _NewFile(io.FileIO):
    """A file whose errors tell its name: of a full disk one wants to know which."""

    def write(self, content: Any) -> int:
        with naming(Path(os.fsdecode(self.name))):
            return super().write(content)


def remove_folder(path: Path) -> None:
    """Throw a folder away, with all that is in it; nothing happens if it is gone."""
    try:
        shutil.rmtree(path)
    except FileNotFoundError:
        return
    except OSError as error:
        error.filename = str(path / str(error.filename))  # which is told from within the folder
        raise


@contextlib.contextmanager
def naming(path: Path) -> Iterator[None]:
    """Let an `OSError` that tells no name tell this one."""
    try:
        yield
    except OSError as error:
        if error.filename is None:
            error.filename = str(path)
        raise


@contextlib.contextmanager
def private_file(path: Path) -> Iterator[IO[bytes]]:
    """Write a file that appears under its name complete, on disk and with mode 0600, or not at all."""
    unfinished = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        with open_private(unfinished) as stream:
            yield stream
            stream.flush()
        sync(unfinished)
        unfinished.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):  # the next run clears it away; what went wrong before says more
            unfinished.unlink(missing_ok=True)
        raise
    sync(path.parent)


def write_json(path: Path, content: Any) -> None:
    """Write one JSON object as a private file."""
    with private_file(path) as stream:
        stream.write(as_json(content))


def as_json(content: Any) -> bytes:
    return json.dumps(content, ensure_ascii=False, indent=1).encode() + b"\n"


def read_json(path: Path) -> Any:
    return json.loads(path.read_bytes())


def sync(path: Path) -> None:
    """Make the content of a file, or the names created or replaced in a folder, survive a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        with naming(path):
            os.fsync(descriptor)
    finally:
        os.close(descriptor)
