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

from tagal_dspy.arguments import check_names, check_type, whole
from tagal_dspy.conditions import Condition, known_slots, quotas_for
from tagal_dspy.engines import connect
from tagal_dspy.errors import DataError, SettingsError
from tagal_dspy.modules import METHODS, Estimate, Progress, TagalLoop, Wanted, estimated
from tagal_dspy.recording import Recorder, RunStore
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
        trim: whether a local model is cut to the tokens that its prompts and rows need.
        preset: `grounded`, or `paper` for the published method as it is.
        program: a program to use instead of one made of `preset` and `settings`, e.g. an optimised one.
        seed: equal seeds and equal LM answers give equal tables, call by call since `fit`.
        settings: fields of `RunSettings` that differ from the preset's, e.g. `method="prompt-refine"`.

    Attributes:
        task_: the split table, after `fit`.
        program_, lm_: the program and the language model in use, after `fit`.
        prediction_: turns, rejects and usage of the last `sample`.
        seed_: seed of the last `sample`; given to it as `seed`, it repeats that call.

    Raises:
        SettingsError: an argument is of the wrong type, or a setting is unknown or impossible.
    """

    def __init__(
        self,
        lm: str | dspy.LM = "local",
        *,
        critic_lm: str | dspy.LM | None = None,
        summary_lm: str | dspy.LM | None = None,
        api_base: str | None = None,
        concurrency: int | None = None,
        trim: bool = True,
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
        self.trim = trim
        self.preset = preset
        self.program = program
        self.seed = whole("seed", seed, at_least=0)
        self.settings = settings
        self._check()

    def fit(
        self,
        data: Frames,
        target: str | None = None,
        overrides: SchemaOverrides | None = None,
        rules: Sequence[Any] | None = None,
        examples: pd.DataFrame | None = None,
        withholds: bool = True,
    ) -> TagalSynthesizer:
        """Learn schema and shares of the real table; no LM is called.

        Args:
            data: the real rows, or a dict with that one frame as SDV has it.
            target: the column to predict, if any.
            overrides: what is known better than the values show.
            rules: what every row keeps: SDV constraints (`sdv.cag`), or dicts as in a TOML file.
            examples: rows that you wrote, shown in every prompt beside the few-shots; every column but ids.
            withholds: whether rows are withheld for validation and testing, see `TableTask`.

        Raises:
            DataError: the table cannot be used; all reasons at once.
            SettingsError: an argument is of the wrong type.
            EngineError: the language model cannot be had.
        """
        check_type("target", target, str | None, "the name of a column")
        check_type("overrides", overrides, SchemaOverrides | None, "SchemaOverrides")
        check_type("rules", rules, list | tuple | None, "a list of SDV constraints or of dicts")
        check_type("examples", examples, pd.DataFrame | None, "a pandas.DataFrame", DataError)
        self.task_ = TableTask(_only_frame(data), target, overrides, examples=examples, withholds=withholds)
        self._table_name = next(iter(data)) if isinstance(data, Mapping) else None
        self._rules = Rules.read(rules, self.task_.schema) if rules else None
        self.lm_ = self._as_lm(self.lm)
        self.program_ = self.program or make_program(
            run_settings(self.preset, prompt_style(self.lm_), **self.settings)  # type: ignore[arg-type]
        )
        self._assign(self.critic_lm, "critic")
        self._assign(self.summary_lm, "summarizer")
        self._n_calls = 0
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
        seed: int | None = None,
    ) -> Frames:
        """Write exactly `n_rows` rows, in the form `fit` was given. Each further call draws new rows.

        Args:
            n_rows: the sum of `rows_per` where None.
            on_progress: called after each committed round.
            where: what every row meets, e.g. `"age >= 30 and income == '>50K'"`.
            rows_per: exactly so many rows of these classes, none of the others; or of conditions such as `age >= 60`.
            balance: as many rows of each class.
            recorder: records the run, so that it can be resumed, and holds it to a budget.
            seed: repeats the call that had this seed. Where None, the first call since `fit` has the synthesizer's
                own, each further call another one, and a resumed run the one it began with.

        Raises:
            NotEnoughRowsError: the bounded draws or the budget gave fewer; what was accepted is in its `prediction`.
            RunError: the record is of another run.
            ConditionError, RuleError, SettingsError: what is asked for cannot be had; no LM was called.
        """
        schema = self._fitted().schema
        check_type("where", where, str | None, "a condition as text, such as 'age >= 30'")
        n_rows = n_rows if n_rows is None else whole("n_rows", n_rows, at_least=1)
        condition = Condition.parse(where, schema) if where else None
        quotas = quotas_for(schema, n_rows, balance, rows_per, condition)
        if n_rows is None and quotas is None:
            raise SettingsError("how many rows? give n_rows or rows_per")
        for slot in quotas or ():
            if slot.condition is not None:
                slot.condition.warn_if_unmet(self.task_)
        n_rows = n_rows if n_rows is not None else sum((quotas or {}).values())
        self.prediction_ = self._run(n_rows, Wanted(condition, self._rules, quotas), on_progress, recorder, seed)
        return self._in_form(self.prediction_.table)

    def sample_remaining(
        self,
        partial: pd.DataFrame,
        on_progress: Callable[[Progress], None] | None = None,
        recorder: Recorder | None = None,
        seed: int | None = None,
    ) -> Frames:
        """Complete partial rows: cells that are given stay, the others are written.

        Args:
            partial: some of the columns of the table; its missing cells are written too.
            on_progress: called after each committed round.
            recorder: see `sample`.
            seed: see `sample`.

        Returns:
            As many rows in the same order, in the form `fit` was given.

        Raises:
            DataError: a column or a cell does not fit the table; no LM was called.
            NotEnoughRowsError: see `sample`.
        """
        check_type("partial", partial, pd.DataFrame, "a pandas.DataFrame", DataError)
        slots = known_slots(partial, self._fitted().schema)
        wanted = Wanted(None, self._rules, Counter(slots))
        self.prediction_ = self._run(len(slots), wanted, on_progress, recorder, seed)
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
        seed: int | None,
    ) -> dspy.Prediction:
        check_type("recorder", recorder, Recorder | None, "a Recorder")
        store = recorder.store if recorder is not None else None
        number = self._number_of_call(store) if seed is None else 0
        seed = self._seed_of(number) if seed is None else whole("seed", seed, at_least=0)
        if store is not None:
            store.begin(self._fingerprint(n_rows, wanted, seed))
            store.note("schema", self.task_.schema.to_dict())
            if number:
                store.note("call", number)
        self.seed_, self._n_calls = seed, max(self._n_calls, number)
        with dspy.context(lm=self.lm_, trace=None):
            prediction = self.program_(
                task=self.task_,
                n_rows=n_rows,
                seed=seed,
                on_progress=on_progress,
                wanted=wanted,
                recorder=recorder,
            )
        if store is not None:
            store.note("status", "finished")
        return prediction

    def _number_of_call(self, store: RunStore | None) -> int:
        """Of the call that begins, from 1: a run that is resumed keeps the one it had."""
        if store is None or store.fact("fingerprint") is None:
            return self._n_calls + 1
        recorded = store.fact("call")
        return recorded if isinstance(recorded, int) and recorded > 0 else 1

    def _seed_of(self, number: int) -> int:
        digest = hashlib.sha256(f"{self.seed}/call {number}".encode()).digest()
        return self.seed if number == 1 else int.from_bytes(digest[:4], "big")

    def _fingerprint(self, n_rows: int, wanted: Wanted, seed: int) -> dict[str, Any]:
        """All that decides which table comes out, but for what the language models answer."""
        state = self.program_.dump_state()
        state.pop("lineage", None)
        settings = state.pop("settings")
        lms = {name: (part.lm or self.lm_).model for name, part in self.program_.named_predictors()}
        return {
            "version": version("tagal-dspy"),
            "table": self.task_.id,
            "seed": seed,
            "rows": n_rows,
            "wanted": wanted.texts,
            "models": lms,
            "prompts": hashlib.sha256(json.dumps(state, sort_keys=True).encode()).hexdigest()[:16],
            **settings,
        }

    def _in_form(self, table: pd.DataFrame) -> Frames:
        return table if self._table_name is None else {self._table_name: table}

    def preview(self, n_rows: int) -> list[list[dict[str, str]]]:
        """The first messages of the next `sample`, one of each class where rows are drawn by class; calls no LM."""
        task, n_rows = self._fitted(), whole("n_rows", n_rows, at_least=1)
        with dspy.context(lm=self.lm_):
            return self.program_.preview(task, n_rows, self._seed_of(self._n_calls + 1), Wanted(rules=self._rules))

    def estimate(self, n_rows: int, count: Callable[[str], int]) -> Estimate:
        """What `sample(n_rows)` will take, where `count` gives the tokens of a text; no LM is called."""
        task, n_rows = self._fitted(), whole("n_rows", n_rows, at_least=1)
        with dspy.context(lm=self.lm_):
            return estimated(self.program_, task, n_rows, count, Wanted(rules=self._rules))

    def _assign(self, lm: str | dspy.LM | None, role: str) -> None:
        part = getattr(self.program_, role, None)
        if lm is not None and isinstance(part, dspy.Module):
            part.set_lm(self._as_lm(lm))

    def _as_lm(self, lm: str | dspy.LM) -> dspy.LM:
        if not isinstance(lm, str):
            return lm
        return connect(lm, api_base=self.api_base, concurrency=self.concurrency, trim=self.trim)

    def _check(self) -> None:
        for role in ("lm", "critic_lm", "summary_lm"):
            kinds = str | dspy.BaseLM if role == "lm" else str | dspy.BaseLM | None
            check_type(role, getattr(self, role), kinds, "a dspy.LM, or text such as 'local' or 'openai/gpt-4o-mini'")
        check_type("api_base", self.api_base, str | None, "the address of a server")
        check_type("trim", self.trim, bool, "True or False")
        check_type("program", self.program, TagalLoop | None, "a program such as SynthLoop()")
        if self.concurrency is not None:
            whole("concurrency", self.concurrency, at_least=1)
        check_names(self.settings, [*vars(self).keys() - {"settings"}, *RunSettings.model_fields])
        run_settings(self.preset, **self.settings)


def _only_frame(data: Frames) -> pd.DataFrame:
    frames = list(data.values()) if isinstance(data, Mapping) else [data]
    if len(frames) != 1:
        raise DataError(
            f"data is a dict of {len(frames)} tables; expected a pandas.DataFrame, or a dict of exactly one"
        )
    check_type("data", frames[0], pd.DataFrame, "a pandas.DataFrame, or a dict of exactly one", DataError)
    return frames[0]
