"""The outcomes: what became of every record, as Parquet (SPEC 6), and as many as the manifest says.

They were written while the run was settled and are copied as they are; what is published is counted again.
"""

import shutil
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from afstem.errors import RunError
from afstem.schema import Outcome

_KEYS = ["actor", "extract_id", "contact_type", "outcome"]


def publish_outcomes(staged: Path, folder: Path, manifest: Mapping[str, Any]) -> None:
    """Copy the files of ``staged`` into ``folder``; raises `RunError` where they count otherwise than the manifest."""
    folder.mkdir()
    for path in sorted(staged.glob("*.parquet")):
        shutil.copyfile(path, folder / path.name)
    _check(count_outcomes(folder), manifest)


def count_outcomes(folder: Path) -> Counter[tuple[str, str, str | None, str]]:
    """Records by (actor, extract id, contact type, outcome)."""
    counted: Counter[tuple[str, str, str | None, str]] = Counter()
    for path in sorted(folder.glob("*.parquet")):
        # As dictionaries, which is how they were written: a million texts are counted by their numbers.
        outcomes = pq.read_table(path, columns=_KEYS, read_dictionary=_KEYS).unify_dictionaries()
        for row in outcomes.group_by(_KEYS).aggregate([([], "count_all")]).to_pylist():
            counted[row["actor"], row["extract_id"], row["contact_type"], row["outcome"]] += row["count_all"]
    return counted


def _check(counted: Counter[tuple[str, str, str | None, str]], manifest: Mapping[str, Any]) -> None:
    """Raise `RunError` unless every outcome of every extract, and of every actor and contact type, is what is told."""
    of_extracts, of_types = Counter[tuple[str, str]](), Counter[tuple[str, str | None, str]]()
    for (actor, extract_id, contact_type, outcome), records in counted.items():
        of_extracts[extract_id, outcome] += records
        of_types[actor, contact_type, outcome] += records
    for outcome in Outcome:
        for extract in manifest["extracts"]:
            of_extracts[extract["extract_id"], outcome] -= extract["outcomes"][outcome]
        for row in manifest["balance"]:
            of_types[row["actor"], row["contact_type"], outcome] -= row[outcome]
    for differences in (of_extracts, of_types):
        if any(differences.values()):
            raise RunError(f"the balance is off: the published outcomes differ: {_told(differences)}")


def _told(differences: Mapping[Any, int]) -> str:
    return ", ".join(f"{' '.join(map(str, of))} by {by:+}" for of, by in differences.items() if by)
