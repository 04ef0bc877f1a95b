"""The words of the report: every reason and every code has its text, in both languages, fit for a receipt."""

import ast
import tomllib
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

import afstem
from afstem import cpr_number, decode, email_address, manifests, phone_number, pull, suggestions
from afstem.intake import BREAKS_READER, TOO_COSTLY
from afstem.report.language import DANISH, ENGLISH
from afstem.report.texts import (
    fix_texts,
    known_reasons,
    plain_texts,
    read_texts,
    reason_texts,
    visible,
    whose_move_texts,
)
from afstem.rules import RULES, WhoseMove
from afstem.schema import MALFORMED_REASONS, ActorType, ContactType, Outcome
from afstem.value_formats import FINER_EMAIL_REASONS, FINER_PHONE_REASONS

REASONS = {
    1001: set(cpr_number.REASONS),
    1012: {"logon-failed", *manifests.REASONS_1012},
    1013: {"insufficient-permissions", manifests.REASON_1013},
    1014: {*decode.REASONS, *pull.REASONS, *manifests.REASONS_1014, TOO_COSTLY, BREAKS_READER, *MALFORMED_REASONS[1:]},
    9156: {*phone_number.REASONS, *FINER_PHONE_REASONS},
    9157: {*phone_number.REASONS, *FINER_PHONE_REASONS},
    9158: {*email_address.REASONS, *FINER_EMAIL_REASONS},
}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: str(rule.code))
def test_every_reason_of_every_code_has_a_text_and_no_other(rule: Any) -> None:
    assert known_reasons(rule.code) == REASONS.get(rule.code, {rule.slug})


def test_every_reason_of_an_unavailable_actor_has_a_text() -> None:
    said = set()
    for path in Path(afstem.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "SourceUnavailable":
                said.add(ast.literal_eval(node.args[0]))
    assert said
    assert said | {"internal-error"} == known_reasons(None)


def test_every_kind_of_suggestion_has_its_words_and_says_the_value() -> None:
    words = read_texts("texts.toml")["suggestion"]
    assert words.keys() == suggestions.KINDS
    assert all("{value}" in text for both in words.values() for text in both.values())


def texts(part: Any) -> Iterator[dict[str, Any]]:
    """Every text of a file of texts: a table with the two languages."""
    if set(part) == {"da", "en"}:
        yield part
    else:
        for inner in part.values():
            yield from texts(inner)


@pytest.mark.parametrize("name", ["texts.toml", "reasons.toml"])
def test_every_text_stands_in_both_languages(name: str) -> None:
    content = tomllib.loads(files("afstem").joinpath("data", name).read_text(encoding="utf-8"))
    for text in texts(content):
        for words in text.values():
            forms = words if isinstance(words, dict) else {"other": words}
            assert all(isinstance(form, str) and form == form.strip() and form for form in forms.values()), text
        if isinstance(text["da"], str) and isinstance(text["en"], str):
            assert text["da"].count("{") == text["en"].count("{"), text


def test_receipt_texts_fit_every_encoding() -> None:
    for rule in RULES:
        for words in (plain_texts(rule.code), fix_texts(rule.code), whose_move_texts(rule.code)):
            assert words.da
            assert words.en
            words.da.encode("iso-8859-1")
        for reason in known_reasons(rule.code):
            reason_texts(rule.code, reason).da.encode("iso-8859-1")


def test_every_word_of_a_closed_list_is_translated() -> None:
    lists = {"outcome": Outcome, "contact_type": [kind.slug for kind in ContactType], "actor_type": ActorType}
    lists |= {"whose_move": WhoseMove, "delivery": ["delivered", "nothing", "unavailable"]}
    lists |= {"state": ["applied", "held", "refused", "already-applied"]}
    words = tomllib.loads(files("afstem").joinpath("data", "texts.toml").read_text(encoding="utf-8"))
    for section, slugs in lists.items():
        assert {str(slug) for slug in slugs} <= set(words[section])
        for slug in slugs:
            assert DANISH.word(section, slug)
            assert ENGLISH.word(section, slug)


def test_what_has_no_text_is_shown_as_it_is() -> None:
    assert reason_texts(9156, "never-heard-of").da == "never-heard-of"
    assert DANISH.word("delivery", "by-pigeon") == "by-pigeon"
    assert plain_texts(9999).da != plain_texts(9158).da


def test_numbers_and_plurals_are_written_as_in_the_language() -> None:
    assert (DANISH.number(1234567), ENGLISH.number(1234567)) == ("1.234.567", "1,234,567")
    assert (DANISH.share(1, 80), ENGLISH.share(1, 80)) == ("1,2\u00a0%", "1.2%")
    assert DANISH.share(0, 0) == "–"
    assert DANISH.share(0, 9) == "0,0\u00a0%"
    assert DANISH.share(1, 9_999) == "< 0,1\u00a0%"
    one, other = (DANISH.text("check.unavailable", count=count, actors_unavailable=count) for count in (1, 2))
    assert one != other.replace("2", "1")


def test_texts_escape_what_is_put_into_them() -> None:
    assert "&lt;b&gt;[U+0000]" in DANISH.text("frame.this_run", run="<b>\x00")
    assert visible("æ ø") == "æ ø"
    assert visible("a\u202eb\x00\ud800") == "a[U+202E]b[U+0000][U+D800]"
