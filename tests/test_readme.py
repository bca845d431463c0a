"""What a reader may paste works."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

README = Path(__file__).parent.parent / "README.md"


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README.read_text(), re.DOTALL)


@pytest.mark.parametrize("code", blocks("python"))
def test_python_of_the_readme_runs(code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    exec(compile(code, "README.md", "exec"), {})  # noqa: S102


def test_commands_of_the_readme_exist_with_their_options() -> None:
    import typer

    from tagal_dspy.cli import app

    group = typer.main.get_command(app)
    used = re.findall(r"tagal (\w+)(.*)", "\n".join(blocks("console")))
    assert {name for name, _ in used} <= set(group.commands)  # type: ignore[attr-defined]
    for name, rest in used:
        known = {option for each in group.commands[name].params for option in each.opts}  # type: ignore[attr-defined]
        assert set(re.findall(r"--[\w-]+", rest)) <= known
