"""`tagal optimize` and `tagal transfer`: better prompts for a table, and what programs are worth on others."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import dspy
from dspy.utils.exceptions import LMError

from tagal_dspy.cli.describing import loaded
from tagal_dspy.cli.evaluating import Files, rich_table
from tagal_dspy.cli.files import check_free, write_text
from tagal_dspy.cli.generating import default_cache, fitted, prices, use_cache
from tagal_dspy.cli.options import Options, merged_options, section
from tagal_dspy.cli.progress import spend_shown
from tagal_dspy.cli.stopping import exit_code
from tagal_dspy.cli.terminal import Terminal, out, out_json, say
from tagal_dspy.engines import connect, pricing
from tagal_dspy.errors import EngineError, OutputError, RunError, SettingsError, TagalError
from tagal_dspy.metrics import TableMetric
from tagal_dspy.modules import load_program
from tagal_dspy.optimizers import Compiled, Plan, Tasks, compile_program, generation_tasks, planned, split_tasks
from tagal_dspy.optimizers.compiling import fingerprint
from tagal_dspy.optimizers.power import provable_gain
from tagal_dspy.recording import SUFFIX, RunStore, run_name, runs_dir
from tagal_dspy.reports import Page, Section, Table, html, lineage_page
from tagal_dspy.reports.lineage import candidates_table
from tagal_dspy.settings import read_toml
from tagal_dspy.synthesizer import TagalSynthesizer

SECONDS_PER_CALL = (1, 10)
"""Between a fast and a slow model."""

N_THREADS = 4
"""Tables written at once."""

FIRST_SEED = 500_000
"""Of the tasks of `tagal transfer`: no compilation has seen them."""

NO_TASK = ("where", "rows_per", "balance", "remaining", "rules")
"""Options that say which rows are wanted; programs are optimized for tables as they are."""


class Asked(NamedTuple):
    """What is to be optimized; fields as the options of the command."""

    data: Sequence[str]
    optimizer: str
    reflection_lm: str | None
    n_tasks: tuple[int, int, int]
    demos: bool
    bounds: dict[str, Any] | None = None


def read(config: Path | None, schema: Path | None, given: dict[str, Any]) -> tuple[Options, dict[str, Any] | None]:
    """The options, and the `[bounds]` of the settings that are searched."""
    values = read_toml(config) if config else {}
    bounds = section(values, "bounds") if "bounds" in values else None
    return merged_options(values, schema, given), bounds


class Output(NamedTuple):
    """Where the program and its history go."""

    path: Path
    html: Path | None
    force: bool
    as_json: bool

    @property
    def texts(self) -> dict[str, str | None]:
        """The same, as a run records it."""
        return {"out": str(self.path), "html": str(self.html) if self.html else None}

    def check(self) -> None:
        """Raise `OutputError` or `SettingsError` for what could not be written in the end."""
        if self.path.suffix != ".json":
            raise SettingsError(f"--out {self.path} must end in .json")
        check_free(self.path, self.force)
        check_free(self.html, self.force)


class _Job:
    """A program, the tasks that it is optimized on, and the models that it is optimized with."""

    def __init__(self, options: Options, asked: Asked) -> None:
        given = [name for name in NO_TASK if getattr(options, name)]
        if given:
            raise SettingsError(f"programs are optimized for whole tables; leave out {', '.join(given)}")
        fits: list[TagalSynthesizer] = [fitted(each, options)[0] for each in asked.data]
        self.options, self.asked = options, asked
        self.program, self.lm = fits[-1].program_, fits[-1].lm_
        n_train, n_valid, n_held_out = asked.n_tasks
        self.tasks: Tasks = split_tasks(
            [each.task_ for each in fits],
            options.rows,
            n_train=n_train,
            n_valid=n_valid,
            n_held_out=n_held_out,
            seed=options.seed,
        )
        self.price = pricing(prices(options.price))

    def plan(self) -> Plan:
        with dspy.context(lm=self.lm):
            return planned(self.program, self.tasks, self.asked.optimizer, self.options.budget, self.price)

    def run_file(self) -> Path:
        """The same for the same command, whatever it may cost: given again, it goes on."""
        models = self.options.model_dump(include={"lm", "critic_lm", "summary_lm", "api_base"})
        made = fingerprint(self.program, self.tasks, self.asked.optimizer, self.options.seed, self.asked.bounds)
        text = json.dumps([made, models, self.asked.reflection_lm], sort_keys=True)
        key = hashlib.sha256(text.encode()).hexdigest()[:8]
        runs_dir().mkdir(parents=True, exist_ok=True)
        return runs_dir() / f"{Path(self.asked.data[-1]).stem}-{self.asked.optimizer}-{key}{SUFFIX}"

    def compiled(self, store: RunStore) -> Compiled:
        """Optimize within the budget."""
        reflection_lm = _lm(self.asked.reflection_lm, self.options) if self.asked.reflection_lm else None
        with dspy.context(lm=self.lm), spend_shown(self.options.budget) as on_usage, _engine_errors():
            return compile_program(
                self.program,
                self.tasks,
                TableMetric(),
                self.asked.optimizer,
                budget=self.options.budget,
                reflection_lm=reflection_lm,
                price=self.price,
                store=store,
                seed=self.options.seed,
                n_threads=N_THREADS,
                demos=self.asked.demos,
                bounds=self.asked.bounds,
                on_usage=on_usage,
            )


def plan(options: Options, asked: Asked, as_json: bool) -> None:
    """Print what a compilation would take; no model is called."""
    job = _Job(options, asked)
    found = job.plan()
    n_tables = [found.proof_tables + n for n in (found.least_tables, found.tables or found.least_tables)]
    ranges: dict[str, list[float] | None] = {
        "tables": [float(n) for n in n_tables],
        "calls": [n * found.calls for n in n_tables],
        "tokens": [n * found.tokens for n in n_tables],
        "cost": None if found.cost is None else [n * found.cost for n in n_tables],
        "seconds": [
            n * found.calls * seconds / (options.concurrency or N_THREADS)
            for n, seconds in zip(n_tables, SECONDS_PER_CALL, strict=True)
        ],
    }
    gain = provable_gain(job.tasks, TableMetric())
    if as_json:
        out_json({"table": asdict(found), **ranges, "provable_gain": gain})
        return
    price = "price not known" if found.cost is None else f"{found.cost:.4f} US dollars"
    out(f"a table: {found.calls} calls, {found.tokens} tokens, {price}")
    for what, ends in ranges.items():
        out(f"{what}: " + (f"{ends[0]:,.6g} to {ends[1]:,.6g}" if ends else "not known; give --price"))
    n_held_out = len(job.tasks.held_out)
    out(f"{n_held_out} held-out tables confirm a gain of {gain:.2f} four times out of five, smaller ones less often")
    out("if every row is accepted; rejected rows, and the calls that write prompts, come on top up to the budget")


def optimize(options: Options, asked: Asked, output: Output, run: Path | None) -> int:
    """Write the better program; returns the exit code."""
    output.check()
    job = _Job(options, asked)
    use_cache(None)
    if asked.optimizer == "optuna":
        import optuna

        optuna.logging.set_verbosity(optuna.logging.ERROR)
    with RunStore(run or job.run_file()) as store:
        store.note_at_begin("command", _command(options, asked, output))
        try:
            found = job.compiled(store)
            store.note("status", "compiled")
        except (TagalError, KeyboardInterrupt) as error:
            _stopped(store, error)
            if isinstance(error, TagalError):
                raise
            return exit_code(error)
        _written(found, output, run_name(store.path))
    return 0


def _command(options: Options, asked: Asked, output: Output) -> dict[str, Any]:
    """The command as a run records it, so that it can be resumed."""
    return {
        "kind": "optimize",
        "folder": str(Path.cwd()),
        "options": options.model_dump(mode="json"),
        "asked": asked._asdict(),
        "output": output.texts,
    }


def _stopped(store: RunStore, error: BaseException) -> None:
    if store.is_empty:
        store.remove()
    elif not isinstance(error, RunError):
        with suppress(OutputError):  # a full disk, maybe
            store.note("status", "stopped")
        say(f"resume with: tagal runs resume {run_name(store.path)}")


def _written(found: Compiled, output: Output, run: str) -> None:
    with TemporaryDirectory() as folder:
        found.program.save(Path(folder) / "program.json")
        write_text(output.path, (Path(folder) / "program.json").read_text(encoding="utf-8"))
    lineage = found.program.lineage or {}
    if output.html is not None:
        write_text(output.html, html(lineage_page(lineage)))
    if output.as_json:
        out_json({**lineage, "out": str(output.path), "run": run})
        return
    out(f"{found.verdict}.")
    Terminal().print(rich_table(candidates_table(lineage)))
    out(f"{'The optimized' if found.improved else 'The seed'} program is in {output.path}; the run is {run}.")


def transfer(
    data: Sequence[str],
    paths: Sequence[Path],
    lms: Sequence[str],
    options: Options,
    n_tasks: int,
    files: Files,
    as_json: bool,
) -> None:
    """Print what programs are worth on tables, with models."""
    from tagal_dspy.optimizers import transfer as scored

    files.check()
    stems = [path.stem for path in paths]
    programs = {
        stem if stems.count(stem) == 1 else str(path): load_program(path)
        for stem, path in zip(stems, paths, strict=True)
    }
    seeds = range(first := FIRST_SEED + 1_000_000 * options.seed, first + n_tasks)
    tasks = [each for name in data for each in generation_tasks(loaded(name, options)[1], options.rows, seeds)]
    models = {name: _lm(name, options) for name in lms}
    use_cache(default_cache())
    with _engine_errors():
        frame = scored(programs, tasks, TableMetric(), models)
    table = Table(
        f"Score by program, table and model, mean of {n_tasks} tables of {options.rows} rows, 95 % interval",
        ["program", "table", "model", "score", "interval"],
        [
            [row.program, row.table, row.lm, f"{row.score:.3f}", f"{row.low:.3f} to {row.high:.3f}"]
            for row in frame.itertuples()
        ],
    )
    files.write(lambda: Page("Programs on other tables", [], [Section("Scores", [table])]))
    if as_json:
        out_json(json.loads(frame.to_json(orient="records")))
    else:
        Terminal().print(rich_table(table))


def _lm(spec: str, options: Options) -> dspy.LM:
    return connect(spec, api_base=options.api_base, concurrency=options.concurrency, trim=options.trim)


@contextmanager
def _engine_errors() -> Iterator[None]:
    try:
        yield
    except LMError as error:
        raise EngineError(f"the language model failed: {error}") from error
