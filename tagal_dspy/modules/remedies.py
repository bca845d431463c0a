"""What most likely helps where every answer of a model is refused for one reason."""

from __future__ import annotations

from tagal_dspy.schema import RejectReason
from tagal_dspy.settings import CodecName

_CHECK = "look at the prompt with `tagal preview`, and check in its card how each column is described"

REMEDIES: dict[RejectReason, str] = {
    "unparsable": "try {codec}another model or, if answers are cut off, a larger `max_tokens` of the model",
    "wrong_width": "try {codec}another model or fewer columns",
    "unknown_category": _CHECK,
    "out_of_range": _CHECK,
    "wrong_type": _CHECK,
}
"""By reason; rows refused for others can become better by and by."""


def remedy(reason: RejectReason, codec: CodecName) -> str:
    """What to do about a reason of `REMEDIES`, where rows are written in a codec.

    >>> remedy("wrong_width", "csv")
    'try the codec json (`--codec json`), another model or fewer columns'
    """
    other = "" if codec == "json" else "the codec json (`--codec json`), "
    return REMEDIES[reason].format(codec=other)
