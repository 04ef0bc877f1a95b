"""`dask worker`, in which a test may have processes killed while they judge what the actor star delivered.

    AFSTEM_TEST_DEATHS=<folder> python tests/dask_worker.py tcp://127.0.0.1:8786 ...

The folder tells whom: ``dask`` (Dask's own worker), ``beside`` (the process of ours beside it), and how often. The
processes beside a worker import its main module as well, so what stands here holds in them.
"""

import os
import signal
from pathlib import Path
from typing import Any

from afstem import intake

DEATHS = Path(os.environ["AFSTEM_TEST_DEATHS"])
stage = intake._stage


def parent_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def dying(landed: Any, actor: Any, terms: Any, token_key: bytes, folder: Path, *rest: Any) -> Any:
    for whom in ("dask", "beside") if landed.actor == "star" else ():
        planned = DEATHS / whom
        died = len(list(DEATHS.glob(f"{whom}-*")))
        if planned.exists() and died < int(planned.read_text()):
            (DEATHS / f"{whom}-{died}").touch()
            (folder / "accepted.arrow").write_bytes(b"half")
            if whom == "beside":
                os.kill(os.getpid(), signal.SIGSEGV)
            # Between this process and Dask's stands the server that forked it.
            os.kill(parent_of(os.getppid()), signal.SIGKILL)
            signal.pause()
    return stage(landed, actor, terms, token_key, folder, *rest)


intake._stage = dying

if __name__ == "__main__":
    from distributed.cli.dask_worker import main

    main()
