"""The commands and their options. Whatever is slow to import is imported when a command runs."""

from __future__ import annotations

import atexit
import gc
import sys
from pathlib import Path
from typing import Annotated, Optional

import typer

from tagal_dspy.characters import visible
from tagal_dspy.cli.stopping import exit_code, is_of_signal, leave, signals_handled
from tagal_dspy.errors import DataError, TagalError

SELDOM = 100_000, 10, 10
"""Thresholds of Python's garbage collector."""

app = typer.Typer(
    name="tagal",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

Data = Annotated[str, typer.Argument(help="A .csv, .tsv, .parquet or .jsonl file, or a built-in table (penguins).")]
Target = Annotated[Optional[str], typer.Option(help="Column to predict.")]
Schema = Annotated[Optional[Path], typer.Option(help="TOML file: what you know better about the columns.")]
Drop = Annotated[Optional[list[str]], typer.Option(metavar="COLUMN", help="Column to leave out; may be given again.")]
Separator = Annotated[
    Optional[str], typer.Option(help="Between the cells of a file: comma, semicolon, tab, ...", show_default="found")
]
Encoding = Annotated[Optional[str], typer.Option(help="Of a file, e.g. utf-8, latin-1.", show_default="found")]
Decimal = Annotated[Optional[str], typer.Option(help="Decimal sign of a file: . or ,", show_default="found")]
AllRows = Annotated[
    bool, typer.Option("--all-rows", help="Withhold no rows for validation and testing: the table is split already.")
]
Notes = Annotated[Optional[str], typer.Option(help="What a model should know about the table.")]
Lm = Annotated[Optional[str], typer.Option(help="local, local:file.gguf, local:org/repo/file.gguf, or provider/model.")]
RoleLm = Annotated[Optional[str], typer.Option(help="Another model for this role.")]
ApiBase = Annotated[Optional[str], typer.Option(help="Address of an OpenAI-compatible server.")]
Preset = Annotated[
    Optional[str], typer.Option(help="grounded, or paper (the published method).", show_default="grounded")
]
Method = Annotated[
    Optional[str], typer.Option(help="synth-loop, reduced-loop or prompt-refine.", show_default="synth-loop")
]
Iterations = Annotated[Optional[int], typer.Option(help="Turns in a round.")]
Shots = Annotated[Optional[int], typer.Option(help="Real rows of each class shown to the model.")]
Temperature = Annotated[Optional[float], typer.Option(help="Of the generation model, 0 to 2.")]
Program = Annotated[Optional[Path], typer.Option(help="File with a saved program; it has settings of its own.")]
Critic = Annotated[Optional[str], typer.Option(help="eye, grounded, measured, human or none.")]
ContextWindow = Annotated[
    Optional[int], typer.Option(help="Tokens of prompt and answer that the model takes.", show_default="as listed")
]
Codec = Annotated[Optional[str], typer.Option(help="csv, json or sentence.")]
Config = Annotated[Optional[Path], typer.Option(help="TOML file with any of these options.")]
Where = Annotated[
    Optional[str], typer.Option(help="What every row must meet, e.g. \"age >= 30 and income == '>50K'\".")
]
RowsPer = Annotated[
    Optional[list[str]],
    typer.Option(metavar="CLASS=N", help="Exactly so many rows of a class or a condition; may be given again."),
]
Remaining = Annotated[Optional[Path], typer.Option(help="A table of partial rows; what they leave open is written.")]
Examples = Annotated[Optional[Path], typer.Option(help="A table of rows that you wrote, shown beside the few-shots.")]
Balance = Annotated[bool, typer.Option("--balance", help="As many rows of each class.")]
Html = Annotated[Optional[Path], typer.Option(help="File for a report of one self-contained HTML page.")]
Force = Annotated[bool, typer.Option("--force", help="Replace files where they exist.")]
Guard = Annotated[
    bool,
    typer.Option("--guard-formulas", help="Put an apostrophe before texts that a spreadsheet would run as formulas."),
]
MaxCalls = Annotated[Optional[int], typer.Option(help="Calls of models after which the run stops.")]
MaxTokens = Annotated[Optional[int], typer.Option(help="Tokens, prompt and completion, after which it stops.")]
MaxCost = Annotated[Optional[float], typer.Option(help="US dollars after which it stops.")]
Price = Annotated[
    Optional[tuple[float, float]],
    typer.Option(metavar="PROMPT COMPLETION", help="US dollars for a million tokens, where the model is on no list."),
]
Concurrency = Annotated[
    Optional[int], typer.Option(help="Calls to a server under way at once.", show_default="found by trying")
]
RunFile = Annotated[
    Optional[Path], typer.Option("--run", help="File that records the run, and that it is resumed from.")
]
Seed = Annotated[Optional[int], typer.Option(help="Equal seeds give equal tables.", show_default="0")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def _show_version(is_asked: bool) -> None:
    if is_asked:
        from importlib.metadata import version

        typer.echo(f"tagal {version('tagal-dspy')}")
        raise typer.Exit


@app.callback()
def tagal(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and leave.")
    ] = False,
) -> None:
    """Synthetic tabular data from LLMs, as optimisable DSPy programs."""


@app.command()
def generate(
    data: Data,
    rows: Annotated[Optional[int], typer.Option(help="How many rows to write.", show_default="100")] = None,
    target: Target = None,
    where: Where = None,
    rows_per: RowsPer = None,
    balance: Balance = False,
    remaining: Remaining = None,
    method: Method = None,
    preset: Preset = None,
    lm: Lm = None,
    critic_lm: RoleLm = None,
    summary_lm: RoleLm = None,
    api_base: ApiBase = None,
    iterations: Iterations = None,
    shots: Shots = None,
    temperature: Temperature = None,
    context_window: ContextWindow = None,
    codec: Codec = None,
    critic: Critic = None,
    overdraw: Annotated[
        Optional[float], typer.Option(help="Rows accepted for each row wanted; the best are kept. 1 keeps all.")
    ] = None,
    trees: Annotated[
        Optional[float],
        typer.Option(
            help="Rows of sequential trees to select from as well, for each row wanted; no model writes them."
        ),
    ] = None,
    min_distance: Annotated[
        Optional[int], typer.Option(help="Cells in which a row must differ from every real row that may be shown.")
    ] = None,
    program: Program = None,
    examples: Examples = None,
    max_calls: MaxCalls = None,
    max_tokens: MaxTokens = None,
    max_cost: MaxCost = None,
    price: Price = None,
    concurrency: Concurrency = None,
    no_trim: Annotated[
        bool, typer.Option("--no-trim", help="Keep tokens of a local model that no row of the table needs: slower.")
    ] = False,
    seed: Seed = None,
    notes: Notes = None,
    schema: Schema = None,
    drop: Drop = None,
    separator: Separator = None,
    encoding: Encoding = None,
    decimal: Decimal = None,
    all_rows: AllRows = False,
    run: RunFile = None,
    out: Annotated[Optional[Path], typer.Option(help="File to write; standard output without it.")] = None,
    html: Html = None,
    guard: Guard = False,
    force: Force = False,
    config: Config = None,
    cache_dir: Annotated[Optional[Path], typer.Option(help="Folder for the answers of models.")] = None,
    no_cache: Annotated[bool, typer.Option("--no-cache", help="Ask models anew even where answers are known.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show how many calls and tokens it would take; no model is called.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Write synthetic rows for a table."""
    from tagal_dspy.cli import generating
    from tagal_dspy.cli.options import read_options
    from tagal_dspy.conditions import parse_rows_per

    given = {
        "rows": rows,
        "target": target,
        "where": where,
        "rows_per": parse_rows_per(rows_per) if rows_per else None,
        "balance": balance or None,
        "remaining": remaining,
        "method": method,
        "preset": preset,
        "lm": lm,
        "critic_lm": critic_lm,
        "summary_lm": summary_lm,
        "api_base": api_base,
        "n_iter": iterations,
        "n_shots": shots,
        "temperature": temperature,
        "context_window": context_window,
        "codec": codec,
        "critic": critic,
        "overdraw": overdraw,
        "trees": trees,
        "min_distance": min_distance,
        "program": program,
        "examples": examples,
        "max_calls": max_calls,
        "max_tokens": max_tokens,
        "max_cost": max_cost,
        "price": price,
        "concurrency": concurrency,
        "seed": seed,
        "notes": notes,
        "drop": drop,
        "separator": separator,
        "encoding": encoding,
        "decimal": decimal,
        "all_rows": all_rows or None,
        "trim": False if no_trim else None,
    }
    options = read_options(config, schema, given)
    if dry_run:
        generating.estimate(data, options, as_json)
        return
    kept = generating.Kept(run, None if no_cache else cache_dir or generating.default_cache())
    raise typer.Exit(generating.generate(data, options, generating.Output(out, force, as_json, html, guard), kept))


@app.command()
def evaluate(
    real: Annotated[str, typer.Option(help="The real rows that the synthetic ones were made from: a file or name.")],
    synthetic: Annotated[
        list[str], typer.Option(help="The rows to judge: a file; repeat it for tables that further seeds made.")
    ],
    target: Target = None,
    holdout: Annotated[
        Optional[str], typer.Option(help="Real rows that the generator did not see.", show_default="a fifth of --real")
    ] = None,
    protocol: Annotated[
        str, typer.Option(help="default, or paper: --real is the whole table, split as the authors of TAGAL did.")
    ] = "default",
    baselines: Annotated[
        Optional[str], typer.Option(metavar="NAME,...", help="Tables to score beside it, e.g. marginals,smote,real.")
    ] = None,
    schema: Schema = None,
    html: Html = None,
    markdown: Annotated[Optional[Path], typer.Option(help="File for the report as Markdown.")] = None,
    latex: Annotated[Optional[Path], typer.Option(help="File for the tables of the report as LaTeX.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Equal seeds give equal figures.")] = 0,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Measure a synthetic table against a real one."""
    from tagal_dspy.cli import evaluating

    asked = evaluating.Asked(real, synthetic, target, holdout, protocol, baselines, schema, seed)
    evaluating.evaluate(asked, evaluating.Files(html, markdown, latex, force), as_json)


@app.command()
def optimize(
    data: Annotated[
        list[str], typer.Argument(metavar="DATA...", help="As for `generate`; of several tables the last is held out.")
    ],
    budget: Annotated[
        Optional[str],
        typer.Option(help="What all calls may take: 500calls, 1Mtok, 2usd, or several with commas between."),
    ] = None,
    rows: Annotated[Optional[int], typer.Option(help="Rows of each table to write.", show_default="100")] = None,
    target: Target = None,
    optimizer: Annotated[
        str,
        typer.Option(
            help="gepa, mipro, copro or simba for instructions; optuna for settings and instructions together; "
            "with --allow-demos bootstrap or bootstrap-rs."
        ),
    ] = "gepa",
    program: Program = None,
    method: Method = None,
    preset: Preset = None,
    lm: Lm = None,
    critic_lm: RoleLm = None,
    summary_lm: RoleLm = None,
    reflection_lm: Annotated[
        Optional[str], typer.Option(help="Model that writes the new prompts.", show_default="--lm")
    ] = None,
    api_base: ApiBase = None,
    iterations: Iterations = None,
    shots: Shots = None,
    temperature: Temperature = None,
    critic: Critic = None,
    price: Price = None,
    tasks: Annotated[
        tuple[int, int, int],
        typer.Option(metavar="TRAIN VALID HELD-OUT", help="Tables to learn from, choose by, and prove a gain on."),
    ] = (4, 4, 8),
    seed: Seed = None,
    notes: Notes = None,
    schema: Schema = None,
    config: Config = None,
    allow_demos: Annotated[
        bool, typer.Option("--allow-demos", help="Let prompts hold whole examples; these have real rows in them.")
    ] = False,
    run: Annotated[
        Optional[Path],
        typer.Option(help="File that records the calls.", show_default="one for this command, which goes on with it"),
    ] = None,
    out: Annotated[Path, typer.Option(help="File for the program.")] = Path("program.json"),
    html: Html = None,
    force: Force = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show calls, tokens, price and time; no model is called.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Improve a program's prompts, or its prompts and settings, within a budget; test the gain on held-out tables."""
    from tagal_dspy.cli import optimizing
    from tagal_dspy.settings import Budget

    given = {
        "rows": rows,
        "target": target,
        "program": program,
        "method": method,
        "preset": preset,
        "lm": lm,
        "critic_lm": critic_lm,
        "summary_lm": summary_lm,
        "api_base": api_base,
        "n_iter": iterations,
        "n_shots": shots,
        "temperature": temperature,
        "critic": critic,
        "price": price,
        "seed": seed,
        "notes": notes,
        **(Budget.parse(budget).model_dump() if budget else {}),
    }
    options, bounds = optimizing.read(config, schema, given)
    asked = optimizing.Asked(data, optimizer, reflection_lm, tasks, allow_demos, bounds)
    if dry_run:
        optimizing.plan(options, asked, as_json)
        return
    raise typer.Exit(optimizing.optimize(options, asked, optimizing.Output(out, html, force, as_json), run))


@app.command()
def transfer(
    data: Annotated[list[str], typer.Argument(metavar="DATA...", help="As for `generate`; one table or more.")],
    program: Annotated[list[Path], typer.Option(help="File with a saved program; may be given again.")],
    lm: Annotated[list[str], typer.Option(help="Model, as for `generate`; may be given again.")] = ["local"],  # noqa: B006
    rows: Annotated[Optional[int], typer.Option(help="Rows of each table to write.", show_default="100")] = None,
    target: Target = None,
    tasks: Annotated[int, typer.Option(min=1, help="Tables to write with each program and model.")] = 8,
    api_base: ApiBase = None,
    seed: Seed = None,
    schema: Schema = None,
    html: Html = None,
    markdown: Annotated[Optional[Path], typer.Option(help="File for the scores as Markdown.")] = None,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Score saved programs on tables and with models, all under the same seeds."""
    from tagal_dspy.cli import optimizing
    from tagal_dspy.cli.evaluating import Files
    from tagal_dspy.cli.options import read_options

    given = {"rows": rows, "target": target, "api_base": api_base, "seed": seed}
    options = read_options(None, schema, given)
    optimizing.transfer(data, program, lm, options, tasks, Files(html, markdown, None, force), as_json)


@app.command()
def describe(
    data: Data,
    target: Target = None,
    schema: Schema = None,
    notes: Notes = None,
    drop: Drop = None,
    separator: Separator = None,
    encoding: Encoding = None,
    decimal: Decimal = None,
    all_rows: AllRows = False,
    config: Config = None,
    suggest_rules: Annotated[
        bool, typer.Option("--suggest-rules", help="Show rules that all real rows keep, to paste into a config file.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Show the schema of a table and the card that prompts carry."""
    from tagal_dspy.cli import describing
    from tagal_dspy.cli.options import read_options

    given = {
        "target": target,
        "notes": notes,
        "drop": drop,
        "separator": separator,
        "encoding": encoding,
        "decimal": decimal,
        "all_rows": all_rows or None,
    }
    options = read_options(config, schema, given)
    if suggest_rules:
        describing.suggest(data, options, as_json)
    else:
        describing.describe(data, options, as_json)


@app.command()
def preview(
    data: Data,
    target: Target = None,
    method: Method = None,
    preset: Preset = None,
    lm: Lm = None,
    iterations: Iterations = None,
    shots: Shots = None,
    context_window: ContextWindow = None,
    codec: Codec = None,
    critic: Critic = None,
    examples: Examples = None,
    seed: Seed = None,
    notes: Notes = None,
    schema: Schema = None,
    drop: Drop = None,
    separator: Separator = None,
    encoding: Encoding = None,
    decimal: Decimal = None,
    config: Config = None,
) -> None:
    """Show the exact first prompts; no model is called."""
    from tagal_dspy.cli import describing
    from tagal_dspy.cli.options import read_options

    given = {
        "target": target,
        "method": method,
        "preset": preset,
        "lm": lm,
        "n_iter": iterations,
        "n_shots": shots,
        "context_window": context_window,
        "codec": codec,
        "critic": critic,
        "examples": examples,
        "seed": seed,
        "notes": notes,
        "drop": drop,
        "separator": separator,
        "encoding": encoding,
        "decimal": decimal,
    }
    describing.preview(data, read_options(config, schema, given))


runs = typer.Typer(help="Recorded runs: list, show, resume, export, remove.", no_args_is_help=True)
app.add_typer(runs, name="runs")

Run = Annotated[str, typer.Argument(help="Name of a run as `list` shows it, or its file.")]


@runs.command("list")
def list_runs(as_json: AsJson = False) -> None:
    """Show all recorded runs, the latest first."""
    from tagal_dspy.cli import recorded

    recorded.list_runs(as_json)


@runs.command("show")
def show_run(run: Run, as_json: AsJson = False) -> None:
    """Show what a run was asked for, what it took and what it brought."""
    from tagal_dspy.cli import recorded

    recorded.show_run(run, as_json)


@runs.command("resume")
def resume_run(
    run: Run,
    max_calls: MaxCalls = None,
    max_tokens: MaxTokens = None,
    max_cost: MaxCost = None,
    out: Annotated[Optional[Path], typer.Option(help="Another file to write.")] = None,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Go on with a run that was stopped; what is recorded is not asked again.

    The budget of the run still applies, unless it was used up or a new one is given.
    """
    from tagal_dspy.cli import recorded

    budget = {"max_calls": max_calls, "max_tokens": max_tokens, "max_cost": max_cost}
    raise typer.Exit(recorded.resume_run(run, budget, out, force, as_json))


@runs.command("export")
def export_run(
    run: Run,
    out: Annotated[Path, typer.Option(help="File to write.")],
    not_selected: Annotated[
        bool, typer.Option("--not-selected", help="Write the accepted rows that were not selected instead.")
    ] = False,
    guard: Guard = False,
    force: Force = False,
) -> None:
    """Write the rows that a run has accepted so far."""
    from tagal_dspy.cli import recorded

    recorded.export_run(run, out, force, guard, not_selected)


@runs.command("rm")
def remove_run(run: Run) -> None:
    """Delete a run."""
    from tagal_dspy.cli import recorded

    recorded.remove(run)


study = typer.Typer(help="Meta-parameter studies: run, help as a worker, report.", no_args_is_help=True)
app.add_typer(study, name="study")

Storage = Annotated[
    Optional[str],
    typer.Option(
        help="A SQLite file, a .journal file (several processes), or postgresql://... or grpc://host:port (machines).",
        show_default="a SQLite file",
    ),
]
Artifacts = Annotated[
    Optional[Path], typer.Option(help="Folder for what trials made.", show_default="beside the file of the study")
]
StudyName = Annotated[str, typer.Option("--name", help="Name of the study.")]
DataHere = Annotated[Optional[str], typer.Option(help="Where the table is on this machine.")]


@study.command("run")
def run_study(
    data: Data,
    name: StudyName,
    target: Target = None,
    config: Config = None,
    storage: Storage = None,
    artifacts: Artifacts = None,
    trials: Annotated[int, typer.Option(min=1, help="Finished trials to reach.")] = 60,
    rows: Annotated[Optional[int], typer.Option(help="Rows of each table.", show_default="100")] = None,
    lm: Lm = None,
    api_base: Annotated[Optional[str], typer.Option(help="Address of an OpenAI-compatible server.")] = None,
    max_calls: MaxCalls = None,
    max_tokens: MaxTokens = None,
    max_cost: MaxCost = None,
    concurrency: Concurrency = None,
    seed: Seed = None,
) -> None:
    """Begin a study of the settings for a table, or go on with it."""
    from tagal_dspy.cli import studying

    given = {
        "target": target,
        "rows": rows,
        "lm": lm,
        "api_base": api_base,
        "max_calls": max_calls,
        "max_tokens": max_tokens,
        "max_cost": max_cost,
        "concurrency": concurrency,
        "seed": seed,
    }
    place = studying.Place(storage or studying.default_storage(), name, artifacts)
    studying.run(data, place, config, given, trials)


@study.command("worker")
def study_worker(name: StudyName, storage: Storage = None, artifacts: Artifacts = None, data: DataHere = None) -> None:
    """Help with a study that was begun elsewhere, until its trials are finished."""
    from tagal_dspy.cli import studying

    studying.help_with(studying.Place(storage or studying.default_storage(), name, artifacts), data)


@study.command("report")
def report_study(
    name: StudyName,
    storage: Storage = None,
    artifacts: Artifacts = None,
    data: DataHere = None,
    html: Html = None,
    markdown: Annotated[Optional[Path], typer.Option(help="File for the report as Markdown.")] = None,
    csv: Annotated[Optional[Path], typer.Option(help="File for a line of each trial.")] = None,
    best: Annotated[Optional[Path], typer.Option(help="File for the best settings, for generate --config.")] = None,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Say which settings are best, how sure that is, and what mattered; runs the best ones again on fresh seeds."""
    from tagal_dspy.cli import studying

    place = studying.Place(storage or studying.default_storage(), name, artifacts)
    studying.report(place, studying.Files(html, markdown, csv, best, force), data, as_json)


def main() -> None:
    """Run the command line; an error on purpose is one line, or one for each problem of the data, and exit code 2."""
    # What imports make stays: looking through it for garbage took a quarter of a short command's time, at exit too.
    gc.set_threshold(*SELDOM)
    atexit.register(gc.freeze)
    try:
        with signals_handled():
            app()
    except TagalError as error:
        problems = str(error).splitlines() if isinstance(error, DataError) else [str(error)]
        lines = [visible(" ".join(problem.split())) for problem in problems]
        sys.stderr.writelines(f"tagal: {line}\n" for line in lines if line)
        sys.exit(2)
    except OSError as error:
        if error.filename is None:
            raise
        sys.stderr.write(f"tagal: {visible(str(error.filename))} cannot be used: {error.strerror}\n")
        sys.exit(2)
    except KeyboardInterrupt as stop:
        leave(exit_code(stop))
    except SystemExit as stop:
        if is_of_signal(stop.code):
            leave(stop.code)
        raise
