"""`tagal describe` and `tagal preview`: what the library sees in a table, and what a model would see."""

from __future__ import annotations

from tagal_dspy.card import make_card
from tagal_dspy.cli.options import Options
from tagal_dspy.cli.terminal import out, out_json
from tagal_dspy.datasets import Dataset, load_dataset, read_table
from tagal_dspy.rules import Rules, suggest_rules
from tagal_dspy.schema import SchemaOverrides
from tagal_dspy.synthesizer import TagalSynthesizer
from tagal_dspy.task import TableTask


def describe(data: str, options: Options, as_json: bool) -> None:
    """Print schema and card; rules are checked against the real rows."""
    dataset, task = loaded(data, options)
    rules = Rules.from_table(options.rules, task.schema)
    rules.check(task)
    if as_json:
        out_json(task.schema.to_dict())
        return
    split = f"{len(task.train)} for training, {len(task.validation)} for validation, {len(task.test)} for testing"
    out(f"{len(dataset.frame)} rows: {split}.\n\n{make_card(task.schema, rules.fitted(task))}")


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
    dataset = load_dataset(data)
    synthesizer = TagalSynthesizer(options.lm, preset=options.preset, seed=options.seed, **options.settings)
    overrides = named(options.table, dataset.name, dataset.target)
    examples = read_table(options.examples) if options.examples else None
    synthesizer.fit(dataset.frame, overrides=overrides, rules=options.rules, examples=examples)
    for number, messages in enumerate(synthesizer.preview(options.rows), start=1):
        for message in messages:
            out(f"--- prompt {number}, {message['role']} ---\n{message['content'].rstrip()}\n")


def loaded(data: str, options: Options) -> tuple[Dataset, TableTask]:
    """A table, as it is and as a task."""
    dataset = load_dataset(data)
    return dataset, TableTask(dataset.frame, overrides=named(options.table, dataset.name, dataset.target))


def named(overrides: SchemaOverrides, name: str, target: str | None) -> SchemaOverrides:
    """The overrides with a name, and with the target that a built-in table is known for."""
    return overrides.model_copy(
        update={"name": overrides.name or name, "target": overrides.target if overrides.target else target}
    )
