"""The types of the parameters that people type into Prefect's form.

Prefect keeps what is typed for ever. So the form, and the server before it makes a run, take nothing that could be a
CPR number, a phone number or an address; and the flow asks again, for whoever switched the form's own check off.
"""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

from pydantic import WithJsonSchema

from afstem.errors import UsageError

ACTOR = r"^(?=.*[a-z])[a-z0-9-]{1,40}$"
EXTRACT = r"^(?:(?=.*[a-z])[a-z0-9-]{1,40}-[0-9a-f]{12}|(?=[0-9]*[a-f])[0-9a-f]{8,64})$"
"""An extract id, or eight or more characters of the SHA-256 with a letter among them: ten digits are a CPR number."""
DATE = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$"
CONFIG = r"^(?!.*[0-9]{6}-?[0-9]{4})[^@]*[.]toml$"
FOLDER = r"^(?!.*[0-9]{6}-?[0-9]{4})[^@]+$"

ActorId = Annotated[str, WithJsonSchema({"type": "string", "pattern": ACTOR})]
ExtractId = Annotated[str, WithJsonSchema({"type": "string", "pattern": EXTRACT})]
ConfigPath = Annotated[str, WithJsonSchema({"type": "string", "pattern": CONFIG})]
FolderPath = Annotated[str, WithJsonSchema({"type": "string", "pattern": FOLDER})]

_PATTERNS = {"actors": ACTOR, "release": EXTRACT, "config": CONFIG, "folder": FOLDER}


def as_ids(parameter: str, typed: Iterable[str] | None) -> tuple[str, ...]:
    """What was typed as ids; `UsageError`, which does not repeat it, where it is something else."""
    ids = tuple(typed or ())
    if not all(re.match(_PATTERNS[parameter], one) for one in ids):
        raise UsageError(f"{parameter}: something there is no id; what you typed is kept by Prefect, see to it")
    return ids


def as_path(parameter: str, typed: str) -> Path:
    """What was typed as a path; `UsageError`, which does not repeat it, where it is something else."""
    if not re.match(_PATTERNS[parameter], typed):
        raise UsageError(f"{parameter}: that is no path of a configuration or a folder")
    return Path(typed)


def made_plain(fields: dict[str, dict[str, Any]], actors: Iterable[str]) -> dict[str, dict[str, Any]]:
    """The fields of a form as people want them: one kind of input each, and a choice of actors instead of free text.

    Of an optional field Prefect's form else shows a switch between its kind and "None".
    """
    plain = {}
    for name, field in fields.items():
        kinds = [kind for kind in field.get("anyOf", ()) if kind != {"type": "null"}]
        if len(kinds) == 1:
            field = {key: value for key, value in field.items() if key not in ("anyOf", "default")} | kinds[0]
        if field.get("format") == "date":
            field = field | {"pattern": DATE}  # the server looks at patterns, not at formats
        plain[name] = field
    if "actors" in plain:
        plain["actors"]["items"] = {"type": "string", "enum": sorted(actors)}
    return plain
