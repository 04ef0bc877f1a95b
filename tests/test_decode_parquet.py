"""Parquet: types of SPEC 2.3, broken files, and small files that would be huge in memory."""

import datetime as dt
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from afstem.decode import open_extract, parquet_dictionaries, parquet_rows
from afstem.errors import Unreadable


def write(path: Path, columns: dict[str, Any], **options: Any) -> Path:
    rows = max(map(len, columns.values()))
    needed = {name: ["1"] * rows for name in ("personnummer", "kontaktdatatype", "kontaktdata")}
    pq.write_table(pa.table({**needed, **columns}), path, **options)
    return path


def read(path: Path, batch_bytes: int = 2**23) -> list[dict[str, Any]]:
    reader = open_extract(path, "x.parquet", "utf-8", batch_bytes)
    batches = list(reader.batches())
    assert all(batch.num_rows for batch in batches)
    records = [record for batch in batches for record in batch.to_pylist()]
    assert reader.physical_records == len(records)
    return records


def reason_of(path: Path) -> str:
    with pytest.raises(Unreadable) as caught:
        read(path)
    return caught.value.reason


TEXTS = ["0101900000", None, "æ", ""]


@pytest.mark.parametrize(
    "kind",
    [
        *(pa.string(), pa.large_string(), pa.string_view()),
        *(pa.dictionary(pa.int8(), pa.string()), pa.dictionary(pa.int32(), pa.large_string())),
    ],
)
def test_texts_of_every_type(tmp_path: Path, kind: pa.DataType) -> None:
    path = write(tmp_path / "x", {name: pa.array(TEXTS).cast(kind) for name in ("personnummer", "kontaktdata", "x")})
    records = read(path)
    for name in ("personnummer", "kontaktdata", "extra.0"):
        assert [record[name] for record in records] == TEXTS
    assert [record["record_no"] for record in records] == [1, 2, 3, 4]


@pytest.mark.parametrize("kind", [pa.int8(), pa.uint64(), pa.int64()])
def test_contact_type_may_be_an_integer(tmp_path: Path, kind: pa.DataType) -> None:
    path = write(tmp_path / "x", {"kontaktdatatype": pa.array([1, None], kind), "x": pa.array([7, 8], kind)})
    assert [(record["kontaktdatatype"], record["extra.0"]) for record in read(path)] == [
        ("1", "7"),
        (None, "8"),
    ]


@pytest.mark.parametrize("name", ["personnummer", "kontaktdatatype", "kontaktdata", "registreret", "reference"])
def test_a_column_of_nulls_is_tolerated(tmp_path: Path, name: str) -> None:
    assert read(write(tmp_path / "x", {name: pa.nulls(1)}))[0][name] is None


@pytest.mark.parametrize(
    ("kind", "ticks", "text"),
    [
        (pa.timestamp("s"), -62135596800, "0001-01-01T00:00:00.000"),
        (pa.timestamp("ms", "Mars/Olympus"), 1, "1970-01-01T00:00:00.001+00:00"),
        (pa.timestamp("us", "Europe/Copenhagen"), -1, "1969-12-31T23:59:59.999999+00:00"),
        (pa.timestamp("ns"), -1, "1969-12-31T23:59:59.999999"),
        (pa.timestamp("ns", "UTC"), 1999, "1970-01-01T00:00:00.000001+00:00"),
        (pa.date32(), 1, "1970-01-02"),
        (pa.date64(), 86_400_000, "1970-01-02"),
    ],
)
def test_times_become_iso_texts(tmp_path: Path, kind: pa.DataType, ticks: int, text: str) -> None:
    times = pa.array([ticks, None], pa.int32() if kind == pa.date32() else pa.int64()).view(kind)
    path = write(tmp_path / "x", {"registreret": times, "x": times})
    first, second = read(path)
    assert (first["registreret"], first["extra.0"]) == (text, text)
    assert second["registreret"] is None
    assert dt.datetime.fromisoformat(text)


@pytest.mark.parametrize("ticks", [2**62, -(2**62), 253402300800 * 10**6, -62135596801 * 10**6])
def test_a_time_outside_the_calendar_is_a_text_that_is_no_time(tmp_path: Path, ticks: int) -> None:
    path = write(tmp_path / "x", {"registreret": pa.array([ticks], pa.int64()).view(pa.timestamp("us"))})
    with pytest.raises(ValueError, match=r"Invalid isoformat|out of range"):
        dt.datetime.fromisoformat(read(path)[0]["registreret"])


@pytest.mark.parametrize(
    ("columns", "reason"),
    [
        ({"personnummer": pa.array([101900000])}, "parquet-personnummer-type"),
        ({"personnummer": pa.array([b"0101900000"])}, "parquet-personnummer-type"),
        ({"kontaktdatatype": pa.array([1.0])}, "parquet-column-type"),
        ({"kontaktdatatype": pa.array([True])}, "parquet-column-type"),
        ({"kontaktdata": pa.array([20123456])}, "parquet-column-type"),
        ({"reference": pa.array([1])}, "parquet-column-type"),
        ({"registreret": pa.array([1])}, "parquet-column-type"),
        ({" Personnummer": pa.array(["1"])}, "header-column-twice"),
        ({f"x{number}": pa.array(["1"]) for number in range(498)}, "too-many-columns"),
    ],
)
def test_types_and_names_that_are_refused(tmp_path: Path, columns: dict[str, pa.Array], reason: str) -> None:
    assert reason_of(write(tmp_path / "x", columns)) == reason


def test_a_missing_column_is_refused(tmp_path: Path) -> None:
    pq.write_table(pa.table({"personnummer": ["1"], "kontaktdata": ["1"]}), tmp_path / "x")
    assert reason_of(tmp_path / "x") == "header-missing-column"


def test_extra_columns_of_any_type_stop_nothing(tmp_path: Path) -> None:
    extras = {"a": [[1, 2]], "b": [{"c": 1}], "d.e": ["f"], "g": [True], "h": [b"\xff"], "i": [1.5]}
    (record,) = read(write(tmp_path / "x", extras))
    assert [record[f"extra.{number}"] for number in range(6)] == [None, None, "f", "true", None, "1.5"]


@pytest.mark.parametrize("use_dictionary", [True, False])
@pytest.mark.parametrize("name", ["personnummer", "kontaktdata", "x"])
def test_a_cell_that_is_no_utf8_spoils_its_own_record(tmp_path: Path, name: str, use_dictionary: bool) -> None:
    cells = pa.array([b"a", b"\xed\xa0\x80", None, b"\xff;\xe6", "æ".encode()]).view(pa.string())
    path = write(tmp_path / "x", {"reference": ["æ"] * 5, name: cells}, use_dictionary=use_dictionary)
    records = read(path, 1)
    assert [record["fault"] for record in records] == [None, "encoding", None, "encoding", None]
    assert [record["reference"] for record in records] == ["æ", None, "æ", None, "æ"]
    assert [record["kontaktdata"] is None for record in records] == [
        *(False, True, name == "kontaktdata", True, False),
    ]
    assert records[0]["line"] is None
    assert r"\xff;\xe6" in records[3]["line"]
    assert "æ" in records[3]["line"]


@pytest.mark.parametrize("compression", ["snappy", "brotli"])
def test_encodings_that_arrow_cannot_give_as_a_dictionary(tmp_path: Path, compression: str) -> None:
    values = [None if number % 7 == 0 else f"v{number}" for number in range(5000)]
    path = write(
        tmp_path / "x",
        {"kontaktdata": values, "reference": values, "x": ["a", "b"] * 2500, "d.e": ["f"] * 5000},
        compression=compression,
        use_dictionary=["x", "d.e"],
        column_encoding={"kontaktdata": "DELTA_BYTE_ARRAY", "reference": "DELTA_LENGTH_BYTE_ARRAY"},
    )
    records = read(path)
    assert [record["kontaktdata"] for record in records] == [record["reference"] for record in records] == values


@pytest.mark.parametrize("batch_bytes", [1, 5000, 2**23])
def test_chunking_changes_nothing(tmp_path: Path, batch_bytes: int) -> None:
    values = [None if number % 7 == 0 else f"v{number % 900}" for number in range(5000)]
    path = write(tmp_path / "x", {"kontaktdata": values}, row_group_size=1700, data_page_size=300)
    records = read(path, batch_bytes)
    assert [record["kontaktdata"] for record in records] == values
    assert [record["record_no"] for record in records] == list(range(1, 5001))


def test_no_rows_are_no_records(tmp_path: Path) -> None:
    assert read(write(tmp_path / "x", {"x": pa.array([], pa.string())})) == []


def test_a_broken_file_is_unreadable_or_read_but_never_anything_else(tmp_path: Path) -> None:
    """Every byte of a small file, changed; page checksums are written, so no record may change unseen."""
    path = write(tmp_path / "x", {"kontaktdata": ["20123456", "b"]}, write_page_checksum=True, store_schema=False)
    whole = path.read_bytes()
    sound = read(path)
    refused = 0
    for place in range(len(whole)):
        broken = bytearray(whole)
        broken[place] ^= 0xFF
        path.write_bytes(broken)
        try:
            found = read(path)
        except Unreadable:
            refused += 1
        else:
            assert len(found) == len(sound)
    assert refused > len(whole) // 4
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        assert reason_of(path) == ("parquet" if length else "empty")


def test_a_missing_file_is_no_finding(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        open_extract(tmp_path / "x", "x.parquet", "utf-8")


@pytest.mark.parametrize("use_dictionary", [True, False])
def test_a_long_value_is_the_trouble_of_its_record_alone(tmp_path: Path, use_dictionary: bool) -> None:
    values = ["20123456", "x" * 1_000_000, "b", "y" * 10_000_000]
    path = write(
        tmp_path / "x",
        {"kontaktdata": values},
        dictionary_pagesize_limit=10**8,
        use_dictionary=use_dictionary,
    )
    assert [record["kontaktdata"] for record in read(path)] == values


def test_a_long_value_over_many_rows_is_refused_before_it_is_repeated(tmp_path: Path) -> None:
    before = pa.total_allocated_bytes()
    values = pa.DictionaryArray.from_arrays(pa.array([0, 1] + [2] * 3000), ["a", "b", "x" * 1_000_000])
    options = {"compression": "zstd", "dictionary_pagesize_limit": 10**7, "store_schema": False}
    path = write(tmp_path / "x", {"kontaktdata": values}, **options)
    del values
    assert path.stat().st_size < 10_000
    assert reason_of(path) == "too-large"
    assert pa.total_allocated_bytes() - before < 2**28


@pytest.mark.parametrize("use_dictionary", [True, False])
def test_a_value_longer_than_any_line_is_refused(tmp_path: Path, use_dictionary: bool) -> None:
    options = {"compression": "zstd", "dictionary_pagesize_limit": 10**8, "use_dictionary": use_dictionary}
    path = write(tmp_path / "x", {"kontaktdata": ["x" * (parquet_rows.MAX_CELL_BYTES + 1), "a"]}, **options)
    assert reason_of(path) == "line-too-long"


@pytest.mark.parametrize("compression", ["none", "snappy", "gzip", "zstd", "brotli", "lz4"])
@pytest.mark.parametrize(
    ("values", "short"),
    [
        (["a"], True),
        (["", "b" * 255, "c" * 256, "d" * 65_535], True),
        (["a", "", "b"], True),
        ([""], True),
        (["\x01\x01", "æ" * 200], True),
        ([None, None], True),
        (["a", "x" * 65_536], False),
        (["a" * 300_000], False),
        (["\0\0\0"], False),  # not a long one, but it cannot be told at a glance
    ],
)
def test_the_length_of_the_values_of_a_dictionary(
    tmp_path: Path, values: list[str | None], short: bool, compression: str
) -> None:
    path = write(tmp_path / "x", {"kontaktdata": values * 3}, compression=compression, dictionary_pagesize_limit=10**7)
    with pq.ParquetFile(path) as file, path.open("rb") as raw:
        chunk = file.metadata.row_group(0).column(2)
        known = chunk.compression not in ("BROTLI", "LZ4")
        assert parquet_dictionaries.are_short(raw, chunk) is (short and known)
    assert [record["kontaktdata"] for record in read(path)] == values * 3


def test_a_broken_page_header_is_not_believed(tmp_path: Path) -> None:
    path = write(tmp_path / "x", {"kontaktdata": ["20123456", "b"] * 50})
    whole = path.read_bytes()
    with pq.ParquetFile(path) as file:
        chunk = file.metadata.row_group(0).column(2)
    for place in range(chunk.dictionary_page_offset, chunk.data_page_offset):
        for octet in (0, 0x15, 0x80, 0xFF):
            path.write_bytes(whole[:place] + bytes([octet]) + whole[place + 1 :])
            with path.open("rb") as raw:
                assert parquet_dictionaries.are_short(raw, chunk) in (True, False)
    path.write_bytes(whole[: chunk.dictionary_page_offset + 5])
    with path.open("rb") as raw:
        assert parquet_dictionaries.are_short(raw, chunk) is False


def test_many_rows_of_nothing_are_refused(tmp_path: Path) -> None:
    rows = parquet_rows.FREE_ROWS * 100
    path = write(tmp_path / "x", {"kontaktdata": pa.nulls(rows)}, compression="zstd")
    assert path.stat().st_size * parquet_rows.MAX_ROWS_PER_BYTE < rows
    assert reason_of(path) == "too-large"


def test_text_of_more_than_the_limit_in_all_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "x", {"kontaktdata": ["x" * 1000] * 2000})
    monkeypatch.setattr(parquet_rows, "MAX_UNPACKED_BYTES", 10**6)
    assert reason_of(path) == "too-large"
