"""Files that commands write: checked before the work, written after it."""

from __future__ import annotations

import os
from pathlib import Path

from tagal_dspy.datasets import replacing
from tagal_dspy.errors import OutputError


def check_free(path: Path | None, force: bool) -> None:
    """Raise `OutputError` for a file that exists, unless forced, or whose folder cannot be written."""
    if path is None:
        return
    if path.exists() and not force:
        raise OutputError(f"{path} exists; use --force to replace it")
    if path.exists() and not path.is_file():
        raise OutputError(f"{path} is not a file and cannot be replaced")
    if not path.parent.is_dir() or not os.access(path.parent, os.W_OK):
        raise OutputError(f"the folder {path.parent} does not exist or cannot be written")


def write_text(path: Path, text: str) -> None:
    """Write a text file, whole or not at all; raises `OutputError`."""
    with replacing(path) as new:
        new.write_text(text, encoding="utf-8")
