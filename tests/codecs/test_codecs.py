from __future__ import annotations

from typing import Any, cast

import pytest

from tagal_dspy.codecs import make_codec
from tagal_dspy.errors import SettingsError
from tagal_dspy.schema import TableSchema


def test_unknown_codec_is_refused_with_the_known_ones(toy_schema: TableSchema) -> None:
    with pytest.raises(SettingsError, match="codec 'xml' is unknown; use one of csv, json, sentence"):
        make_codec(cast(Any, "xml"), toy_schema)
