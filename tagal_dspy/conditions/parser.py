"""The text of a condition, read into comparisons. Nothing in it is ever executed.

    condition  = comparison { "and" comparison }
    comparison = column operator value
               | column ["not"] "in" "[" value { "," value } "]"
               | column "is" ["not"] "missing"
    operator   = "==" | "!=" | "<" | "<=" | ">" | ">="
    column     = bare.name | `any name` | "any name"
    value      = 'text' | "text" | 1.5e3 | true | false | missing

A quote inside quotes is written twice. Words but bare names are read in any case.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Literal, NamedTuple, Union, get_args

from tagal_dspy.errors import ConditionError

Operator = Literal["==", "!=", "<", "<=", ">", ">=", "in", "not in"]
Value = Union[str, Decimal, bool, None]
"""What a cell is compared with; None is a missing value."""

_SIGNS = frozenset(get_args(Operator)) - {"in", "not in"}
_WORDS: dict[str, Value] = {"true": True, "false": False, "missing": None}

_TOKEN = re.compile(
    r"""
    (?P<blank>\s+)
    | (?P<number>[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]{1,3})?(?![\w.]))
    | (?P<sign>[=!<>]=|[<>]|[\[\],])
    | (?P<text>'(?:[^']|'')*')
    | (?P<quoted>"(?:[^"]|"")*")
    | (?P<backtick>`(?:[^`]|``)*`)
    | (?P<word>[^\W\d]\w*(?:\.\w+)*)
    | (?P<stray>.)
    """,
    re.VERBOSE | re.DOTALL,
)

_NOT_SUPPORTED = {
    "or": "`or` is not supported; write one condition, or generate twice",
    "not": "`not` is not supported here; use !=, `not in` or `is not missing`",
    "=": "write == to compare",
    "'": "this quote is not closed",
    '"': "this quote is not closed",
    "`": "this backtick is not closed",
    **dict.fromkeys("&|~!", "comparisons are joined by `and`; other logic is not supported"),
    **dict.fromkeys("()", "calls and parentheses are not supported; a list stands in [ ]"),
    **dict.fromkeys("+-*/%^", "arithmetic is not supported; a column name with such a sign stands in backticks"),
    **dict.fromkeys(("null", "none", "nan", "na", "nil"), "a missing value is written missing, without quotes"),
}


class _Token(NamedTuple):
    kind: str
    text: str
    start: int
    end: int

    @property
    def word(self) -> str:
        """The word in lower case; empty for other tokens."""
        return self.text.lower() if self.kind == "word" else ""


@dataclass(frozen=True)
class Comparison:
    """One part of a condition: a column's cell against values.

    Attributes:
        column: name of the column.
        operator: `is missing` is `==` with a missing value.
        values: one value, or those of the list behind `in`.
        text: as the user wrote it.
    """

    column: str
    operator: Operator
    values: tuple[Value, ...]
    text: str = field(compare=False)


def parse_comparisons(text: str) -> tuple[Comparison, ...]:
    """The comparisons that `and` joins; raises `ConditionError`.

    >>> found = parse_comparisons("age >= 30 and `is` in ['a', missing]")
    >>> [(each.column, each.operator, each.values) for each in found]
    [('age', '>=', (Decimal('30'),)), ('is', 'in', ('a', None))]
    """
    return tuple(_Parser(text).comparisons())


class _Parser:
    """Reads a condition from left to right; one token decides what follows."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = list(_tokens(text))
        self._at = 0

    def comparisons(self) -> Iterator[Comparison]:
        yield self._comparison()
        while self._next.kind != "end":
            if self._next.word != "and":
                raise self._error("`and` or the end is expected")
            self._take()
            yield self._comparison()

    @property
    def _next(self) -> _Token:
        return self._tokens[self._at]

    def _take(self) -> _Token:
        token = self._next
        self._at += 1
        return token

    def _comparison(self) -> Comparison:
        start = self._next.start
        column = self._column()
        operator, values = self._demand()
        return Comparison(column, operator, values, self._text[start : self._tokens[self._at - 1].end])

    def _column(self) -> str:
        kind = self._next.kind
        if kind == "word":
            return self._take().text
        if kind in ("quoted", "backtick"):
            return _unquoted(self._take().text)
        raise self._error("a column is expected; a name with blanks or signs stands in backticks")

    def _demand(self) -> tuple[Operator, tuple[Value, ...]]:
        """Operator and values."""
        token = self._next
        if token.text in _SIGNS and token.kind == "sign":
            self._take()
            return token.text, (self._value(),)  # type: ignore[return-value]
        if token.word == "is":
            return self._missing()
        negated = token.word == "not" and self._tokens[self._at + 1].word == "in"
        if negated:
            self._take()
        if self._next.word != "in":
            raise self._error("==, !=, <, <=, >, >=, `in` or `is missing` is expected")
        self._take()
        return ("not in" if negated else "in"), self._list()

    def _missing(self) -> tuple[Operator, tuple[Value, ...]]:
        self._take()
        negated = self._next.word == "not"
        if negated:
            self._take()
        if self._next.word != "missing":
            raise self._error("`missing` is expected; other values are compared with ==")
        self._take()
        return ("!=" if negated else "=="), (None,)

    def _list(self) -> tuple[Value, ...]:
        self._sign("[")
        values = [self._value()]
        while self._next.text == "," and self._next.kind == "sign":
            self._take()
            values.append(self._value())
        self._sign("]")
        return tuple(values)

    def _sign(self, sign: str) -> None:
        if self._next.kind != "sign" or self._next.text != sign:
            raise self._error(f"{sign} is expected")
        self._take()

    def _value(self) -> Value:
        token = self._next
        if token.kind in ("text", "quoted"):
            return _unquoted(self._take().text)
        if token.kind == "number":
            return Decimal(self._take().text)
        if token.word in _WORDS:
            return _WORDS[self._take().word]
        if token.kind == "word" and token.word not in _NOT_SUPPORTED:
            raise self._error(f"a value is expected; a text stands in quotes: '{token.text}'")
        raise self._error("a value is expected")

    def _error(self, expected: str) -> ConditionError:
        token = self._next
        if token.kind == "end":
            return ConditionError(f"the condition {self._text!r} ends too early: {expected}")
        reason = _NOT_SUPPORTED.get(token.text.lower(), expected)
        where = f"character {token.start + 1} ({token.text[:40]!r})"
        return ConditionError(f"the condition {self._text!r} cannot be read at {where}: {reason}")


def _tokens(text: str) -> Iterator[_Token]:
    for found in _TOKEN.finditer(text):
        if found.lastgroup != "blank":
            yield _Token(found.lastgroup or "", found.group(), found.start(), found.end())
    yield _Token("end", "", len(text), len(text))


def _unquoted(text: str) -> str:
    return text[1:-1].replace(text[0] * 2, text[0])
