"""What a reasoning model thinks before it answers, in tags or under a label, and how it is cut off."""

from __future__ import annotations

import re
from collections.abc import Iterator

_NAMES = "think|thinking|thoughts?|reasoning|reflection|scratchpad|analysis"
_TAG = re.compile(
    rf"(?P<start>^[ \t]*)?[<\[◁](?P<close>/)?(?:\w{{1,20}}:)?(?:{_NAMES})[>\]▷](?P<end>[ \t\r]*(?:$|(?=\[\[ ## )))?",
    re.MULTILINE | re.IGNORECASE,
)
_LABEL = re.compile(
    r"[\s*_#>]*(?:my )?(?:think|thinking|thoughts?|reasoning|analysis|scratchpad)(?: process)?[*_ \t]*:",
    re.IGNORECASE,
)
_BLANK_LINE = re.compile(r"\n[ \t\r]*(?=\n|```)")


def thought_tags(text: str) -> Iterator[re.Match[str]]:
    """Every tag that opens or closes thoughts, such as `<think>`.

    One that opens thoughts stands at the start of its line. One that closes them, too, or at the end of it, unless
    thoughts are open: between others, a tag is text.
    """
    is_open = False
    for tag in _TAG.finditer(text):
        closes, starts_line, ends_line = (tag[name] is not None for name in ("close", "start", "end"))
        if closes and (is_open or starts_line or ends_line):
            is_open = False
            yield tag
        elif not closes and starts_line and not is_open:
            is_open = True
            yield tag


def without_thoughts(text: str, *, first_alone: bool = False) -> str:
    r"""The text without what stands in tags of thoughts; those that nothing opens or closes reach to its start or end.

    Args:
        text: an answer.
        first_alone: cut the first thoughts only, where they end.

    >>> without_thoughts("<think>\n1,2 is a row\n</think>\n3,4")
    '\n3,4'
    """
    kept: list[str] = []
    at, is_open = 0, False
    for tag in thought_tags(text):
        if tag["close"] is None:
            kept.append(text[at : tag.start()])
            is_open = True
            continue
        if not is_open:
            kept = []
        at, is_open = tag.end(), False
        if first_alone:
            break
    return "".join([*kept, "" if is_open else text[at:]])


def labelled_thoughts(text: str) -> tuple[str, str]:
    r"""Thoughts that a label such as `Thinking:` begins, and what follows the blank line or opens the fence after them.

    >>> labelled_thoughts("Thinking: people are old.\n\n80,yes")
    ('Thinking: people are old.', '\n80,yes')
    """
    label = _LABEL.match(text)
    end = _BLANK_LINE.search(text, label.end()) if label else None
    return (text[: end.start()], text[end.end() :]) if end else ("", text)
