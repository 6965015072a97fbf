"""The text that the model reads: an example's text as it is, or in Alpaca's prompt."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import polars as pl

_ALPACA = (
    "Below is an instruction that describes a task. "
    "Write a response that appropriately completes the request.\n\n"
    "### Instruction:\n{instruction}\n\n### Response:\n{response}"
)


def columns_of(template: str, text: str) -> tuple[str, ...]:
    """The columns that a template reads."""
    if template == "plain":
        return (f"@{text}",)
    return ("@instruction", "@response") if text == "both" else ("@instruction",)


def fill(template: str, text: str, rows: pl.DataFrame) -> list[str]:
    """The texts of some rows.

    Args:
        template: `plain` or `alpaca`.
        text: `instruction`, `response` (plain only) or `both`.
        rows: The columns of `columns_of`.
    """
    columns = [rows[name].to_list() for name in columns_of(template, text)]
    if template == "plain":
        return columns[0]
    responses = columns[1] if text == "both" else [""] * len(rows)
    pairs = zip(columns[0], responses, strict=True)
    return [_ALPACA.format(instruction=left, response=right) for left, right in pairs]
