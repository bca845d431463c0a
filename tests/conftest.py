"""What every test starts from: caches and runs of its own, no network, and a small table with awkward column names."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

_CACHE = tempfile.mkdtemp(prefix="tagal-tests-")
os.environ |= {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "DSPY_CACHEDIR": _CACHE}  # read when dspy is imported
os.environ["XDG_DATA_HOME"] = f"{_CACHE}/data"  # the runs of the person who runs the suite are left alone

import pandas as pd  # noqa: E402
import pytest  # noqa: E402
from hypothesis import settings  # noqa: E402

from tagal_dspy.schema import TableSchema  # noqa: E402
from tagal_dspy.task import TableTask  # noqa: E402

settings.register_profile("suite", deadline=None, derandomize=True, max_examples=60, database=None)
settings.load_profile("suite")

REPOSITORY = Path(__file__).resolve().parents[1]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests of one file run in one process, and so do all that decode with the embedded model."""
    for item in items:
        is_embedded = item.path.name in ("test_embedded.py", "test_lark.py", "test_local.py", "test_readme.py")
        item.add_marker(pytest.mark.xdist_group("embedded" if is_embedded else str(item.path)))


def pytest_unconfigure() -> None:
    shutil.rmtree(_CACHE, ignore_errors=True)


@pytest.fixture
def toy_frame() -> pd.DataFrame:
    """Mixed kinds under names with spaces, dots, quotes, commas, unicode, keywords, and differing in case alone."""
    n = 40
    return pd.DataFrame(
        {
            "net income": [round(1000.5 + 37.25 * i, 2) for i in range(n)],
            "capital.gain": [i - 7 for i in range(n)],
            'the "real" name': [("clerk, senior", 'so-called "cook"', "smith")[i % 3] for i in range(n)],
            "größe": pd.Series([None if i % 10 == 0 else 150 + i for i in range(n)], dtype="Int64"),
            "city, country": [(None, "Liège, BE", "München", "東京")[i % 4] for i in range(n)],
            "Class": pd.Categorical([("low", "high")[i % 2] for i in range(n)], categories=["low", "high"]),
            "is": [i % 3 == 0 for i in range(n)],
            "class": [("yes", "no")[i % 4 == 0] for i in range(n)],
        }
    )


@pytest.fixture
def toy_task(toy_frame: pd.DataFrame) -> TableTask:
    return TableTask(toy_frame, target="class")


@pytest.fixture
def toy_schema(toy_task: TableTask) -> TableSchema:
    return toy_task.schema


@pytest.fixture
def shared_data() -> Path:
    """Where the paper's tables are."""
    folder = Path(os.environ.get("TAGAL_DATA_DIR") or REPOSITORY.parent / "shared" / "data")
    if not folder.is_dir():
        pytest.skip(f"the paper's tables are not at {folder}; set TAGAL_DATA_DIR")
    return folder
