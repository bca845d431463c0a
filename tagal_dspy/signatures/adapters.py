"""How a signature becomes a prompt: for models that chat, and for base models that only continue text."""

from __future__ import annotations

import re
from typing import Any

import dspy
from dspy.adapters.types.base_type import CUSTOM_TYPE_START_IDENTIFIER
from dspy.utils.exceptions import AdapterParseError

from tagal_dspy.characters import as_unicode
from tagal_dspy.signatures.generation import GenerateRows
from tagal_dspy.signatures.recall import RecallRows
from tagal_dspy.signatures.types import Table
from tagal_dspy.thoughts import thought_tags, without_thoughts

_STRING_NOTE = '        # note: the value you produce must adhere to the JSON schema: {"type": "string"}'
_UNSAID = (GenerateRows.instructions, RecallRows.instructions)
"""A model that only continues text does what these ask without being told."""

_UNTOLD = ("card", "wanted")
"""Inputs that show in the examples."""

_TABLE_NOTE = " (must be formatted as a valid Python Table)"


class RowsChatAdapter(dspy.ChatAdapter):  # type: ignore[misc]
    """DSPy's chat format, which takes tables as they came and asks once: an answer that does not parse is an answer."""

    grammar_frame = ("[[ ## rows ## ]]\n", "\n[[ ## completed ## ]]\n")
    """What stands before and after the rows in an answer; a grammar must allow it."""

    def __init__(self) -> None:
        super().__init__(use_json_adapter_fallback=False)

    def format_field_structure(self, signature: type[dspy.Signature]) -> str:
        """As in DSPy, without the JSON schema that says of a table only that it is text."""
        return str(super().format_field_structure(signature)).replace(_STRING_NOTE, "")

    def user_message_output_requirements(self, signature: type[dspy.Signature]) -> str:
        """As in DSPy, without calling a table a Python value."""
        return str(super().user_message_output_requirements(signature)).replace(_TABLE_NOTE, "")

    def format_user_message_content(self, *fields: Any, **more: Any) -> str:
        """As in DSPy, but a cell cannot begin what DSPy sends as an image or a file instead of text."""
        content = str(super().format_user_message_content(*fields, **more))
        return content.replace(CUSTOM_TYPE_START_IDENTIFIER, CUSTOM_TYPE_START_IDENTIFIER.replace("<<", "< <"))

    def parse(self, signature: type[dspy.Signature], completion: str) -> dict[str, Any]:
        """The fields of an answer; an answer without any field marker is the value of a lone table output.

        Markers that a reasoning model drafts in its thoughts do not count.
        """
        completion = as_unicode(completion)
        if list(_annotations(signature).values()) == [Table]:
            name = next(iter(signature.output_fields))
            return {name: Table(text=_section(name, completion).strip("\n") or completion)}
        return dict(super().parse(signature, completion))


class ContinuationAdapter(dspy.Adapter):  # type: ignore[misc]
    """One text that ends where the model should go on: for a table, right after the examples.

    A base model takes no orders, but continues a table well, and the time it takes grows with the prompt. So the card,
    which rows are wanted (the examples are such rows) and the instructions as the library ships them are left out where
    rows follow; optimised instructions, a critique, a refined prompt are put before the rows. Earlier turns count with
    what they said last about each field.
    """

    grammar_frame = ("", "")

    def format(
        self, signature: type[dspy.Signature], demos: list[dict[str, Any]], inputs: dict[str, Any]
    ) -> list[dict[str, Any]]:
        """A single user message."""
        given: dict[str, Any] = {}
        for turn in [*_turns(inputs), inputs]:
            given |= {name: turn[name] for name in signature.input_fields if turn.get(name) is not None}
        rows_follow = Table in _annotations(signature).values()
        if rows_follow:
            given = {name: value for name, value in given.items() if name not in _UNTOLD}
        texts = [f"{_label(name)}: {value}" for name, value in given.items() if isinstance(value, str)]
        tables = [str(value) for value in given.values() if isinstance(value, Table)]
        opening = [] if signature.instructions in _UNSAID else [signature.instructions]
        start = [] if rows_follow else [f"{_label(next(iter(signature.output_fields)))}:"]
        prompt = "\n\n".join(part.strip("\n") for part in [*opening, *texts, *tables, *start])
        return [{"role": "user", "content": prompt + "\n" if rows_follow else prompt}]

    def parse(self, signature: type[dspy.Signature], completion: str) -> dict[str, Any]:
        """The whole continuation is the first output; the others keep their defaults."""
        completion = as_unicode(completion)
        first, *others = signature.output_fields
        values: dict[str, Any] = {first: completion.strip()}
        if _annotations(signature)[first] is Table:
            values[first] = Table(text=completion)
        for name in others:
            field = signature.output_fields[name]
            if field.is_required():
                raise AdapterParseError(
                    adapter_name="ContinuationAdapter",
                    signature=signature,
                    lm_response=completion,
                    message=f"output {name!r} needs a default to be used with a model that only continues text",
                )
            values[name] = field.get_default(call_default_factory=True)
        return values


def _section(name: str, completion: str) -> str:
    """What stands between the marker of a field and that of the end, where there are such.

    Markers stand at the start or the end of a line and outside of quotes; codecs write cells so that no cell does.
    Those in thoughts do not count.
    """
    marker = rf"(?:^|(?<=[>\]▷]))[ \t]*\[\[ ## {name} ## \]\]"
    end_marker = r"\[\[ ## completed ## \]\][ \t\r]*$"
    completion = _after_drafts(marker, end_marker, completion)
    start = _marker(marker, completion, place=0)
    after = completion[start.end() :] if start else completion
    end = _marker(end_marker, after, place=-1)
    return after[: end.start()] if end else after


def _after_drafts(marker: str, end_marker: str, completion: str) -> str:
    """The completion without thoughts in which a marker stands, too."""
    tags, markers = list(thought_tags(completion)), list(re.finditer(marker, completion, re.MULTILINE))
    if not tags or not markers:
        return completion
    if tags[0]["close"] is None and tags[0].start() < markers[0].start():
        is_whole = len(tags) == 1 and re.search(end_marker, completion[markers[0].end() :], re.MULTILINE)
        return completion if is_whole else without_thoughts(completion, first_alone=True) or tags[0][0]
    closed = [tag.end() for tag in tags if tag["close"] and tag.end() <= markers[-1].start()]
    return completion[closed[-1] :] if closed else completion


def _marker(pattern: str, text: str, place: int) -> re.Match[str] | None:
    """The first match outside of quotes; where a quote is left open, so that all seem to be in cells, that at `place`."""
    found = list(re.finditer(pattern, text, re.MULTILINE))
    n_quotes = counted = 0
    for match in found:
        n_quotes += text.count('"', counted, match.start())
        counted = match.start()
        if n_quotes % 2 == 0:
            return match
    return found[place] if found and text.count('"') % 2 else None


def adapter_for(lm: Any) -> RowsChatAdapter | ContinuationAdapter:
    """The adapter that suits an LM: its engine says when it only continues text (`style = "continuation"`)."""
    return ContinuationAdapter() if prompt_style(lm) == "continuation" else RowsChatAdapter()


def prompt_style(lm: Any) -> str:
    """`continuation` or `chat`."""
    return str(getattr(getattr(lm, "engine", None), "style", "chat"))


def _annotations(signature: type[dspy.Signature]) -> dict[str, Any]:
    return {name: field.annotation for name, field in signature.output_fields.items()}


def _turns(inputs: dict[str, Any]) -> list[dict[str, Any]]:
    return [turn for value in inputs.values() if isinstance(value, dspy.History) for turn in value.messages]


def _label(name: str) -> str:
    return name.replace("_", " ").capitalize()
