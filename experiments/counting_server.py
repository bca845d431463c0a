"""An OpenAI-compatible server on loopback, in a process of its own, that counts what it is asked and what it answers.

The server writes rows of a table of shoppers, critiques, refined prompts and instructions, each answer after a short
random delay. The first part of a path names a case, so that every run has an address, a behaviour and a log of its own.
An answer depends on the content of the request alone, or also on how often the same content was asked (`counted`).
The process imports the standard library only and starts in a tenth of a second.
"""

from __future__ import annotations

import asyncio
import csv
import hashlib
import http.client
import io
import json
import random
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from typing import Any

COLUMNS = ("age", "income", "city", "buys")
CITIES = ("Antwerp", "Bruges", "Ghent", "Leuven", "Mons", "Namur")
ANSWERS = ("yes", "no")
CLASSES = {"city": CITIES, "buys": ANSWERS}
N_ROWS = 20
"""Rows of an answer where the request gives no number."""
CHARACTERS_PER_TOKEN = 4
POINT = {"column": "age", "problem": "too old", "evidence": "row 1", "recommendation": "write younger people"}
USAGES = ("numbers", "none", "null", "text", "negative")


@dataclass
class Behaviour:
    """How the requests of a case are answered.

    Attributes:
        usage: the token counts of an answer: `numbers`, `none` (the field is left out), `null`, `text`, `negative`.
        counted: whether the same content gets a new answer each time.
        seconds: shortest and longest delay of an answer.
        status: HTTP status that new requests are refused with; None answers them.
        keeps_texts: whether the log holds the text of every call.
    """

    usage: str = "numbers"
    counted: bool = False
    seconds: tuple[float, float] = (0.005, 0.02)
    status: int | None = None
    keeps_texts: bool = False


@dataclass
class Log:
    """What happened in a case.

    Attributes:
        arrived: content hashes of all requests, in order, refused ones left out.
        answered: content hashes of the requests whose client was still there and was sent the whole answer.
        n_refused: requests that were refused.
        sizes: prompt and completion tokens of each call as the server counts them, whatever it says of them.
        texts: prompt and completion of each call, where they are kept.
        n_open: requests that are being answered.
        most_open: the largest number of them so far.
    """

    arrived: list[str] = field(default_factory=list)
    answered: list[str] = field(default_factory=list)
    n_refused: int = 0
    sizes: list[tuple[int, int]] = field(default_factory=list)
    texts: list[tuple[str, str]] = field(default_factory=list)
    n_open: int = 0
    most_open: int = 0


def shoppers(n_rows: int, rng: random.Random, **fixed: str) -> list[tuple[str, ...]]:
    """Rows of the table; columns in `fixed` hold that value in every row."""
    return [
        (
            str(rng.randint(20, 78)),
            f"{rng.uniform(12, 55):.1f}",
            fixed.get("city", rng.choice(CITIES)),
            fixed.get("buys", rng.choice(ANSWERS)),
        )
        for _ in range(n_rows)
    ]


def shoppers_csv(n_rows: int = 240) -> str:
    """The real table as a CSV file; its numbers reach further than those of generated rows."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(COLUMNS)
    rows = shoppers(n_rows - 2 * len(CITIES), random.Random(0))
    for i, city in enumerate(CITIES):
        rows += [("18", f"{10 + i / 10:.1f}", city, "yes"), ("80", f"{58 + i / 10:.1f}", city, "no")]
    writer.writerows(rows)
    return file.getvalue()


class Case:
    """The client's side of a case.

    Attributes:
        address: to use as `api_base`.
    """

    def __init__(self, port: int, name: str, **behaviour: Any) -> None:
        self._port, self._name = port, name
        self.address = f"http://127.0.0.1:{port}/{name}/v1"
        self.behave(**behaviour)

    def behave(self, **behaviour: Any) -> None:
        """Change some of the fields of the case's `Behaviour`."""
        self._asked("PUT", json.dumps(behaviour))

    def log(self) -> Log:
        """What happened so far."""
        return Log(**json.loads(self._asked("GET", "")))

    def _asked(self, method: str, body: str) -> bytes:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=30)
        try:
            connection.request(method, f"/{self._name}", body)
            return connection.getresponse().read()
        finally:
            connection.close()


@contextmanager
def counting_server() -> Iterator[int]:
    """Run the server; gives its port, for `Case`."""
    process = subprocess.Popen([sys.executable, __file__], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield int(process.stdout.readline())
    finally:
        process.kill()
        process.communicate()


class _ServedCase:
    """The server's side of a case."""

    def __init__(self) -> None:
        self.behaviour = Behaviour()
        self.log = Log()
        self._n_asked: Counter[str] = Counter()

    def behave(self, changes: dict[str, Any]) -> None:
        self.behaviour = replace(self.behaviour, **changes)

    async def reply(self, body: bytes, connection: _Connection) -> None:
        """Answer a request, or refuse it."""
        if self.behaviour.status is not None:
            self.log.n_refused += 1
            await connection.send(self.behaviour.status, {"error": {"message": "the case is over", "type": "refused"}})
            return
        digest = hashlib.sha256(body).hexdigest()[:16]
        self.log.arrived.append(digest)
        self.log.n_open += 1
        self.log.most_open = max(self.log.most_open, self.log.n_open)
        try:
            answer = self._answer(digest, json.loads(body)["messages"])
            await asyncio.sleep(random.uniform(*self.behaviour.seconds))
            if await connection.send(200, answer):
                self.log.answered.append(digest)
        finally:
            self.log.n_open -= 1

    def _answer(self, digest: str, messages: list[dict[str, str]]) -> dict[str, Any]:
        self._n_asked[digest] += 1
        seed = f"{digest}/{self._n_asked[digest] if self.behaviour.counted else 0}"
        text = written(messages, random.Random(seed))
        prompt = "\n".join(message["content"] for message in messages)
        size = (len(prompt) // CHARACTERS_PER_TOKEN + 1, len(text) // CHARACTERS_PER_TOKEN + 1)
        self.log.sizes.append(size)
        if self.behaviour.keeps_texts:
            self.log.texts.append((prompt, text))
        return {**completion(text), **usage(self.behaviour.usage, size)}


def written(messages: list[dict[str, str]], rng: random.Random) -> str:
    """The output fields that the last message asks for, in DSPy's chat format."""
    text = messages[-1]["content"]
    asked = text.rpartition("Respond with")[2]
    names = [name for name in re.findall(r"\[\[ ## (\w+) ## \]\]", asked) if name != "completed"]
    inputs = dict(re.findall(r"\[\[ ## (\w+) ## \]\]\n(.*?)(?=\n\n\[\[ ## |\n\nRespond with|\Z)", text, re.DOTALL))
    parts = [f"[[ ## {name} ## ]]\n{value(name, inputs, rng)}" for name in names or ["rows"]]
    return "\n\n".join([*parts, "[[ ## completed ## ]]\n"])


def value(name: str, inputs: dict[str, str], rng: random.Random) -> str:
    """The value of an output field."""
    if name == "rows":
        quoted = re.findall(r'"([^"]+)"', inputs.get("wanted", ""))
        fixed = {column: text for text in quoted for column, classes in CLASSES.items() if text in classes}
        number = inputs.get("n_rows", "").strip()
        rows = shoppers(int(number) if number.isdigit() else N_ROWS, rng, **fixed)
        return "\n".join(map(",".join, rows))
    if name == "points":
        return json.dumps([POINT])
    if name == "refined_prompt":
        return "Write shoppers. Look at {few_shots} first."
    return f"Write plausible people, each of them new. (Idea {rng.randrange(10**6)}.)"


def completion(text: str) -> dict[str, Any]:
    """The body of a chat completion, without usage."""
    message = {"role": "assistant", "content": text}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    return {"id": "1", "object": "chat.completion", "created": 0, "model": "fake", "choices": [choice]}


def usage(kind: str, size: tuple[int, int]) -> dict[str, Any]:
    """What the server says of the tokens of an answer."""
    if kind == "none":
        return {}
    if kind == "null":
        return {"usage": None}
    counts = dict(zip(("prompt_tokens", "completion_tokens", "total_tokens"), (*size, sum(size)), strict=True))
    if kind == "text":
        return {"usage": dict.fromkeys(counts, "many")}
    sign = -1 if kind == "negative" else 1
    return {"usage": {name: sign * count for name, count in counts.items()}}


class _Connection:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self._writer = reader, writer

    async def send(self, status: int, body: Any) -> bool:
        """Send an answer; whether the client was there to take all of it."""
        if self.reader.at_eof() or self._writer.is_closing():
            return False
        text = json.dumps(body).encode()
        head = f"HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Length: {len(text)}\r\n\r\n"
        try:
            self._writer.write(head.encode() + text)
            await self._writer.drain()
        except ConnectionError:
            return False
        return True

    def close(self) -> None:
        self._writer.close()


class _Server:
    def __init__(self) -> None:
        self._cases: dict[str, _ServedCase] = {}

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = _Connection(reader, writer)
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                method, path, _ = head.decode().split(" ", 2)
                length = re.search(rb"(?i)\r\ncontent-length: *(\d+)", head)
                body = await reader.readexactly(int(length[1]) if length else 0)
                await self._reply(method, path, body, connection)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            connection.close()

    async def _reply(self, method: str, path: str, body: bytes, connection: _Connection) -> None:
        case = self._cases.setdefault(path.split("/")[1], _ServedCase())
        if method == "POST":
            await case.reply(body, connection)
            return
        if method == "PUT":
            case.behave(json.loads(body))
        await connection.send(200, asdict(case.log))


async def main() -> None:
    server = await asyncio.start_server(_Server().serve, "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
