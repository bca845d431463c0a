"""Where weights come from, and what is said when they are not there."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from dspy import lm15

from tagal_dspy.engines import LocalEngine, cache_dir, find_weights, make_lm
from tagal_dspy.errors import EngineError, SettingsError
from tagal_dspy.signatures import prompt_style


def gguf(path: Path, *keys: bytes) -> Path:
    path.write_bytes(b"GGUF" + b"\0" * 20 + b"".join(keys))
    return path


def test_embedded_weights_continue_text() -> None:
    assert find_weights("local").style == "continuation"


def test_damaged_embedded_weights_are_named_before_they_are_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = find_weights("local").path.name
    monkeypatch.setenv("TAGAL_CACHE_DIR", str(tmp_path))
    gguf(tmp_path / name)
    engine = LocalEngine(find_weights("local"))
    for _ in range(2):
        with pytest.raises(EngineError, match=r"is damaged .* delete it and try again"):
            engine.complete(lm15.Request(model="m", messages=(lm15.Message.user("1,2"),)))


def test_embedded_weights_are_put_together_in_the_cache_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TAGAL_CACHE_DIR", str(tmp_path / "new"))
    assert cache_dir() == tmp_path / "new"
    assert find_weights("local").path.parent == tmp_path / "new"
    shutil.rmtree(tmp_path / "new")


def test_model_with_a_chat_template_chats(tmp_path: Path) -> None:
    assert find_weights(f"local:{gguf(tmp_path / 'a.gguf', b'tokenizer.chat_template')}").style == "chat"


def test_model_without_a_chat_template_continues(tmp_path: Path) -> None:
    assert find_weights(f"local:{gguf(tmp_path / 'a.gguf', b'general.name')}").style == "continuation"


def test_model_that_could_chat_continues_where_asked_to(tmp_path: Path) -> None:
    spec = f"local:{gguf(tmp_path / 'a.gguf', b'tokenizer.chat_template')}"
    assert [prompt_style(make_lm(spec, style=style)) for style in ("continuation", None)] == ["continuation", "chat"]


@pytest.mark.parametrize(
    ("spec", "style", "problem"),
    [("local", "chat", "has no chat template"), ("openai/x", "continuation", "is for local models")],
)
def test_style_that_a_model_cannot_have_is_refused(spec: str, style: Any, problem: str) -> None:
    with pytest.raises(SettingsError, match=problem):
        make_lm(spec, style=style)


def test_file_that_is_no_gguf_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.gguf").write_bytes(b"not a model")
    with pytest.raises(EngineError, match="is not a GGUF file"):
        find_weights(f"local:{tmp_path / 'a.gguf'}")


@pytest.mark.parametrize("place", ["missing.gguf", "./here/missing.gguf", "org/repo", "org/repo/model.bin"])
def test_missing_file_is_named(place: str) -> None:
    with pytest.raises(EngineError, match="no model file"):
        find_weights(f"local:{place}")


def test_changed_file_goes_by_another_name(tmp_path: Path) -> None:
    path = gguf(tmp_path / "a.gguf")
    first = find_weights(f"local:{path}").name
    gguf(path, b"more")
    assert find_weights(f"local:{path}").name != first
