"""Explain: one error code or notice in words."""

from typing import Any

from afstem.errors import UsageError
from afstem.rules import NOTICE_OF_CODE, RULE_OF_CODE


def explain_code(code: str) -> dict[str, Any]:
    """The texts of an error code or a notice in Danish and English; raises `UsageError` for one that does not exist."""
    if notice := NOTICE_OF_CODE.get(code.upper()):
        return {
            "code": notice.code,
            "slug": notice.slug,
            "plain_da": notice.plain.da,
            "plain_en": notice.plain.en,
            "fix_da": notice.fix.da,
            "fix_en": notice.fix.en,
            "whose_move": str(notice.whose_move),
        }
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
        "plain_da": rule.plain.da,
        "plain_en": rule.plain.en,
        "fix_da": rule.fix.da,
        "fix_en": rule.fix.en,
        "whose_move": str(rule.whose_move),
        "silenced_by": list(rule.silenced_by),
    }
