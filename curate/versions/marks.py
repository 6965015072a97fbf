"""The parts of a card: metadata and text, and the marks around the text in a README of others."""

from __future__ import annotations

import hashlib
from typing import Any

import yaml

OPENS, CLOSES = "<!-- curate card -->", "<!-- end of curate card -->"
"""The lines before and after the text of a card in a README of others."""


def parted(readme: str) -> tuple[dict[str, Any], str]:
    """The metadata of a README, and the text below it without blank lines around it.

    Raises:
        ValueError: It has no metadata, or what stands in their place is none.
    """
    opening, _, rest = readme.partition("---\n")
    head, closed, text = rest.partition("\n---\n")
    if opening.strip() or not closed:
        raise ValueError("it does not begin with metadata between lines of ---")
    try:
        metadata = yaml.safe_load(head)
    except yaml.YAMLError as error:
        raise ValueError(f"its metadata cannot be read: {error}") from error
    if not isinstance(metadata, dict):
        raise ValueError("its metadata are no mapping")
    return metadata, text.strip("\n")


def text_sum(text: str) -> str:
    """Hex sha256 of a card's text, blank lines around it left out."""
    return hashlib.sha256(text.strip("\n").encode()).hexdigest()
