"""The seal of a report: what tells later that nothing in it was changed, and that no report is missing.

Each ``run.json`` holds the digests of the other files of its report, and the digest of the ``run.json`` before it; the
store keeps the digest of every run that it applied. So a manifest stands in two places that only its owner can write,
and a chain of them cannot be shortened, reordered or forged at either end.
"""

import hashlib
import hmac
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from afstem.private_files import read_json
from afstem.report.history import past_runs
from afstem.store import RunRow

MANIFEST = "run.json"

_CHUNK_BYTES = 1 << 20

_PURPOSE = b"files of a report"


def seal_report(folder: Path, manifest: Mapping[str, Any], token_key: bytes) -> None:
    """Write ``run.json`` into a report that is otherwise complete."""
    sealed = {**manifest, "files": file_digests(folder, token_key)}
    (folder / MANIFEST).write_text(json.dumps(sealed, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


def file_digests(folder: Path, token_key: bytes) -> dict[str, str]:
    """The HMAC-SHA256 of every file of a report but the manifest, by path within the report.

    Keyed, because the manifest is for everybody and a receipt is not: with one rejected record in it, of which all but
    four digits are known, a plain digest would tell the CPR number after ten thousand trials.
    """
    key = hmac.digest(token_key, _PURPOSE, "sha256")
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path != folder / MANIFEST)
    return {path.relative_to(folder).as_posix(): _digest(path, key) for path in files}


def _digest(path: Path, key: bytes) -> str:
    digest = hmac.new(key, digestmod="sha256")
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def manifest_digest(report: Path) -> str:
    """The SHA-256 of the manifest of a report; of nothing where it is missing."""
    path = report / MANIFEST
    return hashlib.sha256(path.read_bytes() if path.exists() else b"").hexdigest()


def read_manifest(report: Path) -> dict[str, Any]:
    """The manifest of a report that may be damaged: then, or where it is missing, empty."""
    try:
        content = read_json(report / MANIFEST)
    except (FileNotFoundError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def last_link(reports: Path, applied: RunRow | None) -> dict[str, str] | None:
    """The manifest that the next one comes after, ``run_id`` and ``sha256``; None for the first of all.

    ``applied`` is the newest run of the store, which answers for its own manifest. A dry run, which changes no store,
    is held by the manifest after it.
    """
    dry_runs = [run for run in past_runs(reports) if run.dry_run]
    newest = max(dry_runs, key=lambda run: (run.moment, run.run_id), default=None)
    if newest is not None and (applied is None or newest.moment > applied.started_at):
        return {"run_id": newest.run_id, "sha256": manifest_digest(reports / newest.run_id)}
    if applied is None or applied.manifest_sha256 is None:
        return None
    return {"run_id": applied.run_id, "sha256": applied.manifest_sha256}
