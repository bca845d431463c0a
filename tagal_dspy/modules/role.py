"""`Role`: what the roles of a program (generator, critic, summarizer) have in common."""

from __future__ import annotations

from typing import Any

import dspy

from tagal_dspy.background import run_in_background
from tagal_dspy.errors import EngineError


class Role(dspy.Module):  # type: ignore[misc]
    """A module that is written once, as `aforward`; called without `await` it runs on the background loop."""

    def forward(self, *args: Any, **kwargs: Any) -> dspy.Prediction:
        """The prediction of `aforward`, waited for."""
        return run_in_background(self.aforward, *args, **kwargs)


def lm_of(predict: dspy.Predict) -> dspy.LM:
    """The language model that a predictor asks; raises `EngineError` where there is none."""
    lm = predict.lm or dspy.settings.lm
    if lm is None:
        raise EngineError("no language model; use dspy.context(lm=make_lm(...)) or dspy.configure(lm=...)")
    return lm


def draw_config(rollout_id: int, temperature: float | None) -> dict[str, Any]:
    """How a predictor draws: at the LM's own temperature where None; at 0 there is only one draw."""
    config: dict[str, Any] = {} if temperature is None else {"temperature": temperature}
    return config if temperature == 0 else {**config, "rollout_id": rollout_id}
