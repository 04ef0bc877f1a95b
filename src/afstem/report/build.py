"""From a run's manifest and its datasets to what the pages show: what is told and what is counted, put together."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta
from operator import itemgetter
from pathlib import Path
from typing import Any

import pyarrow as pa

from afstem.finding_memory import Mending, SinceLast
from afstem.report.agreement import check_findings, check_manifest
from afstem.report.conclusions import checks, todos
from afstem.report.contents import ActorReport, CodeReport, ReportData
from afstem.report.counted import Stratum, counts_by, grouped, read_findings, samples_by, sum_counts
from afstem.report.do_first import choose
from afstem.report.nights import NO_LEVELS, SHOWN, ActorNight, Night, usual_levels
from afstem.report.notices import report_notices
from afstem.report.told import Changes, Extract, outcome_counts, sum_balance
from afstem.rules import RULE_OF_CODE
from afstem.schema import Outcome

SAMPLES_PER_CODE = 50
SAMPLES_PER_ACTOR = 50


def build_report(
    manifest: Mapping[str, Any],
    rejections: Path,
    notices: Path,
    past: Sequence[Night] = (),
    mending: Mapping[str, Mending] | None = None,
    deadline: str | None = None,
    since_last: Mapping[str, SinceLast] | None = None,
) -> ReportData:
    """What the pages of a run show; ``rejections`` and ``notices`` are the folders of its datasets, ``past`` the nights
    before, the newest first, ``mending`` how each actor mends, ``since_last`` what became of what was rejected before.

    Raises `RunError` where the manifest disagrees with itself or with the datasets.
    """
    strata, kept = read_findings(rejections, manifest["run_id"])
    check_manifest(manifest)
    check_findings(manifest, strata)
    extracts = tuple(Extract.of(place, entry) for place, entry in enumerate(manifest["extracts"], 1))
    actors = _actor_reports(manifest, extracts, strata, kept, mending or {}, since_last or {})
    codes = _code_reports(rejections, strata, kept)
    data = ReportData(
        run_id=manifest["run_id"],
        started_at=datetime.fromisoformat(manifest["started_at"]),
        finished_at=datetime.fromisoformat(manifest["finished_at"]),
        as_of=date.fromisoformat(manifest["as_of"]),
        timezone=manifest["timezone"],
        dry_run=manifest["dry_run"],
        status=manifest["status"],
        version=manifest["afstem_version"],
        rules_digest=manifest["rules_digest"],
        validators=dict(manifest["validators"]),
        records=manifest["records"],
        outcomes=outcome_counts(manifest["outcomes"]),
        balance=sum_balance(manifest["balance"]),
        changes=tuple(Changes.of(row) for row in manifest["changes"]),
        counts=sum_counts(strata),
        codes=codes,
        notices=report_notices(manifest, notices),
        actors=actors,
        extracts=extracts,
        do_first=(),
        checks=(),
        levels=NO_LEVELS,
        nights=(),
        deadline=deadline,
    )
    night = Night(data.run_id, data.started_on, {actor.id: _actor_night(actor) for actor in actors.values()})
    data = replace(
        data,
        levels=usual_levels(past, data.started_on, codes),
        nights=(*reversed([earlier for earlier in past if _is_shown(earlier, night)][: SHOWN - 1]), night),
    )
    came_today = {actor for earlier in past if earlier.day == night.day for actor in _who_came(earlier)}
    missing = data.levels.expected & actors.keys() - came_today - _who_came(night)
    return replace(data, do_first=choose(todos(data, missing)), checks=tuple(checks(data, sorted(missing))))


def _code_reports(rejections: Path, strata: list[Stratum], kept: pa.Table | None) -> dict[int, CodeReport]:
    """A report of every code of the rules and, after them, of every other code in the dataset."""
    of_code = grouped(strata, lambda stratum: stratum.code)
    samples = samples_by(kept, "code", SAMPLES_PER_CODE)
    return {
        code: CodeReport(
            code=code,
            known=code in RULE_OF_CODE,
            counts=sum_counts(of_code.get(code, [])),
            reasons=counts_by(of_code.get(code, []), lambda stratum: stratum.reason),
            actors=counts_by(of_code.get(code, []), lambda stratum: stratum.actor),
            samples=samples.get(code, ()),
            download_bytes=_size(rejections / f"code={code}"),
        )
        for code in [*RULE_OF_CODE, *sorted(of_code.keys() - RULE_OF_CODE.keys())]
    }


def _actor_reports(
    manifest: Mapping[str, Any],
    extracts: Sequence[Extract],
    strata: list[Stratum],
    kept: pa.Table | None,
    mending: Mapping[str, Mending],
    since_last: Mapping[str, SinceLast],
) -> dict[str, ActorReport]:
    of_actor = grouped(strata, lambda stratum: stratum.actor)
    balance = grouped(manifest["balance"], itemgetter("actor"))
    extracts_of = grouped(extracts, lambda extract: extract.actor)
    samples = samples_by(kept, "actor", SAMPLES_PER_ACTOR)
    return {
        actor["id"]: ActorReport(
            id=actor["id"],
            name=actor["name"],
            type=actor["type"],
            delivery=actor["delivery"],
            reason=actor["reason"],
            records=actor["records"],
            outcomes=outcome_counts(actor["outcomes"]),
            balance=sum_balance(balance.get(actor["id"], [])),
            extracts=tuple(extracts_of.get(actor["id"], ())),
            counts=sum_counts(of_actor.get(actor["id"], [])),
            codes=counts_by(of_actor.get(actor["id"], []), lambda stratum: stratum.code),
            reasons=counts_by(of_actor.get(actor["id"], []), lambda stratum: (stratum.code, stratum.reason)),
            samples=samples.get(actor["id"], ()),
            mending=mending.get(actor["id"]),
            since_last=since_last.get(actor["id"]),
        )
        for actor in manifest["actors"]
    }


def _size(folder: Path) -> int:
    """Bytes of the dataset in a folder; 0 where there is none."""
    return sum(file.stat().st_size for file in folder.rglob("*.parquet")) if folder.is_dir() else 0


def _actor_night(actor: ActorReport) -> ActorNight:
    numbers = ActorNight(
        came=actor.came,
        records=actor.records,
        rejected=actor.outcomes[Outcome.REJECTED],
        findings={code: counts.findings for code, counts in actor.codes.items()},
    )
    if actor.mending is None:
        return numbers
    return replace(numbers, new=actor.mending.new, recurring=actor.mending.recurring, resolved=actor.mending.resolved)


def _is_shown(earlier: Night, night: Night) -> bool:
    return earlier.day > night.day - timedelta(days=2 * SHOWN)


def _who_came(night: Night) -> set[str]:
    return {actor for actor, numbers in night.actors.items() if numbers.came}
