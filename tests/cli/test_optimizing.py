"""`tagal optimize`, `tagal transfer` and `tagal generate --program`, against a server that obeys a planted sentence."""

from __future__ import annotations

import io
import json
import random
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import pytest
from scripts import shop_frame
from servers import chat_server, hang

from tagal_dspy import SynthLoop, load_program
from tagal_dspy.cli import main
from tagal_dspy.errors import DataError, RunError
from tagal_dspy.recording import load_run

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")

PLANTED = "Write people like those you see."
ASKED: list[str] = []


def answer(body: dict[str, Any]) -> str:
    """Rows that copy the real columns where the instructions say so, else one row again and again."""
    text = "\n".join(message["content"] for message in body["messages"])
    ASKED.append(text)
    rng = random.Random(text)
    if "new_instructions" in text:
        return f"[[ ## new_instructions ## ]]\n{PLANTED}\n\n[[ ## completed ## ]]"
    if PLANTED in text:
        rows = shop_frame(8, rng.randrange(10**6)).to_csv(index=False, header=False)
    else:
        rows = "\n".join(f"{rng.randint(70, 79)},{rng.uniform(50, 60):.1f},Ghent,no" for _ in range(8))
    return f"[[ ## rows ## ]]\n{rows}\n\n[[ ## completed ## ]]"


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with chat_server(answer) as address:
        yield address


def command(data: Path, server: str, *more: object, budget: str = "40calls") -> list[str]:
    lm = ("--lm", "openai/fake", "--api-base", server, "--budget", budget)
    made = ("--critic", "none", "--iterations", 1, "--shots", 2, "--preset", "paper", "--rows", 8, "--tasks", 1, 1, 6)
    return ["optimize", *map(str, (data, *lm, *made, *more))]


@pytest.fixture(scope="module")
def optimized(server: str, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str, str]:
    """The folder of a finished command, and what it printed."""
    folder = tmp_path_factory.mktemp("optimized")
    shop_frame().to_csv(folder / "shop.csv", index=False)
    files = ("--out", folder / "program.json", "--html", folder / "lineage.html", "--run", folder / "run.sqlite")
    out, err = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        patch.setattr(sys, "argv", ["tagal", *command(folder / "shop.csv", server, *files)])
        with pytest.raises(SystemExit, match="0"):
            main()
    return folder, out.getvalue(), err.getvalue()


def test_verdict_and_candidates_are_shown_and_nothing_of_dspy(optimized: tuple[Path, str, str]) -> None:
    _, out, err = optimized
    assert out.startswith("significant gain: +")
    assert "Candidates; 0 is the seed program" in " ".join(out.split())
    assert "The optimized program is in" in out
    assert all(re.fullmatch(r"\d+ calls; \d+ tokens of 40 calls", line) for line in err.splitlines())


def test_optimized_program_is_a_file_that_holds_the_better_prompt(optimized: tuple[Path, str, str]) -> None:
    program = load_program(optimized[0] / "program.json")
    assert program.generator.predict.signature.instructions == PLANTED
    assert program.lineage is not None
    assert program.lineage["improved"]


def test_page_shows_proof_tree_diff_and_rows(optimized: tuple[Path, str, str]) -> None:
    text = (optimized[0] / "lineage.html").read_text()
    for part in ("Significant gain", '<th scope="row">— 1</th>', f"+{PLANTED}", "Some rows it wrote", "<svg"):
        assert part in text


def test_same_command_goes_on_from_its_record_and_asks_nothing_again(
    optimized: tuple[Path, str, str], tagal: Any, server: str, tmp_path: Path
) -> None:
    folder, n_asked = optimized[0], len(ASKED)
    files = ("--out", tmp_path / "again.json", "--run", folder / "run.sqlite", "--json")
    ran = tagal(*command(folder / "shop.csv", server, *files))
    assert json.loads(ran.out)["verdict"].startswith("significant gain")
    assert (tmp_path / "again.json").read_text() == (folder / "program.json").read_text()
    assert len(ASKED) == n_asked
    resumed = tagal("runs", "resume", folder / "run.sqlite", "--out", tmp_path / "resumed.json")
    assert resumed.code == 0
    assert (tmp_path / "resumed.json").read_text() == (folder / "program.json").read_text()
    assert len(ASKED) == n_asked


def test_rows_are_generated_with_a_program_and_its_settings(
    optimized: tuple[Path, str, str], tagal: Any, shop_csv: Path, server: str
) -> None:
    lm = ("--lm", "openai/fake", "--api-base", server)
    ran = tagal("generate", shop_csv, *lm, "--program", optimized[0] / "program.json", "--rows", 5, "--shots", 3)
    assert (ran.code, len(ran.out.splitlines())) == (0, 6)
    assert PLANTED in ASKED[-1]
    [run] = json.loads(tagal("runs", "list", "--json").out)
    made = json.loads(tagal("runs", "show", run["name"], "--json").out)["fingerprint"]
    assert (made["n_shots"], made["n_iter"], made["preset"]) == (3, 1, "paper")
    assert tagal("runs", "resume", run["name"]).out == ran.out


def test_programs_are_compared_on_another_table(
    optimized: tuple[Path, str, str], tagal: Any, server: str, tmp_path: Path
) -> None:
    seed = load_program(optimized[0] / "program.json")
    seed.generator.predict.signature = SynthLoop().generator.predict.signature
    seed.save(tmp_path / "seed.json")
    shop_frame(seed=3).to_csv(tmp_path / "other.csv", index=False)
    programs = ("--program", tmp_path / "seed.json", "--program", optimized[0] / "program.json")
    lm = ("--lm", "openai/fake", "--api-base", server)
    asked = ("--rows", 8, "--tasks", 2, "--markdown", tmp_path / "scores.md", "--json")
    before, after = json.loads(tagal("transfer", tmp_path / "other.csv", *programs, *lm, *asked).out)
    assert (before["program"], after["program"], after["table"], after["n"]) == ("seed", "program", "other", 2)
    assert before["high"] < after["score"]
    assert "| seed | other | openai/fake |" in (tmp_path / "scores.md").read_text()


def test_dry_run_tells_calls_tokens_money_and_time_and_asks_nothing(tagal: Any, shop_csv: Path, server: str) -> None:
    n_asked = len(ASKED)
    asked = command(shop_csv, server, "--dry-run", "--price", 1, 2)
    found = json.loads(tagal(*asked, "--json").out)
    assert found["calls"] == [16, 40]
    assert found["tokens"][1] == 40 * found["table"]["tokens"]
    assert found["cost"][0] == pytest.approx(16 * found["table"]["cost"])
    assert found["seconds"] == [4, 100]
    assert "calls: 16 to 40\n" in tagal(*asked).out
    told = tagal(*command(shop_csv, server, "--dry-run")).out
    assert "cost: not known; give --price" in told
    assert re.search(r"6 held-out tables confirm a gain of \d\.\d\d four times out of five", told)
    assert len(ASKED) == n_asked


def test_settings_within_the_bounds_of_a_file_are_searched(
    tagal: Any, shop_csv: Path, server: str, tmp_path: Path
) -> None:
    config, out = tmp_path / "search.toml", tmp_path / "found.json"
    config.write_text("[bounds]\nn_shots = [2, 5]\n")
    made = command(shop_csv, server, "--optimizer", "optuna", "--config", config, "--out", out, budget="60calls")
    assert "significant gain" in tagal(*made, "--html", tmp_path / "found.html").out
    found = json.loads(out.read_text())
    assert 2 <= found["settings"]["n_shots"] <= 5
    tried = {each["settings"].get("n_shots", 2) for each in found["lineage"]["candidates"]}
    assert len(tried) > 1
    assert tried <= {2, 3, 4, 5}
    assert "Settings that differ from those of the seed program" in (tmp_path / "found.html").read_text()


def saved(folder: Path, **change: Any) -> Path:
    path = folder / "saved.json"
    SynthLoop().save(path)
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    return path


@pytest.mark.parametrize(
    ("more", "budget", "said"),
    [
        (("--optimizer", "gepq"), "40calls", "optimizer 'gepq' is unknown; did you mean 'gepa'"),
        ((), "15calls", "too small for one candidate: 16 tables of about 1 calls"),
        ((), "5 euros", "write it as 500calls, 1Mtok or 2usd"),
        ((), "1usd", "the price of the model is not known"),
        (("--optimizer", "bootstrap"), "40calls", "allow them with demos=True (--allow-demos)"),
        (("--tasks", 1, 1, 2), "40calls", "2 tasks in held_out; give at least 6"),
        (("--out", "program.csv"), "40calls", "must end in .json"),
        (("--api-base", "http://x", "--lm", "local"), "40calls", "--api-base is for models on a server"),
    ],
)
def test_bad_input_is_one_line_before_any_call(
    more: tuple[object, ...], budget: str, said: str, tagal: Any, shop_csv: Path, server: str
) -> None:
    n_asked = len(ASKED)
    ran = tagal(*command(shop_csv, server, *more, budget=budget))
    assert (ran.code, len(ran.problem), len(ASKED)) == (2, 1, n_asked)
    assert said in ran.err
    assert json.loads(tagal("runs", "list", "--json").out) == []


def test_program_file_of_another_structure_or_version_is_refused(
    tagal: Any, shop_csv: Path, server: str, tmp_path: Path
) -> None:
    for change, said in (
        ({"other": {}}, "holds the predictors"),
        ({"lineage": {"versions": {"tagal-dspy": "99.0.0"}}}, "saved with tagal-dspy 99.0.0"),
        ({"settings": {}}, "does not hold a program of tagal_dspy"),
    ):
        path = saved(tmp_path, **change)
        for asked in (("generate", shop_csv), ("transfer", shop_csv), ("optimize", shop_csv, "--budget", "40calls")):
            ran = tagal(*asked, "--lm", "openai/fake", "--api-base", server, "--program", path)
            assert (ran.code, len(ran.problem)) == (2, 1)
            assert said in ran.err
    assert "leave out the preset" in tagal("generate", shop_csv, "--program", path, "--preset", "paper").err


def n_calls(run: Path) -> int:
    try:
        return load_run(run).n_calls
    except (DataError, RunError):  # not there yet
        return 0


@contextmanager
def started(shop_csv: Path, address: str, run: Path, n_answered: int) -> Iterator[subprocess.Popen[str]]:
    """`tagal optimize` in a process of its own, once so many calls are recorded."""
    asked = command(shop_csv, address, "--run", run, "--out", run.with_suffix(".json"))
    arguments = [sys.executable, "-W", "ignore", "-m", "tagal_dspy.cli", *map(str, asked)]
    with subprocess.Popen(arguments, stderr=subprocess.PIPE, text=True) as process:
        try:
            while n_calls(run) < n_answered:
                assert process.poll() is None
                time.sleep(0.05)
            yield process
        finally:
            process.kill()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_records_the_calls_under_way_and_says_how_to_resume(
    number: signal.Signals, shop_csv: Path, tmp_path: Path
) -> None:
    n_done = 0

    def slowly(body: dict[str, Any]) -> Any:
        nonlocal n_done
        time.sleep(0.5)
        n_done += 1
        return answer(body)

    with chat_server(slowly) as address, started(shop_csv, address, tmp_path / "run.sqlite", 3) as process:
        process.send_signal(number)
        _, err = process.communicate(timeout=20)
    assert process.returncode == 128 + number
    assert f"resume with: tagal runs resume {tmp_path / 'run.sqlite'}" in err
    assert "Traceback" not in err
    assert load_run(tmp_path / "run.sqlite").facts["status"] == "stopped"
    assert n_calls(tmp_path / "run.sqlite") == n_done > 3


def test_second_signal_leaves_at_once(shop_csv: Path, tmp_path: Path) -> None:
    left = threading.Semaphore(3)

    def then_hang(body: dict[str, Any]) -> Any:
        return answer(body) if left.acquire(blocking=False) else hang

    with chat_server(then_hang) as address, started(shop_csv, address, tmp_path / "run.sqlite", 3) as process:
        process.send_signal(signal.SIGINT)
        time.sleep(1)
        assert process.poll() is None
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=3) == 130
    assert n_calls(tmp_path / "run.sqlite") == 3
