"""Have PyArrow start as a command wants it: without pandas, and with the memory of the C library.

At the first array it makes, PyArrow imports pandas if it can, to know a Series when it sees one, which takes a quarter
of a second. No command hands it any, so at that moment pandas is made not to be found. A later `to_pandas` looks for it
again, and finds it.

Its own memory pool keeps what it once had. With the C library's a run of a million records is as quick, and its peak a
tenth lower. But that gives large blocks back at once, and a page that comes new from the kernel costs more than filling
it; so it is told to keep what it will soon be asked for again: a third fewer page faults, at the same peak.
"""

import contextlib
import ctypes
import os
import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
"""Options of glibc's mallopt(3)."""


class _NotFound(MetaPathFinder):
    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname == "pandas":
            raise ModuleNotFoundError(name=fullname)
        return None


def set_up_memory() -> None:
    """Have Arrow take its memory from the C library, here and in processes begun from here; before it is imported."""
    # Arrow looks at this once, when it is imported; what a user has set stays.
    os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")  # noqa: TID251 - written, not read
    with contextlib.suppress(AttributeError):  # another C library has other ways
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_M_MMAP_THRESHOLD, 32 << 20)
        mallopt(_M_TRIM_THRESHOLD, 1 << 30)


def give_back_memory() -> None:
    """Give the system what was freed and kept; to be called before a long time in which it is not needed."""
    with contextlib.suppress(AttributeError):  # another C library has other ways
        ctypes.CDLL(None).malloc_trim(0)


def set_up_arrow() -> None:
    """Import PyArrow so; to be called before anything else imports it."""
    set_up_memory()
    import pyarrow as pa  # here, so that a command which needs no Arrow does not wait for it

    if "pandas" in sys.modules:
        return
    finder = _NotFound()
    sys.meta_path.insert(0, finder)
    try:
        pa.scalar(None)
    finally:
        sys.meta_path.remove(finder)
