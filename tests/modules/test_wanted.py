"""Exactly the rows that are wanted: conditions, counts per class, rules."""

from __future__ import annotations

import random
from typing import Any

import pandas as pd
import pytest
from scripts import shop_frame, shop_rows

from tagal_dspy.errors import DataError, NotEnoughRowsError, TagalError
from tagal_dspy.measures.curation import LabelCurator
from tagal_dspy.synthesizer import TagalSynthesizer
from tagal_dspy.task import TableTask
from tagal_dspy.testing import Answer, Asked, scripted_lm


def synthesizer(rules: list[dict[str, Any]] | None = None, **settings: Any) -> tuple[TagalSynthesizer, Any]:
    def answer(asked: Asked) -> Answer:
        return {"rows": shop_rows(20, random.Random(repr(asked.turns) + str(len(lm.engine.asked))))}

    lm = scripted_lm(answer, takes_grammar=True, cache=False)
    made = TagalSynthesizer(lm, **{"n_shots": 3, "n_iter": 1, "critic": "none", "rounds_ahead": 2, **settings})
    return made.fit(shop_frame(), "buys", rules=rules), lm.engine


def test_every_row_meets_the_condition_and_there_are_exactly_as_many() -> None:
    made, _ = synthesizer()
    table = made.sample(25, where="age >= 40 and city != 'Mons'")
    assert len(table) == 25
    assert (table["age"] >= 40).all()
    assert not (table["city"] == "Mons").any()


def test_condition_chooses_few_shots_narrows_the_grammar_and_is_told() -> None:
    made, engine = synthesizer()
    made.sample(5, where="city == 'Ghent'")
    first = engine.asked[0]
    assert "every row meets: city == 'Ghent'" in first.last
    assert 'cell-2 ::= "Ghent"\n' in first.extra["grammar"]
    examples = first.last.split("[[ ## examples ## ]]")[1]
    assert "Leuven" not in examples
    assert "Mons" not in examples


def test_rows_per_class_are_exact() -> None:
    made, _ = synthesizer()
    assert made.sample(rows_per={"yes": 7, "no": 3})["buys"].value_counts().to_dict() == {"yes": 7, "no": 3}


def test_class_that_is_not_named_gets_no_rows() -> None:
    made, _ = synthesizer()
    assert set(made.sample(rows_per={"yes": 6})["buys"]) == {"yes"}


def test_rows_per_condition_are_exact_and_drawn_under_it() -> None:
    made, engine = synthesizer()
    table = made.sample(rows_per={"age >= 60": 4, "age < 30 and city == 'Ghent'": 3}, where="buys == 'no'")
    assert len(table) == 7
    assert set(table["buys"]) == {"no"}
    assert sum(table["age"] >= 60) == 4
    assert sum((table["age"] < 30) & (table["city"] == "Ghent")) == 3
    assert any("every row meets: buys == 'no' and age >= 60" in asked.last for asked in engine.asked)


def test_partial_rows_are_completed_in_their_order() -> None:
    made, engine = synthesizer()
    partial = pd.DataFrame({"city": ["Ghent", None, "Mons", "Ghent"], "buys": ["no", "yes", None, "no"]})
    table = made.sample_remaining(partial)
    assert isinstance(table, pd.DataFrame)
    assert list(table.columns) == list(shop_frame().columns)
    assert (partial.isna() | (table[["city", "buys"]] == partial)).all(axis=None)
    assert not table.duplicated().any()
    assert any('cell-2 ::= "Ghent"\ncell-3 ::= "no"\n' in asked.extra["grammar"] for asked in engine.asked)


def test_partial_row_without_any_cell_does_not_keep_others_from_being_asked_for() -> None:
    def answer(asked: Asked) -> Answer:
        grammar = asked.extra["grammar"]
        city = "Mons" if 'cell-2 ::= "Mons"\n' in grammar else "Ghent"
        return {"rows": f"{random.Random(str(len(lm.engine.asked))).randint(20, 70)},30.0,{city},no"}

    lm = scripted_lm(answer, takes_grammar=True, cache=False)
    made = TagalSynthesizer(lm, n_shots=3, n_iter=1, critic="none", rounds_ahead=1).fit(shop_frame(), "buys")
    table = made.sample_remaining(pd.DataFrame({"city": [None, "Mons", None]}))
    assert isinstance(table, pd.DataFrame)
    assert (len(table), table["city"][1]) == (3, "Mons")


def test_curated_run_shows_no_implausible_rows_and_neither_does_its_preview() -> None:
    made, engine = synthesizer(curation="labels", draws="by-class", n_shots=10, rows_per_draw=2)
    task = made.task_
    implausible = {
        ",".join(map(str, row))
        for row, is_plausible in zip(task.train_rows, LabelCurator(task).plausible, strict=True)
        if not is_plausible
    }
    preview = "\n".join(prompt[-1]["content"] for prompt in made.preview(5))
    made.sample(30)
    sent = "\n".join(asked.last for asked in engine.asked)
    assert implausible
    assert not implausible & {*preview.splitlines(), *sent.splitlines()}


def test_curator_is_fitted_once_and_not_by_the_rounds_that_are_under_way(monkeypatch: pytest.MonkeyPatch) -> None:
    fitted: list[TableTask] = []

    def fit(task: TableTask) -> LabelCurator:
        fitted.append(task)
        return LabelCurator(task)

    made, _ = synthesizer(curation="labels", rounds_ahead=16, rows_per_draw=2)
    monkeypatch.setattr("tagal_dspy.modules.run.LabelCurator", fit)
    made.sample(30)
    assert fitted == [made.task_]


def test_nothing_is_fitted_to_show_a_prompt_of_a_table_that_is_too_large_to_judge(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made, _ = synthesizer(curation="labels")
    monkeypatch.setattr("tagal_dspy.modules.run.MAX_ROWS", 50)
    monkeypatch.setattr("tagal_dspy.modules.run.LabelCurator", None)
    assert made.preview(5)


@pytest.mark.parametrize(
    ("partial", "message"),
    [
        ({"town": ["Ghent"]}, "'town' is not a column to write"),
        ({"city": ["Rome", "Ghent"], "age": [30, 900]}, "row 1: 'city' has no category 'Rome'; row 2: 'age'"),
        ({"city": []}, "there are no partial rows"),
    ],
)
def test_partial_rows_that_do_not_fit_are_refused_before_the_first_call(
    partial: dict[str, list[Any]], message: str
) -> None:
    made, engine = synthesizer()
    with pytest.raises(DataError, match=message):
        made.sample_remaining(pd.DataFrame(partial))
    assert not engine.asked


def test_partial_row_that_is_never_completed_ends_with_what_there_is() -> None:
    made, _ = synthesizer()
    with pytest.raises(NotEnoughRowsError, match="missing: 1 of age == '19' and") as caught:
        made.sample_remaining(
            pd.DataFrame({"age": [None, 19], "city": ["Ghent", "Mons"], "buys": ["no", "yes"], "income": [None, 11.1]})
        )
    assert len(caught.value.prediction.table) == 1


def test_rows_of_an_expert_are_shown_first_and_never_given_back() -> None:
    made, engine = synthesizer()
    written = pd.DataFrame({"age": [33], "income": [22.2], "city": ["mons"], "buys": ["no"]})
    made.fit(shop_frame(), "buys", examples=written)
    made.sample(5, where="city != 'Ghent'")
    examples = [asked.last.split("[[ ## examples ## ]]")[1] for asked in engine.asked]
    assert all("age,income,city,buys\n33,22.2,Mons,no\n" in shown for shown in examples)
    engine.asked.clear()
    made.sample(5, where="city == 'Ghent'")
    assert not any("33,22.2,Mons,no" in asked.last for asked in engine.asked)
    assert ("33", "22.2", "Mons", "no") in made.task_.real_rows


def test_rows_of_an_expert_need_every_column() -> None:
    made, _ = synthesizer()
    with pytest.raises(DataError, match="the examples lack the columns 'income', 'city'"):
        made.fit(shop_frame(), "buys", examples=pd.DataFrame({"age": [33], "buys": ["no"]}))


def test_balance_gives_equal_classes() -> None:
    made, _ = synthesizer()
    assert made.sample(20, balance=True)["buys"].value_counts().to_dict() == {"yes": 10, "no": 10}


def test_class_shares_under_a_condition_are_those_of_the_real_rows_that_meet_it() -> None:
    made, _ = synthesizer()
    table = made.sample(30, where="age >= 60")
    real = made.task_.train[made.task_.train["age"] >= 60]["buys"].value_counts(normalize=True)
    assert table["buys"].value_counts(normalize=True)["yes"] == pytest.approx(real["yes"], abs=0.02)


def test_rules_are_told_in_the_card_and_kept() -> None:
    made, engine = synthesizer(rules=[{"kind": "fixed-combinations", "columns": ["city", "buys"]}])
    table = made.sample(10)
    assert "Every row keeps these rules:" in engine.asked[0].last
    assert len(table) == 10


def test_sdv_finds_every_generated_row_valid() -> None:
    from sdv.cag import FixedCombinations, Inequality, Range

    frame = shop_frame().assign(first=lambda each: each["age"] - 10, last=lambda each: each["age"] + 5)
    rules = [
        Inequality(low_column_name="first", high_column_name="age"),
        Range(low_column_name="first", middle_column_name="age", high_column_name="last"),
        FixedCombinations(column_names=["city", "buys"]),
    ]

    def answer(asked: Asked) -> Answer:
        rng = random.Random(repr(asked.turns) + str(len(lm.engine.asked)))
        lines = [f"{line},{rng.randint(8, 70)},{rng.randint(23, 84)}" for line in shop_rows(40, rng).splitlines()]
        return {"rows": "\n".join(lines)}

    lm = scripted_lm(answer, cache=False)
    made = TagalSynthesizer(lm, n_shots=3, n_iter=1, critic="none", rounds_ahead=2)
    made.fit(frame, "buys", rules=rules)
    table = made.sample(20)
    metadata = made.task_.schema.to_sdv()
    name = next(iter(metadata.tables))
    for rule in rules:
        rule.fit({name: frame}, metadata)
        assert rule.is_valid({name: table}, metadata)[name].all()
    assert any(reject.reason == "constraint" for reject in made.prediction_.rejects)


@pytest.mark.parametrize(
    "wish",
    [
        {"where": "age >= 200"},
        {"where": "age >= 50 and age < 40"},
        {"where": "__import__('os').system('true')"},
        {"where": "height > 3"},
        {"rows_per": {"maybe": 3}},
        {"rows_per": {"yes": 3}, "balance": True},
    ],
)
def test_what_cannot_be_had_is_said_before_the_first_call(wish: dict[str, Any]) -> None:
    made, engine = synthesizer()
    with pytest.raises(TagalError):
        made.sample(None if "rows_per" in wish else 5, **wish)
    assert engine.asked == []


def test_condition_that_the_model_never_meets_ends_in_a_bounded_error() -> None:
    lm = scripted_lm(lambda asked: {"rows": "30,20.5,Mons,no"}, cache=False)
    made = TagalSynthesizer(lm, n_shots=3, n_iter=1, critic="none").fit(shop_frame(), "buys")
    with pytest.raises(NotEnoughRowsError, match="constraint"):
        made.sample(5, where="city == 'Ghent'")
