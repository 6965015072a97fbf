"""What may change a score: nothing but its row, to the bit; other shapes and threads, a little."""

import random
from functools import partial

import numpy as np
import polars as pl
import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

from curate.api import CurateError
from curate_embed import encoder, shapes
from curate_embed.builtin import minilm

WORDS = [
    "the",
    "a",
    "cat",
    "dog",
    "runs",
    "sleeps",
    "over",
    "under",
    "red",
    "blue",
    "house",
    "tree",
    "and",
    "then",
    "why",
    "is",
    "it",
]
KINDS = ("llama", "qwen2", "gpt2", "bert")
OPTIONS = [
    {},
    {"preset": "paper"},
    {"preset": "paper-centred", "pool": "mean"},
    {"hook": "block_output", "center": True, "components": 2, "layers": [1, -1]},
    {"hook": "block_output", "layer_scale": "none", "baseline": "none"},
    {"preset": "paper", "hook": "mlp_neurons", "baseline": "none", "layer_scale": "zscore"},
]


def sentences(count, seed, longest=30):
    draw = random.Random(seed)
    return [
        (" ".join(draw.choices(WORDS, k=draw.randint(1, longest))), draw.choice(WORDS))
        for _ in range(count)
    ]


POOL = [*sentences(60, 1), ("cat " * 200, "dog"), ("why " * 200, "it")]
TARGET = sentences(12, 2)
OTHER = sentences(12, 3)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("kind", KINDS)
def test_the_bits_of_a_score_depend_on_its_row_alone(tiny, lab, kind, dtype):
    for options in ({}, {"preset": "paper", "pool": "mean"}):
        stage = lab.stage(dtype=dtype, **options)
        rows = lab.rows(POOL)
        fits = {"pets": lab.fit(tiny[kind], stage, lab.rows(TARGET))}
        wanted = ("pets", "truncated")
        whole = lab.score(tiny[kind], stage, rows, fits, wanted)
        assert whole["truncated"].to_list() == [False] * 60 + [True] * 2
        assert whole["pets"].n_unique() > 50
        shuffled = rows.sample(fraction=1, shuffle=True, seed=3)
        assert lab.score(tiny[kind], stage, shuffled, fits, wanted).equals(whole)
        assert lab.score(tiny[kind], stage, rows[17:40], fits, wanted).equals(whole[17:40])
        bigger = lab.stage(dtype=dtype, batch_size=4, **options)
        assert lab.score(tiny[kind], bigger, rows, fits, wanted).equals(whole)
        for at in (0, 7, 60):
            alone = lab.score(tiny[kind], stage, rows[at : at + 1], fits, wanted)
            assert alone.equals(whole[at : at + 1])


@pytest.mark.parametrize("kind", KINDS)
def test_directions_are_the_same_for_every_batch_size(tiny, lab, kind):
    first, second = lab.stage(center=True), lab.stage(center=True, batch_size=3)
    given, again = (lab.fit(tiny[kind], each, lab.rows(TARGET)) for each in (first, second))
    assert given.keys() == again.keys()
    assert all(np.array_equal(given[name], again[name]) for name in given)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("tokens", [64, 4096])
def test_other_shapes_change_a_score_by_rounding_only(tiny, lab, monkeypatch, kind, tokens):
    for options in OPTIONS:
        stage, rows = lab.stage(**options), lab.rows(POOL)
        fits = {"pets": lab.fit(tiny[kind], stage, lab.rows(TARGET))}
        usual = lab.score(tiny[kind], stage, rows, fits)["pets"].to_numpy()
        with monkeypatch.context() as patch:
            patch.setitem(encoder.TOKENS, "cpu", tokens)
            patch.setitem(encoder.TOKENS, "cuda", tokens)
            other = lab.score(tiny[kind], stage, rows, fits)["pets"].to_numpy()
        np.testing.assert_allclose(other, usual, rtol=1e-5, atol=1e-5)


def _moved(lab, folder, stage, rows, fits, monkeypatch):
    """The farthest that threads, shapes, padding and another kernel move a score."""

    def scores():
        return lab.score(folder, stage, rows, fits)["pets"].to_numpy()

    usual, found, threads, tight = scores(), [], torch.get_num_threads(), shapes.padded
    try:
        for count, tokens, more in ((1, 256, 0), (2, 512, 24)):
            torch.set_num_threads(count)
            with monkeypatch.context() as patch:
                patch.setitem(encoder.TOKENS, "cpu", tokens)
                patch.setitem(encoder.TOKENS, "cuda", tokens)
                wide = partial(lambda by, length, most: min(tight(length, most) + by, most), more)
                patch.setattr(shapes, "padded", wide)
                found.append(scores())
    finally:
        torch.set_num_threads(threads)
    with sdpa_kernel(SDPBackend.MATH):
        found.append(scores())
    return float(np.abs(np.array(found) - usual).max())


@pytest.mark.parametrize("kind", KINDS)
def test_tolerance_bounds_what_threads_and_shapes_change(tiny, lab, monkeypatch, kind):
    rows, moves = lab.rows(POOL[:20]), []
    for options in OPTIONS:
        stage = lab.stage(**options)
        fits = {"pets": lab.fit(tiny[kind], stage, lab.rows(TARGET))}
        tolerance = stage.tolerance("pets", fits)
        scores = lab.score(tiny[kind], stage, rows, fits)["pets"]
        assert tolerance < 0.01 * scores.std()
        moves.append((_moved(lab, tiny[kind], stage, rows, fits, monkeypatch), tolerance, options))
    assert max(moves, key=lambda move: move[0] / move[1])[0] > 0
    assert [move for move in moves if move[0] > move[1]] == []
    assert stage.tolerance("truncated", fits) == 0


@pytest.mark.parametrize("preset", ["encoder", "paper", "paper-centred"])
def test_tolerance_bounds_what_they_change_in_a_real_model(lab, monkeypatch, preset):
    stage = lab.stage(preset=preset, max_length=24)
    fits = {"pets": lab.fit(minilm(), stage, lab.rows(TARGET))}
    moved = _moved(lab, minilm(), stage, lab.rows(POOL[:8]), fits, monkeypatch)
    assert 0 < moved <= stage.tolerance("pets", fits)


def test_bfloat16_is_near_to_float32_and_its_tolerance_larger(tiny, lab):
    rows = lab.rows(POOL)
    single, half = lab.stage(), lab.stage(dtype="bfloat16")
    fits = {"pets": lab.fit(tiny["bert"], single, lab.rows(TARGET))}
    first = lab.score(tiny["bert"], single, rows, fits)["pets"]
    second = lab.score(tiny["bert"], half, rows, fits)["pets"]
    assert 0 < (first - second).abs().max() < first.std()
    assert np.corrcoef(first, second)[0, 1] > 0.99
    assert half.tolerance("pets", fits) > 100 * single.tolerance("pets", fits)


def test_one_capability_knows_nothing_of_another(tiny, lab):
    folder, rows = tiny["gpt2"], lab.rows(POOL)
    alone, both = lab.stage(), lab.stage(targets={"pets": "a", "houses": "b"})
    fits = {
        "pets": lab.fit(folder, both, lab.rows(TARGET)),
        "houses": lab.fit(folder, both, lab.rows(OTHER), "houses"),
    }
    first = lab.score(folder, alone, rows, {"pets": fits["pets"]})
    second = lab.score(folder, both, rows, fits, ("houses", "pets", "truncated"))
    assert first["pets"].equals(second["pets"])
    assert not second["houses"].equals(second["pets"].alias("houses"))
    assert both.depends("pets").fits == ("pets",)
    assert both.depends("truncated").fits == ()
    assert not {"targets", "features"} & set(both.depends("pets").params)
    assert set(both.fits()) == {"pets", "houses"}


@pytest.mark.parametrize("similarity", ["dot", "cosine"])
@pytest.mark.parametrize("kind", ["llama", "bert"])
def test_kept_projections_give_the_bits_of_a_pass(tiny, lab, kind, similarity):
    folder, rows = tiny[kind], lab.rows(POOL)
    keeping = lab.stage(keep_layers=True, similarity=similarity)
    fits = {"pets": lab.fit(folder, keeping, lab.rows(TARGET))}
    kept = lab.score(folder, keeping, rows, fits, ("pets", "pets_layers", "truncated"))
    assert kept.schema["pets_layers"] == pl.Array(pl.Float32, 3)
    assert keeping.recalls("pets") == ("pets_layers",)
    assert keeping.recalls("truncated") == keeping.recalls("pets_layers") == ()
    assert lab.stage().recalls("pets") == ()
    recalled = rows.join(kept.select("id", "pets_layers"), on="id")
    nowhere = folder / "nowhere"
    for layers in ("all", "2..3", [1, -1], [2]):
        for scale in ("none", "zscore"):
            other = lab.stage(
                keep_layers=True, similarity=similarity, layers=layers, layer_scale=scale
            )
            changed = {"layers", "layer_scale", "keep_layers"}
            assert not changed & set(other.depends("pets_layers").params)
            passed = lab.score(folder, other, rows, fits)
            # the model is not even there: nothing passes
            assert lab.score(nowhere, other, recalled, fits).equals(passed)
    assert lab.score(nowhere, keeping, recalled, fits).equals(kept.select("id", "pets"))
    with pytest.raises(CurateError, match="cannot be loaded"):
        lab.score(nowhere, keeping, recalled, fits, ("pets", "truncated"))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # the compiler's own
@pytest.mark.parametrize("hook", ["block_output", "mlp_neurons"])
def test_compiled_blocks_give_scores_within_the_tolerance(tiny, lab, hook):
    torch._dynamo.reset()
    rows = lab.rows(POOL[:20])
    usual, compiled = lab.stage(hook=hook), lab.stage(hook=hook, compile=True)
    fits = {"pets": lab.fit(tiny["llama"], usual, lab.rows(TARGET))}
    again = lab.fit(tiny["llama"], compiled, lab.rows(TARGET))
    np.testing.assert_allclose(again["directions"], fits["pets"]["directions"], atol=1e-4)
    first = lab.score(tiny["llama"], usual, rows, fits)["pets"]
    second = lab.score(tiny["llama"], compiled, rows, fits)["pets"]
    assert (first - second).abs().max() <= usual.tolerance("pets", fits)
