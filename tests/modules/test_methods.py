"""The three methods on scripted language models."""

from __future__ import annotations

import json
import random
from collections import Counter
from itertools import pairwise
from pathlib import Path

import dspy
import pandas as pd
import pytest
from scripts import other_roles, role, shop_frame, shop_rows, shop_task, shop_writer
from syrupy.assertion import SnapshotAssertion

from tagal_dspy.errors import DataError, NotEnoughRowsError, ProgramError
from tagal_dspy.modules import METHODS, PromptRefine, ReducedLoop, SynthLoop, TagalLoop
from tagal_dspy.settings import Method, RunSettings, run_settings
from tagal_dspy.task import TableTask
from tagal_dspy.testing import Answer, Asked, scripted_lm

EVERY_METHOD = pytest.mark.parametrize("method", list(METHODS))


def run(loop: TagalLoop, lm: dspy.LM, n_rows: int, seed: int = 0) -> dspy.Prediction:
    with dspy.context(lm=lm):
        return loop(task=shop_task(), n_rows=n_rows, seed=seed)


def make(method: Method, preset: str = "grounded", **settings: object) -> TagalLoop:
    return METHODS[method](run_settings(preset, method=method, **{"n_shots": 2, **settings}))


def conversations(lm: dspy.LM) -> list[str]:
    """Every call as the roles and turns of its messages, and which fields its last message carries."""
    lines = []
    for asked in lm.engine.asked:
        fields = [
            name for name in ("card", "examples", "refined_prompt", "critique") if f"[[ ## {name} ## ]]" in asked.last
        ]
        lines.append(f"{role(asked)}: {' '.join(who for who, _ in asked.turns)} | {', '.join(fields)}")
    return lines


@EVERY_METHOD
def test_paper_preset_calls_in_the_order_of_the_paper(method: Method, snapshot: SnapshotAssertion) -> None:
    lm = scripted_lm(shop_writer(), cache=False)
    run(make(method, "paper", rounds_ahead=1), lm, n_rows=60)
    assert conversations(lm) == snapshot


@EVERY_METHOD
def test_whole_first_conversation_reads_as_recorded(method: Method, snapshot: SnapshotAssertion) -> None:
    lm = scripted_lm(shop_writer(4), cache=False)
    run(make(method, "paper", rounds_ahead=1, rows_per_draw=4), lm, n_rows=8)
    last = next(asked for asked in reversed(lm.engine.asked) if role(asked) == "generate")
    assert "\n".join(f"<{who}>\n{text}" for who, text in last.turns) == snapshot


@EVERY_METHOD
@pytest.mark.parametrize("preset", ["paper", "grounded"])
def test_exactly_the_rows_asked_for_come_back(method: Method, preset: str) -> None:
    prediction = run(make(method, preset), scripted_lm(shop_writer(), cache=False), n_rows=47)
    assert len(prediction.table) == 47
    assert list(prediction.table.dtypes) == list(shop_frame().dtypes)


def test_another_seed_shows_other_few_shots() -> None:
    prompts = []
    for seed in (0, 1):
        lm = scripted_lm(shop_writer(), cache=False)
        run(make("synth-loop", "paper", rounds_ahead=1), lm, n_rows=20, seed=seed)
        prompts.append(lm.engine.asked[0].last)
    assert prompts[0] != prompts[1]


def test_grounded_rows_are_new_and_hold_the_class_shares() -> None:
    prediction = run(make("synth-loop"), scripted_lm(shop_writer(), cache=False), n_rows=50)
    real, shares = shop_frame(), shop_task().train["buys"].value_counts(normalize=True)
    assert not prediction.table.duplicated().any()
    assert prediction.table.merge(real).empty
    assert prediction.table["buys"].value_counts(normalize=True).to_dict() == pytest.approx(shares.to_dict(), abs=0.02)


def test_paper_preset_keeps_duplicates() -> None:
    lm = scripted_lm(
        lambda asked: {"rows": "30,20.5,Mons,no\n" * 5} if role(asked) == "generate" else other_roles(asked)
    )
    assert run(make("synth-loop", "paper"), lm, n_rows=7).table.duplicated().sum() == 6


def test_every_rejected_row_keeps_its_reason() -> None:
    real = ",".join(map(str, shop_frame().iloc[0]))
    bad = ["nothing of use", "1,2", "30,20.5,Paris,no", "900,20.5,Mons,no", "old,20.5,Mons,no", real, "30,20.5,Mons,no"]

    def answer(asked: Asked) -> Answer:
        return {"rows": "\n".join([*bad, bad[-1], shop_rows(10, random.Random(repr(asked.turns)))])}

    loop = SynthLoop(run_settings("grounded", critic="none", n_iter=1, shares="free", rounds_ahead=1))
    counts = Counter(reject.reason for reject in run(loop, scripted_lm(answer, cache=False), n_rows=11).rejects)
    assert counts == {
        "unparsable": 1,
        "wrong_width": 1,
        "unknown_category": 1,
        "out_of_range": 1,
        "wrong_type": 1,
        "collision": 1,
        "duplicate": 1,
    }


@EVERY_METHOD
def test_model_that_never_writes_a_row_ends_in_a_bounded_error(method: Method) -> None:
    lm = scripted_lm(lambda asked: "I cannot do that.", cache=False)
    with pytest.raises(NotEnoughRowsError, match=r"0 of 10 rows accepted .* unparsable"):
        run(make(method, critic="none", n_iter=1), lm, n_rows=10)
    assert len(lm.engine.asked) < 100


@EVERY_METHOD
@pytest.mark.parametrize(
    ("codec", "answer", "advice"),
    [
        ("csv", "I cannot.", "try the codec json (`--codec json`), another model or, if answers are cut off, a larger"),
        ("json", "I { cannot.", "; try another model or, if answers are cut off, a larger `max_tokens`"),
        ("csv", "33,20.5\n34,21.5", "try the codec json (`--codec json`)"),
        ("csv", "33,20.5,Paris,yes", "look at the prompt with `tagal preview`"),
        ("csv", "900,20.5,Mons,yes", "look at the prompt with `tagal preview`"),
    ],
)
def test_model_whose_every_answer_is_refused_for_one_reason_ends_early_with_advice(
    method: Method, codec: str, answer: str, advice: str
) -> None:
    lm = scripted_lm(lambda asked: {"rows": answer} if "rows" in asked.fields else other_roles(asked), cache=False)
    with pytest.raises(NotEnoughRowsError) as caught:
        run(make(method, critic="none", codec=codec), lm, n_rows=1000)
    assert advice in str(caught.value)
    assert caught.value.prediction.n_draws in (5, 6)  # two conversations of three draws make six
    assert len(lm.engine.asked) <= 5 * 3


def test_answers_in_thoughts_and_markdown_become_a_table() -> None:
    def answer(asked: Asked) -> str:
        rows = shop_rows(10, random.Random(repr(asked.turns))).replace(",", " | ").split("\n")
        head = "| age | income | city | buys |\n|---|---|---|---|\n"
        return f"<think>\n30,20.5,Mons,no\n</think>\n{head}" + "".join(f"| {row} |\n" for row in rows)

    made = run(make("synth-loop", critic="none", n_iter=1, shares="free"), scripted_lm(answer, cache=False), n_rows=40)
    assert len(made.table) == 40
    assert not ((made.table["age"] == 30) & (made.table["income"] == 20.5)).any()


def test_accepted_rows_come_with_the_error_when_rows_run_out() -> None:
    lm = scripted_lm(lambda asked: {"rows": "30,20.5,Mons,no\n31,21.5,Mons,yes"}, cache=False)
    with pytest.raises(NotEnoughRowsError, match="duplicate") as caught:
        run(make("synth-loop", critic="none"), lm, n_rows=10)
    assert len(caught.value.prediction.table) == 2


def test_critique_is_in_the_next_prompt_and_the_first_has_none() -> None:
    lm = scripted_lm(shop_writer(), cache=False)
    run(make("synth-loop", "paper", rounds_ahead=1), lm, n_rows=10)
    generated = [asked.last for asked in lm.engine.asked if role(asked) == "generate"]
    assert "write younger people" not in generated[0]
    assert all("write younger people" in last for last in generated[1:])


@pytest.mark.parametrize(("preset", "n_critiques"), [("grounded", 2), ("paper", 3)])
def test_critique_that_nothing_reads_is_asked_for_by_the_paper_alone(preset: str, n_critiques: int) -> None:
    lm = scripted_lm(shop_writer(), cache=False)
    settings = run_settings(preset, n_iter=3, keep="last", critic="eye", shares="free", rounds_ahead=1)
    run(SynthLoop(settings), lm, n_rows=1)
    assert [role(asked) for asked in lm.engine.asked].count("critique") == n_critiques


def test_critic_sees_at_most_thirty_rows() -> None:
    lm = scripted_lm(shop_writer(45), cache=False)
    run(make("synth-loop", "paper", rounds_ahead=1), lm, n_rows=10)
    shown = next(asked.last for asked in lm.engine.asked if role(asked) == "critique")
    assert sum(shown.count(city) for city in ("Ghent,", "Leuven,", "Mons,")) == 30


def test_critique_that_is_no_critique_is_passed_on_as_it_is() -> None:
    def answer(asked: Asked) -> Answer:
        return (
            "They look odd to me." if role(asked) == "critique" else {"rows": shop_rows(5, random.Random(asked.last))}
        )

    lm = scripted_lm(answer, cache=False)
    run(make("synth-loop", "paper", rounds_ahead=1), lm, n_rows=5)
    assert "They look odd to me." in [asked.last for asked in lm.engine.asked if role(asked) == "generate"][1]


def test_reduced_loop_draws_from_one_conversation() -> None:
    lm = scripted_lm(shop_writer(), cache=False)
    run(make("reduced-loop", "paper", rounds_ahead=1), lm, n_rows=80)
    draws = [asked.turns for asked in lm.engine.asked if role(asked) == "generate"][3:]
    assert len(draws) == 3
    assert draws[0] == draws[1] == draws[2]


@pytest.mark.parametrize("preset", ["paper", "grounded"])
def test_prompt_refine_summarizes_once_and_shows_new_few_shots_each_time(preset: str) -> None:
    lm = scripted_lm(shop_writer(), cache=False)
    run(make("prompt-refine", preset, rounds_ahead=1), lm, n_rows=80)
    assert sum(role(asked) == "summarize" for asked in lm.engine.asked) == 1
    draws = [asked for asked in lm.engine.asked if "Write shoppers." in asked.last]
    assert len({asked.last for asked in draws}) == len(draws) >= 3
    assert all(len(asked.turns) == 1 and "[[ ## card ## ]]" not in asked.last for asked in draws)


def test_prompt_refine_summarizes_anew_after_ten_failed_draws() -> None:
    def answer(asked: Asked) -> Answer:
        if "Write shoppers." in asked.last:
            return {"rows": "none"}
        return shop_writer()(asked)

    lm = scripted_lm(answer, cache=False)
    with pytest.raises(NotEnoughRowsError):
        run(make("prompt-refine", "paper", rounds_ahead=1), lm, n_rows=10)
    roles = "".join(role(asked)[0] for asked in lm.engine.asked)
    assert roles == "gcgcgc" + "s" + "g" * 10 + "s" + "g" * 10


def test_draws_by_class_fix_the_label_in_words_few_shots_and_grammar() -> None:
    def answer(asked: Asked) -> Answer:
        label = "yes" if '"buys" is "yes"' in asked.last else "no"
        rng = random.Random(asked.last)
        return {"rows": "\n".join(line.rsplit(",", 1)[0] + f",{label}" for line in shop_rows(9, rng).splitlines())}

    lm = scripted_lm(answer, takes_grammar=True, cache=False)
    prediction = run(make("synth-loop", draws="by-class", critic="none", n_iter=1), lm, n_rows=30)
    assert prediction.table["buys"].nunique() == 2
    for asked in lm.engine.asked:
        label, other = ("yes", "no") if '"buys" is "yes"' in asked.last else ("no", "yes")
        assert f'cell-3 ::= "{label}"\n' in asked.extra["grammar"]
        assert f",{other}\n" not in asked.last


def test_number_to_regress_is_drawn_range_by_range_at_the_real_shares() -> None:
    def answer(asked: Asked) -> Answer:
        return {"rows": shop_rows(60, random.Random(repr(asked.turns)))}

    lm = scripted_lm(answer, takes_grammar=True, cache=False)
    task = TableTask(shop_frame(), "income")
    loop = make("synth-loop", draws="by-class", critic="none", n_iter=1)
    with dspy.context(lm=lm):
        table = loop(task=task, n_rows=40, seed=0).table
    quarters = pd.qcut(task.train["income"], 4, retbins=True)[1]
    counts = [int(table["income"].between(low, high).sum()) for low, high in pairwise(quarters)]
    assert counts == pytest.approx([10] * 4, abs=2)
    assert all("every row meets: `income`" in asked.last for asked in lm.engine.asked)


def test_engines_without_grammar_are_sent_none() -> None:
    lm = scripted_lm(shop_writer(), cache=False)
    run(make("synth-loop"), lm, n_rows=5)
    assert all(not asked.extra for asked in lm.engine.asked)


def test_usage_counts_every_call_once() -> None:
    lm = scripted_lm(shop_writer(), cache=False)
    prediction = run(make("synth-loop"), lm, n_rows=60)
    assert prediction.usage["scripted/model"]["calls"] == len(lm.engine.asked)


def test_saved_program_loads_for_another_table_with_its_settings(tmp_path: Path) -> None:
    saved = make("synth-loop", n_iter=2, codec="json", temperature=1.3)
    saved.generator.predict.signature = saved.generator.predict.signature.with_instructions("Write them well.")
    saved.save(tmp_path / "program.json")
    loaded = SynthLoop()
    loaded.load(tmp_path / "program.json")
    assert loaded.settings == saved.settings
    assert loaded.generator.predict.signature.instructions == "Write them well."
    other = TableTask(shop_frame().rename(columns={"city": "town"}), target="buys")
    with dspy.context(lm=scripted_lm(lambda asked: "", cache=False)):
        prompt = loaded.preview(other, 5)[0]
    assert '"town": "' in prompt[-1]["content"]


def test_saved_program_holds_no_key_and_no_real_row(tmp_path: Path) -> None:
    loop = make("synth-loop")
    loop.set_lm(dspy.LM("openai/x", api_key="sk-very-secret", engine="lm15"))
    lm = scripted_lm(shop_writer(), cache=False)
    loop.set_lm(lm)
    run(loop, lm, n_rows=10)
    loop.save(tmp_path / "program.json")
    text = (tmp_path / "program.json").read_text()
    assert "secret" not in text
    assert "Ghent" not in text
    assert json.loads(text)["generator.predict"]["lm"] is None


def test_model_that_a_program_file_names_gets_no_row(tmp_path: Path) -> None:
    make("synth-loop").save(tmp_path / "program.json")
    state = json.loads((tmp_path / "program.json").read_text())
    for name in ("generator.predict", "critic.predict"):
        state[name]["lm"] = {"model": "openai/evil", "model_type": "chat"}
    (tmp_path / "program.json").write_text(json.dumps(state))
    mine, critics = (scripted_lm(shop_writer(), model=f"scripted/{name}", cache=False) for name in ("mine", "critics"))
    loaded = make("synth-loop")
    loaded.critic.set_lm(critics)
    loaded.load(tmp_path / "program.json")
    assert [predictor.lm for predictor in loaded.predictors()] == [None, critics]
    run(loaded, mine, n_rows=20)
    assert mine.engine.asked
    assert critics.engine.asked


def test_program_of_another_method_is_refused(tmp_path: Path) -> None:
    make("synth-loop").save(tmp_path / "program.json")
    with pytest.raises(ProgramError, match="summarizer"):
        PromptRefine().load(tmp_path / "program.json")


def test_predictors_are_one_per_role() -> None:
    assert [name for name, _ in SynthLoop().named_predictors()] == ["generator.predict", "critic.predict"]
    assert [name for name, _ in ReducedLoop().named_predictors()] == ["generator.predict", "critic.predict"]
    names = [name for name, _ in PromptRefine().named_predictors()]
    assert names == ["generator.predict", "critic.predict", "summarizer.predict"]


def test_zero_rows_are_refused() -> None:
    with pytest.raises(DataError, match="n_rows is 0"):
        run(SynthLoop(RunSettings()), scripted_lm(shop_writer()), n_rows=0)


@pytest.mark.parametrize("shares", ["real", "free"])
def test_class_that_no_row_has_is_neither_asked_for_nor_written(shares: str) -> None:
    frame = shop_frame().assign(buys=lambda table: pd.Categorical(table["buys"], categories=["no", "perhaps", "yes"]))
    task = TableTask(frame, target="buys")
    lm = scripted_lm(shop_writer(), takes_grammar=True, cache=False)
    loop = make("synth-loop", draws="by-class", critic="none", n_iter=1, shares=shares)
    with dspy.context(lm=lm):
        table = loop(task=task, n_rows=20).table
    assert table["buys"].cat.categories.tolist() == ["no", "perhaps", "yes"]
    assert not any("perhaps" in asked.last + asked.extra["grammar"] for asked in lm.engine.asked)
