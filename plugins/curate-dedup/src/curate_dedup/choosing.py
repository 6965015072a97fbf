"""Which rows of near ones survive, from what the search found. Imported when a stage works.

Rows that are equal and of one group are one *item*; items are numbered in the order of preference
of their best rows, those that may not be dropped first.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from curate.api import ASKED, CurateError
from curate_dedup.linking import chain, joined_with, star
from curate_dedup.near import AGAINST, NearDedup
from curate_dedup.pairs import REMEMBERED, Finder, Grouped, Indices, Known, Pairs
from curate_dedup.searching import CROWDED, Arrays, told
from curate_dedup.texts import places


class Choice:
    """A choice in the making.

    Args:
        stage: The stage, with its parameters.
        rows: In the order of preference, those that may not be dropped first.
        fits: What was fitted.

    Attributes:
        reason: For each row why it is dropped, or an empty text.
        ref: For each row the survivor or the row of a reference, or an empty text.
        value: float64 [n], the similarity to that, NaN for rows that stay.
        cluster: For each row the smallest id of those joined with it, or an empty text.
        distances: Cut > how far from the threshold the nearest similarity stood.
        searches: What is known of each search that was used.
    """

    def __init__(self, stage: NearDedup, rows: pl.DataFrame, fits: Mapping[str, Arrays]) -> None:
        self.stage = stage
        self.rows = rows
        self.fits = fits
        self.found = fits["pairs"]
        self.asked: NDArray[np.bool_] = rows[ASKED].to_numpy()
        self.keys = stage.keys(rows)
        self.reason = np.full(len(rows), "", dtype=object)
        self.ref = np.full(len(rows), "", dtype=object)
        self.value = np.full(len(rows), np.nan)
        self.cluster = np.full(len(rows), "", dtype=object)
        self.against: dict[str, dict[str, int]] = {}
        self.distances: dict[str, float] = {}
        self.searches = {"": told(self.found)}
        self._stars = stage.params.linking == "star"

    def drop_those_in_references(self) -> None:
        """Drop rows that are near a row of a reference table."""
        tables = {name: self.fits[f"{AGAINST}{name}"] for name in self.stage.params.against}
        if not tables:
            return
        near = self.fits["near"]
        at = places(self.keys, near["key"])
        similarity = np.where(at >= 0, _at(near["similarity"], at), -np.inf)
        threshold = self.stage.params.threshold
        dropped = self.asked & (similarity >= threshold)
        best = similarity[self.asked & (at >= 0)]
        cut = f"similarity {threshold} to references"
        self.distances[cut] = self._distance(best, threshold, float(near["gap"]))
        self.searches["against"] = told(near)
        labels = [f"{name}#{line}" for name, table in tables.items() for line in table["line"]]
        reference = _at(near["reference"], at)
        for row in np.flatnonzero(dropped):
            self.ref[row] = labels[reference[row]]
        self.reason[dropped] = "in_reference"
        self.value[dropped] = similarity[dropped]
        first = 0
        for name, table in tables.items():
            last = first + len(table["line"])
            inside = dropped & (reference >= first) & (reference < last)
            count = int(np.count_nonzero(inside))
            self.against[name] = {"rows": last - first, "dropped": count}
            first = last

    @cached_property
    def items(self) -> Items:
        """The rows that are left, as items."""
        left = np.flatnonzero(self.reason == "")
        node = places(self.keys[left], self.found["key"])
        per = self.stage.params.per
        group = _groups(self.rows[per].gather(left)) if per else np.zeros(len(left), dtype=np.int64)
        return Items(left, node, group)

    @cached_property
    def known(self) -> Known | None:
        """The near pairs of items; None where they were too many to be kept."""
        if CROWDED in self.found:
            return None
        return Known(self.items.pairs(self.found), len(self.items), float(self.found["gap"]))

    def drop_duplicates(self, threshold: float) -> None:
        """Drop rows that are near others."""
        items = self.items
        finder = self._finder(threshold)
        first = joined_with(finder)
        survivor = self._linked(finder, first)
        self._note_clusters(first)
        late = np.flatnonzero(survivor >= 0)
        similarity = np.ones(len(items))
        similarity[late] = self._similarities(late, survivor[late])
        heir = np.where(survivor >= 0, survivor, np.arange(len(items)))[items.item]
        best = items.best[heir]
        dropped = self.asked[items.rows] & (best != items.rows)
        rows = items.rows[dropped]
        self.reason[rows] = "near_duplicate"
        self.ref[rows] = self.rows["id"].gather(best[dropped]).to_numpy()
        self.value[rows] = similarity[items.item[dropped]]
        if not np.isfinite(threshold):
            return
        cut = f"similarity {threshold}"
        if self.known is None:
            self.distances[cut] = finder.gap
        else:
            pairs = self.known.pairs.similarity
            self.distances[cut] = self._distance(pairs, threshold, self.known.gap)

    def threshold_for(self, count: int) -> float | None:
        """The highest threshold at which at most `count` of the rows asked about stay.

        Found by halving: with stars, a threshold in between may happen to leave fewer.

        Returns:
            The middle between two neighbouring similarities; infinity where none needs to be near;
            None where even the lowest leaves more rows.

        Raises:
            CurateError: The pairs were too many to be kept.
        """
        if self.known is None:
            raise CurateError(
                f"Stage '{self.stage.id}': `keep` needs all pairs from `search` on, and there are "
                f"more than {REMEMBERED:,}.",
                "Give a higher `search`, or a `threshold` in place of `keep`.",
            )
        tried = np.append(np.unique(self.known.pairs.similarity), np.inf)
        if self.staying(float(tried[0])) > count:
            return None
        low, high = 0, len(tried)  # at tried[low] few enough stay, at tried[high] too many
        while high - low > 1:
            middle = (low + high) // 2
            if self.staying(float(tried[middle])) <= count:
                low = middle
            else:
                high = middle
        if low == len(tried) - 1:
            return float(np.inf)
        below = tried[low - 1] if low else self.stage.params.search
        return float((below + tried[low]) / 2)

    def staying(self, threshold: float) -> int:
        """How many of the rows asked about would stay."""
        finder = self._finder(threshold)
        first = None if self._stars else joined_with(finder)
        stay = self.items.best[self._linked(finder, first) < 0]
        return int(np.count_nonzero(self.asked[stay]))

    def facts(self, threshold: float) -> dict[str, Any]:
        """What the manifest says of the choice and of the search behind it."""
        facts: dict[str, Any] = {
            "searched_from": self.stage.params.search,
            "contents": len(self.found["key"]),
            "pairs": None if self.known is None else len(self.known.pairs),
            **self.searches[""],
        }
        if self.stage.params.keep is not None:
            facts["threshold"] = threshold if np.isfinite(threshold) else None
        if self.against:
            facts["against"] = self.against
            facts |= {f"against_{key}": said for key, said in self.searches["against"].items()}
        return facts

    def notes(self, threshold: float) -> Iterator[str]:
        """What was found in references, and the threshold for `keep`."""
        yield from found_in(self.against)
        keep = self.stage.params.keep
        if keep is None:
            return
        stay = int(np.count_nonzero(self.asked & (self.reason == "")))
        at = f"from {threshold:.4f} on" if np.isfinite(threshold) else "equal ones alone"
        yield f"{stay:,} stay of {keep:,} asked for, {at}"

    def _finder(self, threshold: float) -> Finder:
        if self.known is not None:
            return self.known.at_least(threshold)
        items = self.stage.items(self.rows[pl.Series(self.items.best)])
        finder = self.stage.finder(items, threshold)
        self.searches[""] = self.stage.told(finder)
        return Grouped(finder, self.items.group)

    def clusters(self) -> pl.Series:
        """The cluster of each row, null for those that are alone."""
        return pl.Series(self.cluster, dtype=pl.String).replace("", None)

    def _linked(self, finder: Finder, first: Indices | None) -> Indices:
        """For each item the one in favour of which it is dropped, -1 for those that stay.

        Args:
            finder: Of the near pairs.
            first: With which each is joined; stars do not need it.
        """
        fixed = ~self.asked[self.items.best]
        return star(finder, fixed) if first is None or self._stars else chain(first, fixed)

    def _note_clusters(self, first: Indices) -> None:
        """Name the rows that are joined, whatever links them to a survivor."""
        items = self.items
        frame = pl.DataFrame(
            {"row": items.rows, "of": first[items.item], "id": self.rows["id"].gather(items.rows)}
        )
        named = frame.with_columns(
            pl.col("id").min().over("of"), (pl.len().over("of") > 1).alias("joined")
        )
        named = named.filter("joined")
        self.cluster[named["row"].to_numpy()] = named["id"].to_numpy()

    def _similarities(self, late: Indices, early: Indices) -> NDArray[np.float64]:
        """Of pairs of items; those that are no near pairs are compared now."""
        found = np.full(len(late), np.nan)
        if self.known is not None:
            found = self.known.similarity(late, early)
        unknown = np.flatnonzero(np.isnan(found))
        if len(unknown):
            ends = np.concatenate([late[unknown], early[unknown]])
            named, at = np.unique(ends, return_inverse=True)
            items = self.stage.items(self.rows[pl.Series(self.items.best[named])])
            left, right = at.reshape(2, -1)
            found[unknown] = self.stage.similarities(items, left, right)
        return found

    def _distance(self, known: NDArray[np.float64], threshold: float, gap: float) -> float:
        """How far from the threshold the nearest similarity stood; below the search, at least."""
        away = np.abs(known - threshold).min(initial=np.inf)
        return float(min(away, threshold - self.stage.params.search + gap))


class Items:
    """Rows of which equal ones of one group are one.

    Args:
        rows: int64 [r], rows in the order of preference.
        node: int64 [r], the content of each; -1 where it equals nothing, not even its like.
        group: int64 [r], the group of each.

    Attributes:
        item: int64 [r], the item of each row.
        best: int64 [n], the best row of each item.
        group: int64 [n], the group of each item.
    """

    def __init__(self, rows: Indices, node: Indices, group: Indices) -> None:
        self.rows = rows
        alone = -1 - np.arange(len(rows))
        frame = pl.DataFrame({"node": np.where(node < 0, alone, node), "group": group})
        first = frame.with_row_index("at").group_by("node", "group").agg(pl.col("at").min())
        first = first.sort("at").with_row_index("item")
        placed = frame.join(first, on=["node", "group"], how="left", maintain_order="left")
        self.item: Indices = placed["item"].to_numpy().astype(np.int64)
        self.best: Indices = rows[first["at"].to_numpy()]
        self.group: Indices = first["group"].to_numpy()
        self._nodes = first.select("node", "group", "item")

    def __len__(self) -> int:
        return len(self.best)

    def pairs(self, found: Arrays) -> Pairs:
        """Near pairs of contents as pairs of items of one group."""
        pairs = pl.DataFrame({name: found[name] for name in ("late", "early", "similarity")})
        pairs = pairs.with_columns(pl.col("late", "early").cast(pl.Int64))
        both = pairs.join(self._nodes, left_on="late", right_on="node").join(
            self._nodes, left_on=["early", "group"], right_on=["node", "group"], suffix="_early"
        )
        one, other = (both[name].to_numpy().astype(np.int64) for name in ("item", "item_early"))
        return Pairs(np.maximum(one, other), np.minimum(one, other), both["similarity"].to_numpy())


def found_in(against: Mapping[str, Mapping[str, int]]) -> Iterator[str]:
    """For each reference how many rows were found in it, in words."""
    for name, counts in against.items():
        yield f"{counts['dropped']:,} near the {counts['rows']:,} of {name}"


def _groups(values: pl.Series) -> Indices:
    """A number for each value; null is a value too."""
    return values.rank("dense").fill_null(0).cast(pl.Int64).to_numpy()


def _at(values: NDArray[Any], at: Indices) -> NDArray[Any]:
    """The values at places; anything where a place is -1."""
    if not len(values):
        return np.zeros(len(at), dtype=values.dtype)
    return values[at]
