"""`ColumnKindContract`: what every column kind promises, as tests to inherit."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from typing import Any

import pandas as pd

from tagal_dspy.codecs import CsvCodec, JsonCodec, SentenceCodec
from tagal_dspy.schema import CellColumn, CellError, TableSchema

AWKWARD = ("", " ", "0", "-1", "1e400", "nan", "2024-02-30", "None", "a, b", '"', "\n", "\x00", "東", "🙂" * 200)


class ColumnKindContract:
    """Tests of a column kind; inherit them, and say in `examples` which real columns to hold them to.

    >>> class TestNumbers(ColumnKindContract):
    ...     def examples(self):
    ...         return [pd.Series([1.5, 2.25, 1000.0], name="price")]
    >>> TestNumbers().test_values_and_dtype_come_back()
    """

    def examples(self) -> Iterable[pd.Series[Any]]:
        """Real columns, each with a name, at least two different values, and none that is cut in a prompt."""
        raise NotImplementedError

    def test_every_real_value_is_taken_as_it_is_written(self) -> None:
        """`canonical(render(value))` is the text of `render`."""
        for values, column in self._columns():
            for text in column.render(values):
                assert column.canonical(text) == text, f"{column.name}: {text!r} becomes {column.canonical(text)!r}"

    def test_texts_are_equal_exactly_when_values_are(self) -> None:
        """Different values have different texts, equal ones the same; only what is missing has none."""
        for values, column in self._columns():
            texts, present = column.render(values), column.present(values)
            assert len(set(texts) - {None}) == present.nunique(), f"{column.name}: {sorted(set(map(str, texts)))}"
            assert [text is None for text in texts] == present.isna().tolist()

    def test_values_and_dtype_come_back(self) -> None:
        """`restore(render(values))` gives the values of the original dtype."""
        for values, column in self._columns():
            pd.testing.assert_series_equal(column.restore(column.render(values)), values, check_names=False)

    def test_any_text_is_taken_or_refused_with_a_reason(self) -> None:
        """`canonical` raises nothing but `CellError`, and what it takes is its own canonical text."""
        for values, column in self._columns():
            for text in (*AWKWARD, *map(str, values)):
                with contextlib.suppress(CellError):
                    taken = column.canonical(text)
                    assert column.canonical(taken) == taken

    def test_number_of_a_text_is_that_of_its_value(self) -> None:
        """`number` of a text is what `numbers` gives for the value, and `shown` gives the text back."""
        for values, column in self._columns():
            for text, number in zip(column.render(values), column.numbers(values), strict=True):
                if text is not None:
                    assert column.number(text) == number
                    is_exact = not column.is_free and abs(number) < 2**53
                    assert column.shown(number) == text or not is_exact

    def test_every_wire_format_carries_it(self) -> None:
        """Rows are read back from each codec as they were, and each has a grammar."""
        for values, column in self._columns():
            schema = TableSchema(n_rows=len(values), columns=(column,))  # type: ignore[arg-type]
            rows = schema.to_rows(values.to_frame())
            for codec in (CsvCodec(schema), JsonCodec(schema), SentenceCodec(schema)):
                assert list(codec.decode(codec.encode(rows)).rows) == rows
                assert column.rule(codec)

    def test_it_survives_json_and_is_described_on_one_line(self) -> None:
        """A saved column is the same column, and its card has one line."""
        for _, column in self._columns():
            assert type(column).model_validate_json(column.model_dump_json()) == column
            assert column.described()
            assert "\n" not in column.described()
            assert column.sdtype()["sdtype"]

    def _columns(self) -> Iterable[tuple[pd.Series[Any], CellColumn]]:
        for values in self.examples():
            [column] = TableSchema.infer(values.to_frame()).modelled
            yield values.reset_index(drop=True), column
