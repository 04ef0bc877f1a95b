"""Whole generated extracts: what decode reads, and what the reference reads, are the same records."""

import gzip
import tempfile
from pathlib import Path

import pyarrow as pa
import pytest
import reference
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from strategies import csv_extracts, json_extracts

from afstem.decode import open_extract
from afstem.errors import Unreadable
from afstem.schema import NAMED_COLUMNS

Records = list[tuple[int, bool, dict[str, str | None]]]


def by_the_program(path: Path, encoding: str, batch_bytes: int) -> Records | None:
    try:
        reader = open_extract(path, path.name, encoding, batch_bytes)
        batches = list(reader.batches())
    except Unreadable:
        return None
    rows = pa.concat_tables(batches).to_pylist() if batches else []
    assert reader.physical_records == len(rows)
    return [(row["record_no"], row["fault"] is not None, {name: row[name] for name in NAMED_COLUMNS}) for row in rows]


def by_the_reference(path: Path, encoding: str) -> Records | None:
    records = reference.read_extract(path, encoding)
    if isinstance(records, reference.Refusal):
        return None
    return [
        (record.record_no, record.fault is not None, {name: getattr(record, name) for name in NAMED_COLUMNS})
        for record in records
    ]


def hold_against_each_other(name: str, content: bytes, encoding: str, batch_bytes: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_bytes(gzip.compress(content, mtime=0) if name.endswith(".gz") else content)
        assert by_the_program(path, encoding, batch_bytes) == by_the_reference(path, encoding)


@settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data(), st.sampled_from(["utf-8", "windows-1252", "iso-8859-1"]), st.sampled_from([1, 30, 10_000]))
def test_csv(data: st.DataObject, encoding: str, batch_bytes: int) -> None:
    content = data.draw(csv_extracts(encoding=encoding))
    hold_against_each_other(data.draw(st.sampled_from(["x.csv", "x.csv.gz"])), content, encoding, batch_bytes)


@settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(json_extracts(), st.sampled_from([1, 30, 10_000]))
@example(b'{"personnummer":"1","kontaktinformationer":[{"kontaktdatatype":1,"kontaktdata":"2"}]}\n', 10)
def test_json_lines(content: bytes, batch_bytes: int) -> None:
    hold_against_each_other("x.jsonl", content, "utf-8", batch_bytes)


@pytest.mark.parametrize("name", ["x.csv", "x.csv.gz", "x.jsonl", "x.jsonl.gz", "x.parquet"])
@pytest.mark.parametrize("content", [b"", b"\n", b"\xef\xbb\xbf", b"\x00", b"PAR1", b"{}", b"\x1f\x8b"])
def test_next_to_nothing(name: str, content: bytes) -> None:
    hold_against_each_other(name, content, "utf-8", 10_000)
