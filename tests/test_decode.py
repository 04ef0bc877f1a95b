"""Which files are extracts, and their bytes in blocks: gzip, limits, and no verdict that hangs on a block."""

import gzip
import zlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from afstem.decode import blocks, is_extract_name, open_extract
from afstem.errors import Unreadable

HEADER = b"personnummer,kontaktdatatype,kontaktdata\n"
PACKED = gzip.compress(HEADER + b"1,2,3\n" * 100, mtime=0)


@pytest.mark.parametrize("name", ["a.csv", "a.csv.gz", "a.jsonl", "a.jsonl.gz", "a.parquet", "a.part.csv"])
def test_extracts_by_name(name: str) -> None:
    assert is_extract_name(name)


@pytest.mark.parametrize(
    "name",
    [".a.csv", ".csv", "a.csv.part", "a.csv.tmp", "a.CSV", "a.csv.jwt", "a.parquet.gz", "a.json", "csv", ""],
)
def test_other_files_are_left_alone(name: str) -> None:
    assert not is_extract_name(name)


@settings(max_examples=200, deadline=None)
@given(
    content=st.lists(st.sampled_from([b"a", b"\n", b"\r", b"\xef\xbb\xbf", b"bc"]), min_size=1).map(b"".join),
    batch_bytes=st.integers(1, 20),
    piece_bytes=st.integers(1, 9),
    packed=st.booleans(),
    drop_bom=st.booleans(),
)
def test_blocks_are_the_content_cut_at_line_ends(
    tmp_path_factory: pytest.TempPathFactory,
    content: bytes,
    batch_bytes: int,
    piece_bytes: int,
    packed: bool,
    drop_bom: bool,
) -> None:
    path = tmp_path_factory.getbasetemp() / "blocks"
    path.write_bytes(gzip.compress(content, mtime=0) if packed else content)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(blocks, "PIECE_BYTES", piece_bytes)
        found = list(blocks.read_blocks(path, packed, drop_bom, batch_bytes))
        first = blocks.read_first_line(path, packed, drop_bom)
    expected = content.removeprefix(blocks.BOM) if drop_bom else content
    assert first == expected[: expected.find(b"\n") + 1 or None]
    if expected and not expected.endswith(b"\n"):
        expected += b"\r\n" if expected.endswith(b"\r") else b"\n"
    assert b"".join(found) == expected
    assert all(block.endswith(b"\n") for block in found)
    assert all(len(block) >= batch_bytes for block in found[:-1])


@given(st.lists(st.sampled_from([b"{}\n", b"\n", b"a{{{{{{{{{{\n"]), min_size=1).map(b"".join), st.integers(1, 5))
def test_a_block_of_many_records_is_cut_at_line_ends(content: bytes, at_once: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(blocks, "MAX_RECORDS_AT_ONCE", at_once)
        found = list(blocks._cut(content, (b"\n", b"{")))
    assert b"".join(found) == content
    for block in found:
        assert block.endswith(b"\n")
        assert block.count(b"\n") == 1 or block.count(b"\n") + block.count(b"{") <= at_once


def reason_of(path: Path, name: str, content: bytes) -> str:
    path.write_bytes(content)
    with pytest.raises(Unreadable) as caught:
        list(open_extract(path, name, "utf-8", 64).batches())
    return caught.value.reason


CORRUPT = bytearray(PACKED)
CORRUPT[-6] ^= 1  # in the checksum


@pytest.mark.parametrize(
    "content",
    [
        *(PACKED[:length] for length in range(1, len(PACKED))),
        PACKED + b"x",
        PACKED + b"\0",
        bytes(CORRUPT),
        HEADER,
    ],
)
def test_gzip_that_is_not_whole_is_unreadable(tmp_path: Path, content: bytes) -> None:
    assert reason_of(tmp_path / "x", "x.csv.gz", content) == "gzip"


@pytest.mark.parametrize("name", ["x.csv.gz", "x.jsonl.gz"])
@pytest.mark.parametrize("content", [b"", gzip.compress(b"", mtime=0), gzip.compress(b"", mtime=0) * 2])
def test_gzip_of_nothing_is_empty(tmp_path: Path, name: str, content: bytes) -> None:
    assert reason_of(tmp_path / "x", name, content) == "empty"


def test_gzip_of_several_members_is_one_file(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(
        gzip.compress(HEADER, mtime=0)
        + gzip.compress(b"", mtime=0)
        + gzip.compress(b"1,2,3\n4,", mtime=0)
        + gzip.compress(b"5,6", mtime=0)
    )
    (batch,) = open_extract(path, "x.csv.gz", "utf-8").batches()
    assert batch["kontaktdata"].to_pylist() == ["3", "6"]


def test_gzip_output_is_limited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "MAX_UNPACKED_BYTES", 2**20)
    content = HEADER + b"1,2,3\n" * 2**18
    assert reason_of(tmp_path / "x", "x.csv.gz", gzip.compress(content, mtime=0)) == "too-large"


def test_gzip_output_is_limited_by_what_is_packed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "FREE_UNPACKED_BYTES", 2**16)
    packed = gzip.compress(HEADER + b"1,2,3\n" * 2**17, mtime=0)
    assert len(packed) * blocks.MAX_GROWTH < 6 * 2**17
    assert reason_of(tmp_path / "x", "x.csv.gz", packed) == "too-large"


def test_output_that_zlib_still_holds_at_the_end_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "PIECE_BYTES", 64)
    content = HEADER + b"1,2,\n" * 5000
    packer = zlib.compressobj(9, wbits=31)
    path = tmp_path / "x"
    path.write_bytes(packer.compress(content) + packer.flush())
    assert b"".join(blocks.read_blocks(path, True, False, 1000)) == content


def test_an_extract_is_read_once(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(HEADER + b"1,2,3\n")
    reader = open_extract(path, "x.csv", "utf-8")
    assert reader.physical_records is None
    assert sum(batch.num_rows for batch in reader.batches()) == reader.physical_records == 1
    with pytest.raises(RuntimeError):
        next(reader.batches())
