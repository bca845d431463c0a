"""The grammar tool of the tests is a judge, so it is judged first."""

from __future__ import annotations

import pytest
from gbnf import Grammar

GRAMMAR = r"""root ::= "<" row{2} ">"
row ::= cell-0 "," (cell-1 | "none") "\n"
cell-0 ::= [0-2]
cell-1 ::= "\"a\"" | "\\"
"""


def test_language_is_every_combination() -> None:
    texts = list(Grammar(GRAMMAR).language("row"))
    assert texts == [f"{digit},{word}\n" for digit in "012" for word in ('"a"', "\\", "none")]


def test_repetition_repeats() -> None:
    assert Grammar(GRAMMAR).derive(lambda n: 0) == '<0,"a"\n0,"a"\n>'


def test_every_derived_text_matches() -> None:
    grammar = Grammar(GRAMMAR)
    assert all(grammar.matches(text) for text in grammar.language())


@pytest.mark.parametrize("text", ["", "<0,none\n>", "<0,none\n3,none\n>", "<0,none\n1,none\n>>"])
def test_no_other_text_matches(text: str) -> None:
    assert not Grammar(GRAMMAR).matches(text)


def test_repetition_repeats_between_its_bounds() -> None:
    assert list(Grammar('root ::= "a"{1,3}').language()) == ["a", "aa", "aaa"]
    assert [Grammar('root ::= "a"{1,2}').matches("a" * n) for n in range(4)] == [False, True, True, False]


def test_class_of_other_characters_has_all_but_those() -> None:
    grammar = Grammar(r'root ::= [^"\\a-c\x00-\x1f\u6771]')
    assert [grammar.matches(char) for char in '"\\abc\n東'] == [False] * 7
    assert [grammar.matches(char) for char in "dé^-🙂"] == [True] * 5
    assert not {'"', "\\", "a", "b", "\n", "東"} & set(grammar.language())


@pytest.mark.parametrize("text", ["root", 'root ::= ("a"', 'root ::= "a" |', "root ::= ?", 'root ::= "a" )'])
def test_malformed_grammar_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"rule|closed|empty|token|unexpected"):
        Grammar(text)
