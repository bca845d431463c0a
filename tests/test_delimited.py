"""CSV and TSV files come out as they went in."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from cases import CASES, case
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from tagal_dspy.datasets import Dataset, load_dataset, write_table
from tagal_dspy.errors import DataError
from tagal_dspy.findings import read_findings
from tagal_dspy.schema import NumericalColumn, SchemaOverrides, TableSchema
from tagal_dspy.task import TableTask


def read(folder: Path, content: str | bytes, ending: str = ".csv", **known: object) -> Dataset:
    path = folder / f"table{ending}"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return load_dataset(str(path), SchemaOverrides.model_validate(known))


def schema_of(dataset: Dataset) -> TableSchema:
    return TableSchema.infer(dataset.frame, overrides=dataset.overrides.model_copy(update={"target": None}))


def written(dataset: Dataset, folder: Path) -> str:
    """The file that the table makes after it has been rows."""
    schema = schema_of(dataset)
    rows = schema.to_rows(dataset.frame)
    for row in rows:
        assert [column.canonical(text) for column, text in zip(schema.modelled, row, strict=True)] == list(row)
    restored = schema.to_frame(rows)
    for column in schema.columns:
        if column.kind == "id":
            restored[column.name] = dataset.frame[column.name]
    write_table(restored, folder / "out.csv", schema, dataset.overrides.separator)
    return (folder / "out.csv").read_text(encoding="utf-8")


def kinds(dataset: Dataset) -> list[str]:
    return [column.kind for column in schema_of(dataset).columns]


COLUMNS = {
    "whole numbers": ["12", "-3", "0", "7"],
    "whole numbers of 64 bits": ["9223372036854775807", "-9223372036854775808", "5"],
    "whole numbers without a sign": ["18446744073709551615", "0", "3"],
    "longer than 64 bits": ["123456789012345678901234567890", "5", "6"],
    "gaps": ["12", "", "7", "9"],
    "as Python writes them": ["0.1", "12.0", "1e-07", "-3.25"],
    "two decimals": ["0.10", "12.00", "3.25"],
    "up to two decimals": ["0.1", "12", "3.25"],
    "no zero before the point": [".5", "-.25", "1.75"],
    "decimal comma": ["0,10", "12,00", "3,25"],
    "thousands": ["1,234", "12", "1,234,567"],
    "money": ["$1,021.49", "-$0.50", "$12.00"],
    "euros behind": ["1.021,49 €", "0,50 €", "12,00 €"],
    "percent": ["12.5%", "0.1%", "99.9%"],
    "brackets": ["(833)", "12", "(5)"],
    "kilograms": ["12 kg", "3.5 kg", "7 kg"],
    "blanks before": [" 12", " 7", " 9"],
    "few markers": ["12", "?", "7", "9", "15"],
    "a few NA": ["1.5", "NA", "7.25", "9.0", "NA", "8.5"],
    "zip codes": ["05206", "00137", "99999"],
    "versions": ["1.1", "1.10", "2.0"],
    "codes with an exponent": ["1E5", "2E3", "7E2"],
    "diagnoses": ["008.45", "250.00", "401.90"],
    "phones": ["+32 475 12 34 56", "+32 475 99 88 77", "+32 2 123 45 67"],
    "phones in groups": ["475 123 456", "475 222 333", "475 999 111"],
    "truth": ["True", "False", "True"],
    "truth with gaps": ["True", "", "False"],
    "truth in small letters": ["true", "false", "true"],
    "words that stand for nothing": ["None", "NA", "null", "?", "-", "None"],
    "dates": ["2024-02-29", "1999-12-31", "2000-01-01"],
    "unpadded dates": ["6/2/2023", "11/28/2023", "1/13/2023"],
    "dates with names": ["05-Mar-23", "17-Dec-99", "01-Jan-70"],
    "compact dates": ["20240229", "19991231", "20000101"],
    "months": ["2023-03", "2024-12", "1999-01"],
    "offset": ["2023-12-08T05:00:00+02:00", "2023-11-18T10:00:00+02:00", "2023-01-16T01:00:00+02:00"],
    "milliseconds": ["2023-04-18T00:00:00.490Z", "2023-09-13T06:00:00.666Z", "2023-04-14T00:00:00.209Z"],
    "times of the clock": ["9:05 PM", "12:00 AM", "11:59 AM"],
    "unpadded times": ["9:05", "23:59", "0:00"],
    "texts": ["a, b", 'say "so"', "x\ny"],
}


@pytest.mark.parametrize("name", COLUMNS)
def test_column_comes_out_as_it_went_in(name: str, tmp_path: Path) -> None:
    frame = pd.DataFrame({"x": COLUMNS[name] * 12, "n": np.arange(12 * len(COLUMNS[name])) % 7})
    path = tmp_path / "table.csv"
    frame.to_csv(path, index=False)
    assert written(load_dataset(str(path)), tmp_path) == path.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("two decimals", "numerical"),
        ("up to two decimals", "numerical"),
        ("decimal comma", "numerical"),
        ("thousands", "numerical"),
        ("money", "numerical"),
        ("percent", "numerical"),
        ("brackets", "numerical"),
        ("kilograms", "numerical"),
        ("few markers", "numerical"),
        ("a few NA", "numerical"),
        ("zip codes", "categorical"),
        ("versions", "categorical"),
        ("codes with an exponent", "categorical"),
        ("diagnoses", "categorical"),
        ("phones", "categorical"),
        ("phones in groups", "categorical"),
        ("words that stand for nothing", "categorical"),
        ("unpadded dates", "datetime"),
        ("dates with names", "datetime"),
        ("compact dates", "datetime"),
        ("months", "datetime"),
        ("offset", "datetime"),
        ("milliseconds", "datetime"),
        ("times of the clock", "datetime"),
        ("unpadded times", "datetime"),
    ],
)
def test_written_form_tells_the_kind(name: str, kind: str, tmp_path: Path) -> None:
    frame = pd.DataFrame({"x": COLUMNS[name] * 12})
    frame.to_csv(tmp_path / "table.csv", index=False)
    assert kinds(load_dataset(str(tmp_path / "table.csv"))) == [kind]


NUMBERS = st.one_of(
    st.integers(-(2**63), 2**64 - 1).map(str),
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
    st.decimals(-(10**9), 10**9, places=2).map(lambda number: f"{number:f}"),
    st.decimals(-(10**9), 10**9, places=3).map(lambda number: f"{number:,f}"),
    st.integers(0, 99999).map(lambda number: f"{number:05d}"),
)
CELLS = st.one_of(
    NUMBERS, st.sampled_from(["", "NA", "?", "-", "None", "true", "1.10"]), st.text("ab,;\"' 1.-", max_size=6)
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200, deadline=None)
@given(data=st.data())
def test_any_table_comes_out_as_it_went_in_or_in_numbers_that_are_cut(data: st.DataObject, tmp_path: Path) -> None:
    n_rows = data.draw(st.integers(2, 8))
    columns = {
        name: data.draw(st.lists(data.draw(st.sampled_from([NUMBERS, CELLS])), min_size=n_rows, max_size=n_rows))
        for name in data.draw(st.lists(st.sampled_from(["a", "b", "c d", "e"]), min_size=1, max_size=3, unique=True))
    }
    frame = pd.DataFrame({"key": [f"k{place % 2}" for place in range(n_rows)], **columns})
    path = tmp_path / "table.csv"
    frame.to_csv(path, index=False)
    try:
        dataset = load_dataset(str(path))
        schema = schema_of(dataset)
    except DataError:  # of a column of nothing but blanks
        assume(all(any(cell.strip() for cell in cells) for cells in columns.values()))
        raise
    assert written(dataset, tmp_path)  # every cell passes its own column
    cut = [each.name for each in schema.columns if isinstance(each, NumericalColumn) and each.digits]
    texts = [each.name for each in schema.columns if each.kind == "text"]
    changed = [name for note in dataset.notes for name in columns if repr(name) in note]
    out = pd.read_csv(tmp_path / "out.csv", dtype=str, keep_default_na=False)
    for name in set(columns) - {*cut, *texts, *changed}:
        assert out[name].tolist() == columns[name]


@pytest.mark.parametrize("separator", [";", "\t", "|", ","])
def test_separator_is_found_and_written_again(separator: str, tmp_path: Path) -> None:
    lines = ["weight;size;y", *[f"{40 + i},7;1,{50 + i};{'yes' if i % 3 else 'no'}" for i in range(30)]]
    content = "\n".join(lines).replace(",", "." if separator == "," else ",").replace(";", separator) + "\n"
    dataset = read(tmp_path, content)
    assert kinds(dataset) == ["numerical", "numerical", "categorical"]
    assert written(dataset, tmp_path) == content


def test_one_column_with_decimal_commas_tells_that_another_has_no_thousands(tmp_path: Path) -> None:
    content = "a;b\n" + "".join(f"{i},125;{i},5\n" for i in range(1, 30))
    column = schema_of(read(tmp_path, content))["a"]
    assert isinstance(column, NumericalColumn)
    assert (column.minimum, column.decimals) == (1.125, 3)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "latin-1", "cp1252"])
def test_encoding_is_found(encoding: str, tmp_path: Path) -> None:
    dataset = read(tmp_path, "région,y\nLiège,yes\nNamur,no\n".encode(encoding))
    assert list(dataset.frame.columns) == ["région", "y"]
    assert dataset.frame["région"].tolist() == ["Liège", "Namur"]


def test_separator_and_encoding_can_be_given(tmp_path: Path) -> None:
    dataset = read(
        tmp_path, "a;b,c;d\n".encode("utf-16") + "1;2,3;4\n".encode("utf-16-le"), separator=",", encoding="utf-16"
    )
    assert list(dataset.frame.columns) == ["a;b", "c;d"]


@pytest.mark.parametrize(
    ("content", "known", "message"),
    [
        ("a,b\n1,2\n1,2,3\n", {}, "line 3 has 3 cells, and the header has 2"),
        ('a,b\n"x\ny",2\n1\n', {}, "line 4 has 1 cells, and the header has 2"),
        ("", {}, "it is empty"),
        ("a,b\n1,\0\n", {}, "it has bytes of zero"),
        ("a,b\n1,2\n", {"encoding": "klingon"}, "the encoding 'klingon' is unknown"),
        ("é,b\n1,2\n", {"encoding": "ascii"}, "it is not encoded as ascii"),
        ("a,b\n1,2\n", {"separator": "::"}, "the separator '::' is not one character"),
    ],
)
def test_file_that_cannot_be_read_is_refused_with_why(
    content: str, known: dict[str, str], message: str, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match=message):
        read(tmp_path, content, **known)


def test_separator_at_the_end_of_every_line_is_left_out_and_said(tmp_path: Path) -> None:
    dataset = read(tmp_path, "a,b,\n1,x,\n2,y,\n")
    assert list(dataset.frame.columns) == ["a", "b"]
    assert dataset.notes == ("the separator at the end of every line is left out",)


@pytest.mark.parametrize(
    ("content", "note"),
    [
        (",y\n1,a\n2,b\n", "the column without a name is called 'column 1'"),
        ("x,y\n" + "".join(f"{i}.50,a\n-0.00,b\n" for i in range(9)), "'x': zeros with a minus are written without"),
        (
            "x,y\n" + "".join(f"{i}.5,a\n{i},b\n{i}e3,b\n" for i in range(9, 30)),
            "'x': numbers in several forms are written in one, as Python writes them",
        ),
    ],
)
def test_what_comes_out_otherwise_is_said(content: str, note: str, tmp_path: Path) -> None:
    assert read(tmp_path, content).notes == (note,)


@pytest.mark.parametrize(
    ("values", "finding"),
    [
        ([0.1 + 0.2, 0.5, 0.75] * 10, "'x': rounded to 2 decimals"),
        ([1 / 3, 1 / 7, 1 / 11] * 10, "'x': cut to 4 significant digits"),
        (
            [f" {'word ' * 4}{i}" for i in range(30)],
            "'x': 30 texts lose blanks around them, control characters or their end",
        ),
    ],
)
def test_value_that_does_not_come_back_as_it_is_is_found(values: list[object], finding: str) -> None:
    frame = pd.DataFrame({"x": values, "y": ["a", "b"] * 15})
    assert finding in read_findings(frame, TableTask(frame, "y"))


def test_word_that_makes_categories_of_numbers_is_said_and_can_stand_for_missing_ones(tmp_path: Path) -> None:
    content = "x,y\n" + "".join(f"{i},{i % 2}\n" for i in range(40)) + "unknown,1\n"
    frame = read(tmp_path, content).frame
    [*_, said] = read_findings(frame, TableTask(frame, "y"))
    assert said.startswith("'x': categories, which are numbers but for 'unknown'")
    dataset = read(tmp_path, content, missing=["unknown"])
    assert kinds(dataset) == ["numerical", "categorical"]
    assert written(dataset, tmp_path) == content


def test_header_of_any_length_is_read(tmp_path: Path) -> None:
    names = [f"measurement number {place}" for place in range(6000)]
    dataset = read(tmp_path, ",".join(names) + "\n" + ",".join("1" * 6000) + "\n")
    assert list(dataset.frame.columns) == names


def test_missing_values_of_categories_are_categories_unless_the_schema_says_so(tmp_path: Path) -> None:
    content = "x,y\n" + "NA,1\nred,2\nblue,3\n" * 5
    (column, _) = schema_of(read(tmp_path, content)).modelled
    assert column.offered == ("NA", "blue", "red")
    dataset = read(tmp_path, content, missing=["NA"])
    (column, _) = schema_of(dataset).modelled
    assert (column.offered, round(column.missing_share, 2)) == (("blue", "red"), 0.33)
    assert written(dataset, tmp_path) == content


@pytest.mark.parametrize(("name", "target"), CASES)
def test_case_comes_out_as_it_went_in(name: str, target: str, tmp_path: Path) -> None:
    dataset = load_dataset(str(case(name)))
    assert written(dataset, tmp_path)
    sign = dataset.overrides.separator or ","
    again = pd.read_csv(tmp_path / "out.csv", sep=sign, dtype=str, keep_default_na=False)
    encoding = "latin-1" if "latin1" in name else "utf-8"
    before = pd.read_csv(case(name), sep=sign, dtype=str, keep_default_na=False, encoding=encoding, index_col=False)
    pd.testing.assert_frame_equal(again, before[list(again.columns)])
