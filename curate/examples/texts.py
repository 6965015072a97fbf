"""The texts that stages read, derived from conversations."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import polars as pl


def texts_of(messages: pl.Series) -> list[pl.Series]:
    """The texts that stages read, derived from conversations.

    Args:
        messages: list[struct{role, content}]; null where an example could not be made.

    Returns:
        `@instruction`: contents of the turns before the last assistant turn, joined by newlines;
        of all turns where no assistant speaks. `@response`: content of that turn, "" without one.
        `@both`: instruction, newline, response; the instruction alone where the response is "",
        the response alone where no turn stands before it.
        Strings as long as `messages`, null where it is null.
    """
    import polars as pl

    contents = pl.col("contents")
    frame = (
        _turns(messages)
        .with_columns(
            contents.list.head(pl.col("before")).list.join("\n").alias("@instruction"),
            pl.when(pl.col("answered"))
            .then(contents.list.get(pl.col("before"), null_on_oob=True))
            .otherwise(pl.when(contents.is_not_null()).then(pl.lit("")))
            .alias("@response"),
        )
        .with_columns(
            pl.when(pl.col("@response") == "")
            .then(pl.col("@instruction"))
            .when(pl.col("before") == 0)
            .then(pl.col("@response"))
            .otherwise(pl.concat_str("@instruction", "@response", separator="\n"))
            .alias("@both")
        )
    )
    return [frame[name] for name in ("@instruction", "@response", "@both")]


def unread_turns(messages: pl.Series) -> int:
    """How many turns stand after the last assistant turn of their conversation, and are unread."""
    import polars as pl

    after = pl.col("contents").list.len().cast(pl.Int64) - pl.col("before") - 1
    total = _turns(messages).filter("answered").select(after.sum()).item()
    return int(total)


def _turns(messages: pl.Series) -> pl.DataFrame:
    """`contents` (list of strings), `answered` and how many turns stand `before` the answer."""
    import polars as pl

    turns = pl.col("messages").list
    speaks = turns.eval((pl.element().struct.field("role") == "assistant").cast(pl.UInt8))
    last = speaks.list.reverse().list.arg_max().cast(pl.Int64)
    answered = speaks.list.max().fill_null(0) == 1
    length = turns.len().cast(pl.Int64)
    return (
        messages.alias("messages")
        .to_frame()
        .select(
            turns.eval(pl.element().struct.field("content")).alias("contents"),
            answered.alias("answered"),
            pl.when(answered).then(length - 1 - last).otherwise(length).alias("before"),
        )
    )
