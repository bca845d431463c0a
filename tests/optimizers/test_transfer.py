"""Programs on other tables, and programs from files."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import dspy
import pytest
from planted import PLANTED, writer, youth
from planted import seed_program as program
from scripts import shop_frame

from tagal_dspy import RunSettings, SynthLoop, TableTask
from tagal_dspy.errors import ProgramError, SettingsError
from tagal_dspy.modules import METHODS, PromptRefine, load_program
from tagal_dspy.optimizers import generation_tasks, transfer
from tagal_dspy.testing import scripted_lm


def better() -> SynthLoop:
    found = program()
    predict = found.generator.predict
    predict.signature = predict.signature.with_instructions(PLANTED)
    return found


def test_transfer_has_a_line_for_each_program_table_and_model() -> None:
    tables = [TableTask(shop_frame(seed=seed), target="buys") for seed in range(2)]
    tasks = [task for table in tables for task in generation_tasks(table, 10, range(3))]
    obeying = scripted_lm(writer, cache=False)
    deaf = scripted_lm(lambda asked: writer(asked, useful=False), cache=False)
    found = transfer({"seed": program(), "better": better()}, tasks, youth, {"obeying": obeying, "deaf": deaf})
    assert len(found) == 8
    assert (found["n"] == 3).all()
    assert (found["low"] <= found["score"]).all()
    means = found.groupby(["lm", "program"])["score"].mean()
    assert means["obeying", "better"] > means["obeying", "seed"] + 0.2
    assert len(obeying.engine.asked) == len(deaf.engine.asked) == 12


def test_programs_are_compared_under_the_same_seeds() -> None:
    tasks = generation_tasks(TableTask(shop_frame(), target="buys"), 10, range(2))
    with dspy.context(lm=scripted_lm(writer, cache=False)):
        one, other = transfer({"a": program(), "b": program()}, tasks, youth)["score"]
        assert one == other
        assert transfer({"a": program()}, tasks[:1], youth)["low"].isna().all()
        with pytest.raises(SettingsError, match="0 programs and 2 tasks"):
            transfer({}, tasks, youth)


@pytest.mark.parametrize("method", METHODS)
def test_program_file_is_loaded_as_the_class_it_was_saved_from(method: Any, tmp_path: Path) -> None:
    saved = METHODS[method](RunSettings(method=method, n_iter=2))
    saved.save(tmp_path / "program.json")
    loaded = load_program(tmp_path / "program.json", n_shots=3)
    assert type(loaded) is METHODS[method]
    assert loaded.settings == saved.settings.model_copy(update={"n_shots": 3})


def test_saved_program_is_loaded_by_a_fresh_process_for_another_table(tmp_path: Path) -> None:
    better().save(tmp_path / "program.json")
    code = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "import dspy; from pathlib import Path; from planted import writer\n"
        "from tagal_dspy import TableTask, load_program; from tagal_dspy.testing import scripted_lm\n"
        "from scripts import shop_frame\n"
        "task = TableTask(shop_frame(seed=7), target='city')\n"
        "with dspy.context(lm=scripted_lm(writer, cache=False)):\n"
        "    print(len(load_program(Path(sys.argv[2]))(task=task, n_rows=5).table))\n"
    )
    command = [sys.executable, "-W", "ignore", "-c", code, str(Path(__file__).parents[1]), tmp_path / "program.json"]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "5\n"


def test_change_of_an_instruction_is_one_line_of_the_file(tmp_path: Path) -> None:
    for name, each in (("a", program()), ("b", better()), ("c", better())):
        each.save(tmp_path / f"{name}.json")
    a, b, c = ((tmp_path / f"{name}.json").read_text().splitlines() for name in "abc")
    assert b == c
    assert sum(one != other for one, other in zip(a, b, strict=True)) == 1


def broken(tmp_path: Path, change: Any) -> Path:
    path = tmp_path / "program.json"
    program().save(path)
    state = json.loads(path.read_text())
    change(state)
    path.write_text(json.dumps(state))
    return path


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda state: state.clear(), "does not hold a program of tagal_dspy"),
        (lambda state: state.update(other={}), r"holds the predictors \['generator.predict', 'other'\]"),
        (lambda state: state["generator.predict"]["signature"]["fields"].pop(), "saved with 7 fields; expected 8"),
        (lambda state: state.update({"generator.predict": 1}), "the program is damaged"),
        (lambda state: state["settings"].update(speed=1), "speed: Extra inputs"),
        (lambda state: state.update(lineage={"versions": {"tagal-dspy": "99.1.0"}}), "saved with tagal-dspy 99.1.0"),
        (lambda state: state["metadata"]["dependency_versions"].update(dspy="9.9.1"), "upgrade dspy"),
    ],
)
def test_file_of_another_structure_or_version_is_refused(change: Any, match: str, tmp_path: Path) -> None:
    with pytest.raises(ProgramError, match=match):
        load_program(broken(tmp_path, change))


def test_file_that_is_no_program_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "program.json"
    with pytest.raises(ProgramError, match="No such file"):
        load_program(path)
    for text in ("{", "[]", "\xff"):
        path.write_text(text)
        with pytest.raises(ProgramError, match="does not hold a program"):
            load_program(path)


def test_program_is_loaded_with_another_method_and_the_prompts_that_both_have(tmp_path: Path) -> None:
    saved = program()
    predict = saved.generator.predict
    predict.signature = predict.signature.with_instructions("Write well.")
    saved.save(tmp_path / "program.json")
    found = load_program(tmp_path / "program.json", method="prompt-refine", n_shots=3)
    assert isinstance(found, PromptRefine)
    assert found.generator.predict.signature.instructions == "Write well."
    assert (found.settings.n_shots, found.settings.n_iter) == (3, saved.settings.n_iter)
