"""The user's cache folder, and what keeps it small."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path


def cache_dir() -> Path:
    """The user's cache folder for this library: `$TAGAL_CACHE_DIR`, or the platform's place for caches."""
    given = os.environ.get("TAGAL_CACHE_DIR")
    if given:
        return Path(given)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tagal_dspy"


def forget_old(folder: Path, pattern: str, n_kept: int) -> None:
    """Delete all but some files of a folder; the one used last is deleted last."""
    files = sorted(folder.glob(pattern), key=lambda path: path.stat().st_mtime, reverse=True)
    for path in files[n_kept:]:
        with suppress(OSError):  # in use, or deleted by another process
            path.unlink()
