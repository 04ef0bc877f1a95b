"""Writes docs/reference.md from the code: `make reference`. A test compares the two.

What stands there is what the program itself uses: the models that read the configuration with the docstrings of their
keys, the tables of codes and reasons, the Arrow schemas, SQLAlchemy's tables, the exceptions, click's own help.
"""

import ast
import inspect
import os
import tempfile
from collections.abc import Iterable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import click
import pyarrow as pa
import sqlalchemy as sa
from click.testing import CliRunner
from pydantic import BaseModel

from afstem import cli, errors, manifests, settings
from afstem.decode import FORMATS
from afstem.decode import REASONS as DECODE_REASONS
from afstem.intake import BREAKS_READER, TOO_COSTLY
from afstem.pull import REASONS as PULL_REASONS
from afstem.report.notices import DATASET_SCHEMA
from afstem.report.rejections import REJECTION_SCHEMA
from afstem.report.texts import known_reasons, reason_texts
from afstem.rules import NOTICES, RULES, Rule
from afstem.schema import MALFORMED_REASONS, NAMED_COLUMNS, NEEDED_COLUMNS, Outcome
from afstem.settlement import OUTCOME_SCHEMA
from afstem.store import Store, tables

PAGE = Path(__file__).parents[1] / "docs" / "reference.md"

HELP_WIDTH = 100

HEAD = """# Reference

Written from the code by `make reference`; a test holds the two together, so change the code and not this page.

[afstem.toml](#afstemtoml) · [actors.toml](#actorstoml) · [environment](#environment) · [codes](#codes) ·
[notices](#notices) · [extracts](#extracts) · [datasets](#datasets) · [tables](#tables) · [exit codes](#exit-codes) ·
[commands](#commands)
"""


def page() -> str:
    sections = (
        HEAD,
        *_configuration(),
        _codes(),
        _notices(),
        _extracts(),
        _datasets(),
        _tables(),
        _exits(),
        *_commands(),
    )
    return "\n".join(section.strip("\n") + "\n" for section in sections)


# --- configuration ----------------------------------------------------------------------------------------------------


def _configuration() -> Iterator[str]:
    yield "## afstem.toml\n\nA key may be left out. The environment goes first: `AFSTEM_STORE__URL` is `[store] url`."
    for name, field in settings._File.model_fields.items():
        model = field.annotation
        yield f"### [{name}]\n\n{_introduction(model)}{_keys(model)}"
    yield f"## actors.toml\n\n### [[actor]]\n\n{_keys(settings.Actor, leave_out={'user'})}"
    yield f"### [[actor.user]]\n\n{_plain(inspect.getdoc(settings.ActorUser))}\n\n{_keys(settings.ActorUser)}"
    yield f"The scope that delivers extracts is `{manifests.WRITE_SCOPE}`."
    yield "## environment\n\n" + _table(("variable", "meaning"), _variables())


def _variables() -> Iterator[tuple[str, ...]]:
    yield f"`{settings.ENVIRONMENT_PREFIX}<SECTION>__<KEY>`", "a key of `afstem.toml`"
    what = {
        "": "the secret itself",
        "_FILE": "the path of a file that holds it",
        "_BLOCK": "the name of a Prefect Secret block",
    }
    secrets = ", ".join(f"`{name.upper()}`" for name in settings.SECRETS)
    for ending in settings._SPELLINGS:
        name = f"`{settings.SECRET_PREFIX}<ACTOR>__<SECRET>{ending}`"
        yield name, f"for the login at an actor's source (without `<ACTOR>__`: at all of them): {what[ending]}"
    yield "`<SECRET>` above", f"one of {secrets}"
    yield f"`{settings.SIGNING_KEY}`", "the private key of `afstem sign`, where no file is named"
    yield f"`{settings.SIGNING_PASSPHRASE}`", "its passphrase"
    yield "`PREFECT_API_URL`", "the Prefect server of `bootstrap`, `serve`, `doctor` and the flows"


def _introduction(model: type[BaseModel]) -> str:
    return f"{_plain(model.__doc__)}\n\n" if model.__doc__ and model.__doc__ != settings._Strict.__doc__ else ""


def _keys(model: type[BaseModel], leave_out: Iterable[str] = ()) -> str:
    meanings = _attribute_docstrings(model)
    schema = model.model_json_schema(ref_template="{model}")
    rows = []
    for name, field in model.model_fields.items():
        if name in leave_out:
            continue
        told = schema["properties"][name]
        default = "" if field.is_required() else "none" if field.default is None else f"`{_toml(field.default)}`"
        rows.append((f"`{name}`", _kind(told, schema.get("$defs", {})), default or "needed", meanings[name]))
    return _table(("key", "type", "default", "meaning"), rows)


def _toml(value: Any) -> str:
    return f'"{value}"' if isinstance(value, str) else str(value)


def _kind(told: dict[str, Any], known: dict[str, Any]) -> str:
    """A JSON schema in words."""
    if "$ref" in told:
        told = known[told["$ref"]]
    if "anyOf" in told:
        return " or ".join(_kind(one, known) for one in told["anyOf"] if one.get("type") != "null")
    if "enum" in told:
        return ", ".join(f"`{one}`" for one in told["enum"])
    names = {"string": "text", "integer": "whole number", "number": "number", "array": "list of texts"}
    limits = {"minimum": "at least", "maximum": "at most", "exclusiveMinimum": "above", "pattern": "like"}
    said = [
        f"{word} `{told[key]}`" if key == "pattern" else f"{word} {told[key]:,g}"
        for key, word in limits.items()
        if key in told
    ]
    return ", ".join([names[told["type"]], *said])


def _attribute_docstrings(of: Any) -> dict[str, str]:
    """The texts that stand below the attributes of a class or module; a `KeyError` later tells which has none."""
    [body] = [ast.parse(inspect.getsource(of)).body]
    if inspect.isclass(of):
        body = body[0].body
    found = {}
    for one, after in pairwise(body):
        if isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant) and isinstance(after.value.value, str):
            target = one.targets[0] if isinstance(one, ast.Assign) else getattr(one, "target", None)
            if isinstance(target, ast.Name):
                found[target.id] = _plain(after.value.value)
    return found


# --- codes, notices, formats ------------------------------------------------------------------------------------------


def _codes() -> str:
    head = "## Codes\n\nIn the order in which they become a record's primary code, those of whole extracts first."
    return "\n\n".join([head, *map(_code, RULES), _unavailable()])


def _code(rule: Rule) -> str:
    of_whole = [slug for slug in _reasons(rule.code) if _is_of_whole(rule, slug)]
    of_record = [slug for slug in _reasons(rule.code) if slug not in of_whole]
    lines = [
        f"### {rule.code}: {rule.plain.en}",
        f"*{rule.official.en}* · {rule.plain.da} · whose move: {rule.whose_move}",
        rule.fix.en,
    ]
    for about, slugs in (("of a whole extract", of_whole), ("of a record", of_record)):
        if slugs:
            lines.append(_table((f"reason {about}", "meaning"), _told(rule.code, slugs)))
    if not of_whole + of_record:
        lines.append(f"Its only reason is `{rule.slug}`.")
    return "\n\n".join(lines)


OF_WHOLE = {*DECODE_REASONS, *PULL_REASONS, *manifests.REASONS_1014, BREAKS_READER, TOO_COSTLY}


def _is_of_whole(rule: Rule, slug: str) -> bool:
    """A code without a predicate is only for whole extracts; of 1014 the reasons tell, each by who raises it."""
    if rule.code != 1014:
        return rule.predicate is None
    assert (slug in OF_WHOLE) != (slug in MALFORMED_REASONS), slug
    return slug in OF_WHOLE


def _unavailable() -> str:
    head = "### Unavailable\n\nWhy an actor could not be taken in: no code, and the next run tries again."
    return f"{head}\n\n{_table(('reason', 'meaning'), _told(None, _reasons(None)))}"


def _reasons(code: int | None) -> list[str]:
    return sorted(known_reasons(code))


def _told(code: int | None, slugs: Iterable[str]) -> list[tuple[str, str]]:
    return [(f"`{slug}`", reason_texts(code, slug).en) for slug in slugs]


def _notices() -> str:
    rows = [(n.code, n.plain.en, n.fix.en, str(n.whose_move), f"{n.rows_kept:,}") for n in NOTICES]
    head = "## Notices\n\nThe record is accepted all the same. All are counted; of an extract so many are kept as rows."
    return f"{head}\n\n{_table(('notice', 'meaning', 'what to do', 'whose move', 'rows'), rows)}"


def _extracts() -> str:
    endings = ", ".join(f"`{ending}`" for ending in FORMATS)
    columns = ", ".join(
        f"`{name}`" + ("" if name in NEEDED_COLUMNS else " (may be left out)") for name in NAMED_COLUMNS
    )
    head = f"## Extracts\n\nFiles that end in {endings}, with the columns {columns}."
    return f"{head} Other columns come back in the receipt."


def _datasets() -> str:
    told = {
        "outcomes": (OUTCOME_SCHEMA, f"What became of every record: {', '.join(f'`{one}`' for one in Outcome)}."),
        "rejections": (REJECTION_SCHEMA, "Every finding, in folders `code=<code>`, an integer."),
        "notices": (DATASET_SCHEMA, "Accepted records that look wrong, in folders `code=<code>`, a text."),
    }
    head = "## Datasets\n\nParquet, in `reports/<run_id>/`."
    return "\n\n".join(
        [head, *(f"### {name}\n\n{about}\n\n{_columns(schema)}" for name, (schema, about) in told.items())]
    )


def _columns(schema: pa.Schema) -> str:
    """With what the field says of itself, where it does."""
    described = [(field.metadata or {}).get(b"description", b"").decode() for field in schema]
    rows = [(f"`{field.name}`", str(field.type), text) for field, text in zip(schema, described, strict=True)]
    if any(described):
        return _table(("column", "type", "meaning"), rows)
    return _table(("column", "type"), [row[:2] for row in rows])


# --- tables -----------------------------------------------------------------------------------------------------------


def _tables() -> str:
    texts = _attribute_docstrings(tables)
    head = (
        "## Tables\n\nOf the store; times are in UTC. Others may read `contacts`, `contact_history`, `runs` and "
        "`extracts`; the rest is the program's own, and may change with any version."
    )
    parts = [head]
    for name, columns in _views().items():
        meanings = tables.VIEWS[name]
        assert set(columns) == set(meanings), name
        rows = [(f"`{column}`", _plain(meanings[column])) for column in columns]
        parts.append(f"### {name}\n\nA view.\n\n{_table(('column', 'meaning'), rows)}")
    public = ("runs", "extracts")
    named = tables.metadata.tables
    for name in (*public, *(name for name in named if name not in public)):
        rows = [(f"`{c.name}`", _column_kind(c), _plain(c.doc or "")) for c in named[name].columns]
        parts.append(f"### {name}\n\n{texts[name]}\n\n{_table(('column', 'type', 'meaning'), rows)}")
    return "\n\n".join(parts)


def _column_kind(column: sa.Column[Any]) -> str:
    kind = "time" if isinstance(column.type, tables.UtcTime) else str(column.type).lower()
    return ", ".join([kind, *(["key"] if column.primary_key else []), *(["may be null"] if column.nullable else [])])


def _views() -> dict[str, list[str]]:
    """The views as a store has them, by name."""
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{folder}/afstem.db"
        store = Store.open(url)
        store.upgrade()
        store.close()
        engine = sa.create_engine(url, poolclass=sa.NullPool)
        found = sa.inspect(engine)
        return {name: [column["name"] for column in found.get_columns(name)] for name in sorted(found.get_view_names())}


# --- commands ---------------------------------------------------------------------------------------------------------


def _exits() -> str:
    rows = [
        (str(cli.DONE), "done"),
        (str(cli.DONE_WITH_REFUSALS), "done, but an extract was refused or held, or an actor unavailable"),
    ]
    rows += [(str(kind.exit_code), _plain(inspect.getdoc(kind))) for kind in _kinds(errors.AfstemError)]
    return f"## Exit codes\n\n{_table(('code', 'when'), sorted(rows, key=lambda row: row[0]))}"


def _kinds(kind: type[errors.AfstemError]) -> Iterator[type[errors.AfstemError]]:
    for one in kind.__subclasses__():
        if one.__module__ == errors.__name__:
            yield one
            yield from _kinds(one)


def _commands() -> Iterator[str]:
    yield "## Commands"
    yield from _help((), cli.commands)


def _help(words: tuple[str, ...], command: click.Command) -> Iterator[str]:
    told = CliRunner().invoke(
        cli.commands, [*words, "--help"], prog_name="afstem", terminal_width=HELP_WIDTH, max_content_width=HELP_WIDTH
    )
    assert told.exit_code == 0, told.output
    yield f"### afstem {' '.join(words)}".rstrip() + f"\n\n```\n{told.output.rstrip()}\n```"
    for name, one in sorted(getattr(command, "commands", {}).items()):
        yield from _help((*words, name), one)


# --- Markdown ---------------------------------------------------------------------------------------------------------


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    lines = [tuple(head), *(tuple(row) for row in rows)]
    lines.insert(1, ("---",) * len(lines[0]))
    return "\n".join(
        "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in line) + " |" for line in lines
    )


def _plain(text: str | None) -> str:
    """A docstring as Markdown, in one paragraph a paragraph."""
    paragraphs = inspect.cleandoc(text or "").replace("``", "`").split("\n\n")
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)


def main() -> None:
    os.environ.pop("COLUMNS", None)
    PAGE.write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
