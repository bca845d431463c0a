"""What a prompt leaves out where it does not fit the model's window.

The rule: a prompt and its rows may take the window less a quarter, which is left to tokenizers that need more tokens
than the one that counts. Where that is too little, the oldest turns of the conversation go first: the first turn keeps
card and few-shots and gets the rows of the next turn as its answer, so that what a critique led to stays; in the end
there is one request with card, few-shots and the last critique. Few-shots are thinned last, evenly, so that every class
stays. Where one few-shot is too many, `PromptTooLongError` is raised.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

from tagal_dspy.errors import PromptTooLongError

SHARE = 0.75
"""Of the window, for the prompt and its rows."""

SCAFFOLD = 4000
"""Characters that an adapter puts around what it is given, at most."""

STEP = 0.9
"""Share of the few-shots that are left when they are thinned, at most."""

Fields = Mapping[str, Any]
Item = TypeVar("Item")


class Window(NamedTuple):
    """What fits into a prompt for an LM.

    Attributes:
        room: tokens for the prompt and its rows.
        count: the tokens of a text.
    """

    room: int
    count: Callable[[str], int]

    @classmethod
    def of(cls, lm: Any, given: int | None = None) -> Window | None:
        """The window that is given, or the one that the engine of the LM knows; None where nobody knows.

        Where the engine counts no tokens, bytes count: no tokenizer makes more tokens of a text.
        """
        engine = getattr(lm, "engine", None)
        window = given or getattr(engine, "context_window", None)
        count = getattr(engine, "count_tokens", None) or (lambda text: len(text.encode()))
        return None if window is None else cls(int(window * SHARE), count)

    def surely_holds(self, *texts: str) -> bool:
        """Whether texts and an answer as long fit without counting: a token has at least one character."""
        return 2 * sum(map(len, texts)) + SCAFFOLD <= self.room


def folded(fields: Fields, turns: Sequence[Fields]) -> tuple[Fields, list[Fields]]:
    """A request and the turns before it without the oldest answer and what was said of it."""
    oldest, *later = turns
    if not later:
        return {**{name: value for name, value in oldest.items() if name != "rows"}, **fields}, []
    return fields, [{**oldest, "rows": later[0]["rows"]}, *later[1:]]


def fitted(
    fields: Fields,
    turns: Sequence[Fields],
    room: int,
    size: Callable[[Fields, Sequence[Fields]], int],
    thinned: Callable[[Any, float], Any],
) -> tuple[Fields, list[Fields]]:
    """The fields of a request, and the turns before it, that fit.

    Args:
        fields: without the history.
        turns: each with its fields and `rows`.
        room: tokens that they may take.
        size: tokens that they take.
        thinned: `examples` with that share of their rows; None where no row would be left.

    Raises:
        PromptTooLongError: one few-shot is too many.
    """
    turns = list(turns)
    while (needed := size(fields, turns)) > room:
        if turns:
            fields, turns = folded(fields, turns)
            continue
        examples = thinned(fields.get("examples"), min(STEP, room / needed))
        if examples is None:
            raise PromptTooLongError(
                f"{needed} tokens do not fit the {room} that the window of the model leaves for a prompt and its rows, "
                "even with one few-shot; ask for fewer rows a draw, shorten notes, or use a model with a larger window"
            )
        fields = {**fields, "examples": examples}
    return fields, turns


def evenly(items: Sequence[Item], n: int) -> list[Item]:
    """So many of the items, at equal distances and in their order.

    >>> evenly("abcdef", 3)
    ['a', 'c', 'e']
    """
    return [items[place * len(items) // n] for place in range(n)]
