"""MinHash in the four steps of its manual, two workers: python with_datatrove.py FOLDER KEPT WORK.

FOLDER holds the texts in two files, since a task reads whole files. Signatures of equal texts are
equal, so its separate steps for exact duplicates would only add time.
"""

import sys

from datatrove.executor import LocalPipelineExecutor
from datatrove.pipeline.dedup import (
    MinhashDedupBuckets,
    MinhashDedupCluster,
    MinhashDedupFilter,
    MinhashDedupSignature,
)
from datatrove.pipeline.dedup.minhash import MinhashConfig
from datatrove.pipeline.readers import JsonlReader
from datatrove.pipeline.writers import JsonlWriter
from datatrove.utils.text import TextNormConfig

NORMAL = TextNormConfig(
    lowercase=True,
    norm_whitespace=False,
    remove_punctuation=False,
    norm_unicode_diacritics=False,
    norm_numbers=False,
)
CONFIG = MinhashConfig(n_grams=3, num_buckets=14, hashes_per_bucket=9, norm_config=NORMAL)


def main(folder: str, kept: str, work: str) -> None:
    reader = JsonlReader(folder)
    signatures, buckets, clusters = (f"{work}/{name}" for name in ("signatures", "buckets", "out"))
    steps = [
        (2, [reader, MinhashDedupSignature(signatures, config=CONFIG)]),
        (CONFIG.num_buckets, [MinhashDedupBuckets(signatures, buckets, config=CONFIG)]),
        (1, [MinhashDedupCluster(buckets, clusters, config=CONFIG)]),
        (2, [reader, MinhashDedupFilter(clusters), JsonlWriter(kept, compression=None)]),
    ]
    for number, (tasks, steps_of_one) in enumerate(steps):
        logs = f"{work}/logs{number}"
        LocalPipelineExecutor(steps_of_one, tasks=tasks, workers=2, logging_dir=logs).run()


if __name__ == "__main__":
    main(*sys.argv[1:])
