"""Pieces of GBNF: literals, closed sets, free text, and numbers within a range, to the last digit.

GBNF is llama.cpp's grammar notation. A grammar constrains which tokens can be drawn, so that a small model cannot
write a row that does not fit the schema.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal

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


def numbers_between(low: str, high: str, decimals: int | None, digits: int | None = None) -> str:
    """Every number from `low` to `high` with exactly so many decimals or significant digits, and nothing else.

    >>> print(numbers_between("17", "90", decimals=0))
    "1" [7-9] | [2-8] [0-9] | "9" "0"
    >>> print(numbers_between("0.90", "1.2", None, digits=2))
    "0." "9" [0-9] | "1" "." [0-2]
    """
    if decimals is None:
        return " | ".join(_significant(Decimal(low), Decimal(high), digits or 1))
    first, last = (int(text.replace(".", "")) for text in (low, high))
    parts = []
    if first < 0:
        parts += ['"-" ' + part for part in _magnitudes(max(1, -last), -first, decimals)]
    if last >= 0:
        parts += _magnitudes(max(0, first), last, decimals)
    return " | ".join(parts)


SMALLEST_EXPONENT = -308
"""Of a number that has all digits of a float."""

POSITIONAL = range(-5, 16)
"""Exponents of numbers that are written without them."""


def _significant(low: Decimal, high: Decimal, digits: int) -> list[str]:
    parts = []
    if low < 0:
        parts += ['"-" ' + part for part in _decades(max(-high, Decimal(0)), -low, digits)]
    if low <= 0 <= high:
        parts.append('"0"')
    if high > 0:
        parts += _decades(max(low, Decimal(0)), high, digits)
    return parts


def _decades(low: Decimal, high: Decimal, digits: int) -> list[str]:
    """Alternatives for positive numbers, decade by decade; those of decades with an exponent are put together."""
    first, last = low.adjusted() if low else SMALLEST_EXPONENT, high.adjusted()
    found: list[str] = []
    whole: list[int] = []
    for exponent in range(first, last + 1):
        ends = [Decimal(10) ** exponent, Decimal(10) ** (exponent + 1) - Decimal(10) ** (exponent - digits + 1)]
        bounds = [max(low, ends[0]), min(high, ends[1])]
        if bounds == ends and exponent not in POSITIONAL:
            whole.append(exponent)
            continue
        first_digits, last_digits = (f"{each.scaleb(digits - 1 - exponent):f}".partition(".")[0] for each in bounds)
        found += _decade(first_digits, last_digits, exponent)
    for sign, exponents in (("-", [-each for each in whole if each < 0]), ("+", [each for each in whole if each > 0])):
        if exponents:
            mantissa = digits_between("1" + "0" * (digits - 1), "9" * digits, 1)[0]
            texts = one_of(f"{exponent:02d}" for exponent in sorted(exponents))
            found.append(f"{mantissa} {literal('e' + sign)} ({texts})")
    return found


def _decade(low: str, high: str, exponent: int) -> list[str]:
    """Alternatives for equally long strings of digits, the first of them of that exponent."""
    n_digits = len(low)
    if exponent not in POSITIONAL:
        sign = "-" if exponent < 0 else "+"
        return [f"{part} {literal(f'e{sign}{abs(exponent):02d}')}" for part in digits_between(low, high, 1)]
    if exponent < 0:
        return [f"{literal('0.' + '0' * (-exponent - 1))} {part}" for part in digits_between(low, high)]
    zeros = "0" * (exponent + 1 - n_digits)
    parts = digits_between(low, high, exponent + 1)
    return [f"{part} {literal(zeros)}" for part in parts] if zeros else parts


_CONTROL = r"\x00-\x08\x0b-\x1f\x7f-\x9f"
_CONTROL_OR_LINE_FEED = r"\x00-\x08\x0a-\x1f\x7f-\x9f"
_CONTROL_OR_BLANK = r"\x00-\x20\x7f-\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"


def free_text(max_length: int, multiline: bool, escapes: Mapping[str, str]) -> str:
    """Every text of up to so many characters that begins with no blank.

    Args:
        max_length: at least 1.
        multiline: whether it may have line feeds.
        escapes: how characters are written that cannot stand for themselves.
    """
    inside = {char: written for char, written in escapes.items() if multiline or char != "\n"}
    at_start = {char: written for char, written in escapes.items() if not char.isspace()}
    raw = "".join(_ESCAPES.get(char, char) for char in escapes)
    more = _one_char(raw + (_CONTROL if multiline else _CONTROL_OR_LINE_FEED), inside)
    first = _one_char(raw + _CONTROL_OR_BLANK, at_start)
    return f"{first} {more}{{0,{max_length - 1}}}" if max_length > 1 else first


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
