"""`--preset paper` is the published method (arXiv:2509.04152), point by point as the authors' code has it."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from typing import Any, NamedTuple

import dspy
import pytest
from dspy import lm15
from scripts import role, shop_frame, shop_task
from syrupy.assertion import SnapshotAssertion

from tagal_dspy.card import make_card
from tagal_dspy.errors import NotEnoughRowsError
from tagal_dspy.modules import METHODS, TagalLoop
from tagal_dspy.settings import Method, run_settings
from tagal_dspy.testing import Answer, Asked, ScriptedEngine

TASK = shop_task()
EVERY_METHOD = pytest.mark.parametrize("method", list(METHODS))
REFINED = "Write shoppers 0. Look at {few_shots} first."
SYSTEM_LINE = "Answer only with data in the format that the prompt gives, without any other text."
REFUSAL = "I cannot write rows."
FIRST_AGE = 20


Rows = Callable[[int], Sequence[str]]


def rows_of_draw(number: int, n_rows: int = 4) -> list[str]:
    """New rows in CSV; their age tells which draw they are of."""
    age = FIRST_AGE + number
    return [f"{age},{12 + place / 10:.1f},Mons,{'no' if place % 2 else 'yes'}" for place in range(n_rows)]


class Shop:
    """A scripted model that numbers its draws, critiques and summaries, each from 0.

    Args:
        rows: the rows of a draw.
        fails: draws that bring no row.
        refined: the prompt that a summary is.
    """

    def __init__(self, rows: Rows = rows_of_draw, fails: Collection[int] = (), refined: str = REFINED) -> None:
        self._rows, self._fails, self._refined = rows, fails, refined
        self._counts: Counter[str] = Counter()

    def __call__(self, asked: Asked) -> Answer:
        number = self._counts[role(asked)]
        self._counts[role(asked)] += 1
        if role(asked) == "critique":
            point = {"column": "age", "problem": f"problem {number}", "recommendation": "write younger people"}
            return {"strengths": f"strength {number}", "points": json.dumps([point]), "followed": "partly"}
        if role(asked) == "summarize":
            return {"refined_prompt": self._refined.replace("0", str(number))}
        return {"rows": REFUSAL if number in self._fails else "\n".join(self._rows(number))}


class KeepingEngine(ScriptedEngine):
    """Keeps with what settings it is asked, too."""

    def __init__(self, answer: Callable[[Asked], Answer]) -> None:
        super().__init__(answer)
        self.configs: list[lm15.Config] = []

    def complete(self, request: lm15.Request) -> lm15.Response:
        self.configs.append(request.config)
        return super().complete(request)


class Call(NamedTuple):
    role: str
    asked: Asked
    config: lm15.Config


class Made(NamedTuple):
    prediction: dspy.Prediction
    calls: list[Call]

    def of(self, role: str) -> list[Call]:
        return [call for call in self.calls if call.role == role]

    @property
    def roles(self) -> str:
        """The first letter of each call's role."""
        return "".join(call.role[0] for call in self.calls)

    @property
    def draws_in_table(self) -> set[int]:
        return {age - FIRST_AGE for age in self.prediction.table["age"]}


def program(method: Method, **settings: Any) -> TagalLoop:
    """One round at a time, so that calls can be numbered."""
    return METHODS[method](run_settings("paper", method=method, **{"n_shots": 2, "rounds_ahead": 1} | settings))


def made(
    method: Method,
    shop: Callable[[Asked], Answer] | None = None,
    n_rows: int = 4,
    seed: int = 0,
    cache: bool = False,
    **settings: Any,
) -> Made:
    engine = KeepingEngine(shop or Shop())
    lm = dspy.LM("scripted/model", engine=engine, cache=cache, num_retries=0, temperature=0.1, max_tokens=77)
    with dspy.context(lm=lm):
        prediction = program(method, **settings)(task=TASK, n_rows=n_rows, seed=seed, if_short="return")
    return Made(prediction, list(map(Call, map(role, engine.asked), engine.asked, engine.configs)))


def csv_rows(text: str) -> list[str]:
    return re.findall(r"^\d+,[\d.]+,\w+,(?:yes|no)$", text, re.MULTILINE)


def remembered(call: Call) -> list[str]:
    """What stands in a call as the model's own earlier answers."""
    return [text for who, text in call.asked.turns if who == "assistant"]


def few_shots(call: Call) -> list[str]:
    """The real rows of a call's first message."""
    return csv_rows(call.asked.turns[0][1])


def labels(rows: Sequence[str]) -> list[str]:
    return [row.rpartition(",")[2] for row in rows]


def objective(asked: Asked) -> str:
    """The first line of the instructions in a system message."""
    return asked.system.partition("your objective is:")[2].strip().partition("\n")[0]


# 1. What the generator remembers


@EVERY_METHOD
def test_generator_remembers_a_sample_of_thirty_of_its_forty_five_rows(method: Method) -> None:
    run = made(method, Shop(lambda number: rows_of_draw(number, 45)))
    written = rows_of_draw(0, 45)
    kept = csv_rows(remembered(run.of("generate")[1])[0])
    assert len(kept) == len(set(kept)) == 30
    assert set(kept) < set(written)
    assert set(kept) != set(written[:30])


@EVERY_METHOD
def test_generator_remembers_valid_rows_alone_and_as_they_are_written_here(method: Method) -> None:
    def rows(number: int) -> list[str]:
        good = f" {FIRST_AGE + number}.0 , 12.50,mons,NO"
        return ["Here they are:", good, "30,20.5,Paris,no", "1,2", "old,20.5,Mons,no"]

    run = made(method, Shop(rows), n_rows=1)
    answer = remembered(run.of("generate")[1])[0]
    assert answer == "[[ ## rows ## ]]\nage,income,city,buys\n20,12.5,Mons,no\n\n[[ ## completed ## ]]\n"


def test_every_turn_remembers_a_sample_of_its_own() -> None:
    same = rows_of_draw(0, 45)
    run = made("synth-loop", Shop(lambda number: same), n_iter=3)
    first, second = (csv_rows(answer) for answer in remembered(run.of("generate")[2]))
    assert len(first) == len(second) == 30
    assert set(first) != set(second)


# 2. What the critic remembers


@EVERY_METHOD
def test_critic_has_all_batches_and_critiques_of_its_round_and_the_card_once(method: Method) -> None:
    run = made(method, n_iter=4)
    in_round = run.of("critique")[:3]
    for number, call in enumerate(in_round):
        assert [who for who, _ in call.asked.turns] == ["user", "assistant"] * number + ["user"]
        shown = [csv_rows(text) for who, text in call.asked.turns if who == "user"]
        assert shown == [rows_of_draw(earlier) for earlier in range(number + 1)]
        said = zip(remembered(call), range(number), strict=True)
        assert all(f"strength {k}" in text and f"problem {k}" in text for text, k in said)
        with_card = [place for place, (_, text) in enumerate(call.asked.turns) if "[[ ## card ## ]]" in text]
        assert with_card == [0]
    assert "[[ ## earlier_critique ## ]]" not in "".join(text for call in in_round for _, text in call.asked.turns)


def test_critic_forgets_when_a_round_begins() -> None:
    run = made("synth-loop", n_rows=8, n_iter=2)
    [first, second, other_first, other_second] = run.of("critique")
    assert [len(call.asked.turns) for call in (first, second, other_first, other_second)] == [1, 3, 1, 3]
    assert "[[ ## card ## ]]" in other_first.asked.last
    assert csv_rows("\n".join(text for _, text in other_second.asked.turns)) == [*rows_of_draw(2), *rows_of_draw(3)]


def test_critic_remembers_what_it_said_also_where_that_was_no_critique() -> None:
    def answer(asked: Asked) -> Answer:
        return "They look odd to me." if role(asked) == "critique" else shop(asked)

    shop = Shop()
    run = made("synth-loop", answer, n_iter=2)
    assert "They look odd to me." in remembered(run.of("critique")[1])[0]


def test_critic_and_generator_are_shown_the_same_thirty_rows() -> None:
    run = made("synth-loop", Shop(lambda number: rows_of_draw(number, 45)))
    assert csv_rows(run.of("critique")[0].asked.last) == csv_rows(remembered(run.of("generate")[1])[0])


# 3. Temperatures and tokens


def test_all_three_roles_draw_at_seven_tenths_and_critiques_end_after_2048_tokens() -> None:
    run = made("prompt-refine", n_rows=8)
    found = {call.role: set[object]() for call in run.calls}
    for call in run.calls:
        found[call.role].add((call.config.temperature, call.config.max_tokens))
    own_limit = 77  # of the model that `made` asks, whose own temperature is 0.1
    assert found == {"generate": {(0.7, own_limit)}, "critique": {(0.7, 2048)}, "summarize": {(0.7, own_limit)}}


# 4. As many rows as possible


@EVERY_METHOD
def test_no_prompt_names_a_number_of_rows_and_draws_ask_for_as_many_as_possible(method: Method) -> None:
    run = made(method, n_rows=13)
    texts = [text for call in run.calls for text in (call.asked.system, *(text for _, text in call.asked.turns))]
    assert not any("n_rows" in text or "exactly" in text or re.search(r"\b13\b", text) for text in texts)
    in_conversation = [call for call in run.of("generate") if objective(call.asked).startswith("Write new rows")]
    assert len(in_conversation) >= 3 if method != "prompt-refine" else len(in_conversation) == 3
    assert all("as many new rows as possible" in call.asked.system for call in in_conversation)


@EVERY_METHOD
def test_of_more_rows_than_wanted_a_random_sample_stays(method: Method) -> None:
    kept = []
    for seed in (0, 1):
        run = made(method, Shop(lambda number: rows_of_draw(number, 40)), n_rows=10, seed=seed)
        [number] = run.draws_in_table
        places = [rows_of_draw(number, 40).index(row) for row in csv_rows(run.prediction.table.to_csv(index=False))]
        assert len(places) == len(set(places)) == 10
        assert max(places) >= 20
        kept.append(places)
    assert kept[0] != kept[1]
    assert Counter(reject.reason for reject in run.prediction.rejects) == {"quota_full": 30}


# 5. Draws without a valid row


@EVERY_METHOD
@pytest.mark.parametrize("fails", [{0}, {1}, {0, 2}])
def test_failed_draw_is_repeated_with_the_same_history_and_is_not_criticised(method: Method, fails: set[int]) -> None:
    draws = (run := made(method, Shop(fails=fails))).of("generate")
    assert all(draws[number + 1].asked.turns == draws[number].asked.turns for number in fails)
    assert not any(REFUSAL in text for call in run.calls for _, text in call.asked.turns)
    expected = {"synth-loop": "gcgcgc", "reduced-loop": "gcgcg", "prompt-refine": "gcgcgcsg"}[method]
    for number in sorted(fails):
        place = [place for place, letter in enumerate(expected) if letter == "g"][number]
        expected = f"{expected[:place]}g{expected[place:]}"
    assert run.roles == expected


def test_repeated_draw_is_not_answered_from_a_cache() -> None:
    run = made("synth-loop", Shop(fails={1}), seed=10, cache=True, n_iter=2)
    assert run.roles == "gcggc"
    assert run.draws_in_table == {2}


@pytest.mark.parametrize("fails", [{0, 1, 2}, {1, 2, 3}, {0, 2, 3}, {0, 2, 4}])
def test_synth_loop_throws_a_round_with_three_failed_draws_away_and_begins_afresh(fails: set[int]) -> None:
    run = made("synth-loop", Shop(fails=fails))
    draws, n_thrown = run.of("generate"), max(fails) + 1
    afresh = draws[n_thrown:]
    assert few_shots(afresh[0]) != few_shots(draws[0])
    assert [len(call.asked.turns) for call in afresh] == [1, 3, 5]
    old = set(csv_rows("\n".join("\n".join(rows_of_draw(number)) for number in range(n_thrown))))
    assert not old & set(csv_rows("\n".join(text for call in afresh for _, text in call.asked.turns)))
    assert run.draws_in_table == {n_thrown + 2}
    critiques = run.of("critique")[-3:]
    assert [len(call.asked.turns) for call in critiques] == [1, 3, 5]


def test_two_failed_draws_in_each_round_throw_none_away() -> None:
    run = made("synth-loop", Shop(fails={0, 2, 5, 6}), n_rows=8)
    assert run.roles == "ggcggcgc" + "gggcgcgc"
    assert run.draws_in_table == {4, 9}


def test_prompt_refine_counts_its_turns_again_after_three_failed_draws_and_keeps_the_history() -> None:
    run = made("prompt-refine", Shop(fails={1, 3, 4}), n_iter=3)
    assert run.roles == "gc" + "ggc" + "gg" + "gcgcgc" + "s" + "g"  # two turns, then three more
    draws = run.of("generate")
    in_conversation = draws[:-1]
    assert [len(call.asked.turns) // 2 for call in in_conversation] == [0, 1, 1, 2, 2, 2, 3, 4]
    assert len({call.asked.turns[0] for call in in_conversation}) == 1
    history = [csv_rows(answer) for answer in remembered(in_conversation[-1])]
    assert history == [rows_of_draw(number) for number in (0, 2, 5, 6)]


def test_prompt_refine_counts_its_turns_again_after_every_three_failed_draws() -> None:
    run = made("prompt-refine", Shop(fails={1, 2, 3, 5, 6, 7}), n_iter=2)
    assert run.roles == "gc" + "ggg" + "gc" + "ggg" + "gcgc" + "s" + "g"


def test_reduced_loop_tries_on_after_any_number_of_failed_draws() -> None:
    fails = set(range(1, 8))
    run = made("reduced-loop", Shop(fails=fails), n_iter=3)
    assert run.roles == "gc" + "g" * 7 + "gc" + "g"
    draws = run.of("generate")
    assert len({call.asked.turns for call in draws[1:9]}) == 1
    assert run.draws_in_table == {9}


@EVERY_METHOD
def test_trying_is_bounded_where_no_draw_of_a_conversation_brings_a_row(method: Method) -> None:
    run = made(method, Shop(fails=range(1000)))
    assert 20 <= len(run.calls) <= 60
    assert len(run.prediction.table) == 0


@pytest.mark.parametrize("method", ["reduced-loop", "prompt-refine"])
def test_trying_is_bounded_where_no_draw_after_the_conversation_brings_a_row(method: Method) -> None:
    run = made(method, Shop(fails=range(3 if method == "prompt-refine" else 2, 1000)))
    assert len(run.of("generate")) <= 3 + 20
    assert len(run.prediction.table) == 0


@pytest.mark.parametrize("method", ["synth-loop", "reduced-loop", "prompt-refine"])
def test_error_tells_of_every_draw_that_failed(method: Method) -> None:
    engine = KeepingEngine(Shop(fails=range(1000)))
    lm = dspy.LM("scripted/model", engine=engine, cache=False, num_retries=0)
    with dspy.context(lm=lm), pytest.raises(NotEnoughRowsError, match=r"unparsable \d+") as caught:
        program(method)(task=TASK, n_rows=4)
    assert len(caught.value.prediction.turns) == caught.value.prediction.n_draws == len(engine.asked)


# 6. ReducedLoop


@pytest.mark.parametrize("n_iter", [1, 2, 4])
def test_reduced_loop_has_one_criticised_turn_less_and_then_draws_with_one_history(n_iter: int) -> None:
    run = made("reduced-loop", n_rows=16, n_iter=n_iter)
    assert run.roles == "gc" * (n_iter - 1) + "g" * 4
    draws = run.of("generate")[n_iter - 1 :]
    assert len({call.asked.turns for call in draws}) == 1
    history = [csv_rows(answer) for answer in remembered(draws[-1])]
    assert history == [rows_of_draw(number) for number in range(n_iter - 1)]
    assert n_iter == 1 or f"strength {n_iter - 2}" in draws[0].asked.last
    assert run.draws_in_table == set(range(n_iter - 1, n_iter + 3))


def test_reduced_loop_shuffles_few_shots_across_classes() -> None:
    shown = labels(few_shots(made("reduced-loop", n_shots=10).calls[0]))
    assert Counter(shown) == {"no": 10, "yes": 10}
    assert shown not in (sorted(shown), sorted(shown, reverse=True))


def test_reduced_loop_drops_duplicates_as_they_come() -> None:
    def rows(number: int) -> list[str]:
        return ["30,20.5,Mons,no", "30,20.5,Mons,no", f"{FIRST_AGE + number},21.5,Mons,yes"]

    run = made("reduced-loop", Shop(rows), n_rows=5, n_iter=2)
    assert not run.prediction.table.duplicated().any()
    assert run.roles == "gc" + "g" * 4  # two new rows, then one a draw
    assert Counter(reject.reason for reject in run.prediction.rejects) == {"duplicate": 7}


def test_reduced_loop_takes_rows_that_its_conversation_wrote_before() -> None:
    run = made("reduced-loop", Shop(lambda number: rows_of_draw(0)), n_rows=4, n_iter=2)
    assert run.roles == "gcg"
    assert len(run.prediction.table) == 4


def test_reduced_loop_without_settings_is_that_of_the_paper() -> None:
    engine = KeepingEngine(Shop(lambda number: ["30,20.5,Mons,no", *rows_of_draw(number)]))
    with dspy.context(lm=dspy.LM("scripted/model", engine=engine, cache=False, num_retries=0)):
        table = METHODS["reduced-loop"]()(task=TASK, n_rows=20).table
    shown = labels(csv_rows(engine.asked[0].turns[0][1]))
    assert shown not in (sorted(shown), sorted(shown, reverse=True))
    assert not table.duplicated().any()


# 7. Prompt-Refine


def test_summary_reads_system_prompt_all_messages_and_the_last_critique() -> None:
    run = made("prompt-refine", n_iter=3)
    [read] = [call.asked.last for call in run.of("summarize")]
    last = run.of("generate")[2].asked
    assert read.count("system:\n") == 1
    assert last.system.strip() in read
    for who, text in last.turns:
        assert f"{who}:\n{text.strip()}" in read
    assert csv_rows(read) == [*few_shots(run.calls[0]), *rows_of_draw(0), *rows_of_draw(1), *rows_of_draw(2)]
    said = [read.index(f"strength {number}") for number in range(3)]
    rows = [read.index(rows_of_draw(number)[0]) for number in range(3)]
    assert sorted(said + rows) == [rows[0], said[0], rows[1], said[1], rows[2], said[2]]


def test_refined_draw_is_a_system_line_and_the_prompt_with_new_few_shots_in_its_slot() -> None:
    run = made("prompt-refine", n_rows=16)
    draws = run.of("generate")[3:]
    assert len(draws) == 4
    start, end = REFINED.split("{few_shots}")
    shown = []
    for call in draws:
        assert objective(call.asked) == SYSTEM_LINE
        [(who, text)] = call.asked.turns
        prompt = text.removeprefix("[[ ## prompt ## ]]\n").rpartition("\n\nRespond with")[0]
        assert who == "user"
        assert prompt.startswith(f"{start}\nage,income,city,buys\n")
        assert prompt.endswith(f"\n{end}")
        shown.append(tuple(few_shots(call)))
        assert prompt == f"{start}\nage,income,city,buys\n" + "\n".join(shown[-1]) + f"\n{end}"
    assert len(set(shown)) == len(draws)
    real = {",".join(map(str, row)) for row in shop_frame().itertuples(index=False)}
    assert all(set(each) <= real and Counter(labels(each)) == {"no": 2, "yes": 2} for each in shown)


def test_refined_prompt_without_a_slot_shows_no_few_shots() -> None:
    run = made("prompt-refine", Shop(refined="Write shoppers of all ages."), n_rows=8)
    draws = run.of("generate")[3:]
    assert len(draws) == 2
    for call in draws:
        [(_, text)] = call.asked.turns
        assert text.startswith("[[ ## prompt ## ]]\nWrite shoppers of all ages.\n\nRespond with")
        assert not csv_rows(text)


def test_ten_failed_draws_in_a_row_lead_to_a_new_summary_of_the_same_conversation() -> None:
    fails = [*range(4, 13), *range(14, 24)]  # nine of them, one that brings rows, ten
    run = made("prompt-refine", Shop(fails=fails), n_rows=12)
    assert run.roles == "gcgcgc" + "s" + "g" * 21 + "s" + "g"
    first, second = run.of("summarize")
    assert first.asked == second.asked
    assert all("Write shoppers 0. Look" in call.asked.last for call in run.of("generate")[3:-1])
    assert "Write shoppers 1. Look" in run.calls[-1].asked.last


def test_new_summaries_are_not_answered_from_a_cache() -> None:
    run = made("prompt-refine", Shop(fails=[*range(3, 13), *range(14, 24)]), 8, seed=11, cache=True)
    assert len(run.of("summarize")) == 3
    assert "Write shoppers 2. Look" in run.calls[-1].asked.last


@pytest.mark.parametrize("ahead", [2, 64])
def test_ten_failed_draws_lead_to_a_new_summary_however_many_rounds_are_under_way(ahead: int) -> None:
    run = made("prompt-refine", Shop(fails=range(3, 1000)), n_rows=12, rounds_ahead=ahead)
    assert len(run.of("summarize")) > 1


def test_table_of_prompt_refine_is_of_refined_draws_alone() -> None:
    assert made("prompt-refine", n_rows=8).draws_in_table == {3, 4}


# 8. SynthLoop


def test_table_of_synth_loop_is_the_last_turn_of_each_round_whole() -> None:
    real = ",".join(map(str, shop_frame().iloc[0]))

    def rows(number: int) -> list[str]:
        return [*rows_of_draw(number), rows_of_draw(number)[0], "99,1.5,Ghent,yes", real]

    run = made("synth-loop", Shop(rows), n_rows=14, n_iter=3)
    assert run.roles == "gcgcgc" * 2
    assert csv_rows(run.prediction.table.to_csv(index=False)) == [*rows(2), *rows(5)]


def test_table_of_synth_loop_is_the_last_turn_also_where_an_earlier_one_was_better() -> None:
    def rows(number: int) -> list[str]:
        return [",".join(map(str, row)) for row in TASK.train_rows[:20]] if number == 0 else rows_of_draw(number, 20)

    run = made("synth-loop", Shop(rows), n_rows=20, n_iter=3)
    assert run.prediction.curve[0] > run.prediction.curve[2]
    assert run.draws_in_table == {2}


@pytest.mark.parametrize("method", ["synth-loop", "prompt-refine"])
def test_few_shots_stand_class_by_class(method: Method) -> None:
    run = made(method, n_rows=8, n_shots=10)
    shown = [few_shots(call) for call in run.of("generate")]
    assert all(labels(each) == ["no"] * 10 + ["yes"] * 10 for each in shown)
    assert len({tuple(each) for each in shown}) == {"synth-loop": 2, "prompt-refine": 3}[method]


# Every call of a small run


def shown(call: Call) -> str:
    """A call without what other snapshots show: the card, and how an answer is to be formatted."""
    messages = "\n".join(f"<{who}>\n{text}" for who, text in call.asked.turns)
    limit = "" if call.role != "critique" else f", {call.config.max_tokens} tokens"
    text = f"{call.role} at {call.config.temperature}{limit}\n<system>\n{objective(call.asked)}\n{messages}"
    return re.sub(r"\n\nRespond with .*", "", text).replace(make_card(TASK.schema), "(the card)")


@EVERY_METHOD
def test_every_call_of_a_small_run_with_a_failed_draw_reads_as_recorded(
    method: Method, snapshot: SnapshotAssertion
) -> None:
    shop = Shop(lambda number: [*rows_of_draw(number, 3), "not a row"], fails={1})
    run = made(method, shop, 5, n_iter=2, n_shots=1)
    kept = run.prediction.table.to_csv(index=False)
    assert "\n\n".join([*map(shown, run.calls), f"kept\n{kept}"]) == snapshot
