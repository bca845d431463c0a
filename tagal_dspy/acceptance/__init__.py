"""From an answer to accepted rows: decode, schema, rules, labels, novelty, quota; each rejected row has one reason."""

from tagal_dspy.acceptance.pipeline import AcceptancePipeline, ReadRows, apportion
from tagal_dspy.acceptance.row_filter import RowFilter, Strictness

__all__ = ["AcceptancePipeline", "ReadRows", "RowFilter", "Strictness", "apportion"]
