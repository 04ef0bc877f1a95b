"""The flow that loads reference data: `afstem reference load` under Prefect's eyes.

Nothing but paths and counts passes through Prefect.
"""

from prefect import flow, get_run_logger
from prefect.artifacts import create_table_artifact

from afstem import clock, pipeline
from afstem.discretion import be_discreet
from afstem.errors import told_without_content
from afstem.orchestration.form import ConfigPath, FolderPath, as_path
from afstem.orchestration.store_limit import one_at_a_time


def _name_by_date() -> str:
    return f"load reference data, {clock.now():%Y-%m-%d %H:%M:%S}Z"


@flow(name="reference-load", flow_run_name=_name_by_date, persist_result=False)
def load_reference_data(config: ConfigPath = "afstem.toml", folder: FolderPath = "reference") -> dict[str, int]:
    """Replace reference data by the files of a folder, all of them or none.

    Args:
        config: The configuration file (afstem.toml) as the worker sees it.
        folder: The folder with citizens, relations, subscriptions, contacts (.csv or .parquet). A relative one starts
            at the configuration's own folder. A file that is not there leaves its table as it is.
    """
    log = get_run_logger()
    with told_without_content():
        be_discreet()
        with one_at_a_time():
            chosen = as_path("config", config)
            loaded = pipeline.load_reference(chosen, chosen.parent / as_path("folder", folder))
    log.info("%s", ", ".join(f"{name}: {count:,} loaded" for name, count in loaded.items()))
    create_table_artifact([{"table": name, "rows": count} for name, count in loaded.items()], "reference-load")
    return loaded
