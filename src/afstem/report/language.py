"""A language of the report: its texts, and how it writes numbers and times."""

from dataclasses import dataclass
from datetime import date, datetime
from functools import cache, lru_cache
from zoneinfo import ZoneInfo

from babel import Locale
from babel.dates import format_date, format_time
from babel.numbers import format_decimal
from markupsafe import Markup, escape

from afstem.hold import Excess
from afstem.report.texts import read_texts, visible
from afstem.rules import Texts

# Babel takes 30 microseconds a number or a time; a page has thousands of numbers, most of them small, and every page
# tells the same times.


@lru_cache(maxsize=100_000)
def _decimal(number: int, locale: str) -> str:
    return str(format_decimal(number, locale=locale))


@lru_cache(maxsize=10_000)
def _one_decimal(number: float, locale: str) -> str:
    return str(format_decimal(number, "#,##0.#", locale=locale))


@lru_cache(maxsize=10_000)
def _percent(tenths: int, less: bool, language: "Language") -> str:
    percent = ("< " if less else "") + format_decimal(tenths / 10, "#,##0.0", locale=language.locale)
    return f"{percent}\N{NO-BREAK SPACE}%" if language.code == "da" else f"{percent}%"


@lru_cache(maxsize=10_000)
def _day(day: date, form: str, locale: str) -> str:
    return str(format_date(day, form, locale=locale))


@lru_cache(maxsize=10_000)
def _clock(moment: datetime, timezone: str, locale: str) -> str:
    return str(format_time(moment, "short", tzinfo=ZoneInfo(timezone), locale=locale))


@dataclass(frozen=True)
class Language:
    """One language of the report: its texts, its numbers and the names of its pages."""

    code: str
    locale: str

    def page(self, stem: str) -> str:
        """The file name of a page: Danish is ``x.html``, the others ``x.en.html``."""
        return f"{stem}.html" if self.code == "da" else f"{stem}.{self.code}.html"

    def pick(self, texts: Texts) -> str:
        return texts.da if self.code == "da" else texts.en

    def text(self, key: str, /, count: int | None = None, **values: object) -> Markup:
        """The text ``section.name`` of ``data/texts.toml`` with its places filled in.

        ``count`` chooses between the forms ``one`` and ``other``. The values are escaped unless they are `Markup`.
        A key that does not exist is a bug and raises KeyError.
        """
        if not values:
            return _plain_text(self, key, count)
        safe = {name: value if hasattr(value, "__html__") else visible(str(value)) for name, value in values.items()}
        return _text(self, key, count).format(**safe)

    def word(self, section: str, slug: str | None) -> str:
        """The word for a slug of a closed list; a slug that the list lacks is shown as it is."""
        texts = read_texts("texts.toml")[section].get("none" if slug is None else slug)
        return str(texts[self.code]) if texts else str(slug)

    def number(self, number: int) -> str:
        return _decimal(number, self.locale)

    def excess(self, excess: Excess) -> Markup:
        """Why an extract is held, as a sentence."""
        return self.text(
            f"hold.{excess.reason}",
            part=self.number(excess.part),
            left=self.number(excess.whole - excess.part),
            whole=self.number(excess.whole),
            share=self.share(excess.part, excess.whole),
            limit=self.share(excess.limit, 1),
        )

    def share(self, part: float, whole: int) -> str:
        """A share in per cent with one decimal; a dash where there is nothing to share.

        What is there, but would be rounded to nothing, is less than 0.1 %.
        """
        if not whole:
            return "–"
        share = 100 * part / whole
        little = 0 < share < 0.05
        return _percent(1 if little else round(10 * share), little, self)

    def change(self, number: int, usual: float) -> str:
        """How far a number is from what is usual, as in ``+27 %``."""
        percent = format_decimal(round(100 * (number - usual) / usual), "+#,##0;-#,##0", locale=self.locale)
        return f"{percent}\N{NO-BREAK SPACE}%" if self.code == "da" else f"{percent}%"

    def decimal(self, number: float) -> str:
        """A number with at most one decimal."""
        return _one_decimal(number, self.locale)

    def weekday(self, day: date) -> str:
        return _day(day, "EEEE", self.locale)

    def hour(self, clock: str | None) -> str:
        """An hour and minute as the language writes it."""
        return (clock or "–").replace(":", "." if self.code == "da" else ":")

    def duration(self, minutes: int) -> Markup:
        """Minutes in words."""
        hours, rest = divmod(minutes, 60)
        parts = [self.text("frame.hours", number=self.number(hours))] if hours else []
        return Markup(" ").join([*parts, self.text("frame.minutes", number=self.number(rest))])

    def day(self, day: date, form: str = "long") -> str:
        return _day(day, form, self.locale)

    def clock(self, moment: datetime, timezone: str) -> str:
        return _clock(moment, timezone, self.locale)


@cache
def _text(language: Language, key: str, count: int | None) -> Markup:
    section, name = key.split(".")
    text = read_texts("texts.toml")[section][name][language.code]
    if not isinstance(text, str):
        if count is None:
            raise KeyError(f"{key} needs a count")
        text = text[Locale.parse(language.locale).plural_form(count)]
    return escape(text)


@cache
def _plain_text(language: Language, key: str, count: int | None) -> Markup:
    return _text(language, key, count).format()  # a text with places raises KeyError


DANISH = Language("da", "da_DK")
ENGLISH = Language("en", "en_GB")
LANGUAGES = (DANISH, ENGLISH)
