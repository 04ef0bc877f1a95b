"""Reference data as they are delivered: CSV or Parquet to checked columns (SPEC 2.6).

A broken file is refused whole, by the first line that breaks it; messages name file, line and column, never
what stands there.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from afstem.decode import DEFAULT_BATCH_BYTES, blocks
from afstem.decode.csv_lines import CsvReader, split_line
from afstem.decode.extract import Header
from afstem.errors import Unreadable, UsageError
from afstem.text_bytes import bytes_of

SEPARATOR = ";"

COLUMNS = {
    "citizens": ("personnummer", "status"),
    "relations": ("personnummer", "actor", "kind", "valid_from", "valid_to"),
    "subscriptions": ("personnummer", "channel", "type", "valid_from", "valid_to"),
    "contacts": ("personnummer", "kontaktdatatype", "kontaktdata", "registreret", "actor"),
}
"""The files and the columns each must have; others are ignored."""

INTEGER_COLUMNS = ("status", "kontaktdatatype")
DATE_COLUMNS = ("valid_from", "valid_to")
TIME_COLUMNS = ("registreret",)

ROWS_PER_BATCH = 262_144

Bools = npt.NDArray[np.bool_]

PERSONNUMMER_DIGITS = 10


@dataclass(frozen=True)
class ReferenceBatch:
    """Some lines of a reference file; ``texts`` are trimmed, "" where nothing is given.

    ``lines`` are the lines' numbers as an editor shows them (the header is 1), or Parquet rows counted from 1.
    """

    path: Path
    lines: npt.NDArray[np.int64]
    texts: dict[str, pa.StringArray]

    def refuse(self, bad: Bools | pa.BooleanArray, column: str, fault: str) -> None:
        """Raise `UsageError` for the first line where ``bad`` holds."""
        at = np.flatnonzero(np.asarray(bad))
        if len(at):
            raise UsageError(f"{self.path}: line {self.lines[at[0]]}: {column}: {fault}")

    def numbers(self) -> npt.NDArray[np.int64]:
        """The CPR numbers, as integers."""
        texts = self.texts["personnummer"]
        if _are_ten_digits(texts):
            return _numbers_of(texts)
        self.refuse(~_matches(texts, "[0-9]{6}-?[0-9]{4}"), "personnummer", "must be 10 digits, or DDMMYY-XXXX")
        plain = pc.replace_substring(texts, "-", "")
        numbers: npt.NDArray[np.int64] = plain.cast(pa.int64()).to_numpy()
        return numbers

    def actors(self) -> pa.StringArray:
        distinct = self.texts["actor"].dictionary_encode()
        is_id = _matches(distinct.dictionary, "[a-z0-9-]{1,40}")
        self.refuse(~is_id[distinct.indices.to_numpy()], "actor", "must be an actor's id")
        return self.texts["actor"]

    def statuses(self) -> pa.StringArray:
        """CPR status codes, two digits each."""
        self.refuse(~_matches(self.texts["status"], "[0-9]{1,2}"), "status", "must be a CPR status code")
        return pc.utf8_lpad(self.texts["status"], 2, "0")

    def one_of(self, column: str, known: tuple[str, ...]) -> pa.StringArray:
        unknown = pc.invert(pc.is_in(self.texts[column], pa.array(known)))
        self.refuse(unknown, column, f"must be one of {', '.join(known)}")
        return self.texts[column]

    def periods(self) -> tuple[pa.Date32Array, pa.Date32Array]:
        """``valid_from`` and ``valid_to``, which is null where open."""
        valid_from, valid_to = self._dates("valid_from"), self._dates("valid_to")
        self.refuse(valid_from.is_null(), "valid_from", "must be given")
        return valid_from, valid_to

    def _dates(self, column: str) -> pa.Date32Array:
        """Dates as `date.fromisoformat` reads them, once for each distinct text; null where none is given."""
        given = self.texts[column]
        distinct = given.dictionary_encode()
        dates = pa.array([_date(text) for text in distinct.dictionary.to_pylist()], pa.date32()).take(distinct.indices)
        self.refuse(pc.and_(dates.is_null(), pc.not_equal(given, "")), column, "is no date (YYYY-MM-DD)")
        return dates


def find_files(folder: Path) -> dict[str, Path]:
    """The reference files of a folder by name; raises `UsageError` for none at all, or two of one name."""
    found: dict[str, Path] = {}
    for name in COLUMNS:
        present = [path for path in (folder / f"{name}.csv", folder / f"{name}.parquet") if path.is_file()]
        if len(present) > 1:
            raise UsageError(f"{folder}: both {present[0].name} and {present[1].name}: remove one")
        if present:
            found[name] = present[0]
    if not found:
        raise UsageError(f"{folder}: no reference data: {', '.join(COLUMNS)} as .csv or .parquet")
    return found


def read_reference(path: Path) -> Iterator[ReferenceBatch]:
    """The lines of one reference file, in order; raises `UsageError` for one that cannot be read or lacks a column."""
    columns = COLUMNS[path.stem]
    try:
        batches = _read_csv(path, columns) if path.suffix == ".csv" else _read_parquet(path, columns)
        for batch in batches:
            for column, texts in batch.texts.items():
                # No database column can hold the first, and no line of any report the others.
                if _may_hold_control_characters(texts):
                    held = _flags(pc.match_substring_regex(texts, r"[\x00\r\n]"))
                    batch.refuse(held, column, "has a control character")
            yield batch
    except Unreadable as error:
        raise UsageError(f"{path}: cannot be read: {error.reason}") from None
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror or type(error).__name__}") from None


class _ReferenceCsv(CsvReader):
    """Reference data by the rules of an extract's CSV, except that the separator is given and no column is special."""

    def _read_header(self) -> tuple[str, Header]:
        line = blocks.read_first_line(self._path, self._packed, self._drop_bom)
        try:
            names = split_line(line.decode().removesuffix("\n").removesuffix("\r"), SEPARATOR)
        except UnicodeDecodeError:
            raise Unreadable("header-encoding") from None
        if names is None:
            raise Unreadable("header-columns")
        return SEPARATOR, Header(tuple(names), tuple(f"extra.{place}" for place in range(len(names))))


def _read_csv(path: Path, columns: tuple[str, ...]) -> Iterator[ReferenceBatch]:
    reader = _ReferenceCsv(path, "utf-8", DEFAULT_BATCH_BYTES, packed=False)
    places = _places(path, reader.header.names, columns)
    for records in reader.batches():
        lines = records["record_no"].to_numpy() + 1
        texts = {column: _trimmed(records[f"extra.{place}"]) for column, place in places.items()}
        batch = ReferenceBatch(path, lines, texts)
        faulty = _flags(pc.is_valid(records["fault"]))
        batch.refuse(faulty, "the whole line", "is not UTF-8, or has not the header's columns")
        yield batch


def _read_parquet(path: Path, columns: tuple[str, ...]) -> Iterator[ReferenceBatch]:
    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            schema = file.schema_arrow
            places = _places(path, schema.names, columns)
            for column, place in places.items():
                _refuse_type(path, column, schema.field(place).type)
            first = 1
            for rows in file.iter_batches(ROWS_PER_BATCH, columns=[schema.names[place] for place in places.values()]):
                rows.validate(full=True)  # invalid UTF-8 passes until here
                lines = np.arange(first, first + rows.num_rows, dtype=np.int64)
                texts = {column: _as_text(rows[schema.names[place]], column) for column, place in places.items()}
                yield ReferenceBatch(path, lines, texts)
                first += rows.num_rows
    except (pa.ArrowException, UnicodeDecodeError):
        raise Unreadable("parquet") from None


def _places(path: Path, names: tuple[str, ...] | list[str], columns: tuple[str, ...]) -> dict[str, int]:
    """Where each needed column stands; names are compared trimmed and without regard to case."""
    plain = [name.strip().casefold() for name in names]
    for column in columns:
        if plain.count(column) != 1:
            fault = "stands twice" if column in plain else "is missing"
            raise UsageError(f"{path}: line 1: the column {column} {fault}; needed are {SEPARATOR.join(columns)}")
    return {column: plain.index(column) for column in columns}


def _refuse_type(path: Path, column: str, kind: pa.DataType) -> None:
    value = kind.value_type if pa.types.is_dictionary(kind) else kind
    text = pa.types.is_string(value) or pa.types.is_large_string(value) or pa.types.is_string_view(value)
    taken = (
        text
        or pa.types.is_null(value)
        or (column in INTEGER_COLUMNS and pa.types.is_integer(value))
        or (column in DATE_COLUMNS + TIME_COLUMNS and (pa.types.is_date(value) or pa.types.is_timestamp(value)))
    )
    if not taken:
        raise UsageError(f"{path}: the column {column} must be text")


def _as_text(column: pa.Array, name: str) -> pa.StringArray:
    """A Parquet column as the text it would be in CSV."""
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if pa.types.is_date(column.type):
        distinct = column.cast(pa.date32()).dictionary_encode()
        return distinct.dictionary.cast(pa.string()).take(distinct.indices).fill_null("")
    if pa.types.is_timestamp(column.type):
        column = column.cast(pa.timestamp("us", tz=column.type.tz), safe=False)
    texts = column.cast(pa.string())
    if pa.types.is_timestamp(column.type) and name in DATE_COLUMNS:
        # A midnight without zone is how pandas writes a date; any other time is left, and refused as no date.
        texts = pc.replace_substring_regex(texts, r" 00:00:00\.000000$", "")
    return _trimmed(texts)


def _date(text: str) -> date | None:
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None


def _are_ten_digits(texts: pa.StringArray) -> bool:
    column = bytes_of(texts)
    digits = (column.octets >= ord("0")) & (column.octets <= ord("9"))
    return bool((column.lengths == PERSONNUMMER_DIGITS).all() and digits.all())


def _numbers_of(ten_digits: pa.StringArray) -> npt.NDArray[np.int64]:
    octets = bytes_of(ten_digits).octets.reshape(-1, PERSONNUMMER_DIGITS)
    numbers = np.zeros(len(octets), np.int64)
    for column in octets.T:
        numbers *= 10
        numbers += column - ord("0")
    return numbers


def _may_hold_control_characters(texts: pa.StringArray) -> bool:
    """Whether any byte is below a blank; one pass over the bytes instead of a search in every text."""
    return bool((bytes_of(texts).octets < ord(" ")).any())


def _matches(texts: pa.StringArray, pattern: str) -> Bools:
    return _flags(pc.match_substring_regex(texts, rf"\A(?:{pattern})\z"))


def _trimmed(texts: pa.Array | pa.ChunkedArray) -> pa.StringArray:
    whole = texts.combine_chunks() if isinstance(texts, pa.ChunkedArray) else texts
    return pc.fill_null(pc.utf8_trim_whitespace(whole), "")


def _flags(mask: pa.BooleanArray | pa.ChunkedArray) -> Bools:
    return np.asarray(mask, dtype=np.bool_)
