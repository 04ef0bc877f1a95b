"""Two counts of one thing: a report that disagrees with itself is worse than none.

Every number that can be counted twice is (manifest and dataset), and a difference stops the run.
"""

from collections.abc import Mapping
from operator import itemgetter
from typing import Any

from afstem.errors import RunError
from afstem.report.counted import Stratum, counts_by, grouped, sum_counts
from afstem.report.told import outcome_counts
from afstem.schema import Change, Outcome


def check_manifest(manifest: Mapping[str, Any]) -> None:
    """Raise `RunError` unless records = the sum of the outcomes, everywhere the manifest says so (SPEC 5.1)."""
    parts = [
        ("the run", manifest["records"], manifest["outcomes"]),
        *((f"actor {actor['id']}", actor["records"], actor["outcomes"]) for actor in manifest["actors"]),
        *((f"{row['actor']}, {row['contact_type']}", row["records"], row) for row in manifest["balance"]),
    ]
    for what, records, outcomes in parts:
        if sum(outcome_counts(outcomes).values()) != records:
            raise RunError(f"the report does not balance: {what}")
    balance = grouped(manifest["balance"], itemgetter("actor"))
    for actor in manifest["actors"]:
        rows = balance.get(actor["id"], [])
        for name, total in (("records", actor["records"]), *outcome_counts(actor["outcomes"]).items()):
            if sum(row[name] for row in rows) != total:
                raise RunError(f"the report does not balance: actor {actor['id']}, {name} by contact type")
    for name, total in (("records", manifest["records"]), *outcome_counts(manifest["outcomes"]).items()):
        if sum(row[name] for row in manifest["balance"]) != total:
            raise RunError(f"the report does not balance: {name} by contact type")
    changed = {
        (row["actor"], row["contact_type"]): sum(row[change] for change in Change) for row in manifest["changes"]
    }
    applied = {(row["actor"], row["contact_type"]): row[Outcome.APPLIED] for row in manifest["balance"]}
    if changed != {place: records for place, records in applied.items() if records}:
        raise RunError("the report does not balance: records applied and values changed")


def check_findings(manifest: Mapping[str, Any], strata: list[Stratum]) -> None:
    """Raise `RunError` unless manifest and dataset agree on findings and on rejected records."""
    of_actor = grouped(strata, lambda stratum: stratum.actor)
    if not of_actor.keys() <= {actor["id"] for actor in manifest["actors"]}:
        raise RunError("the report disagrees with the rejections: an actor that is not in the run")
    parts = [("the run", manifest["findings"], manifest["outcomes"], strata)]
    parts += [
        (f"actor {actor['id']}", actor["findings"], actor["outcomes"], of_actor.get(actor["id"], []))
        for actor in manifest["actors"]
    ]
    for what, said, outcomes, counted in parts:
        by_code = counts_by(counted, lambda stratum: stratum.code)
        found = {str(code): counts.findings for code, counts in by_code.items()}
        if {code: number for code, number in said.items() if number} != found:
            raise RunError(f"the report disagrees with the rejections: findings of {what}")
        if outcome_counts(outcomes)[Outcome.REJECTED] != sum_counts(counted).primary:
            raise RunError(f"the report disagrees with the rejections: rejected records of {what}")
