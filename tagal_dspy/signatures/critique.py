"""The feedback role: generated rows in, what is good and bad about them out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import dspy

from tagal_dspy.signatures.types import CritiquePoint, Discrepancy, Table


class CritiqueRows(dspy.Signature):  # type: ignore[misc]
    """Judge rows that were written to look like real rows of a table, so that the next ones can be better.

    Go through the rows step by step and compare them with what is known of the real table: the distribution of each
    column, the relations between columns, the plausibility of whole rows, their variety. Say what is good, then what
    is weak, each weakness with the rows that show it and a recommendation that can be acted upon. Where an earlier
    critique is given, say whether it was followed. Where measured discrepancies are given, they are facts: explain each
    in a point of its own before you look for more.
    """

    card: str = dspy.InputField(desc="what the real table is about and what each column holds")
    rows: Table = dspy.InputField(desc="the generated rows")
    discrepancies: str | None = dspy.InputField(desc="what was measured to differ from the real table, worst first")
    earlier_critique: str | None = dspy.InputField(desc="what was said about the rows before these")
    strengths: str = dspy.OutputField(desc="what is good about the rows and should stay")
    points: list[CritiquePoint] = dspy.OutputField(
        desc="the weaknesses, the worst first, each with a recommendation", default_factory=list
    )
    followed: str = dspy.OutputField(desc="whether and how the earlier critique was followed", default="")


WEAKNESSES_ALONE = "Name weaknesses alone, and leave out what is good."
"""Follows the instructions of a critic that names no strengths."""


def critique_signature(
    instructions: str,
    *,
    is_conversation: bool = False,
    has_card: bool = True,
    has_examples: bool = False,
    weaknesses_alone: bool = False,
) -> type[dspy.Signature]:
    """`CritiqueRows` for a conversation of the critic's own, without a card, with few-shots, or without strengths: the
    variants of arXiv:2509.04152."""
    signature: Any = CritiqueRows
    if is_conversation or not has_card:
        signature = signature.with_updated_fields("card", type_=str | None)
    if has_examples:
        field = dspy.InputField(desc="real rows that were shown to whoever wrote the rows")
        signature = signature.insert(1, "examples", field, type_=Table | None)
    if is_conversation:
        field = dspy.InputField(desc="the rows before these, and what was said about them")
        signature = signature.append("history", field, type_=dspy.History)
    if weaknesses_alone:
        signature = signature.delete("strengths")
        instructions = f"{instructions}\n\n{WEAKNESSES_ALONE}"
    return cast("type[dspy.Signature]", signature.with_instructions(instructions))


def critique_text(strengths: str, points: Sequence[CritiquePoint], followed: str = "") -> str:
    """A critique as the generator reads it."""
    parts = [f"Good: {strengths.strip()}"] if strengths.strip() else []
    if followed.strip():
        parts.append(f"Earlier critique: {followed.strip()}")
    return "\n".join([*parts, *(f"- {_point_text(point)}" for point in points)])


def measured_text(discrepancies: Sequence[Discrepancy]) -> str:
    """Discrepancies as a critic reads them, or as the generator does where nobody else explains them."""
    return "\n".join(f"- {each.text}" for each in discrepancies)


NOTHING_MEASURED = "Nothing measurable differs from the real table; go on like this."
"""The critique of rows without a discrepancy."""


def _point_text(point: CritiquePoint) -> str:
    about = f"{point.column}: " if point.column else ""
    evidence = f" ({point.evidence})" if point.evidence else ""
    return f"{about}{point.problem}{evidence}" + (f" -> {point.recommendation}" if point.recommendation else "")
