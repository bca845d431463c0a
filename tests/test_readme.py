"""What a reader may paste works."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

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

    lines = [line.split("tagal ", 1)[1] for line in "\n".join(blocks("console")).splitlines() if "tagal " in line]
    assert lines
    for line in lines:
        command: Any = typer.main.get_command(app)
        for word in line.split():
            command = getattr(command, "commands", {}).get(word, command)
        assert not hasattr(command, "commands"), f"{line!r} names no command"
        known = {option for each in command.params for option in each.opts}
        assert set(re.findall(r"--[\w-]+", line)) <= known
