"""The table of examples: its columns, the ids of its rows, their texts, tables put together.

polars is imported where a table is touched, not before: names and ids cost nothing.
"""

from curate.examples.columns import FRAMEWORK, HIDDEN, framework_schema, kind_of
from curate.examples.ids import RowIds, canonical, child_id, cleaned, row_id
from curate.examples.tables import combine, parents_of, stack
from curate.examples.texts import texts_of, unread_turns

__all__ = [
    "FRAMEWORK",
    "HIDDEN",
    "RowIds",
    "canonical",
    "child_id",
    "cleaned",
    "combine",
    "framework_schema",
    "kind_of",
    "parents_of",
    "row_id",
    "stack",
    "texts_of",
    "unread_turns",
]
