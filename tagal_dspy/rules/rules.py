"""`Rules`: all rules of a table, and which rows keep them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
from pydantic import BaseModel, ConfigDict

from tagal_dspy.errors import RuleError, nearest
from tagal_dspy.rules.kinds import (
    FileRule,
    FixedCombinations,
    FixedIncrements,
    Inequality,
    OneHotEncoding,
    Range,
    Rule,
)
from tagal_dspy.rules.order import contradiction
from tagal_dspy.rules.programmed import Programmed
from tagal_dspy.rules.values import known_rows
from tagal_dspy.schema import Row, TableSchema
from tagal_dspy.settings import validated
from tagal_dspy.task import TableTask

_KINDS = (Inequality, Range, FixedCombinations, FixedIncrements, OneHotEncoding)


class _File(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    rules: tuple[FileRule, ...]


@dataclass(frozen=True)
class Rules:
    """Rules that every generated row must keep. Made by `from_constraints` or `from_table`; empty by default.

    Only `fitted` rules hold anything of real rows (the combinations that occur), so a program may hold others.

    >>> schema = TableSchema.infer(pd.DataFrame({"born": [1950, 1980, 1991], "hired": [1970, 2001, 2015]}))
    >>> rules = Rules.from_table([{"kind": "inequality", "low": "born", "high": "hired", "strict": True}], schema)
    >>> rules.texts
    ('"born" is always less than "hired".',)
    >>> rules.broken([("1960", "1990"), ("1990", "1960")])
    [None, '"born" is always less than "hired".']
    """

    schema: TableSchema | None = None
    rules: tuple[Rule, ...] = ()

    def __post_init__(self) -> None:
        problems = [problem for rule in self.rules if (problem := _misfit(rule, self._schema))]
        if problems:
            raise RuleError("; ".join(problems))

    @classmethod
    def read(cls, rules: Sequence[Any], schema: TableSchema) -> Rules:
        """Rules of dicts, see `from_table`, or else of constraints, see `from_constraints`."""
        as_table = all(isinstance(rule, Mapping) for rule in rules)
        return cls.from_table(rules, schema) if as_table else cls.from_constraints(rules, schema)

    @classmethod
    def from_constraints(cls, constraints: Sequence[Any], schema: TableSchema) -> Rules:
        """Rules of constraints from `sdv.cag`, each as SDV means it; what they were fitted to is not taken over.

        Raises:
            RuleError: an object is not a constraint, or names what the table does not have; all problems at once.
        """
        return cls(schema, tuple(dict.fromkeys(_from_constraint(each) for each in constraints)))

    @classmethod
    def from_table(cls, values: Sequence[Mapping[str, Any]], schema: TableSchema) -> Rules:
        """Rules of the `[[rules]]` tables of a TOML file; `kind` and the fields of its class, by name.

        Raises:
            SettingsError: a field is missing, unknown or of the wrong type.
            RuleError: a rule names what the table does not have; all problems at once.
        """
        found = validated(_File, {"rules": [dict(each) for each in values]}).rules
        return cls(schema, tuple(dict.fromkeys(found)))

    def __len__(self) -> int:
        return len(self.rules)

    def __iter__(self) -> Iterator[Rule]:
        return iter(self.rules)

    @property
    def texts(self) -> tuple[str, ...]:
        """A sentence for each rule that can say what it demands."""
        return tuple(sentence for rule in self.rules if (sentence := rule.sentence(self._schema)))

    def fitted(self, task: TableTask) -> Rules:
        """Rules that know the combinations of the training and validation rows."""
        if not self.rules:
            return self
        rows = known_rows(task)
        return Rules(self.schema, tuple(rule.fitted(rows, self._schema) for rule in self.rules))

    def broken(self, rows: Sequence[Row]) -> list[str | None]:
        """For each row of canonical text the first rule that it breaks, as a sentence; None where it keeps all."""
        found: list[str | None] = [None] * len(rows)
        for rule in reversed(self.rules):
            for i, kept in enumerate(rule.kept_by(rows, self._schema)):
                if not kept:
                    found[i] = _named(rule, self._schema)
        return found

    def holds(self, frame: pd.DataFrame) -> pd.Series[bool]:
        """Which rows of a frame with the schema's columns keep all rules."""
        if not self.rules:
            return pd.Series(True, index=frame.index)
        kept = [each is None for each in self.broken(self._schema.to_rows(frame))]
        return pd.Series(kept, index=frame.index, dtype=bool)

    def check(self, task: TableTask) -> None:
        """Raise `RuleError` when rules contradict each other or real rows (training and validation) break them."""
        circle = contradiction([edge for rule in self.rules for edge in rule.edges])
        if circle:
            listed = ", ".join(map(repr, circle))
            raise RuleError(f"the rules contradict each other: by them {listed} would be less than itself")
        if not self.rules:
            return
        rows = known_rows(task)
        broken = [(rule, rule.kept_by(rows, self._schema).count(False)) for rule in self.fitted(task).rules]
        problems = [
            f"{_named(rule, self._schema)} ({n_broken} of {len(rows)})" for rule, n_broken in broken if n_broken
        ]
        if problems:
            raise RuleError(f"real rows break the rules; change the rule or the rows: {'; '.join(problems)}")

    def to_constraints(self) -> list[Any]:
        """The rules as constraints of `sdv.cag`, unfitted."""
        return [rule.constraint() for rule in self.rules]

    def to_table(self) -> list[dict[str, Any]]:
        """The rules, but programmed ones, as `from_table` reads them."""
        return [rule.model_dump(mode="json") for rule in self.rules if not isinstance(rule, Programmed)]

    def to_toml(self) -> str:
        """The rules, but programmed ones, as `[[rules]]` tables of a TOML file, each under its sentence."""
        return "\n".join(_toml(rule, self._schema) for rule in self.rules if not isinstance(rule, Programmed))

    @property
    def _schema(self) -> TableSchema:
        if self.schema is None:
            raise RuleError("rules need the schema of the table that they are about")
        return self.schema


def _from_constraint(constraint: Any) -> Rule:
    from sdv import cag

    constraint = getattr(constraint, "programmable_constraint", constraint)  # SDV may have wrapped it
    if isinstance(constraint, cag.ProgrammableConstraint):
        return Programmed(constraint, isinstance(constraint, cag.SingleTableProgrammableConstraint))
    for kind in _KINDS:
        if isinstance(constraint, getattr(cag, kind.__name__)):
            return kind.of_constraint(constraint)
    known = ", ".join([*(kind.__name__ for kind in _KINDS), "ProgrammableConstraint"])
    raise RuleError(f"{type(constraint).__name__} cannot be a rule; use {known} of sdv.cag")


def _misfit(rule: Rule, schema: TableSchema) -> str:
    """Why a rule cannot be about the table; empty where it can."""
    unknown = [name for name in rule.names if name not in schema.names]
    if unknown:
        advice = "; ".join(f"{name!r}: {nearest(name, schema.names)}" for name in unknown)
        return f"the {rule.kind} rule names no column of the table: {advice}"
    if len(set(rule.names)) < len(rule.names):
        return f"the {rule.kind} rule names a column twice: {', '.join(map(repr, rule.names))}"
    unfit = rule.unfit(schema)
    return f"the {rule.kind} rule does not suit the table: {unfit}" if unfit else ""


def _named(rule: Rule, schema: TableSchema) -> str:
    return rule.sentence(schema) or f"the rule {type(rule.constraint()).__name__}"


def _toml(rule: FileRule, schema: TableSchema) -> str:
    comment = "".join(char if char.isprintable() else " " for char in rule.sentence(schema))
    fields = "".join(f"{name} = {_toml_value(value)}\n" for name, value in rule.model_dump().items())
    return f"# {comment}\n[[rules]]\n{fields}"


def _toml_value(value: Any) -> str:
    """Texts, lists of texts, numbers and truth values are written in TOML as in JSON, but for one control character."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
