"""What comes of answers that are broken on purpose: no exception, no invalid row, and not much time.

    TAGAL_DATA_DIR=... uv run python experiments/fuzz.py [--answers 1000000]

Real rows are written by every codec, put between the markers of a chat answer, in a code fence or nowhere, and
broken in up to four places; then they are read and filtered as in a run. What is accepted is checked by code that
shares nothing with the library. One line for each table and codec in experiments/results/fuzz.csv; microseconds are
of CPU time from the answer to its accepted rows, divided by the rows that were decoded.
"""

from __future__ import annotations

import argparse
import multiprocessing
import random
import time
import traceback
import unicodedata
from collections import Counter
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Union

import pandas as pd
from lines import TARGETS

from tagal_dspy import TableTask, load_dataset
from tagal_dspy.acceptance import AcceptancePipeline, RowFilter
from tagal_dspy.codecs import RowCodec, make_codec
from tagal_dspy.schema import CategoricalColumn, DatetimeColumn, NumericalColumn, Reject, Row, TextColumn
from tagal_dspy.signatures import ContinuationAdapter, GenerateRows, RowsChatAdapter

RESULTS = Path(__file__).parent / "results" / "fuzz.csv"
CODECS = ("csv", "json", "sentence")
TABLES = ("hostile", "penguins", *TARGETS)
Adapter = Union[RowsChatAdapter, ContinuationAdapter]
ADAPTERS: list[Adapter] = [RowsChatAdapter(), ContinuationAdapter()]
BATCH = 100
MOST_ROWS = 10
"""Rows of an answer before it is broken."""

SHREDS = [
    *("[[ ## rows ## ]]", "[[ ## completed ## ]]\n", "[[ ## n_rows ## ]]\n5\n", "```", "```csv\n", "\n```\n"),
    *("<|im_end|>", "<eos>", "<end_of_turn>", "<<CUSTOM-TYPE-START-IDENTIFIER>>", "root ::= x", "{few_shots}"),
    *('"', '""', '",', ',"', ",,,", "\n", "\r", "\r\n", "\t", " ", "{", "}", "[", "]", '{"rows": [', "]}", ":", "\\"),
    *("\\u0000", '\\"', "\\ud800", "null", "true", "NaN", "Infinity", "-0", "1e999", "1e-999999999", "1_000", "٣"),
    *("0x1f", "1.5", "-7", "99999999999999999999", "2024-02-30", "31/12/1980", " is ", "missing", "=cmd()", "@SUM(1)"),
    *("\x00", "\x1b[31m", "\x85", "\u2028", "\u202e", "\u200b", "\ufeff", "\ud800", "🙂", "\x1c", "I cannot do that. "),
    *("{" * 50, '{"a":' * 300, "[" * 500, '"' * 99, "," * 99, " " * 200, "9" * 400, "x" * 5000, "\n" * 60),
]


def hostile() -> pd.DataFrame:
    """A table of every kind of column whose cells look like the format they are written in."""
    rng = random.Random(0)
    cells = [
        "[[ ## completed ## ]]",
        "```",
        'so "called"',
        "a, b",
        "=cmd()",
        "x\ny",
        "\x1b[31m",
        "missing",
        "\u202eabc",
    ]
    notes = [f"{number}: {rng.choice(cells)} and {rng.choice(cells)}" for number in range(200)]
    return pd.DataFrame(
        {
            "a, b is": [rng.choice([*cells, None]) for _ in notes],
            "note": notes,
            "when": [f"{rng.randint(1, 28):02d}/{rng.randint(1, 12):02d}/1980" for _ in notes],
            "amount": [None if rng.random() < 0.2 else rng.randint(-400, 400) / 8 for _ in notes],
            "class": [rng.choice(["yes", "no"]) for _ in notes],
        }
    )


class Fuzzed:
    """The answers for one table and codec, and what came of them."""

    def __init__(self, table: str, codec: str) -> None:
        frame = hostile() if table == "hostile" else load_dataset(table).frame
        self.task = TableTask(frame, {"hostile": "class", "penguins": "species", **TARGETS}[table])
        self.codec: RowCodec = make_codec(codec, self.task.schema)  # type: ignore[arg-type]
        self.filter = RowFilter(self.task)
        self.known = (table, codec)
        self.counts: Counter[str] = Counter()
        self.real = self.task.real_rows  # made before the clock runs

    def answer(self, rng: random.Random) -> str:
        rows = [self.changed(rng) for _ in range(rng.randint(1, MOST_ROWS))]
        text = self.codec.encode(rows)
        start, end = rng.choice(
            [
                ("", ""),
                RowsChatAdapter.grammar_frame,
                ('Sure, "rows":\n[[ ## rows ## ]]\n', "[[ ## completed ## ]]"),
                ("Here:\n```csv\n", "```\n"),
            ]
        )
        text = start + text + end
        for _ in range(rng.randint(0, 4)):
            text = broken(text, rng)
        return text

    def changed(self, rng: random.Random) -> Row:
        """A real row with a cell of another, so that it is new."""
        row, other = rng.choices(self.task.train_rows, k=2)
        place = rng.randrange(len(row))
        return (*row[:place], other[place], *row[place + 1 :])

    def run(self, seeds: range) -> None:
        """Read and filter some answers; the clock is asked once for all, since that takes longer than an answer."""
        drawn = [random.Random(f"{self.known}/{seed}") for seed in seeds]
        answers = [(rng.choice(ADAPTERS), self.answer(rng)) for rng in drawn]
        started = time.process_time()
        read = [self.read(adapter, text) for adapter, text in answers]
        self.counts["nanoseconds"] += round(1e9 * (time.process_time() - started))
        self.counts["answers"] += len(answers)
        for (_, text), (accepted, rejects, n_decoded) in zip(answers, read, strict=True):
            self.count(text, accepted, rejects, n_decoded)

    def read(self, adapter: Adapter, text: str) -> tuple[list[Row], list[Reject], int]:
        try:
            decoded = self.codec.decode(adapter.parse(GenerateRows, text)["rows"].text)
            fitting, misfits = self.filter.fitting(decoded.rows)
            acceptance = AcceptancePipeline(self.codec, self.filter, len(fitting) + 1)
            accepted = acceptance.offer(fitting)
        except Exception:  # the experiment is about there being none
            self.counts["exceptions"] += 1
            print(*self.known, repr(text), traceback.format_exc(), sep="\n", flush=True)
            return [], [], 0
        return accepted, [*decoded.rejects, *misfits, *acceptance.rejects], len(decoded.rows)

    def count(self, text: str, accepted: list[Row], rejects: list[Reject], n_decoded: int) -> None:
        self.counts["rows_decoded"] += n_decoded
        self.counts["rows_accepted"] += len(accepted)
        self.counts.update(f"rejected: {reject.reason}" for reject in rejects)
        invalid = [row for row in accepted if not self.is_valid(row)]
        self.counts["invalid_rows_accepted"] += len(invalid) + len(accepted) - len(set(accepted))
        if invalid or len(set(accepted)) < len(accepted):
            print(*self.known, repr(text), invalid, sep="\n", flush=True)

    def is_valid(self, row: Row) -> bool:
        fits = all(map(holds, self.task.schema.modelled, row))
        return fits and row not in self.real and self.codec.decode(self.codec.encode([row])).rows == (row,)


def holds(column: object, cell: str | None) -> bool:
    """Whether a cell may stand in a column, found out another way than the library does."""
    if cell is None:
        return bool(column.missing_share)  # type: ignore[attr-defined]
    if isinstance(column, CategoricalColumn):
        return cell in [text for text, share in zip(column.categories, column.shares, strict=True) if share]
    if isinstance(column, NumericalColumn):
        whole, _, digits = cell.removeprefix("-").partition(".")
        low, high = (Decimal(f"{bound:.{column.decimals}f}") for bound in (column.minimum, column.maximum))
        plain = whole.isascii() and (whole + digits).isdigit() and len(digits) == column.decimals
        return plain and low <= Decimal(cell) <= high
    if isinstance(column, DatetimeColumn):
        moment, *range = (datetime.strptime(text, column.format) for text in (cell, column.minimum, column.maximum))
        return moment.strftime(column.format) == cell and range[0] <= moment <= range[1]
    assert isinstance(column, TextColumn)
    hidden = {char for char in cell if unicodedata.category(char) in ("Cc", "Cs")} - {"\t"}
    return 0 < len(cell) <= column.max_length and cell == cell.strip() and hidden <= {"\n" if column.multiline else ""}


def broken(text: str, rng: random.Random) -> str:
    """The text with one thing done to it."""
    start = rng.randint(0, len(text))
    end = min(len(text), start + rng.choice([1, 1, 5, 50, 500]))
    inside = text[start:end]
    what = rng.choice(["cut", "insert", "insert", "replace", "drop", "repeat", "reverse", "shuffle", "char", "case"])
    if what == "cut":
        return text[:end]
    new = {
        "insert": rng.choice(SHREDS) + inside,
        "replace": rng.choice(SHREDS),
        "drop": "",
        "repeat": inside * rng.choice([2, 3, 20]),
        "reverse": inside[::-1],
        "shuffle": "".join(rng.sample(inside, len(inside))),
        "char": chr(rng.choice([rng.randrange(128), rng.randrange(0x3000), rng.randrange(0x110000)])) + inside[1:],
        "case": inside.swapcase(),
    }[what]
    return text[:start] + new + text[end:]


def fuzz(job: tuple[str, str, int, int]) -> Counter[str]:
    table, codec, first, n_answers = job
    fuzzed = Fuzzed(table, codec)
    for start in range(first, first + n_answers, BATCH):
        fuzzed.run(range(start, min(start + BATCH, first + n_answers)))
    return fuzzed.counts


def line(table: str, codec: str, counts: Counter[str]) -> dict[str, object]:
    names = ("answers", "rows_decoded", "rows_accepted", "exceptions", "invalid_rows_accepted")
    rejects = {name: counts[name] for name in sorted(counts) if name.startswith("rejected: ")}
    spent = round(counts["nanoseconds"] / 1000 / max(1, counts["rows_decoded"]), 1)
    return {"table": table, "codec": codec, **{name: counts[name] for name in names}, "microseconds": spent, **rejects}


def main(n_answers: int, tables: list[str], out: Path) -> int:
    pairs = [(table, codec) for table in tables for codec in CODECS]
    each, n_parts = -(-n_answers // len(pairs)), multiprocessing.cpu_count()
    part = -(-each // n_parts)
    jobs = [(*pair, i * part, min(part, each - i * part)) for pair in pairs for i in range(n_parts)]
    with multiprocessing.Pool(n_parts) as pool:
        found = pool.map(fuzz, jobs, chunksize=1)
    sums = {pair: Counter[str]() for pair in pairs}
    for (table, codec, _, _), counts in zip(jobs, found, strict=True):
        sums[table, codec].update(counts)
    lines = [line(*pair, counts) for pair, counts in sums.items()]
    lines.append(line("all", "all", sum(sums.values(), Counter())))
    out.parent.mkdir(parents=True, exist_ok=True)
    pd.DataFrame(lines).fillna(0).astype({name: int for name in lines[-1] if name.startswith("rej")}).to_csv(
        out, index=False
    )
    print(pd.DataFrame(lines).iloc[:, :8].to_string(index=False))
    return 1 if lines[-1]["exceptions"] or lines[-1]["invalid_rows_accepted"] else 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--answers", type=int, default=1_000_000)
    parser.add_argument("--tables", nargs="+", default=TABLES, choices=TABLES)
    parser.add_argument("--out", type=Path, default=RESULTS)
    given = parser.parse_args()
    raise SystemExit(main(given.answers, given.tables, given.out))
