"""How many tokens a text has, for estimates; what was really used is what the model says."""

from __future__ import annotations

import os
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

ENCODING = "o200k_base"
BYTES_PER_TOKEN = 3.5
"""Of a table in CSV, where there is no tokenizer."""


def count_tokens(text: str) -> int:
    """Tokens of a text under the encoding of OpenAI's models; other models differ by some percent.

    >>> count_tokens("age,income")
    3
    """
    encoding = _encoding()
    if encoding is None:
        return round(len(text.encode()) / BYTES_PER_TOKEN)
    return len(encoding.encode(text, disallowed_special=()))


@lru_cache(maxsize=1)
def _encoding() -> Any:
    import tiktoken

    bundled = find_spec("litellm")
    if bundled is not None and bundled.submodule_search_locations:
        # litellm brings the vocabulary along; tiktoken alone would download it.
        folder = Path(bundled.submodule_search_locations[0]) / "litellm_core_utils" / "tokenizers"
        os.environ.setdefault("TIKTOKEN_CACHE_DIR", str(folder))
    try:
        return tiktoken.get_encoding(ENCODING)
    except OSError:
        return None
