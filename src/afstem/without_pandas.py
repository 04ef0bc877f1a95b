"""Keep PyArrow from importing pandas, which takes a quarter of a second of every command.

At the first array it makes, PyArrow imports pandas if it can, to know a Series when it sees one. No command hands it
any, so at that moment pandas is made not to be found. A later `to_pandas` looks for it again, and finds it.
"""

import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType


class _NotFound(MetaPathFinder):
    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname == "pandas":
            raise ModuleNotFoundError(name=fullname)
        return None


def keep_pandas_out() -> None:
    """Let PyArrow ask for pandas now, in vain; nothing happens in a process that has imported pandas already."""
    if "pandas" in sys.modules:
        return
    import pyarrow as pa  # here, so that a command which needs no Arrow does not wait for it

    finder = _NotFound()
    sys.meta_path.insert(0, finder)
    try:
        pa.scalar(None)
    finally:
        sys.meta_path.remove(finder)
