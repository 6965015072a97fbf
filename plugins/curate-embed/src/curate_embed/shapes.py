"""Constant shapes: which texts pass through a model together, and in what form.

The bits of a forward pass depend on the shape of its batch, not on what else is in it. So the
padded length is made a function of the text alone and the number of rows a function of that
length: a text then has the same value in every company.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

MULTIPLE = 8
"""Rows of a batch are a multiple of this, lengths too, up to as many as the model takes."""


def padded(length: int, longest: int) -> int:
    """The padded length of a text: the next step above its own, or the longest.

    A step is an eighth of the largest power of two within the length, at least 8: the padding
    stays small beside the text, and the number of different shapes, each with a last batch that
    has to be filled up, grows with the logarithm of the length only.
    """
    step = max((1 << (length.bit_length() - 1)) // 8, MULTIPLE)
    return min((length // step + 1) * step, longest)


def rows_of(length: int, tokens: int) -> int:
    """Rows of every batch of a padded length, for batches of about so many tokens."""
    return max(MULTIPLE, tokens // length // MULTIPLE * MULTIPLE)


@dataclass(frozen=True)
class Shape:
    """The form of a batch.

    Args:
        length: Padded length in tokens.
        rows: Rows of the batch; where texts are fewer, the last one is repeated.
    """

    length: int
    rows: int


@dataclass
class Buckets:
    """Texts on their way into batches.

    Texts as long as the model takes have batches of their own: a model may take another path
    through attention where nothing is masked, so a batch has padding in every row or in none.

    Args:
        longest: Tokens after which texts were cut.
        tokens: Tokens of one batch, roughly.
    """

    longest: int
    tokens: int
    _waiting: dict[tuple[int, bool], list[int]] = field(default_factory=dict)

    def add(self, position: int, length: int) -> tuple[Shape, list[int]] | None:
        """Take a text of so many tokens; gives the batch that is full with it, if one is."""
        width = padded(length, self.longest)
        waiting = self._waiting.setdefault((width, length == width), [])
        waiting.append(position)
        shape = Shape(width, rows_of(width, self.tokens))
        if len(waiting) < shape.rows:
            return None
        del self._waiting[width, length == width]
        return shape, waiting

    def rest(self) -> Iterator[tuple[Shape, list[int]]]:
        """The batches that were not filled, shortest first."""
        for (width, _), waiting in sorted(self._waiting.items()):
            yield Shape(width, rows_of(width, self.tokens)), waiting
        self._waiting.clear()
