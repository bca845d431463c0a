"""Files are replaced only when forced and as a whole; no key reaches a file, no control character the screen."""

from __future__ import annotations

import json
import logging
import pickle
import random
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from dspy.utils.exceptions import LMError
from scripts import shop_frame, shop_rows
from servers import chat_server, error

from tagal_dspy import Recorder, RunStore, TableMetric, TagalSynthesizer, make_lm
from tagal_dspy.characters import HIDDEN
from tagal_dspy.datasets import guarded, replacing, write_table
from tagal_dspy.engines.remote import AsyncRemoteEngine
from tagal_dspy.errors import OutputError, SettingsError


def write_rows(body: dict[str, Any]) -> str:
    return f"[[ ## rows ## ]]\n{shop_rows(9, random.Random(repr(body)))}\n\n[[ ## completed ## ]]"


@pytest.fixture
def server() -> Iterator[str]:
    with chat_server(write_rows) as address:
        yield address


@pytest.fixture
def commands(tagal: Any, shop_csv: Path, server: str, tmp_path: Path) -> dict[str, list[object]]:
    """By name, what writes a file when a path is put behind it."""
    asked = [shop_csv, "--target", "buys", "--lm", "openai/x", "--api-base", server, "--critic", "none", "--rows", 5]
    run = ["--run", tmp_path / "mine.sqlite"]
    assert tagal("generate", *asked, *run, "--out", tmp_path / "new.csv").code == 0
    evaluate = ["evaluate", "--real", shop_csv, "--synthetic", shop_csv, "--target", "buys"]
    return {
        "generate": ["generate", *asked, "--out"],
        "generate --html": ["generate", *asked, "--out", tmp_path / "other.csv", "--html"],
        "runs export": ["runs", "export", tmp_path / "mine.sqlite", "--out"],
        "runs resume": ["runs", "resume", tmp_path / "mine.sqlite", "--out"],
        "evaluate --html": [*evaluate, "--html"],
        "evaluate --markdown": [*evaluate, "--markdown"],
        "evaluate --latex": [*evaluate, "--latex"],
    }


NAMES = ["generate", "generate --html", "runs export", "runs resume"]
NAMES += ["evaluate --html", "evaluate --markdown", "evaluate --latex"]


@pytest.mark.parametrize("name", NAMES)
def test_no_command_replaces_a_file_unless_forced(
    name: str, commands: dict[str, list[object]], tagal: Any, tmp_path: Path
) -> None:
    kept = tmp_path / "kept.csv"
    kept.write_text("precious")
    ran = tagal(*commands[name], kept)
    assert (ran.code, kept.read_text()) == (2, "precious")
    assert "use --force" in ran.err
    (tmp_path / "folder.csv").mkdir()
    assert "is not a file" in tagal(*commands[name], tmp_path / "folder.csv", "--force").err


@pytest.mark.parametrize("name", ["generate", "runs export", "runs resume"])
def test_forced_command_replaces_the_file(
    name: str, commands: dict[str, list[object]], tagal: Any, tmp_path: Path
) -> None:
    kept = tmp_path / "kept.csv"
    kept.write_text("precious")
    assert tagal(*commands[name], kept, "--force").code == 0
    assert len(pd.read_csv(kept)) == 5
    assert not list(tmp_path.glob(".*.part"))


def test_file_that_cannot_be_written_whole_is_left_as_it_was(tmp_path: Path) -> None:
    kept = tmp_path / "kept.csv"
    kept.write_text("precious")

    def half_written() -> None:
        with replacing(kept) as new:
            new.write_text("half")
            raise OSError(28, "No space left on device")

    with pytest.raises(OutputError, match=r"kept\.csv cannot be written: No space left on device"):
        half_written()
    assert [path.name for path in tmp_path.iterdir()] == ["kept.csv"]
    assert kept.read_text() == "precious"


FORMULAS = ["=cmd()", "+1", "-1x", "@SUM(A1)", "\t=1", " =1", "\r=1", "fine", "a=b", "", "'x"]


def test_formulas_are_written_as_they_are_unless_guarded(tmp_path: Path) -> None:
    frame = pd.DataFrame({"=a": FORMULAS, "n": range(-5, 6), "c": pd.Categorical(FORMULAS)})
    write_table(frame, tmp_path / "a.csv")
    assert pd.read_csv(tmp_path / "a.csv", keep_default_na=False)["=a"].tolist() == FORMULAS
    write_table(guarded(frame), tmp_path / "b.csv")
    read = pd.read_csv(tmp_path / "b.csv", keep_default_na=False)
    assert read["'=a"].tolist() == read["c"].tolist() == [f"'{text}" for text in FORMULAS[:7]] + FORMULAS[7:]
    assert read["n"].tolist() == list(range(-5, 6))


def test_guard_is_an_option_that_a_resumed_run_keeps(tagal: Any, tmp_path: Path) -> None:
    frame = shop_frame().replace({"city": {"Ghent": "=cmd()"}})
    frame.to_csv(tmp_path / "shop.csv", index=False)
    row = "[[ ## rows ## ]]\n30,20.5,=cmd(),no\n31,20.5,=cmd(),yes\n[[ ## completed ## ]]"
    out, run = tmp_path / "new.csv", tmp_path / "mine.sqlite"
    with chat_server(lambda body: row) as address:
        made = ["--target", "buys", "--lm", "openai/x", "--api-base", address, "--critic", "none", "--run", run]
        asked = [tmp_path / "shop.csv", *made, "--rows-per", "yes=1", "--rows-per", "no=1", "--out", out]
        assert tagal("generate", *asked, "--guard-formulas").code == 0
        assert set(pd.read_csv(out)["city"]) == {"'=cmd()"}
        assert tagal("runs", "resume", run).code == 0
    assert set(pd.read_csv(out)["city"]) == {"'=cmd()"}
    for more, city in (([], "=cmd()"), (["--guard-formulas"], "'=cmd()")):
        assert tagal("runs", "export", run, "--out", tmp_path / f"{len(more)}.csv", *more).code == 0
        assert set(pd.read_csv(tmp_path / f"{len(more)}.csv")["city"]) == {city}


def hidden(text: str) -> set[str]:
    return {char for char in text if unicodedata.category(char) in HIDDEN} - {"\n", "\t"}


def test_nothing_that_a_terminal_obeys_is_printed_of_a_table(tagal: Any, tmp_path: Path) -> None:
    cities = ["\x1b[2Jcleared", "\u202egnp.exe", "a\x9b31mb", "zero\u200bwidth", "\x07bell\x08"]
    frame = shop_frame().assign(city=[cities[i % 5] for i in range(120)]).rename(columns={"age": "a\x1b[31mge"})
    frame = frame.assign(buys=frame["buys"].replace({"yes": "\u202eyes"}))
    path = tmp_path / "shop.jsonl"
    write_table(frame, path)
    table = [path, "--target", "buys"]
    for command in (
        ["describe", *table],
        ["describe", *table, "--json"],
        ["describe", *table, "--suggest-rules"],
        ["preview", *table, "--lm", "openai/x"],
        ["describe", path, "--target", "a\x1b]0;x"],
        ["generate", *table, "--where", "city == '\x1b[2Jnope'", "--lm", "openai/x", "--rows", 3],
    ):
        ran = tagal(*command)
        assert hidden(ran.out + ran.err) == set()
        assert ran.out + ran.err
    as_json = tagal("describe", *table, "--json").out
    assert "\\u202e" in as_json
    assert json.loads(as_json)["columns"][0]["name"] == "a\x1b[31mge"


KEY = "sk-do-not-show-this-0123456789"


def test_key_is_in_nothing_that_is_shown_or_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    caplog.set_level(logging.DEBUG)
    shown: list[str | bytes] = []
    with chat_server(write_rows) as address:
        lm = make_lm("openai/x", api_base=address, api_key=KEY, cache=False)
        made = TagalSynthesizer(lm, critic="none", seed=1).fit(shop_frame(), "buys")
        with RunStore(tmp_path / "run.sqlite") as store:
            made.sample(5, recorder=Recorder(store))
            shown += [repr(store)]
        program = made.program_
        program.generator.predict.lm = lm
        program.save(tmp_path / "program.json")
        program.save(tmp_path / "whole", save_program=True)
        other = AsyncRemoteEngine("openai/x", api_key=KEY, api_base=address)
        things = [
            lm,
            lm.engine,
            other,
            program,
            made,
            made.task_,
            made.prediction_,
            TableMetric(),
            lm.history,
        ]
        shown += [text for thing in things for text in (repr(thing), str(thing))]
        shown += [pickle.dumps(thing) for thing in (lm.engine, other, lm, program)]
        shown += [json.dumps(lm.dump_state(), default=repr)]
    with chat_server(lambda body: error(401, f"the key {KEY} is wrong")) as address:
        refused = make_lm("openai/y", api_base=address, api_key=KEY, cache=False)
        with pytest.raises(LMError) as caught:
            refused("hello")
    shown += [repr(caught.value), str(caught.value), caplog.text]
    shown += [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()]
    texts = [each if isinstance(each, bytes) else each.encode() for each in shown]
    assert [text[:200] for text in texts if KEY.encode() in text] == []
    assert len(texts) > 25


@pytest.mark.parametrize("address", ["https://me:secret@host/v1", "https://host/v1?key=secret"])
def test_address_with_a_secret_is_refused_without_saying_it(address: str) -> None:
    with pytest.raises(SettingsError) as caught:
        make_lm("openai/x", api_base=address)
    assert "secret" not in str(caught.value)
