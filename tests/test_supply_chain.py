"""What comes from outside never becomes code, objects or SQL; what is installed is locked, and audited out loud."""

import ast
import importlib.util
import tomllib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
SOURCES = sorted([*(ROOT / "src").rglob("*.py"), *(ROOT / "flows").rglob("*.py")])

CODE_FROM_TEXT = {"eval", "exec", "compile", "__import__"}
FROM_OUTSIDE = {"read_pickle", "unsafe_load", "full_load", "import_module", "run_path", "run_module", "popen", "system"}
STATEMENTS = {
    "set_sql_query",
    "execute",
    "executemany",
    "executescript",
    "exec_driver_sql",
    "text",
    "copy",
    "SQL",
    "scalars",
    "scalar",
}
NOT_STATEMENTS = {"pa", "pc", "np"}
"""Modules whose functions are called the same."""

EXPRESSIONS = {"select", "insert", "update", "delete"}
"""What expressions of SQLAlchemy begin with: their values are bound."""

ON_PURPOSE = {
    ("report/language.py", "excess"): "`text` of the catalogue, which knows no SQL",
    ("report/markup.py", "check_text"): "the same",
    ("report/markup.py", "why_now"): "the same",
    ("store/connection.py", "_say_that_it_writes"): "constants of this module",
    ("store/ledger.py", "last_applied"): "an expression of SQLAlchemy, put together before it is executed",
    ("store/bulk_read.py", "_read_sqlite"): "a pragma takes no parameter",
    ("store/bulk_read.py", "_read_postgresql"): "a query of `lookup`, its parameters quoted by libpq",
    ("store/bulk_read.py", "_answer"): "a query of `lookup`, its parameters bound",
    ("store/columns.py", "_execute_many"): "an insert that SQLAlchemy has compiled, with its parameters beside it",
    ("store/columns.py", "_merge"): "an insert of SQLAlchemy, which the caller has said what to do about conflicts",
    ("store/columns.py", "_copy"): "names of tables and columns of our own, quoted by psycopg",
    ("store/connection.py", "connect"): "the constants of SQLITE_PRAGMAS",
    ("store/rights.py", "_may_in"): "one of two constants of the module, its parameters bound",
    ("store/rights.py", "_execute"): "GRANT and REVOKE of constants; names of roles and the like are quoted",
    ("store/migrations/versions/0001_first_tables.py", "_make_views"): "constants of the migration",
    ("store/migrations/versions/0001_first_tables.py", "_keep_history_append_only"): "constants of the migration",
    ("store/migrations/versions/0003_recent_contacts.py", "upgrade"): "constants of the migration",
}
"""Where something else is done, and why nothing from outside is in it."""


def suspicious(tree: ast.AST) -> Iterator[tuple[str, str]]:
    """What a module does that it must not: (the function it stands in, what)."""
    for function, node in walk(tree, ast.Module([], [])):
        if isinstance(node, ast.Call):
            place = getattr(function, "name", "module")
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if isinstance(node.func, ast.Name) and name in CODE_FROM_TEXT:
                yield place, name
            if name in FROM_OUTSIDE and not is_constant(node.args[0]):
                yield place, name
            if any(word.arg in ("allow_pickle", "shell") and not is_false(word.value) for word in node.keywords):
                yield place, "allow_pickle or shell"
            is_statement = name in STATEMENTS and root(node.func) not in NOT_STATEMENTS and node.args
            if is_statement and not is_constant(node.args[0]) and not is_expression(node.args[0], function):
                yield place, "SQL"


def walk(tree: ast.AST, function: ast.AST) -> Iterator[tuple[ast.AST, ast.AST]]:
    """Every node, with the function that it stands in."""
    for node in ast.iter_child_nodes(tree):
        yield function, node
        yield from walk(node, node if isinstance(node, ast.FunctionDef) else function)


def is_false(value: ast.expr) -> bool:
    return isinstance(value, ast.Constant) and value.value is False


def is_constant(argument: ast.expr) -> bool:
    """A text as it stands, one of two, or the name of one, which is in capitals."""
    if isinstance(argument, ast.IfExp):
        return is_constant(argument.body) and is_constant(argument.orelse)
    return isinstance(argument, ast.Constant) or (isinstance(argument, ast.Name) and argument.id.isupper())


def is_expression(argument: ast.expr, function: ast.AST) -> bool:
    """An expression of SQLAlchemy, or one that begins with a name which in this function stands for one."""
    if root(argument) in EXPRESSIONS:
        return True
    if root(argument) == "text":
        return is_constant(argument.args[0])
    places = list(ast.walk(function))
    assigned = [node.value for node in places if isinstance(node, ast.Assign) and named(node, root(argument))]
    declared = [node.annotation for node in places if isinstance(node, ast.arg) and node.arg == root(argument)]
    return bool(assigned or declared) and all(
        value is not None and (root(value) in EXPRESSIONS or ast.unparse(value).startswith(("Select[", "Insert")))
        for value in assigned + declared
    )


def named(assignment: ast.Assign, name: str) -> bool:
    return any(isinstance(target, ast.Name) and target.id == name for target in assignment.targets)


def root(expression: ast.AST) -> str:
    """The name that a chain of calls and attributes begins with."""
    while isinstance(expression, (ast.Call, ast.Attribute)):
        expression = expression.func if isinstance(expression, ast.Call) else expression.value
    return expression.id if isinstance(expression, ast.Name) else ""


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_nothing_from_outside_becomes_code_objects_or_sql(path: Path) -> None:
    own = path.relative_to(ROOT / "src" / "afstem").as_posix() if "src" in path.parts else path.name
    found = set(suspicious(ast.parse(path.read_text())))
    assert {(place, what) for place, what in found if (own, place) not in ON_PURPOSE} == set()


def test_no_exception_to_the_rule_is_left_over() -> None:
    used = {
        (path.relative_to(ROOT / "src" / "afstem").as_posix(), place)
        for path in SOURCES
        if "src" in path.parts
        for place, what in suspicious(ast.parse(path.read_text()))
    }
    assert ON_PURPOSE.keys() == used


CONTROLS = [
    "def f(x): eval(x)",
    "def f(x): exec(x)",
    "def f(x): return __import__(x)",
    "def f(x): return np.load(x, allow_pickle=True)",
    "def f(x): pd.read_pickle(x)",
    "def f(x): importlib.import_module(x)",
    "def f(x): os.system(x)",
    "def f(c, x): c.execute(f'SELECT {x}')",
    "def f(c, x): c.execute('SELECT ' + x)",
    "def f(c, x): c.execute('SELECT %s' % x)",
    "def f(c, x): c.execute('SELECT {}'.format(x))",
    "def f(c, x): c.execute(text(f'SELECT {x}'))",
    "def f(c, x): c.exec_driver_sql(x)",
    "def f(c, x): c.executescript(x[0])",
    "def f(c, x): y = f'SELECT {x}'; c.execute(y)",
    "def f(c, x): y = select(a) if x else x; c.execute(y)",
    "def f(c, x): text(x)",
]


@pytest.mark.parametrize("source", CONTROLS)
def test_the_control_is_found(source: str) -> None:
    assert {place for place, _ in suspicious(ast.parse(source))} == {"f"}


def test_ruff_refuses_what_makes_objects_of_bytes() -> None:
    ruff = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["ruff"]["lint"]
    assert "S" in ruff["select"]
    assert {"pickle", "marshal", "yaml", "subprocess"} <= ruff["flake8-tidy-imports"]["banned-api"].keys()


@pytest.mark.parametrize("lock", sorted(ROOT.glob("requirements*.lock")), ids=lambda path: path.name)
def test_every_locked_package_has_hashes(lock: Path) -> None:
    packages = [entry for entry in lock.read_text().replace("\\\n", " ").splitlines() if "==" in entry]
    assert len(packages) > 50
    assert [entry for entry in packages if "--hash=sha256:" not in entry] == []


# --- the audit --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def audit() -> ModuleType:
    spec = importlib.util.spec_from_file_location("audit", ROOT / ".ci" / "audit.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def package(**told: Any) -> dict[str, Any]:
    return {"name": "left-pad", "version": "1.0", "vulns": []} | told


WEAK = package(vulns=[{"id": "CVE-2026-1", "fix_versions": ["1.1"]}])
SKIPPED = {"name": "left-pad", "skip_reason": "Dependency not found on PyPI and could not be audited"}


@pytest.mark.parametrize(
    ("packages", "outcome", "last"),
    [
        ([package(), package()], 0, "2 packages audited, 0 vulnerabilities"),
        ([package(), WEAK], 1, "2 packages audited, 1 vulnerabilities"),
        ([SKIPPED, package()], 3, f"not audited: 1 of 2 packages: {SKIPPED['skip_reason']}"),
        ([SKIPPED, WEAK], 1, f"not audited: 1 of 2 packages: {SKIPPED['skip_reason']}"),
        ([], 3, "not audited: 0 of 0 packages"),
    ],
    ids=["sound", "vulnerable", "skipped", "both", "nothing"],
)
def test_silence_is_no_yes(audit: ModuleType, packages: list[dict[str, Any]], outcome: int, last: str) -> None:
    told = audit.judge({"dependencies": packages})
    assert (told[0], told[1][-1]) == (outcome, last)


def test_an_audit_that_cannot_be_made_is_told(audit: ModuleType, tmp_path: Path) -> None:
    outcome, [line] = audit.audit(str(tmp_path / "no.lock"))
    assert outcome == audit.NOT_AUDITED
    assert line.startswith("not audited: ")
