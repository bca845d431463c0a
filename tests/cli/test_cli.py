"""The command line as a person uses it: files in, files out, one line and exit code 2 when something is wrong."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from scripts import shop_frame, shop_rows
from servers import chat_server, error

from tagal_dspy.engines import Weights
from tagal_dspy.errors import EngineError


def write_rows(body: dict[str, Any]) -> str:
    """Plays generator and critic."""
    asked = body["messages"][-1]["content"]
    if "[[ ## rows ## ]]`" not in asked:
        return "[[ ## strengths ## ]]\nfine\n\n[[ ## points ## ]]\n[]\n\n[[ ## completed ## ]]"
    return f"[[ ## rows ## ]]\n{shop_rows(20, random.Random())}\n\n[[ ## completed ## ]]"


@pytest.fixture
def server() -> Iterator[str]:
    with chat_server(write_rows) as address:
        yield address


def generate(tagal: Any, data: object, server: str, *more: object) -> Any:
    return tagal("generate", data, "--target", "buys", "--lm", "openai/x", "--api-base", server, *more)


def test_version_is_told(tagal: Any) -> None:
    assert tagal("--version").out == f"tagal {version('tagal-dspy')}\n"


def test_rows_are_written_to_the_file(tagal: Any, shop_csv: Path, server: str, tmp_path: Path) -> None:
    ran = generate(tagal, shop_csv, server, "--rows", 30, "--out", tmp_path / "new.csv")
    assert ran.code == 0
    written = pd.read_csv(tmp_path / "new.csv")
    assert len(written) == 30
    assert list(written.dtypes) == list(pd.read_csv(shop_csv).dtypes)
    assert "30 in" in ran.err
    assert "openai/x:" in ran.err


def test_rows_go_to_standard_output_without_a_file(tagal: Any, shop_csv: Path, server: str) -> None:
    ran = generate(tagal, shop_csv, server, "--rows", 5)
    assert ran.out.splitlines()[0] == "age,income,city,buys"
    assert len(ran.out.splitlines()) == 6


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".parquet", ".jsonl"])
def test_every_table_format_is_read_and_written(tagal: Any, server: str, tmp_path: Path, suffix: str) -> None:
    from tagal_dspy.datasets import read_table, write_table

    write_table(shop_frame(), tmp_path / f"real{suffix}")
    ran = generate(tagal, tmp_path / f"real{suffix}", server, "--rows", 5, "--out", tmp_path / f"new{suffix}")
    assert ran.code == 0
    assert read_table(tmp_path / f"new{suffix}").shape == (5, 4)


def test_same_seed_replays_the_same_file(tagal: Any, shop_csv: Path, server: str, tmp_path: Path) -> None:
    files = [tmp_path / name for name in ("a.csv", "b.csv", "c.csv")]
    for path, seed in zip(files, (1, 1, 2), strict=True):
        last = generate(tagal, shop_csv, server, "--rows", 20, "--seed", seed, "--out", path)
        assert last.code == 0
    assert files[0].read_bytes() == files[1].read_bytes()
    assert files[0].read_bytes() != files[2].read_bytes()


def test_no_cache_asks_again(tagal: Any, shop_csv: Path, server: str, tmp_path: Path) -> None:
    for name in ("a.csv", "b.csv"):
        generate(tagal, shop_csv, server, "--rows", 20, "--no-cache", "--out", tmp_path / name)
    assert (tmp_path / "a.csv").read_bytes() != (tmp_path / "b.csv").read_bytes()


def test_partial_rows_of_a_file_are_completed(tagal: Any, shop_csv: Path, server: str, tmp_path: Path) -> None:
    partial = pd.DataFrame({"city": ["Mons", "Ghent", None], "buys": ["no", "yes", "no"]})
    partial.to_csv(tmp_path / "partial.csv", index=False)
    out = tmp_path / "new.csv"
    made = generate(tagal, shop_csv, server, "--remaining", tmp_path / "partial.csv", "--out", out)
    assert made.code == 0
    table = pd.read_csv(out)
    assert table["buys"].tolist() == ["no", "yes", "no"]
    assert table["city"].tolist()[:2] == ["Mons", "Ghent"]
    refused = generate(tagal, shop_csv, server, "--remaining", tmp_path / "partial.csv", "--rows", 5)
    assert "leave out rows" in refused.err


def test_rows_that_the_user_wrote_are_shown(tagal: Any, shop_csv: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.csv").write_text("age,income,city,buys\n33,22.2,Mons,no\n")
    shown = tagal("preview", shop_csv, "--target", "buys", "--lm", "openai/x", "--examples", tmp_path / "mine.csv")
    assert "\n33,22.2,Mons,no\n" in shown.out


def test_json_summary_counts_rows_calls_and_shares(tagal: Any, shop_csv: Path, server: str, tmp_path: Path) -> None:
    summary = json.loads(generate(tagal, shop_csv, server, "--rows", 20, "--json", "--out", tmp_path / "a.csv").out)
    assert summary["rows"] == 20
    assert summary["usage"]["openai/x"]["calls"] > 0
    assert summary["class_shares"]["yes"]["synthetic"] == pytest.approx(
        summary["class_shares"]["yes"]["real"], abs=0.03
    )


def test_config_file_sets_what_the_command_line_leaves_open(
    tagal: Any, shop_csv: Path, server: str, tmp_path: Path
) -> None:
    (tmp_path / "run.toml").write_text(
        'rows = 7\nlm = "openai/x"\ncodec = "csv"\nrows_per_draw = 5\n[table]\ntarget = "buys"\nnotes = "A shop."\n'
    )
    config = tmp_path / "run.toml"
    assert len(tagal("generate", shop_csv, "--config", config, "--api-base", server).out.splitlines()) == 8
    assert len(tagal("generate", shop_csv, "--config", config, "--api-base", server, "--rows", 3).out.splitlines()) == 4
    assert "A shop." in tagal("preview", shop_csv, "--config", config).out


def test_describe_shows_the_card(tagal: Any, shop_csv: Path) -> None:
    assert '"city": one of "Ghent"' in tagal("describe", shop_csv, "--target", "buys").out


def test_describe_as_json_is_a_schema(tagal: Any, shop_csv: Path) -> None:
    from tagal_dspy.schema import TableSchema

    described = json.loads(tagal("describe", shop_csv, "--target", "buys", "--json").out)
    assert TableSchema.from_dict(described).classes == ("no", "yes")


def test_schema_file_overrides_what_values_show(tagal: Any, shop_csv: Path, tmp_path: Path) -> None:
    (tmp_path / "s.toml").write_text('target = "buys"\n[columns.age]\ndescription = "in years"\nmaximum = 120\n')
    ran = tagal("describe", shop_csv, "--schema", tmp_path / "s.toml")
    assert '"age" (in years): whole number from 18 to 120' in ran.out


@pytest.fixture
def ages_csv(tmp_path: Path) -> Path:
    path = tmp_path / "ages.csv"
    frame = shop_frame(500).assign(steps=lambda frame: frame["age"] * 50, later=lambda frame: frame["age"] + 7)
    frame.to_csv(path, index=False)
    return path


def test_suggested_rules_are_a_config_file_that_describe_takes(tagal: Any, ages_csv: Path, tmp_path: Path) -> None:
    suggested = tagal("describe", ages_csv, "--target", "buys", "--suggest-rules").out
    (tmp_path / "rules.toml").write_text(suggested)
    card = tagal("describe", ages_csv, "--target", "buys", "--config", tmp_path / "rules.toml").out
    assert '- "steps" is always a multiple of 50.' in card
    assert 'low = "age"' in suggested
    as_json = json.loads(tagal("describe", ages_csv, "--target", "buys", "--suggest-rules", "--json").out)
    assert {"kind": "fixed-increments", "column": "steps", "increment": 50} in as_json["rules"]


def test_order_of_dates_is_suggested_and_taken(tagal: Any, tmp_path: Path) -> None:
    days = pd.Timestamp("2024-01-20") + pd.to_timedelta(range(90), unit="D")
    orders = {"signup": days.strftime("%d/%m/%Y"), "last_order": (days + pd.Timedelta(days=9)).strftime("%d/%m/%Y")}
    pd.DataFrame(orders).to_csv(tmp_path / "orders.csv", index=False)
    suggested = tagal("describe", tmp_path / "orders.csv", "--suggest-rules").out
    (tmp_path / "rules.toml").write_text(suggested)
    card = tagal("describe", tmp_path / "orders.csv", "--config", tmp_path / "rules.toml").out
    assert '- "signup" is never later than "last_order".' in card
    (tmp_path / "rules.toml").write_text('[[rules]]\nkind = "inequality"\nlow = "last_order"\nhigh = "signup"\n')
    ran = tagal("describe", tmp_path / "orders.csv", "--config", tmp_path / "rules.toml")
    assert 'real rows break the rules; change the rule or the rows: "last_order" is never later' in ran.err


def test_table_without_rules_says_so(tagal: Any, shop_csv: Path) -> None:
    assert tagal("describe", shop_csv, "--suggest-rules").out.startswith("# No rule was found")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[[rules]]\nkind = "inequality"\nlow = "age"\nhigh = "hight"\n', "names no column of the table: 'hight'"),
        ('[[rules]]\nkind = "inequality"\nlow = "income"\nhigh = "age"\n', "real rows break the rules"),
        ('[[rules]]\nkind = "sum"\n', "rules.0"),
        ('[rules]\nkind = "inequality"\n', "rules: Input should be a valid list"),
        ("rules = 3\n", "rules: Input should be a valid list"),
    ],
)
def test_rules_that_do_not_suit_the_table_are_one_line(
    tagal: Any, shop_csv: Path, tmp_path: Path, text: str, message: str
) -> None:
    (tmp_path / "rules.toml").write_text(text)
    ran = tagal("describe", shop_csv, "--config", tmp_path / "rules.toml")
    assert (ran.code, len(ran.problem)) == (2, 1)
    assert message in ran.err


def test_wishes_for_rows_reach_the_options(tagal: Any, shop_csv: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tagal_dspy.cli import generating

    seen = []
    monkeypatch.setattr(generating, "generate", lambda data, options, output, cache: seen.append(options) or 0)
    wishes = ["--where", "age >= 30 and city == 'Ghent'", "--rows-per", "<=50K=3", "--rows-per", "yes=4", "--balance"]
    assert tagal("generate", shop_csv, *wishes).code == 0
    (options,) = seen
    assert (options.where, options.rows_per, options.balance, options.rows) == (
        "age >= 30 and city == 'Ghent'",
        {"<=50K": 3, "yes": 4},
        True,
        7,
    )


def test_preview_shows_the_prompt_and_calls_nobody(tagal: Any, shop_csv: Path) -> None:
    ran = tagal("preview", shop_csv, "--target", "buys", "--lm", "openai/x")
    assert ran.code == 0
    assert "Write new rows for a table" in ran.out
    assert "[[ ## examples ## ]]" in ran.out


def test_preview_of_the_embedded_model_looks_at_no_weights(
    tagal: Any, shop_csv: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def looked_at(*_: object) -> None:
        raise EngineError("weights were looked at")

    monkeypatch.setattr(Weights, "check", looked_at)
    monkeypatch.setattr("tagal_dspy.engines.local.Model", looked_at)
    ran = tagal("preview", shop_csv, "--target", "buys")
    assert ran.code == 0, ran.err


def test_few_rows_of_a_class_are_said_and_taken(tagal: Any, server: str, tmp_path: Path) -> None:
    shop_frame(30).to_csv(tmp_path / "small.csv", index=False)
    ran = generate(tagal, tmp_path / "small.csv", server, "--rows", 4, "--shots", 50)
    assert ran.code == 0
    assert "all of them are few-shots" in ran.err


WRONG: dict[str, tuple[list[object], str]] = {
    "missing file": (["missing.csv"], "missing.csv does not exist"),
    "unknown table": (["nonsense"], "expected a file ending in"),
    "missing target": (["SHOP", "--target", "nope"], "target 'nope' is not a column"),
    "zero rows": (["SHOP", "--rows", 0], "rows: Input should be greater than or equal to 1"),
    "unknown method": (["SHOP", "--method", "magic"], "method: Input should be 'synth-loop'"),
    "unknown preset": (["SHOP", "--preset", "magic"], "preset 'magic' is unknown"),
    "unknown codec": (["SHOP", "--codec", "xml"], "codec: Input should be"),
    "hot temperature": (["SHOP", "--temperature", 9], "temperature: Input should be less than"),
    "unknown model": (["SHOP", "--lm", "gpt"], "'gpt' does not name a model"),
    "missing weights": (["SHOP", "--lm", "local:missing.gguf"], "no model file 'missing.gguf'"),
    "missing config": (["SHOP", "--config", "missing.toml"], "cannot read missing.toml"),
    "api base for a local model": (
        ["SHOP", "--api-base", "http://127.0.0.1:1"],
        "--api-base is for models on a server",
    ),
    "unwritable folder": (["SHOP", "--out", "nowhere/a.csv"], "folder nowhere does not exist"),
    "unknown ending": (["SHOP", "--out", "a.xls"], "must end in"),
    "json without a file": (["SHOP", "--json"], "give the rows a file with --out"),
    "rows per no class": (["SHOP", "--rows-per", "yes"], "'yes' is not CLASS=N"),
    "unknown option": (["SHOP", "--nope"], "No such option"),
}


@pytest.mark.parametrize("case", WRONG)
def test_bad_input_is_one_line_and_exit_code_2(
    tagal: Any, shop_csv: Path, case: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.iterdir())
    arguments, message = WRONG[case]
    ran = tagal("generate", *(shop_csv if each == "SHOP" else each for each in arguments))
    assert ran.code == 2
    assert message in ran.err
    assert "Traceback" not in ran.err
    if not message.startswith("No such"):
        assert len(ran.problem) == 1
    assert sorted(tmp_path.iterdir()) == before


BAD_TABLES = {
    "empty table": ("a,buys\n", "the table is empty"),
    "one-class target": ("a,buys\n" + "1,yes\n" * 9, "has one class only"),
    "all-missing column": ("a,b,buys\n" + "1,,yes\n2,,no\n" * 9, "column 'b' has no value at all"),
    "duplicate names": ("a,a,buys\n" + "1,2,yes\n3,4,no\n" * 9, "['a'] more than once"),
    "too few rows": ("a,buys\n1,yes\n2,no\n", "at least 5"),
}


@pytest.mark.parametrize("case", BAD_TABLES)
def test_unusable_table_is_one_line_and_exit_code_2(tagal: Any, tmp_path: Path, case: str) -> None:
    text, message = BAD_TABLES[case]
    (tmp_path / "bad.csv").write_text(text)
    ran = tagal("generate", tmp_path / "bad.csv", "--target", "buys")
    assert (ran.code, len(ran.problem)) == (2, 1)
    assert message in ran.err


def test_existing_file_is_kept_unless_forced(tagal: Any, shop_csv: Path, server: str, tmp_path: Path) -> None:
    kept = tmp_path / "kept.csv"
    kept.write_text("precious")
    ran = generate(tagal, shop_csv, server, "--rows", 3, "--out", kept)
    assert ran.code == 2
    assert kept.read_text() == "precious"
    assert generate(tagal, shop_csv, server, "--rows", 3, "--out", kept, "--force").code == 0
    assert len(pd.read_csv(kept)) == 3


@pytest.mark.parametrize(
    ("status", "message"), [(401, "invalid api key"), (404, "the model `x` does not exist"), (400, "bad request")]
)
def test_refusal_of_the_server_is_one_line(tagal: Any, shop_csv: Path, status: int, message: str) -> None:
    with chat_server(lambda body: error(status, message)) as address:
        ran = generate(tagal, shop_csv, address, "--rows", 3)
    assert (ran.code, len(ran.problem)) == (2, 1)
    assert message in ran.err


@pytest.mark.slow
def test_server_that_is_down_is_one_line(tagal: Any, shop_csv: Path) -> None:
    ran = generate(tagal, shop_csv, "http://127.0.0.1:9/v1", "--rows", 3)
    assert (ran.code, len(ran.problem)) == (2, 1)
    assert "has not answered" in ran.err


def test_accepted_rows_are_written_when_the_model_writes_no_more(tagal: Any, shop_csv: Path, tmp_path: Path) -> None:
    row = "[[ ## rows ## ]]\n30,20.5,Mons,no\n[[ ## completed ## ]]"
    with chat_server(lambda body: row) as address:
        ran = generate(tagal, shop_csv, address, "--rows", 5, "--iterations", 1, "--out", tmp_path / "a.csv")
    assert ran.code == 2
    assert "1 of 5 rows accepted" in ran.err
    assert "duplicate" in ran.err
    assert len(pd.read_csv(tmp_path / "a.csv")) == 1


def test_interrupt_writes_what_was_accepted(shop_csv: Path, tmp_path: Path) -> None:
    def slowly(body: dict[str, Any]) -> str:
        time.sleep(0.2)
        return f"[[ ## rows ## ]]\n{shop_rows(1, random.Random())}\n[[ ## completed ## ]]"

    out = tmp_path / "a.csv"
    with chat_server(slowly) as address:
        command = [
            sys.executable,
            "-m",
            "tagal_dspy.cli",
            "generate",
            str(shop_csv),
            "--target",
            "buys",
            "--rows",
            "20000",
        ]
        command += ["--lm", "openai/x", "--api-base", address, "--iterations", "1", "--out", str(out), "--no-cache"]
        environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path), "LITELLM_LOCAL_MODEL_COST_MAP": "True"}
        process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment)
        assert process.stderr is not None
        while process.stderr.readline().startswith("note: "):
            pass
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=30)
    assert process.returncode == 130, err
    assert "accepted rows were written" in err
    assert 0 < len(pd.read_csv(out)) < 20_000


def test_help_comes_without_loading_anything_heavy() -> None:
    code = (
        "import sys; from tagal_dspy.cli.app import app; print(sorted({'dspy', 'pandas', 'numpy'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_report_of_a_run_is_one_page_with_rejects_and_prompts_and_no_few_shot(
    tagal: Any, shop_csv: Path, server: str, tmp_path: Path
) -> None:
    page = tmp_path / "run.html"
    ran = generate(tagal, shop_csv, server, "--rows", 30, "--out", tmp_path / "new.csv", "--html", page)
    assert ran.code == 0
    text = page.read_text(encoding="utf-8")
    assert "Synthetic table: shop" in text
    assert "Instructions of generator.predict" in text
    assert "openai/x" in text
    assert not any(",".join(map(str, row)) in text for row in shop_frame().itertuples(index=False))


def test_report_of_a_run_that_withheld_no_row_says_that_the_table_is_not_judged(
    tagal: Any, shop_csv: Path, server: str, tmp_path: Path
) -> None:
    page = tmp_path / "run.html"
    ran = generate(tagal, shop_csv, server, "--all-rows", "--out", tmp_path / "new.csv", "--html", page)
    assert ran.code == 0
    text = page.read_text(encoding="utf-8")
    assert "The table is not judged" in text
    assert "Calls and tokens" in text


def test_report_that_cannot_be_written_is_told_before_the_work(tagal: Any, shop_csv: Path, tmp_path: Path) -> None:
    ran = generate(tagal, shop_csv, "http://127.0.0.1:9/v1", "--html", tmp_path / "no" / "run.html")
    assert (ran.code, len(ran.problem)) == (2, 1)
    assert "does not exist" in ran.err
