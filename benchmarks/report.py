"""How fast the page of a large version is written, and opens in Chromium.

    python benchmarks/report.py --data ../shared/data [--times 5] [--chromium PATH]

51,941 rows of Alpaca: duplicates out, one-word answers out, the longest tenth kept. Prints seconds
of writing the page, its size, and for each opening the seconds until the page is loaded and until
its table of rows is there. Exit code 1 if the median of these is 2 s or more, if the console says
anything, or if the page asks for anything but itself.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from playwright.sync_api import sync_playwright

import curate
from curate.report.page import write

GOAL = 2.0
"""Seconds."""

FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run "
    "--disable-background-networking --disable-component-update --disable-sync"
)


def recipe(data: Path) -> dict[str, Any]:
    source = {
        "path": str(data / "alpaca_cleaned.jsonl.gz"),
        "origin": "synthetic",
        "generator": "text-davinci-003",
        "license": "cc-by-nc-4.0",
    }
    return {
        "name": "alpaca",
        "seed": 13,
        "sources": {"davinci": source},
        "pipeline": [
            {"filter": "dedup.exact", "with": {"text": "response"}},
            {"filter": "dedup.minhash", "with": {"threshold": 0.6, "search": 0.6}},
            {"score": "core.length", "id": "answer", "with": {"text": "response"}},
            {"filter": "core.where", "id": "answered", "with": {"keep": "answer_words >= 2"}},
            {"filter": "core.top", "with": {"by": "answer_characters", "fraction": 0.1}},
        ],
    }


def openings(page_file: Path, chromium: str, times: int) -> tuple[list[float], list[str]]:
    """Seconds until the rows are there, and whatever the page said or asked for."""
    seconds, said = [], []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS.split())
        for _ in range(times):
            page = browser.new_page(viewport={"width": 1280, "height": 900})
            page.on("console", lambda message: said.append(message.text))
            page.on("pageerror", lambda error: said.append(str(error)))
            page.on(
                "request",
                lambda request: (
                    said.append(request.url) if request.url != page_file.as_uri() else None
                ),
            )
            start = time.perf_counter()
            page.goto(page_file.as_uri())
            loaded = time.perf_counter() - start
            page.wait_for_selector("#table:not([hidden])")
            seconds.append(time.perf_counter() - start)
            print(f"loaded {loaded:.2f} s, rows {seconds[-1]:.2f} s")
            page.close()
        browser.close()
    return seconds, said


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--times", type=int, default=5)
    parser.add_argument("--chromium", default=shutil.which("chromium"))
    chosen = parser.parse_args()
    if chosen.chromium is None:
        parser.error("no chromium on the path: name one with --chromium")
    with tempfile.TemporaryDirectory() as folder:
        version = curate.run(recipe(chosen.data.resolve()), out=Path(folder))
        start = time.perf_counter()
        written = write(version)
        took = time.perf_counter() - start
        print(
            f"written in {took:.1f} s: {written.bytes / 1e6:.1f} MB, "
            f"{written.rows:,} of {written.of:,} rows"
        )
        seconds, said = openings(written.path, chosen.chromium, chosen.times)
    median = statistics.median(seconds)
    print(f"median {median:.2f} s; said or asked for: {said or 'nothing'}")
    return int(median >= GOAL or bool(said))


if __name__ == "__main__":
    sys.exit(main())
