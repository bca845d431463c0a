"""Floors and ceilings that are kept between commands.

They take most of the time of an evaluation, and are the same for all tables of so many rows that are compared with the
same real ones.
"""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from tagal_dspy.caching import forget_old
from tagal_dspy.datasets import replacing
from tagal_dspy.errors import OutputError
from tagal_dspy.metrics.calibration import Anchors

MOST_FILES = 64

_PACKAGES = ("numpy", "pandas", "scipy", "scikit-learn", "sdmetrics", "tagal-dspy")
"""What measures them."""


def kept(folder: Path, facts: Mapping[str, Any], make: Callable[[], dict[str, Anchors]]) -> dict[str, Anchors]:
    """Anchors out of a folder; made where they are not there, or not intact.

    Args:
        folder: of the files.
        facts: all that decides what anchors are, ready for JSON; packages and this machine, whose last bits may differ
            from another's, come on top.
        make: measures the anchors.
    """
    text = json.dumps({**facts, "by": _measurers()}, sort_keys=True)
    path = folder / f"{hashlib.sha256(text.encode()).hexdigest()[:32]}.json"
    with suppress(OSError, ValueError, KeyError, TypeError):
        found = _read(path)
        path.touch()
        return found
    made = make()
    with suppress(OSError, OutputError):  # of a cache that cannot be written
        _write(path, made)
    return made


@cache
def _measurers() -> dict[str, str]:
    # Versions do not tell one state of the code from another while it is worked on.
    code = b"".join(path.read_bytes() for path in sorted(Path(__file__).parent.glob("*.py")))
    names = {name: version(name) for name in _PACKAGES}
    return {**names, "code": hashlib.sha256(code).hexdigest(), "machine": f"{platform.node()} {platform.machine()}"}


def _read(path: Path) -> dict[str, Anchors]:
    digest, _, text = path.read_text(encoding="utf-8").partition("\n")
    if digest != _digest(text):
        raise ValueError(f"{path} is damaged")
    return {
        name: Anchors(np.array(each["floor"]), np.array(each["ceiling"]), each["pool_share"])
        for name, each in json.loads(text).items()
    }


def _write(path: Path, made: Mapping[str, Anchors]) -> None:
    text = json.dumps(
        {
            name: {"floor": each.floor.tolist(), "ceiling": each.ceiling.tolist(), "pool_share": each.pool_share}
            for name, each in made.items()
        }
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as new:
        new.write_text(f"{_digest(text)}\n{text}", encoding="utf-8")
    forget_old(path.parent, "*.json", MOST_FILES)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
