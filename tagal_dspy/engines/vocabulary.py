"""Models whose vocabulary is as large as a table needs.

Two thirds of a small model's weights are rows of its vocabulary, one for each token, and all of them are read for each
token that is written. A table can use some thousands of 262,144. A model with the other rows cut out reads prompts and
writes rows as the whole one does: a text is cut into the same tokens wherever each token that is part of it is kept.
"""

from __future__ import annotations

import hashlib
import os
import string
import threading
from collections.abc import Iterable, Iterator
from contextlib import suppress
from functools import cached_property
from pathlib import Path

import numpy as np

from tagal_dspy.caching import cache_dir, forget_old
from tagal_dspy.engines.gguf import Gguf, Ids
from tagal_dspy.engines.weights import Weights

LONGEST = 32
"""Characters of tokens that are looked up; the few longer ones are looked for in each text."""

MOST_SHARE = 0.25
"""Share of the tokens above which a smaller vocabulary saves too little."""

MOST_FILES = 8
"""Models that are kept in the cache; the one used last is deleted last."""

_LAYOUT = b"2"
"""Of the files in the cache; one of another layout is not looked for."""

_NORMAL, _BYTE = 1, 6
_UNUSED = ("unused", "reserved")
_FIGURES = string.digits + string.punctuation + " \n\t"
_DIGEST = hashlib.sha256().digest_size


class Vocabulary:
    """The tokens of a model, and which of them texts need."""

    def __init__(self, path: Path) -> None:
        self._gguf = Gguf(path)
        self._ids = {token.decode(errors="replace"): i for i, token in enumerate(self._gguf.tokens)}
        self._long = [token for token in self._ids if len(token) > LONGEST]
        self._is_bytes = self._gguf.fields["tokenizer.ggml.model"].value == b"gpt2"
        self._known: set[str] = set()
        self.needed: set[int] = set(self._always())
        template = self._gguf.fields.get("tokenizer.chat_template")
        self.add([] if template is None else [template.value.decode()])

    def _always(self) -> Iterator[int]:
        """Tokens that any text may need: of figures, of single bytes, and those that control the model."""
        figures = set(self._spelled(_FIGURES))
        kinds = self._gguf.numbers("tokenizer.ggml.token_type")
        for token, i in self._ids.items():
            if kinds[i] == _NORMAL:
                is_single = len(token) == 1 and (self._is_bytes or token.isascii())
                if is_single or figures.issuperset(token):
                    yield i
            elif kinds[i] == _BYTE or not any(word in token for word in _UNUSED):
                yield i
        for name, field in self._gguf.fields.items():
            if name.endswith("_token_id"):
                yield int(field.value)

    def add(self, texts: Iterable[str]) -> bool:
        """Whether texts need tokens that none before them did; they are needed from now on."""
        lines = {line for text in texts for line in text.splitlines(keepends=True)} - self._known
        # Some tokenizers put a blank in front of a text.
        found = {i for line in lines for i in self._within(self._spelled(f" {line}"))} - self.needed
        self._known |= lines
        self.needed |= found
        return bool(found)

    def _within(self, text: str) -> Iterator[int]:
        for start in range(len(text)):
            for end in range(start + 1, min(start + LONGEST, len(text)) + 1):
                if (i := self._ids.get(text[start:end])) is not None:
                    yield i
        yield from (self._ids[token] for token in self._long if token in text)

    def _spelled(self, text: str) -> str:
        """A text as tokens are spelled."""
        if self._is_bytes:
            return "".join(self._spellings[byte] for byte in text.encode())
        return text.replace(" ", "\N{LOWER ONE EIGHTH BLOCK}")

    @cached_property
    def _spellings(self) -> list[str]:
        """How vocabularies of bytes spell each byte: one that is not a visible character is moved above 255."""
        visible = [*range(33, 127), *range(161, 173), *range(174, 256)]
        moved = [byte for byte in range(256) if byte not in visible]
        return [chr(byte) if byte in visible else chr(256 + moved.index(byte)) for byte in range(256)]

    @property
    def n_tokens(self) -> int:
        """Of the whole model."""
        return len(self._gguf.tokens)

    @property
    def is_small(self) -> bool:
        """Whether the needed tokens are few enough."""
        return len(self.needed) <= MOST_SHARE * self.n_tokens

    def ids(self) -> Ids:
        """The needed tokens in rising order."""
        return np.array(sorted(self.needed), dtype=np.int64)

    def write(self, path: Path) -> None:
        """Write the model with the needed tokens, and a checksum behind it; raises `OSError`."""
        partial = path.with_suffix(f".{os.getpid()}-{threading.get_ident()}.part")
        try:
            with partial.open("w+b") as file:
                self._gguf.write(file, self.ids())
                file.flush()
                digest = _digest(partial, 0)
                file.write(digest)
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)


def small_model(weights: Weights, vocabulary: Vocabulary) -> Path:
    """The file of a model with the needed tokens: out of the user's cache, made where it is not there or not intact.

    Raises:
        OSError: it cannot be written.
    """
    # Two files of one name can hold other weights.
    facts = weights.path.stat()
    source = f"{weights.name} {weights.path.resolve()} {facts.st_size} {facts.st_mtime_ns}"
    wanted = hashlib.sha256(_LAYOUT + source.encode() + vocabulary.ids().tobytes()).hexdigest()[:16]
    folder = cache_dir() / "vocabularies"
    path = folder / f"{wanted}.gguf"
    if not _is_intact(path):
        folder.mkdir(parents=True, exist_ok=True)
        vocabulary.write(path)
        forget_old(folder, "*.gguf", MOST_FILES)
    with suppress(OSError):  # of a cache that cannot be written
        path.touch()
    return path


def _is_intact(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            file.seek(-_DIGEST, os.SEEK_END)
            return _digest(path, _DIGEST) == file.read()
    except OSError:
        return False


def _digest(path: Path, n_left_out: int) -> bytes:
    """The checksum of a file but for its last bytes."""
    left, digest = path.stat().st_size - n_left_out, hashlib.sha256()
    with path.open("rb") as file:
        while left > 0 and (block := file.read(min(left, 1 << 20))):
            digest.update(block)
            left -= len(block)
    return digest.digest()
