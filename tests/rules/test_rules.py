from __future__ import annotations

import sys
from typing import Any

import pandas as pd
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from tables import rows as rows_of

from tagal_dspy.errors import RuleError, SettingsError
from tagal_dspy.rules import FixedCombinations, FixedIncrements, Inequality, OneHotEncoding, Range, Rules
from tagal_dspy.rules.kinds import MAX_COMBINATIONS, Rule
from tagal_dspy.schema import CategoricalColumn, Column, DatetimeColumn, NumericalColumn, Row, TableSchema
from tagal_dspy.settings import read_toml
from tagal_dspy.task import TableTask

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


def number(name: str, decimals: int = 0, low: float = -5, high: float = 5, dtype: str = "float64") -> Column:
    return NumericalColumn(name=name, dtype=dtype, decimals=decimals, minimum=low, maximum=high, missing_share=0.2)


def category(name: str) -> Column:
    return CategoricalColumn(name=name, dtype="object", categories=("x", "y", "z"), missing_share=0.2)


def moment(name: str, minimum: str, maximum: str, format: str, dtype: str = "object") -> Column:
    return DatetimeColumn(name=name, dtype=dtype, format=format, minimum=minimum, maximum=maximum, missing_share=0.2)


SCHEMA = TableSchema(
    name="t",
    n_rows=9,
    columns=(
        number("a", decimals=1),
        number("b"),
        number("c", dtype="Int64"),
        category("k"),
        category("m"),
        *(number(name, low=0, high=1) for name in ("o", "p", "q")),
        *(moment(name, "29/12/2023", "02/01/2024", "%d/%m/%Y") for name in ("d", "e", "f")),
        *(moment(name, "2023-12-31", "2024-01-02", "%Y-%m-%d", "datetime64[ns]") for name in ("g", "h", "i")),
        *(moment(name, "08:58", "09:02", "%H:%M") for name in ("r", "s", "t")),
    ),
)
BITS = ["o", "p", "q"]
ORDERED = ["abc", "def", "ghi", "rst"]


def several(names: list[str], least: int) -> st.SearchStrategy[tuple[str, ...]]:
    return st.lists(st.sampled_from(names), min_size=least, max_size=len(names), unique=True).map(tuple)


def ordered(least: int) -> st.SearchStrategy[tuple[str, ...]]:
    return st.sampled_from(ORDERED).flatmap(lambda names: several(list(names), least))


rules = st.one_of(
    st.builds(lambda names, strict: Inequality(low=names[0], high=names[1], strict=strict), ordered(2), st.booleans()),
    st.builds(
        lambda names, strict: Range(low=names[0], middle=names[1], high=names[2], strict=strict),
        ordered(3),
        st.booleans(),
    ),
    st.builds(lambda name, n: FixedIncrements(column=name, increment=n), st.sampled_from("abc"), st.integers(1, 4)),
    st.builds(lambda names: FixedCombinations(columns=names), several(["k", "m"], 2)),
    st.builds(lambda names: OneHotEncoding(columns=names), several(BITS, 2)),
)


@given(rules, rows_of(SCHEMA, 12), rows_of(SCHEMA, 12))
def test_rows_that_keep_a_rule_are_those_that_sdv_finds_valid(rule: Rule, real: list[Row], table: list[Row]) -> None:
    metadata, frame = SCHEMA.to_sdv(), SCHEMA.to_frame(table)
    constraint = rule.constraint()
    seen = real if isinstance(rule, FixedCombinations) else []
    constraint.fit({"t": SCHEMA.to_frame(seen)}, metadata)
    rule = rule.fitted(seen, SCHEMA)
    valid = constraint.is_valid({"t": frame}, metadata)["t"]
    kept = Rules(SCHEMA, (rule,)).holds(frame)
    assert kept.dtype == bool
    assert kept.tolist() == [bool(each) for each in valid]


@given(st.lists(rules, unique=True, max_size=5))
def test_rules_outlive_a_way_through_sdv_and_through_toml(found: list[Rule]) -> None:
    there = Rules(SCHEMA, tuple(found))
    assert Rules.from_constraints(there.to_constraints(), SCHEMA) == there
    assert Rules.from_table(tomllib.loads(there.to_toml()).get("rules", []), SCHEMA) == there
    assert Rules.from_table(there.to_table(), SCHEMA) == there


@given(st.text(min_size=1), st.text(min_size=1))
def test_any_column_name_is_written_in_toml(low: str, high: str) -> None:
    assume(low != high)
    schema = TableSchema(n_rows=1, columns=(number(low), number(high)))
    there = Rules(schema, (Inequality(low=low, high=high),))
    assert Rules.from_table(tomllib.loads(there.to_toml())["rules"], schema) == there


def toy_task(**more: Any) -> TableTask:
    n = 60
    return TableTask(
        pd.DataFrame(
            {
                "low": [i * 5 for i in range(n)],
                "middle": [i * 5 + i % 4 + 1 for i in range(n)],
                "high": [i * 5 + 7.5 for i in range(n)],
                "city": [("Ghent", "Leuven", "Mons", None)[i % 4] for i in range(n)],
                "land": [("Flanders", "Flanders", "Wallonia", "Wallonia")[i % 4] for i in range(n)],
                "red": [int(i % 2 == 0) for i in range(n)],
                "blue": [i % 2 == 1 for i in range(n)],
                **more,
            }
        )
    )


FILE = """
[[rules]]
kind = "inequality"
low = "low"
high = "high"
strict = true

[[rules]]
kind = "range"
low = "low"
middle = "middle"
high = "high"

[[rules]]
kind = "fixed-increments"
column = "low"
increment = 5

[[rules]]
kind = "fixed-combinations"
columns = ["city", "land"]

[[rules]]
kind = "one-hot-encoding"
columns = ["red", "blue"]
"""
SENTENCES = (
    '"low" is always less than "high".',
    '"middle" is always greater than "low" and less than "high".',
    '"low" is always a multiple of 5.',
    '"city", "land" stand together only in combinations that real rows have.',
    'Exactly one of "red", "blue" is 1 (or true), the others are 0 (or false).',
)


@pytest.fixture(scope="module")
def task() -> TableTask:
    return toy_task()


@pytest.fixture
def toy_rules(task: TableTask, tmp_path: Any) -> Rules:
    (tmp_path / "rules.toml").write_text(FILE)
    return Rules.from_table(read_toml(tmp_path / "rules.toml")["rules"], task.schema)


def test_every_rule_is_a_sentence(toy_rules: Rules) -> None:
    assert toy_rules.texts == SENTENCES


def test_rules_that_real_rows_keep_pass(toy_rules: Rules, task: TableTask) -> None:
    toy_rules.check(task)
    assert toy_rules.holds(task.train).all()


@pytest.mark.parametrize(
    ("row", "sentence"),
    [
        (("10", "12", "20.5", "Ghent", "Flanders", "1", "False"), None),
        (("10", "12", "20.5", None, "Wallonia", "1", "False"), None),
        (("30", "12", "20.5", "Ghent", "Flanders", "1", "False"), SENTENCES[0]),
        (("10", "10", "20.5", "Ghent", "Flanders", "1", "False"), SENTENCES[1]),
        (("11", "12", "20.5", "Ghent", "Flanders", "1", "False"), SENTENCES[2]),
        (("10", "12", "20.5", "Mons", "Flanders", "1", "False"), "city"),
        (("10", "12", "20.5", None, "Flanders", "1", "False"), "city"),
        (("10", "12", "20.5", "Ghent", "Flanders", "1", "True"), SENTENCES[4]),
        (("10", "12", "20.5", "Ghent", "Flanders", "0", "False"), SENTENCES[4]),
    ],
)
def test_first_broken_rule_is_named(toy_rules: Rules, task: TableTask, row: Row, sentence: str | None) -> None:
    (found,) = toy_rules.fitted(task).broken([row])
    assert found == sentence or (sentence == "city" and (found or "").startswith('"city", "land" stand together only'))


def test_few_combinations_are_listed_once_known(toy_rules: Rules, task: TableTask) -> None:
    assert toy_rules.fitted(task).texts[3] == (
        '"city", "land" stand together only as ("Ghent", "Flanders"), ("Leuven", "Flanders"), ("Mons", "Wallonia"), '
        '(missing, "Wallonia").'
    )


def test_many_combinations_are_not_listed() -> None:
    values = [f"v{i % (2 * MAX_COMBINATIONS)}" for i in range(60)]
    task = toy_task(one=values, two=values)
    found = Rules(task.schema, (FixedCombinations(columns=("one", "two")),)).fitted(task)
    assert found.texts == ('"one", "two" stand together only in combinations that real rows have.',)


def test_combinations_come_from_rows_that_are_not_for_testing(task: TableTask) -> None:
    names = [f"v{i}" for i in range(60)]
    lonely = toy_task(one=names, two=names)
    rule = Rules(lonely.schema, (FixedCombinations(columns=("one", "two")),)).fitted(lonely)
    assert rule.holds(lonely.train).all()
    assert rule.holds(lonely.validation).all()
    assert not rule.holds(lonely.test).any()


def test_no_rules_are_kept_by_all(task: TableTask) -> None:
    nothing = Rules()
    nothing.check(task)
    assert not nothing
    assert (nothing.texts, nothing.to_toml(), nothing.fitted(task)) == ((), "", nothing)
    assert nothing.broken(task.train_rows) == [None] * len(task.train_rows)
    assert nothing.holds(task.train).all()


def test_rows_keep_the_index_of_their_frame(toy_rules: Rules, task: TableTask) -> None:
    frame = task.train.set_axis(range(100, 100 + len(task.train)))
    assert toy_rules.holds(frame).index.equals(frame.index)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"kind": "inequality", "low": "low", "high": "hihg"}, "names no column of the table: 'hihg': did you mean"),
        ({"kind": "inequality", "low": "low", "high": "city"}, "'city' is not of numbers"),
        ({"kind": "inequality", "low": "low", "high": "low"}, "names a column twice"),
        ({"kind": "range", "low": "low", "middle": "land", "high": "city"}, "'land', 'city' are not of numbers"),
        ({"kind": "fixed-increments", "column": "city", "increment": 5}, "'city' is not of numbers"),
        ({"kind": "fixed-increments", "column": "low", "increment": 0}, "greater than or equal to 1"),
        ({"kind": "fixed-combinations", "columns": ["city"]}, "at least 2"),
        ({"kind": "fixed-combinations", "columns": ["city", "low"]}, "'low' is not categorical"),
        ({"kind": "one-hot-encoding", "columns": ["red", "low"]}, "'low' is not of 0 and 1"),
        ({"kind": "one-hot-encoding", "columns": ["red", "city"]}, "'city' is not of 0 and 1"),
        ({"kind": "equality", "low": "low", "high": "high"}, "equality"),
        ({"kind": "inequality", "low": "low"}, "Field required"),
        ({"kind": "inequality", "low": "low", "high": "high", "strickt": True}, "Extra inputs"),
        ({}, "kind"),
    ],
)
def test_rule_that_does_not_suit_the_table_is_refused(task: TableTask, table: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError) as caught:
        Rules.from_table([table], task.schema)
    assert message in str(caught.value)


def test_all_misfits_are_said_at_once(task: TableTask) -> None:
    with pytest.raises(RuleError, match=r"'x'.*; .*'y'"):
        Rules(task.schema, tuple(FixedIncrements(column=name, increment=2) for name in "xy"))


def test_rules_without_a_schema_are_refused() -> None:
    with pytest.raises(RuleError, match="need the schema"):
        Rules(rules=(FixedIncrements(column="low", increment=2),))


@pytest.mark.parametrize(
    "edges",
    [
        [("low", "high", True), ("high", "low", False)],
        [("low", "middle", False), ("middle", "high", True), ("high", "low", False)],
    ],
)
def test_rules_that_contradict_each_other_are_refused(task: TableTask, edges: list[tuple[str, str, bool]]) -> None:
    found = Rules(task.schema, tuple(Inequality(low=low, high=high, strict=strict) for low, high, strict in edges))
    with pytest.raises(RuleError, match="contradict each other: by them 'low', "):
        found.check(task)


def test_range_contradicts_an_inequality(task: TableTask) -> None:
    found = Rules(task.schema, (Range(low="low", middle="middle", high="high"), Inequality(low="high", high="low")))
    with pytest.raises(RuleError, match="contradict each other"):
        found.check(task)


def test_rules_that_demand_equality_do_not_contradict() -> None:
    task = toy_task(same=[i * 5 for i in range(60)])
    pair = Inequality(low="low", high="same"), Inequality(low="same", high="low")
    Rules(task.schema, pair).check(task)


def test_rule_that_real_rows_break_is_refused_with_their_number(task: TableTask) -> None:
    found = Rules(task.schema, (FixedIncrements(column="middle", increment=2), Inequality(low="low", high="middle")))
    known = pd.concat([task.train, task.validation])
    n_broken = int((known["middle"] % 2 != 0).sum())
    with pytest.raises(RuleError) as caught:
        found.check(task)
    assert str(caught.value).endswith(f'"middle" is always a multiple of 2. ({n_broken} of {len(known)})')


def programmed(base: str, **methods: Any) -> Any:
    from sdv import cag

    return type("Small", (getattr(cag, base),), {"__doc__": "Every low is\n    small.\n\n    More.", **methods})()


def is_small(self: Any, data: Any) -> Any:
    return data["low"] < 200


def is_small_in_table(self: Any, data: Any) -> Any:
    return {name: (frame["low"] < 200).astype("boolean") for name, frame in data.items()}


class TestProgrammed:
    @pytest.mark.parametrize(
        ("base", "is_valid"),
        [("SingleTableProgrammableConstraint", is_small), ("ProgrammableConstraint", is_small_in_table)],
    )
    def test_rule_is_enforced_and_told(self, task: TableTask, base: str, is_valid: Any) -> None:
        found = Rules.from_constraints([programmed(base, is_valid=is_valid)], task.schema).fitted(task)
        assert found.texts == ("Every low is small.",)
        assert found.holds(task.train).tolist() == (task.train["low"] < 200).tolist()
        assert found.broken([]) == []

    def test_rule_that_real_rows_break_is_refused(self, task: TableTask) -> None:
        found = Rules.from_constraints(
            [programmed("SingleTableProgrammableConstraint", is_valid=is_small)], task.schema
        )
        with pytest.raises(RuleError, match=r"Every low is small. \(\d+ of 48\)"):
            found.check(task)

    def test_rule_without_words_is_enforced_and_not_told(self, task: TableTask) -> None:
        constraint = programmed("SingleTableProgrammableConstraint", is_valid=is_small, __doc__=None)
        found = Rules.from_constraints([constraint], task.schema)
        assert found.texts == ()
        assert "the rule Small" in [*found.broken(task.train_rows)]

    def test_rule_learns_from_real_rows_without_changing_the_object_given(self, task: TableTask) -> None:
        def fit(self: Any, data: pd.DataFrame, metadata: Any) -> None:
            self.limit = data["low"].max()

        constraint = programmed(
            "SingleTableProgrammableConstraint", fit=fit, is_valid=lambda self, data: data["low"] <= self.limit
        )
        Rules.from_constraints([constraint], task.schema).check(task)
        assert not hasattr(constraint, "limit")

    def test_object_that_refuses_the_table_is_refused(self, task: TableTask) -> None:
        def validate(self: Any, metadata: Any) -> None:
            raise KeyError("weight")

        constraint = programmed("SingleTableProgrammableConstraint", validate=validate, is_valid=is_small)
        with pytest.raises(RuleError, match="Small does not suit the table: 'weight'"):
            Rules.from_constraints([constraint], task.schema).check(task)

    def test_object_must_judge_every_row(self, task: TableTask) -> None:
        constraint = programmed("SingleTableProgrammableConstraint", is_valid=lambda self, data: [True])
        with pytest.raises(RuleError, match="gave 1 answers for 48 rows"):
            Rules.from_constraints([constraint], task.schema).check(task)

    def test_other_objects_are_refused(self, task: TableTask) -> None:
        with pytest.raises(RuleError, match="str cannot be a rule"):
            Rules.from_constraints(["low < high"], task.schema)
