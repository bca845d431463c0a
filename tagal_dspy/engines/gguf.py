"""GGUF files, which hold the weights and the vocabulary of a model: read as they lie, written with fewer tokens."""

from __future__ import annotations

import math
import mmap
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
import numpy.typing as npt

Ids = npt.NDArray[np.int64]

MAGIC = b"GGUF"
ALIGNMENT = 32
TEXT, ARRAY = 8, 9
_SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}

Q5_0, Q8_0 = 6, 8
"""Kinds of weights: 32 of five or eight bits behind their common factor."""

TOKENS, MERGES = "tokenizer.ggml.tokens", "tokenizer.ggml.merges"


class Field(NamedTuple):
    """A value of the header: of an array of numbers the bytes, of texts a list."""

    kind: int
    value: Any
    item_kind: int = TEXT
    n_items: int = 0


class Tensor(NamedTuple):
    """Weights: `shape` begins with the length of a row, `start` and `end` are bytes of the data."""

    name: bytes
    shape: tuple[int, ...]
    kind: int
    start: int
    end: int


class Gguf:
    """A GGUF file, mapped into memory.

    Raises:
        ValueError: the file is none, or is cut off.
    """

    def __init__(self, path: Path) -> None:
        with path.open("rb") as file:
            self._bytes = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        try:
            self._read()
        except (struct.error, UnicodeDecodeError, KeyError) as error:
            raise ValueError(f"{path} is not an intact GGUF file: {error}") from error

    def _read(self) -> None:
        magic, self._version, n_tensors, n_fields = struct.unpack_from("<4sIQQ", self._bytes)
        if magic != MAGIC:
            raise ValueError("the file is not a GGUF file")
        self._place = struct.calcsize("<4sIQQ")
        self.fields: dict[str, Field] = {}
        for _ in range(n_fields):
            name = self._text().decode()
            self.fields[name] = self._field(self._number("I"))
        found = [self._tensor() for _ in range(n_tensors)]
        self.alignment = self.fields["general.alignment"].value if "general.alignment" in self.fields else ALIGNMENT
        self._data = self._place + -self._place % self.alignment
        starts = sorted(start for *_, start in found)
        ends = dict(zip(starts, [*starts[1:], len(self._bytes) - self._data], strict=True))
        self.tensors = [Tensor(name, shape, kind, start, ends[start]) for name, shape, kind, start in found]
        if any(tensor.end <= tensor.start for tensor in self.tensors):
            raise ValueError("the file is cut off")

    def _number(self, letter: str) -> Any:
        [value] = struct.unpack_from(f"<{letter}", self._bytes, self._place)
        self._place += struct.calcsize(f"<{letter}")
        return value

    def _text(self) -> bytes:
        length = self._number("Q")
        self._place += length
        return self._bytes[self._place - length : self._place]

    def _field(self, kind: int) -> Field:
        if kind in _SCALARS:
            return Field(kind, self._number(_SCALARS[kind]))
        if kind == TEXT:
            return Field(kind, self._text())
        item_kind, n_items = self._number("I"), self._number("Q")
        if item_kind == TEXT:
            return Field(kind, [self._text() for _ in range(n_items)], TEXT, n_items)
        size = n_items * struct.calcsize(f"<{_SCALARS[item_kind]}")
        self._place += size
        return Field(kind, self._bytes[self._place - size : self._place], item_kind, n_items)

    def _tensor(self) -> tuple[bytes, tuple[int, ...], int, int]:
        name = self._text()
        shape = tuple(self._number("Q") for _ in range(self._number("I")))
        return name, shape, self._number("I"), self._number("Q")

    @property
    def tokens(self) -> list[bytes]:
        """The tokens as the tokenizer spells them, in the order of their ids."""
        return list(self.fields[TOKENS].value)

    def numbers(self, name: str) -> npt.NDArray[Any]:
        """A field of numbers; raises `KeyError` where there is none."""
        field = self.fields[name]
        return np.frombuffer(field.value, f"<{_SCALARS[field.item_kind]}")

    def write(self, file: BinaryIO, kept: Ids) -> None:
        """Write the same model with these tokens alone.

        Weights are copied as they are, but for those of five bits: they are written as the same numbers in eight bits,
        which are multiplied faster.

        Args:
            file: what to write to.
            kept: ids in rising order; those that the header names must be among them.
        """
        n_tokens = len(self.fields[TOKENS].value)
        fields = {name: _with_tokens(name, field, kept, n_tokens) for name, field in self.fields.items()}
        if MERGES in fields:
            fields[MERGES] = _with_merges(fields[MERGES], set(fields[TOKENS].value))
        tensors = [(tensor, *self._rows(tensor, kept, n_tokens)) for tensor in self.tensors]
        file.write(struct.pack("<4sIQQ", MAGIC, self._version, len(tensors), len(fields)))
        for name, field in fields.items():
            file.write(_packed_text(name.encode()) + struct.pack("<I", field.kind) + _packed(field))
        place = 0
        for tensor, shape, data in tensors:
            file.write(_packed_text(tensor.name) + struct.pack(f"<I{len(shape)}Q", len(shape), *shape))
            file.write(struct.pack("<IQ", Q8_0 if tensor.kind == Q5_0 else tensor.kind, place))
            place += len(data) + -len(data) % self.alignment
        self._pad(file)
        for *_, data in tensors:
            file.write(data)
            self._pad(file)

    def _pad(self, file: BinaryIO) -> None:
        file.write(bytes(-file.tell() % self.alignment))

    def _rows(self, tensor: Tensor, kept: Ids, n_tokens: int) -> tuple[tuple[int, ...], memoryview]:
        data = memoryview(self._bytes)[self._data + tensor.start : self._data + tensor.end]
        shape = tensor.shape
        if shape[-1] == n_tokens:
            size = len(data) // n_tokens  # what is left over pads the tensor
            rows = np.frombuffer(data, np.uint8, n_tokens * size).reshape(n_tokens, size)
            shape, data = (*shape[:-1], len(kept)), memoryview(rows[kept].tobytes())
        return shape, as_eight_bits(data, math.prod(shape)) if tensor.kind == Q5_0 else data


def as_eight_bits(data: memoryview, n_weights: int) -> memoryview:
    """Weights of Q5_0 as Q8_0: a block is the factor, 32 fifth bits, 16 bytes of two weights' lower bits each."""
    blocks = np.frombuffer(data, np.uint8, n_weights // 32 * 22).reshape(-1, 22)
    fifth = np.unpackbits(blocks[:, 2:6], axis=1, bitorder="little") << 4
    lower = np.hstack([blocks[:, 6:] & 15, blocks[:, 6:] >> 4])
    return memoryview(np.hstack([blocks[:, :2], (lower | fifth) - 16]).tobytes())


def _with_tokens(name: str, field: Field, kept: Ids, n_tokens: int) -> Field:
    if field.kind == ARRAY and field.n_items == n_tokens:
        if field.item_kind == TEXT:
            return field._replace(value=[field.value[i] for i in kept], n_items=len(kept))
        items = np.frombuffer(field.value, np.uint8).reshape(n_tokens, -1)[kept]
        return field._replace(value=items.tobytes(), n_items=len(kept))
    if field.kind in _SCALARS and name.endswith("_token_id"):
        return field._replace(value=int(np.searchsorted(kept, field.value)))
    return field._replace(value=len(kept)) if name.endswith(".vocab_size") else field


def _with_merges(field: Field, tokens: set[bytes]) -> Field:
    """The merges of kept tokens to kept tokens."""
    is_kept: Callable[[bytes], bool] = tokens.__contains__
    merges = [each for each in field.value if is_kept(each.replace(b" ", b"")) and all(map(is_kept, each.split(b" ")))]
    return field._replace(value=merges, n_items=len(merges))


def _packed(field: Field) -> bytes:
    if field.kind in _SCALARS:
        return struct.pack(f"<{_SCALARS[field.kind]}", field.value)
    if field.kind == TEXT:
        return _packed_text(field.value)
    items = b"".join(map(_packed_text, field.value)) if field.item_kind == TEXT else field.value
    return struct.pack("<IQ", field.item_kind, field.n_items) + items


def _packed_text(text: bytes) -> bytes:
    return struct.pack("<Q", len(text)) + text
