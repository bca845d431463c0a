"""`tagal study`: begin a study, help with one, and say what it found."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any, NamedTuple, Optional

import optuna
from pydantic import BaseModel, ConfigDict, Field

from tagal_dspy.cli.files import check_free, write_text
from tagal_dspy.cli.generating import default_cache, prices, use_cache
from tagal_dspy.cli.options import Options, merged_options, section
from tagal_dspy.cli.terminal import out, out_json, say
from tagal_dspy.datasets import load_dataset, read_table
from tagal_dspy.engines import connect, pricing
from tagal_dspy.errors import DataError, SettingsError
from tagal_dspy.metrics import TableMetric
from tagal_dspy.recording import runs_dir
from tagal_dspy.reports import html, markdown, study_csv, study_page
from tagal_dspy.settings import PromptStyle, read_toml, validated
from tagal_dspy.signatures import prompt_style
from tagal_dspy.study import (
    Goal,
    Limits,
    Objective,
    ProgramRuns,
    Space,
    answers,
    begin_study,
    find_study,
    finished,
    load_study,
    open_storage,
    work,
)
from tagal_dspy.task import TableTask


class StudyOptions(BaseModel):
    """The `[study]` table of a file.

    Attributes:
        seeds: of the runs of each candidate, in this order.
        style: which defaults the settings have; where None, `continuation` if all models continue text, else `chat`.
        goals, limits: see `Objective`.
        finalists, fresh: see `answers`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    seeds: list[int] = Field(default=[0, 1, 2], min_length=1)
    style: Optional[PromptStyle] = None
    goals: list[Goal] = Field(default=["quality"])
    limits: Limits = Field(default_factory=Limits)
    finalists: int = Field(default=5, ge=1)
    fresh: int = Field(default=8, ge=2)


class Place(NamedTuple):
    """Where a study is."""

    storage: str
    name: str
    artifacts: Path | None

    @property
    def store(self) -> Any:
        """Its artifacts: in the folder that is given, or beside the file that the study is in; None elsewhere."""
        folder = self.artifacts or (None if "://" in self.storage else Path(f"{self.storage}.artifacts"))
        if folder is None:
            return None
        folder.mkdir(parents=True, exist_ok=True)
        return optuna.artifacts.FileSystemArtifactStore(str(folder))


class Files(NamedTuple):
    """What a report is written to."""

    html: Path | None
    markdown: Path | None
    csv: Path | None
    best: Path | None
    force: bool


def default_storage() -> str:
    """The file that studies are in unless told otherwise."""
    return str(runs_dir().parent / "studies.sqlite")


def run(data: str, place: Place, config: Path | None, given: dict[str, Any], n_trials: int) -> None:
    """Begin a study, or go on with it, until so many trials are finished."""
    _quietly()
    asked = {"data": data, "values": {**(read_toml(config) if config else {}), **_texts(given)}}
    objective, options = _objective(asked, place)
    if "://" not in place.storage:
        Path(place.storage).parent.mkdir(parents=True, exist_ok=True)
    notes = {"asked": asked, "trials wanted": n_trials}
    study = begin_study(place.name, objective, open_storage(place.storage), n_trials, seed=options.seed, notes=notes)
    _work(study, objective)


def help_with(place: Place, data: str | None) -> None:
    """Work on a study that another process began; `data` is where its table is on this machine."""
    _quietly()
    storage = open_storage(place.storage)
    objective, _ = _objective(_asked(load_study(place.name, storage), data), place)
    _work(find_study(place.name, objective, storage), objective)


def report(place: Place, files: Files, data: str | None, as_json: bool) -> None:
    """Run the best settings on fresh seeds, where that was not done yet, and write what the study found."""
    for path in (files.html, files.markdown, files.csv, files.best):
        check_free(path, files.force)
    storage = open_storage(place.storage)
    asked = _asked(load_study(place.name, storage), data)
    objective, _ = _objective(asked, place)
    study = find_study(place.name, objective, storage)
    wanted = validated(StudyOptions, asked["values"].get("study", {}))
    if not finished(study):
        raise DataError(f"the study {place.name!r} has no finished trial yet")
    metric = TableMetric()

    def test(task: TableTask, table: Any) -> float:
        final = TableTask.of_parts(task.schema, train=task.train, validation=task.test)
        return metric.evaluate(final, table, objective.evaluate.n_rows).score  # type: ignore[attr-defined]

    _quietly()
    found = answers(study, objective, test=test, n_finalists=wanted.finalists, n_fresh=wanted.fresh)
    page = study_page(found)
    texts = {files.html: html, files.markdown: markdown}
    for path, render in texts.items():
        if path is not None:
            write_text(path, render(page))
    if files.csv is not None:
        write_text(files.csv, study_csv(found))
    if files.best is not None:
        write_text(files.best, found["best"]["toml"])
    if as_json:
        out_json(found)
    else:
        for line in page.lead:
            out(line)


def _work(study: Any, objective: Objective) -> None:
    wanted = study.user_attrs.get("trials wanted", "?")

    def told(study: Any, trial: Any) -> None:
        values = ", ".join(f"{value:.3f}" for value in trial.values or ())
        say(f"trial {trial.number}: {values or 'nothing'}; {len(finished(study))} of {wanted} are finished")

    n_here = work(study, objective, told)
    say(f"{len(finished(study))} trials are finished, {n_here} of them here")


def _quietly() -> None:
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    use_cache(default_cache())


def _asked(study: Any, data: str | None) -> dict[str, Any]:
    asked = study.user_attrs.get("asked")
    if asked is None:
        raise SettingsError(f"the study {study.study_name!r} was begun in Python; go on with it there")
    return {**asked, "data": data or asked["data"]}


def _texts(given: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in given.items() if value is not None}


def _objective(asked: dict[str, Any], place: Place) -> tuple[Objective, Options]:
    """What a study is about, the same in every process that works on it."""
    values = dict(asked["values"])
    bounds = section(values, "bounds") if "bounds" in values else None
    wanted = validated(StudyOptions, section(values, "study"))
    options = merged_options(values, None, {})
    others = [name for name in ("where", "rows_per", "balance", "remaining", "rules") if getattr(options, name)]
    if others:
        raise SettingsError(f"a study writes rows of any kind; leave out {', '.join(others)}")
    dataset = load_dataset(asked["data"], options.table)
    examples = read_table(options.examples) if options.examples else None
    task = TableTask(dataset.frame, overrides=dataset.overrides, examples=examples)

    @cache
    def lm(name: str) -> Any:
        return connect(name, api_base=options.api_base, concurrency=options.concurrency, trim=options.trim)

    styles = {prompt_style(lm(name)) for name in (bounds or {}).get("lm", [options.lm])}
    style = wanted.style or ("continuation" if styles == {"continuation"} else "chat")
    program = str(options.program) if options.program else None
    settings = dict(options.settings)
    preset = settings.pop("preset", options.preset)
    space = Space(bounds, preset, style, settings, options.lm, program)

    runs = ProgramRuns(
        lm,
        TableMetric(),
        options.rows,
        critic_lm=options.critic_lm,
        summary_lm=options.summary_lm,
        price=pricing(prices(options.price)),
    )
    replicates = [(task, seed) for seed in wanted.seeds]
    limits, budget = wanted.limits, options.budget
    made = Objective(space, runs, replicates, goals=wanted.goals, limits=limits, budget=budget, artifacts=place.store)
    return made, options
