"""GBNF pieces made from columns: literals, closed sets and numbers within a range, to the last digit.

GBNF is llama.cpp's grammar notation. A grammar constrains which tokens can be drawn, so that a small model cannot
write a row that does not fit the schema.
"""

from __future__ import annotations

from collections.abc import Iterable

from tagal_dspy.schema import NumericalColumn

_ESCAPES = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r", "\t": "\\t"}


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
    return " | ".join(literal(text) for text in texts)


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


def _magnitudes(low: int, high: int, decimals: int) -> list[str]:
    """Alternatives for the whole numbers `low` to `high`, the last `decimals` digits behind a point."""
    parts = []
    shortest = decimals + 1
    for n_digits in range(max(shortest, len(str(low))), max(shortest, len(str(high))) + 1):
        smallest = 0 if n_digits == shortest else 10 ** (n_digits - 1)
        first, last = max(low, smallest), min(high, 10**n_digits - 1)
        if first <= last:
            for digits in _digit_ranges(f"{first:0{n_digits}d}", f"{last:0{n_digits}d}"):
                parts.append(_joined(digits, n_digits - decimals))
    return parts


def _digit_ranges(low: str, high: str) -> list[list[tuple[str, str]]]:
    """Cover the equally long digit strings `low` to `high` by sequences of digit ranges."""
    if not low:
        return [[]]
    if low[0] == high[0]:
        return [[(low[0], low[0]), *rest] for rest in _digit_ranges(low[1:], high[1:])]
    zeros, nines = "0" * (len(low) - 1), "9" * (len(low) - 1)
    ranges = []
    first, last = low[0], high[0]
    if low[1:] != zeros:
        ranges += [[(first, first), *rest] for rest in _digit_ranges(low[1:], nines)]
        first = str(int(first) + 1)
    tail = []
    if high[1:] != nines:
        tail = [[(last, last), *rest] for rest in _digit_ranges(zeros, high[1:])]
        last = str(int(last) - 1)
    if first <= last:
        ranges.append([(first, last), *(("0", "9") for _ in zeros)])
    return ranges + tail


def _joined(digits: list[tuple[str, str]], n_whole: int) -> str:
    terms = [f'"{low}"' if low == high else f"[{low}-{high}]" for low, high in digits]
    if n_whole < len(terms):
        terms.insert(n_whole, '"."')
    return " ".join(terms)
