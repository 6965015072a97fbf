"""The dataset card: what the Hub and `datasets` read, and what a person reads first."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import orjson
import yaml

from curate.contract.results import Clause
from curate.printing import counted, fenced, markdown, one_line, printable
from curate.provenance import UNKNOWN
from curate.versions.funnel import funnel, shares, warnings
from curate.versions.overlap import overlap
from curate.versions.policy import certificates
from curate.versions.splits import asked, splits_of, strata
from curate.versions.splits import shares as split_shares

if TYPE_CHECKING:
    import polars as pl

_SIZES = (
    (1_000, "n<1K"),
    (10_000, "1K<n<10K"),
    (100_000, "10K<n<100K"),
    (1_000_000, "100K<n<1M"),
    (10_000_000, "1M<n<10M"),
    (100_000_000, "10M<n<100M"),
    (1_000_000_000, "100M<n<1B"),
)
_LICENSE_TAG = re.compile(r"[a-z0-9][a-z0-9.+-]*\Z")
_LICENSES = 20
"""Licences named in the metadata; the table in the text has all."""

_LICENSE_NAME = 60
"""Characters of a licence's name in the metadata."""

_CHILDREN = 25
"""Rows of which the card names the parents; the data have all."""

_SHOWN = 600
"""Characters of a text in the example row."""


def render(
    manifest: Mapping[str, Any], data: pl.DataFrame, *, values: Mapping[str, int], stored: int
) -> str:
    """Write the card.

    Args:
        manifest: Of the version, number and digest included.
        data: The kept rows; at least one.
        values: Split > bytes of its values in memory.
        stored: Bytes of the files in `data/`.
    """
    licenses = _counts(data["license"].str.strip_chars().replace("", None).fill_null(UNKNOWN))
    head = yaml.safe_dump(
        _metadata(manifest, data, licenses, values, stored), sort_keys=False, allow_unicode=True
    )
    sections = [
        _summary(manifest),
        _stages(manifest),
        _policy(manifest),
        _sources(manifest),
        _rights(licenses),
        _shares(manifest),
        _written(data),
        _splits(manifest),
        _cuts(manifest),
        _baselines(manifest),
        _loading(manifest),
        _reproducing(manifest),
        _limits(manifest),
        _example(data),
    ]
    return f"---\n{head}---\n\n" + "\n\n".join(section for section in sections if section) + "\n"


def _counts(column: pl.Series) -> dict[str, int]:
    counts = column.value_counts(name="rows")
    return dict(counts.sort("rows", column.name, descending=[True, False]).iter_rows())


def _metadata(
    manifest: Mapping[str, Any],
    data: pl.DataFrame,
    licenses: Mapping[str, int],
    values: Mapping[str, int],
    stored: int,
) -> dict[str, Any]:
    synthetic = bool(data["origin"].is_in(["synthetic", "mixed"]).any())
    language = manifest.get("language")
    hub = sorted(
        {name for source in manifest["sources"].values() for name in source.get("hub", ())}
    )
    # `datasets` reads no split without rows
    splits = {name: rows for name, rows in splits_of(manifest).items() if rows}
    return {
        "pretty_name": manifest["name"],
        **({"language": language} if language else {}),
        **_license(licenses),
        # The Hub knows machines, experts, crowds and texts that were found. Of these only what a
        # model wrote is known of a row: who a person was is not, so nothing is said of the others.
        **({"annotations_creators": ["machine-generated"]} if synthetic else {}),
        **({"source_datasets": hub} if hub else {}),
        "task_categories": ["text-generation"],
        "size_categories": [next((s for n, s in _SIZES if len(data) < n), "n>1T")],
        "tags": ["curate", *(["synthetic"] if synthetic else [])],
        "configs": [
            {
                "config_name": "default",
                "data_files": [
                    {"split": name, "path": f"data/{name}-*.parquet"} for name in splits
                ],
            }
        ],
        "dataset_info": {
            # the digest keeps `datasets` from serving another version's rows from its cache
            "description": description(manifest),
            "splits": [
                {"name": name, "num_bytes": values[name], "num_examples": rows}
                for name, rows in splits.items()
            ],
            "download_size": stored,
            "dataset_size": sum(values[name] for name in splits),
        },
    }


def description(manifest: Mapping[str, Any]) -> str:
    """The version, its digest, and a hash of the manifest, whose `card` is a hash of this text."""
    facts = {key: value for key, value in manifest.items() if key != "card"}
    sum_ = hashlib.sha256(orjson.dumps(facts, option=orjson.OPT_SORT_KEYS)).hexdigest()
    return (
        f"curate {manifest['version']}, digest sha256:{manifest['digest']}, manifest sha256:{sum_}"
    )


def _license(licenses: Mapping[str, int]) -> dict[str, str]:
    """What the Hub reads: the licence that all rows share, `unknown` where none has one.

    Anything else is `other` with a name (the Hub takes small letters, digits, points and hyphens)
    and the text `license_details`. There is no `license_link`: it would have to lead to the text of
    a licence, and several have none in common.
    """
    (first, *others) = licenses
    if not others and _LICENSE_TAG.match(first):
        return {"license": first}
    shown = [f"{one_line(name)} ({rows:,} rows)" for name, rows in licenses.items()]
    rest = [f"and {len(shown) - _LICENSES} others"] if len(shown) > _LICENSES else []
    slug = "-".join(re.findall(r"[a-z0-9.]+", first.lower()))[:_LICENSE_NAME].strip(".-")
    return {
        "license": "other",
        "license_name": "several-licenses" if others else slug or "other",
        "license_details": ", ".join([*shown[:_LICENSES], *rest]),
    }


def _summary(manifest: Mapping[str, Any]) -> str:
    books = manifest["books"]
    entered = f"{books['sources']:,} source rows"
    if books["created"]:
        entered += f" and {books['created']:,} created ones"
    gone = ", ".join(f"{books[fate]:,} {fate}" for fate in ("dropped", "failed", "merged"))
    lineage = f", after {manifest['parent']}" if manifest["parent"] else ""
    return (
        f"# {markdown(manifest['name'])} {manifest['version']}\n\n"
        f"**{books['kept']:,} examples kept** of {entered} ({gone}). Instruction-tuning data, "
        f"curated by a recipe with curate {markdown(manifest['curate'])}{lineage}. "
        "Every row ever seen is accounted for in `ledger.parquet`."
    )


def _table(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    lines = [head, ["---"] * len(head)]
    lines += [[f"{c:,}" if isinstance(c, int) else markdown(str(c)) for c in row] for row in rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _stages(manifest: Mapping[str, Any]) -> str:
    rows = [(s.id, f"{s.verb} {s.stage}", s.entered, s.out, s.why()) for s in funnel(manifest)]
    return "## What each stage did\n\n" + _table(("stage", "does", "in", "out", "why"), rows)


def _policy(manifest: Mapping[str, Any]) -> str:
    found = certificates(manifest)
    if not found:
        return ""
    tables = [
        f"Of the stage {markdown(certificate.stage)}:\n\n"
        + _table(Clause.HEAD, [each.words() for each in certificate.clauses])
        for certificate in found
    ]
    return (
        "## Policy\n\nWhat was asked of the rows taken, and what came of it. A clause is binding "
        "where not one row less, or more, would do; otherwise the rows to its nearest bound are "
        "given, below 0 where it is missed. Available are the rows that it could have taken.\n\n"
        + "\n\n".join(tables)
    )


def _sources(manifest: Mapping[str, Any]) -> str:
    rows = []
    for name, source in manifest["sources"].items():
        files = [file["file"] for file in source["files"]]
        shown = ", ".join(files[:3]) + (f" and {len(files) - 3} more" if len(files) > 3 else "")
        said = [source[key] or "unknown" for key in ("origin", "generator", "license")]
        revision = ", ".join(c for c in source.get("hub", {}).values() if c) or source["revision"]
        rows.append((name, shown, revision or "", source["rows"], source["unreadable"], *said))
    head = ("source", "files", "revision", "rows", "unreadable", "origin", "generator", "license")
    return "## Sources\n\n" + _table(head, rows)


def _rights(licenses: Mapping[str, int]) -> str:
    return (
        "The licence of this version is the set of its rows' licences; each row carries its own in "
        "`license`. `a AND b` says that both hold:\n\n"
        + _table(("license", "rows"), licenses.items())
    )


def _shares(manifest: Mapping[str, Any]) -> str:
    rows = [(share.value, share.before, share.after) for share in shares(manifest, "origin")]
    return "Origin of the rows:\n\n" + _table(("origin", "before", "after"), rows)


def _written(data: pl.DataFrame) -> str:
    """Who wrote the rows, and which were made from which; nothing where no model is named."""
    made = data.filter(data["parents"].list.len() > 0)
    if made.is_empty() and data["generator"].null_count() == len(data):
        return ""
    rows = Counter(data.select("origin", "generator").iter_rows())
    children = Counter(made.select("origin", "generator").iter_rows())
    table = _table(
        ("origin", "model", "rows", "of these made from other rows"),
        [
            (origin, model or "none named", rows[origin, model], children[origin, model])
            for origin, model in sorted(rows, key=lambda key: (-rows[key], str(key)))
        ],
    )
    said = (
        "## Who wrote the rows\n\nA `mixed` row has text of a person and of a model in it. The "
        f"columns `origin`, `generator` and `parents` say it of each row.\n\n{table}"
    )
    if made.is_empty():
        return said
    shown = [
        (id, model or "none named", ", ".join(parents))
        for id, model, parents in made.select("id", "generator", "parents").head(_CHILDREN).rows()
    ]
    more = f"The first {_CHILDREN} of {len(made):,} rows" if len(made) > _CHILDREN else "The rows"
    return (
        f"{said}\n\n{more} that were made from others, with these. What became of a parent that is "
        "not in the data stands in `ledger.parquet`.\n\n"
        + _table(("row", "model", "parents"), shown)
    )


def _splits(manifest: Mapping[str, Any]) -> str:
    """The splits, and what says that nothing of one is in another."""
    said = manifest.get("splits")
    if said is None:
        return ""
    together = asked(manifest)["keep_together"]
    columns = " or ".join(f"`{one_line(name)}`" for name in together)
    also = f", nor do rows with the same value of {columns}" if together else ""
    like = ""
    if "like" in said:
        stayed = counted(sum(said["like"]["rows"].values()), "row")
        like = (
            f" But the {stayed} of `{said['like']['version']}` stand where they stood there, apart "
            "if they were apart; what was asked holds for the groups of the other rows."
        )
    text = (
        "## Splits\n\nRows that were made from one another, or from the same row, never straddle "
        f"two splits{also}.{like}\n\n" + _table(*split_shares(manifest))
    )
    head, rows, others = strata(manifest)
    if not rows:
        return text
    more = f"\n\nand {others:,} more" if others else ""
    return f"{text}\n\n{_table(head, rows)}{more}"


def _cuts(manifest: Mapping[str, Any]) -> str:
    rows = [
        (stage["id"], margin["cut"], f"{margin['distance']:.3g}", "yes" if margin["close"] else "")
        for stage in manifest["stages"]
        for margin in stage["margins"]
    ]
    if not rows:
        return ""
    return (
        "## Cuts\n\nHow far the nearest row stood from each cut. Another machine decides the same "
        "wherever a cut was not close.\n\n" + _table(("stage", "cut", "distance", "close"), rows)
    )


def _baselines(manifest: Mapping[str, Any]) -> str:
    found = overlap(manifest)
    if found is None:
        return ""
    compared = manifest["baselines"]
    picks = {
        "the selection": compared["selection"],
        **{f"at random, {pick['pick']}": pick for pick in compared["random"]},
        "the longest": compared["length"],
    }
    rows = [
        (
            name,
            pick["overlap"],
            *(f"{pick['characters'][key]:,.0f}" for key in ("q1", "median", "mean", "q3")),
        )
        for name, pick in picks.items()
    ]
    head = ("rows", "shared", "q1", "median", "mean", "q3")
    return (
        "## Baselines\n\n"
        f"{found.sentence()}. Below, what picks of equal size from the same rows share with the "
        "selection, and the characters of their examples; `manifest.json` has more.\n\n"
        + _table(head, rows)
    )


def _loading(manifest: Mapping[str, Any]) -> str:
    where = f"curated/{manifest['name']}/{manifest['version']}"
    first, *others = splits_of(manifest)
    split = "" if others else f', split="{first}"'
    code = (
        "from datasets import load_dataset\n\n"
        f'dataset = load_dataset("{where}"{split})  # or wherever this folder is'
    )
    return (
        "## Loading\n\n" + fenced(code, "python") + "\n\n"
        "`messages` holds the conversation; original columns stand beside it, unchanged. "
        "`scores.parquet` joins by `id`."
    )


def _reproducing(manifest: Mapping[str, Any]) -> str:
    named = f"{manifest['name']}@{manifest['version']}"
    limit = manifest.get("limit")
    again = f"curate run recipe.yaml --limit {limit}" if limit else f"curate run {named} --locked"
    return (
        "## Reproducing\n\n" + fenced(f"curate verify {named}\n{again}", "sh") + "\n\n"
        "The first command compares every file with what this version claims; the second makes the "
        "rows again. `recipe.yaml` is what was asked, `recipe.lock.yaml` what it resolved to. The "
        "same recipe over the same inputs gives the same digest:\n\n"
        f"`sha256:{manifest['digest']}`"
    )


def _limits(manifest: Mapping[str, Any]) -> str:
    known = list(warnings(manifest))
    unknown = sum(s.after for s in shares(manifest, "origin") if s.value == "unknown")
    if unknown:
        known.append(f"The origin of {unknown:,} kept rows is unknown.")
    if not manifest.get("language"):
        known.append("The recipe does not say in which languages the texts are.")
    known.append("Origins, generators and licences are as the recipe and the sources state them.")
    if manifest["books"]["created"]:
        known.append("Those of created rows follow from what their stage and their parents say.")
    return "## Known limits\n\n" + "\n".join(f"- {markdown(sentence)}" for sentence in known)


def _example(data: pl.DataFrame) -> str:
    row = data.select("id", "messages", "source", "origin", "generator", "license", "ability")
    shown = orjson.dumps(_shortened(row.row(0, named=True)), option=orjson.OPT_INDENT_2).decode()
    return "## An example\n\n" + fenced(printable(shown), "json")


def _shortened(value: Any) -> Any:
    if isinstance(value, str) and len(value) > _SHOWN:
        return f"{value[:_SHOWN]}… ({len(value) - _SHOWN:,} more characters)"
    if isinstance(value, dict):
        return {key: _shortened(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_shortened(item) for item in value]
    return value
