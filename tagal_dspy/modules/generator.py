"""`RowGenerator`: one draw of rows from the generation LM."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal, cast
from weakref import WeakKeyDictionary

import dspy
from dspy.utils.exceptions import AdapterParseError

from tagal_dspy.card import make_card
from tagal_dspy.codecs import RowCodec, make_codec
from tagal_dspy.modules.context import Fields, Window, evenly, fitted
from tagal_dspy.modules.role import Role, draw_config, lm_of
from tagal_dspy.rules import Rules
from tagal_dspy.schema import ModelledColumn, Row
from tagal_dspy.settings import MANY_ROWS, CodecName, ColumnOrder
from tagal_dspy.signatures import GenerateManyRows, GenerateRows, RefinedRows, Table, adapter_for
from tagal_dspy.task import TableTask


class RowGenerator(Role):
    """Ask the generation LM for rows once.

    Args:
        codec: wire format of the rows.
        column_order: of the columns on the wire.
        temperature: in [0, 2].
        branch_rows: rows of one continuation. A draw of more rows is split into continuations of the same prompt,
            drawn side by side, where the engine can; None lets one continuation write them all.
        context_window: tokens of prompt and answer that the LM takes; what its engine knows where None. A request
            that does not fit is shortened by the rule of `tagal_dspy.modules.context`.
        info: whether the card is told; rules, which stand on it, are not told without it.

    Called with a task and `n_rows`, returns a `dspy.Prediction` with `answer` (the `Table` as it came) and `request`
    (the fields that were sent, without the history). Never raises for what the LM answers.
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

    async def aforward(self, task: TableTask, n_rows: int | None = None, **request: Any) -> dspy.Prediction:
        """Draw rows.

        Args:
            task: the table to write rows for.
            n_rows: how many rows to ask for; as many as possible where None.
            request: `examples` (rows to show, with the card; None on a later turn of a conversation), `history`
                (messages of the turns before), `critique`, `refined_prompt`, `prompt` (a whole prompt, sent alone;
                `examples` are then those that stand in it),
                `wanted` (in words, which rows to write), `narrowed` (columns to hold the rows to, where the engine
                takes a grammar), `rules` (told in the card) and `rollout_id` (names the draw: equal ids draw equal
                rows).
        """
        inputs, sent, adapter = self._prepared(task, n_rows, **request)
        try:
            with dspy.context(adapter=adapter):
                answer = (await self.predict.acall(**inputs)).rows
        except AdapterParseError as error:
            answer = Table(text=error.lm_response or "")
        return dspy.Prediction(answer=answer, request=sent)

    def messages(self, task: TableTask, n_rows: int | None = None, **request: Any) -> list[dict[str, str]]:
        """The prompt that a call would send."""
        inputs, _, adapter = self._prepared(task, n_rows, **request)
        signature = inputs.pop("signature")
        inputs.pop("config")
        return list(adapter.format(signature, self.predict.demos, inputs))

    def wire(self, task: TableTask) -> RowCodec:
        """The codec for a task's rows; made once for each task."""
        codecs = _codecs.setdefault(task, {})
        key = self.codec, self.column_order
        if key not in codecs:
            codecs[key] = make_codec(self.codec, task.schema, self.column_order)
        return codecs[key]

    def _fields(
        self,
        task: TableTask,
        n_rows: int | None,
        examples: Sequence[Row] | None = None,
        critique: str | None = None,
        refined_prompt: str | None = None,
        prompt: str | None = None,
        wanted: str | None = None,
        rules: Rules | None = None,
        **_: Any,
    ) -> dict[str, Any]:
        """The fields of the signature for a draw, without the history; those without a value are left out."""
        if prompt is not None:
            return {"prompt": prompt}
        with_card = self.info == "card" and examples is not None and not refined_prompt
        fields: dict[str, Any] = {
            "card": make_card(task.schema, rules) if with_card else None,
            "refined_prompt": refined_prompt,
            "examples": self._examples(task, examples),
            "critique": critique or None,
            "wanted": wanted,
            "n_rows": n_rows,
        }
        return {name: value for name, value in fields.items() if value is not None}

    def _signature(self, n_rows: int | None, prompt: str | None) -> type[dspy.Signature]:
        if prompt is not None:
            return RefinedRows
        if n_rows is None:
            many = GenerateManyRows.with_instructions(self.predict.signature.instructions)
            return cast("type[dspy.Signature]", many)
        return cast("type[dspy.Signature]", self.predict.signature)

    def _prepared(
        self,
        task: TableTask,
        n_rows: int | None,
        history: Sequence[Fields] = (),
        rollout_id: int = 0,
        narrowed: Mapping[str, ModelledColumn] | None = None,
        **request: Any,
    ) -> tuple[dict[str, Any], Fields, dspy.Adapter]:
        """The inputs of the predictor, the fields among them, and the adapter that writes them out."""
        lm, codec = lm_of(self.predict), self.wire(task)
        adapter, signature = adapter_for(lm), self._signature(n_rows, request.get("prompt"))
        # DSPy's modules that sample a program anew (SIMBA, BestOfN) give its LM a rollout id of its own.
        rollout_id ^= lm.kwargs.get("rollout_id") or 0
        config = draw_config(rollout_id, self.temperature)
        if getattr(getattr(lm, "engine", None), "takes_grammar", False):
            n_written = n_rows or MANY_ROWS
            per_branch = min(self.branch_rows or n_written, n_written)
            grammar = codec.grammar(per_branch, narrowed, adapter.grammar_frame)
            config["seed"] = rollout_id
            config["metadata"] = {"tagal": {"grammar": grammar, "branches": math.ceil(n_written / per_branch)}}
        whole = self._fields(task, n_rows, **request)
        fields, turns = self._fitted(lm, adapter, signature, task, n_rows, whole, history)
        inputs: dict[str, Any] = {**fields, "config": config, "signature": signature}
        if "prompt" in fields:
            return inputs, {**fields, "examples": self._examples(task, request.get("examples"))}, adapter
        inputs["history"] = dspy.History(messages=list(turns))
        return inputs, fields, adapter

    def _examples(self, task: TableTask, rows: Sequence[Row] | None) -> Table | None:
        return Table(text=self.wire(task).encode(rows)) if rows is not None else None

    def _fitted(
        self,
        lm: dspy.LM,
        adapter: dspy.Adapter,
        signature: type[dspy.Signature],
        task: TableTask,
        n_rows: int | None,
        fields: Fields,
        history: Sequence[Fields],
    ) -> tuple[Fields, Sequence[Fields]]:
        """What of a request and the turns before it fits the window of the LM."""
        window, codec = Window.of(lm, self.context_window), self.wire(task)
        texts = [str(value) for each in (fields, *history) for value in each.values()]
        if window is None or window.surely_holds(signature.instructions, *map(str, self.predict.demos), *texts):
            return fields, list(history)
        answer = window.count(codec.encode(task.train_rows[: n_rows or MANY_ROWS]))

        def size(fields: Fields, turns: Sequence[Fields]) -> int:
            inputs = {**fields, "history": dspy.History(messages=list(turns))}
            messages = adapter.format(signature, self.predict.demos, inputs)
            return answer + sum(window.count(message["content"]) for message in messages)

        def thinned(examples: Table | None, share: float) -> Table | None:
            rows = codec.decode(examples.text).rows if examples is not None else ()
            n_left = int(len(rows) * share)
            return Table(text=codec.encode(evenly(rows, n_left))) if n_left else None

        return fitted(fields, history, window.room, size, thinned)


_codecs: WeakKeyDictionary[TableTask, dict[tuple[CodecName, ColumnOrder], RowCodec]] = WeakKeyDictionary()
