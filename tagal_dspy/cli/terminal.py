"""The one way to the terminal: cells, names and what models say are shown there, never obeyed."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.text import Text

from tagal_dspy.characters import visible


class Terminal(Console):
    """A console that escapes what is hidden in any text."""

    def __init__(self, **options: Any) -> None:
        super().__init__(highlight=False, markup=False, **options)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """As rich does, with visible text."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else segment._replace(text=visible(segment.text))


def out(text: str) -> None:
    """A text on standard output."""
    sys.stdout.write(visible(text) + "\n")


def out_json(value: Any) -> None:
    """A value as strict JSON on standard output."""
    out(json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False))


def say(text: str) -> None:
    """A text for the person at the terminal, on standard error."""
    terminal.print(Text(visible(text)), soft_wrap=True)


@contextmanager
def steps_shown() -> Iterator[Callable[[str], None]]:
    """Give a function to call with what is done next: a terminal shows it for as long as it takes."""
    if not terminal.is_terminal:
        yield lambda step: None
        return
    with terminal.status("") as status:
        yield lambda step: status.update(Text(step))


terminal = Terminal(stderr=True)
