"""`tagal describe` and `tagal preview`: what the library sees in a table, and what a model would see."""

from __future__ import annotations

from tagal_dspy.card import make_card
from tagal_dspy.characters import visible
from tagal_dspy.cli.options import Options
from tagal_dspy.cli.terminal import out, out_json
from tagal_dspy.datasets import Dataset, load_dataset, read_table
from tagal_dspy.findings import read_findings
from tagal_dspy.rules import Rules, suggest_rules
from tagal_dspy.task import TableTask


def describe(data: str, options: Options, as_json: bool) -> None:
    """Print what was found in the table, its schema and its card; rules are checked against the real rows."""
    dataset, task = loaded(data, options)
    rules = Rules.from_table(options.rules, task.schema)
    rules.check(task)
    if as_json:
        out_json(task.schema.to_dict())
        return
    lines = (f"- {visible(line)}\n" for line in findings(dataset, task))
    out(f"{''.join(lines)}\n{make_card(task.schema, rules.fitted(task))}")


def suggest(data: str, options: Options, as_json: bool) -> None:
    """Print rules that all real rows keep, as TOML."""
    _, task = loaded(data, options)
    rules = suggest_rules(task)
    if as_json:
        out_json({"rules": rules.to_table()})
    else:
        out(rules.to_toml() or "# No rule was found that all real rows keep and that chance would break.")


def preview(data: str, options: Options) -> None:
    """Print the first prompts."""
    from tagal_dspy.synthesizer import TagalSynthesizer

    dataset = load_dataset(data, options.table)
    synthesizer = TagalSynthesizer(options.lm, preset=options.preset, seed=options.seed, **options.settings)
    examples = read_table(options.examples) if options.examples else None
    synthesizer.fit(
        dataset.frame,
        overrides=dataset.overrides,
        rules=options.rules,
        examples=examples,
        withholds=not options.all_rows,
    )
    for number, messages in enumerate(synthesizer.preview(options.rows), start=1):
        for message in messages:
            out(f"--- prompt {number}, {message['role']} ---\n{message['content'].rstrip()}\n")


def loaded(data: str, options: Options) -> tuple[Dataset, TableTask]:
    """A table, as it is and as a task."""
    dataset = load_dataset(data, options.table)
    return dataset, TableTask(dataset.frame, overrides=dataset.overrides, withholds=not options.all_rows)


def findings(dataset: Dataset, task: TableTask) -> list[str]:
    """What a user should know of how the table is read, a line each."""
    return [*dataset.notes, *read_findings(dataset.frame, task)]
