from __future__ import annotations

import re
from collections import Counter
from contextlib import suppress
from decimal import Decimal
from typing import Any

import pandas as pd
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from tables import cells, fits, mixed_frame, numerical, rows, schemas

from tagal_dspy.conditions import Condition, Slot, closest_rows, real_counts
from tagal_dspy.errors import ConditionError
from tagal_dspy.schema import (
    CategoricalColumn,
    Column,
    DatetimeColumn,
    NumericalColumn,
    Row,
    SchemaOverrides,
    TableSchema,
)
from tagal_dspy.task import TableTask


@pytest.fixture(scope="module")
def task() -> TableTask:
    n = 60
    return TableTask(
        pd.DataFrame(
            {
                "age": [20 + i for i in range(n)],
                "net income": [round(i * 0.25, 2) for i in range(n)],
                "capital.gain": [None if i % 3 == 0 else i for i in range(n)],
                "job": [("cook", "smith", "Clerk", None)[i % 4] for i in range(n)],
                "grown up": [i % 2 == 0 for i in range(n)],
                "stars": [i % 2 + 1 for i in range(n)],
                "buys": [("no", "yes")[i % 2] for i in range(n)],
            }
        ),
        target="buys",
        overrides=SchemaOverrides.model_validate(
            {"columns": {"age": {"maximum": 79}, "net income": {"maximum": 14.75}}}  # whichever rows are for testing
        ),
    )


def left(task: TableTask, text: str) -> Any:
    """What a condition on one column leaves of it."""
    ((_, column),) = Condition.parse(text, task.schema).narrowed.items()
    return column.categories if isinstance(column, CategoricalColumn) else (column.minimum, column.maximum)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("age >= 30", (30, 79)),
        ("age > 30", (31, 79)),
        ("age > 30.5", (31, 79)),
        ("age < 30.5", (20, 30)),
        ("age < 30", (20, 29)),
        ("age <= 9999", (20, 79)),
        ("age >= 30 and age < 40 and age != 39 and age != 30", (31, 38)),
        ("age == 30", (30, 30)),
        ("age in [50, 30, 7, 30.5]", (30, 50)),
        ("age in [50, 30] and age not in [50]", (30, 30)),
        ("age not in [20, 21, 79]", (22, 78)),
        ("`net income` > 1", (1.01, 14.75)),
        ("`net income` < 1.005", (0, 1)),
        ("`net income` == 1.50", (1.5, 1.5)),
        ("job == 'cook'", ("cook",)),
        ("job == ' CLERK '", ("Clerk",)),
        ("job != 'cook'", ("Clerk", "smith")),
        ("job in ['cook', 'smith'] and job != 'cook'", ("smith",)),
        ("job is not missing", ("Clerk", "cook", "smith")),
        ('"grown up" == true', ("True",)),
        ("`grown up` != 'true'", ("False",)),
        ("stars == 1", ("1",)),
        ("stars == 1.0", ("1",)),
        ("stars >= 1.5", ("2",)),
        ("stars in [2]", ("2",)),
    ],
)
def test_columns_are_narrowed_to_what_can_meet_the_condition(task: TableTask, text: str, expected: Any) -> None:
    assert left(task, text) == expected


@pytest.mark.parametrize(
    ("text", "share"),
    [("job == 'cook'", 0), ("job in ['cook', missing]", 0.25), ("job != 'cook'", 0), ("job is not missing", 0)],
)
def test_missing_values_are_left_where_the_condition_takes_them(task: TableTask, text: str, share: float) -> None:
    assert Condition.parse(text, task.schema).narrowed["job"].missing_share == pytest.approx(share, abs=0.1)


def test_column_that_must_be_missing_is_not_narrowed(task: TableTask) -> None:
    condition = Condition.parse("job is missing and `capital.gain` == missing", task.schema)
    assert condition.narrowed == {}
    assert condition.holds(("20", "0.00", None, None, "True", "1", "no"))
    assert not condition.holds(("20", "0.00", "1", None, "True", "1", "no"))


def test_columns_that_are_not_named_are_not_narrowed(task: TableTask) -> None:
    assert Condition.parse("age > 30 and buys == 'yes'", task.schema).narrowed.keys() == {"age", "buys"}


def test_text_is_kept_as_written(task: TableTask) -> None:
    assert Condition.parse(" age>30  AND age<40 ", task.schema).text == " age>30  AND age<40 "


def test_missing_value_is_not_unequal(task: TableTask) -> None:
    row: Row = ("20", "0.00", None, None, "True", "1", "no")
    assert not Condition.parse("job != 'cook'", task.schema).holds(row)
    assert not Condition.parse("capital.gain not in [5]", task.schema).holds(row)
    assert Condition.parse("job in [missing, 'cook']", task.schema).holds(row)


def test_number_outside_the_range_is_judged_by_the_condition_alone(task: TableTask) -> None:
    row: Row = ("999", "0.00", None, None, "True", "1", "no")  # the published method takes such rows
    assert Condition.parse("age >= 30", task.schema).holds(row)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("income > 3", "names no column of the table: did you mean 'net income'?"),
        ("agee > 3", "did you mean 'age'?"),
        ("zzz > 3", "known are 'age', 'net income'"),
        ("age > '30'", "'age' holds numbers; write 30 without quotes"),
        ("age > 'old'", "'age' holds numbers; give a number"),
        ("age > true", "'age' holds numbers; give a number"),
        ("age > missing", "a missing value has no order"),
        ("age is missing", "'age' is never missing"),
        ("age in [30, missing]", "'age' is never missing"),
        ("age > 79", "no row can meet 'age > 79': in the real table 'age' is a whole number from 20 to 79"),
        ("age < 20", "no row can meet"),
        ("age == 30.5", "a whole number from 20 to 79"),
        ("age in [1, 2]", "no row can meet"),
        ("`net income` == 1.505", "a number with 2 decimals from 0.00 to 14.75"),
        ("age > 40 and age < 41", "no value of 'age' meets all of 'age > 40', 'age < 41': they contradict"),
        ("age == 40 and age != 40", "contradict"),
        ("age in [30, 31] and age in [32, 33]", "contradict"),
        ("job == 'cook' and job == 'smith'", "contradict"),
        ("job is missing and job == 'smith'", "contradict"),
        ("job is missing and job is not missing", "contradict"),
        ("job == 'cok'", "has no category 'cok'; did you mean 'cook'?"),
        ("job != 'king'", "has no category 'king'"),
        ("job == ''", "a missing value is written missing"),
        ("job > 'cook'", "'job' holds categories; compare with ==, != or `in`"),
        ("job not in ['cook', 'smith', 'clerk']", "is one of 3 categories, or missing"),
        ("stars > 2", "no row can meet"),
        ("stars == 3", "has no category '3'"),
        ("`grown up` == 1", "has no category '1'; known are 'False', 'True'"),
    ],
)
def test_condition_that_does_not_suit_the_table_is_refused(task: TableTask, text: str, message: str) -> None:
    with pytest.raises(ConditionError) as caught:
        Condition.parse(text, task.schema)
    assert message in str(caught.value)


def test_condition_that_no_training_row_meets_is_told(task: TableTask, caplog: pytest.LogCaptureFixture) -> None:
    Condition.parse("buys == 'yes' and stars == 2", task.schema).warn_if_unmet(task)
    assert not caplog.records
    Condition.parse("buys == 'yes' and stars == 1", task.schema).warn_if_unmet(task)
    [record] = caplog.records
    assert re.search(r"no training row meets .* meet buys == 'yes', \d+ meet stars == 1", record.getMessage())


def test_counts_of_a_condition_that_no_row_meets_are_of_the_classes_that_it_allows(task: TableTask) -> None:
    condition = Condition.parse("buys == 'yes' and stars == 1", task.schema)
    assert [str(slot) for slot, n in real_counts(task, condition).items() if n] == ["yes"]


def test_rows_closest_to_a_condition_are_those_that_meet_it_or_else_most_of_it(task: TableTask) -> None:
    def met(text: str, label: str | None = None) -> list[Row]:
        slot = Slot(label, Condition.parse(text, task.schema))
        return [task.train_rows[place] for place in closest_rows(task, slot)]

    names = task.schema.names
    stars, buys, job = (names.index(name) for name in ("stars", "buys", "job"))
    assert {(row[stars], row[buys]) for row in met("buys == 'yes' and stars == 2")} == {("2", "yes")}
    lacking = Counter((row[stars] == "1", row[job] == "smith") for row in met("stars == 1 and job == 'smith'"))
    assert set(lacking) == {(True, False), (False, True)}
    assert max(lacking.values()) <= 20
    assert {row[buys] for row in met("buys == 'yes' and stars == 1")} == {"yes"}
    assert {row[buys] for row in met("stars == 1", "yes")} == {"yes"}


@given(
    st.text() | st.sampled_from(["age", "job", "stars"]).flatmap(lambda name: st.text().map(lambda t: f"{name} {t}"))
)
def test_any_text_is_a_condition_or_our_error(task: TableTask, text: str) -> None:
    with suppress(ConditionError):
        Condition.parse(text, task.schema)


@pytest.mark.parametrize("number", ["1e999", "-1e999", "9" * 5000, "1e-999", "0." + "0" * 5000 + "1"])
@pytest.mark.parametrize("sign", ["<", ">=", "==", "!="])
@pytest.mark.parametrize("name", ["age", "stars"])
def test_monstrous_number_is_a_condition_or_our_error(task: TableTask, name: str, sign: str, number: str) -> None:
    with suppress(ConditionError):
        Condition.parse(f"{name} {sign} {number}", task.schema)


OPERATORS = ["==", "!=", "<", "<=", ">", ">=", "in", "not in"]


def literal(column: Column, cell: str | None) -> str:
    if cell is None:
        return "missing"
    return cell if isinstance(column, NumericalColumn) else "'" + cell.replace("'", "''") + "'"


@st.composite
def conditions(draw: st.DrawFn, schema: TableSchema) -> list[tuple[Column, str, list[str | None]]]:
    """Parts of a condition with values out of the columns that a condition may be about."""
    found = []
    supported = [each for each in schema.columns if isinstance(each, (NumericalColumn, CategoricalColumn))]
    assume(supported)
    for _ in range(draw(st.integers(1, 3))):
        column = draw(st.sampled_from(supported))
        ordered = isinstance(column, NumericalColumn)
        operator = draw(st.sampled_from(OPERATORS if ordered else ["==", "!=", "in", "not in"]))
        taken = cells(column).filter(lambda cell: cell is not None) if operator in "<=>=" else cells(column)
        found.append((column, operator, draw(st.lists(taken, min_size=1, max_size=3 if "in" in operator else 1))))
    return found


def text_of(parts: list[tuple[Column, str, list[str | None]]]) -> str:
    texts = []
    for column, operator, values in parts:
        right = ", ".join(literal(column, value) for value in values)
        name = "`" + column.name.replace("`", "``") + "`"
        texts.append(f"{name} {operator} {f'[{right}]' if 'in' in operator else right}")
    return " and ".join(texts)


def mask(frame: pd.DataFrame, column: Column, operator: str, values: list[str | None]) -> pd.Series[bool]:
    """What pandas makes of a comparison, missing values as in SQL."""
    held = frame[column.name]
    present = [value for value in values if value is not None]
    wanted: Any = column.restore(present).tolist()
    if operator in ("==", "in"):
        return held.isin(wanted) | (held.isna() if None in values else False)
    if operator in ("!=", "not in"):
        return ~held.isin(wanted) & held.notna()
    compared = {"<": held.lt, "<=": held.le, ">": held.gt, ">=": held.ge}[operator](wanted[0])
    return compared & held.notna()


@given(st.data())
def test_rows_that_hold_are_those_of_a_pandas_mask(data: st.DataObject) -> None:
    schema = data.draw(schemas())
    parts, table = data.draw(conditions(schema)), data.draw(rows(schema))
    try:
        condition = Condition.parse(text_of(parts), schema)
    except ConditionError:
        assume(False)
    frame = schema.to_frame(table)
    expected = pd.Series(True, index=frame.index)
    for part in parts:
        expected &= mask(frame, *part)
    assert [condition.holds(row) for row in table] == expected.tolist()


@given(st.data())
def test_narrowed_columns_hold_every_cell_that_meets_the_condition(data: st.DataObject) -> None:
    schema = data.draw(schemas())
    parts, table = data.draw(conditions(schema)), data.draw(rows(schema))
    try:
        condition = Condition.parse(text_of(parts), schema)
    except ConditionError:
        frame = schema.to_frame(table)
        assert not pd.concat([mask(frame, *part) for part in parts], axis=1).all(axis=1).any()
        return
    for row in filter(condition.holds, table):
        for name, column in condition.narrowed.items():
            assert fits(column, row[schema.names.index(name)])


@given(numerical(), st.sampled_from(["<", "<=", ">", ">="]), st.data())
def test_bounds_of_a_narrowed_number_are_tight(column: NumericalColumn, sign: str, data: st.DataObject) -> None:
    value = data.draw(st.decimals(str(column.minimum), str(column.maximum), places=column.decimals + 1))
    schema = TableSchema(n_rows=1, columns=(column,))
    try:
        condition = Condition.parse(f"x {sign} {value}", schema)
    except ConditionError:
        assume(False)
    found = condition.narrowed["x"]
    assert isinstance(found, NumericalColumn)
    step = Decimal(1).scaleb(-column.decimals)
    for bound, outside in ((found.minimum, -step), (found.maximum, step)):
        text = column.text(bound)
        assert condition.holds((text,))
        beyond = str(Decimal(text) + outside)
        assert not condition.holds((beyond,)) or not fits(column, beyond)


MIXED = TableSchema.infer(mixed_frame())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("when >= 'last May'", "'when' holds moments; write one like '2024-"),
        ("when >= 2024", "'when' holds moments"),
        ("when >= '2025-01-01'", "in the real table 'when' is a moment from 2024-"),
        ("when > '2024-05-01' and when < '2024-04-01'", "contradict each other"),
        ("born == '31/02/1980'", "'born' holds moments; write one like"),
        ("note > 'good'", "'note' holds texts; compare with =="),
        ("note == 3", "'note' holds texts; give one in quotes"),
        ("id > 3", "names no column of the table"),
    ],
)
def test_conditions_that_do_not_suit_moments_texts_and_ids_are_refused(text: str, message: str) -> None:
    with pytest.raises(ConditionError, match=message):
        Condition.parse(text, MIXED)


def test_moments_are_narrowed_to_a_range_and_compared_as_moments() -> None:
    condition = Condition.parse("when >= '2024-03-01' and when < '2024-04-01 12:00'", MIXED)
    narrowed = condition.narrowed["when"]
    assert isinstance(narrowed, DatetimeColumn)
    assert (narrowed.minimum, narrowed.maximum) == ("2024-03-01 00:00", "2024-04-01 12:00")
    assert not narrowed.nullable
    place = MIXED.names.index("when")
    row: list[str | None] = [""] * len(MIXED.names)
    met = []
    for moment in ("2024-02-29 23:59", "2024-03-01 00:00", "2024-04-01 11:59", "2024-04-01 12:00", None):
        row[place] = moment
        met.append(condition.holds(tuple(row)))
    assert met == [False, True, True, False, False]


def test_days_in_another_order_are_compared_as_days() -> None:
    narrowed = Condition.parse("born > '1980-06-01'", MIXED).narrowed["born"]
    assert isinstance(narrowed, DatetimeColumn)
    assert narrowed.minimum == "01/06/1980"


def test_moments_and_texts_that_are_named_become_a_closed_set() -> None:
    condition = Condition.parse("born in ['01/06/1980', '02/06/1980'] and note == 'good'", MIXED)
    born, note = condition.narrowed["born"], condition.narrowed["note"]
    assert isinstance(born, CategoricalColumn)
    assert born.categories == ("01/06/1980", "02/06/1980")
    assert isinstance(note, CategoricalColumn)
    assert note.categories == ("good",)
