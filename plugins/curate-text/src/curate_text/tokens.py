"""`text.tokens`: how many tokens a model's tokenizer makes of an example."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field

from curate.api import Context, Depends, ModelFiles, ModelName, Output, Params, ScoreStage, counted

if TYPE_CHECKING:
    import polars as pl

OVER = "over"
"""Whether an example has more tokens than `max_length`."""

_COUNTS = ("prompt", "response", "total")


class TokensParams(Params):
    """Parameters of `text.tokens`."""

    tokenizer: Annotated[
        str,
        ModelName(tokenizer=True),
        Field(
            description="An alias, a folder, or owner/name[@revision]; its weights are not needed."
        ),
    ]
    template: Annotated[
        Literal["plain", "chat"],
        Field(
            description="plain: the text alone; chat: in the chat template of the tokenizer, as "
            "trainers do."
        ),
    ] = "plain"
    max_length: Annotated[
        int | None,
        Field(ge=1, description="Tokens after which a trainer would cut: says which rows it cuts."),
    ] = None


class Tokens(ScoreStage):
    """Tokens of the prompt, the response and the whole, under a tokenizer and its chat template.

    With `template: plain`, `prompt` and `response` are the tokens of the instruction and of the
    response, and `total` those of both, joined by a newline, with the special tokens that the
    tokenizer adds. With `template: chat`, `total` are the tokens of the conversation up to the last
    turn of the assistant, `prompt` those of the turns before it with the template's beginning of an
    answer as far as the whole has it, and `response` what remains. Without a turn of the assistant
    `response` is 0.

    `plain` counts no token that ends a text unless the tokenizer adds it: trainers such as TRL
    append one to the response.

    With `max_length` there is `over` besides: whether `total` is more than that. Another
    `max_length` makes use of the tokens counted before.
    """

    name = "text.tokens"
    version = 1
    Params: ClassVar[type[Params]] = TokensParams
    params: TokensParams

    def inputs(self) -> tuple[str, ...]:
        """The turns for a chat template; else the texts."""
        if self.params.template == "chat":
            return ("messages",)
        return ("@instruction", "@response", "@both")

    def outputs(self) -> Mapping[str, Output]:
        """Whole numbers; and, where a length is given, whether a row is longer."""
        counts = {name: Output("integer") for name in _COUNTS}
        over = {OVER: Output("boolean", flag=True)}
        return counts | (over if self.params.max_length is not None else {})

    def depends(self, output: str) -> Depends:
        """The counts do not depend on where they are cut; the template is seen in what is read."""
        return Depends() if output == OVER else Depends(params=("tokenizer",))

    def recalls(self, output: str) -> tuple[str, ...]:
        """Which rows are cut can be told from their tokens."""
        return ("total",) if output == OVER else ()

    def notes(self, values: pl.DataFrame) -> tuple[str, ...]:
        """How many tokens there are, how many rows would be cut, and by how much."""
        import numpy as np

        total = values["total"].drop_nulls().to_numpy()
        if not len(total):
            return ()
        words = [f"{counted(int(total.sum()), 'token')}, at most {int(total.max()):,} in a row"]
        length = self.params.max_length
        if length is not None and (total > length).any():
            lost = total[total > length] - length
            words.append(
                f"at {length:,} tokens {counted(len(lost))} would be cut, by "
                f"{int(lost.sum()):,} in all, {int(np.median(lost)):,} at the median and "
                f"{int(lost.max()):,} at most"
            )
        return tuple(words)

    def prepare(self, models: Mapping[str, ModelFiles], service: Callable[[str], Any]) -> None:  # noqa: ARG002 - contract
        """Refuse `template: chat` where the tokenizer has no chat template."""
        if self.params.template == "chat":
            from curate_text.tokenizers import check_template

            check_template(models["tokenizer"].path, self.params.tokenizer)

    def score(self, rows: pl.DataFrame, ctx: Context) -> pl.DataFrame:
        """Count the tokens of every row."""
        import polars as pl

        length = self.params.max_length
        if ctx.wanted == (OVER,) and "total" in rows.columns:
            return rows.select("id", **{OVER: pl.col("total") > length})
        from curate_text.tokenizers import load

        files = ctx.models["tokenizer"]
        tokenizer = load(files.path, files.digest)
        if self.params.template == "chat":
            prompt, total = tokenizer.of_chats(rows["messages"].to_list())
            response = [whole - part for whole, part in zip(total, prompt, strict=True)]
        else:
            prompt = tokenizer.of_texts(rows["@instruction"].to_list(), special=False)
            response = tokenizer.of_texts(rows["@response"].to_list(), special=False)
            total = tokenizer.of_texts(rows["@both"].to_list(), special=True)
        made = pl.DataFrame({"prompt": prompt, "response": response, "total": total})
        if OVER in ctx.wanted:
            made = made.with_columns((pl.col("total") > length).alias(OVER))
        return pl.DataFrame({"id": rows["id"]}).hstack(made.select(ctx.wanted))
