"""Characters that cannot be kept, or that a terminal would obey instead of showing them."""

from __future__ import annotations

import json
import unicodedata

HIDDEN = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
"""Unicode categories of what is not seen: control characters, marks of direction, of zero width, line separators."""


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
