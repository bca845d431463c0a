"""How GEPA gets new instructions: from the roles and what was measured, never from the rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import dspy

from tagal_dspy.signatures import ROLES, ProposeInstructions, adapter_for


class InstructionProposer:
    """GEPA's `ProposalFn`. The calls that it is shown hold real rows; it passes on the feedback of the metric alone."""

    def __call__(
        self,
        candidate: Mapping[str, str],
        reflective_dataset: Mapping[str, Sequence[Mapping[str, Any]]],
        components_to_update: Sequence[str],
    ) -> dict[str, str]:
        """New instructions for some predictors."""
        predict = dspy.Predict(ProposeInstructions)
        found = {}
        for name in components_to_update:
            with dspy.context(adapter=adapter_for(dspy.settings.lm)):
                said = predict(
                    role=ROLES.get(name.partition(".")[0], f"plays the part of {name}"),
                    current_instructions=candidate[name],
                    feedback=[str(each["Feedback"]) for each in reflective_dataset.get(name, ())],
                )
            found[name] = said.new_instructions.strip() or candidate[name]
        return found
