"""Whether a model with the tokens of one table writes what the whole one writes, and how much sooner.

    python experiments/bench/vocabulary.py [--lm local:file.gguf] [--tables adult thyroid travel penguins dates]

Each prompt is continued by both, alone in one slot: greedily, and with a seed at temperature 1. With a seed the whole
model is confined to the tokens that the other has: llama.cpp draws from all tokens before it looks at the grammar, so
that tokens which no row can have move the draws, though not their distribution. Tables of the paper are looked for in
`$TAGAL_DATA_DIR`.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from tagal_dspy import load_dataset
from tagal_dspy.codecs import CsvCodec
from tagal_dspy.engines import find_weights
from tagal_dspy.engines.lark import as_lark, literals
from tagal_dspy.engines.llama import Model
from tagal_dspy.engines.vocabulary import Vocabulary, small_model
from tagal_dspy.task import TableTask

RESULTS = Path(__file__).parents[1] / "results" / "vocabulary.md"
TARGETS = {"adult": "income", "thyroid": "Recurred", "travel": "ChurnOrNot", "penguins": "species", "dates": "late"}
N_ROWS = 3


def frame_of(name: str) -> pd.DataFrame:
    if name == "penguins":
        return load_dataset(name).frame
    if name != "dates":
        return load_dataset(str(Path(os.environ["TAGAL_DATA_DIR"]) / f"{name}.csv")).frame
    rng = np.random.default_rng(0)
    days = pd.Timestamp("2024-01-01") + pd.to_timedelta(rng.integers(0, 366, 200), unit="D")
    towns = rng.choice(["Liège", "São Paulo", "Zürich", "München"], 200)
    return pd.DataFrame({"day": days, "town": towns, "price": rng.lognormal(3, 1, 200).round(2), "late": days.day > 15})


def compared(weights: Any, whole: Model, name: str) -> str:
    task = TableTask(frame_of(name), TARGETS[name])
    codec = CsvCodec(task.schema)
    prompt, grammar = codec.encode(task.schema.to_rows(task.train)[:N_ROWS]), codec.grammar(N_ROWS)
    vocabulary = Vocabulary(weights.path)
    vocabulary.add([prompt, *literals(grammar)])
    small = Model(weights._replace(path=small_model(weights, vocabulary)), 1, whole.n_context)
    others = [[token, False] for token in range(vocabulary.n_tokens) if token not in vocabulary.needed]
    body = {"prompt": prompt, "grammar": as_lark(grammar), "seed": 7, "cache_prompt": False, "max_tokens": -1}
    body |= {"top_k": 0, "top_p": 1.0, "min_p": 0.0}

    def written(model: Model, **more: Any) -> tuple[str, float]:
        start = time.perf_counter()
        answer = model.complete({**body, **more})
        return answer["choices"][0]["text"], time.perf_counter() - start

    written(small, temperature=0.0), written(whole, temperature=0.0)  # loads both
    (greedy, soon), (other, late) = written(small, temperature=0.0), written(whole, temperature=0.0)
    seeded, confined = written(small, temperature=1.0)[0], written(whole, temperature=1.0, logit_bias=others)[0]
    small.close()
    cells = (name, f"{len(vocabulary.needed):,}", greedy == other, seeded == confined, f"{late / soon:.2f}")
    return f"| {' | '.join(map(str, cells))} |"


def main(spec: str, tables: list[str], out: Path) -> int:
    weights = find_weights(spec)
    whole = Model(weights, 1, 4096)
    lines = [f"# The vocabulary of a table: {weights.path.name}", "", "Printed by `experiments/bench/vocabulary.py`."]
    lines += [f"{os.cpu_count()} cores, load average before: {os.getloadavg()[0]:.1f}.", ""]
    lines += [
        "| table | tokens | same greedily | same with a seed | times as fast, one slot |",
        "|---|---|---|---|---|",
    ]
    rows = [compared(weights, whole, name) for name in tables]
    print("\n".join([*lines, *rows]))
    out.write_text("\n".join([*lines, *rows]) + "\n")
    return 1 if any("False" in row for row in rows) else 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--lm", default="local")
    parser.add_argument("--tables", nargs="+", default=list(TARGETS))
    parser.add_argument("--out", type=Path, default=RESULTS)
    given = parser.parse_args()
    sys.exit(main(given.lm, given.tables, given.out))
