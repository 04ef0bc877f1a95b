"""How pages are made: one Jinja environment, the frame that every page has, and how values become HTML.

Everything that is shown is hostile until proven otherwise: names, file names and values come from actors. So all
output is escaped, characters that cannot be seen are written out, and the page's own policy forbids the network and any
script and style but its own. The script sorts and filters; without it, everything is there.
"""

import sys
from base64 import b64encode
from collections.abc import Iterable, Sequence
from contextlib import suppress
from datetime import datetime
from functools import cache, partial
from hashlib import sha256
from importlib.metadata import version
from math import ceil
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from jinja2 import Environment, FileSystemBytecodeCache, PackageLoader, StrictUndefined
from jinja2.bccache import Bucket
from markupsafe import Markup, escape

from afstem.report.charts import SPARK_HEIGHT, SPARK_WIDTH, family_of, spark
from afstem.report.contents import ActorReport, ReportData
from afstem.report.do_first import ToDo, Why
from afstem.report.language import LANGUAGES, Language
from afstem.report.nights import Level
from afstem.report.texts import fix_texts, plain_texts, reason_texts, visible, whose_move, whose_move_texts
from afstem.report.trust import Check
from afstem.rules import RULE_OF_CODE
from afstem.schema import Change, Outcome

HEAT_STEPS = (0.1, 0.5, 1.0, 5.0, 10.0)
"""Upper ends, in per cent, of the shares of an actor's records that share a colour."""


def render(template: str, language: Language, stem: str, **shown: Any) -> str:
    """One page in one language; ``stem`` is its path without ending, for the link to the other language."""
    other = next(candidate for candidate in LANGUAGES if candidate != language)
    name = stem.rpartition("/")[2]
    page = _environment().get_template(template)
    return page.render(
        lang=language,
        other=other,
        other_page=other.page(name),
        page=language.page,
        t=language.text,
        num=partial(number, language),
        cells=partial(cells, language),
        heat_cells=partial(heat_cells, language),
        against=partial(against, language),
        why_now=partial(why_now, language),
        why=partial(why, language),
        kilobytes=partial(kilobytes, language),
        heat_steps=_heat_words(language),
        **shown,
    )


def number(language: Language, count: int, name: object) -> Markup:
    """A count as it is read, with the raw number and a name for whoever compares pages."""
    # Not by `Markup.format`, which takes five times as long: a page has hundreds of numbers.
    safe = escape(visible(str(name)))
    return Markup(f'<data value="{count:d}" data-name="{safe}">{language.number(count)}</data>')  # noqa: S704


def cells(language: Language, numbers: Iterable[int]) -> Markup:
    """The numbers as cells of a row; which they are, the headings say (``data-name``)."""
    # One text for all: with a macro a cell, the tables of 200 actors took longer than all the rest.
    return Markup("".join(f" <td>{language.number(number)}</td>" for number in numbers))  # noqa: S704


def heat_cells(language: Language, data: ReportData, actor: ActorReport, codes: Iterable[int]) -> Markup:
    """An actor's findings as cells, coloured by their share of its records; a triangle where they are out of the
    ordinary."""
    row = []
    for code in codes:
        if code not in actor.codes:
            row.append(" <td></td>")
            continue
        findings = actor.codes[code].findings
        mark = "" if data.why(actor.id, code).is_ordinary else "<b>▲</b> "
        row.append(f' <td class="{heat(findings, actor.records)}">{mark}{language.number(findings)}</td>')
    return Markup("".join(row))  # noqa: S704


def against(language: Language, number: int, level: Level | None) -> Markup:
    """How far a number is from what is usual; marked where it stands out."""
    if level is None:
        return Markup('<span class="note">{}</span>').format(language.text("index.no_level"))
    if not level.usual:
        return language.text("index.from_nothing") if number else Markup("0")
    change = language.change(number, level.usual)
    if not level.is_left_by(number):
        return Markup("{}").format(change)
    above = number > level.usual
    return Markup('<span class="{}"><span aria-hidden="true">{}</span> {}</span>').format(
        "s-er" if above else "s-ok", "▲" if above else "▼", change
    )


def why_now(language: Language, todo: ToDo) -> Markup:
    """Why a line of what to do first stands there."""
    times = language.decimal(round(todo.number / todo.level.usual, 1)) if todo.level and todo.level.usual else "–"
    return language.text(
        f"todo.why_{todo.why}",
        count=todo.number,
        number=language.number(todo.number),
        times=times,
        usual=language.decimal(todo.level.usual) if todo.level else "–",
    )


def check_text(language: Language, data: ReportData, check: Check) -> Markup:
    """What a check says; its numbers can be read off the page by their names."""
    words: dict[str, object] = {name: number(language, count, name) for name, count in check.numbers.items()}
    if "minutes" in check.numbers:
        words = {"duration": language.duration(check.numbers["minutes"]), "deadline": language.hour(data.deadline)}
    return language.text(f"check.{check.slug}", count=next(iter(check.numbers.values()), 0), **words)


def spark_svg(numbers: Sequence[int]) -> Markup:
    """A line through the numbers, for the eye alone: they stand in a table elsewhere."""
    return Markup(
        '<svg class="spark" viewBox="0 0 {} {}" width="{}" height="{}" aria-hidden="true" focusable="false">'
        '<polyline points="{}"/></svg>'
    ).format(SPARK_WIDTH, SPARK_HEIGHT, SPARK_WIDTH, SPARK_HEIGHT, spark(numbers))


@cache
def why(language: Language, code: int | None, slug: str) -> Markup:
    """What a reason says, ready for the page: each is shown hundreds of times."""
    return escape(visible(language.pick(reason_texts(code, slug))))


def kilobytes(language: Language, size: int) -> str:
    return language.text("frame.bytes", kilobytes=language.number(ceil(size / 1000)))


def time_element(moment: datetime, words: str) -> Markup:
    return Markup('<time datetime="{}">{}</time>').format(moment.isoformat(timespec="seconds"), words)


def moment_in(language: Language, moment: datetime, timezone: str) -> Markup:
    """A moment as day and clock of its time zone."""
    day = moment.astimezone(ZoneInfo(timezone)).date()
    return time_element(moment, f"{language.day(day, 'medium')} {language.clock(moment, timezone)}")


def heat(part: int, whole: int) -> str:
    """The class of a cell that shows ``part`` of ``whole``; the darkest where there is no whole."""
    share = 100 * part / whole if whole else 100.0
    return f"h{1 + sum(share > step for step in HEAT_STEPS)}"


def _heat_words(language: Language) -> list[str]:
    ends = [language.share(round(step * 10), 1000) for step in HEAT_STEPS]
    return [*(f"≤ {end}" for end in ends), f"> {ends[-1]}"]


def _finalize(shown: Any) -> Any:
    return visible(shown) if type(shown) is str else shown  # Markup, which is safe already, is another type


class _CompiledTemplates(FileSystemBytecodeCache):
    """Compiled templates, kept beside the templates as Python keeps compiled modules, and by the same rules.

    To compile them takes as long as to write the pages of twenty actors.
    """

    def __init__(self) -> None:
        super().__init__(str(Path(__file__).parent / "templates" / "__pycache__"))

    def get_source_checksum(self, source: str) -> str:
        # What a template compiles to depends on Jinja, and on the options below, too.
        return super().get_source_checksum(version("jinja2") + Path(__file__).read_text(encoding="utf-8") + source)

    def dump_bytecode(self, bucket: Bucket) -> None:
        if sys.dont_write_bytecode:
            return
        with suppress(OSError):  # installed where this user may not write: compiled anew every time
            Path(self.directory).mkdir(exist_ok=True)
            super().dump_bytecode(bucket)


@cache
def _environment() -> Environment:
    # select_autoescape() looks at the ending and would leave `x.html.j2` alone.
    environment = Environment(
        loader=PackageLoader("afstem.report"),
        bytecode_cache=_CompiledTemplates(),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_finalize,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    own = {name: _own(environment, name) for name in ("style.css", "page.js")}
    digests = {name: b64encode(sha256(text.encode()).digest()).decode() for name, text in own.items()}
    environment.globals.update(
        style=Markup(own["style.css"]),  # noqa: S704
        script=Markup(own["page.js"]),  # noqa: S704
        policy=(
            f"default-src 'none'; style-src 'sha256-{digests['style.css']}'; script-src 'sha256-{digests['page.js']}'; "
            "img-src data:; form-action 'none'; base-uri 'none'"
        ),
        outcomes=tuple(Outcome),
        changes=tuple(Change),
        rules=RULE_OF_CODE,
        plain_texts=plain_texts,
        fix_texts=fix_texts,
        whose_move=whose_move,
        whose_move_texts=whose_move_texts,
        family_of=family_of,
        spark=spark_svg,
        Why=Why,
        time=time_element,
    )
    return environment


def _own(environment: Environment, name: str) -> str:
    """The page's own style or script, as every page carries it: without what is there for whoever edits it."""
    source, _, _ = environment.loader.get_source(environment, name) if environment.loader else ("", None, None)
    return "\n".join(line.strip() for line in source.splitlines())
