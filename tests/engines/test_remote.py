"""Models on servers: what is tried again, what is not, how fast, and what nobody gets to see."""

from __future__ import annotations

import asyncio
import copy
import json
import pickle
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from email.utils import formatdate
from pathlib import Path
from typing import Any

import dspy
import pytest
from dspy import lm15
from dspy.utils.exceptions import LMError, LMInvalidRequestError
from scripts import shop_task
from servers import ChatHandler, Reply, chat_server, completion, drip, error, refused

from tagal_dspy.engines import RemoteEngine, ServerDownError, make_lm, pacing, remote
from tagal_dspy.errors import EngineError, SettingsError
from tagal_dspy.modules import GenerateAndFilter
from tagal_dspy.recording import Recorder, listening_lm

KEY = "sk-very-secret-key"


class Server:
    """Plays a script of replies, the last one for good, and notes when requests came and how many at once."""

    def __init__(self, *script: Any, seconds: float = 0.0) -> None:
        self._script, self._seconds, self._lock = list(script), seconds, threading.Lock()
        self.came: list[float] = []
        self.n_now = self.n_most = 0

    def __call__(self, body: dict[str, Any]) -> Any:
        with self._lock:
            self.came.append(time.monotonic())
            self.n_now += 1
            self.n_most = max(self.n_most, self.n_now)
            said = self._script.pop(0) if len(self._script) > 1 else self._script[0]
        time.sleep(self._seconds)
        with self._lock:
            self.n_now -= 1
        return said


def lm_at(address: str, **options: Any) -> dspy.LM:
    return make_lm("openai/x", api_base=address, cache=False, **options)


def at_once(n_calls: int, call: Callable[[int], Any]) -> list[Any]:
    with ThreadPoolExecutor(n_calls) as threads:
        return list(threads.map(call, range(n_calls)))


@pytest.fixture(autouse=True)
def _short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "FIRST_WAIT", 0.02)


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(refused(429, Retry_After="1"), id="seconds"),
        pytest.param(
            lambda handler: handler.say(429, b"{}", Retry_After=formatdate(time.time() + 2, usegmt=True)), id="date"
        ),
    ],
)
def test_retry_after_is_waited_for(fault: Callable[[ChatHandler], None]) -> None:
    server = Server(fault, "hello")
    with chat_server(server) as address:
        assert lm_at(address)("hi") == ["hello"]
    first, second = server.came
    assert 1.0 <= second - first < 4.0


def test_server_that_asks_for_hours_is_not_waited_for() -> None:
    server = Server(refused(429, Retry_After="7200"))
    with chat_server(server) as address, pytest.raises(LMError, match="asks to wait 7200 s"):
        lm_at(address)("hi")
    assert len(server.came) == 1


def test_waits_differ_and_grow_up_to_a_limit() -> None:
    first, last = ([remote._backoff(n) for _ in range(50)] for n in (1, 40))
    assert len(set(first)) == len(set(last)) == 50
    assert all(0.01 <= each <= 0.02 for each in first)
    assert all(15 <= each <= 30 for each in last)


@pytest.mark.parametrize("status", [400, 401, 402, 404])
def test_refusals_end_at_once(status: int) -> None:
    server = Server(error(status, "not like this"))
    with chat_server(server) as address, pytest.raises(LMError, match="not like this"):
        lm_at(address)("hi")
    assert len(server.came) == 1


def test_used_up_quota_ends_at_once_though_it_comes_as_429() -> None:
    server = Server((429, {"error": {"message": "no money left", "code": "insufficient_quota"}}))
    with chat_server(server) as address, pytest.raises(LMError, match="no money left"):
        lm_at(address)("hi")
    assert len(server.came) == 1


def test_error_after_all_retries_says_how_many() -> None:
    server = Server(refused(500))
    with chat_server(server) as address, pytest.raises(LMError, match=r"try again.*\(tried 3 times\)"):
        lm_at(address, num_retries=2)("hi")
    assert len(server.came) == 3


def test_call_is_timed_as_a_whole() -> None:
    server = Server(drip, "hello")
    with chat_server(server) as address:
        lm = lm_at(address, timeout=0.4)
        assert lm("hi") == ["hello"]
        assert lm.engine.service.outcomes == {"timeout": 1, "answered": 1}


def test_truncated_answer_keeps_its_complete_rows() -> None:
    text = "[[ ## rows ## ]]\n31,20.5,Mons,no\n44,30.1,Ghent,yes\n52,3"
    with chat_server(lambda body: (200, completion(text, "length"))) as address, dspy.context(lm=lm_at(address)):
        drawn = GenerateAndFilter()(shop_task(), 20, examples=[])
    assert [row[0] for row in drawn.rows] == ["31", "44"]


def test_refusal_of_the_model_is_a_draw_without_rows() -> None:
    body = completion(None, refusal="I cannot help with that.")
    with chat_server(lambda _: (200, body)) as address, dspy.context(lm=lm_at(address)):
        assert GenerateAndFilter()(shop_task(), 20, examples=[]).rows == ()


def test_number_of_calls_at_once_is_held() -> None:
    server = Server("hello", seconds=0.02)
    with chat_server(server) as address:
        lm = lm_at(address, concurrency=3)
        at_once(12, lambda i: lm(f"hi {i}"))
    assert server.n_most == 3


def test_more_than_a_hundred_calls_are_under_way_at_once() -> None:
    server = Server("hello", seconds=1.5)
    with chat_server(server) as address:
        lm = lm_at(address, concurrency=150)
        at_once(150, lambda i: lm(f"hi {i}"))
    assert server.n_most > 100


class Crowded(Server):
    """Refuses calls beyond those it has room for."""

    def __call__(self, body: dict[str, Any]) -> Any:
        return refused(429) if self.n_now >= 12 else super().__call__(body)


def test_number_of_calls_at_once_is_found() -> None:
    server = Crowded("hello", seconds=0.05)
    with chat_server(server) as address:
        lm = lm_at(address)
        at_once(40, lambda i: [lm(f"hi {i}/{j}") for j in range(4)])
        outcomes = lm.engine.service.outcomes
    assert server.n_most > pacing.FIRST_LIMIT
    assert outcomes["answered"] == 160
    assert 0 < outcomes["rate_limit"] < 160


def test_calls_are_made_in_the_order_they_came_in() -> None:
    order: list[str] = []

    def note(body: dict[str, Any]) -> str:
        order.append(body["messages"][-1]["content"])
        return "hello"

    with chat_server(note) as address:
        engine = remote.AsyncRemoteEngine("openai/x", api_base=address, api_key="none", concurrency=1)

        async def ask_all() -> None:
            await asyncio.gather(*(engine.complete(_request(f"{i:02}")) for i in range(20)))

        asyncio.run(ask_all())
    assert order == sorted(order)


def _request(text: str) -> lm15.Request:
    return lm15.Request(model="openai/x", messages=(lm15.Message.user(text),))


def test_threads_and_event_loops_share_one_pace() -> None:
    server = Server("hello", seconds=0.05)
    with chat_server(server) as address:
        lm, other = lm_at(address, concurrency=4), lm_at(address)

        async def ask() -> None:
            await asyncio.gather(*(other.acall(f"later {i}") for i in range(6)))

        at_once(7, lambda i: asyncio.run(ask()) if i == 0 else lm(f"hi {i}"))
    assert server.n_most == 4
    assert lm.engine.service is other.engine.service
    assert lm.engine.service.outcomes == {"answered": 12}


def test_cancelled_call_makes_room_and_is_counted() -> None:
    server = Server("hello", seconds=0.5)

    async def cancel_one(engine: remote.AsyncRemoteEngine) -> str:
        first = asyncio.create_task(engine.complete(_request("a")))
        while not server.came:
            await asyncio.sleep(0.01)
        first.cancel()
        return str((await engine.complete(_request("b"))).message.text)

    with chat_server(server) as address:
        engine = remote.AsyncRemoteEngine("openai/x", api_base=address, api_key="none", concurrency=1)
        assert asyncio.run(cancel_one(engine)) == "hello"
    assert engine.service.outcomes == {"cancelled": 1, "answered": 1}


def test_server_that_answers_no_one_is_given_up_until_it_is_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pacing, "PATIENCE", 0.1)
    monkeypatch.setattr(pacing, "PAUSE", 0.5)
    server = Server(*[refused(500)] * 40, "hello")
    with chat_server(server) as address:
        lm = lm_at(address, num_retries=20)
        with pytest.raises(
            ServerDownError, match=r"openai/x at http.* tries in a row, the last with: try again"
        ) as caught:
            lm("hi")
        assert isinstance(caught.value, EngineError)
        assert "\n" not in str(caught.value)
        n_requests, started = len(server.came), time.monotonic()
        with pytest.raises(ServerDownError):
            lm("hi")
        assert len(server.came) == n_requests
        assert time.monotonic() - started < 0.4
        del server._script[:-1]
        time.sleep(0.5)
        assert lm("hi") == ["hello"]


def test_key_is_nowhere_to_be_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_API_KEY", "other-very-secret")
    reply: Reply = error(401, f"wrong key {KEY}, nor is it other-very-secret")
    with chat_server(lambda body: reply) as address:
        lm = lm_at(address, api_key=KEY)
        with pytest.raises(LMError) as caught:
            lm("hi")
    seen = [str(caught.value), repr(caught.value.__cause__), repr(lm.engine), str(lm.dump_state()), str(lm.kwargs)]
    seen += [str(pickle.dumps(lm.engine)), lm.engine.service._breaker._name]
    assert not [each for each in seen if KEY in each or "other-very" in each]


def test_saved_program_holds_the_model_alone(tmp_path: Path) -> None:
    program = dspy.Predict("question -> answer")
    program.lm = make_lm("openai/x", api_base="http://127.0.0.1:9/v1", api_key=KEY)
    program.deepcopy().save(tmp_path / "program.json")
    saved = json.loads((tmp_path / "program.json").read_text())["lm"]
    assert saved["engine"]["state"] == {"model": "openai/x", "model_type": "chat"}
    loaded = dspy.Predict("question -> answer")
    loaded.load(tmp_path / "program.json", allow_unsafe_lm_state=True)
    assert isinstance(loaded.lm.engine, RemoteEngine)


def test_engine_copies_to_itself() -> None:
    lm = make_lm("openai/x", api_key=KEY)
    assert copy.deepcopy(lm).engine is lm.engine


def test_password_in_the_address_is_refused() -> None:
    with pytest.raises(SettingsError, match="password") as caught:
        make_lm("openai/x", api_base="http://me:hidden@127.0.0.1:9/v1")
    assert "hidden" not in str(caught.value)


def test_capabilities_are_those_that_dspy_knows() -> None:
    plain, ours = dspy.LM("openai/gpt-4o-mini", engine="lm15"), make_lm("openai/gpt-4o-mini", api_key=KEY)
    names = ("supports_response_schema", "supports_function_calling", "supports_reasoning", "supported_params")
    assert [getattr(ours, name) for name in names] == [getattr(plain, name) for name in names]


def test_cached_prompt_tokens_of_anthropic_are_prompt_tokens() -> None:
    response = lm15.Response(
        id=None,
        model="x",
        message=lm15.Message.assistant([lm15.TextPart("hi")]),
        finish_reason="stop",
        usage=lm15.Usage(input_tokens=10, output_tokens=5, total_tokens=15, cache_read_tokens=90),
    )
    usage = remote._counted(response, "anthropic").usage
    assert (usage.input_tokens, usage.output_tokens, usage.total_tokens) == (100, 5, 105)


def test_model_of_no_known_provider_is_refused_when_it_is_named() -> None:
    with pytest.raises(SettingsError, match="'nobody/x' cannot be reached"):
        make_lm("nobody/x")


@pytest.mark.parametrize("options", [{"timeout": 0}, {"num_retries": -1}, {"concurrency": 0}])
def test_numbers_out_of_range_are_refused(options: dict[str, int]) -> None:
    with pytest.raises(SettingsError, match=f"{next(iter(options))}="):
        make_lm("openai/x", **options)


def test_unusable_request_is_no_reason_to_try_again() -> None:
    server = Server("hello")
    with chat_server(server) as address, pytest.raises(LMError):
        lm_at(address)("hi", grammar="root ::= x")
    assert not server.came


@pytest.mark.parametrize(
    "usage",
    [
        None,
        {},
        "many",
        [1],
        {"prompt_tokens": "many"},
        {"prompt_tokens": -3, "completion_tokens": 1},
        {"prompt_tokens": 0.5},
    ],
)
def test_usage_that_is_none_is_counted_here_and_costs_no_further_request(usage: object) -> None:
    n_requests = 0

    def answer(body: dict[str, Any]) -> Any:
        nonlocal n_requests
        n_requests += 1
        return 200, {**completion("one two three"), "usage": usage}

    recorder = Recorder()
    with chat_server(answer) as address, recorder.active():
        assert listening_lm(lm_at(address))("a question of some words") == ["one two three"]
    counts = {"calls": 1, "prompt_tokens": 5, "completion_tokens": 3, "estimated": 1}
    assert recorder.usage == {"openai/x": counts}
    assert n_requests == 1


def test_forked_process_is_told_why_it_cannot_call(monkeypatch: pytest.MonkeyPatch) -> None:
    with chat_server(lambda body: "hello") as address:
        lm = lm_at(address)
        lm("hi")
        monkeypatch.setattr(remote, "_process", -1)
        with pytest.raises(LMError, match="'spawn'"):
            lm("hi")


def test_invalid_request_keeps_its_class() -> None:
    with chat_server(lambda body: error(400, "no")) as address, pytest.raises(LMInvalidRequestError):
        lm_at(address)("hi")
