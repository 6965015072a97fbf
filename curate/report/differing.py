"""What lies between two versions, in a terminal."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from curate.report.drawing import grid, heading, inline, number, reason_of

_LONG = 60
"""Characters of a value of a parameter that are shown; --json has them all."""

Facts = Mapping[str, Any]


def differing(facts: Facts, console: Console) -> None:
    """Print what `Diff.facts` tells; parts in which nothing differs are left out."""
    before, after = (_name(facts[side]) for side in ("before", "after"))
    console.print(Text.assemble((before, "bold"), ("  >  ", "dim"), (after, "bold")))
    console.print(_counts(facts["counts"]))
    if facts["before"]["digest"] == facts["after"]["digest"]:
        console.print(Text("Both have the same digest.", style="dim"))
    for note in _notes(facts):
        console.print(inline(f"! {note}", console, "yellow"))
    parts = {
        "rows": _reasons(facts["reasons"], console),
        "made otherwise": _changes(facts["changes"], console),
        "stages": _stages(facts["stages"], console),
        "policies": _policies(facts["policies"], console),
        "splits": _splits(facts["splits"], facts["counts"]),
        "rows of both versions, in another split": _moves(facts["moves"]),
        "shares of the kept rows": _shares(facts, console),
        "scores, mean and median of the kept rows": _scores(facts["scores"], console),
    }
    for title, table in parts.items():
        if table.row_count:
            console.print()
            console.print(heading(title))
            console.print(table)


def _name(side: Facts) -> str:
    return f"{side['name']}@{side['version']}"


def _counts(counts: Facts) -> Text:
    text = Text.assemble(
        "kept ", (f"{counts['before']:,}", "bold"), " > ", (f"{counts['after']:,}", "bold"), ": "
    )
    changed = f"{counts['changed_before']:,}"
    if counts["changed_after"] != counts["changed_before"]:
        changed += f" > {counts['changed_after']:,}"
    text.append(f"{counts['same']:,} the same, ")
    text.append(f"{counts['removed']:,} removed", style="red")
    text.append(", ")
    text.append(f"{counts['added']:,} added", style="green")
    text.append(", ")
    text.append(f"{changed} changed", style="yellow")
    return text


def _notes(facts: Facts) -> list[str]:
    notes = []
    counts, columns = facts["counts"], facts["columns"]
    if not counts["same"] and not counts["changed_before"] and counts["before"]:
        notes.append(
            "No kept row is in both. Rows are known by the name of their source and their content."
        )
    for side in ("before", "after"):
        alone = facts["scores_alone"][side] + columns[side]
        if alone:
            notes.append(f"Only {_name(facts[side])} has the columns {', '.join(alone)}.")
    if columns["types"]:
        notes.append(
            f"Of other types, and so not compared: the columns {', '.join(columns['types'])}."
        )
    return notes


def _reasons(reasons: Sequence[Facts], console: Console) -> Table:
    table = grid(("", "rows", "stage", "reason"), ("rows",))
    styles = {"removed": "red", "added": "green", "changed": "yellow"}
    for each in reasons:
        said = reason_of(each["reason"])
        if each["change"] == "added" and each["stage"] and each["reason"] != "newly_made":
            said += " in the first"
        table.add_row(
            Text(each["change"], style=styles[each["change"]]),
            f"{each['rows']:,}",
            inline(each["stage"] or "", console),
            inline(said, console),
        )
    return table


def _changes(changes: Sequence[Facts], console: Console) -> Table:
    table = grid(("", "name", "before", "after"))
    for each in changes:
        hashes = each["what"] in ("input", "reference", "model", "environment", "plugin")
        table.add_row(
            Text(each["what"], style="dim"),
            inline(each["name"], console),
            *(inline(_value(each[side], hashes=hashes), console) for side in ("before", "after")),
        )
    return table


def _value(value: Any, *, hashes: bool) -> str:
    if value is None:
        return "-"
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    if hashes and len(text) in (32, 64):
        return text[:12]
    return text if len(text) <= _LONG else f"{text[:_LONG]}..."


def _stages(stages: Sequence[Facts], console: Console) -> Table:
    table = grid(
        ("stage", "in", "out", "in after", "out after", ""), ("in", "out", "in after", "out after")
    )
    for each in stages:
        before, after = each["before"], each["after"]
        if before == after:
            continue
        cells = [
            f"{books[key]:,}" if books else "-"
            for books in (before, after)
            for key in ("in", "out")
        ]
        note = "" if before and after else ("new" if after else "gone")
        table.add_row(inline(each["id"], console), *cells, note)
    return table


def _policies(clauses: Sequence[Facts], console: Console) -> Table:
    table = grid(("stage", "clause", "before", "after"))
    for each in clauses:
        if each["before"] != each["after"]:
            cells = (each["stage"], each["name"], *(_clause(each[s]) for s in ("before", "after")))
            table.add_row(*(inline(cell, console) for cell in cells))
    return table


def _clause(clause: Facts | None) -> str:
    if clause is None:
        return "-"
    return f"{clause['asked']}: {clause['rows']:,} of {clause['of']:,}, {clause['state']}"


def _shares(facts: Facts, console: Console) -> Table:
    table = grid(("column", "value", "before", "% ", "after", "%", ""), ("before", "%", "after"))
    shown: dict[str, list[Facts]] = {}
    for each in facts["shares"]:
        shown.setdefault(each["column"], []).append(each)
    for column, values in shown.items():
        if len(values) < 2 or all(each["before"] == each["after"] for each in values):
            continue
        for at, each in enumerate(sorted(values, key=lambda v: (-v["after"], -v["before"]))):
            cells = _beside(each, facts["counts"])
            value = inline("unknown" if each["value"] is None else each["value"], console)
            table.add_row("" if at else column, value, *cells)
    return table


def _splits(splits: Sequence[Facts], counts: Facts) -> Table:
    table = grid(("split", "before", "% ", "after", "%", ""), ("before", "%", "after"))
    if len(splits) > 1 and any(each["before"] != each["after"] for each in splits):
        for each in splits:
            table.add_row(each["split"], *_beside(each, counts))
    return table


def _beside(each: Facts, totals: Facts) -> list[str]:
    """Rows of both versions, their shares of all kept rows, and by how much these differ."""
    cells, shares = [], []
    for side in ("before", "after"):
        shares.append(100 * (each[side] or 0) / totals[side] if totals[side] else 0.0)
        none = each[side] is None
        cells += ["-", "-"] if none else [f"{each[side]:,}", f"{shares[-1]:.1f}"]
    return [*cells, f"{shares[1] - shares[0]:+.1f} points"]


def _moves(moves: Sequence[Facts]) -> Table:
    table = grid(("before", "after", "rows"), ("rows",))
    for each in moves:
        table.add_row(each["before"], each["after"], f"{each['rows']:,}")
    return table


def _scores(scores: Sequence[Facts], console: Console) -> Table:
    means = ("mean", "mean after", "median", "median after")
    heads = ("column", *means, "in both", "moved", "rank corr.")
    table = grid(heads, heads[1:])
    for each in scores:
        kept = [each[f"kept_{side}"] for side in ("before", "after")]
        texts = all(side["mean"] is None for side in kept)  # of which nothing else is compared
        if not each["moved"] and (texts or kept[0] == kept[1]):
            continue
        table.add_row(
            inline(each["column"], console),
            number(kept[0]["mean"]),
            number(kept[1]["mean"]),
            number(kept[0]["median"]),
            number(kept[1]["median"]),
            f"{each['both']:,}",
            f"{each['moved']:,}",
            number(each["rank_correlation"]),
        )
    return table
