"""Runs from the command line: recorded without asking, listed, resumed, exported, removed."""

from __future__ import annotations

import json
import random
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from scripts import shop_rows
from servers import chat_server

from tagal_dspy.recording import runs_dir

ASKED: list[str] = []


def write_rows(body: dict[str, Any]) -> str:
    ASKED.append(body["messages"][-1]["content"])
    return f"[[ ## rows ## ]]\n{shop_rows(5, random.Random(len(ASKED)))}\n\n[[ ## completed ## ]]"


@pytest.fixture
def server() -> Iterator[str]:
    ASKED.clear()
    with chat_server(write_rows) as address:
        yield address


@pytest.fixture
def generate(tagal: Any, shop_csv: Path, server: str, tmp_path: Path) -> Any:
    def run(*more: object) -> Any:
        lm = ("--lm", "openai/fake", "--api-base", server)
        made = ("--critic", "none", "--iterations", 1, "--target", "buys", "--rows", 20, "--out", tmp_path / "new.csv")
        return tagal("generate", shop_csv, *lm, *made, "--no-cache", *more)

    return run


def test_run_is_recorded_and_listed_without_asking(generate: Any, tagal: Any) -> None:
    assert generate().code == 0
    [line] = json.loads(tagal("runs", "list", "--json").out)
    assert (line["status"], line["rows"], line["wanted"], line["calls"]) == ("finished", 20, 20, len(ASKED))
    assert line["name"] in tagal("runs", "list").out.replace("\n", "")


def test_run_that_used_up_its_budget_is_resumed_by_name_and_pays_nothing_twice(
    generate: Any, tagal: Any, tmp_path: Path
) -> None:
    stopped = generate("--max-calls", 1)
    assert stopped.code == 2
    assert "the budget of 1 calls is used up" in stopped.err
    assert "resume with: tagal runs resume" in stopped.err
    [line] = json.loads(tagal("runs", "list", "--json").out)
    assert (line["status"], line["calls"]) == ("stopped", len(ASKED))
    n_asked = len(ASKED)
    assert tagal("runs", "resume", line["name"]).code == 0
    assert len(pd.read_csv(tmp_path / "new.csv")) == 20
    [line] = json.loads(tagal("runs", "list", "--json").out)
    assert (line["status"], line["calls"]) == ("finished", len(ASKED))
    assert len(ASKED) > n_asked


def test_run_is_resumed_from_another_folder_as_it_was_asked_for_and_prints_no_folder(
    tagal: Any, shop_csv: Path, server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    pd.read_csv(shop_csv).head(2).to_csv("written.csv", index=False)
    model = ("--lm", "openai/fake", "--api-base", server, "--cache-dir", "answers")
    asked = ("--critic", "none", "--iterations", 1, "--target", "buys", "--rows", 8, "--examples", "written.csv")
    files = ("--out", "new.csv", "--html", "page.html")
    stopped = tagal("generate", shop_csv.name, *model, *asked, *files, "--max-calls", 1)
    assert "the budget of 1 calls is used up" in stopped.err
    monkeypatch.chdir(tmp_path / "elsewhere")
    [line] = json.loads(tagal("runs", "list", "--json").out)
    resumed = tagal("runs", "resume", line["name"], "--json")
    assert json.loads(resumed.out)["out"] == str(Path("..", "new.csv"))
    assert (len(pd.read_csv(tmp_path / "new.csv")), (tmp_path / "page.html").exists()) == (8, True)
    assert str(tmp_path) not in stopped.err + stopped.out + resumed.err + resumed.out
    assert not list((tmp_path / "elsewhere").iterdir())
    assert not (tmp_path / "cache" / "tagal_dspy" / "answers").exists()


def test_run_that_used_no_cache_is_resumed_without_one(generate: Any, tagal: Any, tmp_path: Path) -> None:
    generate("--max-calls", 1)
    [line] = json.loads(tagal("runs", "list", "--json").out)
    assert tagal("runs", "resume", line["name"]).code == 0
    assert not (tmp_path / "cache").exists()


def test_run_that_something_else_stopped_is_resumed_within_its_budget(generate: Any, tagal: Any) -> None:
    generate("--max-calls", 1)
    [line] = json.loads(tagal("runs", "list", "--json").out)
    with closing(sqlite3.connect(runs_dir() / f"{line['name']}.sqlite")) as database:
        database.execute("UPDATE facts SET value = 'false' WHERE name = 'budget_used_up'")
        database.commit()
    n_asked = len(ASKED)
    assert "the budget of 1 calls is used up" in tagal("runs", "resume", line["name"]).err
    assert len(ASKED) == n_asked
    assert tagal("runs", "resume", line["name"]).code == 0


def test_attempt_that_comes_less_far_leaves_the_rows_of_an_earlier_one(
    generate: Any, tagal: Any, tmp_path: Path
) -> None:
    assert generate("--max-calls", 2, "--concurrency", 1).code == 2
    [line] = json.loads(tagal("runs", "list", "--json").out)
    written = pd.read_csv(tmp_path / "new.csv")
    assert tagal("runs", "resume", line["name"], "--max-calls", 1).code == 2
    assert len(written) > 0
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "new.csv"), written)


def test_run_whose_facts_are_of_another_kind_is_listed_as_damaged(generate: Any, tagal: Any) -> None:
    generate()
    [line] = json.loads(tagal("runs", "list", "--json").out)
    with closing(sqlite3.connect(runs_dir() / f"{line['name']}.sqlite")) as database:
        database.execute("UPDATE facts SET value = '\"yesterday\"' WHERE name = 'began'")
        database.commit()
    [line] = json.loads(tagal("runs", "list", "--json").out)
    assert "damaged" in line["status"]


def test_run_that_used_up_its_money_is_ended(generate: Any, tagal: Any) -> None:
    # The server counts 10 prompt tokens and 5 completion tokens a call: 20 dollars.
    stopped = generate("--price", 1_000_000, 2_000_000, "--max-cost", 15, "--concurrency", 1)
    assert stopped.code == 2
    assert "the budget of 15 is used up" in stopped.err
    [line] = json.loads(tagal("runs", "list", "--json").out)
    shown = json.loads(tagal("runs", "show", line["name"], "--json").out)
    assert shown["cost"] == 20 * len(ASKED)


def test_limit_on_the_cost_of_a_model_without_a_price_is_refused(generate: Any) -> None:
    assert "the price of this model is not known" in generate("--max-cost", 15).err


def test_run_of_another_seed_is_not_resumed(generate: Any, tmp_path: Path) -> None:
    assert generate("--run", tmp_path / "mine.sqlite").code == 0
    other = generate("--run", tmp_path / "mine.sqlite", "--seed", 3, "--force")
    assert (other.code, len(other.problem)) == (2, 1)
    assert "seed was 0, now 3" in other.err


def test_accepted_rows_are_exported(generate: Any, tagal: Any, tmp_path: Path) -> None:
    assert generate("--run", tmp_path / "mine.sqlite").code == 0
    assert tagal("runs", "export", tmp_path / "mine.sqlite", "--out", tmp_path / "copy.csv").code == 0
    assert (tmp_path / "copy.csv").read_text() == (tmp_path / "new.csv").read_text()
    assert tagal("runs", "export", tmp_path / "mine.sqlite", "--out", tmp_path / "copy.csv").code == 2


def test_rows_that_were_not_selected_are_counted_and_exported_apart(generate: Any, tagal: Any, tmp_path: Path) -> None:
    run = tmp_path / "mine.sqlite"
    assert generate("--run", run, "--overdraw", 2).code == 0
    kept = pd.read_csv(tmp_path / "new.csv")
    assert json.loads(tagal("runs", "show", run, "--json").out)["not_selected"] == len(kept)
    assert tagal("runs", "export", run, "--out", tmp_path / "left.csv", "--not-selected").code == 0
    assert len(pd.read_csv(tmp_path / "left.csv")) == len(kept)


def test_run_without_selection_has_no_rows_that_were_not_selected(generate: Any, tagal: Any, tmp_path: Path) -> None:
    assert generate("--run", tmp_path / "mine.sqlite").code == 0
    refused = tagal("runs", "export", tmp_path / "mine.sqlite", "--out", tmp_path / "left.csv", "--not-selected")
    assert (refused.code, len(refused.problem)) == (2, 1)
    assert "no row that was accepted but not selected" in refused.err


def test_run_is_shown_and_removed(generate: Any, tagal: Any, tmp_path: Path) -> None:
    assert generate("--run", tmp_path / "mine.sqlite").code == 0
    shown = json.loads(tagal("runs", "show", tmp_path / "mine.sqlite", "--json").out)
    assert shown["fingerprint"]["seed"] == 0
    assert shown["usage"]["openai/fake"]["calls"] == len(ASKED)
    assert "status: finished" in tagal("runs", "show", tmp_path / "mine.sqlite").out
    assert tagal("runs", "rm", tmp_path / "mine.sqlite").code == 0
    assert not list(tmp_path.glob("mine.sqlite*"))


def test_what_fails_before_the_first_call_leaves_no_run(generate: Any, tagal: Any) -> None:
    assert generate("--where", "age > 900").code == 2
    assert "no run is recorded" in tagal("runs", "list").out


@pytest.mark.parametrize("command", [("show",), ("resume",), ("rm",), ("export", "--out", "x.csv")])
def test_unknown_run_is_one_line(tagal: Any, command: tuple[str, ...]) -> None:
    name, *more = command
    ran = tagal("runs", name, "nothing", *more)
    assert (ran.code, ran.err.strip()) == (2, "tagal: run nothing does not exist")
