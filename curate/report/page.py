"""The page of a version: one file that needs nothing else, and in which no text of a row can act.

Heavy, and needs the extra `curate-data[report]`.
"""

from __future__ import annotations

import base64
import hashlib
import os
import secrets
from collections.abc import Mapping
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any

from curate.contract.results import Clause
from curate.errors import CurateError, UsageError
from curate.printing import marked, marked_line
from curate.report.charts import charts
from curate.report.clusters import duplicates
from curate.report.cuts import lines
from curate.report.headline import headline
from curate.report.near import near
from curate.report.rows import table
from curate.report.vega import COLOURS, svg
from curate.sources.published import check_outside
from curate.versions.funnel import Failed, funnel, shares, warnings
from curate.versions.open import Version
from curate.versions.policy import certificates
from curate.versions.splits import shares as split_shares
from curate.versions.splits import strata

try:
    import jinja2
    from markupsafe import Markup
except ImportError as missing:  # the extra is not installed
    raise CurateError(
        f"A report needs packages that are not installed: {missing}.",
        "pip install 'curate-data[report]'",
    ) from missing

_ASSETS = Path(__file__).parent / "assets"
_MADE = '<meta name="generator" content="curate">'
_HEAD = 2_000
"""Bytes of a page in which that stands."""

_BOOKS = ("in", "created", "out", "dropped", "failed", "merged")
_LLM = {
    "sent": "requests",
    "journal": "from the journal",
    "reasked": "asked again",
    "retried": "sent again",
    "prompt_tokens": "prompt tokens",
    "completion_tokens": "completion tokens",
    "money": "money",
}


@dataclass(frozen=True)
class Written:
    """A page: where it is, its bytes, its rows, those of the version, and what it says first."""

    path: Path
    bytes: int
    rows: int
    of: int
    headline: tuple[str, ...]


def default_path(version: Version) -> Path:
    """Where the page of a version lies: beside its folder, which is never changed."""
    return version.path.parent / f"{version.path.name}.html"


def write(version: Version, to: Path | None = None) -> Written:
    """Write the page of a version; a page that is there is replaced at once, or not at all.

    Args:
        version: The version.
        to: The file; None: `default_path`.

    Raises:
        UsageError: The file is no page, lies in a version, or is something else.
        CurateError: The file cannot be written.
    """
    path = default_path(version) if to is None else to
    _check_target(path)
    rendered, shown, total = _render(version)
    content = rendered.encode()
    aside = path.with_name(f".{path.name}-{secrets.token_hex(8)}")
    try:
        aside.write_bytes(content)
        aside.replace(path)
    except OSError as error:
        aside.unlink(missing_ok=True)
        raise CurateError(
            f"The report cannot be written to {path}: {error.strerror}.",
            "Name a file in a folder that is there: --to FILE.",
        ) from error
    return Written(path, len(content), shown, total, tuple(headline(version.manifest)))


def _check_target(path: Path) -> None:
    """Raise UsageError where the page would take the place of something else."""
    if path.suffix != ".html":
        raise UsageError(f"{path} does not end in .html.", "The report is a page: --to FILE.html.")
    check_outside(path)
    if path.exists() and _MADE.encode() not in path.read_bytes()[:_HEAD]:
        raise UsageError(
            f"{path} is there already, and no report of curate.", "Name another: --to FILE.html."
        )


def _render(version: Version) -> tuple[str, int, int]:
    """The page, its rows, and the rows of the version."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_ASSETS),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"n": _count, "marked": marked, "line": marked_line, "svg": _svg}
    manifest = version.manifest
    steps = funnel(manifest)
    around, found = near(version), duplicates(version)
    named = {row.id for row in (*around.kept, *around.dropped)} if around else set()
    for each in found:
        for cluster in each.largest:
            named |= {cluster.survivor, *(member.id for member in cluster.members)}
    rows = table(version, named, dict.fromkeys(line.column for line in lines(version)))
    style = _style()
    script = (_ASSETS / "page.js").read_text(encoding="utf-8")
    page = environment.get_template("page.html.j2").render(
        style=Markup(style),  # noqa: S704 - written by us
        script=Markup(script),  # noqa: S704 - written by us
        policy=(
            f"default-src 'none'; script-src '{_hash(script)}'; style-src '{_hash(style)}'; "
            "base-uri 'none'; form-action 'none'"
        ),
        manifest=manifest,
        version=version,
        headline=headline(manifest),
        warnings=warnings(manifest),
        charts=charts(version),
        same=_same(manifest),
        steps=steps,
        failed_head=Failed.HEAD,
        failed=[(step.id, list(map(astuple, step.clauses))) for step in steps if step.clauses],
        split_shares=split_shares(manifest) if "splits" in manifest else None,
        strata=strata(manifest) if "splits" in manifest else None,
        near=around,
        duplicates=found,
        certificates=certificates(manifest),
        clause_head=Clause.HEAD,
        asked=_asked(manifest),
        books_head=_BOOKS,
        rows=rows,
        whole=version.dropped is not None,
        recipe=_text(version, "recipe.yaml"),
        lock=_text(version, "recipe.lock.yaml"),
    )
    return page, rows.shown, rows.total


def _style() -> str:
    """The style sheet, with the colours of the charts as variables."""
    repainted = [
        f'.chart [{what}="{colour}"]{{{what}:var(--{name})}}'
        for name, colour in COLOURS.items()
        for what in ("fill", "stroke")
    ]
    return "\n".join([(_ASSETS / "page.css").read_text(encoding="utf-8"), *repainted])


def _hash(text: str) -> str:
    """As a Content-Security-Policy names what may run or style."""
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def _svg(drawing: Any) -> Markup:
    return Markup(svg(drawing))  # noqa: S704 - drawn from a specification; texts in it are escaped


def _count(value: Any) -> str:
    """A number as people write it; other values as safe text."""
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return marked_line(str(value))


def _same(manifest: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Columns that have one value in all rows, and which."""
    found = {name: shares(manifest, name) for name in ("source", "origin", "generator", "ability")}
    return [(name, values[0].value) for name, values in found.items() if len(values) == 1]


def _asked(manifest: Mapping[str, Any]) -> tuple[list[str], list[list[Any]]]:
    """What stages asked language models, as head and rows of a table."""
    accounts = [
        (stage["id"], stage["services"]["llm"])
        for stage in manifest["stages"]
        if stage.get("services", {}).get("llm")
    ]
    rows = [
        [id, *("" if account.get(key) is None else account[key] for key in _LLM)]
        for id, account in accounts
    ]
    return ["stage", *_LLM.values()], rows


def _text(version: Version, name: str) -> str:
    file = version.path / name
    return file.read_text(encoding="utf-8") if os.path.exists(file) else ""
