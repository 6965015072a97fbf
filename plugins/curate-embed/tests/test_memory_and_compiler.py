"""Less memory than a batch needs, and torch.compile: the same values but for rounding."""

import numpy as np
import pytest
import torch

from curate.api import CurateError
from curate_embed.encoder import Encoder
from curate_embed.loading import load
from curate_embed.pooling import SentenceReader

TEXTS = [" ".join(["cat", "dog", "the", "red"][at % 4] for at in range(n)) for n in range(1, 60)]
TEXTS += TEXTS[::-1]


class Last:
    """The activations of the last token, layer after layer."""

    def __init__(self, site):
        self.sites = frozenset({site})

    def start(self, mask):
        self.ends, self.found = mask.sum(dim=1) - 1, []

    def see(self, site, layer, values):
        self.found.append(values[torch.arange(len(values)), self.ends].float())

    def finish(self):
        return torch.cat(self.found, dim=1)


@pytest.fixture
def room(monkeypatch):
    """Lets a batch of more rows run out of memory; counts the passes."""
    load.cache_clear()  # which shapes were too large is remembered with the model
    real, passed = Encoder._once, []

    def limit(rows):
        def once(self, shape, texts, readers):
            passed.append(shape)
            if shape.rows > rows:
                raise torch.OutOfMemoryError("no room")
            return real(self, shape, texts, readers)

        monkeypatch.setattr(Encoder, "_once", once)
        return passed

    yield limit
    load.cache_clear()


@pytest.mark.parametrize("kind", ["bert", "llama", "gpt2"])
@pytest.mark.parametrize("rows", [64, 5, 1])
def test_after_out_of_memory_smaller_shapes_do(tiny, passing, collect, room, kind, rows):
    readers = [SentenceReader("mean", True), Last("neurons")]
    usual, _ = collect(passing(tiny[kind]), TEXTS, *readers)
    counts = {}
    passed = room(rows)
    found, _ = collect(passing(tiny[kind], counts), TEXTS, *readers)
    for values, expected in zip(found, usual, strict=True):
        np.testing.assert_allclose(values, expected, rtol=1e-5, atol=1e-5)
    halved = [shape for shape in passed if shape.rows > rows]
    # each length has one batch here: those are counted that were passed in parts
    assert counts["pass.smaller_shapes"] == len({shape.length for shape in halved})
    assert len(set(halved)) == len(halved) > 0  # no shape fails twice
    assert counts["pass.rows"] == len(TEXTS)
    done = [shape for shape in passed if shape.rows <= rows]
    slots = sum(shape.rows * shape.length for shape in done)
    assert counts["pass.tokens"] + counts["pass.padding"] == slots


def test_smaller_shapes_are_kept_for_the_next_pass(tiny, passing, collect, room):
    room(4)
    reader = SentenceReader("mean", True)
    (first,), _ = collect(passing(tiny["bert"]), TEXTS, reader)
    counts = {}
    (second,), _ = collect(passing(tiny["bert"], counts), TEXTS, reader)
    assert counts["pass.smaller_shapes"] > 0  # its values were made so too
    assert np.array_equal(first, second)


def test_one_row_that_does_not_fit_is_an_error(tiny, passing, collect, room):
    room(0)
    with pytest.raises(CurateError, match=r"ran out of memory on one row of \d+ tokens") as caught:
        collect(passing(tiny["bert"]), TEXTS, SentenceReader("mean", True))
    assert "max_length" in caught.value.remedy


FINAL, BLOCKS, NEURONS = ["final"], ["blocks"], ["neurons"]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # the compiler's own
@pytest.mark.parametrize(
    "passes",
    [[FINAL, BLOCKS, BLOCKS], [NEURONS, NEURONS], [FINAL, NEURONS, [*FINAL, *NEURONS, *BLOCKS]]],
    ids=lambda passes: "-".join(map("+".join, passes)),
)
def test_compiled_blocks_give_the_same_values_in_every_pass(tiny, passing, collect, passes):
    """One reader after another: hooks come and go on blocks that are compiled by then."""
    load.cache_clear()
    torch._dynamo.reset()
    texts = TEXTS[:20]
    usual, compiled = passing(tiny["llama"]), passing(tiny["llama"], compile=True)
    assert compiled._loaded is not usual._loaded
    for sites in passes:
        readers = [
            SentenceReader("mean", True) if site == "final" else Last(site) for site in sites
        ]
        expected, _ = collect(usual, texts, *readers)
        found, _ = collect(compiled, texts, *readers)
        for values, others in zip(found, expected, strict=True):
            np.testing.assert_allclose(values, others, rtol=1e-4, atol=1e-5)
