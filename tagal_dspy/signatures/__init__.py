"""The prompts: one typed signature per role, and how they are written out for a model."""

from tagal_dspy.signatures.adapters import ContinuationAdapter, RowsChatAdapter, adapter_for, prompt_style
from tagal_dspy.signatures.critique import (
    NOTHING_MEASURED,
    CritiqueRows,
    critique_signature,
    critique_text,
    measured_text,
)
from tagal_dspy.signatures.generation import GenerateManyRows, GenerateRows, RefinedRows, wanted_rows
from tagal_dspy.signatures.proposal import ROLES, ProposeInstructions
from tagal_dspy.signatures.recall import RecallRows, RecallValue
from tagal_dspy.signatures.summary import (
    FEW_SHOT_SLOT,
    SummarizeTurns,
    conversation_text,
    message_text,
    with_few_shots_below,
    with_few_shots_in_slot,
)
from tagal_dspy.signatures.types import CritiquePoint, Discrepancy, Table

__all__ = [
    "FEW_SHOT_SLOT",
    "NOTHING_MEASURED",
    "ROLES",
    "ContinuationAdapter",
    "CritiquePoint",
    "CritiqueRows",
    "Discrepancy",
    "GenerateManyRows",
    "GenerateRows",
    "ProposeInstructions",
    "RecallRows",
    "RecallValue",
    "RefinedRows",
    "RowsChatAdapter",
    "SummarizeTurns",
    "Table",
    "adapter_for",
    "conversation_text",
    "critique_signature",
    "critique_text",
    "measured_text",
    "wanted_rows",
    "prompt_style",
    "message_text",
    "with_few_shots_below",
    "with_few_shots_in_slot",
]
