"""Options of a command: from the command line, from a TOML file, and checked as a whole."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from tagal_dspy.schema import SchemaOverrides
from tagal_dspy.settings import RunSettings, read_toml, validated

PROGRAM_FIELDS = frozenset(RunSettings.model_fields) - {"preset"}


class Options(BaseModel):
    """What a command is to do. In a TOML file, fields of `RunSettings` may stand beside these.

    `table` holds what is known better about the table: the fields of `SchemaOverrides`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    rows: int = Field(default=100, ge=1)
    preset: str = "grounded"
    lm: str = "local"
    critic_lm: str | None = None
    summary_lm: str | None = None
    api_base: str | None = None
    seed: int = Field(default=0, ge=0)
    table: SchemaOverrides = Field(default_factory=SchemaOverrides)
    settings: dict[str, Any] = Field(default_factory=dict)


def read_options(config: Path | None, schema: Path | None, given: dict[str, Any]) -> Options:
    """Merge a TOML file and the command line, which wins; raises `SettingsError` naming what is wrong."""
    values = read_toml(config) if config else {}
    table = {**values.pop("table", {}), **(read_toml(schema) if schema else {})}
    values |= {name: value for name, value in given.items() if value is not None}
    table |= {name: values.pop(name) for name in ("target", "notes") if name in values}
    settings = {name: values.pop(name) for name in PROGRAM_FIELDS & values.keys()}
    return validated(Options, {**values, "table": table, "settings": settings})
