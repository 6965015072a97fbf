"""Exact duplicates, then MinHash with its LSH index: python with_rensa.py TEXTS KEPT."""

import json
import sys

from rensa import RMinHash, RMinHashLSH

SIZE, BANDS, LONG, THRESHOLD, SEED = 3, 14, 9, 0.7, 42
PERMUTATIONS = BANDS * LONG  # the index takes no number that its bands do not divide


def shingles(text: str) -> list[str]:
    words = text.lower().split()
    count = max(len(words) - SIZE + 1, 1)
    return [" ".join(words[at : at + SIZE]) for at in range(count)]


def main(texts: str, kept: str) -> None:
    with open(texts, encoding="utf-8") as lines:
        first = {(row := json.loads(line))["text"]: row for line in reversed(list(lines))}
    rows = list(reversed(first.values()))
    signatures = RMinHash.from_token_sets(
        [shingles(row["text"]) for row in rows], PERMUTATIONS, SEED
    )
    index = RMinHashLSH(THRESHOLD, PERMUTATIONS, BANDS)
    index.insert_many(signatures)
    leader = list(range(len(rows)))

    def lead(at: int) -> int:
        while leader[at] != at:
            leader[at] = at = leader[leader[at]]
        return at

    for at, found in enumerate(index.query_all(signatures)):
        for near in found:
            one, other = sorted((lead(near), lead(at)))
            leader[other] = one
    with open(kept, "w", encoding="utf-8") as lines:
        lines.writelines(json.dumps(row) + "\n" for at, row in enumerate(rows) if lead(at) == at)


if __name__ == "__main__":
    main(*sys.argv[1:])
