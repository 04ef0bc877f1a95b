"""Prove that the fast path answers as the libraries do: `make prove`, for as long as you like.

Blocks of invented values (`prove_values`) are judged twice: as columns by `afstem`, and one by one by phonenumbers,
email-validator and `datetime`, asked here without any code of `afstem`. Verdict and normalised value must be the same
for every value. A control judges some of the blocks by fast paths that are broken on purpose (`prove_mutants`), each
of which must be found out.

What was compared adds up in `proof.json`, by seed: a later run goes on where an earlier one stopped. It counts for the
fast path and the library versions of that time only; with others the proof begins anew. `PROOF.md` tells it to people.
Exit code 1: a difference, a mutant that was not found out, or (``--check``) a proof that is stale.
"""

import argparse
import ast
import hashlib
import json
import math
import os
import platform
import re
import sys
import time
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from importlib.metadata import version
from itertools import count
from pathlib import Path
from typing import Any
from unittest.mock import patch
from zoneinfo import ZoneInfo

import email_validator
import phonenumbers
import prove_mutants
import prove_values
import pyarrow as pa
from phonenumbers import PhoneNumberType as Type

from afstem import cpr_number, email_address, phone_number, registration_time
from afstem.schema import NO_CPR, NO_TIME

HERE = Path(__file__).parent
LEDGER = HERE / "proof.json"
REPORT = HERE / "PROOF.md"
SOURCES = HERE.parent / "src" / "afstem"
FAST_PATH = (
    "phone_number/__init__.py",
    "phone_number/numbering_plan.py",
    "email_address.py",
    "cpr_number.py",
    "registration_time.py",
    "text_bytes.py",
)
LIBRARIES = ("phonenumbers", "email-validator", "idna", "pyarrow", "numpy", "tzdata")

BLOCK = 20_000
BLOCKS_OF_ROUND = {"phone": 2, "email": 1, "cpr": 2, "time": 1}
CONTROL_SEED = 0
CONTROL_BLOCKS = 5
"""Of each kind; a mutant that agrees on so many blocks was not found out."""
SHOWN_DIFFERENCES = 20

ZONES = [ZoneInfo(name) for name in ("Europe/Copenhagen", "UTC", "America/Nuuk", "Atlantic/Faroe")]


# --- what the libraries say -----------------------------------------------------------------------------------------

MOBILE = {Type.MOBILE, Type.FIXED_LINE_OR_MOBILE}
LANDLINE = {Type.FIXED_LINE, Type.FIXED_LINE_OR_MOBILE, Type.MOBILE, Type.VOIP, Type.PERSONAL_NUMBER, Type.UAN}
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def library_phone(value: str, _: ZoneInfo) -> tuple[str | None, str | None]:
    """The form as a mobile number and as a landline number (SPEC 4.5)."""
    if any(sign.isalpha() or unicodedata.category(sign) == "Cc" for sign in value):
        return None, None
    try:
        number = phonenumbers.parse(value, "DK")
    except phonenumbers.NumberParseException:
        return None, None
    if number.extension or not phonenumbers.is_valid_number(number):
        return None, None
    number_type = phonenumbers.number_type(number)
    form = phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
    return form if number_type in MOBILE else None, form if number_type in LANDLINE else None


def library_email(value: str, _: ZoneInfo) -> str | None:
    try:
        return email_validator.validate_email(value, check_deliverability=False).normalized
    except email_validator.EmailNotValidError:
        return None


def library_cpr(value: str, _: ZoneInfo) -> int:
    """DOMAIN 6 by the calendar of the standard library."""
    if not re.fullmatch(r"[0-9]{6}-?[0-9]{4}", value):
        return NO_CPR
    digits = value.replace("-", "")
    if digits == "0000000000":
        return 0
    year, seventh = int(digits[4:6]), int(digits[6])
    if seventh <= 3:
        year += 1900
    elif seventh in (4, 9):
        year += 2000 if year <= 36 else 1900
    else:
        year += 2000 if year <= 57 else 1800
    try:
        datetime(year, int(digits[2:4]), int(digits[:2]), tzinfo=UTC)
    except ValueError:
        return NO_CPR
    return int(digits)


def library_time(value: str, zone: ZoneInfo) -> tuple[int, bool]:
    if not value:
        return NO_TIME, False
    try:
        parsed = datetime.fromisoformat(value)
        instant = (parsed if parsed.tzinfo else parsed.replace(tzinfo=zone)).astimezone(UTC)
    except (ValueError, OverflowError):
        return NO_TIME, True
    return (instant - EPOCH) // timedelta(microseconds=1), False


# --- what the fast path says ----------------------------------------------------------------------------------------


def fast_phone(values: pa.StringArray, _: ZoneInfo, asked: list[str]) -> list[Any]:
    mobile = phone_number.normalise_mobile(values, asked)
    return list(zip(mobile.to_pylist(), phone_number.normalise_landline(values).to_pylist(), strict=True))


def fast_email(values: pa.StringArray, _: ZoneInfo, asked: list[str]) -> list[Any]:
    return email_address.normalise(values, asked).to_pylist()


def fast_cpr(values: pa.StringArray, _: ZoneInfo, asked: list[str]) -> list[Any]:
    return cpr_number.read_numbers(values).tolist()


def fast_time(values: pa.StringArray, zone: ZoneInfo, asked: list[str]) -> list[Any]:
    original = registration_time._instant

    def instant(text: str, zone: ZoneInfo) -> int:
        asked.append(text)
        return original(text, zone)

    with patch.object(registration_time, "_instant", instant):
        times, unreadable = registration_time.read_times(values, zone)
    return list(zip(times.tolist(), unreadable.tolist(), strict=True))


WAYS: dict[str, tuple[Callable[..., list[Any]], Callable[..., Any]]] = {
    "phone": (fast_phone, library_phone),
    "email": (fast_email, library_email),
    "cpr": (fast_cpr, library_cpr),
    "time": (fast_time, library_time),
}


# --- the comparison -------------------------------------------------------------------------------------------------


@dataclass
class Tally:
    """What came of comparing values of one kind. ``distinct`` is counted within blocks; ``asked`` are questions."""

    values: int = 0
    distinct: int = 0
    accepted: int = 0
    asked: int = 0
    seconds: float = 0.0
    differences: int = 0
    shown: list[str] = field(default_factory=list)

    def add(self, other: "Tally") -> None:
        self.values += other.values
        self.distinct += other.distinct
        self.accepted += other.accepted
        self.asked += other.asked
        self.seconds += other.seconds
        self.differences += other.differences
        self.shown = (self.shown + other.shown)[:SHOWN_DIFFERENCES]


@dataclass
class Block:
    """Values of one kind and what the library says of each."""

    kind: str
    zone: ZoneInfo
    values: list[str]
    truth: dict[str, Any]

    @classmethod
    def drawn(cls, kind: str, seed: int, number: int) -> "Block":
        zone = ZONES[number % len(ZONES)]
        values = prove_values.values_of(kind, seed, number, BLOCK)
        library = WAYS[kind][1]
        return cls(kind, zone, values, {value: library(value, zone) for value in set(values)})

    def differences(self, asked: list[str]) -> list[str]:
        answers = WAYS[self.kind][0](pa.array(self.values, pa.string()), self.zone, asked)
        return [
            f"{self.kind} {value!r} ({self.zone}): {answer!r}, the library says {self.truth[value]!r}"
            for value, answer in zip(self.values, answers, strict=True)
            if answer != self.truth[value]
        ]


def compare_round(seed: int, number: int) -> dict[str, Tally]:
    """Compare one round of blocks; what it holds is told by the seed and its number alone."""
    tallies = {kind: Tally() for kind in WAYS}
    for kind, blocks in BLOCKS_OF_ROUND.items():
        for block_number in range(number * blocks, (number + 1) * blocks):
            started = time.process_time()
            block = Block.drawn(kind, seed, block_number)
            asked: list[str] = []
            differences = block.differences(asked)
            refused = WAYS[kind][1]("-", block.zone)
            tallies[kind].add(
                Tally(
                    values=len(block.values),
                    distinct=len(block.truth),
                    accepted=sum(block.truth[value] != refused for value in block.values),
                    asked=len(asked),
                    seconds=time.process_time() - started,
                    differences=len(differences),
                    shown=differences[:SHOWN_DIFFERENCES],
                )
            )
    return tallies


def run_control() -> list[dict[str, Any]]:
    """For each mutant how many values it took to find it out, None if the control blocks were not enough."""
    results = []
    blocks = {kind: [Block.drawn(kind, CONTROL_SEED, number) for number in range(CONTROL_BLOCKS)] for kind in WAYS}
    # The mutants are in the fast path; what it asks of the library is remembered.
    with (
        patch.object(phone_number, "library_verdict", cache(phone_number.library_verdict)),
        patch.object(email_address, "_validate", cache(email_address._validate)),
    ):
        for mutant in prove_mutants.MUTANTS:
            found = None
            with mutant.alive():
                for number, block in enumerate(blocks[mutant.kind]):
                    differences = _found_in(block)
                    if differences:
                        found = {"block": number + 1, "differences": len(differences), "first": differences[0]}
                        break
            results.append({"kind": mutant.kind, "name": mutant.name, "redundant": mutant.redundant, "found": found})
    return results


def _found_in(block: Block) -> list[str]:
    """What gives a mutant away: a wrong answer, or none at all."""
    try:
        return block.differences([])
    except (ArithmeticError, LookupError, ValueError) as error:
        return [f"{block.kind}: it fails with {type(error).__name__}"]


# --- the ledger -----------------------------------------------------------------------------------------------------


def digest() -> str:
    """Of what the fast path does: its sources without documentation and lines of comment, as far as lines tell."""
    whole = hashlib.sha256()
    for name in FAST_PATH:
        text = (SOURCES / name).read_text(encoding="utf-8")
        documentation = {
            line
            for node in ast.walk(ast.parse(text))
            if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
            for line in range(node.lineno, (node.end_lineno or node.lineno) + 1)
        }
        lines = (line.strip() for number, line in enumerate(text.splitlines(), 1) if number not in documentation)
        whole.update("\n".join([name, *(line for line in lines if line and not line.startswith("#"))]).encode())
    return whole.hexdigest()[:16]


def terms() -> dict[str, Any]:
    """What the proof is about; with other terms it says nothing."""
    return {
        "fast_path": digest(),
        "versions": {"Python": platform.python_version()} | {name: version(name) for name in LIBRARIES},
    }


def load_ledger() -> dict[str, Any] | None:
    return json.loads(LEDGER.read_text(encoding="utf-8")) if LEDGER.exists() else None


def why_stale(ledger: dict[str, Any] | None, now: dict[str, Any]) -> str:
    """Why the proof on record says nothing of the fast path as it stands; empty if it does."""
    if ledger is None:
        return "there is none"
    if ledger["fast_path"] != now["fast_path"]:
        return f"it is of the fast path {ledger['fast_path']}, not of {now['fast_path']}"
    changed = [f"{name} is {new}" for name, new in now["versions"].items() if ledger["versions"].get(name) != new]
    return "since then " + ", ".join(changed) if changed else ""


def save(ledger: dict[str, Any]) -> None:
    for path, content in ((LEDGER, json.dumps(ledger, indent=1, ensure_ascii=False) + "\n"), (REPORT, report(ledger))):
        part = path.with_suffix(".part")
        part.write_text(content, encoding="utf-8")
        part.replace(path)


def totals(ledger: dict[str, Any]) -> dict[str, Tally]:
    sums = {kind: Tally() for kind in WAYS}
    for run in ledger["seeds"].values():
        for kind, tally in run["kinds"].items():
            sums[kind].add(Tally(**tally))
    return sums


# --- the report -----------------------------------------------------------------------------------------------------

KIND_NAMES = {
    "phone": "phone numbers, each as mobile and as landline",
    "email": "email addresses",
    "cpr": "CPR numbers",
    "time": "registration times",
}


def report(ledger: dict[str, Any]) -> str:
    sums = totals(ledger)
    values, differences = (
        sum(tally.values for tally in sums.values()),
        sum(tally.differences for tally in sums.values()),
    )
    control = ledger["control"]
    found = sum(one["found"] is not None for one in control)
    lines = [
        "# The fast path answers as the libraries do",
        "",
        f"**{differences} differences in {values:,} values**, verdict and normalised value compared for every one; so",
        f"with 95 % certainty fewer than {bound(values)} of the values drawn this way differ.",
        f"{found} of {len(control)} fast paths broken on purpose were found out by the same comparison.",
        "",
        "Written by `make prove`, which adds to it; every value is invented. It says nothing once the fast path or a",
        "library changes, and then begins anew; `python benchmarks/prove.py --check` tells.",
        "",
        "| | values | distinct¹ | accepted | decided without library² | differences | at most (95 %) | CPU |",
        "|---|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for kind, tally in sums.items():
        decided = "all" if kind == "cpr" else f"{1 - tally.asked / max(1, tally.distinct):.1%}"
        accepted = f"{tally.accepted / max(1, tally.values):.0%}"
        lines.append(
            f"| {KIND_NAMES[kind]} | {tally.values:,} | {tally.distinct:,} | {accepted} "
            f"| {decided} | {tally.differences} | {bound(tally.values)} | {tally.seconds / 60:.0f} min |"
        )
    lines += [
        "",
        f"¹ Within blocks of {BLOCK:,} values. ² Of the distinct ones; half of the values are awkward on purpose, so",
        "on a real night it is far more.",
        "",
        f"First block compared {ledger['began'][:10]}, last {ledger['ended'][:10]}. Seeds: "
        + ", ".join(f"{seed} ({run['rounds']:,} rounds)" for seed, run in ledger["seeds"].items())
        + f". Fast path `{ledger['fast_path']}`: {', '.join(f'`{name}`' for name in FAST_PATH)}.",
        "Versions: " + ", ".join(f"{name} {number}" for name, number in ledger["versions"].items()) + ".",
        "",
        "## The control",
        "",
        f"One rule of the fast path broken at a time, and at most {CONTROL_BLOCKS * BLOCK:,} values to find it out.",
        "",
        "| | broken so that | found out |",
        "|---|---|---|",
    ]
    for one in control:
        said = (
            f"within {one['found']['block'] * BLOCK:,} values" if one["found"] else f"no: {one['redundant'] or 'WHY?'}"
        )
        lines.append(f"| {one['kind']} | {one['name'].replace('|', chr(92) + '|')} | {said} |")
    for tally in sums.values():
        lines += [f"\n    {line}" for line in tally.shown]
    return "\n".join(lines) + "\n"


def bound(values: int) -> str:
    """The rule of three: no difference in N values says that fewer than 3 in N differ."""
    return f"1 in {values // 3:,}" if values >= 3 else "–"


# --- the command ----------------------------------------------------------------------------------------------------


def rounds_of(seed: int, first: int, until: float, processes: int) -> Iterator[dict[str, Tally]]:
    """The rounds of a seed from the first on, in order, as long as there is time."""
    if processes == 1:
        for number in count(first):
            if time.monotonic() > until:
                return
            yield compare_round(seed, number)
    with ProcessPoolExecutor(processes) as pool:
        numbers = count(first)
        waiting = [pool.submit(compare_round, seed, next(numbers)) for _ in range(2 * processes)]
        while waiting:
            yield waiting.pop(0).result()
            if time.monotonic() < until:
                waiting.append(pool.submit(compare_round, seed, next(numbers)))


def prove(seed: int, minutes: float, most_values: float, processes: int) -> dict[str, Any]:
    now = terms()
    ledger = load_ledger()
    stale = why_stale(ledger, now)
    if ledger is None or stale:
        print(f"the proof begins anew: {stale}", flush=True)
        moment = datetime.now(UTC).isoformat(timespec="seconds")
        ledger = {**now, "began": moment, "ended": moment, "seeds": {}, "control": run_control()}
        save(ledger)
    run = ledger["seeds"].setdefault(str(seed), {"rounds": 0, "kinds": {}})
    sums = {kind: Tally(**run["kinds"].get(kind, {})) for kind in WAYS}
    values = 0
    saved = time.monotonic()
    for tallies in rounds_of(seed, run["rounds"], time.monotonic() + minutes * 60, processes):
        for kind, tally in tallies.items():
            sums[kind].add(tally)
            values += tally.values
        run["rounds"] += 1
        run["kinds"] = {kind: vars(tally) for kind, tally in sums.items()}
        ledger["ended"] = datetime.now(UTC).isoformat(timespec="seconds")
        if time.monotonic() - saved > 15:
            saved = time.monotonic()
            save(ledger)
            differences = sum(tally.differences for tally in sums.values())
            print(f"{values:,} values in this run, {differences} differences with this seed", flush=True)
        if values >= most_values:
            break
    if digest() == ledger["fast_path"]:
        save(ledger)
    else:
        print("the fast path changed while it was compared: nothing more is recorded")
    return ledger


def main(arguments: Iterable[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=10, help="how long to compare (10)")
    parser.add_argument("--values", type=float, default=math.inf, help="stop after so many")
    parser.add_argument("--seed", type=int, default=1, help="of the values; the counts of several seeds add up (1)")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--check", action="store_true", help="only tell whether the proof on record is stale")
    options = parser.parse_args(None if arguments is None else list(arguments))
    if options.check:
        stale = why_stale(load_ledger(), terms())
        print(f"the proof on record is stale: {stale}" if stale else "the proof on record is of what stands here")
        return 1 if stale else 0
    ledger = prove(options.seed, options.minutes, options.values, options.processes)
    sums = totals(ledger)
    missed = [one["name"] for one in ledger["control"] if one["found"] is None and not one["redundant"]]
    for tally in sums.values():
        for line in tally.shown:
            print(line)
    for name in missed:
        print(f"not found out: {name}")
    print(f"{sum(tally.values for tally in sums.values()):,} values on record, see {REPORT.name}")
    return 1 if missed or any(tally.differences for tally in sums.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
