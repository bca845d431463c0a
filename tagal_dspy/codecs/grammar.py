"""GBNF pieces made from columns: literals, closed sets, free text, and numbers within a range, to the last digit.

GBNF is llama.cpp's grammar notation. A grammar constrains which tokens can be drawn, so that a small model cannot
write a row that does not fit the schema.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence

from tagal_dspy.schema import NumericalColumn, TextColumn

Range = tuple[int, int]

MAX_LISTED = 50
"""Of more texts, those that begin alike are written together: an engine follows each alternative on its own."""

_ESCAPES = {chr(code): f"\\x{code:02x}" for code in (*range(0x20), *range(0x7F, 0xA0))} | {
    "\\": "\\\\",
    '"': '\\"',
    "\n": "\\n",
    "\r": "\\r",
    "\t": "\\t",
}
"""A NUL would end the grammar for an engine in C."""


def literal(text: str) -> str:
    r"""The text itself as a GBNF terminal.

    >>> print(literal('say "hi"'))
    "say \"hi\""
    """
    return '"' + "".join(_ESCAPES.get(char, char) for char in text) + '"'


def one_of(texts: Iterable[str]) -> str:
    """Any of the texts.

    >>> print(one_of(["yes", "no"]))
    "yes" | "no"
    """
    options = list(texts)
    if len(options) > MAX_LISTED:
        return _by_prefix(sorted(set(options)))
    return " | ".join(literal(text) for text in options)


def _common_start(one: str, other: str) -> str:
    n = next((n for n, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))
    return one[:n]


def _by_prefix(texts: Sequence[str]) -> str:
    """Any of the sorted texts, those with a common start together."""
    parts = []
    for _, group in itertools.groupby(texts, key=lambda text: text[:1]):
        same = list(group)
        prefix = _common_start(same[0], same[-1])
        rests = [text[len(prefix) :] for text in same if text != prefix]
        ending = "{0,1}" if rests and prefix in same else ""
        parts.append(literal(prefix) + (f" ({_by_prefix(rests)}){ending}" if rests else ""))
    return " | ".join(parts)


def number(column: NumericalColumn) -> str:
    """Every number of the column's range with exactly its decimals, and nothing else.

    >>> print(number(NumericalColumn(name="age", dtype="int64", decimals=0, minimum=17, maximum=90)))
    "1" [7-9] | [2-8] [0-9] | "9" "0"
    """
    low, high = (int(column.text(bound).replace(".", "")) for bound in (column.minimum, column.maximum))
    parts = []
    if low < 0:
        parts += ['"-" ' + part for part in _magnitudes(max(1, -high), -low, column.decimals)]
    if high >= 0:
        parts += _magnitudes(max(0, low), high, column.decimals)
    return " | ".join(parts)


_CONTROL = r"\x00-\x08\x0b-\x1f\x7f-\x9f"
_CONTROL_OR_LINE_FEED = r"\x00-\x08\x0a-\x1f\x7f-\x9f"
_CONTROL_OR_BLANK = r"\x00-\x20\x7f-\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"


def free_text(column: TextColumn, escapes: Mapping[str, str]) -> str:
    """Every text of up to the column's length that begins with no blank.

    Args:
        column: whose texts.
        escapes: how characters are written that cannot stand for themselves.
    """
    inside = {char: written for char, written in escapes.items() if column.multiline or char != "\n"}
    at_start = {char: written for char, written in escapes.items() if not char.isspace()}
    raw = "".join(_ESCAPES.get(char, char) for char in escapes)
    more = _one_char(raw + (_CONTROL if column.multiline else _CONTROL_OR_LINE_FEED), inside)
    first = _one_char(raw + _CONTROL_OR_BLANK, at_start)
    return f"{first} {more}{{0,{column.max_length - 1}}}" if column.max_length > 1 else first


def _one_char(excluded: str, escapes: Mapping[str, str]) -> str:
    return f"([^{excluded}] | {one_of(escapes.values())})"


def _magnitudes(low: int, high: int, decimals: int) -> list[str]:
    """Alternatives for the whole numbers `low` to `high`, the last `decimals` digits behind a point."""
    parts = []
    shortest = decimals + 1
    for n_digits in range(max(shortest, len(str(low))), max(shortest, len(str(high))) + 1):
        smallest = 0 if n_digits == shortest else 10 ** (n_digits - 1)
        first, last = max(low, smallest), min(high, 10**n_digits - 1)
        if first <= last:
            parts += digits_between(f"{first:0{n_digits}d}", f"{last:0{n_digits}d}", n_digits - decimals)
    return parts


def boxes(low: Sequence[int], high: Sequence[int], bounds: Sequence[Range]) -> list[list[Range]]:
    """Cover what lies between two sequences of numbers, compared from the left, by ranges of each number.

    `bounds` says between which numbers those at each place lie. With 0 and 9 everywhere, they are digits.
    """
    if not low:
        return [[]]
    (first, last), rest = (low[0], high[0]), bounds[1:]
    if first == last:
        return [[(first, first), *others] for others in boxes(low[1:], high[1:], rest)]
    smallest, largest = [bound[0] for bound in rest], [bound[1] for bound in rest]
    found = []
    if list(low[1:]) != smallest:
        found += [[(first, first), *others] for others in boxes(low[1:], largest, rest)]
        first += 1
    tail = []
    if list(high[1:]) != largest:
        tail = [[(last, last), *others] for others in boxes(smallest, high[1:], rest)]
        last -= 1
    if first <= last:
        found.append([(first, last), *rest])
    return found + tail


def digits_between(low: str, high: str, n_whole: int | None = None) -> list[str]:
    """Alternatives for the equally long digit strings `low` to `high`, with a point after `n_whole` of them."""
    found = []
    for box in boxes([int(digit) for digit in low], [int(digit) for digit in high], [(0, 9)] * len(low)):
        terms = [f'"{first}"' if first == last else f"[{first}-{last}]" for first, last in box]
        if n_whole is not None and n_whole < len(terms):
            terms.insert(n_whole, '"."')
        found.append(" ".join(terms))
    return found
