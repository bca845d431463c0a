"""What calls cost."""

from __future__ import annotations

import dspy
import pytest
from servers import chat_server, completion

from tagal_dspy.engines import Prices, cost
from tagal_dspy.errors import SettingsError

USED = {"prompt_tokens": 10, "completion_tokens": 5}


def test_list_price_is_the_one_that_dspy_estimates() -> None:
    with chat_server(lambda body: (200, completion("hello"))) as address:
        lm = dspy.LM("openai/gpt-4o-mini", engine="lm15", api_base=address, api_key="none", cache=False)
        lm("hi")
    assert cost("openai/gpt-4o-mini", USED) == pytest.approx(lm.history[-1]["cost"])


def test_price_that_the_user_gives_counts_instead() -> None:
    assert cost("openai/gpt-4o-mini", USED, Prices(1.0, 2.0)) == 20.0


@pytest.mark.parametrize("model", ["openai/no-such-model", "nobody/x", "x"])
def test_unknown_price_is_none(model: str) -> None:
    assert cost(model, USED) is None


def test_local_models_are_free() -> None:
    assert cost("llamacpp/model.gguf", USED) == 0.0


def test_negative_prices_are_refused() -> None:
    with pytest.raises(SettingsError, match="0 or more"):
        cost("openai/x", USED, Prices(-1.0, 0.0))
