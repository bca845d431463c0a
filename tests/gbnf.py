"""The part of GBNF that the codecs write, enough to derive texts from a grammar and to recognise them.

Sequences, alternations, literals, character classes, `{n}`, `{m,n}`, groups and rule references.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator
from typing import NamedTuple, Union

_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|\[(?:[^\]\\]|\\.)+\]|\{\d+(?:,\d+)?\}|[()|]|[a-z][a-z0-9-]*|\s+', re.DOTALL)
_ESCAPED = {"n": "\n", "r": "\r", "t": "\t"}
_CHAR = re.compile(r"\\x([0-9a-f]{2})|\\u([0-9a-f]{4})|\\(.)|(.)", re.DOTALL)
TYPICAL = "ab1 ,.;:'\"\\/{}[]()|=-_`\n\t\r\x00\x1f\x85\xa0é東🙂\u2028"
"""What is derived from a class of all characters but a few."""

Choose = Callable[[int], int]
"""Picks one of so many alternatives, by its number from 0."""


class Chars(NamedTuple):
    options: tuple[str, ...]


class Others(NamedTuple):
    """Any character outside the ranges."""

    ranges: tuple[tuple[str, str], ...]

    def has(self, char: str) -> bool:
        return not any(low <= char <= high for low, high in self.ranges)


class Ref(NamedTuple):
    rule: str


class Times(NamedTuple):
    node: Node
    least: int
    most: int


class Sequence(NamedTuple):
    nodes: tuple[Node, ...]


class Choice(NamedTuple):
    nodes: tuple[Node, ...]


Node = Union[Chars, Others, Ref, Times, Sequence, Choice]


class Grammar:
    """A parsed grammar; raises `ValueError` for what it cannot read."""

    def __init__(self, text: str) -> None:
        self.rules = {name: _parsed(body) for name, body in _rules(text)}

    def derive(self, choose: Choose, rule: str = "root") -> str:
        """One text, chosen alternative by alternative."""
        return self._derive(Ref(rule), choose)

    def _derive(self, node: Node, choose: Choose) -> str:
        if isinstance(node, Chars):
            return node.options[choose(len(node.options))]
        if isinstance(node, Others):
            options = [char for char in TYPICAL if node.has(char)]
            return options[choose(len(options))]
        if isinstance(node, Choice):
            return self._derive(node.nodes[choose(len(node.nodes))], choose)
        if isinstance(node, Times):
            n = node.least + choose(node.most - node.least + 1)
            return "".join(self._derive(node.node, choose) for _ in range(n))
        return "".join(self._derive(part, choose) for part in self._parts(node))

    def _parts(self, node: Ref | Sequence) -> tuple[Node, ...]:
        return (self.rules[node.rule],) if isinstance(node, Ref) else node.nodes

    def language(self, rule: str = "root") -> Iterator[str]:
        """Every text, as often as it can be derived."""
        return self._language(Ref(rule))

    def _language(self, node: Node) -> Iterator[str]:
        if isinstance(node, Chars):
            yield from node.options
        elif isinstance(node, Others):
            yield from filter(node.has, TYPICAL)
        elif isinstance(node, Choice):
            for option in node.nodes:
                yield from self._language(option)
        elif isinstance(node, Times):
            for n in range(node.least, node.most + 1):
                yield from map("".join, itertools.product(tuple(self._language(node.node)), repeat=n))
        else:
            yield from map("".join, itertools.product(*(tuple(self._language(part)) for part in self._parts(node))))

    def matches(self, text: str, rule: str = "root") -> bool:
        """Whether the text can be derived."""
        return len(text) in self._ends(Ref(rule), text, frozenset({0}))

    def _ends(self, node: Node, text: str, starts: frozenset[int]) -> frozenset[int]:
        if isinstance(node, Chars):
            return frozenset(at + len(each) for at in starts for each in node.options if text.startswith(each, at))
        if isinstance(node, Others):
            return frozenset(at + 1 for at in starts if at < len(text) and node.has(text[at]))
        if isinstance(node, Choice):
            return frozenset().union(*(self._ends(option, text, starts) for option in node.nodes))
        if isinstance(node, Times):
            return self._ends_of_times(node, text, starts)
        for part in self._parts(node):
            starts = self._ends(part, text, starts)
        return starts

    def _ends_of_times(self, node: Times, text: str, starts: frozenset[int]) -> frozenset[int]:
        ends: frozenset[int] = frozenset()
        for n in range(node.most + 1):
            ends |= starts if n >= node.least else frozenset()
            starts = self._ends(node.node, text, starts) if n < node.most else starts
        return ends


def _rules(text: str) -> Iterator[tuple[str, str]]:
    for line in filter(None, text.split("\n")):
        name, arrow, body = line.partition(" ::= ")
        if not arrow:
            raise ValueError(f"no rule: {line!r}")
        yield name, body


def _parsed(body: str) -> Node:
    tokens = _tokens(body)
    node = _choice(tokens)
    if tokens:
        raise ValueError(f"unexpected {tokens[-1]!r} in {body!r}")
    return node


def _tokens(body: str) -> list[str]:
    """The tokens, the next one last."""
    found = []
    at = 0
    while at < len(body):
        token = _TOKEN.match(body, at)
        if token is None:
            raise ValueError(f"no token at {body[at : at + 20]!r}")
        found.append(token.group())
        at = token.end()
    return [token for token in reversed(found) if not token.isspace()]


def _choice(tokens: list[str]) -> Node:
    options = [_sequence(tokens)]
    while tokens and tokens[-1] == "|":
        tokens.pop()
        options.append(_sequence(tokens))
    return options[0] if len(options) == 1 else Choice(tuple(options))


def _sequence(tokens: list[str]) -> Node:
    nodes: list[Node] = []
    while tokens and tokens[-1] not in "|)":
        token = tokens.pop()
        if token[0] == "{":
            least, _, most = token[1:-1].partition(",")
            nodes.append(Times(nodes.pop(), int(least), int(most or least)))
        else:
            nodes.append(_atom(token, tokens))
    if not nodes:
        raise ValueError("an alternative is empty")
    return nodes[0] if len(nodes) == 1 else Sequence(tuple(nodes))


def _atom(token: str, tokens: list[str]) -> Node:
    if token == "(":
        node = _choice(tokens)
        if not tokens or tokens.pop() != ")":
            raise ValueError("a group is not closed")
        return node
    if token[0] == '"':
        return Chars((re.sub(r"\\(.)", lambda escape: _ESCAPED.get(escape[1], escape[1]), token[1:-1]),))
    if token[0] == "[":
        if token[1] == "^":
            return Others(tuple(_class(token[2:-1])))
        return Chars(tuple(chr(code) for low, high in _class(token[1:-1]) for code in range(ord(low), ord(high) + 1)))
    return Ref(token)


def _class(inside: str) -> Iterator[tuple[str, str]]:
    """First and last character of each range of a class."""
    chars = []
    for code, wide_code, escaped, plain in _CHAR.findall(inside):
        chars.append(chr(int(code or wide_code, 16)) if code or wide_code else _ESCAPED.get(escaped, escaped) or plain)
    at = 0
    while at < len(chars):
        is_range = chars[at + 1 : at + 2] == ["-"] and at + 2 < len(chars)
        yield chars[at], chars[at + 2] if is_range else chars[at]
        at += 3 if is_range else 1
