"""Rules about dates and times."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tagal_dspy.acceptance import RowFilter
from tagal_dspy.card import make_card
from tagal_dspy.errors import RuleError
from tagal_dspy.rules import FixedIncrements, Inequality, Rules, suggest_rules
from tagal_dspy.schema import NumericalColumn, TableSchema
from tagal_dspy.synthesizer import TagalSynthesizer
from tagal_dspy.task import TableTask

N = 2000


def written(moments: Any, form: str) -> Any:
    """Moments as a column of a frame: text in a format, or a dtype."""
    moments = pd.Series(moments)
    if form == "date":
        return moments.dt.date
    return moments.dt.strftime(form) if "%" in form else moments.astype(form)


TEXTS = ("%Y-%m-%d", "%d/%m/%Y", "%m/%d/%Y", "%-m/%-d/%Y", "%Y-%m-%dT%H:%M:%SZ", "%H:%M", "%I:%M %p")
FORMS = ("datetime64[ns]", "datetime64[us]", "datetime64[ns, UTC]", "date", *TEXTS)


@given(st.integers(0, 10**6), st.sampled_from(FORMS), st.booleans())
def test_mined_order_of_moments_holds_on_real_rows_and_refuses_swapped_ones(seed: int, form: str, gaps: bool) -> None:
    rng = np.random.default_rng(seed)
    unit = "min" if form in ("%H:%M", "%I:%M %p") else "D"
    start = pd.Timestamp("2024-01-01", tz="UTC" if "UTC" in form else None)
    low = start + pd.to_timedelta(rng.integers(0, 9, N), unit=unit)
    high = low + pd.to_timedelta(rng.integers(1, 4, N), unit=unit)
    present = rng.random(N) > 0.1 * gaps
    task = TableTask(
        pd.DataFrame({"signup": written(low, form), "last_order": written(pd.Series(high).where(present), form)})
    )
    rules = suggest_rules(task)
    assert rules.rules == (Inequality(low="signup", high="last_order", strict=True),)
    assert rules.texts == ('"signup" is always earlier than "last_order".',)
    assert all(rules.holds(frame).all() for frame in (task.train, task.validation, task.test))
    swapped = [(last, first) for first, last in task.train_rows if last is not None]
    assert rules.broken(swapped) == [rules.texts[0]] * len(swapped)


def test_order_is_found_among_columns_that_hold_the_same_alone() -> None:
    rng = np.random.default_rng(0)
    count = rng.integers(0, 20_000, N)
    days = pd.Timestamp("2000-01-01") + pd.to_timedelta(count, unit="D")
    minutes = pd.Timestamp("2000-01-01") + pd.to_timedelta(count % 1000, unit="min")
    later = minutes + pd.to_timedelta(rng.integers(0, 300, N), unit="min")
    columns = {
        "epoch": np.array(days.as_unit("s").astype("int64")) - rng.integers(0, 10**7, N),
        "opens": written(minutes, "%H:%M"),
        "closes": written(later, "%H:%M"),
    }
    columns |= {"day": written(days, "%d/%m/%Y"), "when": days + pd.to_timedelta(rng.integers(0, 48, N), unit="h")}
    assert suggest_rules(TableTask(pd.DataFrame(columns))).rules == (
        Inequality(low="opens", high="closes"),
        Inequality(low="day", high="when"),
    )


@pytest.fixture(scope="module")
def dated() -> TableTask:
    day = pd.Series(pd.Timestamp("2024-01-20") + pd.to_timedelta(range(60), unit="D"))
    columns = {
        "signup": day.dt.strftime("%d/%m/%Y"),
        "first_order": (day + pd.Timedelta(hours=30)).where(day.index % 4 > 0),
        "last_order": (day + pd.Timedelta(days=9)).dt.date,
        "seen": (day + pd.Timedelta(days=9)).dt.tz_localize("Europe/Brussels"),
        "opens": day.dt.strftime("%H:%M") + ":00",
        "age": range(60),
    }
    return TableTask(pd.DataFrame(columns))


@pytest.mark.parametrize(
    ("table", "sentence"),
    [
        (
            {"kind": "inequality", "low": "signup", "high": "last_order"},
            '"signup" is never later than "last_order".',
        ),
        (
            {"kind": "range", "low": "signup", "middle": "first_order", "high": "last_order"},
            '"first_order" is always later than "signup" and earlier than "last_order".',
        ),
        (
            {"kind": "range", "low": "signup", "middle": "first_order", "high": "last_order", "strict": False},
            '"first_order" is never earlier than "signup" and never later than "last_order".',
        ),
    ],
)
def test_rule_is_told_and_a_row_that_breaks_it_is_rejected(
    dated: TableTask, table: dict[str, Any], sentence: str
) -> None:
    found = Rules.from_table([table], dated.schema)
    found.check(dated)
    assert f"- {sentence}" in make_card(dated.schema, found)
    signup, first, last = "05/02/2024", "2024-02-06 06:00", "2024-02-14"
    kept = [(signup, each, last, "2024-02-14", "00:00:00", "7") for each in (first, None)]
    late = ("15/02/2024", None, *kept[0][2:])
    fitting, rejects = RowFilter(dated, rules=found).fitting([*kept, late])
    assert (fitting, [(each.reason, each.detail) for each in rejects]) == (kept, [("constraint", sentence)])


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (("signup", "age"), "'signup' holds dates, 'age' holds numbers; order columns that hold the same"),
        (("signup", "opens"), "'signup' holds dates, 'opens' holds times of day"),
        (("signup", "seen"), "'signup' holds dates, 'seen' holds dates in Europe/Brussels"),
    ],
)
def test_columns_that_do_not_hold_the_same_have_no_order(
    dated: TableTask, names: tuple[str, str], message: str
) -> None:
    with pytest.raises(RuleError, match=message) as caught:
        Rules(dated.schema, (Inequality(low=names[0], high=names[1]),))
    assert "\n" not in str(caught.value)


def test_moment_has_no_multiple(dated: TableTask) -> None:
    with pytest.raises(RuleError, match="'signup' is not of numbers"):
        Rules(dated.schema, (FixedIncrements(column="signup", increment=2),))


def test_date_counts_as_its_midnight(dated: TableTask) -> None:
    found = Rules(dated.schema, (Inequality(low="first_order", high="last_order"),))
    cells = "2024-02-14", "2024-02-14", "00:00:00", "7"
    noon, midnight = (("05/02/2024", f"2024-02-14 {time}", *cells) for time in ("12:00", "00:00"))
    assert found.broken([noon, midnight]) == ['"first_order" is never later than "last_order".', None]


def test_constraints_of_sdv_and_dicts_are_the_same_rule_and_told(dated: TableTask) -> None:
    from sdv import cag

    frame = pd.concat([dated.train, dated.validation, dated.test])
    constraint = cag.Range("signup", "first_order", "last_order")
    table = {"kind": "range", "low": "signup", "middle": "first_order", "high": "last_order"}
    assert Rules.from_constraints([constraint], dated.schema) == Rules.from_table([table], dated.schema)
    for rules in ([constraint], [table]):
        made = TagalSynthesizer("openai/x", seed=1).fit(frame, rules=rules)
        assert '"first_order" is always later than "signup" and earlier than "last_order".' in str(made.preview(5))


def test_numbers_are_what_their_column_reads_from_text(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(NumericalColumn, "number", lambda self, text: float(text.strip("$").replace(",", "")))
    schema = TableSchema.infer(pd.DataFrame({"a": [900, 950, 8000], "b": [1000, 1100, 9000]}))
    rules = Rules(schema, (Inequality(low="a", high="b"), FixedIncrements(column="a", increment=50)))
    assert rules.broken([("$950", "$1,021"), ("$1,021", "$950"), ("$951", "$1,021")]) == [None, *rules.texts]
