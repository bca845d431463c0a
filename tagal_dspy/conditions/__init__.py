"""Which rows are wanted: conditions on columns, and how many rows of each class."""

from tagal_dspy.conditions.condition import Condition
from tagal_dspy.conditions.parser import Comparison
from tagal_dspy.conditions.quotas import parse_rows_per, quotas_for

__all__ = ["Comparison", "Condition", "parse_rows_per", "quotas_for"]
