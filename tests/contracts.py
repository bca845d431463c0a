"""What every codec promises; subclasses name theirs."""

from __future__ import annotations

from typing import ClassVar

import pandas as pd
import pytest
from gbnf import Grammar
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tables import fits, rows, schemas, strict_filter

from tagal_dspy.codecs import RowCodec, make_codec
from tagal_dspy.schema import CategoricalColumn, TableSchema
from tagal_dspy.settings import CodecName, ColumnOrder
from tagal_dspy.task import TableTask

ORDERS: tuple[ColumnOrder, ...] = ("original", "categorical-first", "numerical-first", "target-first")
orders = st.sampled_from(ORDERS)
inherited = settings(suppress_health_check=[HealthCheck.differing_executors])


class RowCodecContract:
    name: ClassVar[CodecName]

    def codec(self, schema: TableSchema, order: ColumnOrder = "original") -> RowCodec:
        return make_codec(self.name, schema, order)

    @inherited
    @given(st.data())
    def test_encoded_rows_decode_to_themselves(self, data: st.DataObject) -> None:
        schema = data.draw(schemas())
        codec = self.codec(schema, data.draw(orders))
        canonical = data.draw(rows(schema))
        assert codec.decode(codec.encode(canonical)) == (tuple(canonical), ())

    @inherited
    @given(st.data())
    def test_every_text_of_the_grammar_decodes_into_that_many_fitting_rows(self, data: st.DataObject) -> None:
        schema = data.draw(schemas())
        codec = self.codec(schema, data.draw(orders))
        n_rows = data.draw(st.integers(1, 3))
        text = Grammar(codec.grammar(n_rows)).derive(lambda n: data.draw(st.integers(0, n - 1)))
        decoded = codec.decode(text)
        assert decoded.rejects == ()
        fitting, unfit = strict_filter(schema).fitting(decoded.rows)
        assert unfit == []
        assert len(fitting) == n_rows

    @inherited
    @given(st.data())
    def test_grammar_derives_every_encoded_row(self, data: st.DataObject) -> None:
        schema = data.draw(schemas())
        codec = self.codec(schema, data.draw(orders))
        canonical = data.draw(rows(schema, max_size=3))
        text = codec.encode(canonical).removeprefix(codec.encode([]))
        assert Grammar(codec.grammar(len(canonical))).matches(text)

    @inherited
    @given(st.data())
    def test_any_text_decodes_without_an_error_and_what_is_accepted_fits(self, data: st.DataObject) -> None:
        schema = data.draw(schemas())
        codec = self.codec(schema, data.draw(orders))
        honest = codec.encode(data.draw(rows(schema)))
        shreds = [*honest.split(","), *honest.split(" "), *schema.names, "\n", ",", '"', "{", "}", "[", "```", "1e999"]
        shredded = st.lists(st.sampled_from(shreds) | st.text(max_size=5)).map("".join)
        decoded = codec.decode(data.draw(shredded | st.text()))
        assert all(len(row) == len(schema.names) for row in decoded.rows)
        accepted, _ = strict_filter(schema).fitting(decoded.rows)
        assert all(fits(column, cell) for row in accepted for column, cell in zip(schema.modelled, row, strict=True))

    @inherited
    @given(st.data())
    def test_answer_cut_off_anywhere_keeps_the_whole_rows_before(self, data: st.DataObject) -> None:
        schema = data.draw(schemas())
        codec = self.codec(schema)
        canonical = data.draw(rows(schema))
        whole = codec.encode(canonical[:-1])
        rest = codec.encode(canonical).removeprefix(whole)
        cut = rest[: data.draw(st.integers(0, len(rest) - 1))]
        assert codec.decode(whole + cut).rows[: len(canonical) - 1] == tuple(canonical[:-1])

    @pytest.mark.parametrize("order", ORDERS)
    def test_real_rows_of_a_table_survive_the_wire(self, toy_task: TableTask, order: ColumnOrder) -> None:
        codec = self.codec(toy_task.schema, order)
        assert codec.decode(codec.encode(toy_task.train_rows)) == (tuple(toy_task.train_rows), ())

    @pytest.mark.parametrize("fence", ["```", "```csv", "``` json"])
    def test_rows_in_a_code_fence_are_read_and_the_prose_around_it_is_not(
        self, toy_task: TableTask, fence: str
    ) -> None:
        codec = self.codec(toy_task.schema)
        text = f"Sure, here they are:\n\n{fence}\n{codec.encode(toy_task.train_rows)}```\n\nAnything else?"
        assert codec.decode(text) == (tuple(toy_task.train_rows), ())

    def test_windows_line_ends_are_read(self, toy_task: TableTask) -> None:
        codec = self.codec(toy_task.schema)
        text = codec.encode(toy_task.train_rows).replace("\n", "\r\n")
        assert codec.decode(text) == (tuple(toy_task.train_rows), ())

    def test_prose_is_rejected_as_unparsable(self, toy_schema: TableSchema) -> None:
        decoded = self.codec(toy_schema).decode("I cannot { write rows")
        assert [reject.reason for reject in decoded.rejects] == ["unparsable"]
        assert decoded.rows == ()

    def test_nothing_decodes_to_nothing(self, toy_schema: TableSchema) -> None:
        assert self.codec(toy_schema).decode("") == ((), ())

    def test_rejected_text_is_kept_no_longer_than_300_characters(self, toy_schema: TableSchema) -> None:
        decoded = self.codec(toy_schema).decode("{" + "x" * 1000)
        assert [len(reject.text) for reject in decoded.rejects] == [300]

    def test_narrowed_column_holds_its_one_value_in_every_text(self, toy_schema: TableSchema) -> None:
        label = toy_schema["class"]
        assert isinstance(label, CategoricalColumn)
        codec = self.codec(toy_schema)
        text = Grammar(codec.grammar(4, {"class": label.among(("no",))})).derive(lambda n: n - 1)
        assert [row[-1] for row in codec.decode(text).rows] == ["no"] * 4

    def test_category_that_no_row_has_is_never_derived(self) -> None:
        values = pd.Categorical(["low", "high"] * 5, categories=["low", "mid", "high"])
        codec = self.codec(TableSchema.infer(pd.DataFrame({"a": values})))
        assert not Grammar(codec.grammar(1)).matches(codec.encode([("mid",)]).removeprefix(codec.encode([])))

    def test_grammar_stands_between_what_frames_it(self, toy_schema: TableSchema) -> None:
        frame = ('[[ ## "rows" ## ]]\n', "\n[[ ## completed ## ]]\n")
        text = Grammar(self.codec(toy_schema).grammar(2, frame=frame)).derive(lambda n: 0)
        assert text.startswith(frame[0])
        assert text.endswith("\n" + frame[1])

    @pytest.mark.parametrize(
        ("order", "first"),
        [("original", "net income"), ("categorical-first", 'the "real" name'), ("target-first", "class")],
    )
    def test_order_says_which_column_comes_first(self, toy_schema: TableSchema, order: ColumnOrder, first: str) -> None:
        assert self.codec(toy_schema, order).wire_names[0] == first

    def test_column_order_within_a_kind_stays(self, toy_schema: TableSchema) -> None:
        assert self.codec(toy_schema, "numerical-first").wire_names == (
            "net income",
            "capital.gain",
            "größe",
            'the "real" name',
            "city, country",
            "Class",
            "is",
            "class",
        )
