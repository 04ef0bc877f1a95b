"""``run.json``: the manifest of a run, from which its pages, its receipts and the history of runs are written."""

import hashlib
import tomllib
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from afstem.balance import Balance, ByActorAndType, OutcomeCounts
from afstem.intake import Delivery, ExtractSummary, were_read
from afstem.rules import RULES, SHARED_VALUE
from afstem.schema import Change, Outcome
from afstem.settings import Actor, Settings
from afstem.staging import Plan
from afstem.store import ExtractState

VALIDATORS = ("phonenumbers", "email-validator", "pyarrow", "tzdata")
"""The libraries that a verdict can depend on."""


STATE_TOLD: Mapping[str, ExtractState] = {"read": "applied", "held": "held", "refused": "refused"}
"""How SPEC 7 calls the states that the ledger keeps."""


def build_manifest(
    plan: Plan,
    settings: Settings,
    actors: Mapping[str, Actor],
    deliveries: Mapping[str, Delivery],
    balance: Balance,
    shared: Mapping[str, int],
    finished_at: datetime,
) -> dict[str, Any]:
    """The manifest of a settled run; times are ISO 8601 in UTC, counts are of records unless they say findings.

    ``shared`` counts the records of each extract that have the notice N3, which the extract alone cannot tell.
    """
    extracts = [extract for delivery in deliveries.values() for extract in delivery.extracts]
    trouble = any(extract.state in ("refused", "held") for extract in extracts) or any(
        delivery.delivery == "unavailable" for delivery in deliveries.values()
    )
    return {
        "format": 1,
        "run_id": plan.run_id,
        "started_at": _utc(plan.started_at),
        "finished_at": _utc(finished_at),
        "as_of": plan.as_of.isoformat(),
        "timezone": settings.run.timezone,
        "dry_run": plan.dry_run,
        "status": "completed-with-refusals" if trouble else "completed",
        "afstem_version": version("afstem"),
        "rules_digest": rules_digest(settings),
        "validators": {name: version(name) for name in VALIDATORS},
        "records": sum(extract.records for extract in extracts),
        "outcomes": _outcomes(balance.total()),
        "findings": _findings(extracts),
        "notices": _notices(extracts, shared),
        "balance": [
            {"actor": actor, "contact_type": contact_type, "records": outcomes.total()} | _outcomes(outcomes)
            for actor, delivery in deliveries.items()
            for contact_type, outcomes in sorted(
                balance.of_actor(delivery.extracts).items(), key=lambda item: item[0] or "~"
            )
        ],
        "changes": [
            {"actor": actor, "contact_type": contact_type} | {str(change): changes.get(change, 0) for change in Change}
            for (actor, contact_type), changes in balance.changes_of_actors(extracts).items()
        ],
        "actors": [
            {
                "id": actor,
                "name": actors[actor].name,
                "type": str(actors[actor].type),
                "delivery": delivery.delivery,
                "reason": delivery.reason,
                "records": sum(extract.records for extract in delivery.extracts),
                "outcomes": _outcomes(sum(balance.of_actor(delivery.extracts).values(), Counter())),
                "findings": _findings(delivery.extracts),
                "notices": _notices(delivery.extracts, shared),
            }
            for actor, delivery in deliveries.items()
        ],
        "extracts": [
            {
                "actor": extract.actor,
                "file": extract.file,
                "extract_id": extract.extract_id,
                "sha256": extract.sha256,
                "bytes": extract.bytes,
                "records": extract.records,
                "state": STATE_TOLD.get(extract.state, extract.state),
                "code": extract.code,
                "reason": extract.reason,
                "created_at": _utc(datetime.fromisoformat(extract.created_at)),
                "outcomes": _outcomes(balance.of_extract(extract.extract_id) if extract.was_read else Counter()),
                "findings": extract.findings,
                "removals": extract.removals,
                "hold": [asdict(excess) for excess in extract.hold],
                "released": extract.released,
                "notices": _notices([extract], shared),
            }
            for extract in extracts
        ],
    }


def changes_told(manifest: Mapping[str, Any]) -> ByActorAndType:
    """The changes that a manifest tells of, by actor and contact type."""
    return {
        (row["actor"], row["contact_type"]): {str(change): row[change] for change in Change}
        for row in manifest["changes"]
    }


def rules_digest(settings: Settings) -> str:
    """SHA-256 over what decides a verdict besides the libraries: the codes in their order, codelist, permissions."""
    digest = hashlib.sha256()
    digest.update(repr([(rule.code, rule.slug, rule.silenced_by) for rule in RULES]).encode())
    for path in (settings.codelist, settings.permissions):
        digest.update(repr(_sorted(tomllib.loads(Path(path).read_text(encoding="utf-8")))).encode())
    return digest.hexdigest()


def _sorted(content: Any) -> Any:
    return sorted((key, _sorted(value)) for key, value in content.items()) if isinstance(content, dict) else content


def _outcomes(counts: OutcomeCounts) -> dict[str, int]:
    return {str(outcome): counts[outcome] for outcome in Outcome}


def _findings(extracts: Iterable[ExtractSummary]) -> dict[str, int]:
    counts: Counter[str] = Counter()
    for extract in extracts:
        counts.update(extract.findings)
    return dict(sorted(counts.items()))


def _notices(extracts: Iterable[ExtractSummary], shared: Mapping[str, int]) -> dict[str, int]:
    counts: Counter[str] = Counter()
    for extract in were_read(extracts):
        counts.update(extract.notices)
        counts[SHARED_VALUE.code] += shared.get(extract.extract_id, 0)
    return dict(sorted((+counts).items()))


def _utc(moment: datetime) -> str:
    return moment.isoformat(timespec="microseconds").replace("+00:00", "Z")
