"""The summary role: a conversation in, one refined prompt out."""

from __future__ import annotations

from collections.abc import Iterable

import dspy

FEW_SHOT_SLOT = "{few_shots}"
"""Where a refined prompt wants the real rows."""


class SummarizeTurns(dspy.Signature):  # type: ignore[misc]
    """Condense a conversation about writing rows for a table into one prompt that works without the conversation.

    Somebody wrote rows, somebody else criticised them, several times. Write the prompt that would have led to the
    best rows at once. It must hold everything needed: the task, what each column holds, the relations to keep, and
    what the critiques taught, stated as instructions and not as a story. Copy no rows into it; write {few_shots} at
    the one place where real rows shall be inserted.
    """

    card: str = dspy.InputField(desc="what the table is about and what each column holds")
    conversation: str = dspy.InputField(desc="the turns: which rows were written, and what was said about them")
    refined_prompt: str = dspy.OutputField(desc="the prompt, with {few_shots} once where real rows shall stand")


def conversation_text(turns: Iterable[tuple[str, str]]) -> str:
    """Rows and critiques of a conversation's turns, as the summary LM reads them."""
    return "\n\n".join(
        f"Turn {number}, rows written:\n{rows.strip()}\n\nTurn {number}, critique:\n{critique.strip() or 'none'}"
        for number, (rows, critique) in enumerate(turns, start=1)
    )


def message_text(messages: Iterable[tuple[str, str]]) -> str:
    """Messages of a conversation, each a role and a text, as the summary LM reads them."""
    return "\n\n".join(f"{role}:\n{text.strip()}" for role, text in messages)


def with_few_shots_in_slot(refined_prompt: str, few_shots: str) -> str:
    """The refined prompt with few-shots where it wants them; a prompt without a slot shows none (arXiv:2509.04152)."""
    rows = few_shots.strip("\n")
    return refined_prompt.replace(FEW_SHOT_SLOT, f"\n{rows}\n")


def with_few_shots_below(refined_prompt: str) -> str:
    """The refined prompt with its slot pointing at the examples that are sent along with every draw."""
    return refined_prompt.replace(FEW_SHOT_SLOT, "(the real rows given as examples)")
