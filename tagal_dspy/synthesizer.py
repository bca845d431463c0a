"""`TagalSynthesizer`: fit on a real table, sample a synthetic one."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from typing import Any

import dspy
import pandas as pd

from tagal_dspy.conditions import Condition, known_slots, quotas_for
from tagal_dspy.engines import is_local, make_lm
from tagal_dspy.errors import DataError, SettingsError
from tagal_dspy.modules import METHODS, Estimate, Progress, TagalLoop, Wanted, estimated
from tagal_dspy.recording import Recorder
from tagal_dspy.rules import Rules
from tagal_dspy.schema import SchemaOverrides
from tagal_dspy.settings import RunSettings, run_settings
from tagal_dspy.signatures import prompt_style
from tagal_dspy.task import TableTask

Frames = pd.DataFrame | dict[str, pd.DataFrame]


def make_program(settings: RunSettings) -> TagalLoop:
    """The program of a method with its settings."""
    return METHODS[settings.method](settings)


class TagalSynthesizer:
    """Synthetic rows for one table.

    Args:
        lm: writes the rows: a `dspy.LM`, or what `make_lm` takes. `local` is the embedded model.
        critic_lm, summary_lm: criticise and summarise; `lm` where None.
        api_base: address of an OpenAI-compatible server, for models given by name that are not local.
        concurrency: calls to a server under way at once; found by trying where None.
        preset: `grounded`, or `paper` for the published method as it is.
        program: a program to use instead of one made of `preset` and `settings`, e.g. an optimised one.
        seed: equal seeds and equal LM answers give equal tables.
        settings: fields of `RunSettings` that differ from the preset's, e.g. `method="prompt-refine"`.

    Attributes:
        task_: the split table, after `fit`.
        program_, lm_: the program and the language model in use, after `fit`.
        prediction_: turns, rejects and usage of the last `sample`.
    """

    def __init__(
        self,
        lm: str | dspy.LM = "local",
        *,
        critic_lm: str | dspy.LM | None = None,
        summary_lm: str | dspy.LM | None = None,
        api_base: str | None = None,
        concurrency: int | None = None,
        preset: str = "grounded",
        program: TagalLoop | None = None,
        seed: int = 0,
        **settings: Any,
    ) -> None:
        self.lm = lm
        self.critic_lm = critic_lm
        self.summary_lm = summary_lm
        self.api_base = api_base
        self.concurrency = concurrency
        self.preset = preset
        self.program = program
        self.seed = seed
        self.settings = settings

    def fit(
        self,
        data: Frames,
        target: str | None = None,
        overrides: SchemaOverrides | None = None,
        rules: Sequence[Any] | None = None,
        examples: pd.DataFrame | None = None,
    ) -> TagalSynthesizer:
        """Learn schema and shares of the real table; no LM is called.

        Args:
            data: the real rows, or a dict with that one frame as SDV has it.
            target: the column to predict, if any.
            overrides: what is known better than the values show.
            rules: what every row keeps: SDV constraints (`sdv.cag`), or dicts as in a TOML file.
            examples: rows that you wrote, shown in every prompt beside the few-shots; every column but ids.

        Raises:
            DataError: the table cannot be used; all reasons at once.
            SettingsError: a setting is unknown or impossible.
            EngineError: the language model cannot be had.
        """
        run_settings(self.preset, **self.settings)  # what is wrong with them is said before a model is loaded
        self._table_name = next(iter(data)) if isinstance(data, Mapping) else None
        self.task_ = TableTask(_only_frame(data), target, overrides, examples=examples)
        self._rules = _as_rules(rules or (), self.task_)
        self.lm_ = self._as_lm(self.lm)
        self.program_ = self.program or make_program(
            run_settings(self.preset, prompt_style(self.lm_), **self.settings)  # type: ignore[arg-type]
        )
        self._assign(self.critic_lm, "critic")
        self._assign(self.summary_lm, "summarizer")
        return self

    def sample(
        self,
        n_rows: int | None = None,
        on_progress: Callable[[Progress], None] | None = None,
        *,
        where: str | None = None,
        rows_per: Mapping[str, int] | None = None,
        balance: bool = False,
        recorder: Recorder | None = None,
    ) -> Frames:
        """Write exactly `n_rows` rows, in the form `fit` was given.

        Args:
            n_rows: the sum of `rows_per` where None.
            on_progress: called after each committed round.
            where: what every row meets, e.g. `"age >= 30 and income == '>50K'"`.
            rows_per: exactly so many rows of these classes, none of the others; or of conditions such as `age >= 60`.
            balance: as many rows of each class.
            recorder: records the run, so that it can be resumed, and holds it to a budget.

        Raises:
            NotEnoughRowsError: the bounded draws or the budget gave fewer; what was accepted is in its `prediction`.
            RunError: the record is of another run.
            ConditionError, RuleError, SettingsError: what is asked for cannot be had; no LM was called.
        """
        schema = self._fitted().schema
        condition = Condition.parse(where, schema) if where else None
        quotas = quotas_for(schema, n_rows, balance, rows_per, condition)
        if n_rows is None and quotas is None:
            raise SettingsError("how many rows? give n_rows or rows_per")
        for slot in quotas or ():
            if slot.condition is not None:
                slot.condition.check(self.task_)
        n_rows = n_rows if n_rows is not None else sum((quotas or {}).values())
        self.prediction_ = self._run(n_rows, Wanted(condition, self._rules, quotas), on_progress, recorder)
        return self._in_form(self.prediction_.table)

    def sample_remaining(
        self,
        partial: pd.DataFrame,
        on_progress: Callable[[Progress], None] | None = None,
        recorder: Recorder | None = None,
    ) -> Frames:
        """Complete partial rows: cells that are given stay, the others are written.

        Args:
            partial: some of the columns of the table; its missing cells are written too.
            on_progress: called after each committed round.
            recorder: see `sample`.

        Returns:
            As many rows in the same order, in the form `fit` was given.

        Raises:
            DataError: a column or a cell does not fit the table; no LM was called.
            NotEnoughRowsError: see `sample`.
        """
        slots = known_slots(partial, self._fitted().schema)
        self.prediction_ = self._run(len(slots), Wanted(None, self._rules, Counter(slots)), on_progress, recorder)
        left = {slot: iter(rows) for slot, rows in self.prediction_.by_slot}
        return self._in_form(self.task_.schema.to_frame([next(left[slot]) for slot in slots]))

    def _fitted(self) -> TableTask:
        if not hasattr(self, "task_"):
            raise SettingsError("this synthesizer has seen no table yet; call fit first")
        return self.task_

    def _run(
        self,
        n_rows: int,
        wanted: Wanted,
        on_progress: Callable[[Progress], None] | None,
        recorder: Recorder | None,
    ) -> dspy.Prediction:
        store = recorder.store if recorder is not None else None
        if store is not None:
            store.begin(self._fingerprint(n_rows, wanted))
            store.note("schema", self.task_.schema.to_dict())
        with dspy.context(lm=self.lm_, trace=None):
            prediction = self.program_(
                task=self.task_,
                n_rows=n_rows,
                seed=self.seed,
                on_progress=on_progress,
                wanted=wanted,
                recorder=recorder,
            )
        if store is not None:
            store.note("status", "finished")
        return prediction

    def _fingerprint(self, n_rows: int, wanted: Wanted) -> dict[str, Any]:
        """All that decides which table comes out, but for what the language models answer."""
        state = self.program_.dump_state()
        state.pop("lineage", None)
        settings = state.pop("settings")
        lms = {name: (part.lm or self.lm_).model for name, part in self.program_.named_predictors()}
        return {
            "version": version("tagal-dspy"),
            "table": self.task_.id,
            "seed": self.seed,
            "rows": n_rows,
            "wanted": wanted.texts,
            "models": lms,
            "prompts": hashlib.sha256(json.dumps(state, sort_keys=True).encode()).hexdigest()[:16],
            **settings,
        }

    def _in_form(self, table: pd.DataFrame) -> Frames:
        return table if self._table_name is None else {self._table_name: table}

    def preview(self, n_rows: int) -> list[list[dict[str, str]]]:
        """The messages of the first draws, one of each class where rows are drawn by class; no LM is called."""
        with dspy.context(lm=self.lm_):
            return self.program_.preview(self.task_, n_rows, self.seed, Wanted(rules=self._rules))

    def estimate(self, n_rows: int, count: Callable[[str], int]) -> Estimate:
        """What `sample(n_rows)` will take, where `count` gives the tokens of a text; no LM is called."""
        with dspy.context(lm=self.lm_):
            return estimated(self.program_, self._fitted(), n_rows, count, Wanted(rules=self._rules))

    def _assign(self, lm: str | dspy.LM | None, role: str) -> None:
        part = getattr(self.program_, role, None)
        if lm is not None and isinstance(part, dspy.Module):
            part.set_lm(self._as_lm(lm))

    def _as_lm(self, lm: str | dspy.LM) -> dspy.LM:
        if not isinstance(lm, str):
            return lm
        return make_lm(lm) if is_local(lm) else make_lm(lm, api_base=self.api_base, concurrency=self.concurrency)


def _as_rules(rules: Sequence[Any], task: TableTask) -> Rules | None:
    if not rules:
        return None
    if all(isinstance(rule, Mapping) for rule in rules):
        return Rules.from_table([dict(rule) for rule in rules], task.schema)
    return Rules.from_constraints(rules, task.schema)


def _only_frame(data: Frames) -> pd.DataFrame:
    if isinstance(data, pd.DataFrame):
        return data
    if not isinstance(data, Mapping) or len(data) != 1:
        raise DataError("expected one frame, or a dict that holds exactly one")
    return next(iter(data.values()))
