"""What `optuna-dashboard` shows of a study of ours, over HTTP."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from typing import Any

import pandas as pd
import pytest
from optuna.artifacts import FileSystemArtifactStore
from studies import simulated

from tagal_dspy.settings import Budget
from tagal_dspy.study import Candidate, Objective, Outcome, SimulatedRuns, run_study

pytest.importorskip("optuna_dashboard", reason="the extra `dashboard` is not installed")

SECONDS_TO_START = 60


class WithRows(SimulatedRuns):
    """Its runs bring a table."""

    def __call__(self, candidate: Candidate, task: Any, seed: int, budget: Budget) -> Outcome:
        outcome = super().__call__(candidate, task, seed, budget)
        return Outcome(outcome.score, outcome.objectives, outcome.calls, table=pd.DataFrame({"a": [1, 2]}))


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("dashboard")
    journal, artifacts = folder / "study.journal", folder / "artifacts"
    artifacts.mkdir()
    objective: Objective = simulated(evaluate=WithRows(20), artifacts=FileSystemArtifactStore(str(artifacts)))
    run_study("shown", objective, str(journal), 2)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    code = "import sys; from optuna_dashboard._cli import main; sys.exit(main())"
    options = [journal, "--artifact-dir", artifacts, "--port", port, "--server", "wsgiref", "--quiet"]
    command = [sys.executable, "-W", "ignore", "-c", code, *map(str, options)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        try:
            yield started(f"http://127.0.0.1:{port}", server)
        finally:
            server.kill()


def started(address: str, server: subprocess.Popen[bytes]) -> str:
    until = time.monotonic() + SECONDS_TO_START
    while time.monotonic() < until and server.poll() is None:
        try:
            fetched(f"{address}/api/studies")
        except OSError:
            time.sleep(0.1)
        else:
            return address
    raise TimeoutError("the dashboard did not start")


def fetched(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=10) as reply:
        return bytes(reply.read())


def test_dashboard_shows_trials_and_what_they_made(address: str) -> None:
    [study] = json.loads(fetched(f"{address}/api/studies"))["study_summaries"]
    assert study["study_name"] == "shown"
    shown = json.loads(fetched(f"{address}/api/studies/{study['study_id']}"))
    trial = shown["trials"][0]
    assert trial["state"] == "Complete"
    assert {each["key"] for each in trial["user_attrs"]} >= {"settings", "calls", "mean privacy"}
    files = {each["filename"]: each["artifact_id"] for each in trial["artifacts"]}
    assert {"settings.toml", "scores.json", "rows-seed-0.csv"} <= set(files)
    rows = fetched(f"{address}/artifacts/{study['study_id']}/{trial['trial_id']}/{files['rows-seed-0.csv']}")
    assert rows == b"a\n1\n2\n"
