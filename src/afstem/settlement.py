"""Settlement: reconcile a whole run, one range of citizens at a time, so that memory follows the range, not the run.

A range of citizens is some days of birth: the leading two digits of a CPR number spread evenly over the country, and a
range is one stretch of the store's primary key. Ranges know nothing of each other, so workers settle them side by side.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from afstem.errors import told_without_content
from afstem.intake import CONTACT_TYPE_SLUGS, ExtractSummary, are_held, were_read
from afstem.reconcile import (
    CANDIDATE_SCHEMA,
    CONTACTS_PER_DAY,
    LOADED,
    OUTCOMES,
    Settlement,
    Standing,
    numbers_and_types,
    settle,
)
from afstem.schema import Change, ContactType, Outcome, described
from afstem.sorted_numbers import contains
from afstem.staging import PrivateArrow, PrivateParquet, RunFolder, count_rows, read_batches, read_sorted
from afstem.store import CONFIRMATION_SCHEMA, Store
from afstem.text_keys import text_keys
from afstem.workers import Workers

Ints = npt.NDArray[np.int64]

RECORDS_PER_RANGE = 150_000
"""Accepted records that are reconciled at once: some 80 MB with what is stored of the same citizens."""

DAYS = 32
"""A CPR number begins with a day of birth, 01 to 31."""

OUTCOME_SCHEMA = described(
    pa.schema(
        [
            ("actor", pa.string()),
            ("extract_id", pa.string()),
            ("record_no", pa.int64()),
            ("contact_type", pa.string()),
            ("outcome", pa.string()),
            ("primary_code", pa.int32()),
        ]
    )
)

DIFFERING_SCHEMA = pa.schema([("contact", pa.int64()), ("value", pa.string()), ("value_key", pa.uint64())])
"""What the store held and the run contradicts, with the key of the value (`text_keys`)."""

_WRITTEN_AS = pa.schema(
    [
        field.with_type(pa.dictionary(pa.int32(), pa.string())) if pa.types.is_string(field.type) else field
        for field in OUTCOME_SCHEMA
    ]
)
"""How outcomes are written: a handful of texts, told by number. Who reads the files sees `OUTCOME_SCHEMA`."""


@dataclass(frozen=True)
class NumberedExtract:
    """An extract of this run whose records were read, with the number the store will know it by."""

    source_no: int
    extract_id: str
    actor: str
    sha256: str
    created_at: int
    priority: int


@dataclass(frozen=True)
class Case:
    """What every range of a run is settled by; ``extracts`` are numbered one after the other."""

    folder: RunFolder
    store_url: str
    extracts: tuple[NumberedExtract, ...]
    standing: Standing


@dataclass
class Settled:
    """What became of the records, by (extract id, slug of the contact type): how many by `Outcome`, by `Change`.

    Counted while it is worked out; what was written is counted by those who read it (`afstem.balance`).
    """

    outcomes: Counter[tuple[str, str | None, str]] = field(default_factory=Counter)
    changes: Counter[tuple[str, str, str]] = field(default_factory=Counter)


def settle_run(
    folder: RunFolder,
    store: Store,
    store_url: str,
    numbered: list[NumberedExtract],
    extracts: list[ExtractSummary],
    workers: Workers,
) -> Settled:
    """Write the outcome of every record, the change set of the store and its confirmations into the staging folder.

    ``extracts`` are those of the run, ``numbered`` the ones whose accepted records compete for the store.
    """
    case = Case(folder, store_url, tuple(numbered), _standing(store.sources(), numbered))
    settled = Settled()
    settled.outcomes.update(_write_whole_outcomes(folder, Outcome.REJECTED, were_read(extracts), _rejected_outcomes))
    settled.outcomes.update(_write_whole_outcomes(folder, Outcome.HELD, are_held(extracts), _held_outcomes))
    ranges = _ranges(case)
    if len(ranges) == 1:
        workers = Workers()  # nothing to do side by side
    try:
        for part in workers.each(settle_range, [(case, number, days) for number, days in enumerate(ranges)]):
            settled.outcomes.update(part.outcomes)
            settled.changes.update(part.changes)
    finally:
        _close_stores()  # of what was settled here; those of workers end with them
    return settled


def read_changes(folder: RunFolder) -> Iterator[pa.Table]:
    """The change set of a settled run, in the order of the store's primary key."""
    for path in sorted(folder.changes.iterdir()):
        yield from read_batches(path)


@told_without_content()
def settle_range(case: Case, number: int, days: range) -> Settled:
    """Settle the citizens born on some days of the month."""
    store = _store(case.store_url)
    low, high = days.start * CONTACTS_PER_DAY, days.stop * CONTACTS_PER_DAY
    candidates = _candidates(case, low, high)
    stored = store.stored_contacts_for(_contacts(candidates), low, high)
    before = store.confirmations(days)
    settlement = settle(candidates, _confirmed(stored, before), case.standing)
    keys = pa.array(text_keys(settlement.differing["value"].combine_chunks()))
    with PrivateArrow(case.folder.differing / f"{number:04}.arrow", DIFFERING_SCHEMA) as file:
        file.write(settlement.differing.append_column("value_key", keys))
    with PrivateArrow(case.folder.changes / f"{number:04}.arrow", settlement.changes.schema) as file:
        file.write(settlement.changes)
    _write_outcomes(case.folder, f"accepted-{number:04}", [_accepted_outcomes(candidates, settlement, case)])
    for day, rows in _confirmations(before, settlement, days).items():
        case.folder.write_confirmed(day, rows)
    return _count(candidates, settlement, case)


_CHANGES = tuple(Change)


def _count(candidates: pa.Table, settlement: Settlement, case: Case) -> Settled:
    """What became of the candidates of a range, and what the changes among them did."""
    changed = settlement.changes.filter(settlement.changes["changed"])
    new, removed = (changed[name].is_null().to_numpy() for name in ("before", "value"))
    change = np.where(new, _CHANGES.index(Change.NEW), _CHANGES.index(Change.REPLACED))
    change[removed] = _CHANGES.index(Change.REMOVED)
    return Settled(
        _count_by_extract_and_type(candidates, settlement.outcome, OUTCOMES, case),
        _count_by_extract_and_type(changed, change, _CHANGES, case),
    )


def _count_by_extract_and_type(
    rows: pa.Table, told: npt.NDArray[np.integer], words: tuple[str, ...], case: Case
) -> Counter[Any]:
    """How many rows there are of each (extract id, contact type, word), ``told`` being places among the words."""
    extract, contact_type = _extract_and_type(rows, case)
    shape = (len(case.extracts), len(ContactType), len(words))
    places = np.ravel_multi_index((extract, contact_type, told), shape)
    counts = np.bincount(places, minlength=int(np.prod(shape))).reshape(shape)
    return Counter(
        {
            (case.extracts[extract].extract_id, ContactType(kind).slug, str(words[word])): int(
                counts[extract, kind, word]
            )
            for extract, kind, word in np.argwhere(counts).tolist()
        }
    )


def _extract_and_type(rows: pa.Table, case: Case) -> tuple[Ints, Ints]:
    """The place in ``case.extracts`` and the contact type of each row."""
    _, contact_types = numbers_and_types(rows["contact"].to_numpy())
    return rows["source_no"].to_numpy() - case.extracts[0].source_no, contact_types


def _contacts(candidates: pa.Table) -> Ints:
    """What candidates tell of, sorted, once each."""
    contacts = np.sort(candidates["contact"].to_numpy(), kind="stable")
    return contacts[np.diff(contacts, prepend=-1) != 0]


_open_stores: dict[str, Store] = {}
"""What this process settles in, by URL."""


def _store(url: str) -> Store:
    if url not in _open_stores:
        _close_stores()
        _open_stores[url] = Store.open(url)
    return _open_stores[url]


def _close_stores() -> None:
    while _open_stores:
        _open_stores.popitem()[1].close()


def _standing(sources: pa.Table, extracts: list[NumberedExtract]) -> Standing:
    """Rank the extracts of this run among all that stored contacts come from."""
    columns = ("source_no", "actor", "sha256", "created_at", "priority")
    every = sources.select(columns).to_pylist() + [
        {name: getattr(extract, name) for name in columns} for extract in extracts
    ]
    size = max((row["source_no"] for row in every), default=-1) + 1
    standing = Standing(*(np.full(size, LOADED) for _ in range(3)))
    from_extracts = [row for row in every if row["sha256"] is not None]
    seniority = [(row["created_at"], -row["priority"], row["actor"]) for row in from_extracts]
    for ranks, rows, keys in (
        (standing.seniority, from_extracts, seniority),
        (standing.digest, from_extracts, [row["sha256"] for row in from_extracts]),
        (standing.actor, every, [row["actor"] for row in every]),
    ):
        ranks[[row["source_no"] for row in rows]] = _ranks(keys)
    return standing


def _ranks(keys: list[Any]) -> Ints:
    rank = {key: place for place, key in enumerate(sorted(set(keys)))}
    return np.array([rank[key] for key in keys], np.int64)


def _accepted(case: Case, extract: NumberedExtract) -> Any:
    return case.folder.extract(extract.extract_id) / "accepted.arrow"


def _ranges(case: Case) -> list[range]:
    """Ranges of days of birth that hold every accepted record and not too many each."""
    accepted = sum(count_rows(_accepted(case, extract)) for extract in case.extracts)
    if not accepted:
        return []
    edges = np.linspace(0, DAYS, min(DAYS - 1, -(-accepted // RECORDS_PER_RANGE)) + 1).astype(int).tolist()
    return [range(first, after) for first, after in pairwise(edges)]


def _candidates(case: Case, low: int, high: int) -> pa.Table:
    parts = []
    for extract in case.extracts:
        for batch in read_sorted(_accepted(case, extract), "contact", low, high):
            source_no = pa.array(np.full(batch.num_rows, extract.source_no))
            parts.append(pa.table(batch).append_column("source_no", source_no).select(CANDIDATE_SCHEMA.names))
    return pa.concat_tables(parts) if parts else CANDIDATE_SCHEMA.empty_table()


def _confirmed(stored: pa.Table, confirmations: dict[int, pa.Table]) -> pa.Table:
    """The stored contacts, each with the record that confirmed it last."""
    contact = stored["contact"].to_numpy()
    source_no, record_no = (stored[name].to_numpy().copy() for name in ("source_no", "record_no"))
    for rows in confirmations.values():
        place = np.searchsorted(contact, rows["contact"].to_numpy())
        # Not all of the day need have been read.
        found = np.append(contact, -1)[place] == rows["contact"].to_numpy()
        source_no[place[found]] = rows["source_no"].to_numpy()[found]
        record_no[place[found]] = rows["record_no"].to_numpy()[found]
    by_name = {"source_no": source_no, "record_no": record_no}
    return pa.table([by_name.get(name, stored[name]) for name in stored.column_names], stored.column_names)


def _confirmations(before: dict[int, pa.Table], settlement: Settlement, days: range) -> dict[int, pa.Table]:
    """The confirmations of every day for which they change: those of before, but for what was said anew."""
    changed = {}
    for day in days:
        confirmed = _of_day(settlement.confirmed.cast(CONFIRMATION_SCHEMA), day)
        written = _of_day(settlement.changes, day)["contact"].to_numpy()
        if not len(confirmed) and not len(written):
            continue
        rows = confirmed
        if day in before:
            anew = np.sort(np.concatenate([confirmed["contact"].to_numpy(), written]), kind="stable")
            kept = before[day].filter(pa.array(~contains(anew, before[day]["contact"].to_numpy())))
            rows = pa.concat_tables([kept, confirmed])
            rows = rows.take(pa.array(np.argsort(rows["contact"].to_numpy(), kind="stable")))
        if len(rows) or day in before:
            changed[day] = rows
    return changed


def _of_day(rows: pa.Table, day: int) -> pa.Table:
    """Those of citizens born on this day of the month, of rows that are sorted by contact."""
    bounds = (day * CONTACTS_PER_DAY, (day + 1) * CONTACTS_PER_DAY)
    begin, end = np.searchsorted(rows["contact"].to_numpy(), bounds).tolist()
    return rows.slice(begin, end - begin)


def _write_outcomes(folder: RunFolder, name: str, tables: Iterable[pa.Table]) -> None:
    path = folder.outcomes / f"{name}.parquet"
    with PrivateParquet(path, _WRITTEN_AS, OUTCOME_SCHEMA) as file:
        for table in tables:
            file.write(table)


def _accepted_outcomes(candidates: pa.Table, settlement: Settlement, case: Case) -> pa.Table:
    extract, contact_types = _extract_and_type(candidates, case)
    # Each actor once, or Parquet gives up the dictionary: the file is larger, and its bytes depend on who writes it.
    actors, place_of_actor = np.unique([extract.actor for extract in case.extracts], return_inverse=True)
    return pa.table(
        {
            "actor": _told(place_of_actor[extract], actors.tolist()),
            "extract_id": _told(extract, [extract.extract_id for extract in case.extracts]),
            "record_no": candidates["record_no"],
            "contact_type": _told(contact_types, CONTACT_TYPE_SLUGS.to_pylist()),
            "outcome": _told(settlement.outcome, [str(outcome) for outcome in OUTCOMES]),
            "primary_code": pa.nulls(len(candidates), pa.int32()),
        }
    )


def _told(places: npt.NDArray[np.integer], texts: list[str]) -> pa.DictionaryArray:
    """The text at each place. Every text once in the dictionary, though several extracts have the same actor.

    For a text that comes twice pyarrow reserves room in the file, and leaves in it what the memory held before: parts
    of contacts, for all it knows.
    """
    distinct = list(dict.fromkeys(texts))
    place_of = {text: place for place, text in enumerate(distinct)}
    distinct_places = np.array([place_of[text] for text in texts], np.int32)
    return pa.DictionaryArray.from_arrays(pa.array(distinct_places[places]), pa.array(distinct, pa.string()))


def _write_whole_outcomes(
    folder: RunFolder,
    outcome: Outcome,
    extracts: list[ExtractSummary],
    outcomes_of: Callable[[RunFolder, ExtractSummary], Iterator[pa.Table]],
) -> Counter[Any]:
    """Write the outcomes that are decided for an extract alone, without any rival; how many there are."""
    counts = Counter[Any]()

    def counted() -> Iterator[pa.Table]:
        for extract in extracts:
            for records in outcomes_of(folder, extract):
                for of_type in pc.value_counts(records["contact_type"]).to_pylist():
                    counts[extract.extract_id, of_type["values"], str(outcome)] += of_type["counts"]
                told = {"actor": extract.actor, "extract_id": extract.extract_id, "outcome": str(outcome)}
                columns = {name: pa.repeat(text, len(records)) for name, text in told.items()}
                columns |= {name: records[name] for name in ("record_no", "contact_type", "primary_code")}
                yield pa.table([columns[name] for name in OUTCOME_SCHEMA.names], OUTCOME_SCHEMA)

    _write_outcomes(folder, outcome, counted())
    return counts


def _rejected_outcomes(folder: RunFolder, extract: ExtractSummary) -> Iterator[pa.Table]:
    path = folder.extract(extract.extract_id) / "rejected.arrow"
    for rejected in read_batches(path, ["record_no", "contact_type", "codes"]):
        yield rejected.append_column("primary_code", pc.list_element(rejected["codes"], 0))


def _held_outcomes(folder: RunFolder, extract: ExtractSummary) -> Iterator[pa.Table]:
    for accepted in read_batches(folder.extract(extract.extract_id) / "accepted.arrow", ["record_no", "contact"]):
        _, contact_types = numbers_and_types(accepted["contact"].to_numpy())
        slugs = CONTACT_TYPE_SLUGS.take(pa.array(contact_types))
        yield pa.table(
            {
                "record_no": accepted["record_no"],
                "contact_type": slugs,
                "primary_code": pa.nulls(len(accepted), pa.int32()),
            }
        )
