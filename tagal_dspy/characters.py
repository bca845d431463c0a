"""Characters that cannot be kept, or that a terminal would obey instead of showing them."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Iterable

HIDDEN = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
"""Unicode categories of what is not seen: control characters, marks of direction, of zero width, line separators."""

MAX_NAMES = 5
"""Names that a line lists."""


def visible(text: str) -> str:
    r"""The text with what is hidden in it escaped as in JSON; line feeds and tabs stay.

    For people: on a terminal a cell could otherwise move the cursor, or turn around what stands beside it.

    >>> print(visible("\x1b[31mred\u202e"))
    \u001b[31mred\u202e
    """
    if text.isprintable():
        return text
    return "".join(
        json.dumps(char)[1:-1] if unicodedata.category(char) in HIDDEN and char not in "\n\t" else char for char in text
    )


def as_unicode(text: str) -> str:
    r"""The text with a question mark for each half of a surrogate pair, which no file and no server takes.

    >>> as_unicode("half \ud83d")
    'half ?'
    """
    return text.encode(errors="replace").decode()


def lines_by_phrase(pairs: Iterable[tuple[str, str]]) -> list[str]:
    """A line for each phrase, with the names that it is said of.

    >>> lines_by_phrase([("a", "cut"), ("b", "rounded"), ("c", "cut")])
    ["'a', 'c': cut", "'b': rounded"]
    """
    names: dict[str, list[str]] = {}
    for name, phrase in pairs:
        names.setdefault(phrase, []).append(repr(name))
    return [f"{_listed(of_phrase)}: {phrase}" for phrase, of_phrase in names.items()]


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - MAX_NAMES} more" if len(names) > MAX_NAMES else ""
    return ", ".join(names[:MAX_NAMES]) + more
