"""Sign: an actor writes the manifest that goes with its own extract (SPEC 2.4)."""

import hashlib
import os
import secrets
from pathlib import Path
from typing import Any

from afstem import clock
from afstem.decode import is_extract_name, open_extract
from afstem.errors import Unreadable, UsageError
from afstem.manifests import WRITE_SCOPE, Claims, make_token
from afstem.masking import tell_file_name
from afstem.private_files import sync
from afstem.pull import MANIFEST_ENDING
from afstem.signing_keys import SigningKey


def sign_file(
    file: Path, actor: str, user: str, key: SigningKey, encoding: str, scope: str = WRITE_SCOPE
) -> dict[str, Any]:
    """Write the manifest beside an extract; it appears complete, and takes the place of an older one.

    Gives ``file``, ``manifest``, ``records`` and ``sha256``. Raises `UsageError` for a file that is no extract, cannot
    be read, or changes meanwhile.
    """
    told = tell_file_name(file.name)
    if not is_extract_name(file.name):
        raise UsageError(f"{told}: an extract's name ends in .csv, .csv.gz, .jsonl, .jsonl.gz or .parquet")
    try:
        before = _digest(file)
        records = sum(len(batch) for batch in open_extract(file, file.name, encoding).batches())
        if _digest(file) != before:
            raise UsageError(f"{told}: it was changed while it was read; sign it when it is complete")
        token = make_token(
            Claims(
                iss=actor,
                sub=user,
                iat=int(clock.now().timestamp()),
                scope=scope,
                sha256=before,
                records=records,
            ),
            key,
        )
        manifest = file.with_name(file.name + MANIFEST_ENDING)
        _write(manifest, token)
    except Unreadable as unreadable:
        raise UsageError(f"{told}: it would be refused (1014, {unreadable.reason}), so it is not signed") from None
    except OSError as error:
        raise UsageError(f"{told}: {error.strerror}") from None
    return {"file": told, "manifest": tell_file_name(manifest.name), "records": records, "sha256": before}


def _digest(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _write(manifest: Path, token: str) -> None:
    """Whoever may read the extract may read the manifest, which tells nothing of anybody in it."""
    unfinished = manifest.with_name(f".{manifest.name}.{secrets.token_hex(4)}.tmp")
    try:
        with unfinished.open("xb") as stream:
            stream.write(token.encode() + b"\n")
            stream.flush()
            os.fsync(stream.fileno())
        unfinished.replace(manifest)
    finally:
        unfinished.unlink(missing_ok=True)
    sync(manifest.parent)
