"""Vectors as stages receive them: refused where one is none."""

import numpy as np
import polars as pl
import pytest

from curate.api import CurateError, vectors_of

MOST = float(np.finfo(np.float32).max)


def table(values, dtype=pl.Float32):
    vectors = pl.Series(values, dtype=pl.Array(dtype, 3))
    return pl.DataFrame({"id": [f"{at}" for at in range(len(values))], "v": vectors})


def test_they_are_what_they_were():
    # so large that a sum in float32 would overflow
    values = [[MOST, MOST, MOST], [-1.5, 0.0, 2.0**-140]]
    found = vectors_of(table(values), "v", "near")
    assert found.dtype == np.float32
    assert found.flags.c_contiguous
    assert found.tolist() == values
    assert vectors_of(table(values, pl.Float64), "v", "near").dtype == np.float32


@pytest.mark.parametrize("wrong", [None, [np.nan, 0, 0], [np.inf, -np.inf, 0], [0, 0, -np.inf]])
def test_what_has_none_is_named(wrong):
    rows = table([[1, 2, 3], wrong, [4, 5, 6]])
    with pytest.raises(CurateError, match=r"Stage 'near': 1 row has no finite .* instance 1\."):
        vectors_of(rows, "v", "near")
    with pytest.raises(CurateError, match=r"2 rows have no finite vector in 'v', .* instance 1\."):
        vectors_of(pl.concat([rows[1:2].with_columns(id=pl.lit("3")), rows]), "v", "near")


def test_what_float32_cannot_hold_is_no_vector():
    with pytest.raises(CurateError, match="1 row has no finite vector"):
        vectors_of(table([[1, 2, 3], [1e300, 0, 0]], pl.Float64), "v", "near")


def test_a_column_has_to_be_named():
    with pytest.raises(CurateError, match="does not know which vectors to read"):
        vectors_of(table([[1, 2, 3]]), None, "near")
