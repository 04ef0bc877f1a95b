"""Explain: one error code or notice in words."""

from typing import Any

from afstem.errors import UsageError
from afstem.rules import NOTICE_OF_CODE, RULE_OF_CODE, Notice, Rule


def explain_code(code: str) -> dict[str, Any]:
    """The texts of an error code or a notice in Danish and English; raises `UsageError` for one that does not exist."""
    if notice := NOTICE_OF_CODE.get(code.upper()):
        return {"code": notice.code, "slug": notice.slug, **_own_words(notice)}
    rule = RULE_OF_CODE.get(int(code)) if code.isdecimal() else None
    if rule is None:
        raise UsageError(
            f"no such error code: {code}; the codes are {', '.join(map(str, [*RULE_OF_CODE, *NOTICE_OF_CODE]))}"
        )
    return {
        "code": rule.code,
        "slug": rule.slug,
        "official_da": rule.official.da,
        "official_en": rule.official.en,
        "official_description": rule.official_description,
        **_own_words(rule),
        "silenced_by": list(rule.silenced_by),
    }


def _own_words(told: Rule | Notice) -> dict[str, str]:
    return {
        "plain_da": told.plain.da,
        "plain_en": told.plain.en,
        "fix_da": told.fix.da,
        "fix_en": told.fix.en,
        "whose_move": str(told.whose_move),
    }
