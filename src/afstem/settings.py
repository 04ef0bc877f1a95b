"""The only reader of configuration files and of the environment (SPEC 2.1, 2.2).

Every fault is one line that names file and key. Secrets do not stand in these files: the store's password comes
from the environment (``AFSTEM_STORE__URL``, or libpq's own ``PGPASSWORD`` and ``~/.pgpass``).
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import as_file, files
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from afstem.errors import UsageError
from afstem.schema import ActorType
from afstem.toml_file import read_toml

ENVIRONMENT_PREFIX = "AFSTEM_"


Model = TypeVar("Model", bound=BaseModel)


class _Strict(BaseModel):
    """No unknown keys, no silent conversion, no change after reading."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


Share = Annotated[float, Field(ge=0, le=1)]


class StoreSettings(_Strict):
    url: str = "sqlite:///var/afstem.db"


class PathSettings(_Strict):
    actors: str = "actors.toml"
    landing: str = "var/landing"
    reports: str = "reports"
    codelist: str | None = None
    permissions: str | None = None


class RunSettings(_Strict):
    timezone: str = "Europe/Copenhagen"


class HoldSettings(_Strict):
    min_records: Annotated[int, Field(ge=0)] = 100
    removal_share: Share = 0.10
    rejected_share: Share = 0.50
    volume_drop: Share = 0.50


class ReportSettings(_Strict):
    deadline: Annotated[str, Field(pattern=r"^([01]\d|2[0-3]):[0-5]\d$")] | None = None
    """By when the report must be there, in ``run.timezone``."""
    url: Annotated[str, Field(pattern=r"^https?://[^@]+$")] | None = None
    """Where a web server shows the folder ``paths.reports``, for links to the report."""


class _File(_Strict):
    store: StoreSettings = StoreSettings()
    paths: PathSettings = PathSettings()
    run: RunSettings = RunSettings()
    hold: HoldSettings = HoldSettings()
    report: ReportSettings = ReportSettings()


@dataclass(frozen=True)
class Settings:
    """``afstem.toml`` with the environment laid over it; every path is absolute."""

    config: Path
    store_url: str
    actors: Path
    landing: Path
    reports: Path
    codelist: Path
    permissions: Path
    timezone: str
    hold: HoldSettings
    deadline: str | None
    report_url: str | None

    @property
    def zone(self) -> ZoneInfo:
        return ZoneInfo(self.timezone)


class ActorUser(_Strict):
    """One who may sign manifests for an actor (SPEC 2.4)."""

    name: str
    public_key: str
    scopes: list[str] = []


class Actor(_Strict):
    """One ``[[actor]]`` of ``actors.toml``; ``source`` is absolute, or a URL."""

    id: Annotated[str, Field(pattern=r"^[a-z0-9-]{1,40}$")]
    name: Annotated[str, Field(min_length=1)]
    type: Annotated[ActorType, Field(strict=False)]
    source: Annotated[str, Field(min_length=1)]
    encoding: Literal["utf-8", "windows-1252", "iso-8859-1"] = "utf-8"
    login: Literal["source", "manifest"] = "source"
    priority: int = 100
    user: list[ActorUser] = []


class _ActorsFile(_Strict):
    actor: list[Actor] = []


def load_settings(config: Path, environment: Mapping[str, str] | None = None) -> Settings:
    """Read ``afstem.toml``; relative paths in it start at its own folder.

    ``environment`` is the process's own unless given. Raises `UsageError` for a missing file, an unknown key or a
    wrong type.
    """
    content = read_toml(config)
    _lay_over(content, os.environ if environment is None else environment)
    file = _validated(_File, content, config)
    folder = config.resolve().parent
    try:
        ZoneInfo(file.run.timezone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise UsageError(f"{config}: run.timezone: no such time zone") from None
    return Settings(
        config=config.resolve(),
        store_url=_absolute_store_url(file.store.url, folder),
        actors=(folder / file.paths.actors).resolve(),
        landing=(folder / file.paths.landing).resolve(),
        reports=(folder / file.paths.reports).resolve(),
        codelist=_chosen_or_shipped(file.paths.codelist, folder, "kontaktdatatype.toml"),
        permissions=_chosen_or_shipped(file.paths.permissions, folder, "permissions.toml"),
        timezone=file.run.timezone,
        hold=file.hold,
        deadline=file.report.deadline,
        report_url=file.report.url,
    )


def load_actors(settings: Settings) -> dict[str, Actor]:
    """The actors by id, in the order of their ids; raises `UsageError` naming file, actor and key."""
    content = read_toml(settings.actors)
    actors: dict[str, Actor] = {}
    for actor in _validated(_ActorsFile, content, settings.actors).actor:
        if actor.id in actors:
            raise UsageError(f"{settings.actors}: actor.id: {actor.id!r} stands twice")
        if actor.login == "manifest":
            raise UsageError(f'{settings.actors}: {actor.id}.login: manifests are not supported yet; use "source"')
        actors[actor.id] = actor.model_copy(update={"source": _absolute_source(actor, settings)})
    return dict(sorted(actors.items()))


def _validated(model: type[Model], content: dict[str, Any], path: Path) -> Model:
    try:
        return model.model_validate(content)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        key = ".".join(str(part + 1) if isinstance(part, int) else part for part in first["loc"])
        what = "unknown key" if first["type"] == "extra_forbidden" else first["msg"]
        raise UsageError(f"{path}: {key}: {what}") from None


def _lay_over(content: dict[str, Any], environment: Mapping[str, str]) -> None:
    """Override keys in place: ``AFSTEM_STORE__URL`` is ``[store] url``. Variables without ``__`` are not keys."""
    for variable, text in sorted(environment.items()):
        section_name, separator, key = variable.removeprefix(ENVIRONMENT_PREFIX).lower().partition("__")
        if not variable.startswith(ENVIRONMENT_PREFIX) or not separator:
            continue
        section = _File.model_fields.get(section_name)
        field = section.annotation.model_fields.get(key) if section and section.annotation else None
        if field is None:
            raise UsageError(f"environment: {variable}: unknown key {section_name}.{key}")
        try:
            kind: Any = Annotated[field.annotation, field]
            value = TypeAdapter(kind).validate_strings(text)
        except ValidationError as error:
            what = error.errors(include_input=False, include_url=False)[0]["msg"]
            raise UsageError(f"environment: {variable}: {section_name}.{key}: {what}") from None
        if not isinstance(content.setdefault(section_name, {}), dict):
            raise UsageError(f"environment: {variable}: {section_name} is no table in the file")
        content[section_name][key] = value


def _absolute_store_url(url: str, folder: Path) -> str:
    prefix = "sqlite:///"
    if url.startswith(prefix):
        return prefix + str((folder / url.removeprefix(prefix)).resolve())
    return url


def _absolute_source(actor: Actor, settings: Settings) -> str:
    if "://" not in actor.source:
        return str(settings.config.parent / actor.source)
    if actor.source.startswith("file://"):
        return actor.source
    raise UsageError(f"{settings.actors}: {actor.id}.source: only folders on disk are supported yet")


def _chosen_or_shipped(chosen: str | None, folder: Path, name: str) -> Path:
    return shipped(name) if chosen is None else folder / chosen


def shipped(name: str) -> Path:
    """The path of a data file that comes with afstem."""
    with as_file(files("afstem") / "data" / name) as path:
        return path
