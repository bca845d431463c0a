"""`tagal generate`: from a table to a table, with progress, a summary, and nothing lost on the way."""

from __future__ import annotations

import secrets
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import dspy
import pandas as pd
from dspy.utils.exceptions import LMError

from tagal_dspy.characters import visible
from tagal_dspy.cli.describing import findings
from tagal_dspy.cli.files import check_free, write_text
from tagal_dspy.cli.options import Options
from tagal_dspy.cli.progress import progress_shown, summary_table
from tagal_dspy.cli.stopping import exit_code
from tagal_dspy.cli.terminal import out, out_json, say
from tagal_dspy.datasets import Dataset, csv_text, guarded, load_dataset, read_table, write_table
from tagal_dspy.engines import Prices, cache_dir, count_tokens, is_local, pricing
from tagal_dspy.errors import BudgetError, EngineError, OutputError, RunError, SettingsError, TagalError
from tagal_dspy.few_shot import scarce_strata
from tagal_dspy.modules import Progress, load_program
from tagal_dspy.recording import SUFFIX, Recorder, RunStore, load_run, run_name, runs_dir
from tagal_dspy.reports import html, run_page
from tagal_dspy.synthesizer import TagalSynthesizer
from tagal_dspy.task import TableTask

DISK_CACHE_BYTES = 2 << 30
ROW_SUFFIXES = (".csv", ".tsv", ".parquet", ".jsonl")


class Output(NamedTuple):
    """Where rows and summary go."""

    path: Path | None
    force: bool
    as_json: bool
    html: Path | None = None
    guard: bool = False
    """Whether texts that a spreadsheet would run as formulas are guarded."""

    def check(self) -> None:
        """Raise `OutputError` or `SettingsError` for what could not be written in the end."""
        check_free(self.html, self.force)
        if self.path is None:
            if self.as_json:
                raise SettingsError("--json prints the summary on standard output; give the rows a file with --out")
            return
        if self.path.suffix.lower() not in ROW_SUFFIXES:
            raise SettingsError(f"--out {self.path} must end in {', '.join(ROW_SUFFIXES)}")
        check_free(self.path, self.force)

    @property
    def texts(self) -> dict[str, str | bool | None]:
        """The same, as a run records it."""
        names = {"out": str(self.path) if self.path else None, "html": str(self.html) if self.html else None}
        return {**names, "guard": self.guard}

    def write(self, table: pd.DataFrame, task: TableTask) -> None:
        """Write the rows, in the form of the real ones; raises `OutputError`."""
        table = guarded(table) if self.guard else table
        if self.path is not None:
            write_table(table, self.path, task.schema, task.separator)
        else:
            text = csv_text(task.schema.to_cells(table), task.separator or ",")
            sys.stdout.write(visible(text) if sys.stdout.isatty() else text)


class Kept(NamedTuple):
    """What is kept between commands."""

    run: Path | None
    """The file that records the run; a new one in `runs_dir` where None."""

    cache: Path | None
    """The folder with answers of models; None asks anew."""

    def run_file(self, table: str) -> Path:
        """Where to record a run for a table."""
        if self.run is not None:
            return self.run
        runs_dir().mkdir(parents=True, exist_ok=True)
        return runs_dir() / f"{table}-{datetime.now():%Y%m%d-%H%M%S}-{secrets.token_hex(2)}{SUFFIX}"


def default_cache() -> Path:
    """Where answers of models are kept unless told otherwise."""
    return cache_dir() / "answers"


def use_cache(folder: Path | None) -> None:
    """Keep answers of models in a folder; ask anew each time where None."""
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
    dspy.configure_cache(
        enable_disk_cache=folder is not None,
        enable_memory_cache=False,
        disk_cache_dir=str(folder) if folder else None,
        disk_size_limit_bytes=DISK_CACHE_BYTES,
        restrict_pickle=True,
    )


def estimate(data: str, options: Options, as_json: bool) -> None:
    """Print what a run would take; no model is called."""
    synthesizer, _ = fitted(data, options)
    n_rows = len(read_table(options.remaining)) if options.remaining else options.rows
    found = synthesizer.estimate(n_rows, count_tokens)._asdict()
    if as_json:
        out_json(found)
        return
    for what, number in found.items():
        out(f"{what.replace('_', ' ')}: {number}")
    out("if every row is accepted; rejected rows come on top")


def generate(data: str, options: Options, output: Output, kept: Kept) -> int:
    """Write rows; returns the exit code, 0 when all that were asked for are there."""
    output.check()
    partial = read_table(options.remaining) if options.remaining else None
    synthesizer, dataset = fitted(data, options)
    use_cache(kept.cache)
    with RunStore(kept.run_file(dataset.name)) as store:
        command = {"kind": "generate", "data": data, "options": options.model_dump(mode="json"), "output": output.texts}
        store.note_at_begin(
            "command", {**command, "folder": str(Path.cwd()), "cache": kept.cache and str(kept.cache.absolute())}
        )
        store.note_at_begin("budget_used_up", False)
        sampling = _Sampling(synthesizer, options, output, partial, store)
        _say_notes(dataset, synthesizer)
        return sampling.run()


def _say_notes(dataset: Dataset, synthesizer: TagalSynthesizer) -> None:
    task, n_shots = synthesizer.task_, synthesizer.program_.settings.n_shots
    few = [
        f"{label!r} has {n_there} training rows; all of them are few-shots"
        for label, n_there in scarce_strata(task, n_shots).items()
    ]
    for line in (*findings(dataset, task), *few):
        say(f"note: {visible(line)}")


def fitted(data: str, options: Options) -> tuple[TagalSynthesizer, Dataset]:
    """A synthesizer that has seen the table, and the table."""
    specs = [spec for spec in (options.lm, options.critic_lm, options.summary_lm) if spec]
    if options.api_base and all(map(is_local, specs)):
        raise SettingsError("--api-base is for models on a server; name one, e.g. --lm openai/my-model")
    dataset = load_dataset(data, options.table)
    program = load_program(options.program, **options.settings) if options.program else None
    synthesizer = TagalSynthesizer(
        options.lm,
        critic_lm=options.critic_lm,
        summary_lm=options.summary_lm,
        api_base=options.api_base,
        concurrency=options.concurrency,
        trim=options.trim,
        preset=options.preset,
        program=program,
        seed=options.seed,
        **({} if program else options.settings),
    )
    examples = read_table(options.examples) if options.examples else None
    synthesizer.fit(
        dataset.frame,
        overrides=dataset.overrides,
        rules=options.rules,
        examples=examples,
        withholds=not options.all_rows,
    )
    return synthesizer, dataset


def prices(given: tuple[float, float] | None) -> Prices | None:
    """US dollars per token, from those per million."""
    return Prices(given[0] / 1e6, given[1] / 1e6) if given else None


class _Sampling:
    """One sampling: keeps the last progress, so that whatever ends it early, accepted rows are written."""

    def __init__(
        self,
        synthesizer: TagalSynthesizer,
        options: Options,
        output: Output,
        partial: pd.DataFrame | None,
        store: RunStore,
    ) -> None:
        self._synthesizer, self._options, self._output, self._partial = synthesizer, options, output, partial
        self._recorder = Recorder(store, options.budget, pricing(prices(options.price)))
        self._store = store
        self._last: Progress | None = None
        self._started = time.monotonic()

    def run(self) -> int:
        alone = self._synthesizer.program_.settings.critic != "human"
        n_rows = self._options.rows if self._partial is None else len(self._partial)
        with progress_shown(n_rows, alone=alone) as show:
            problem = self._sampled(show)
        if problem is None:
            self._finish()
            return 0
        self._save_partial(problem)
        if self._store.is_empty:
            self._store.remove()
        elif not isinstance(problem, RunError):
            with suppress(OutputError):  # a full disk, maybe
                self._store.note("status", "stopped")
                self._store.note("budget_used_up", isinstance(problem, BudgetError))
            say(f"resume with: tagal runs resume {run_name(self._store.path)}")
        if isinstance(problem, KeyboardInterrupt):
            return exit_code(problem)
        raise problem

    def _sampled(self, show: Callable[[Progress], None]) -> TagalError | KeyboardInterrupt | None:
        def on_progress(progress: Progress) -> None:
            self._last = progress
            show(progress)

        try:
            self._table = self._sample(on_progress)
        except (TagalError, KeyboardInterrupt) as error:
            return error
        except LMError as error:
            return EngineError(f"the language model failed: {error}")
        return None

    def _sample(self, on_progress: Callable[[Progress], None]) -> Any:
        asked = self._options
        if self._partial is not None:
            return self._synthesizer.sample_remaining(self._partial, on_progress, self._recorder)
        return self._synthesizer.sample(
            asked.rows,
            on_progress,
            where=asked.where,
            rows_per=asked.rows_per,
            balance=asked.balance,
            recorder=self._recorder,
        )

    def _save_partial(self, problem: BaseException) -> None:
        rows = self._last.rows if self._last is not None else ()
        if not isinstance(problem, RunError):  # which is of a record that cannot be used
            with suppress(TagalError):
                rows = max(rows, load_run(self._store.path).rows, key=len)  # an earlier attempt may have come further
        if rows:
            task = self._synthesizer.task_
            self._output.write(task.schema.to_frame(rows), task)
            say(f"{len(rows)} accepted rows were written")

    def _finish(self) -> None:
        self._output.write(self._table, self._synthesizer.task_)
        summary = self._summary()
        if self._output.as_json:
            out_json(summary)
        else:
            summary_table(summary)
        if self._output.html is not None:
            write_text(self._output.html, html(run_page(self._synthesizer)))

    def _summary(self) -> dict[str, Any]:
        prediction, task = self._synthesizer.prediction_, self._synthesizer.task_
        seconds = time.monotonic() - self._started
        rejects: dict[str, int] = {}
        for reject in prediction.rejects:
            rejects[reject.reason] = rejects.get(reject.reason, 0) + 1
        summary: dict[str, Any] = {
            "rows": len(prediction.table),
            "out": str(self._output.path) if self._output.path else None,
            "seconds": round(seconds, 1),
            "rows_per_second": round(len(prediction.table) / seconds, 2),
            "draws": prediction.n_draws,
            "rejects": rejects,
            "not_selected": len(prediction.not_selected),
            "from_trees": prediction.n_from_trees,
            "curve": [round(score, 4) for score in prediction.curve],
            "usage": prediction.usage,
            "cost": self._recorder.usage.cost,
            "run": run_name(self._store.path),
        }
        if task.schema.classes and task.schema.target:
            shares = [
                frame[task.schema.target].value_counts(normalize=True) for frame in (task.train, prediction.table)
            ]
            summary["class_shares"] = {
                str(label): {"real": round(float(share), 4), "synthetic": round(float(shares[1].get(label, 0.0)), 4)}
                for label, share in shares[0].items()
            }
        return summary
