"""The nightly job as a competent analyst would write it: pandas, SQLAlchemy, and a loop over the libraries.

``python -m benchmarks.baselines.pandas_sqlalchemy load WORKSPACE STATE`` fills its store from the reference data,
``... run WORKSPACE STATE --as-of DATE`` does a night. It reads the same extracts and reference files as the program,
judges by the same rules and the same libraries, settles by the same rule, and writes outcomes, rejections and notices
in Parquet, a page of HTML, and contacts with their history into SQLite, all or nothing. ``STATE`` is its folder.

It takes every short cut that costs nothing in what it says: sets and ``isin`` where ``merge`` would do, one pass over
plain lists where ``apply`` would do, ``executemany`` where ``to_sql`` would do. It leaves out what the program does
beside: receipts, suggestions, masking with tokens, the memory of earlier findings, the proof of the balance,
a second language, and every other format.
"""

import argparse
import hashlib
import json
import re
import tomllib
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import cache
from operator import mul
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from phonenumbers import PhoneNumberType
from sqlalchemy import Column, Connection, DateTime, Engine, Integer, MetaData, Table, Text, create_engine, select
from sqlalchemy.dialects.sqlite import insert

from afstem.email_domains import meant
from benchmarks.baselines.rules import EMAIL, LANDLINE, MOBILE, cpr_number, email_address, phone_number_and_kind

SLUGS = {MOBILE: "mobile", LANDLINE: "landline", EMAIL: "email"}
FORMAT_CODES = {MOBILE: 9156, LANDLINE: 9157, EMAIL: 9158}
CODES = (1014, 1001, 1010, 4575, 4405, 9153, 9155, 9156, 9157, 9158)
"""In the order of primary codes."""

MAY_WRITE = {
    "kommune": ["own"],
    "jobcenter": ["own", "former"],
    "a-kasse": ["own"],
    "star": ["everyone"],
}
COLUMNS = ["personnummer", "kontaktdatatype", "kontaktdata", "registreret", "reference"]
WEIGHTS = (4, 3, 2, 7, 6, 5, 4, 3, 2, 1)
CPR_ALONE = re.compile(r"(?<!\d)(0[1-9]|[12]\d|3[01])(0[1-9]|1[0-2])\d\d-?\d{4}(?!\d)")
MOST_CITIZENS = 10
LOCAL = ZoneInfo("Europe/Copenhagen")
LOADED_AT_ONCE = 200_000

metadata = MetaData()
contacts = Table(
    "contacts",
    metadata,
    Column("personnummer", Text, primary_key=True),
    Column("contact_type", Text, primary_key=True),
    Column("value", Text),
    Column("registered_at", DateTime, nullable=False),
    Column("actor", Text, nullable=False),
    Column("record_no", Integer),
    Column("extract", Text),
    Column("verified_at", DateTime),
    Column("run_id", Text),
    sqlite_with_rowid=False,
)
contact_history = Table(
    "contact_history",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("personnummer", Text, nullable=False),
    Column("contact_type", Text, nullable=False),
    Column("before", Text),
    Column("after", Text),
    Column("actor", Text, nullable=False),
    Column("extract", Text, nullable=False),
    Column("record_no", Integer, nullable=False),
    Column("run_id", Text, nullable=False),
    Column("changed_at", DateTime, nullable=False),
)
extracts = Table(
    "extracts",
    metadata,
    Column("actor", Text, primary_key=True),
    Column("sha256", Text, primary_key=True),
    Column("run_id", Text, nullable=False),
    Column("created_at", DateTime, nullable=False),
    Column("priority", Integer, nullable=False),
)


@dataclass(frozen=True)
class Reference:
    """The reference data as the rules ask for them."""

    status: dict[str, str]
    relations: pd.DataFrame
    email_subscribed: set[str]
    as_of: date

    def writable(self, actor: str, actor_type: str) -> set[str]:
        """The citizens whom this actor may write; STAR is not asked for here, it may write to all."""
        mine = self.relations[self.relations["actor"] == actor]
        begun = mine["valid_from"] <= self.as_of
        ended = mine["valid_to"].notna() & (mine["valid_to"] < self.as_of)
        own = mine["kind"] == "own"
        allowed = own & begun & ~ended
        if "former" in MAY_WRITE[actor_type]:
            allowed |= own & ended
        return set(mine.loc[allowed, "personnummer"])


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("command", choices=["load", "run"])
    parser.add_argument("workspace", type=Path)
    parser.add_argument("state", type=Path)
    parser.add_argument("--extracts", type=Path, help="Another folder of extracts than the workspace's own.")
    parser.add_argument("--as-of", type=date.fromisoformat, default=date(2026, 11, 23))
    wanted = parser.parse_args()
    wanted.state.mkdir(parents=True, exist_ok=True)
    engine = create_engine(f"sqlite:///{wanted.state / 'contacts.db'}")
    metadata.create_all(engine)
    if wanted.command == "load":
        load(engine, wanted.workspace)
    else:
        folder = wanted.extracts or wanted.workspace / "extracts"
        print(json.dumps(run(engine, wanted.workspace, folder, wanted.state, wanted.as_of)))


def load(engine: Engine, workspace: Path) -> None:
    """The first filling of contacts. Its values are in their stored form already."""
    first = pd.read_parquet(workspace / "reference" / "contacts.parquet")
    first["contact_type"] = first["kontaktdatatype"].map(SLUGS)
    first["registered_at"] = pd.to_datetime(first["registreret"], utc=True).dt.tz_localize(None)
    columns = ["personnummer", "contact_type", "value", "registered_at", "actor"]
    first = first.rename(columns={"kontaktdata": "value"})[columns]
    rows = first.sort_values(["personnummer", "contact_type"]).astype({"registered_at": object})
    with engine.begin() as connection:
        for begin in range(0, len(rows), LOADED_AT_ONCE):
            connection.execute(insert(contacts), rows[begin : begin + LOADED_AT_ONCE].to_dict("records"))


def run(engine: Engine, workspace: Path, folder: Path, state: Path, as_of: date) -> dict[str, Any]:
    """One night; returns the counts of outcomes and findings."""
    started_at = datetime.now(UTC)
    run_id = f"{started_at:%Y%m%dT%H%M%SZ}-{uuid.uuid4().hex[:6]}"
    actors = tomllib.loads((workspace / "actors.toml").read_text("utf-8"))["actor"]
    reference = read_reference(workspace / "reference", as_of)
    with engine.connect() as connection:
        known = {(row.actor, row.sha256) for row in connection.execute(select(extracts))}
    new, frames = [], []
    for actor in actors:
        for path in sorted((folder / actor["id"]).iterdir()):
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
            if (actor["id"], digest) in known:
                continue
            new.append({"actor": actor["id"], "sha256": digest, "priority": actor["priority"]})
            frame = judge(read_extract(path), actor, reference, started_at)
            frames.append(frame.assign(actor=actor["id"], extract=digest, priority=actor["priority"]))
    records = pd.concat(frames, ignore_index=True)
    accepted = records[records["codes"].str.len() == 0]
    with engine.begin() as connection:
        settled, changes, shared = settle(accepted, stored_contacts(connection), started_at)
        records["outcome"] = settled.reindex(records.index).fillna("rejected")
        apply(connection, changes, new, run_id, started_at)
        for place in shared:
            records.at[place, "notices"].append("N3")
        summary = report(records, state / "reports" / run_id)
    return {"run_id": run_id, **summary}


def read_reference(folder: Path, as_of: date) -> Reference:
    citizens = pd.read_parquet(folder / "citizens.parquet")
    subscriptions = pd.read_parquet(folder / "subscriptions.parquet")
    current = (
        (subscriptions["channel"] == "email")
        & (subscriptions["valid_from"] <= as_of)
        & (subscriptions["valid_to"].isna() | (subscriptions["valid_to"] >= as_of))
    )
    return Reference(
        status=dict(zip(citizens["personnummer"], citizens["status"], strict=True)),
        relations=pd.read_parquet(folder / "relations.parquet"),
        email_subscribed=set(subscriptions.loc[current, "personnummer"]),
        as_of=as_of,
    )


# --- reading ----------------------------------------------------------------------------------------------------------


def read_extract(path: Path) -> pd.DataFrame:
    """The five columns as text, ``record_no``, and ``fault``: whether the line is no record."""
    rows = _parquet_rows(path) if path.suffix == ".parquet" else _csv_rows(path)
    return pd.DataFrame(rows, columns=["record_no", "fault", *COLUMNS], dtype=object)


def _parquet_rows(path: Path) -> Iterator[tuple[Any, ...]]:
    table = pq.read_table(path, columns=COLUMNS)
    columns = []
    for name in COLUMNS:
        try:
            columns.append(table[name].to_pylist())
        except UnicodeDecodeError:  # a cell is not UTF-8; the others still count
            columns.append([_decoded(cell) for cell in table[name].cast(pa.binary()).to_pylist()])
    for record_no, cells in enumerate(zip(*columns, strict=True), start=1):
        yield (record_no, any(isinstance(cell, bytes) for cell in cells), *cells)


def _decoded(cell: bytes | None) -> str | bytes | None:
    try:
        return None if cell is None else cell.decode()
    except UnicodeDecodeError:
        return cell


_QUOTED_FIELD = re.compile(r'(?:"(?P<quoted>(?:[^"]|"")*)"|(?P<plain>[^";]*))(?:;|$)')


def _csv_rows(path: Path) -> Iterator[tuple[Any, ...]]:
    """Line by line, because ``read_csv`` lets an unclosed quote swallow the lines after it."""
    header, *lines = path.read_bytes().split(b"\n")
    names = header.decode("utf-8-sig").rstrip("\r").split(";")
    order = [names.index(name) for name in COLUMNS]
    for record_no, line in enumerate(lines, start=1):
        try:
            text = line.removesuffix(b"\r").decode()
        except UnicodeDecodeError:
            yield (record_no, True, *[None] * len(COLUMNS))
            continue
        if not text.strip():
            continue
        cells = text.split(";") if '"' not in text else _split_quoted(text)
        if cells is None or len(cells) != len(names):
            yield (record_no, True, *[None] * len(COLUMNS))
        else:
            yield (record_no, False, *[cells[place] for place in order])


def _split_quoted(text: str) -> list[str] | None:
    """RFC 4180, strictly; None where the quoting is wrong."""
    cells, place = [], 0
    while True:
        match = _QUOTED_FIELD.match(text, place)
        if match is None:
            return None
        quoted = match["quoted"]
        cells.append(match["plain"] if quoted is None else quoted.replace('""', '"'))
        place = match.end()
        if place == len(text) and not match[0].endswith(";"):
            return cells


# --- judging ----------------------------------------------------------------------------------------------------------


def judge(frame: pd.DataFrame, actor: dict[str, Any], reference: Reference, started_at: datetime) -> pd.DataFrame:
    """Adds what is settled by (number, contact_type, stored value, registered_at) and the list of codes."""
    everyone = "everyone" in MAY_WRITE[actor["type"]]
    writable = set() if everyone else reference.writable(actor["id"], actor["type"])
    latest = started_at + timedelta(minutes=5)
    judged = []
    for fault, *cells in frame[["fault", *COLUMNS]].itertuples(index=False):
        if fault:
            judged.append((None, None, None, started_at, [1014], []))
            continue
        number_text, code, value, time_text, reference_text = ((cell or "").strip() for cell in cells)
        registered_at = read_time(time_text) if time_text else started_at
        contact_type = SLUGS.get(code)
        if not number_text or not code or registered_at is None or registered_at > latest or len(reference_text) > 64:
            judged.append((None, contact_type, None, started_at, [1014], []))
            continue
        codes = []
        number = cpr_number(number_text)
        if number is None:
            codes.append(1001)
        else:
            status = reference.status.get(number)
            if status is None:
                codes.append(1010)
            if not everyone and number not in writable:
                codes.append(4575)
            if not codes and status == "90":
                codes.append(4405)
            may_know = 1010 not in codes and 4575 not in codes
            if may_know and contact_type == "email" and not value and number in reference.email_subscribed:
                codes.append(9155)
        stored = kind = None
        if contact_type is None:
            codes.append(9153)
        elif value:
            if code == EMAIL:
                stored = email_address(value)
            elif found := phone_number_and_kind(code, value):
                stored, kind = found
            if stored is None:
                codes.append(FORMAT_CODES[code])
        noticed = [] if codes else notices(number, contact_type, stored, kind)
        judged.append((number, contact_type, stored, registered_at, sorted(codes, key=CODES.index), noticed))
    names = ["number", "contact_type", "stored", "registered_at", "codes", "notices"]
    columns = dict(zip(names, zip(*judged, strict=True), strict=True)) if judged else {name: [] for name in names}
    columns["registered_at"] = pd.to_datetime(pd.Series(columns["registered_at"]), utc=True).dt.tz_localize(None)
    return frame.assign(**columns)


def notices(number: str, contact_type: str, stored: str | None, kind: int | None) -> list[str]:
    """What an accepted record gets for itself; N3 needs the others."""
    found = []
    if contact_type == "landline" and kind == PhoneNumberType.MOBILE:
        found.append("N1")
    if contact_type == "email" and stored:
        if is_misspelt(stored.rpartition("@")[2]):
            found.append("N2")
        if CPR_ALONE.search(stored):
            found.append("N5")
    if sum(map(mul, WEIGHTS, map(int, number))) % 11:
        found.append("N4")
    return found


@cache
def is_misspelt(domain: str) -> bool:
    """Whether it is one slip from exactly one very common domain; by the program's own list of domains."""
    return meant(domain) is not None


def read_time(text: str) -> datetime | None:
    if re.search(r"[T ]24", text):
        return None
    try:
        moment = datetime.fromisoformat(text)
        return moment.replace(tzinfo=LOCAL).astimezone(UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


# --- settling ---------------------------------------------------------------------------------------------------------


def stored_contacts(connection: Connection) -> pd.DataFrame:
    """The store as pandas reads it, with the standing of the extracts that it came from."""
    stored = pd.read_sql(select(contacts), connection)
    standing = pd.read_sql(select(extracts), connection)[["actor", "sha256", "created_at", "priority"]]
    return stored.merge(
        standing.rename(columns={"sha256": "extract"}), on=["actor", "extract"], how="left", validate="many_to_one"
    )


def settle(
    accepted: pd.DataFrame, stored: pd.DataFrame, started_at: datetime
) -> tuple[pd.Series, pd.DataFrame, pd.Index]:
    """The outcome of each accepted record, the contacts to write, and the records with a value of too many citizens;
    the newest wins, a loaded contact never."""
    key = ["personnummer", "contact_type"]
    order = ["from_extract", "registered_at", "created_at", "rank", "actor", "record_no", "extract"]
    ours = accepted[["contact_type", "registered_at", "priority", "actor", "record_no", "extract"]].assign(
        personnummer=accepted["number"],
        value=accepted["stored"],
        created_at=started_at.replace(tzinfo=None),
        from_extract=True,
    )
    told = pd.MultiIndex.from_frame(ours[key])
    theirs = stored[pd.MultiIndex.from_frame(stored[key]).isin(told)].assign(
        from_extract=lambda held: held["extract"].notna()
    )
    rivals = pd.concat([ours.assign(held=False), theirs.assign(held=True)], keys=["ours", "theirs"])
    rivals["rank"] = -rivals["priority"]
    rivals["value"] = rivals["value"].fillna("")
    winners = rivals.sort_values(order, na_position="first").drop_duplicates(key, keep="last")
    held = {"value": "before", "registered_at": "held_at", "actor": "held_by", "from_extract": "held_from_extract"}
    before = theirs[[*key, *held]].rename(columns=held)
    winners = winners.reset_index(names=["side", "place"]).merge(before, on=key, how="left")
    winners["changed"] = winners["value"] != winners["before"].fillna("")
    told_by = ours[key].assign(place=ours.index, said=rivals.loc["ours", "value"])
    verdict = told_by.merge(winners[[*key, "value", "changed", "side", "place"]], on=key, suffixes=("", "_won"))
    won = (verdict["side"] == "ours") & (verdict["place"] == verdict["place_won"])
    outcome = np.select(
        [verdict["said"] != verdict["value"], won & verdict["changed"]], ["superseded", "applied"], "unchanged"
    )
    # What only repeats the stored row is not written. (The program also remembers who repeated it, for later ties.)
    repeats = ~winners["changed"] & (winners["registered_at"] == winners["held_at"])
    repeats &= (winners["actor"] == winners["held_by"]) & (winners["held_from_extract"] == True)  # noqa: E712 - or null
    changes = winners[(winners["side"] == "ours") & ~repeats]
    differing = winners.loc[winners["changed"] & winners["before"].notna(), ["personnummer", "before"]]
    pairs = pd.concat([ours[["personnummer", "value"]], differing.rename(columns={"before": "value"})])
    citizens = pairs.dropna().drop_duplicates()["value"].value_counts()
    shared = ours.index[ours["value"].isin(citizens.index[citizens > MOST_CITIZENS])]
    return pd.Series(outcome, index=verdict["place"]), changes, shared


def apply(
    connection: Connection, changes: pd.DataFrame, new: list[dict[str, Any]], run_id: str, started_at: datetime
) -> None:
    """Upsert the winners, and a row of history for each that changed the value."""
    now = started_at.replace(tzinfo=None)
    rows = changes.sort_values(["personnummer", "contact_type"])
    rows = rows.assign(registered_at=rows["registered_at"].astype(object), before=rows["before"].fillna(""))
    written = [
        {
            "personnummer": row.personnummer,
            "contact_type": row.contact_type,
            "value": row.value or None,
            "registered_at": row.registered_at,
            "actor": row.actor,
            "record_no": row.record_no,
            "extract": row.extract,
            "verified_at": now,
            "run_id": run_id,
        }
        for row in rows.itertuples(index=False)
    ]
    history = [
        {
            "personnummer": row.personnummer,
            "contact_type": row.contact_type,
            "before": row.before or None,
            "after": row.value or None,
            "actor": row.actor,
            "extract": row.extract,
            "record_no": row.record_no,
            "run_id": run_id,
            "changed_at": now,
        }
        for row in rows[rows["changed"]].itertuples(index=False)
    ]
    upsert = insert(contacts)
    upsert = upsert.on_conflict_do_update(
        index_elements=[contacts.c.personnummer, contacts.c.contact_type],
        set_={column.name: upsert.excluded[column.name] for column in contacts.c if not column.primary_key},
    )
    if new:
        connection.execute(insert(extracts), [{**row, "run_id": run_id, "created_at": now} for row in new])
    if written:
        connection.execute(upsert, written)
    if history:
        connection.execute(insert(contact_history), history)


# --- reporting --------------------------------------------------------------------------------------------------------


def report(records: pd.DataFrame, folder: Path) -> dict[str, Any]:
    """Outcomes and rejections in Parquet, the counts in HTML; returns the counts."""
    folder.mkdir(parents=True)
    rejected = records["outcome"] == "rejected"
    records["primary_code"] = records["codes"].str[0].where(rejected).astype("Int32")
    columns = ["actor", "extract", "record_no", "contact_type", "outcome", "primary_code"]
    outcomes = records[columns].astype({"record_no": "int64"})
    outcomes.to_parquet(folder / "outcomes.parquet", compression="zstd", index=False)
    findings = records.loc[rejected, [*columns[:4], "reference", "kontaktdata", "personnummer", "codes"]]
    findings = findings.explode("codes").rename(columns={"codes": "code", "kontaktdata": "value"})
    about_value = findings["code"].isin([9156, 9157, 9158])
    findings["value"] = findings["value"].where(about_value).map(_masked, na_action="ignore")
    findings["cpr_masked"] = findings.pop("personnummer").map(_masked_number, na_action="ignore")
    findings["reference"] = findings["reference"].map(lambda text: text if isinstance(text, str) else None)
    findings = findings.astype({"code": "int32", "record_no": "int64"})
    for code, found in findings.groupby("code"):
        target = folder / "rejections" / f"code={code}"
        target.mkdir(parents=True)
        found.drop(columns="code").to_parquet(target / "part.parquet", compression="zstd", index=False)
    noticed = records.loc[records["notices"].str.len() > 0, [*columns[:4], "number", "stored", "notices"]]
    noticed = noticed.explode("notices").rename(columns={"notices": "code", "stored": "value"})
    noticed["value"] = noticed["value"].map(_masked, na_action="ignore")
    noticed["cpr_masked"] = noticed.pop("number").map(_masked_number, na_action="ignore")
    noticed.astype({"record_no": "int64"}).to_parquet(folder / "notices.parquet", compression="zstd", index=False)
    by_outcome = records["outcome"].value_counts()
    by_code = findings["code"].value_counts().sort_index()
    pages = [
        by_outcome.to_frame("records"),
        by_code.to_frame("findings"),
        pd.crosstab(records["actor"], records["outcome"]),
        findings.groupby("code").head(20)[["code", "actor", "record_no", "cpr_masked", "value"]],
    ]
    html = "\n".join(page.to_html(border=0) for page in pages)
    (folder / "index.html").write_text(f"<!doctype html><meta charset=utf-8><title>Run</title>{html}", "utf-8")
    return {
        "records": len(records),
        "outcomes": {str(name): int(count) for name, count in by_outcome.items()},
        "findings": {str(code): int(count) for code, count in by_code.items()},
        "notices": {code: int(count) for code, count in noticed["code"].value_counts().sort_index().items()},
    }


def _masked(value: Any) -> str | None:
    return re.sub(r"\d{6}-?\d{4}", "######-####", value) if isinstance(value, str) else None


def _masked_number(text: Any) -> str | None:
    return re.sub(r"\d", "#", text[:6]) + "-xxxx" if isinstance(text, str) else None


if __name__ == "__main__":
    main()
