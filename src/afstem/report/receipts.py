"""The receipts: what one actor gets back about its own extracts (SPEC 6).

``rejected.csv`` holds the rejected records as submitted and what is wrong with each. Mended and sent again it is an
extract, so it is written in the actor's own encoding, by the strict rules that an extract is read by (SPEC 2.3): a
physical line is a record. It will be opened in a spreadsheet, so what one would run as a formula stands behind an
apostrophe, which comes off again when it is read as an extract (`spreadsheet_cells`). ``rejected.xlsx`` holds the same
texts in cells that a spreadsheet leaves alone (`workbook`); saved as CSV, it is what ``rejected.csv`` is. Both hold
full CPR numbers: only their owner can read them. ``notices.csv`` tells which accepted records look wrong.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import IO, Any, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from afstem.errors import RunError
from afstem.finding_memory import SinceLast
from afstem.hold import Excess
from afstem.private_files import open_private, private_folder
from afstem.report.texts import (
    fix_texts,
    plain_texts,
    read_texts,
    reason_texts,
    suggestion_texts,
    whose_move,
    whose_move_texts,
)
from afstem.report.workbook import MOST_COLUMNS, Workbook
from afstem.schema import NAMED_COLUMNS, NEEDED_COLUMNS, RECEIPT_COLUMNS, Outcome, is_receipt
from afstem.spreadsheet_cells import harmless

LINE_FEED_SYMBOL = "␊"

_SLICE = 16_384
"""Records written at a time: Arrow counts the bytes of a string column in 32 bits."""

NOTICE_COLUMNS = ("fil", "record_no", "code", "forklaring", "ansvarlig", "forslag")
"""The columns of ``notices.csv``. File and record number lead to the record, so nothing of it is repeated."""


class Header(Protocol):
    """The columns an extract was submitted with: their raw names, and the record table's column of each."""

    @property
    def names(self) -> Sequence[str]: ...

    @property
    def columns(self) -> Sequence[str]: ...


Rejected = Callable[[str], Iterator[pa.Table]]
"""From an extract id to its rejected records, as tables of `intake.rejected_schema`."""


def write_receipts(
    folder: Path,
    manifest: Mapping[str, Any],
    rejected: Rejected,
    notices: Mapping[str, pa.Table],
    headers: Callable[[str], Header],
    encodings: Mapping[str, str],
    since_last: Mapping[str, SinceLast],
) -> None:
    """Write ``receipts/<actor>/`` in a run's folder for every actor with at least one extract in the run.

    ``headers`` and ``rejected`` are asked about extracts that were read; ``notices`` has a table of
    `notices.NOTICE_SCHEMA` by the ids of those that have any. ``encodings`` is the declared encoding of each actor,
    ``since_last`` what became of the records that were rejected before, of those of whom something was read.
    Raises `RunError` where the rejected records are not as many as the manifest says, or where the header of an extract
    that was read lacks a needed column.
    """
    extracts_of: dict[str, list[Mapping[str, Any]]] = {}
    for extract in manifest["extracts"]:
        extracts_of.setdefault(extract["actor"], []).append(extract)
    for actor in manifest["actors"]:
        extracts = extracts_of.get(actor["id"])
        if not extracts:
            continue
        receipt = private_folder(folder / "receipts" / actor["id"])
        # By id, because two files may be copies of one held extract, which was read once.
        read = {extract["extract_id"]: extract for extract in extracts if extract["state"] in ("applied", "held")}
        submitted = {extract_id: headers(extract_id) for extract_id in read}
        if not all(set(NEEDED_COLUMNS) <= set(header.columns) for header in submitted.values()):
            raise RunError(f"the receipt would lose what was submitted: actor {actor['id']}")
        sources = [(extract["file"], extract_id) for extract_id, extract in read.items()]
        # Not brought to disk file by file: the whole report is, before it gets its name (`publication.finish`).
        findings = _write_rejected(receipt, encodings[actor["id"]], sources, submitted, rejected)
        _check(actor, extracts, findings)
        with open_private(receipt / "notices.csv") as stream:
            kept = [(file, notices[extract_id]) for file, extract_id in sources if extract_id in notices]
            _write_notices(stream, encodings[actor["id"]], kept)
        with open_private(receipt / "receipt.json") as stream:
            content = build_receipt(manifest, actor, extracts, since_last.get(actor["id"]))
            stream.write(json.dumps(content, ensure_ascii=False, indent=1).encode() + b"\n")


def build_receipt(
    manifest: Mapping[str, Any],
    actor: Mapping[str, Any],
    extracts: Sequence[Mapping[str, Any]],
    since_last: SinceLast | None,
) -> dict[str, Any]:
    """The content of ``receipt.json``: the actor's own part of the manifest, with the codes explained."""
    return {
        "format": 1,
        "run_id": manifest["run_id"],
        "started_at": manifest["started_at"],
        "as_of": manifest["as_of"],
        "dry_run": manifest["dry_run"],
        "actor": {"id": actor["id"], "name": actor["name"], "type": actor["type"]},
        "records": actor["records"],
        "outcomes": actor["outcomes"],
        "findings": actor["findings"],
        "since_last": since_last and asdict(since_last) | {"text": _what_became(since_last)},
        "balance": [
            {name: count for name, count in row.items() if name != "actor"}
            for row in manifest["balance"]
            if row["actor"] == actor["id"]
        ],
        "notices": [
            {"code": code, "records": records, "plain": _both(plain_texts(code)), "fix": _both(fix_texts(code))}
            for code, records in actor["notices"].items()
        ],
        "codes": [_code(int(code), findings) for code, findings in actor["findings"].items()],
        "extracts": [
            {name: part for name, part in extract.items() if name != "actor"}
            | {"reason_text": _both(reason_texts(extract["code"], extract["reason"])) if extract["reason"] else None}
            | {"hold": [excess | {"text": _why_held(excess)} for excess in extract["hold"]]}
            for extract in extracts
        ],
        "rejected_csv": read_texts("texts.toml")["receipt"]["rejected_csv"],
        "rejected_xlsx": read_texts("texts.toml")["receipt"]["rejected_xlsx"],
    }


def _why_held(excess: Mapping[str, Any]) -> dict[str, str]:
    # Here, because only a run that is settled needs what writes numbers as people do.
    from afstem.report.language import LANGUAGES

    return {language.code: language.excess(Excess(**excess)).unescape() for language in LANGUAGES}


def _what_became(since_last: SinceLast) -> dict[str, str]:
    from afstem.report.language import LANGUAGES

    texts = {}
    for language in LANGUAGES:
        numbers: dict[str, Any] = {name: language.number(count) for name, count in asdict(since_last).items()}
        texts[language.code] = language.text("receipt.since_last", **numbers).unescape()
    return texts


def _code(code: int, findings: int) -> dict[str, Any]:
    return {
        "code": code,
        "findings": findings,
        "plain": _both(plain_texts(code)),
        "fix": _both(fix_texts(code)),
        "whose_move": whose_move(code),
        "whose_move_text": _both(whose_move_texts(code)),
    }


def _both(texts: Any) -> dict[str, str]:
    return {"da": texts.da, "en": texts.en}


def _check(actor: Mapping[str, Any], extracts: Sequence[Mapping[str, Any]], findings: Counter[str]) -> None:
    """Raise `RunError` unless what was written is what the manifest counts; ``records`` counts lines."""
    said = Counter({code: count for code, count in actor["findings"].items() if count})
    said["records"] = actor["outcomes"].get(Outcome.REJECTED.value, 0)
    written = findings + Counter(str(extract["code"]) for extract in extracts if extract["code"] is not None)
    if +said != written:
        raise RunError(f"the receipt disagrees with the run: actor {actor['id']}")


# --- rejected.csv and rejected.xlsx ----------------------------------------------------------------------------------


def _write_rejected(
    receipt: Path,
    encoding: str,
    sources: Sequence[tuple[str, str]],
    headers: Mapping[str, Header],
    rejected: Rejected,
) -> Counter[str]:
    """Write header and records of both files; returns the findings per code, and the lines written as ``records``."""
    columns = _union([_submitted(headers[extract_id]) for _, extract_id in sources])
    header = _cells(pa.array([*columns.values(), *RECEIPT_COLUMNS]))
    counts: Counter[str] = Counter()
    with ExitStack() as files:
        stream = files.enter_context(open_private(receipt / "rejected.csv"))
        names = [_field(header.slice(place, 1)) for place in range(len(header))]
        if header[0].as_py().startswith("ID"):
            names[0] = _quoted(header.slice(0, 1))  # a file that begins so is SYLK to Excel, whatever its name
        _write_lines(stream, encoding, names)
        workbook = None
        if len(header) <= MOST_COLUMNS:  # dozens of extracts, each with hundreds of columns of its own, go beyond
            texts = read_texts("texts.toml")["receipt"]
            workbook = Workbook(
                files.enter_context(open_private(receipt / "rejected.xlsx")),
                texts["sheet"]["da"],
                header.to_pylist(),
                texts["too_long"]["da"],
            )
            files.enter_context(workbook)
        for file, extract_id in sources:
            own = {key: column for key, _, column in _submitted(headers[extract_id])}
            for table in rejected(extract_id):
                for batch in table.to_batches(max_chunksize=_SLICE):
                    submitted = [
                        batch.column(own[key]) if key in own else pa.nulls(batch.num_rows, pa.string())
                        for key in columns
                    ]
                    cells = [*map(_cells, submitted), *_verdict_cells(batch, file)]
                    _write_lines(stream, encoding, [_field(column) for column in cells])
                    if workbook:
                        workbook.write(cells)
                    counts["records"] += batch.num_rows
                    for count in pc.value_counts(pc.list_flatten(batch.column("codes"))).to_pylist():
                        counts[str(count["values"])] += count["counts"]
    return counts


def _submitted(header: Header) -> list[tuple[tuple[str, int], str, str]]:
    """The submitted columns: what makes two of them the same, the name as submitted, the record table's column.

    An extra column is known by its name and which one of that name it is. A receipt that comes back as an extract
    ends in the columns that a receipt adds: they are left out, or they would pile up from night to night.
    """
    names = list(header.names)
    count = len(names)
    if is_receipt(names):
        count -= len(RECEIPT_COLUMNS)
    seen: Counter[str] = Counter()
    columns = []
    for name, column in zip(names[:count], header.columns[:count], strict=True):
        key = (column, -1) if column in NAMED_COLUMNS else (name, seen[name])
        seen[name] += column not in NAMED_COLUMNS
        columns.append((key, name, column))
    return columns


def _union(headers: Sequence[list[tuple[tuple[str, int], str, str]]]) -> dict[tuple[str, int], str]:
    """The submitted columns of all extracts in the order of their first appearance, and their names."""
    columns: dict[tuple[str, int], str] = {}
    for header in headers:
        for key, name, _ in header:
            columns.setdefault(key, name)
    return columns or {(name, -1): name for name in NEEDED_COLUMNS}


def _verdict_cells(batch: pa.RecordBatch, file: str) -> list[pa.Array]:
    """The columns of `RECEIPT_COLUMNS` for a batch of rejected records."""
    codes = pc.binary_join(batch.column("codes").cast(pa.list_(pa.string())), " ")
    reasons = pc.binary_join(batch.column("reasons"), " ")
    found = pc.binary_join_element_wise(codes, reasons, "|").dictionary_encode()
    texts = [_explain(combination) for combination in found.dictionary.to_pylist()]
    explained = [pa.array([text[place] for text in texts], pa.string()).take(found.indices) for place in range(3)]
    explained[2] = _with_suggestions(explained[2], batch.column("suggestions"))
    return [
        batch.column("record_no").cast(pa.string()),
        codes,
        *map(_cells, explained),
        _cells(batch.column("line")),
        pa.repeat(_cells(pa.array([file]))[0], batch.num_rows),
    ]


def _with_suggestions(fixes: pa.Array, suggestions: pa.ListArray) -> pa.Array:
    """What to do, and before it what was probably meant, where somebody can tell."""
    told = pc.list_parent_indices(suggestions).filter(pc.list_flatten(suggestions).is_valid())
    if not len(told):
        return fixes
    meant: dict[int, list[str]] = {}
    for place, suggestion in zip(told.to_pylist(), pc.list_flatten(suggestions).drop_null().to_pylist(), strict=True):
        kind, _, value = suggestion.partition(" ")
        meant.setdefault(place, []).append(suggestion_texts(kind, value).da)
    chosen = pa.array(meant)
    written = [" / ".join([*of, fix]) for of, fix in zip(meant.values(), fixes.take(chosen).to_pylist(), strict=True)]
    mask = np.zeros(len(fixes), np.bool_)
    mask[chosen.to_numpy()] = True
    return pc.replace_with_mask(fixes, pa.array(mask), pa.array(written))


@cache
def _explain(combination: str) -> tuple[str, str, str]:
    """Explanation, whose move and what to do, in Danish, of ``codes|reasons``; all findings, primary first."""
    codes, _, reasons = combination.partition("|")
    found = [int(code) for code in codes.split()]
    explanations = [
        f"{plain_texts(code).da}: {reason_texts(code, reason).da}"
        for code, reason in zip(found, reasons.split(" "), strict=True)
    ]
    return (
        " / ".join(explanations),
        " / ".join(dict.fromkeys(whose_move_texts(code).da for code in found)),
        " / ".join(dict.fromkeys(fix_texts(code).da for code in found)),
    )


# --- notices.csv ----------------------------------------------------------------------------------------------------


def _write_notices(stream: IO[bytes], encoding: str, kept: Sequence[tuple[str, pa.Table]]) -> None:
    """Write header and records: the notices of each file, which are sorted by code."""
    _write_lines(stream, encoding, [pa.array([name]) for name in NOTICE_COLUMNS])
    for file, rows in kept:
        codes = rows["code"].combine_chunks().dictionary_encode()
        texts = [
            (plain_texts(code).da, whose_move_texts(code).da, fix_texts(code).da)
            for code in codes.dictionary.to_pylist()
        ]
        plain, move, fix = (pa.array(of).take(codes.indices) for of in zip(*texts, strict=True))
        meant = pc.binary_join_element_wise("Måske @", rows["suggestion"].combine_chunks(), ". ", "")
        columns = [
            pa.repeat(file, len(rows)),
            rows["record_no"].combine_chunks().cast(pa.string()),
            codes.dictionary_decode(),
            plain,
            move,
            pc.binary_join_element_wise(pc.fill_null(meant, ""), fix, ""),
        ]
        _write_lines(stream, encoding, [_field(_cells(column)) for column in columns])


def _write_lines(stream: IO[bytes], encoding: str, fields: Sequence[pa.Array]) -> None:
    """Write the fields, one line a row, `;` between and CRLF after.

    A character that the encoding lacks is written with a backslash: an extract in JSON or Parquet can hold it.
    """
    lines = pc.binary_join_element_wise(*fields[:-1], pc.binary_join_element_wise(fields[-1], "\r\n", ""), ";")
    text = _text_of(lines)
    stream.write(text if encoding == "utf-8" else str(text, "utf-8").encode(encoding, "backslashreplace"))


def _cells(column: pa.Array) -> pa.Array:
    """The texts as they stand in a cell that no spreadsheet runs, and on one physical line; null is an empty one.

    A line feed, which only JSON and Parquet can hold, becomes its picture: a blank could make an unacceptable value
    acceptable when the receipt comes back.
    """
    return harmless(pc.replace_substring(pc.fill_null(column, ""), "\n", LINE_FEED_SYMBOL))


def _field(cells: pa.Array) -> pa.Array:
    """Cells as CSV fields: quoted only where RFC 4180 needs it."""
    characters = bytes(_text_of(cells))
    if not any(odd in characters for odd in b';"\r'):
        return cells  # nearly every column of every batch, and told faster than by looking at each text
    return pc.if_else(pc.match_substring_regex(cells, '[;"\\r]'), _quoted(cells), cells)


def _quoted(text: pa.Array) -> pa.Array:
    return pc.binary_join_element_wise('"', pc.replace_substring(text, '"', '""'), '"', "")


def _text_of(lines: pa.StringArray) -> memoryview:
    """The bytes of all lines, one after the other, without making an object of each."""
    _, offsets, characters = lines.buffers()
    if not len(lines) or characters is None:
        return memoryview(b"")
    ends = np.frombuffer(offsets, np.int32)[lines.offset : lines.offset + len(lines) + 1]
    return memoryview(characters)[ends[0] : ends[-1]]
