"""GBNF, which codecs write, as Lark for llguidance, which holds llama.cpp to it at a fraction of the cost.

Under GBNF, a token that the grammar refuses has llama.cpp try all there are (262,000), while every slot waits;
llguidance knows from an automaton which are allowed. It allows the same texts, drawn with the same probabilities but
for one thing: where only one text is left, it is written in the tokens that the model would read it in.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache

LARGEST = 100_000
"""Characters: of 193,000 llguidance gives up without a word and lets everything pass; what had 139,000 it obeyed."""

_TOKEN = re.compile(
    r'"(?P<literal>(?:[^"\\]|\\.)*)"|\[(?P<negation>\^?)(?P<chars>(?:[^\]\\]|\\.)+)\]|(?P<rule>[a-z][a-z0-9-]*)'
    r"|(?P<operator>[()|*+?]|\{\d+(?:,\d*)?\})|(?P<blank>[ \t]+)",
    re.DOTALL,
)
_CHAR = re.compile(r"\\x([0-9a-fA-F]{2})|\\u([0-9a-fA-F]{4})|\\U([0-9a-fA-F]{8})|\\(.)|(.)", re.DOTALL)
_NAMED = {"n": "\n", "r": "\r", "t": "\t"}


@lru_cache(maxsize=64)
def as_lark(grammar: str) -> str:
    r"""The grammar for llguidance: what `root` names becomes one regular expression each.

    Each must show by itself where it ends, as the rows of all codecs do. What cannot be read so (a rule that names
    itself, a syntax that no codec writes, a grammar that is broken or too large) is returned as it came.

    >>> print(as_lark('root ::= row{2}\nrow ::= cell "\\n"\ncell ::= "no" | [0-9]'))
    %llguidance {}
    start: ROW{2}
    ROW: /((no)|[0-9])(\u000a)/
    """
    terminals: dict[str, str] = {}

    def referred(name: str) -> str:
        terminal = name.replace("-", "_").upper()
        terminals[terminal] = f"{terminal}: /{_regex(bodies, name)}/"
        return terminal

    try:
        bodies = dict(line.split(" ::= ", 1) for line in grammar.split("\n") if line)
        re.compile(_regex(bodies, "root"))  # llama.cpp ignores what llguidance cannot read
        start = _translated(bodies["root"], referred, "/{}/".format, " ")
    except (KeyError, ValueError, RecursionError, re.error):
        return grammar
    lark = "\n".join(["%llguidance {}", f"start: {start.strip()}", *terminals.values()])
    return lark if len(lark) <= LARGEST else grammar


@lru_cache(maxsize=64)
def literals(grammar: str) -> tuple[str, ...]:
    """The texts that a grammar names, each behind a blank as it may stand in a sentence.

    >>> literals('root ::= "yes" | "no"')
    (' yes', ' no')
    """
    found = (token["literal"] for token in _TOKEN.finditer(grammar) if token["literal"] is not None)
    return tuple(" " + "".join(_chars(text)) for text in found)


def allows_free_text(grammar: str) -> bool:
    """Whether a grammar allows any characters but some.

    >>> allows_free_text('root ::= [^\\n]{1,9}')
    True
    """
    return any(token["negation"] for token in _TOKEN.finditer(grammar))


def _regex(bodies: dict[str, str], name: str) -> str:
    return _translated(bodies[name], lambda inner: f"({_regex(bodies, inner)})", str, "")


def _translated(body: str, rule: Callable[[str], str], terminal: Callable[[str], str], blank: str) -> str:
    if left := _TOKEN.sub("", body):
        raise ValueError(f"no token of GBNF: {left!r}")
    parts = []
    for token in _TOKEN.finditer(body):
        if token["rule"]:
            parts.append(rule(token["rule"]))
        elif token["chars"]:
            parts.append(terminal(f"[{token['negation']}{_class(token['chars'])}]"))
        elif token["literal"] is not None:
            parts.append(terminal(f"({''.join(map(_escaped, _chars(token['literal'])))})"))
        else:
            parts.append(token["operator"] or blank)
    return "".join(parts)


def _chars(text: str) -> list[str]:
    found = _CHAR.findall(text)
    return [chr(int(code, 16)) if (code := x or u or wide) else _NAMED.get(c, c) or raw for x, u, wide, c, raw in found]


def _class(inside: str) -> str:
    """A hyphen between two characters makes a range of them."""
    raw = [each.group() for each in _CHAR.finditer(inside)]
    inner = range(1, len(raw) - 1)
    return "".join("-" if each == "-" and i in inner else _escaped(_chars(each)[0]) for i, each in enumerate(raw))


def _escaped(char: str) -> str:
    """A character as every dialect of regular expressions takes it."""
    if char.isascii() and char.isalnum():
        return char
    return f"\\u{ord(char):04x}" if ord(char) < 0x10000 else f"\\U{ord(char):08x}"
