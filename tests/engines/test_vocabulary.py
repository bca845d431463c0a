"""A model with fewer tokens holds the same weights, and is made again where its file is not intact."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tagal_dspy.engines import Weights, find_weights
from tagal_dspy.engines.gguf import Gguf, as_eight_bits
from tagal_dspy.engines.vocabulary import MOST_FILES, Vocabulary, small_model

KINDS = {bytes: 8, bool: 7, int: 4, float: 6}
FORMATS = {8: "", 7: "?", 4: "I", 6: "f"}
ROW = 32


def text(value: bytes) -> bytes:
    return struct.pack("<Q", len(value)) + value


def scalar(kind: int, value: Any) -> bytes:
    return text(value) if kind == KINDS[bytes] else struct.pack(f"<{FORMATS[kind]}", value)


def field(name: str, value: Any) -> bytes:
    if not isinstance(value, list):
        kind = KINDS[type(value)]
        return text(name.encode()) + struct.pack("<I", kind) + scalar(kind, value)
    kind = KINDS[type(value[0])]
    head = struct.pack("<IIQ", 9, kind, len(value))
    return text(name.encode()) + head + b"".join(scalar(kind, each) for each in value)


def written_model(path: Path, fields: Mapping[str, Any], tensors: Mapping[str, Sequence[int]]) -> Path:
    """A file of a model; a tensor is named with its shape, of bytes that count its rows."""
    infos, data = b"", b""
    for name, shape in tensors.items():
        infos += text(name.encode()) + struct.pack(f"<I{len(shape)}Q", len(shape), *shape)
        infos += struct.pack("<IQ", 24, len(data))  # of bytes
        data += np.repeat(np.arange(np.prod(shape[1:], dtype=int), dtype=np.uint8), shape[0]).tobytes()
        data += bytes(-len(data) % 32)
    head = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(fields))
    head += b"".join(field(name, value) for name, value in fields.items()) + infos
    path.write_bytes(head + bytes(-len(head) % 32) + data)
    return path


TOKENS = [b"<s>", b"a", b"b", b"c", b"ab", b"abc", b"\xc4\x8a", b"\xc3\xa9", b"zebra", b"<end>"]


@pytest.fixture
def weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Weights:
    """A model of ten tokens with a vocabulary of bytes and a head of its own."""
    monkeypatch.setenv("TAGAL_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr("tagal_dspy.engines.vocabulary.MOST_SHARE", 1.0)
    fields = {
        "tokenizer.ggml.model": b"gpt2",
        "tokenizer.ggml.tokens": TOKENS,
        "tokenizer.ggml.token_type": [3, 1, 1, 1, 1, 1, 1, 1, 1, 3],
        "tokenizer.ggml.scores": [float(place) for place in range(10)],
        "tokenizer.ggml.merges": [b"a b", b"ab c"],
        "tokenizer.ggml.eos_token_id": 9,
        "llama.vocab_size": 10,
        "tokenizer.ggml.add_bos_token": True,
    }
    tensors = {"token_embd.weight": (ROW, 10), "norm.weight": (3,), "output.weight": (ROW, 10)}
    return Weights(written_model(tmp_path / "model.gguf", fields, tensors), "model", "continuation")


def small(weights: Weights, *texts: str) -> Path:
    vocabulary = Vocabulary(weights.path)
    vocabulary.add(texts)
    return small_model(weights, vocabulary)


def test_kept_tokens_have_their_weights_scores_and_merges_and_ids_that_the_header_names(weights: Weights) -> None:
    model = Gguf(small(weights, "abba"))
    assert model.tokens == [b"<s>", b"a", b"b", b"c", b"ab", b"\xc4\x8a", b"\xc3\xa9", b"<end>"]
    kept = [TOKENS.index(token) for token in model.tokens]
    assert model.numbers("tokenizer.ggml.scores").tolist() == kept
    assert model.fields["tokenizer.ggml.merges"].value == [b"a b"]
    assert (model.fields["tokenizer.ggml.eos_token_id"].value, model.fields["llama.vocab_size"].value) == (7, 8)
    shapes = {tensor.name: tensor.shape for tensor in model.tensors}
    assert shapes == {b"token_embd.weight": (ROW, 8), b"norm.weight": (3,), b"output.weight": (ROW, 8)}
    raw = small(weights, "abba").read_bytes()
    assert raw.count(np.repeat(np.array(kept, dtype=np.uint8), ROW).tobytes()) == 2


def test_same_tokens_write_the_same_file(weights: Weights) -> None:
    model, file = Gguf(weights.path), BytesIO()
    model.write(file, np.arange(len(TOKENS)))
    assert file.getvalue() == weights.path.read_bytes()


def test_text_with_new_tokens_needs_them_from_then_on(weights: Weights) -> None:
    vocabulary = Vocabulary(weights.path)
    assert [vocabulary.add([line]) for line in ("ab", "abab", "abc", "zebra", "ab zebra")] == [1, 0, 1, 1, 0]


@pytest.mark.parametrize("damage", [lambda raw: raw[:-40], lambda raw: b"", lambda raw: b"GGUF" + raw[4:][::-1]])
def test_damaged_file_of_the_cache_is_made_again(weights: Weights, damage: Any) -> None:
    path = small(weights, "ab")
    intact = path.read_bytes()
    path.write_bytes(damage(intact))
    assert small(weights, "ab").read_bytes() == intact


def test_file_of_the_cache_is_found_again_and_the_oldest_are_deleted(weights: Weights) -> None:
    path = small(weights, "ab")
    made = path.stat().st_ino
    assert small(weights, "ab").stat().st_ino == made
    for place in range(MOST_FILES + 3):
        small(weights._replace(name=f"model {place}"), "ab")
    assert len(list(path.parent.iterdir())) == MOST_FILES
    assert not path.exists()


def test_other_weights_of_the_same_name_have_a_file_of_their_own(weights: Weights) -> None:
    path = small(weights, "ab")
    weights.path.write_bytes(weights.path.read_bytes() + bytes(32))
    assert small(weights, "ab") != path


@pytest.mark.parametrize("end", [3, 40, 200, 800])
def test_file_that_is_cut_off_is_no_model(weights: Weights, end: int) -> None:
    weights.path.write_bytes(weights.path.read_bytes()[:end])
    with pytest.raises(ValueError, match=r"not an intact GGUF|cut off|not a GGUF"):
        Gguf(weights.path)


def test_weights_of_five_bits_are_the_same_numbers_in_eight() -> None:
    block = np.random.default_rng(0).bytes(22)
    fifths, lower = int.from_bytes(block[2:6], "little"), block[6:]
    expected = [((lower[i % 16] >> 4 * (i // 16)) & 15 | (fifths >> i & 1) << 4) - 16 for i in range(32)]

    written = bytes(as_eight_bits(memoryview(block), 32))

    assert written[:2] == block[:2]
    assert np.frombuffer(written[2:], np.int8).tolist() == expected


def test_embedded_model_needs_few_tokens_for_a_table() -> None:
    vocabulary = Vocabulary(find_weights("local").path)
    vocabulary.add(["age,job\n31,clerk\n"])
    assert vocabulary.is_small
    assert len(vocabulary.needed) < 6000
