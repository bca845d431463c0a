"""Grammars for llguidance, as regular expressions that Python understands too."""

from __future__ import annotations

import re

import pytest
from dspy import lm15
from gbnf import Grammar
from hypothesis import given
from hypothesis import strategies as st
from tables import rows, schemas

from tagal_dspy.codecs import make_codec
from tagal_dspy.engines import lark, make_lm
from tagal_dspy.engines.lark import as_lark

REGEX = re.compile(r"/(.*?)/|([A-Z][A-Z_0-9]*)|\s+")


def recognised(grammar: str) -> re.Pattern[str]:
    """What is written under a grammar in Lark, each rule in the place of its name."""
    head, start, *others = as_lark(grammar).splitlines()
    assert head == "%llguidance {}"
    rules = {name: body for name, _, body in (line.partition(": ") for line in others)}
    whole = REGEX.sub(lambda part: f"({rules[part[2]][1:-1]})" if part[2] else part[1] or "", start.split(": ", 1)[1])
    return re.compile(whole)


@given(st.data())
def test_lark_of_a_codec_recognises_the_texts_that_its_gbnf_derives_and_no_others(data: st.DataObject) -> None:
    schema = data.draw(schemas())
    codec = make_codec(data.draw(st.sampled_from(["csv", "json", "sentence"])), schema)
    canonical = data.draw(rows(schema, max_size=2))
    frame = data.draw(st.sampled_from([("", ""), ("[[ ## rows ## ]]\n", "\n[[ ## completed ## ]]\n")]))
    grammar = codec.grammar(len(canonical), frame=frame)
    text = frame[0] + codec.encode(canonical).removeprefix(codec.encode([])) + frame[1]
    at = data.draw(st.integers(0, len(text)))
    changed = text[:at] + data.draw(st.text(max_size=2)) + text[at + data.draw(st.integers(0, 2)) :]
    pattern = recognised(grammar)
    assert pattern.fullmatch(text)
    assert bool(pattern.fullmatch(changed)) == Grammar(grammar).matches(changed)


@pytest.mark.parametrize(
    ("body", "texts", "others"),
    [
        ('"a.b" | "/"', ["a.b", "/"], ["axb"]),
        ('"ab"{2} [^"\\n]', ["ababc", "abab/"], ["abbc", 'abab"', "abab\n"]),
        ("[+--] [a-]", ["+a", ",-", "--"], ["*a", ".a", "+b"]),
        ('("x" | "yy")* "\\u00e9"+ [\\x00-\\x1f]{0,1}', ["é", "xyyéé\x1f"], ["", "xyé"]),
        ('[\\U0001f600-\\U0001f64f] "\\\\" "\\"" [\\]\\\\]', ['🙂\\"]', '🙂\\"\\'], ["🚀\\]"]),
    ],
)
def test_lark_means_what_gbnf_does(body: str, texts: list[str], others: list[str]) -> None:
    pattern = recognised(f"root ::= row\nrow ::= {body}")
    assert [text for text in (*texts, *others) if pattern.fullmatch(text)] == texts


@pytest.mark.parametrize(
    "grammar",
    [
        "root ::= (",
        "root ::= row",
        'root ::= row\nrow ::= "a" row | "b"',
        "root ::= row\nrow ::= .",
        'row ::= "a"',
        "",
        'root ::= "a" # nothing more\n',
        '# a letter\nroot ::= "a"\n',
        'root ::= "a" |\n  "b"\n',
    ],
)
def test_what_is_no_grammar_of_a_codec_is_left_as_it_came(grammar: str) -> None:
    assert as_lark(grammar) == grammar


def test_grammar_too_large_for_llguidance_is_left_as_it_came() -> None:
    words = " | ".join(f'"{i:020d}"' for i in range(10_000))
    assert as_lark(f"root ::= {words}") == f"root ::= {words}"


def test_model_writes_the_same_under_both(monkeypatch: pytest.MonkeyPatch) -> None:
    grammar = 'root ::= row{3}\nrow ::= cell "," cell "\\n"\ncell ::= "-"{0,1} [0-9]{1,3} ("." [0-9]){0,1}\n'

    def answers() -> list[str]:
        engine = make_lm("local").engine
        extra = {"metadata": {"tagal": {"grammar": grammar}}}
        config = [lm15.Config(seed=seed, extensions=extra) for seed in range(3)]
        prompt = (lm15.Message.user("12,-40.5\n7.1,19\n"),)
        return [engine.complete(lm15.Request(model="m", messages=prompt, config=c)).message.text for c in config]

    answers()  # what is read from the cache is a little different from what is read anew
    under_lark = answers()
    monkeypatch.setattr("tagal_dspy.engines.local.as_lark", lambda grammar: grammar)
    assert under_lark == answers()


def test_model_obeys_what_only_the_root_says() -> None:
    config = lm15.Config(
        seed=1,
        extensions={"metadata": {"tagal": {"grammar": 'root ::= start{2} ("7" | "8"){3}\nstart ::= "x" | "é\\n"'}}},
    )
    asked = lm15.Request(model="m", messages=(lm15.Message.user("1,2\n"),), config=config)
    assert re.fullmatch("(x|é\n){2}[78]{3}", make_lm("local").engine.complete(asked).message.text)


def test_largest_grammar_is_obeyed() -> None:
    words = [f"{i:x}-{(i * 2654435761) % 2**32:08x}-{(i * 40503) % 65536:04x}" for i in range(1_900)]
    grammar = 'root ::= row{2}\nrow ::= cell "\\n"\ncell ::= ' + " | ".join(f'"{word}"' for word in words)
    assert 0.5 * lark.LARGEST < len(as_lark(grammar)) <= lark.LARGEST
    assert as_lark(grammar).startswith("%llguidance")
    config = lm15.Config(seed=1, extensions={"metadata": {"tagal": {"grammar": grammar}}})
    asked = lm15.Request(model="m", messages=(lm15.Message.user("a\nb\n"),), config=config)
    written = make_lm("local").engine.complete(asked).message.text.splitlines()
    assert len(written) == 2
    assert set(written) <= set(words)
