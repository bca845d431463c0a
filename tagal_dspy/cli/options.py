"""Options of a command: from the command line, from a TOML file, and checked as a whole."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from tagal_dspy.errors import SettingsError, nearest
from tagal_dspy.schema import SchemaOverrides
from tagal_dspy.settings import Budget, RunSettings, read_toml, validated

PROGRAM_FIELDS = frozenset(RunSettings.model_fields) - {"preset"}
TABLE_FIELDS = frozenset(("target", "notes", "drop", "separator", "encoding", "decimal"))
"""Fields of `SchemaOverrides` that may stand beside the others."""

BUDGET_FIELDS = frozenset(Budget.model_fields)


class Options(BaseModel):
    """What a command is to do. In a TOML file, fields of `RunSettings` may stand beside these.

    Attributes:
        table: what is known better about the table, the fields of `SchemaOverrides`.
        where: a condition that every row must meet, for `Condition.parse`.
        rows_per: rows of each class, for `quotas_for`; `rows` is their sum unless given.
        balance: as many rows of each class.
        examples: a file of rows written by the user, shown beside the few-shots.
        program: a file with a program, used with its own settings but for those given here.
        remaining: a file of partial rows to complete; it says how many rows there are, and of what kind.
        all_rows: whether all rows are for training, and none withheld for validation and testing.
        rules: the `[[rules]]` tables, for `Rules.from_table`; they are validated where the schema is known.
        concurrency: calls to a server under way at once; found by trying where None.
        trim: whether a local model is cut to the tokens that its prompts and rows need.
        price: US dollars for a million prompt and completion tokens, of models that are on no list of prices.
        budget: what the run may take.
        settings: fields of `RunSettings`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    rows: int = Field(default=100, ge=1)
    preset: str = "grounded"
    lm: str = "local"
    critic_lm: str | None = None
    summary_lm: str | None = None
    api_base: str | None = None
    concurrency: int | None = Field(default=None, ge=1)
    trim: bool = True
    price: tuple[float, float] | None = None
    seed: int = Field(default=0, ge=0)
    where: str | None = None
    rows_per: dict[str, Annotated[int, Field(ge=0)]] | None = None
    balance: bool = False
    examples: Path | None = None
    program: Path | None = None
    remaining: Path | None = None
    all_rows: bool = False
    rules: list[dict[str, Any]] = Field(default_factory=list)
    table: SchemaOverrides = Field(default_factory=SchemaOverrides)
    budget: Budget = Field(default_factory=Budget)
    settings: dict[str, Any] = Field(default_factory=dict)


def read_options(config: Path | None, schema: Path | None, given: dict[str, Any]) -> Options:
    """Merge a TOML file and the command line, which wins; raises `SettingsError` naming what is wrong."""
    return merged_options(read_toml(config) if config else {}, schema, given)


def merged_options(values: dict[str, Any], schema: Path | None, given: dict[str, Any]) -> Options:
    """Merge what a file says and the command line, which wins; raises `SettingsError` naming what is wrong."""
    values = _flat(values)
    table = {**section(values, "table"), **(read_toml(schema) if schema else {})}
    values |= {name: value for name, value in given.items() if value is not None}
    table |= {name: values.pop(name) for name in TABLE_FIELDS & values.keys()}
    if values.get("remaining"):
        _alone(values)
    if values.get("program") and given.get("preset"):
        raise SettingsError("a program has settings of its own; leave out the preset")
    if values.get("rows_per") and "rows" not in values:
        values["rows"] = _sum(values["rows_per"])
    settings = {name: values.pop(name) for name in PROGRAM_FIELDS & values.keys()}
    if values.get("program") and "preset" in values:  # of a study's best settings, which are told in full
        settings["preset"] = values.pop("preset")
    budget = {name: values.pop(name) for name in BUDGET_FIELDS & values.keys()}
    return validated(Options, {**values, "table": table, "budget": budget, "settings": settings})


def _flat(values: dict[str, Any]) -> dict[str, Any]:
    """The values of a file, with those of `[budget]` (or `budget = "5calls"`) and `[settings]` beside the others.

    Raises:
        SettingsError: a section is not a table, or repeats a name from outside it.
    """
    flat = dict(values)
    budget = {"budget": Budget.parse(flat["budget"]).model_dump(exclude_none=True)} if _is_text(flat, "budget") else {}
    for name, known in (("budget", BUDGET_FIELDS), ("settings", frozenset(RunSettings.model_fields))):
        given = section({**flat, **budget}, name)
        flat.pop(name, None)
        for key, value in given.items():
            if key not in known:
                raise SettingsError(f"[{name}] has an unknown name {key!r}; {nearest(key, known)}")
            if key in flat:
                raise SettingsError(f"{key} is given twice, in [{name}] and outside of it; leave one of them out")
            flat[key] = value
    return flat


def _is_text(values: dict[str, Any], name: str) -> bool:
    return isinstance(values.get(name), str)


def section(values: dict[str, Any], name: str) -> dict[str, Any]:
    """Take a section out of the values of a file, empty where there is none."""
    found = values.pop(name, {})
    if not isinstance(found, dict):
        raise SettingsError(f"{name} is {found!r}; expected a section [{name}] with names and values")
    return found


def _alone(values: dict[str, Any]) -> None:
    others = [name for name in ("rows", "where", "rows_per", "balance") if values.get(name)]
    if others:
        raise SettingsError(f"the file of partial rows says which rows are wanted; leave out {', '.join(others)}")


def _sum(rows_per: Any) -> int:
    """Rows of all classes; 1 where they are not counts, which validation then says better."""
    counts = rows_per.values() if isinstance(rows_per, dict) else ()
    return max(1, sum(count for count in counts if isinstance(count, int)))
