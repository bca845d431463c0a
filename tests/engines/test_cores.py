"""Cores that other processes leave free, and a model that follows them."""

from __future__ import annotations

import threading
import time
from collections import namedtuple
from types import SimpleNamespace
from typing import Any

import psutil
import pytest

from tagal_dspy.engines import Weights, cores, llama
from tagal_dspy.engines.cores import FreeCores
from tagal_dspy.engines.llama import Model

Times = namedtuple("Times", ["user", "nice", "idle"], defaults=(0.0,) * 3)


@pytest.mark.parametrize(
    ("per_core", "own", "n_free"),
    [
        ([{"idle": 10.0}, {"idle": 10.0}], 0.0, 2.0),
        ([{"idle": 10.0}, {"user": 9.0, "idle": 1.0}], 0.0, 1.1),
        ([{"idle": 10.0}, {"nice": 10.0}], 0.0, 1.0),
        ([{"user": 10.0}, {"user": 10.0}], 20.0, 2.0),
        ([{"user": 10.0}, {"user": 10.0}], 13.3, 1.33),
    ],
)
def test_cores_that_no_other_process_uses_are_free(
    per_core: list[dict[str, float]], own: float, n_free: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = iter([[Times(), Times()], [Times(**times) for times in per_core]])
    clock, used = iter([0.0, 10.0, 10.0]), iter([0.0, own])
    monkeypatch.setattr(psutil, "cpu_times", lambda **_: next(shown))
    monkeypatch.setattr(
        cores, "time", SimpleNamespace(monotonic=lambda: next(clock), process_time=lambda: next(used), sleep=time.sleep)
    )
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0, 1}, raising=False)
    assert FreeCores().count() == pytest.approx(n_free)


class Machine:
    """Free cores as a test says, and servers that tell how many threads they were given."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.n_free, self.seconds = 2.0, 0.0
        self.started: list[int] = []
        self.at_work = 0
        self.may_answer = threading.Event()
        self.may_answer.set()
        monkeypatch.setattr(llama, "FreeCores", lambda: self)
        monkeypatch.setattr(llama, "_start", self.start)

    def count(self) -> float:
        return self.n_free

    def start(self, weights: Weights, n_slots: int, n_context: int, n_threads: int) -> Machine:
        assert self.at_work == 0
        self.started.append(n_threads)
        return self

    def handle_completions(self, body: dict[str, Any]) -> dict[str, Any]:
        self.at_work += 1
        assert self.may_answer.wait(10)
        self.at_work -= 1
        return {"choices": []}


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    return Machine(monkeypatch)


@pytest.fixture
def model(machine: Machine, tmp_path: Any) -> Model:
    return Model(Weights(tmp_path / "model.gguf", "model", "continuation"))


@pytest.mark.parametrize(
    ("free_cores", "n_threads"),
    [
        ([2.0, 2.0], [2]),
        ([2.0, 1.33], [2, 1]),
        ([2.0, 1.5], [2]),
        ([1.0, 1.7], [1]),
        ([1.0, 1.9], [1, 2]),
        ([0.1, 0.0], [1]),
        ([2.0, 1.0, 2.0], [2, 1, 2]),
        ([8.0, 5.2, 7.9], [8, 5, 8]),
    ],
)
def test_threads_follow_free_cores_beyond_a_margin(
    free_cores: list[float], n_threads: list[int], machine: Machine, model: Model
) -> None:
    for n_free in free_cores:
        machine.n_free, machine.seconds = n_free, llama.SECONDS_BETWEEN_LOOKS
        model.complete({})
    assert machine.started == n_threads


def test_threads_stay_between_two_looks(machine: Machine, model: Model) -> None:
    model.complete({})
    machine.n_free, machine.seconds = 1.0, llama.SECONDS_BETWEEN_LOOKS - 0.1
    model.complete({})
    assert machine.started == [2]


def test_calls_under_way_end_before_the_model_is_loaded_again(machine: Machine, model: Model) -> None:
    machine.may_answer.clear()
    first = threading.Thread(target=model.complete, args=({},))
    first.start()
    while not machine.at_work:
        time.sleep(0.001)
    machine.n_free, machine.seconds = 1.0, llama.SECONDS_BETWEEN_LOOKS
    second = threading.Thread(target=model.complete, args=({},))
    second.start()
    second.join(0.05)
    assert machine.started == [2]
    machine.may_answer.set()
    first.join(10)
    second.join(10)
    assert machine.started == [2, 1]
