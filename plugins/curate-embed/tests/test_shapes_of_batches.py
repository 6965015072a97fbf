"""Buckets: every text in one batch, of a shape that the text alone decides, with little padding."""

from hypothesis import given
from hypothesis import strategies as st

from curate_embed.shapes import Buckets, padded, rows_of


@given(
    st.lists(st.integers(1, 300), max_size=120),
    st.sampled_from([7, 64, 256, 300]),
    st.sampled_from([1, 256, 2048]),
)
def test_every_text_is_in_one_batch_of_a_shape_that_is_its_own(lengths, longest, tokens):
    lengths = [min(length, longest) for length in lengths]
    buckets = Buckets(longest, tokens)
    full = [batch for at, length in enumerate(lengths) if (batch := buckets.add(at, length))]
    rest = list(buckets.rest())
    assert sorted(at for _, batch in (*full, *rest) for at in batch) == list(range(len(lengths)))
    assert all(len(batch) == shape.rows for shape, batch in full)
    assert all(0 < len(batch) < shape.rows for shape, batch in rest)
    assert [shape.length for shape, _ in rest] == sorted(shape.length for shape, _ in rest)
    assert list(buckets.rest()) == []
    for shape, batch in (*full, *rest):
        assert shape.rows % 8 == 0
        for at in batch:
            alone = Buckets(longest, tokens)
            assert alone.add(at, lengths[at]) is None
            assert list(alone.rest()) == [(shape, [at])]
        # Nothing masked in every row or in none: models look at that.
        assert len({lengths[at] == shape.length for at in batch}) == 1


@given(st.integers(1, 10**6), st.integers(1, 10**6))
def test_padding_is_small(length, longest):
    length = min(length, longest)
    width = padded(length, longest)
    assert length <= width <= longest
    assert width - length <= max(8, length // 8)
    assert width > length or length == longest
    assert width % 8 == 0 or width == longest


def test_shapes_are_few():
    assert len({padded(length, 10_000) for length in range(1, 5000)}) < 70


@given(st.integers(1, 10**5), st.integers(1, 10**5))
def test_rows_fill_the_tokens_of_a_batch(length, tokens):
    rows = rows_of(length, tokens)
    assert rows % 8 == 0
    assert rows == 8 or rows * length <= tokens < (rows + 8) * length
