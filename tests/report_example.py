"""A run folder of invented extracts, as the steps before the report leave it, for the tests of the report.

Everything is counted here, by hand as it were, from the records below; the report must come to the same numbers.
"""

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from afstem.decode import Header
from afstem.decode.extract import build_header
from afstem.intake import rejected_schema
from afstem.report.build import build_report
from afstem.report.history import past_run
from afstem.report.nights import Night
from afstem.report.notices import GATHERED_SCHEMA, write_notices
from afstem.report.pages import write_history, write_pages
from afstem.report.receipts import write_receipts
from afstem.report.rejections import REJECTION_SCHEMA

RUN_ID = "20261123T030000Z-abc123"
LONG_NAME = "Fællesadministrationen for Arbejdsmarked i Ærø og Samsø Amt"
HOSTILE_VALUES = (
    "<b>1</b>",
    "<img src=x onerror=alert(1)>",
    "</script><script>x</script>",
    "{{7*7}}{% if 1 %}",
    "+45\u202e12 34 56 78",
    "a\x00b@c",
    "'autofocus='x'onfocus='alert(1)",
    "x" * 10_000,
)


@dataclass(frozen=True)
class Refusal:
    """One rejected record: what was submitted, and the findings (code, reason), primary first."""

    record_no: int
    submitted: Mapping[str, str | None]
    findings: Sequence[tuple[int, str]]
    contact_type: str | None = None
    cpr_masked: str | None = "010190-xxxx"
    fault: str | None = None
    line: str | None = None


@dataclass(frozen=True)
class ExampleExtract:
    """One extract: its header, its rejected records, those with a notice (code, record_no), and how many records came
    to each other outcome by type."""

    actor: str
    file: str
    digest: str
    names: Sequence[str] = ("personnummer", "kontaktdatatype", "kontaktdata")
    rejected: Sequence[Refusal] = ()
    noticed: Sequence[tuple[str, int]] = ()
    others: Mapping[str | None, Mapping[str, int]] = field(default_factory=dict)
    state: str = "applied"
    code: int | None = None
    reason: str | None = None
    hold: Sequence[tuple[str, int, int, float]] = ()
    """Reason, part, whole, limit."""
    released: bool = False

    @property
    def extract_id(self) -> str:
        return f"{self.actor}-{self.digest[:12]}"

    @property
    def header(self) -> Header:
        return build_header(self.names)

    def rejected_table(self) -> pa.Table:
        rows = [
            {
                "record_no": refusal.record_no,
                "fault": refusal.fault,
                "line": refusal.line,
                "contact_type": refusal.contact_type,
                "codes": [code for code, _ in refusal.findings],
                "reasons": [reason for _, reason in refusal.findings],
            }
            | dict(refusal.submitted)
            for refusal in self.rejected
        ]
        return pa.Table.from_pylist(rows, rejected_schema(self.header.extra_count))


@dataclass(frozen=True)
class ExampleActor:
    id: str
    name: str
    type: str = "kommune"
    delivery: str = "delivered"
    reason: str | None = None
    encoding: str = "utf-8"


@dataclass(frozen=True)
class Example:
    """A run: who took part, what they sent, and whether it was a dry one."""

    actors: Sequence[ExampleActor]
    extracts: Sequence[ExampleExtract]
    dry_run: bool = False

    def manifest(self) -> dict[str, Any]:
        outcomes = Counter[tuple[str, str | None, str]]()
        by_extract = Counter[tuple[str, str]]()
        findings = Counter[tuple[str, str]]()
        for extract in self.extracts:
            counted = [(kind, name, count) for kind, part in extract.others.items() for name, count in part.items()]
            counted += [(refusal.contact_type, "rejected", 1) for refusal in extract.rejected]
            for kind, name, count in counted:
                outcomes[extract.actor, kind, name] += count
                by_extract[extract.extract_id, name] += count
            for refusal in extract.rejected:
                findings.update((extract.actor, str(code)) for code, _ in refusal.findings)
            if extract.code:
                findings[extract.actor, str(extract.code)] += 1

        def of(**wanted: str | None) -> dict[str, int]:
            return {
                name: sum(
                    count
                    for (actor, kind, outcome), count in outcomes.items()
                    if outcome == name
                    and actor == wanted.get("actor", actor)
                    and ("kind" not in wanted or kind == wanted["kind"])
                )
                for name in ("applied", "unchanged", "superseded", "held", "rejected")
            }

        def found(actor: str | None = None) -> dict[str, int]:
            counts = Counter[str]()
            for (whose, code), count in findings.items():
                if actor in (None, whose):
                    counts[code] += count
            return dict(sorted(counts.items()))

        def changes(applied: int) -> dict[str, int]:
            return {"new": applied - applied // 2, "replaced": applied // 2 - applied // 4, "removed": applied // 4}

        def noticed(extracts: Sequence[ExampleExtract]) -> dict[str, int]:
            return dict(sorted(Counter(code for extract in extracts for code, _ in extract.noticed).items()))

        kinds = dict.fromkeys((actor, kind) for actor, kind, _ in outcomes)
        trouble = any(extract.state in ("refused", "held") for extract in self.extracts) or any(
            actor.delivery == "unavailable" for actor in self.actors
        )
        return {
            "format": 1,
            "run_id": RUN_ID,
            "started_at": "2026-11-23T03:00:00.000000Z",
            "finished_at": "2026-11-23T03:12:00.000000Z",
            "as_of": "2026-11-23",
            "timezone": "Europe/Copenhagen",
            "dry_run": self.dry_run,
            "status": "completed-with-refusals" if trouble else "completed",
            "afstem_version": "0.1.0",
            "rules_digest": "0123456789abcdef" * 4,
            "validators": {"phonenumbers": "9.0.43", "email-validator": "2.4.0"},
            "records": sum(of().values()),
            "outcomes": of(),
            "findings": found(),
            "notices": noticed(self.extracts),
            "balance": [
                {"actor": actor, "contact_type": kind, "records": sum(of(actor=actor, kind=kind).values())}
                | of(actor=actor, kind=kind)
                for actor, kind in kinds
            ],
            "changes": [
                {"actor": actor, "contact_type": kind} | changes(of(actor=actor, kind=kind)["applied"])
                for actor, kind in kinds
                if of(actor=actor, kind=kind)["applied"]
            ],
            "actors": [
                {
                    "id": actor.id,
                    "name": actor.name,
                    "type": actor.type,
                    "delivery": actor.delivery,
                    "reason": actor.reason,
                    "records": sum(of(actor=actor.id).values()),
                    "outcomes": of(actor=actor.id),
                    "findings": found(actor.id),
                    "notices": noticed([extract for extract in self.extracts if extract.actor == actor.id]),
                }
                for actor in self.actors
            ],
            "extracts": [
                {
                    "actor": extract.actor,
                    "file": extract.file,
                    "extract_id": extract.extract_id,
                    "sha256": extract.digest,
                    "bytes": 12_345,
                    "records": sum(count for (which, _), count in by_extract.items() if which == extract.extract_id),
                    "state": extract.state,
                    "code": extract.code,
                    "reason": extract.reason,
                    "created_at": "2026-11-23T03:00:00.000000Z",
                    "outcomes": {name: by_extract[extract.extract_id, name] for name in of()},
                    "notices": noticed([extract]),
                    "findings": {str(extract.code): 1}
                    if extract.code
                    else dict(Counter(str(code) for refusal in extract.rejected for code, _ in refusal.findings)),
                    "removals": 0,
                    "hold": [
                        dict(zip(("reason", "part", "whole", "limit"), excess, strict=True)) for excess in extract.hold
                    ],
                    "released": extract.released,
                }
                for extract in self.extracts
            ],
        }

    def rejections(self) -> dict[int, list[dict[str, Any]]]:
        """The findings as the dataset has them, by code."""
        types = {actor.id: actor.type for actor in self.actors}
        rows: dict[int, list[dict[str, Any]]] = {}
        for extract in self.extracts:
            common = {"actor": extract.actor, "actor_type": types[extract.actor], "runs_seen": 1}
            common |= {"run_id": RUN_ID, "extract": extract.file, "extract_id": extract.extract_id}
            if extract.code:
                whole = {"is_primary": True, "reason": extract.reason}
                rows.setdefault(extract.code, []).append(common | whole)
            for refusal in extract.rejected:
                for place, (code, reason) in enumerate(refusal.findings):
                    own = {"is_primary": place == 0, "reason": reason, "record_no": refusal.record_no}
                    own |= {"cpr_masked": refusal.cpr_masked, "contact_type": refusal.contact_type}
                    own["value"] = refusal.submitted.get("kontaktdata") if code in (9156, 9157, 9158) else None
                    rows.setdefault(code, []).append(common | own)
        return rows

    def gathered(self) -> dict[str, pa.Table]:
        """The notices of each extract, by code."""
        return {extract.extract_id: self._noticed(extract) for extract in self.extracts if extract.noticed}

    @staticmethod
    def _noticed(extract: ExampleExtract) -> pa.Table:
        shown = {"cpr_masked": "010190-xxxx", "contact_type": "email", "value": "aaaa@aaaaa.aaa"}
        told = {"actor": extract.actor, "extract": extract.file, "extract_id": extract.extract_id}
        rows = [shown | told | {"code": code, "record_no": record_no} for code, record_no in sorted(extract.noticed)]
        return pa.Table.from_pylist(rows, GATHERED_SCHEMA)

    def rejected(self, extract_id: str) -> Iterator[pa.Table]:
        """The rejected records of an extract in several batches, so that batches meet somewhere."""
        table = self.extract(extract_id).rejected_table()
        size = 2 + len(table) // 4
        for start in range(0, len(table), size):
            yield table.slice(start, size)

    def extract(self, extract_id: str) -> ExampleExtract:
        return next(extract for extract in self.extracts if extract.extract_id == extract_id)

    def write(self, reports: Path, past: Sequence[Night] = (), **more: Any) -> Path:
        """Write the whole report, and the history of runs beside it; returns the run's folder. ``past`` and what
        follows are for `build_report`."""
        folder = reports / RUN_ID
        (folder / "outcomes").mkdir(parents=True)
        for code, rows in self.rejections().items():
            part = folder / "rejections" / f"code={code}"
            part.mkdir(parents=True)
            pq.write_table(pa.Table.from_pylist(rows, REJECTION_SCHEMA), part / "part-0.parquet")
        write_notices(folder / "notices", self.gathered().values())
        manifest = self.manifest()
        (folder / "run.json").write_text(json.dumps(manifest), encoding="utf-8")
        encodings = {actor.id: actor.encoding for actor in self.actors}
        write_receipts(
            folder,
            manifest,
            self.rejected,
            self.gathered(),
            lambda which: self.extract(which).header,
            encodings,
            more.get("since_last", {}),
        )
        write_pages(folder, build_report(manifest, folder / "rejections", folder / "notices", past, **more))
        write_history(reports, [past_run(manifest)])
        return folder


def refusal(record_no: int, value: str | None, *findings: tuple[int, str], **more: Any) -> Refusal:
    """A rejected record with a value of its own and a citizen that does not matter."""
    kinds = {9156: ("1", "mobile"), 9157: ("2", "landline"), 9158: ("3", "email")}
    identifier, kind = next((kinds[code] for code, _ in findings if code in kinds), ("1", "mobile"))
    submitted = {"personnummer": "0101901234", "kontaktdatatype": identifier, "kontaktdata": value}
    return Refusal(record_no, submitted | more.pop("submitted", {}), findings, contact_type=kind, **more)


def example() -> Example:
    """A run in which everything happens once: every delivery, every state, every code, hostile texts everywhere."""
    unknown_type = {"personnummer": " 010190-1234 ", "kontaktdatatype": "9", "kontaktdata": 'x;"y"', "extra.0": "æøå"}
    jobcenter = ExampleExtract(
        actor="jobcenter-75100",
        file="natten.csv",
        digest="1a" * 32,
        names=("Personnummer ", "kontaktdatatype", "kontaktdata", "Sagsbehandler", "sagsnr;år", "reference"),
        rejected=[
            refusal(2, "12 34", (9156, "too-short"), submitted={"extra.0": "Søren", "extra.1": "7;26"}),
            refusal(5, "+4512345678", (1001, "too-short"), (9157, "letters"), cpr_masked="######-###"),
            refusal(9, None, (9155, "subscribed-email-removed")),
            Refusal(11, unknown_type, [(9153, "unknown-contact-type")]),
            Refusal(12, {}, [(1014, "columns")], cpr_masked=None, fault="columns", line='0101901234;1;"uafsluttet'),
            refusal(13, "a@b.dk", (1010, "unknown-citizen"), (4575, "not-authorized")),
            refusal(14, "a@b.dk", (4405, "citizen-is-dead"), submitted={"reference": "=1+1"}),
        ],
        others={
            "mobile": {"applied": 1200, "unchanged": 30_000, "superseded": 3},
            "email": {"applied": 7, "unchanged": 1_234_567},
            None: {},
        },
    )
    jobcenter_messages = ExampleExtract(
        actor="jobcenter-75100",
        file="natten.jsonl",
        digest="2b" * 32,
        names=("personnummer", "registreret", "reference", "kontaktdatatype", "kontaktdata"),
        rejected=[
            refusal(1, "linje\r\nto\rtre\nZażółć", (9158, "no-at-sign"), submitted={"registreret": "2026-11-22"})
        ],
        noticed=[("N2", 2)],
        others={"landline": {"applied": 2, "superseded": 1}},
    )
    hostile = ExampleExtract(
        actor="a-kasse-1",
        file="<i>{{7*7}}\u202e.csv",
        digest="3c" * 32,
        rejected=[refusal(place, value, (9158, "<script>reason")) for place, value in enumerate(HOSTILE_VALUES, 1)],
        noticed=[("N2", 20), ("N2", 21), ("N5", 22)],
        others={"email": {"applied": 5}},
    )
    return Example(
        actors=[
            ExampleActor("a-kasse-1", "A-kasse <b>&{{7*7}}\u202e\x00", "a-kasse"),
            ExampleActor("anden-1", "Anden Aktør", "anden-aktoer", "unavailable", "no-such-folder"),
            ExampleActor("jobcenter-75100", "Jobcenter Århus", "jobcenter", encoding="windows-1252"),
            ExampleActor("kommune-1", LONG_NAME, encoding="iso-8859-1"),
            ExampleActor("kommune-2", "Næssted Kommune"),
            ExampleActor("kommune-3", "Lyngsted Kommune"),
            ExampleActor("star-1", "STAR", "star", "nothing"),
            ExampleActor("system-1", "System", "system"),
        ],
        extracts=[
            hostile,
            jobcenter,
            jobcenter_messages,
            ExampleExtract("kommune-1", "i går.csv.gz", "4d" * 32, state="refused", code=1014, reason="gzip"),
            ExampleExtract("kommune-1", "", "", state="refused", code=1012, reason="logon-failed"),
            ExampleExtract("kommune-2", "igen.csv", "5e" * 32, state="already-applied"),
            ExampleExtract("kommune-3", "fejlfri.csv", "6f" * 32, others={"mobile": {"applied": 1, "unchanged": 4}}),
            ExampleExtract(
                "kommune-3",
                "<b>oprydning</b>.csv",
                "81" * 32,
                state="held",
                others={"email": {"held": 1234}},
                hold=[("removals", 617, 1234, 0.1), ("volume-drop", 8766, 10_000, 0.75)],
            ),
            ExampleExtract(
                "kommune-3",
                "alligevel.csv",
                "92" * 32,
                others={"email": {"applied": 9}},
                hold=[("rejected", 6, 9, 0.5)],
                released=True,
            ),
            ExampleExtract(
                "system-1", "alt.parquet", "70" * 32, state="refused", code=1013, reason="insufficient-permissions"
            ),
        ],
    )
