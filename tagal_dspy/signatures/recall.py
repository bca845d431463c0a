"""What a contamination test asks: does the model know this table by heart?"""

from __future__ import annotations

import dspy

from tagal_dspy.signatures.types import Table


class RecallRows(dspy.Signature):  # type: ignore[misc]
    """Continue a published table from memory.

    The rows stand one after the other in its file. Write those that come next there, exactly as they are in the file.
    Where you do not remember them, write what you think most likely.
    """

    shown: Table = dspy.InputField(desc="the header, and consecutive rows of the file")
    n_rows: int = dspy.InputField(desc="how many rows to write")
    rows: Table = dspy.OutputField(desc="the next n_rows rows of the file, without a header")


class RecallValue(dspy.Signature):  # type: ignore[misc]
    """Complete a row of a published table from memory.

    Write the value that this row has in the named column, exactly as it is in the file. Where you do not remember it,
    write what you think most likely.
    """

    column: str = dspy.InputField(desc="the column that is asked for")
    row: Table = dspy.InputField(desc="the header without that column, and the row without its value")
    value: str = dspy.OutputField(desc="the value alone")
