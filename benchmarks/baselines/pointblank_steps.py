"""Pointblank over Polars: the same four checks as steps of one plan per table.

It says which rows fail (500 of them, unless told otherwise); the normalised value is not to be had from it.
"""

from collections.abc import Callable

import pandas as pd
import pointblank as pb
import polars as pl

from benchmarks.baselines.rules import EMAIL, LANDLINE, MOBILE, cpr_number, normalised
from benchmarks.baselines.verdicts import Verdicts, refused_at


def judge(frame: pd.DataFrame) -> Verdicts:
    records = pl.from_pandas(frame).with_row_index("place")
    cpr = _failing(records, "personnummer", lambda text: cpr_number(text.strip()) is not None)
    values = [
        _failing(
            records.filter(pl.col("kontaktdatatype").str.strip_chars() == code),
            "kontaktdata",
            lambda text, code=code: not text.strip() or normalised(code, text.strip()) is not None,
        )
        for code in (MOBILE, LANDLINE, EMAIL)
    ]
    return Verdicts(refused_at(len(frame), cpr), refused_at(len(frame), *values))


def _failing(records: pl.DataFrame, column: str, accepts: Callable[[str], bool]) -> list[int]:
    checked = pl.col(column).map_elements(accepts, return_dtype=pl.Boolean).fill_null(True)
    plan = pb.Validate(records).col_vals_expr(expr=checked)
    failing = plan.interrogate(extract_limit=len(records)).get_data_extracts(i=1, frame=True)
    return [] if failing is None else failing["place"].to_list()
