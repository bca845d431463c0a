from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from tagal_dspy.datasets import BUILT_IN, load_dataset, read_table, write_table
from tagal_dspy.errors import DataError

SUFFIXES = [".csv", ".tsv", ".parquet", ".jsonl"]
every_suffix = pytest.mark.parametrize("suffix", SUFFIXES)


@pytest.fixture
def frame() -> pd.DataFrame:
    return pd.DataFrame(
        {"net income": [1.5, None, -3.0], "größe, cm": [150, 160, 170], 'a "b"\tc': ["x, y", 'say "hi"', "東京"]}
    )


@every_suffix
def test_written_table_is_read_back(frame: pd.DataFrame, tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"table{suffix}"
    write_table(frame, path)
    pd.testing.assert_frame_equal(read_table(path), frame)


@every_suffix
def test_dataset_of_a_file_is_called_after_its_stem(frame: pd.DataFrame, tmp_path: Path, suffix: str) -> None:
    write_table(frame, tmp_path / f"my table{suffix}")
    dataset = load_dataset(str(tmp_path / f"my table{suffix}"))
    assert (dataset.name, dataset.target) == ("my table", None)


def test_suffix_is_read_in_any_case(frame: pd.DataFrame, tmp_path: Path) -> None:
    write_table(frame, tmp_path / "table.CSV")
    assert load_dataset(str(tmp_path / "table.CSV")).frame.shape == (3, 3)


@every_suffix
@pytest.mark.parametrize("name", ["shop", "shop.v2"])
def test_stem_is_found_in_the_data_folder(
    frame: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str, name: str
) -> None:
    write_table(frame, tmp_path / f"{name}{suffix}")
    monkeypatch.setenv("TAGAL_DATA_DIR", str(tmp_path))
    assert load_dataset(name).name == name


@pytest.mark.parametrize(
    ("name", "shape", "target"),
    [
        ("penguins", (344, 8), "species"),
        ("iris", (150, 5), "target"),
        ("wine", (178, 14), "target"),
        ("breast_cancer", (569, 31), "target"),
    ],
)
def test_built_in_table_has_its_rows_and_target(name: str, shape: tuple[int, int], target: str) -> None:
    dataset = load_dataset(name)
    assert (dataset.frame.shape, dataset.target) == (shape, target)
    assert target in dataset.frame.columns


def test_labels_of_a_built_in_table_are_words() -> None:
    assert set(load_dataset("iris").frame["target"]) == {"setosa", "versicolor", "virginica"}


@pytest.mark.parametrize("name", ["penguin", "table.xlsx", "folder/"])
def test_unknown_name_is_refused_with_what_there_is(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TAGAL_DATA_DIR", raising=False)
    with pytest.raises(DataError, match=r"cannot read .*: expected a file ending in ") as caught:
        load_dataset(name)
    assert all(each in str(caught.value) for each in BUILT_IN)


@pytest.mark.parametrize("read", [read_table, lambda path: load_dataset(str(path))])
def test_missing_file_is_refused(tmp_path: Path, read: object) -> None:
    assert callable(read)
    with pytest.raises(DataError, match="does not exist"):
        read(tmp_path / "none.csv")


def test_file_of_an_unknown_kind_is_refused(tmp_path: Path) -> None:
    (tmp_path / "table.xlsx").write_bytes(b"")
    with pytest.raises(DataError, match=r"cannot read .*: expected a file ending in"):
        read_table(tmp_path / "table.xlsx")


@pytest.mark.parametrize(
    ("suffix", "content"),
    [
        (".csv", b""),
        (".csv", b"a,b\n1,2\n1,2,3,4\n"),
        (".tsv", b""),
        (".parquet", b"not parquet"),
        (".jsonl", b'{"a": 1'),
    ],
)
def test_file_that_is_not_what_its_ending_says_is_refused(tmp_path: Path, suffix: str, content: bytes) -> None:
    path = tmp_path / f"table{suffix}"
    path.write_bytes(content)
    with pytest.raises(DataError, match="cannot read"):
        read_table(path)


@pytest.mark.parametrize(("suffix", "separator"), [(".csv", ","), (".tsv", "\t")])
def test_repeated_column_name_in_a_header_is_refused(tmp_path: Path, suffix: str, separator: str) -> None:
    path = tmp_path / f"table{suffix}"
    path.write_text(f"a{separator}b{separator}a\n1{separator}2{separator}3\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"has the column names \['a'\] more than once"):
        read_table(path)


def test_name_that_looks_like_a_renamed_repetition_is_accepted(tmp_path: Path) -> None:
    (tmp_path / "table.csv").write_text("a,a.1\n1,2\n", encoding="utf-8")
    assert list(read_table(tmp_path / "table.csv").columns) == ["a", "a.1"]


def test_text_in_json_lines_stays_text(tmp_path: Path) -> None:
    (tmp_path / "table.jsonl").write_text('{"zip": "00501", "updated_at": 5}\n', encoding="utf-8")
    assert read_table(tmp_path / "table.jsonl").iloc[0].tolist() == ["00501", 5]


class Unwritable:
    def __str__(self) -> str:
        raise RuntimeError("cell without a text")


def test_failed_write_leaves_the_old_table_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_text("old", encoding="utf-8")
    with pytest.raises(RuntimeError, match="cell without a text"):
        write_table(pd.DataFrame({"a": [Unwritable()]}), path)
    assert path.read_text(encoding="utf-8") == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_written_table_replaces_the_old_one(frame: pd.DataFrame, tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_text("old", encoding="utf-8")
    write_table(frame, path)
    assert list(tmp_path.iterdir()) == [path]
    assert len(read_table(path)) == 3


def test_folder_that_does_not_exist_is_not_made(frame: pd.DataFrame, tmp_path: Path) -> None:
    with pytest.raises(OSError, match="none"):
        write_table(frame, tmp_path / "none" / "table.csv")
