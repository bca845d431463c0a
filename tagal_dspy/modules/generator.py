"""`RowGenerator`: one draw of rows from the generation LM."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import dspy
from dspy.utils.exceptions import AdapterParseError

from tagal_dspy.card import make_card
from tagal_dspy.codecs import Decoded, RowCodec, make_codec
from tagal_dspy.errors import EngineError
from tagal_dspy.modules.context import Fields, Window, evenly, fitted
from tagal_dspy.modules.ledger import Role, draw_config
from tagal_dspy.rules import Rules
from tagal_dspy.schema import ModelledColumn, Row
from tagal_dspy.settings import CodecName, ColumnOrder
from tagal_dspy.signatures import GenerateRows, Table, adapter_for
from tagal_dspy.task import TableTask


class RowGenerator(Role):
    """Ask the generation LM for rows once, and decode what it answers.

    Args:
        codec: wire format of the rows.
        column_order: of the columns on the wire.
        temperature: in [0, 2].
        branch_rows: rows of one continuation. A draw of more rows is split into continuations of the same prompt,
            drawn side by side, where the engine can; None lets one continuation write them all.
        context_window: tokens of prompt and answer that the LM takes; what its engine knows where None. A request
            that does not fit is shortened by the rule of `tagal_dspy.modules.context`.
        info: whether the card is told; rules, which stand on it, are not told without it.

    Called with a task and `n_rows`, returns a `dspy.Prediction` with `answer` (the `Table` as it came) and `decoded`
    (its rows, and what is no row). Never raises for what the LM answers.
    """

    def __init__(
        self,
        codec: CodecName = "csv",
        column_order: ColumnOrder = "original",
        temperature: float = 0.7,
        branch_rows: int | None = None,
        context_window: int | None = None,
        info: Literal["card", "none"] = "card",
    ) -> None:
        super().__init__()
        self.codec = codec
        self.column_order = column_order
        self.temperature = temperature
        self.branch_rows = branch_rows
        self.context_window = context_window
        self.info = info
        self.predict = dspy.Predict(GenerateRows)

    def forward(self, task: TableTask, n_rows: int, **request: Any) -> dspy.Prediction:
        """Draw rows.

        Args:
            task: the table to write rows for.
            n_rows: how many rows to ask for.
            request: `examples` (rows to show, with the card; None on a later turn of a conversation), `history`
                (messages of the turns before), `critique`, `refined_prompt`, `wanted` (in words, which rows to
                write), `narrowed` (columns to hold the rows to, where the engine takes a grammar), `rules` (told in
                the card) and `rollout_id` (names the draw: equal ids draw equal rows).
        """
        codec = self.wire(task)
        inputs, adapter = self._prepared(task, codec, n_rows, **request)
        try:
            with dspy.context(adapter=adapter):
                answer = self.predict(**inputs).rows
        except AdapterParseError as error:
            answer = Table(text=error.lm_response or "")
        return _drawn(codec, answer)

    async def aforward(self, task: TableTask, n_rows: int, **request: Any) -> dspy.Prediction:
        """See `forward`."""
        codec = self.wire(task)
        inputs, adapter = self._prepared(task, codec, n_rows, **request)
        try:
            with dspy.context(adapter=adapter):
                answer = (await self.predict.acall(**inputs)).rows
        except AdapterParseError as error:
            answer = Table(text=error.lm_response or "")
        return _drawn(codec, answer)

    def dumped(self, said: dspy.Prediction) -> dict[str, Any]:
        """The answer as it came; rows are decoded anew."""
        return {"answer": said.answer.text}

    def restored(self, recorded: dict[str, Any], inputs: dict[str, Any]) -> dspy.Prediction:
        """See `Role.restored`."""
        return _drawn(self.wire(inputs["task"]), Table(text=recorded["answer"]))

    def messages(self, task: TableTask, n_rows: int, **request: Any) -> list[dict[str, str]]:
        """The prompt that `forward` would send."""
        inputs, adapter = self._prepared(task, self.wire(task), n_rows, **request)
        inputs.pop("config")
        return list(adapter.format(self.predict.signature, self.predict.demos, inputs))

    def wire(self, task: TableTask) -> RowCodec:
        """The codec for a task's rows."""
        return make_codec(self.codec, task.schema, self.column_order)

    def fields(
        self,
        task: TableTask,
        n_rows: int,
        examples: Sequence[Row] | None = None,
        critique: str | None = None,
        refined_prompt: str | None = None,
        wanted: str | None = None,
        narrowed: Mapping[str, ModelledColumn] | None = None,
        rules: Rules | None = None,
    ) -> dict[str, Any]:
        """The fields of `GenerateRows` for a draw, without the history; what is not said is left out."""
        told = self.info == "card" and examples is not None and not refined_prompt
        fields: dict[str, Any] = {
            "card": make_card(task.schema, rules) if told else None,
            "refined_prompt": refined_prompt,
            "examples": Table(text=self.wire(task).encode(examples)) if examples is not None else None,
            "critique": critique or None,
            "wanted": wanted,
            "n_rows": n_rows,
        }
        return {name: value for name, value in fields.items() if value is not None}

    def _prepared(
        self,
        task: TableTask,
        codec: RowCodec,
        n_rows: int,
        history: Sequence[dict[str, Any]] = (),
        rollout_id: int = 0,
        **request: Any,
    ) -> tuple[dict[str, Any], dspy.Adapter]:
        lm = self.predict.lm or dspy.settings.lm
        if lm is None:
            raise EngineError("no language model; use dspy.context(lm=make_lm(...)) or dspy.configure(lm=...)")
        adapter = adapter_for(lm)
        # DSPy's modules that sample a program anew (SIMBA, BestOfN) give its LM a rollout id of its own.
        rollout_id ^= lm.kwargs.get("rollout_id") or 0
        config = draw_config(rollout_id, self.temperature)
        if getattr(getattr(lm, "engine", None), "takes_grammar", False):
            config["seed"] = rollout_id
            per_branch = min(self.branch_rows or n_rows, n_rows)
            grammar = codec.grammar(per_branch, request.get("narrowed"), adapter.grammar_frame)
            config["metadata"] = {"tagal": {"grammar": grammar, "branches": math.ceil(n_rows / per_branch)}}
        fields, turns = self._fitted(lm, adapter, codec, task, self.fields(task, n_rows, **request), history)
        return {**fields, "history": dspy.History(messages=turns), "config": config}, adapter

    def _fitted(
        self,
        lm: dspy.LM,
        adapter: dspy.Adapter,
        codec: RowCodec,
        task: TableTask,
        fields: Fields,
        history: Sequence[Fields],
    ) -> tuple[Fields, Sequence[Fields]]:
        """What of a request and the turns before it fits the window of the LM."""
        window, signature = Window.of(lm, self.context_window), self.predict.signature
        said = [str(value) for each in (fields, *history) for value in each.values()]
        if window is None or window.surely_holds(signature.instructions, *map(str, self.predict.demos), *said):
            return fields, list(history)
        answer = window.count(codec.encode(task.train_rows[: fields["n_rows"]]))

        def size(fields: Fields, turns: Sequence[Fields]) -> int:
            inputs = {**fields, "history": dspy.History(messages=list(turns))}
            messages = adapter.format(signature, self.predict.demos, inputs)
            return answer + sum(window.count(message["content"]) for message in messages)

        def thinned(examples: Table | None, share: float) -> Table | None:
            rows = codec.decode(examples.text).rows if examples is not None else ()
            n_left = int(len(rows) * share)
            return Table(text=codec.encode(evenly(rows, n_left))) if n_left else None

        return fitted(fields, history, window.room, size, thinned)


def _drawn(codec: RowCodec, answer: Table) -> dspy.Prediction:
    decoded: Decoded = codec.decode(answer.text)
    return dspy.Prediction(answer=answer, decoded=decoded)
