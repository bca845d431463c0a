"""Wire formats: how rows are written for an LM, read from its answer, and constrained while it writes."""

from tagal_dspy.codecs.base import Decoded, RowCodec
from tagal_dspy.codecs.csv_codec import CsvCodec
from tagal_dspy.codecs.json_codec import JsonCodec
from tagal_dspy.codecs.layouts import read_answer
from tagal_dspy.codecs.sentence_codec import SentenceCodec
from tagal_dspy.errors import SettingsError
from tagal_dspy.schema import TableSchema
from tagal_dspy.settings import CodecName, ColumnOrder

__all__ = ["CsvCodec", "Decoded", "JsonCodec", "RowCodec", "SentenceCodec", "make_codec", "read_answer"]

_CODECS: dict[str, type[RowCodec]] = {codec.name: codec for codec in (CsvCodec, JsonCodec, SentenceCodec)}


def make_codec(name: CodecName, schema: TableSchema, order: ColumnOrder = "original") -> RowCodec:
    """The codec of that name; raises `SettingsError` for another name."""
    if name not in _CODECS:
        raise SettingsError(f"codec {name!r} is unknown; use one of {', '.join(_CODECS)}")
    return _CODECS[name](schema, order)
