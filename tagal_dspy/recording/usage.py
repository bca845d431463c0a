"""`Usage`: calls, tokens and cost by language model; `RecordedAnswer`: what one call brought."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

Counts = dict[str, int]
"""`calls`, `prompt_tokens` and `completion_tokens`; `estimated` are the calls whose tokens were counted here."""


class Usage(dict[str, Counts]):
    """Calls and tokens by language model, and what they cost together.

    Args:
        counts: by the name of the model.
        cost: US dollars; None where a price is not known.

    >>> one = Usage.of_call("a", 10, 5, cost=0.5)
    >>> total = one + Usage.of_call("a", 2, 1, cost=0.25)
    >>> total, total.calls, total.tokens, total.cost
    ({'a': {'calls': 2, 'prompt_tokens': 12, 'completion_tokens': 6}}, 2, 18, 0.75)
    """

    def __init__(self, counts: Mapping[str, Counts] | None = None, cost: float | None = 0.0) -> None:
        super().__init__({name: dict(each) for name, each in (counts or {}).items()})
        self.cost = cost

    @classmethod
    def of_call(
        cls,
        model: str,
        prompt_tokens: int,
        completion_tokens: int,
        *,
        estimated: bool = False,
        cost: float | None = 0.0,
    ) -> Usage:
        """The usage of one call."""
        counts = {"calls": 1, "prompt_tokens": prompt_tokens, "completion_tokens": completion_tokens}
        return cls({model: counts | ({"estimated": 1} if estimated else {})}, cost)

    @classmethod
    def total(cls, parts: Iterable[Usage]) -> Usage:
        """The sum of usages."""
        return sum(parts, cls())

    @property
    def calls(self) -> int:
        """Calls of all models; calls that a cache answered are not counted."""
        return sum(each["calls"] for each in self.values())

    @property
    def tokens(self) -> int:
        """Prompt and completion tokens of all models."""
        return sum(each["prompt_tokens"] + each["completion_tokens"] for each in self.values())

    def __add__(self, other: Usage) -> Usage:
        counts = {name: dict(each) for name, each in self.items()}
        for name, each in other.items():
            known = counts.setdefault(name, {})
            for what, number in each.items():
                known[what] = known.get(what, 0) + number
        return Usage(counts, None if self.cost is None or other.cost is None else self.cost + other.cost)


class RecordedAnswer(NamedTuple):
    """What a call brought, ready for a record.

    Attributes:
        text: of the answer.
        finish_reason: as the server gives it, e.g. `stop` or `length`.
        usage: of the call; empty where a cache or a person answered.
    """

    text: str
    finish_reason: str
    usage: Usage
