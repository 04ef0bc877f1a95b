"""A whole synthetic workspace: configuration, actors, reference data and extracts, with dirt on purpose.

For trying the program, for demonstrations and for tests of load. Nothing in it is about anybody: the CPR numbers
cannot have been issued (`cpr`), the e-mail domains are reserved for examples, names of places and funds are
invented. Denmark sets no telephone numbers aside for fiction, so those are drawn blindly from wide ranges.

By default it shows everything: every format, every kind of dirt, every trouble. With a `NightPlan` it is a workload: a
usual night (`night`), as large as the country if need be.

To add a kind of dirt, add a row to the table in `dirt`; to add a kind of broken file, a row in `broken_files`.
"""

from afstem.sample.night import DEFAULT_CHANGED, NightPlan
from afstem.sample.workspace import (
    DEFAULT_TODAY,
    MAX_ACTORS,
    MAX_CITIZENS,
    MAX_DIRTY,
    MIN_ACTORS,
    MIN_CITIZENS,
    WorkspaceSummary,
    write_workspace,
)

__all__ = [
    "DEFAULT_CHANGED",
    "DEFAULT_TODAY",
    "MAX_ACTORS",
    "MAX_CITIZENS",
    "MAX_DIRTY",
    "MIN_ACTORS",
    "MIN_CITIZENS",
    "NightPlan",
    "WorkspaceSummary",
    "write_workspace",
]
