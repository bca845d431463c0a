"""What calls to a server cost: share of the ideal with many at once, CPU for each, memory after many.

    python experiments/bench/concurrency.py

A server on loopback, in a process of its own, answers each call after half a second. Ratios are of one run on one
machine, against `dspy.LM(engine="lm15")` in the same process; see the load average beside them.
"""

from __future__ import annotations

import asyncio
import gc
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"

import dspy

from tagal_dspy import make_lm

N_AT_ONCE = 256
SECONDS = 0.5
N_ROUNDS = 40
"""What starting all at once and running out at the end cost, about a call's time, is shared by so many."""
N_REPEATS = 3
N_MANY = 10_000


def answer_slowly(seconds: float) -> None:
    """The server; prints its port."""
    body = (
        b'{"id":"1","object":"chat.completion","created":0,"model":"x","choices":[{"index":0,"message":'
        b'{"role":"assistant","content":"30,20.5,Mons,no"},"finish_reason":"stop"}],'
        b'"usage":{"prompt_tokens":10,"completion_tokens":5,"total_tokens":15}}'
    )
    reply = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
                await reader.readexactly(int(length.split(b":")[1]))
                await asyncio.sleep(seconds)
                writer.write(reply)
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    async def main() -> None:
        server = await asyncio.start_server(serve, "127.0.0.1", 0, backlog=1024)
        print(server.sockets[0].getsockname()[1], flush=True)
        await server.serve_forever()

    asyncio.run(main())


def on_threads(lm: dspy.LM, n_calls: int) -> None:
    with ThreadPoolExecutor(N_AT_ONCE) as threads:
        list(threads.map(lambda i: lm(f"{i} of {time.monotonic()}"), range(n_calls)))


def on_a_loop(lm: dspy.LM, n_calls: int) -> None:
    async def one(i: int, room: asyncio.Semaphore) -> None:
        async with room:
            await lm.acall(f"{i} of {time.monotonic()}")

    async def main() -> None:
        room = asyncio.Semaphore(N_AT_ONCE)
        await asyncio.gather(*(one(i, room) for i in range(n_calls)))

    asyncio.run(main())


def on_sockets(address: str, n_calls: int) -> None:
    """The least that a client can do: what this machine allows."""

    async def one(port: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for _ in range(n_calls // N_AT_ONCE):
            writer.write(b"POST / HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}")
            await reader.readuntil(b"}}")
        writer.close()

    async def main() -> None:
        port = int(address.split(":")[2].split("/")[0])
        await asyncio.gather(*(one(port) for _ in range(N_AT_ONCE)))

    asyncio.run(main())


def cpu_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def measured(drive: Callable[[Any, int], None], target: Any) -> tuple[float, float]:
    """Share of the ideal, and CPU of a call in ms."""
    n_calls = N_ROUNDS * N_AT_ONCE
    cpu, started = cpu_seconds(), time.perf_counter()
    drive(target, n_calls)
    took = time.perf_counter() - started
    return N_ROUNDS * SECONDS / took, 1000 * (cpu_seconds() - cpu) / n_calls


def resident_mb() -> float:
    gc.collect()
    fields = Path("/proc/self/statm").read_text().split()
    return int(fields[1]) * resource.getpagesize() / 2**20


def started_server(seconds: float) -> tuple[subprocess.Popen[str], str]:
    command = [sys.executable, __file__, "serve", str(seconds)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    return process, f"http://127.0.0.1:{int(process.stdout.readline())}/v1"


def report_speed() -> None:
    process, address = started_server(SECONDS)
    connection = {"api_base": address, "api_key": "none", "cache": False}
    ours = make_lm("openai/x", concurrency=N_AT_ONCE, **connection)
    bare = dspy.LM("openai/x", engine="lm15", num_retries=0, **connection)
    ways: dict[str, tuple[Callable[[Any, int], None], Any]] = {
        "sockets alone | a loop": (on_sockets, address),
        "make_lm | threads": (on_threads, ours),
        "make_lm | a loop": (on_a_loop, ours),
        "dspy.LM(engine='lm15') | threads": (on_threads, bare),
        "dspy.LM(engine='lm15') | a loop": (on_a_loop, bare),
    }
    results: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
    for _ in range(N_REPEATS):
        for name, (drive, target) in ways.items():
            results[name].append(measured(drive, target))
    print("| client | on | share of the ideal | CPU of a call |\n|---|---|---|---|")
    for name, pairs in results.items():
        shares, cpus = zip(*pairs, strict=True)
        print(
            f"| {name} | {statistics.median(shares):.1%} ({min(shares):.1%} to {max(shares):.1%}) "
            f"| {statistics.median(cpus):.2f} ms ({min(cpus):.2f} to {max(cpus):.2f}) |"
        )
    process.kill()
    process.wait()


def report_memory() -> None:
    process, address = started_server(0.0)
    lm = make_lm("openai/x", api_base=address, cache=False, concurrency=N_AT_ONCE)
    on_a_loop(lm, 1000)
    before = resident_mb()
    on_a_loop(lm, N_MANY - 1000)
    print(f"\nMemory after 1 000 calls: {before:.1f} MB; after {N_MANY} calls: {resident_mb() - before:+.1f} MB.")
    process.kill()
    process.wait()


if __name__ == "__main__":
    if sys.argv[1:2] == ["serve"]:
        answer_slowly(float(sys.argv[2]))
    else:
        dspy.configure(trace=None, disable_history=True)
        print(f"{N_AT_ONCE} calls at once, {N_ROUNDS} times over, a server of {SECONDS} s; median of {N_REPEATS}.")
        print(f"{os.cpu_count()} cores, load average before: {os.getloadavg()[0]:.1f}\n")
        report_speed()
        report_memory()
        print(f"Load average after: {os.getloadavg()[0]:.1f}")
