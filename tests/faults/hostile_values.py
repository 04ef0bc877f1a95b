"""Extracts of good records with hostile ones among them, in every format, and what became of the good ones."""

import csv
import gzip
import io
import json
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count, cycle
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
from case_pages import synthetic_cpr
from whole_run import read_store, run_again

from afstem import pipeline

COLUMNS = ("personnummer", "kontaktdatatype", "kontaktdata", "registreret", "reference", "ekstra")

MARKUP = [
    "<script>alert('ran')</script>",
    "\"'><img src=x onerror=alert('ran')>",
    "</title></style><svg onload=alert('ran')>",
    "'autofocus='x'onfocus='alert(1)'@example.com",
    "{{7*7}}",
    "{% for x in y %}",
    "${7*7} #{7*7} <%= 7*7 %>",
    "%s%n{0}{x!r:>{y}}",
    "'; DROP TABLE contact_rows; --",
    "\\N",
    "\\copy contacts to '/tmp/x'",
]
FORMULAS = [
    "=1+1",
    "=cmd|' /C calc'!A0",
    "+1+1",
    "-1+1",
    "@SUM(1;1)",
    "\t=1+1",
    "\r=1+1",
    "＝1+1",
    "＠x",
    "x;=1",
    "'=1",
]
UNSEEN = [
    "\u202e4321-109010",
    "\u2066a\u2069",
    "\u200b",
    "+45\u200b20\u200b12\u200b34\u200b56",
    "\ufeff",
    "\u2028",
    "a\u2029b",
    "\0",
    "2012\x003456",
    "a\0b@example.com",
    "\x1b[31m",
    "\x85",
    "a\nb",
    "\n",
    "\x1c",
]
HALVES = ["\ud800", "\udc00@example.com", "2012345\udfff", "\udbff\ud83d"]
DIGITS = [
    "\u0660\u0661\u0660\u0661\u0669\u0660\u0661\u0662\u0663\u0664",
    "２０１２３４５６",
    "\U0001d7d0\U0001d7ce" * 4,
    "²³",
    "\u0967",
]
LONG = ["x" * 1_000_000, "0207901231" * 100_000, "é\u0301\u0316" * 200_000, "\0" * 300_000, '"' * 70_000]
ODD = ["", " ", "null", "NaN", "-", "''", '"', '"a', 'a"b', ";;;;;;", ",", "0" * 40, "1e999", "-0", "true", "9" * 25]
TEXTS = [*MARKUP, *FORMULAS, *UNSEEN, *HALVES, *DIGITS, *ODD]

ENCODINGS = {
    "csv": "utf-8",
    "ansi": "windows-1252",
    "csvgz": "utf-8",
    "jsonl": "utf-8",
    "jsonlgz": "utf-8",
    "parquet": "utf-8",
}
"""The actors, each named by the format it delivers."""
ENDINGS = {
    "csv": ".csv",
    "ansi": ".csv",
    "csvgz": ".csv.gz",
    "jsonl": ".jsonl",
    "jsonlgz": ".jsonl.gz",
    "parquet": ".parquet",
}

Record = dict[str, str]

GOOD = 9
"""Good records in each extract, of one citizen each but for the last, which the first supersedes."""


@dataclass(frozen=True)
class Hostile:
    """A record that is good but for a text in some columns, before the good record of that place.

    ``bare``: written into its line as it is, unquoted or unescaped, so that it may break out.
    """

    place: int
    columns: tuple[str, ...]
    text: str
    bare: bool


def good_record(place: int, citizen: str) -> Record:
    kind, value = [
        ("1", f"+4520100{place:03}"),
        ("2", f"33 12 34 {place:02}"),
        ("3", f"God.{place}@Example.com"),
        ("3", ""),
    ][place % 4]
    registered = f"2026-11-{20 - place:02}T10:00:00"
    return dict(zip(COLUMNS, (citizen, kind, value, registered, f"ref-{place}", "æøå"), strict=True))


def all_at_once(texts: Sequence[str]) -> dict[str, list[Hostile]]:
    """Every text in every column of every format, and a long one in each, good records between them."""
    each_in_each = [(text, column) for text in texts for column in COLUMNS]
    long = list(zip(cycle(LONG), COLUMNS))
    every = [
        Hostile(place % GOOD, (column,), text, bare=bool(place % 2))
        for place, (text, column) in enumerate([*each_in_each, *long])
    ]
    return dict.fromkeys(ENCODINGS, every)


class NeighboursLost(AssertionError):
    """Not every extract of a night was read."""


NEVER_HELD = "[hold]\nrejected_share = 1.0\nremoval_share = 1.0\n"
"""Nights of little but hostile records: they would be held, and nothing learnt of their neighbours."""


class Night:
    """A workspace with an actor for each format and citizens enough for many nights; nights share no citizen."""

    def __init__(self, folder: Path, store_url: str, citizens: int) -> None:
        self.folder = folder
        self._citizens: Iterator[str] = map(synthetic_cpr, range(citizens))
        (folder / "reference").mkdir(parents=True)
        rows = "".join(f"{synthetic_cpr(number)};01\n" for number in range(citizens))
        (folder / "reference" / "citizens.csv").write_text("personnummer;status\n" + rows)
        (folder / "afstem.toml").write_text(f"[store]\nurl = {json.dumps(store_url)}\n{NEVER_HELD}")
        (folder / "actors.toml").write_text(
            "".join(
                f'[[actor]]\nid = "{actor}"\nname = {json.dumps(MARKUP[1] + UNSEEN[0] + chr(0))}\ntype = "star"\n'
                f'source = "extracts/{actor}"\nencoding = "{encoding}"\n'
                for actor, encoding in ENCODINGS.items()
            )
        )
        self._numbers = count(1)
        pipeline.load_reference(folder / "afstem.toml", folder / "reference")

    def run(
        self, hostile: dict[str, Sequence[Hostile]], names: Sequence[str] = ()
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Deliver good records with these hostile ones among them; the run's summary, and what came of the good ones.

        ``names`` are names of further columns.
        """
        number = next(self._numbers)
        places: dict[str, tuple[list[str], list[int]]] = {}
        for actor in ENCODINGS:
            source = self.folder / "extracts" / actor
            source.mkdir(parents=True, exist_ok=True)
            for old in source.iterdir():
                old.unlink()
            citizens = [next(self._citizens) for _ in range(GOOD - 1)]
            good = [good_record(place, citizen) for place, citizen in enumerate([*citizens, citizens[0]])]
            delivered: list[tuple[Record, bool]] = []
            record_numbers = []
            for place, record in enumerate(good):
                for each in hostile.get(actor, ()):
                    if each.place == place:
                        spoiled = good_record(place, next(self._citizens)) | dict.fromkeys(each.columns, each.text)
                        delivered.append((spoiled, each.bare))
                record_numbers.append(len(delivered))
                delivered.append((record, False))
            path = source / f"=1+1 {{{{7*7}}}}<i>{number}{ENDINGS[actor]}"
            lines = write_extract(path, delivered, ENCODINGS[actor], names)
            places[actor] = (citizens, [lines[place] for place in record_numbers])
        summary = self._run()
        return summary, {actor: self._came_of(summary, actor, *where) for actor, where in places.items()}

    def send_receipts_again(self, summary: dict[str, Any]) -> dict[str, Any]:
        """Deliver every actor's ``rejected.csv`` of a run as it is; the summary of the run that reads it."""
        for actor in ENCODINGS:
            source = self.folder / "extracts" / actor
            for old in source.iterdir():
                old.unlink()
            shutil.copyfile(Path(summary["report"]) / "receipts" / actor / "rejected.csv", source / "again.csv")
        return self._run()

    def _run(self) -> dict[str, Any]:
        summary = run_again(self.folder)
        states = [extract["state"] for extract in summary["extracts"]]
        if states != ["applied"] * len(ENCODINGS):
            raise NeighboursLost(f"{states}, unavailable: {summary['unavailable']}")
        return summary

    def _came_of(self, summary: dict[str, Any], actor: str, citizens: list[str], record_numbers: list[int]) -> Any:
        """Outcomes and stored rows of the good records of one actor, told by the place of record and citizen."""
        [extract] = [extract for extract in summary["extracts"] if extract["actor"] == actor]
        outcomes = {
            row["record_no"]: (row["contact_type"], row["outcome"], row["primary_code"])
            for row in ds.dataset(Path(summary["report"]) / "outcomes").to_table().to_pylist()
            if row["actor"] == actor
        }
        contacts, history = read_store(self.folder)
        return (
            [outcomes[record_no] for record_no in record_numbers],
            {(citizens.index(who), kind): row for (who, kind), row in contacts.items() if who in citizens},
            {
                (citizens.index(row[0]), *row[1:5], record_numbers.index(row[6]))
                for row in history
                if row[0] in citizens and row[5] == extract["id"]
            },
        )


# --- the formats ----------------------------------------------------------------------------------------------------


def write_extract(path: Path, delivered: list[tuple[Record, bool]], encoding: str, names: Sequence[str]) -> list[int]:
    """Write the records; the number of each, or of its first line."""
    if path.name.endswith(".parquet"):
        return _write_parquet(path, delivered, names)
    write_line = _json_line if ".jsonl" in path.name else _csv_line
    lines = [write_line(record, bare, encoding, names) for record, bare in delivered]
    header = b"" if ".jsonl" in path.name else _csv_header(names, encoding)
    content = header + b"".join(line + b"\n" for line in lines)
    path.write_bytes(gzip.compress(content) if path.name.endswith(".gz") else content)
    numbers = [1]
    for line in lines:
        numbers.append(numbers[-1] + line.count(b"\n") + 1)
    return numbers


def _encoded(text: str, encoding: str) -> bytes:
    # A half character has no bytes in any encoding; these are what a careless program writes.
    return text.encode("utf-8", "surrogatepass") if encoding == "utf-8" else text.encode("cp1252", "backslashreplace")


def _csv_header(names: Sequence[str], encoding: str) -> bytes:
    row = io.StringIO(newline="")
    csv.writer(row, delimiter=";", lineterminator="").writerow([*COLUMNS, *names])
    return _encoded(row.getvalue().replace("\n", " "), encoding) + b"\n"


def _csv_line(record: Record, bare: bool, encoding: str, names: Sequence[str]) -> bytes:
    fields = [record[name] for name in COLUMNS] + [record["ekstra"][:100]] * len(names)
    quoted = fields if bare else ['"' + text.replace('"', '""') + '"' for text in fields]
    return _encoded(";".join(quoted), encoding)


def _json_line(record: Record, bare: bool, encoding: str, names: Sequence[str]) -> bytes:
    element = {name: record[name] for name in ("kontaktdatatype", "kontaktdata")}
    message: dict[str, Any] = {name: record[name] for name in COLUMNS if name not in element}
    message |= {name: record["ekstra"][:100] for name in names if name not in message}
    line = json.dumps(message | {"kontaktinformationer": [element]}, ensure_ascii=not bare)
    return line.encode("utf-8", "surrogatepass")


def _write_parquet(path: Path, delivered: list[tuple[Record, bool]], names: Sequence[str]) -> list[int]:
    columns = {name: [record[name] for record, _ in delivered] for name in COLUMNS}
    extras = {name: [text[:100] for text in columns["ekstra"]] for name in names if name not in columns}
    pq.write_table(
        pa.table(
            {
                name: pa.array([text.encode("utf-8", "surrogatepass") for text in texts]).view(pa.string())
                for name, texts in (columns | extras).items()
            }
        ),
        path,
    )
    return list(range(1, len(delivered) + 1))
