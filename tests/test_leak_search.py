"""The leak search finds a secret in everything it claims to undo, and nothing where nothing is."""

import base64
import gzip
import html
import io
import json
import quopri
import sqlite3
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from leak_search import Secrets

NUMBER, PHONE, EMAIL = "0741000012", "20999917", "kanariefugl@eksempel.dk"
"""No CPR number: no month has 41 days. The leading zero is what an integer loses."""

SECRETS = Secrets(frozenset({NUMBER}), frozenset({PHONE}), frozenset({EMAIL}))

TEXT = f"Key (personnummer, value)=({NUMBER}, +45{PHONE}, {EMAIL}) already exists"


def in_script(text: str, zero: int) -> str:
    return "".join(chr(zero + int(c)) if c.isdigit() else c for c in text)


def entities(text: str, form: str) -> str:
    return "".join(form.format(ord(c)) for c in text)


SPELLINGS: dict[str, str] = {
    "with a hyphen": f"{NUMBER[:6]}-{NUMBER[6:]}",
    "with blanks": f"{NUMBER[:2]} {NUMBER[2:4]} {NUMBER[4:6]} - {NUMBER[6:]}",
    "with no-break spaces": "\u00a0".join(NUMBER),
    "with invisible characters": "\u200b".join(NUMBER),
    "the year first": f"{NUMBER[4:6]}{NUMBER[2:4]}{NUMBER[:2]}-{NUMBER[6:]}",
    "the century first": f"19{NUMBER[4:6]}{NUMBER[2:4]}{NUMBER[:2]}{NUMBER[6:]}",
    "backwards": NUMBER[::-1],
    "as an integer": str(int(NUMBER)),
    "as a float": repr(float(NUMBER)),
    "Arabic digits": in_script(NUMBER, 0x660),
    "Devanagari digits": in_script(NUMBER, 0x966),
    "fullwidth digits": in_script(NUMBER, 0xFF10),
    "mathematical digits": in_script(NUMBER, 0x1D7CE),
    "a phone number in pairs": " ".join(PHONE[at : at + 2] for at in range(0, 8, 2)),
    "a phone number with a prefix": f"0045 {PHONE}",
    "an address in capitals": EMAIL.upper(),
    "between tags": f"<b>{NUMBER[:4]}</b><i>{NUMBER[4:]}</i>",
    "decimal entities": entities(NUMBER, "&#{};"),
    "hexadecimal entities": entities(EMAIL, "&#x{:x};"),
    "entities in entities": html.escape(entities(NUMBER, "&#{};")),
    "escapes of JSON": json.dumps(in_script(NUMBER, 0x660)),
    "escapes of Python": entities(NUMBER, "\\x{:02x}"),
    "a URL": entities(NUMBER, "%{:02X}"),
    "a URL twice": quote(entities(EMAIL, "%{:02x}")),
}

WRAPPINGS: dict[str, Callable[[bytes], bytes]] = {
    "UTF-16": lambda content: content.decode().encode("utf-16-le"),
    "UTF-16, the other way round": lambda content: b"x" + content.decode().encode("utf-16-be"),
    "UTF-32": lambda content: content.decode().encode("utf-32"),
    "base64": base64.b64encode,
    "base64 a byte on": lambda content: base64.b64encode(b"x" + content),
    "base64 two bytes on": lambda content: base64.b64encode(b"xy" + content),
    "base64 in a word": lambda content: b"abc" + base64.b64encode(content),
    "base64 for URLs": lambda content: base64.urlsafe_b64encode(b"\xff\xfe" * 8 + content),
    "base64 in lines": base64.encodebytes,
    "a data URI": lambda content: b'<a href="data:text/csv;base64,' + base64.b64encode(content) + b'">',
    "a data URI without base64": lambda content: b"data:," + quote(content).encode(),
    "base64 in base64": lambda content: base64.b64encode(base64.b64encode(content)),
    "hexadecimal": lambda content: content.hex().encode(),
    "hexadecimal a half byte on": lambda content: b"a" + content.hex().encode(),
    "hexadecimal with colons": lambda content: content.hex(":").encode(),
    "hexadecimal in PostgreSQL": lambda content: b"\\x" + content.hex().encode(),
    "quoted-printable": lambda content: quopri.encodestring(content.replace(b"0", b"=30").replace(b"@", b"=40")),
    "quoted-printable in lines": lambda content: b"=\n".join(content[at : at + 7] for at in range(0, len(content), 7)),
    "gzip": gzip.compress,
    "gzip within something": lambda content: b"something " + gzip.compress(content) + b" else",
    "zlib": zlib.compress,
    "zstd": lambda content: bytes(pa.compress(content, "zstd")),
    "zstd within something": lambda content: b"something " + bytes(pa.compress(content, "zstd")) + b" else",
    "gzip in base64": lambda content: base64.b64encode(gzip.compress(content)),
    "a repr": lambda content: repr(content.decode()).encode(),
}


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_however_it_is_spelt(spelling: str) -> None:
    assert SECRETS.found_in(f"line 1: {SPELLINGS[spelling]}\nline 2".encode())


@pytest.mark.parametrize("wrapping", WRAPPINGS)
def test_however_it_is_wrapped(wrapping: str) -> None:
    assert SECRETS.found_in(WRAPPINGS[wrapping](TEXT.encode())) == {NUMBER, PHONE, EMAIL}


def test_as_integers_of_eight_bytes() -> None:
    for order in ("<i8", ">i8"):
        assert SECRETS.found_in(np.array([1, int(NUMBER), int(PHONE)], order).tobytes()) == {NUMBER, PHONE}


def test_in_a_zip_file_and_its_names() -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr(f"{NUMBER}.txt", EMAIL * 100)
    assert SECRETS.found_in(packed.getvalue()) == {NUMBER, EMAIL}


def parquet(table: pa.Table, **options: object) -> bytes:
    written = io.BytesIO()
    pq.write_table(table, written, **options)
    return written.getvalue()


PARQUET = {
    "a column of texts": lambda: parquet(pa.table({"x": [NUMBER] * 3})),
    "compressed otherwise": lambda: parquet(pa.table({"x": [f"{NUMBER}x{number}" for number in range(999)]})),
    "a column of integers": lambda: parquet(pa.table({"x": pa.array([int(NUMBER)], pa.uint32())})),
    "a list": lambda: parquet(pa.table({"x": [["a", NUMBER]]})),
    "a struct": lambda: parquet(pa.table({"x": [{"a": {"b": NUMBER}}]})),
    "bytes": lambda: parquet(pa.table({"x": [base64.b64encode(NUMBER.encode())]})),
    "statistics": lambda: parquet(pa.table({"x": [NUMBER]}), compression="none").replace(NUMBER.encode(), b"x" * 10, 1),
    "a column's name": lambda: parquet(pa.table({NUMBER: [1]})),
    "metadata": lambda: parquet(pa.table({"x": [1]}).replace_schema_metadata({"note": NUMBER})),
    "an unused entry of a dictionary": lambda: parquet(
        pa.table({"x": pa.DictionaryArray.from_arrays(pa.array([0]), pa.array(["a", NUMBER]))}), write_statistics=False
    ),
}  # fmt: skip


@pytest.mark.parametrize("place", PARQUET)
def test_wherever_it_stands_in_parquet(place: str) -> None:
    assert SECRETS.found_in(PARQUET[place]()) == {NUMBER}


def test_in_an_arrow_file() -> None:
    written = io.BytesIO()
    table = pa.table({"x": [NUMBER]})
    with pa.ipc.new_file(written, table.schema, options=pa.ipc.IpcWriteOptions(compression="lz4")) as file:
        file.write_table(table)
    assert SECRETS.found_in(written.getvalue()) == {NUMBER}


def test_in_sqlite_even_where_it_was_deleted(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "x.db") as database:
        database.execute("PRAGMA secure_delete = OFF")
        database.execute("CREATE TABLE a (b, c)")
        rows = [(gzip.compress(EMAIL.encode()), int(NUMBER)), (None, "x" * 4050 + NUMBER + "x" * 9000)]
        database.executemany("INSERT INTO a VALUES (?, ?)", rows)
        database.execute("INSERT INTO a VALUES (1, ?)", (PHONE,))
        database.commit()
        database.execute("DELETE FROM a WHERE b = 1")
    database.close()
    assert SECRETS.found_in((tmp_path / "x.db").read_bytes()) == {NUMBER, EMAIL, PHONE}


def test_nothing_is_found_where_nothing_is() -> None:
    noise = np.random.default_rng(1).bytes(200_000)
    for content in (
        noise,
        base64.b64encode(noise),
        noise.hex().encode(),
        b"070100-xxxx 20 99 99 kanariefugl@ 1234567890",
    ):
        assert SECRETS.found_in(content) == set()
