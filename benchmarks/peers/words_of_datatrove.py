"""The words that with_datatrove.py compares: python words_of_datatrove.py TEXTS WORDS.

Writes a list of words for each line of TEXTS, in their order.
"""

import json
import sys

from datatrove.utils.text import simplify_text
from datatrove.utils.typeshelper import Languages
from datatrove.utils.word_tokenizers import load_word_tokenizer
from with_datatrove import NORMAL


def main(texts: str, words: str) -> None:
    tokenizer = load_word_tokenizer(Languages.english)
    with open(texts, encoding="utf-8") as lines, open(words, "w", encoding="utf-8") as out:
        for line in lines:
            text = simplify_text(json.loads(line)["text"], NORMAL)
            out.write(json.dumps(tokenizer.word_tokenize(text)) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
