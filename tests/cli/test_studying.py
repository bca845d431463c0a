"""`tagal study`: begun, helped with, reported, and the winner used."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import optuna
import pytest
from scripts import shop_frame, shop_rows
from servers import chat_server

CONFIG = """
rows = 12
preset = "grounded"
critic = "none"
n_iter = 1
price = [1.0, 2.0]

[bounds]
n_shots = [2, 6]
temperature = [0.5, 1.0]

[study]
seeds = [0, 1]
finalists = 2
fresh = 2
"""


def write_rows(body: dict[str, Any]) -> str:
    return f"[[ ## rows ## ]]\n{shop_rows(20, random.Random())}\n\n[[ ## completed ## ]]"


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with chat_server(write_rows) as address:
        yield address


@pytest.fixture
def place(tmp_path: Path) -> list[object]:
    return ["--name", "shop", "--storage", tmp_path / "study.journal"]


@pytest.fixture
def quiet() -> Iterator[None]:
    before = optuna.logging.get_verbosity()
    yield
    optuna.logging.set_verbosity(before)


@pytest.fixture
def run(tagal: Any, shop_csv: Path, server: str, tmp_path: Path, place: list[object], quiet: None) -> Any:
    """Run a study with a config."""

    def begin(config: str = CONFIG, *more: object) -> Any:
        path = tmp_path / "space.toml"
        path.write_text(config)
        model = ["--lm", "openai/x", "--api-base", server, "--config", path]  # no target: utility takes long
        return tagal("study", "run", shop_csv, *model, *place, "--trials", 2, *more)

    return begin


def test_study_is_run_and_reported_and_its_winner_writes_rows(
    tagal: Any, run: Any, shop_csv: Path, server: str, tmp_path: Path, place: list[object]
) -> None:
    begun = run()
    assert begun.code == 0, begun.err
    assert "2 trials are finished, 2 of them here" in begun.err
    assert tagal("study", "worker", *place).err.splitlines()[-1] == "2 trials are finished, 0 of them here"
    files = {kind: tmp_path / f"study.{kind}" for kind in ("html", "md", "csv", "toml")}
    options = ["--html", files["html"], "--markdown", files["md"], "--csv", files["csv"], "--best", files["toml"]]
    told = tagal("study", "report", *place, *options, "--json")
    assert told.code == 0, told.err
    found = json.loads(told.out)
    assert found["n_trials"] == 2
    assert found["best"]["test"]["n"] == 2
    assert found["best"]["cost"] > 0
    assert "<svg" in files["html"].read_text()
    assert files["md"].read_text().startswith("# Study: shop")
    assert len(files["csv"].read_text().splitlines()) == 3
    real = {str(value) for value in shop_frame()["income"]}
    assert not any(f">{value}<" in files["html"].read_text() for value in real)
    wrote = tagal(
        "generate",
        shop_csv,
        "--config",
        files["toml"],
        "--api-base",
        server,
        "--rows",
        5,
        "--out",
        tmp_path / "new.csv",
    )
    assert wrote.code == 0, wrote.err
    assert len(list((tmp_path / "study.journal.artifacts").iterdir())) == 2 * 5


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("n_shots = [2, 6]", "n_shot = [2, 6]", "'n_shot' is not a parameter; did you mean 'n_shots'?"),
        ("n_shots = [2, 6]", "n_shots = []", "the bounds of 'n_shots' are empty"),
        ("n_shots = [2, 6]", "n_shots = [6, 2]", "the bounds of 'n_shots' are inverted: 6 > 2"),
        ("seeds = [0, 1]", "seed = [0, 1]", "seed: Extra inputs are not permitted"),
        ("rows = 12", "rows = 12\nwhere = 'age > 30'", "a study writes rows of any kind; leave out where"),
        ("rows = 12", "rows = 12\nn_shots = 3", "n_shots: fixed by the settings and varied by the bounds"),
        ("rows = 12", "rows = 12\nprogram = 'none.json'", "none.json cannot be read"),
    ],
)
def test_study_that_cannot_be_is_one_line(run: Any, old: str, new: str, message: str) -> None:
    ran = run(CONFIG.replace(old, new))
    assert (ran.code, len(ran.problem)) == (2, 1)
    assert message in ran.err


def test_study_of_another_space_under_the_same_name_is_one_line(run: Any) -> None:
    run(CONFIG, "--max-calls", 1)
    ran = run(CONFIG.replace("[2, 6]", "[2, 7]"))
    assert (ran.code, len(ran.problem)) == (2, 1)
    assert "the study 'shop' is of something else: bounds of n_shots was" in ran.err


def test_budget_is_shared_by_all_trials_and_said_to_be_used_up(run: Any) -> None:
    ran = run(CONFIG, "--max-calls", 3)
    assert ran.code == 2
    assert "the budget of 3 calls is used up" in ran.err


@pytest.mark.parametrize("command", ["worker", "report"])
def test_study_that_is_not_there_is_one_line(tagal: Any, command: str, place: list[object]) -> None:
    ran = tagal("study", command, *place)
    assert (ran.code, len(ran.problem)) == (2, 1)
    assert "this storage does not hold study 'shop'; it holds none" in ran.err


def test_storage_that_cannot_be_reached_is_one_line(tagal: Any) -> None:
    ran = tagal("study", "worker", "--name", "a", "--storage", "postgresql://me:secret@127.0.0.1:9/study")
    assert (ran.code, len(ran.problem)) == (2, 1)
    assert "127.0.0.1:9/study cannot be reached" in ran.err
    assert "secret" not in ran.err
