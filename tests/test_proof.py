"""The fast path asks the libraries little, and the proof that it answers as they do can fail (benchmarks/prove.py)."""

import importlib
import json
import sys
from itertools import product
from pathlib import Path
from random import Random
from types import ModuleType

import pyarrow as pa
import pytest

from afstem import email_address, phone_number

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture(scope="module")
def prove() -> ModuleType:
    sys.path.append(str(BENCHMARKS))
    try:
        return importlib.import_module("prove")
    finally:
        sys.path.remove(str(BENCHMARKS))


@pytest.fixture
def small_proof(prove: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A proof of few values that is written elsewhere; its control has one mutant that is found and one that is not."""
    monkeypatch.setattr(prove, "LEDGER", tmp_path / "proof.json")
    monkeypatch.setattr(prove, "REPORT", tmp_path / "PROOF.md")
    monkeypatch.setattr(prove, "BLOCK", 500)
    monkeypatch.setattr(prove, "CONTROL_BLOCKS", 1)
    names = ("a month has any number of days", "24:00 is an hour")
    mutants = [mutant for mutant in prove.prove_mutants.MUTANTS if mutant.name in names]
    monkeypatch.setattr(prove.prove_mutants, "MUTANTS", mutants)
    return tmp_path


# --- how many values reach the libraries ----------------------------------------------------------------------------


def phone_numbers(spelling: str) -> list[str]:
    national = [f"{leading:03}{rest:05}" for leading in range(200, 1_000, 7) for rest in (12_345, 67_890)]
    return [spelling.format(*(number[place : place + 2] for place in range(0, 8, 2))) for number in national]


PLAIN = ["{}{}{}{}", "+45{}{}{}{}", "0045{}{}{}{}", "45{}{}{}{}", "+45 {} {} {} {}", "{}-{}-{}-{}", "(+45) {}.{}.{}.{}"]
PLAIN += [
    "{}\u00a0{}\u00a0{}\u00a0{}",
    "+46 70 {} {} {} {}",
    "0049 151 {}{}{}{}",
    "+1 202 {} {} {}",
    "+1 {} {}",
    "tlf. {} {} {} {}",
]
ODD = ["{}{}{}{},", "{}{}{}{}#1", "'{}{}{}{}"]


def test_numbers_that_are_spelt_plainly_never_reach_the_library() -> None:
    values = [value for spelling in PLAIN for value in phone_numbers(spelling)]
    asked: list[str] = []
    phone_number.normalise_mobile(pa.array(values), asked)
    phone_number.normalise_landline(pa.array(values), asked)
    assert (len(values), asked) == (2_990, [])


def test_of_odd_numbers_each_reaches_the_library_once() -> None:
    values = [value for spelling in ODD for value in phone_numbers(spelling)]
    asked: list[str] = []
    phone_number.normalise_mobile(pa.array(values * 3), asked)
    assert (len(values), len(asked)) == (690, 690)
    assert set(asked) == set(values)


def test_of_addresses_only_odd_domains_reach_the_library() -> None:
    names = ["anna", "Bo.Berg", "søren", "o'neil", "a+b", "x--y", *map(str, range(500))]
    plain = ["example.com", "Example.COM", "a-b.example.org", "123.dk"]
    odd = ["bøf.dk", "xn--bf-lka.dk", "a--b.dk"]
    refused = ["example", "a_b.dk", "-a.dk", "x.test", "x.LOCALHOST", "a..dk"]
    values = [f"{name}@{domain}" for name, domain in product(names, plain + odd + refused)]
    asked: list[str] = []
    email_address.normalise(pa.array(values), asked)
    # A refused domain is asked about only for a name in other letters than ASCII, which the grammar does not judge.
    assert sorted(asked) == sorted(
        f"a@{domain}" for domain in odd + refused if domain != "x.test" and domain != "x.LOCALHOST"
    )
    assert len(values) == 6_578


def test_of_realistic_values_few_reach_the_library(prove: ModuleType) -> None:
    random = Random(2026)
    numbers = [prove.prove_values.realistic_phone(random).strip() for _ in range(10_000)]
    addresses = [prove.prove_values.realistic_email(random).strip() for _ in range(10_000)]
    asked: list[str] = []
    phone_number.normalise_mobile(pa.array(numbers), asked)
    # One in a hundred ends in a comma or an extension or begins with an apostrophe; nothing else is asked about.
    assert 50 < len(asked) < 150
    asked.clear()
    email_address.normalise(pa.array(addresses), asked)
    # A handful of odd domains, and what is no address but holds Danish letters.
    assert 10 < len(asked) < 60


# --- the proof ------------------------------------------------------------------------------------------------------


def test_the_same_block_is_drawn_again(prove: ModuleType) -> None:
    for kind in prove.WAYS:
        values = prove.prove_values.values_of(kind, 3, 1, 300)
        assert values == prove.prove_values.values_of(kind, 3, 1, 300)
        assert values != prove.prove_values.values_of(kind, 3, 2, 300)
        assert values == [value.strip() for value in values]
        assert len(set(values)) > 150


def test_a_proof_adds_up_and_is_told(prove: ModuleType, small_proof: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert prove.main(["--values", "1", "--processes", "1"]) == 0
    assert prove.main(["--values", "1", "--processes", "1"]) == 0
    assert prove.main(["--values", "1", "--processes", "1", "--seed", "7"]) == 0
    ledger = json.loads((small_proof / "proof.json").read_text())
    assert {seed: run["rounds"] for seed, run in ledger["seeds"].items()} == {"1": 2, "7": 1}
    assert {kind: tally.values for kind, tally in prove.totals(ledger).items()} == {
        kind: 3 * 500 * blocks for kind, blocks in prove.BLOCKS_OF_ROUND.items()
    }
    report = (small_proof / "PROOF.md").read_text()
    assert "**0 differences in 9,000 values**" in report
    assert ledger["fast_path"] in report
    assert "1 of 2 fast paths broken on purpose were found out" in report
    assert "9,000 values on record" in capsys.readouterr().out
    assert prove.main(["--check"]) == 0


def test_a_fast_path_that_differs_fails_the_proof(
    prove: ModuleType, small_proof: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    original = email_address.normalise

    def normalise(values: pa.StringArray, asked: list[str] | None = None) -> pa.StringArray:
        return pa.array(["other", *original(values, asked).to_pylist()[1:]])

    monkeypatch.setattr(email_address, "normalise", normalise)
    assert prove.main(["--values", "1", "--processes", "1"]) == 1
    assert "email " in capsys.readouterr().out
    assert "**1 differences" in (small_proof / "PROOF.md").read_text()


def test_a_mutant_that_is_missed_without_a_reason_fails_the_proof(
    prove: ModuleType, small_proof: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    harmless = prove.prove_mutants.Mutant("cpr", "nothing at all", prove.cpr_number, lambda: {"REASONS": ()})
    monkeypatch.setattr(prove.prove_mutants, "MUTANTS", [harmless])
    assert prove.main(["--values", "1", "--processes", "1"]) == 1
    assert "not found out: nothing at all" in capsys.readouterr().out


def test_every_mutant_changes_something(prove: ModuleType) -> None:
    for mutant in prove.prove_mutants.MUTANTS:
        with mutant.alive():
            pass


def test_a_proof_of_another_fast_path_or_library_is_stale(prove: ModuleType, small_proof: Path) -> None:
    assert prove.main(["--check"]) == 1
    now = prove.terms()
    assert "there is none" in prove.why_stale(None, now)
    assert prove.why_stale(now, now) == ""
    assert "fast path" in prove.why_stale({**now, "fast_path": "other"}, now)
    older = {**now, "versions": {**now["versions"], "phonenumbers": "9.0.0"}}
    assert "phonenumbers" in prove.why_stale(older, now)


def test_the_digest_is_of_what_the_code_does(
    prove: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def digest_of(text: str) -> str:
        (tmp_path / "rule.py").write_text(text)
        return prove.digest()

    monkeypatch.setattr(prove, "SOURCES", tmp_path)
    monkeypatch.setattr(prove, "FAST_PATH", ("rule.py",))
    plain = digest_of('"""Says."""\nLIMIT = 64\n')
    assert plain == digest_of('"""Says more."""\n\n# why\n\nLIMIT = 64\n"""In\n\nbytes."""\n')
    assert plain != digest_of("LIMIT = 65\n")


def test_the_proof_on_record_is_of_the_fast_path_as_it_stands(prove: ModuleType) -> None:
    """If this fails, the fast path has changed and its proof is gone: run `make prove`, the longer the better."""
    ledger = prove.load_ledger()
    assert ledger is not None
    assert ledger["fast_path"] == prove.digest()
    assert sum(tally.differences for tally in prove.totals(ledger).values()) == 0
    assert prove.REPORT.read_text(encoding="utf-8") == prove.report(ledger)
