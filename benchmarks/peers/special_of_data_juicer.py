"""What data-juicer strips from words: python special_of_data_juicer.py FILE.

Writes a list of texts, most of them characters.
"""

import json
import sys

from data_juicer.ops.common.special_characters import SPECIAL_CHARACTERS


def main(file: str) -> None:
    with open(file, "w", encoding="utf-8") as out:
        json.dump(sorted(SPECIAL_CHARACTERS), out)


if __name__ == "__main__":
    main(*sys.argv[1:])
