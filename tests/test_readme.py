"""What a reader may paste works."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent
GUIDES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
PAGES = [*GUIDES, *sorted((ROOT / "docs" / "rooms").glob("*.md"))]
"""With the rooms, whose Python is excerpts."""


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize(
    ("page", "code"),
    [pytest.param(page.name, code, id=page.stem) for page in GUIDES for code in blocks(page, "python")],
)
def test_python_of_a_page_runs(page: str, code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    exec(compile(code, page, "exec"), {})  # noqa: S102


def test_links_between_pages_lead_to_a_file() -> None:
    links = [
        (page, link)
        for page in PAGES
        for link in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text(encoding="utf-8"))
    ]
    assert links
    assert [str(link) for page, link in links if not (page.parent / link).exists()] == []


def test_commands_of_the_pages_exist_with_their_options() -> None:
    import typer

    from tagal_dspy.cli import app

    pasted = "\n".join(block for page in PAGES for block in blocks(page, "console")).splitlines()
    lines = [line.split("tagal ", 1)[1] for line in pasted if "tagal " in line and "tagal -" not in line]
    assert lines
    for line in lines:
        command: Any = typer.main.get_command(app)
        for word in line.split():
            command = getattr(command, "commands", {}).get(word, command)
        assert not hasattr(command, "commands"), f"{line!r} names no command"
        known = {option for each in command.params for option in each.opts}
        assert set(re.findall(r"--[\w-]+", line)) <= known
