"""What `text.stats` counts, for many texts at once. Imported where texts are measured."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from curate_text import hashing
from curate_text.characters import Counts, Table, Texts, lowered
from curate_text.hashing import Hashes, Repeats, share

Numbers = NDArray[np.float64]


def _hashed(characters: Iterable[str]) -> Hashes:
    return hashing.mixed(np.array([ord(character) for character in characters], np.int64))


_EXACT = Table(_hashed, np.uint64)
_SMALL = Table(lambda characters: _hashed(map(lowered, characters)), np.uint64)
"""The hash of each character: as it is, and in lower case."""


class Lines:
    """Lines as `str.splitlines` gives them.

    Attributes:
        count: Lines of each text.
        total: Their characters together, without what ends them.
        longest: Characters of the longest one; 0 where there is none.
    """

    def __init__(self, texts: Texts) -> None:
        breaks = np.flatnonzero(texts.which("break"))
        codes = texts.codes[breaks]
        second = np.zeros(len(breaks), np.bool_)  # the line feed behind a carriage return
        second[1:] = (np.diff(breaks) == 1) & (codes[:-1] == ord("\r")) & (codes[1:] == ord("\n"))
        at = np.flatnonzero(~second)
        ends = breaks[at]
        begins = np.where(at > 0, breaks[at - 1] + 1, 0)
        lengths = ends - begins
        first = np.searchsorted(ends, texts.starts)
        last = np.append(first[1:], len(ends)) - 1
        # our own line feed ends a line only where something stands before it
        own = ends[last] == texts.starts + texts.lengths
        self.count: Counts = last - first + 1 - (own & (lengths[last] == 0))
        self.total: Counts = np.add.reduceat(lengths, first)
        self.longest: Counts = np.maximum.reduceat(lengths, first)


@dataclass(frozen=True)
class Words:
    """Words one after another.

    Args:
        hashes: A hash of each, in lower case.
        counts: Words of each text.
    """

    hashes: Hashes
    counts: Counts

    @classmethod
    def of(cls, texts: Texts) -> Words:
        """Find the words of texts: see `text.stats`."""
        single = texts.which("single")
        run = texts.which("alnum") & ~single
        inside = run.copy()
        marks = np.flatnonzero(texts.which("mark"))
        if len(marks):
            chain = np.flatnonzero(np.diff(marks, prepend=-2) != 1)
            base = np.repeat(np.maximum(marks[chain] - 1, 0), np.diff(chain, append=len(marks)))
            inside[marks] = run[base]
        joiners = np.flatnonzero(texts.which("joiner"))
        joiners = joiners[joiners > 0]  # the last character is always a line feed
        inside[joiners] = inside[joiners - 1] & run[joiners + 1]
        edges = np.diff(inside, prepend=False)
        starts = np.flatnonzero((edges & inside) | single)
        ends = np.flatnonzero((inside[:-1] & edges[1:]) | single[:-1]) + 1
        values = _SMALL.of(texts.codes)
        counts = np.diff(np.searchsorted(starts, texts.starts), append=len(starts))
        return cls(hashing.of_runs(values, starts, ends), counts)

    def listed(self, entries: Sequence[Hashes]) -> Counts:
        """How many words of each text belong to an entry of a list.

        Args:
            entries: The hashes of the entries' own words.
        """
        covered = np.zeros(len(self.hashes), np.bool_)
        for n in sorted({len(entry) for entry in entries}):
            wanted = np.concatenate([hashing.windows(e, n) for e in entries if len(e) == n])
            _, inside = hashing.within(self.counts, n, gap=0)
            found = np.flatnonzero(_among(hashing.windows(self.hashes, n), wanted) & inside)
            for offset in range(n):
                covered[found + offset] = True
        before = np.concatenate([[0], np.cumsum(covered)])
        ends = np.cumsum(self.counts)
        listed: Counts = before[ends] - before[ends - self.counts]
        return listed


def _among(values: Hashes, wanted: Hashes) -> NDArray[np.bool_]:
    known = np.sort(wanted)
    last = np.uint64(0xFFFF)
    maybe = np.zeros(0x10000, np.bool_)
    maybe[wanted & last] = True
    found: NDArray[np.bool_] = maybe[values & last]
    some = values[found]
    at = np.minimum(np.searchsorted(known, some), len(known) - 1)
    found[found] = known[at] == some
    return found


def entries_of(entries: Sequence[str]) -> list[Hashes]:
    """The words of each entry of a list, as hashes; entries without a word are empty."""
    lengths = np.array([len(entry) for entry in entries], np.int64)
    words = Words.of(Texts.of(entries, lengths))
    return np.split(words.hashes, np.cumsum(words.counts)[:-1])


class Measures:
    """Every output of `text.stats` by name, each computed where it is asked for.

    Args:
        texts: What is measured.
        char_n: Characters of a run that may be repeated.
        word_n: Words of one.
        lists: By name the entries of a list of words.
    """

    def __init__(
        self, texts: Texts, char_n: int, word_n: int, lists: dict[str, Sequence[Hashes]]
    ) -> None:
        self.texts = texts
        self.char_n = char_n
        self.word_n = word_n
        self.lists = lists

    @cached_property
    def _lines(self) -> Lines:
        return Lines(self.texts)

    @cached_property
    def _words(self) -> Words:
        return Words.of(self.texts)

    def characters(self) -> Counts:
        """Code points."""
        return self.texts.lengths

    def words(self) -> Counts:
        """Words."""
        return self._words.counts

    def lines(self) -> Counts:
        """Lines."""
        return self._lines.count

    def mean_line(self) -> Numbers:
        """Characters of a line on average."""
        return share(self._lines.total, self._lines.count)

    def longest_line(self) -> Counts:
        """Characters of the longest line."""
        return self._lines.longest

    def alnum(self) -> Numbers:
        """Letters and digits, of all characters."""
        return share(self.texts.count(self.texts.which("alnum")), self.texts.lengths)

    def letters(self) -> Numbers:
        """Letters, of all characters."""
        return share(self.texts.count(self.texts.which("alpha")), self.texts.lengths)

    def special(self) -> Numbers:
        """Special characters, of all."""
        return share(self.texts.count(self.texts.which("special")), self.texts.lengths)

    def upper(self) -> Numbers:
        """Upper-case letters, of all letters."""
        letters = self.texts.count(self.texts.which("alpha"))
        return share(self.texts.count(self.texts.which("upper")), letters)

    def char_repetition(self) -> Numbers:
        """Occurrences of the most frequent runs of characters, of all runs."""
        values = hashing.windows(_EXACT.of(self.texts.codes), self.char_n)
        own, inside = hashing.within(self.texts.lengths, self.char_n, gap=1)
        return share(Repeats(values[inside], own).most(), own)

    def word_repetition(self) -> Numbers:
        """Runs of words that occur more than once, of all runs."""
        values = hashing.windows(self._words.hashes, self.word_n)
        own, inside = hashing.within(self._words.counts, self.word_n, gap=0)
        return share(Repeats(values[inside], own).covered(), own)

    def stopwords(self) -> Numbers:
        """Stop words, of all words."""
        return share(self._words.listed(self.lists["stopwords"]), self._words.counts)

    def flagged(self) -> Numbers:
        """Flagged words, of all words."""
        return share(self._words.listed(self.lists["flagged"]), self._words.counts)
