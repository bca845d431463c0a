"""The embedded model, with a look at every call it answers; and a stand-in for it, to try a bench out."""

from __future__ import annotations

import random
import threading
import time
from dataclasses import dataclass
from typing import Any, ClassVar

from tagal_dspy.engines import llama, local


@dataclass
class Answered:
    """One call of the server: when it began and ended, what was asked, and how many tokens it took."""

    began: float
    ended: float
    body: dict[str, Any]
    prompt: int
    reused: int
    written: int

    @property
    def tokens(self) -> int:
        """Prompt tokens that were evaluated, and tokens that were written."""
        return self.prompt - self.reused + self.written


class Watched:
    """A server that keeps what its calls took in `calls`; `latest` is the one that was started last."""

    calls: ClassVar[list[Answered]] = []
    latest: ClassVar[Watched]
    _lock = threading.Lock()

    def __init__(self, server: Any) -> None:
        self._server = server
        Watched.latest = self

    def handle_completions(self, body: dict[str, Any]) -> dict[str, Any]:
        return self._answered(self._server.handle_completions, body)

    def handle_chat_completions(self, body: dict[str, Any]) -> dict[str, Any]:
        return self._answered(self._server.handle_chat_completions, body)

    def _answered(self, handle: Any, body: dict[str, Any]) -> dict[str, Any]:
        began = time.perf_counter()
        answer: dict[str, Any] = handle(body)
        used = answer.get("usage", {})
        reused = used.get("prompt_tokens_details", {}).get("cached_tokens", 0)
        texts = [str(choice.get("text", "")) for choice in answer.get("choices", [])] or [""]
        written = local._n_written(texts, used.get("completion_tokens", 0))
        took = (used.get("prompt_tokens", 0), reused, written)
        with self._lock:
            self.calls.append(Answered(began, time.perf_counter(), body, *took))
        return answer


class StandIn:
    """Answers at once with rows mixed of those in the prompt; a token is four characters. Measures nothing."""

    def __init__(self, *_: Any) -> None:
        self._rng = random.Random(0)

    def handle_completions(self, body: dict[str, Any]) -> dict[str, Any]:
        time.sleep(0.01)
        rows = [line.split(",") for line in body["prompt"].strip().splitlines() if line.count(",") > 4]
        n_columns = max(map(len, rows), default=1)
        rows = [row for row in rows if len(row) == n_columns][1:] or [["?"] * n_columns]
        n_lines = body.get("max_tokens", 0) // 20 if body.get("max_tokens", 0) > 0 else 2
        written = ["\n".join(self._mixed(rows) for _ in range(n_lines)) + "\n" for _ in range(body.get("n", 1))]
        texts = ['{"rows": []}' if "json_schema" in body else text for text in written]
        choices = [{"index": i, "text": text, "finish_reason": "stop"} for i, text in enumerate(texts)]
        n_prompt, n_written = len(body["prompt"]) // 4, len(texts[0]) // 4
        used = {"prompt_tokens": n_prompt, "completion_tokens": n_written, "total_tokens": n_prompt + n_written}
        return {"choices": choices, "usage": used}

    def _mixed(self, rows: list[list[str]]) -> str:
        label = self._rng.choice(rows)[-1]
        alike = [row[:-1] for row in rows if row[-1] == label]
        return ",".join([*(self._rng.choice(cells) for cells in zip(*alike, strict=True)), label])


def watch(try_out: bool) -> None:
    """Have every server that the local engine starts from now on watched; a stand-in for it to try a bench out."""
    start = StandIn if try_out else llama._start
    llama._start = lambda *given: Watched(start(*given))
