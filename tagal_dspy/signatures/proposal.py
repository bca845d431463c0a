"""The reflection role: instructions and what came of them in, better instructions out."""

from __future__ import annotations

import dspy

ROLES = {
    "generator": "writes new rows for a table, given its card, real rows as examples, and sometimes a critique",
    "critic": "criticises rows that were written for a table, so that the next ones are better",
    "summarizer": "condenses a conversation of rows and critiques into one prompt",
}
"""What the roles of a program do, by the first part of their predictors' names."""


class ProposeInstructions(dspy.Signature):  # type: ignore[misc]
    """Improve the instructions that a language model follows in one role of writing a synthetic table.

    The tables are judged by measurement: classifiers trained on the rows are tested on real ones, and columns and pairs
    of columns are compared with the real table. The score is 0 for a table of unrelated columns and 1 for as many real
    rows. Say what to do differently so that the gaps that were measured close; keep what the current instructions do well.

    The instructions are used for other tables, too, which come with a card and examples of their own. So write what holds
    for any table: no column names, no values, no figures of this one. Write instructions only, no explanation.
    """

    role: str = dspy.InputField(desc="what the model that follows the instructions does")
    current_instructions: str = dspy.InputField(desc="the current instructions")
    feedback: list[str] = dspy.InputField(desc="what was measured of tables that the current instructions led to")
    new_instructions: str = dspy.OutputField(desc="the improved instructions, complete")
