"""Models that are loaded one after the other in a process keep their own tokenizers."""

from __future__ import annotations

import weakref
from pathlib import Path
from typing import Any

import pytest

from tagal_dspy.engines import Weights, llama
from tagal_dspy.engines.llama import Model


class LlamaCpp:
    """Servers that stand at the lowest free address, and a tokenizer that knows a vocabulary by its address."""

    def __init__(self) -> None:
        self.servers: list[weakref.ref[Server]] = []
        self.tokenizer: tuple[int, Path] | None = None

    def start(self, weights: Weights, n_slots: int, n_context: int, n_threads: int) -> Server:
        taken = {server.address for each in self.servers if (server := each()) is not None}
        server = Server(self, weights.path, next(address for address in range(99) if address not in taken))
        self.servers.append(weakref.ref(server))
        return server

    @property
    def n_loaded(self) -> int:
        return sum(each() is not None for each in self.servers)


class Server:
    def __init__(self, llama_cpp: LlamaCpp, vocabulary: Path, address: int) -> None:
        self.llama_cpp, self.vocabulary, self.address = llama_cpp, vocabulary, address

    def handle_completions(self, body: dict[str, Any]) -> dict[str, Any]:
        known = self.llama_cpp.tokenizer
        if "grammar" in body and (known is None or known[0] != self.address):
            known = self.llama_cpp.tokenizer = self.address, self.vocabulary
        return {"choices": [], "tokenizer": known and known[1]}


@pytest.fixture
def llama_cpp(monkeypatch: pytest.MonkeyPatch) -> LlamaCpp:
    found = LlamaCpp()
    monkeypatch.setattr(llama, "_start", found.start)
    monkeypatch.setattr(llama, "_replaced", [])
    return found


def weights(name: str) -> Weights:
    return Weights(Path(f"{name}.gguf"), name, "continuation")


def tokenizer_of(model: Model) -> str:
    return model.complete({"grammar": ""})["tokenizer"].stem


def test_replaced_weights_do_not_leave_their_tokenizer_behind(llama_cpp: LlamaCpp) -> None:
    model = Model(weights("a"))
    assert tokenizer_of(model) == "a"
    for name in "bcdb":
        model.replace(weights(name))
        assert tokenizer_of(model) == name
        assert llama_cpp.n_loaded == 1


def test_closed_model_does_not_leave_its_tokenizer_behind(llama_cpp: LlamaCpp) -> None:
    for name in "abc":
        model = Model(weights(name))
        assert tokenizer_of(model) == name
        model.close()
    assert llama_cpp.n_loaded == 1


def test_weights_that_wrote_nothing_make_their_tokenizer_all_the_same(llama_cpp: LlamaCpp) -> None:
    model = Model(weights("a"))
    assert tokenizer_of(model) == "a"
    model.replace(weights("b"))
    model.replace(weights("c"))
    assert tokenizer_of(model) == "c"


def test_model_that_moved_does_not_leave_its_tokenizer_behind(llama_cpp: LlamaCpp) -> None:
    lower = llama_cpp.start(weights("x"), 1, 512, 1)
    model = Model(weights("a"))
    assert tokenizer_of(model) == "a"
    del lower
    model._reload(model.weights)
    assert tokenizer_of(Model(weights("b"))) == "b"


def test_model_loaded_again_is_freed_first(llama_cpp: LlamaCpp) -> None:
    model = Model(weights("a"))
    model.start()
    model._reload(model.weights)
    assert llama_cpp.servers[0]() is None
    assert llama_cpp.servers[1]().address == 0  # type: ignore[union-attr]
