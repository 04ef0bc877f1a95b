"""Who may do what in a PostgreSQL store: roles beside its owner, each with no more than its work needs.

The owner makes and upgrades the tables (`afstem store init`, `afstem store upgrade`), and nobody else can. What was
granted is remembered by role, so that an upgrade grants it anew for the tables it makes. SQLite knows no roles: who may
read the file may do everything.
"""

import json
from collections.abc import Mapping
from typing import Literal, get_args

from sqlalchemy import Connection, delete, insert, select, text
from sqlalchemy.exc import ProgrammingError

from afstem.errors import UsageError
from afstem.store.tables import settings_kept

Role = Literal["run", "load", "analyst"]
"""The role of `afstem run` and what belongs to it; that of `afstem reference load`; those who only read."""

Roles = Mapping[Role, tuple[str, ...]]
"""The names of the roles of each kind. Where none loads, those that run load as well."""

ROLES: tuple[Role, ...] = get_args(Role)

GRANTED: Mapping[Role, Mapping[str, str]] = {
    "run": {
        "alembic_version": "SELECT",
        "reference_columns": "SELECT",
        "runs": "SELECT, INSERT, UPDATE (report_published, manifest_sha256)",
        "forgotten_runs": "SELECT, INSERT",
        "extracts": "SELECT, INSERT",
        "contact_sources": "SELECT, INSERT",
        "contact_rows": "SELECT, INSERT, UPDATE, DELETE",
        "recent_contact_rows": "SELECT, INSERT, UPDATE, DELETE",
        "confirmations": "SELECT, INSERT, DELETE",
        "history_rows": "INSERT",
        "contact_history": "SELECT (actor, contact_type, run_id, before, after)",
        "finding_memory": "SELECT, INSERT, DELETE",
        "settings_kept": "SELECT, INSERT, DELETE",
    },
    "load": {
        "alembic_version": "SELECT",
        "reference_columns": "SELECT (name), INSERT, DELETE",
        "extracts": "SELECT (extract_no)",
        "contact_sources": "SELECT, INSERT, DELETE",
        "contact_rows": "SELECT, INSERT, UPDATE, DELETE",
        "recent_contact_rows": "SELECT, DELETE",
        "confirmations": "SELECT, DELETE",
        "settings_kept": "SELECT, INSERT, DELETE",
    },
    "analyst": {"contacts": "SELECT", "contact_history": "SELECT", "runs": "SELECT", "extracts": "SELECT"},
}
"""By kind of role, what it may do with which table or view (those of the analysts: SPEC 5.2)."""

WRITERS: tuple[Role, ...] = ("run", "load")

_KEPT = "roles"
"""``settings_kept`` remembers the roles under this name."""

_IS_OWNER = text(
    "SELECT pg_has_role(CAST(:role AS name), relowner, 'MEMBER') FROM pg_class WHERE oid = to_regclass(:relation)"
)
_MAY_CREATE = text("SELECT has_schema_privilege(CAST(:role AS name), current_schema(), 'CREATE')")
_WHO = text("SELECT current_user")


def may_upgrade(connection: Connection) -> bool:
    """Whether the connection's role may make the tables, or change those that are there."""
    if connection.dialect.name != "postgresql":
        return True
    role = connection.execute(_WHO).scalar_one()
    is_owner = connection.execute(_IS_OWNER, {"role": role, "relation": "alembic_version"}).scalar_one_or_none()
    if is_owner is None:
        return bool(connection.execute(_MAY_CREATE, {"role": role}).scalar_one_or_none())
    return bool(is_owner)


def remembered(connection: Connection) -> dict[Role, tuple[str, ...]]:
    """The roles that were granted their rights last."""
    kept = select(settings_kept.c.value).where(settings_kept.c.name == _KEPT)
    content = json.loads(connection.execute(kept).scalar_one_or_none() or "{}")
    return {role: tuple(content.get(role, ())) for role in ROLES}


def grant(connection: Connection, asked: Roles) -> dict[Role, tuple[str, ...]]:
    """Give these roles exactly what `GRANTED` says; of a kind that is not named, the roles stay those they are.

    In the caller's transaction, by the store's owner. A role that was of a kind and is named no more loses its rights;
    one that was dropped is forgotten.
    Raises `UsageError` for a role that is not there, that no right would limit, or that lacks what only the owner of
    the database can grant; the message says what to do.
    """
    if connection.dialect.name != "postgresql":
        if any(asked.values()):
            raise UsageError("an SQLite store knows no roles: let only the user that runs afstem read its file")
        return {}
    before: dict[Role, tuple[str, ...]] = {
        role: tuple(name for name in names if _exists(connection, name))
        for role, names in remembered(connection).items()
    }
    roles: dict[Role, tuple[str, ...]] = {role: tuple(asked.get(role) or before[role]) for role in ROLES}
    chosen = {role: roles[role] for role in ROLES} | {"load": roles["load"] or roles["run"]}
    names = {name for named in roles.values() for name in named}
    for name in sorted(names):
        _check_limits(connection, name)
    _revoke_all(connection, names.union(*before.values()))
    for role, rights in GRANTED.items():
        for name in chosen[role]:
            for relation, privileges in rights.items():
                _execute(connection, f"GRANT {privileges} ON {relation} TO {_quoted(connection, name)}")
    for name in chosen["run"]:
        # Numbers of the history; nothing can be read of a sequence by USAGE but its next one.
        _execute(connection, f"GRANT USAGE ON SEQUENCE {_history_numbers(connection)} TO {_quoted(connection, name)}")
    _reach(connection, names, {name for role in WRITERS for name in chosen[role]})
    connection.execute(delete(settings_kept).where(settings_kept.c.name == _KEPT))
    connection.execute(insert(settings_kept).values(name=_KEPT, value=json.dumps(roles)))
    return roles


def lacking(connection: Connection, role: Role) -> list[str]:
    """What the connection's role may not do, of what a role of this kind does: "INSERT on runs" and the like."""
    return [
        f"{privilege} on {relation}"
        for relation, privileges in GRANTED[role].items()
        for privilege in privileges.split(", ")
        if privilege.isupper() and not connection.execute(_MAY, {"relation": relation, "may": privilege}).scalar_one()
    ]


def excess(connection: Connection) -> list[str]:
    """What the connection's role may do and no run needs: it is no role for production."""
    role = connection.execute(_WHO).scalar_one()
    said = []
    if connection.execute(_IS_OWNER, {"role": role, "relation": "alembic_version"}).scalar_one_or_none():
        said.append("owns the tables")
    if connection.execute(_MAY_CREATE, {"role": role}).scalar_one_or_none():
        said.append("may make tables")
    return said


_MAY = text("SELECT coalesce(has_table_privilege(to_regclass(:relation), :may), false)")


def _check_limits(connection: Connection, name: str) -> None:
    if not _exists(connection, name):
        raise UsageError(f"there is no role {name}: make it first (CREATE ROLE {name} LOGIN)")
    if connection.execute(_IS_OWNER, {"role": name, "relation": "alembic_version"}).scalar_one():
        raise UsageError(f"{name} owns the store, or is a superuser: no right would limit it; name another role")


def _exists(connection: Connection, name: str) -> bool:
    return bool(connection.execute(_ROLES_NAMED, {"role": name}).scalar_one())


_ROLES_NAMED = text("SELECT count(*) FROM pg_roles WHERE rolname = :role")


def _revoke_all(connection: Connection, names: set[str]) -> None:
    """Take back what these roles, and everybody, may do with what is the store's."""
    relations = ", ".join(sorted({relation for rights in GRANTED.values() for relation in rights}))
    sequence = _history_numbers(connection)
    for grantee in ("PUBLIC", *(_quoted(connection, name) for name in sorted(names))):
        _execute(connection, f"REVOKE ALL ON {relations} FROM {grantee}")
        _execute(connection, f"REVOKE ALL ON SEQUENCE {sequence} FROM {grantee}")


def _reach(connection: Connection, names: set[str], writers: set[str]) -> None:
    """See that roles reach the tables, and that those who write may make temporary ones and no others."""
    database, schema = connection.execute(text("SELECT current_database(), current_schema()")).one()
    place = {
        "database": _quoted(connection, database),
        "schema": _quoted(connection, schema),
    }
    for name in sorted(names):
        needed = [("schema", "USAGE"), ("database", "CONNECT")]
        if name in writers:
            needed.append(("database", "TEMPORARY"))
        for kind, privilege in needed:
            if _may_in(connection, name, kind, privilege):
                continue
            statement = f"GRANT {privilege} ON {kind.upper()} {place[kind]} TO {_quoted(connection, name)}"
            try:
                with connection.begin_nested():
                    _execute(connection, statement)
            except ProgrammingError:
                pass  # told below, as where the server only warns
            if not _may_in(connection, name, kind, privilege):
                raise UsageError(f"{name} lacks a right that only the owner of the database can grant: {statement}")
        if connection.execute(_MAY_CREATE, {"role": name}).scalar_one():
            raise UsageError(
                f"{name} may make tables in the store's schema: have its owner REVOKE CREATE ON SCHEMA "
                f"{place['schema']} FROM PUBLIC, and from {name}"
            )


_MAY_IN = {
    "schema": text("SELECT has_schema_privilege(CAST(:role AS name), current_schema(), :may)"),
    "database": text("SELECT has_database_privilege(CAST(:role AS name), current_database(), :may)"),
}


def _may_in(connection: Connection, name: str, kind: str, privilege: str) -> bool:
    return bool(connection.execute(_MAY_IN[kind], {"role": name, "may": privilege}).scalar_one())


def _history_numbers(connection: Connection) -> str:
    """The sequence of ``history_rows``, quoted by PostgreSQL."""
    sequence: str = connection.execute(text("SELECT pg_get_serial_sequence('history_rows', 'history_no')")).scalar_one()
    return sequence


def _quoted(connection: Connection, name: str) -> str:
    return connection.dialect.identifier_preparer.quote_identifier(name)


def _execute(connection: Connection, statement: str) -> None:
    """A statement that takes names where SQL takes no parameter: constants of this module, or quoted."""
    connection.exec_driver_sql(statement.replace("%", "%%"))
