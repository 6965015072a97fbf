"""Exact duplicates, then MinHash with its LSH index: python with_datasketch.py TEXTS KEPT."""

import json
import sys

from datasketch import MinHash, MinHashLSH

SIZE, PERMUTATIONS, THRESHOLD = 3, 128, 0.7


def shingles(text: str) -> set[bytes]:
    words = text.lower().split()
    count = max(len(words) - SIZE + 1, 1)
    return {" ".join(words[at : at + SIZE]).encode() for at in range(count)}


def main(texts: str, kept: str) -> None:
    with open(texts, encoding="utf-8") as lines:
        first = {(row := json.loads(line))["text"]: row for line in reversed(list(lines))}
    rows = list(reversed(first.values()))
    signatures = MinHash.bulk([shingles(row["text"]) for row in rows], num_perm=PERMUTATIONS)
    index = MinHashLSH(threshold=THRESHOLD, num_perm=PERMUTATIONS)
    leader = list(range(len(rows)))

    def lead(at: int) -> int:
        while leader[at] != at:
            leader[at] = at = leader[leader[at]]
        return at

    for at, signature in enumerate(signatures):
        for near in index.query(signature):
            one, other = sorted((lead(near), lead(at)))
            leader[other] = one
        index.insert(at, signature)
    with open(kept, "w", encoding="utf-8") as lines:
        lines.writelines(json.dumps(row) + "\n" for at, row in enumerate(rows) if lead(at) == at)


if __name__ == "__main__":
    main(*sys.argv[1:])
