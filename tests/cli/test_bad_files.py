"""Files of wrong types, deep nesting or another version are refused in one line, before anything is asked."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from servers import chat_server

from tagal_dspy.modules import SynthLoop
from tagal_dspy.recording import RunStore
from tagal_dspy.settings import run_settings

DEEP = 50_000


@pytest.fixture
def refused(tagal: Any, shop_csv: Path, tmp_path: Path) -> Iterator[Any]:
    """Run a command that must end with one line and exit code 2, and ask nothing."""
    asked: list[dict[str, Any]] = []

    def answer(body: dict[str, Any]) -> str:
        asked.append(body)
        return ""

    with chat_server(answer) as address:

        def run(*arguments: object) -> str:
            ran = tagal(*arguments)
            assert (ran.code, len(ran.problem), ran.out) == (2, 1, ""), ran.err
            assert ran.err.startswith("tagal: ")
            return str(ran.err)

        run.lm = ("--lm", "openai/fake", "--api-base", address)  # type: ignore[attr-defined]
        yield run
    assert not asked


def program(**changes: Any) -> dict[str, Any]:
    state = SynthLoop(run_settings("grounded", n_iter=1, critic="eye")).dump_state()
    return {**state, **changes}


PREDICTOR = program()["generator.predict"]
SIGNATURE = PREDICTOR["signature"]
PROGRAMS: dict[str, str] = {
    "empty": "",
    "number": "5",
    "list": "[]",
    "nothing": "{}",
    "deep": "[" * DEEP,
    "deep settings": '{"settings": ' + '{"a": ' * DEEP + "1" + "}" * (DEEP + 1),
    "binary": "\x00\x01",
    "settings are a number": json.dumps(program(settings=5)),
    "settings of wrong types": json.dumps(program(settings={"method": "synth-loop", "n_iter": "many"})),
    "settings unknown": json.dumps(program(settings={"method": "synth-loop", "n_itr": 3})),
    "method of a wrong type": json.dumps(program(settings={"method": ["synth-loop"]})),
    "predictor is a number": json.dumps(program(**{"generator.predict": 5})),
    "predictor is empty": json.dumps(program(**{"generator.predict": {}})),
    "signature is a list": json.dumps(program(**{"generator.predict": {**PREDICTOR, "signature": [1]}})),
    "fields are numbers": json.dumps(
        program(**{"generator.predict": {**PREDICTOR, "signature": {**SIGNATURE, "fields": [1] * 8}}})
    ),
    "instructions are a number": json.dumps(
        program(**{"generator.predict": {**PREDICTOR, "signature": {**SIGNATURE, "instructions": 5}}})
    ),
    "demos are a number": json.dumps(program(**{"generator.predict": {**PREDICTOR, "demos": 5}})),
    "metadata is a number": json.dumps(program(metadata=5)),
    "versions are a list": json.dumps(program(metadata={"dependency_versions": [1]})),
    "version is a number": json.dumps(program(metadata={"dependency_versions": {"dspy": 3}})),
    "lineage is a text": json.dumps(program(lineage="x")),
    "newer": json.dumps(program(metadata={"dependency_versions": {"tagal-dspy": "99.0"}})),
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_program_file_that_cannot_be_used_is_refused_in_one_line(
    name: str, refused: Any, shop_csv: Path, tmp_path: Path
) -> None:
    (tmp_path / "program.json").write_text(PROGRAMS[name])
    message = refused("generate", shop_csv, "--target", "buys", *refused.lm, "--program", tmp_path / "program.json")
    assert "program" in message


CONFIGS = {
    "not toml": "rows = ",
    "deep": f"rows = {'[' * DEEP}",
    "rows of a wrong type": 'rows = "many"',
    "model of a wrong type": "critic_lm = 5",
    "price of a wrong type": 'price = "cheap"',
    "table is a number": "table = 5",
    "table unknown": "[table]\ntarge = 'buys'",
    "rules are a number": "rules = 5",
    "rule of a wrong kind": "[[rules]]\nkind = 5",
    "budget of a wrong type": "[budget]\nmax_calls = 'few'",
    "negative budget": "max_calls = -1",
    "price is not a number": "price = [nan, 1.0]\nmax_cost = 1.0",
    "settings of a wrong type": "[settings]\nn_iter = [1]",
    "unknown name": "row = 3",
}


@pytest.mark.parametrize("name", CONFIGS)
def test_config_file_that_cannot_be_used_is_refused_in_one_line(
    name: str, refused: Any, shop_csv: Path, tmp_path: Path
) -> None:
    (tmp_path / "run.toml").write_text(CONFIGS[name])
    refused("generate", shop_csv, "--target", "buys", *refused.lm, "--config", tmp_path / "run.toml")


@pytest.mark.parametrize("text", ["bounds = 5", "study = 5", "[study]\nseeds = 'all'", "[bounds]\nn_shots = 'x'"])
def test_config_of_a_study_that_cannot_be_used_is_refused_in_one_line(
    text: str, refused: Any, shop_csv: Path, tmp_path: Path
) -> None:
    (tmp_path / "space.toml").write_text(text)
    place = ("--name", "s", "--storage", tmp_path / "s.sqlite")
    refused("study", "run", shop_csv, "--target", "buys", *refused.lm, "--config", tmp_path / "space.toml", *place)


FACTS = {
    "no JSON": ("command", "{"),
    "deep": ("command", "[" * DEEP),
    "command is a number": ("command", "5"),
    "command is empty": ("command", "{}"),
    "command of wrong types": ("command", '{"folder": 5, "options": [], "output": {}, "data": "x", "cache": null}'),
    "optimize of wrong types": (
        "command",
        '{"kind": "optimize", "folder": ".", "options": 5, "asked": {}, "output": {}}',
    ),
    "options of wrong types": (
        "command",
        '{"folder": ".", "options": {"rows": "x"}, "output": {"out": null, "html": null}, "data": "x", "cache": null}',
    ),
}


@pytest.mark.parametrize("name", FACTS)
def test_run_file_that_is_damaged_is_refused_in_one_line(name: str, refused: Any, tagal: Any, tmp_path: Path) -> None:
    path = tmp_path / "run.sqlite"
    with RunStore(path) as store:
        store.note("command", {})
    with closing(sqlite3.connect(path)) as database:
        database.execute("INSERT OR REPLACE INTO facts VALUES (?, ?)", FACTS[name])
        database.commit()
    refused("runs", "resume", path)
    assert tagal("runs", "rm", path).code == 0
    assert not path.exists()


def test_file_of_somebody_else_is_refused_by_every_command_on_runs(
    refused: Any, shop_csv: Path, tmp_path: Path
) -> None:
    path = tmp_path / "other.db"
    with closing(sqlite3.connect(path)) as database:
        database.execute("CREATE TABLE precious (it TEXT)")
        database.commit()
    before = path.read_bytes()
    for command in ("show", "resume", "rm"):
        assert "is not a recorded run" in refused("runs", command, path)
    refused("runs", "export", path, "--out", tmp_path / "new.csv")
    refused("generate", shop_csv, "--target", "buys", *refused.lm, "--critic", "none", "--run", path)
    assert path.read_bytes() == before


@pytest.mark.parametrize("place", ["the folder of runs", "the cache", "a name of a run"])
def test_place_that_the_system_refuses_is_one_line(
    place: str, refused: Any, shop_csv: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "file"
    file.touch()
    if place == "a name of a run":
        assert "cannot be used: File name too long" in refused("runs", "show", "x" * 300)
        return
    cached = ("--cache-dir", file) if place == "the cache" else ()
    if not cached:
        monkeypatch.setenv("TAGAL_RUNS_DIR", str(file))
    written = ("--critic", "none", "--out", tmp_path / "new.csv")
    assert "file cannot be used" in refused("generate", shop_csv, "--target", "buys", *refused.lm, *written, *cached)
