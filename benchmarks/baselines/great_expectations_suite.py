"""Great Expectations: an expectation of our own for each of the four checks.

It says which values are unexpected; the normalised value is not to be had from it.
"""

from typing import Any

import great_expectations as gx
import pandas as pd
from great_expectations.execution_engine import PandasExecutionEngine
from great_expectations.expectations.expectation import ColumnMapExpectation
from great_expectations.expectations.metrics import ColumnMapMetricProvider, column_condition_partial

from benchmarks.baselines.rules import EMAIL, LANDLINE, MOBILE, cpr_number, normalised
from benchmarks.baselines.verdicts import Verdicts, of_type, refused_at


class _CprNumbers(ColumnMapMetricProvider):
    condition_metric_name = "column_values.cpr_number"

    @column_condition_partial(engine=PandasExecutionEngine)
    def _pandas(cls, column: pd.Series, **_: Any) -> pd.Series:  # noqa: N805 - as the framework calls it
        return column.map(lambda text: cpr_number(text.strip()) is not None)


class _ContactValues(ColumnMapMetricProvider):
    condition_metric_name = "column_values.contact_value"
    condition_value_keys = ("contact_type",)

    @column_condition_partial(engine=PandasExecutionEngine)
    def _pandas(cls, column: pd.Series, contact_type: str, **_: Any) -> pd.Series:  # noqa: N805
        return column.map(lambda text: not text.strip() or normalised(contact_type, text.strip()) is not None)


class ExpectCprNumbers(ColumnMapExpectation):
    """CPR numbers by the rule of this service."""

    map_metric = "column_values.cpr_number"


class ExpectContactValues(ColumnMapExpectation):
    """Values that are acceptable for one contact type."""

    map_metric = "column_values.contact_value"
    success_keys = ("contact_type", "mostly")
    contact_type: str


def judge(frame: pd.DataFrame) -> Verdicts:
    asset = gx.get_context(mode="ephemeral").data_sources.add_pandas("night").add_dataframe_asset("records")
    definition = asset.add_batch_definition_whole_dataframe("whole")

    def unexpected(records: pd.DataFrame, expectation: ColumnMapExpectation) -> list[int]:
        batch = definition.get_batch(batch_parameters={"dataframe": records})
        result = batch.validate(
            gx.ExpectationSuite(name="checks", expectations=[expectation]), result_format="COMPLETE"
        )
        return result.results[0].result.get("unexpected_index_list") or []

    cpr = unexpected(frame, ExpectCprNumbers(column="personnummer"))
    values = [
        unexpected(of_type(frame, code), ExpectContactValues(column="kontaktdata", contact_type=code))
        for code in (MOBILE, LANDLINE, EMAIL)
    ]
    return Verdicts(refused_at(len(frame), cpr), refused_at(len(frame), *values))
