"""pandera: a schema for CPR numbers and one for the values of each contact type, with checks of our own.

It says which values fail; the normalised value is not to be had from it.
"""

from collections.abc import Callable

import pandas as pd
import pandera.pandas as pa

from benchmarks.baselines.rules import EMAIL, LANDLINE, MOBILE, cpr_number, normalised
from benchmarks.baselines.verdicts import Verdicts, of_type, refused_at


def judge(frame: pd.DataFrame) -> Verdicts:
    cpr = _failing(frame, "personnummer", lambda text: cpr_number(text.strip()) is not None)
    values = [
        _failing(
            of_type(frame, code),
            "kontaktdata",
            lambda text, code=code: not text.strip() or normalised(code, text.strip()) is not None,
        )
        for code in (MOBILE, LANDLINE, EMAIL)
    ]
    return Verdicts(refused_at(len(frame), cpr), refused_at(len(frame), *values))


def _failing(frame: pd.DataFrame, column: str, accepts: Callable[[str], bool]) -> list[int]:
    schema = pa.DataFrameSchema({column: pa.Column(str, pa.Check(accepts, element_wise=True), nullable=True)})
    try:
        schema.validate(frame, lazy=True)
    except pa.errors.SchemaErrors as errors:
        return errors.failure_cases["index"].astype(int).tolist()
    return []
