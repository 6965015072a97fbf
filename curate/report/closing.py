"""What a version looks like in a terminal, and the screen that ends a run."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from curate.contract.results import Clause
from curate.printing import counted, one_line
from curate.report.drawing import grid, inline, out_of
from curate.report.near import Near, near
from curate.versions.funnel import (
    Failed,
    Share,
    Step,
    funnel,
    grouped,
    kept_of,
    settled,
    shares,
    warnings,
)
from curate.versions.open import Version
from curate.versions.overlap import overlap
from curate.versions.policy import Certificate, certificates
from curate.versions.runs import PREVIEW
from curate.versions.splits import TRAIN
from curate.versions.verify import sums_of

_BAR = 12

_VALUES = 8
"""Values of a column whose shares are shown; the rest stands in one line."""

_NEAR = 3
"""Rows that are shown on each side of a cut."""

_CLAUSES = 12
"""Clauses of a policy up to which all are shown; of more, those that decided."""


def render(version: Version, console: Console) -> None:
    """Print the screen that ends a run: the version, where it is, and what to type next."""
    show(version, console, ending=True)
    console.print()
    _print(console, Text.assemble(("version  ", "dim"), (str(version.path), "bold green")))
    _print(console, Text.assemble(("sums     ", "dim"), sums_of(version.path)))
    if version.version == PREVIEW:
        _print(console, Text("next     run it without --limit to publish a version", style="dim"))
        return
    name, out = f"{version.name}@{version.version}", out_of(version)
    split = ", split='train'" if list(version.splits) == [TRAIN] else ""
    commands = (
        f"curate show {name}{out}",
        f"curate versions {version.name}{out}",
        f"datasets.load_dataset({str(version.path)!r}{split})  # in Python",
    )
    for label, command in zip(("next", "", ""), commands, strict=True):
        _print(console, Text.assemble((f"{label:<9}", "dim"), (command, "cyan")))


def show(version: Version, console: Console, *, ending: bool = False) -> None:
    """Print what a version is: its funnel, shares, baselines, policies, examples around the cut.

    Args:
        version: The version.
        console: Where to.
        ending: Whether a run ends here: the clauses of conditions are left to `curate show`.
    """
    manifest = version.manifest
    books = manifest["books"]
    title = Text.assemble((f"{version.name}@{version.version}", "bold"), "  ")
    title.append(f"{books['kept']:,}", style="bold green")
    title.append(f" {kept_of(books)}")
    console.print()
    _print(console, title)
    made = f"{manifest['created'][:16].replace('T', ' ')}, digest {version.digest[:12]}"
    _print(console, Text(f"{made}, seed {manifest['seed']}", style="dim"))
    console.print()
    console.print(_funnel(version, console))
    _failed(version, console, ending=ending)
    for column in ("origin", "source"):
        found = shares(manifest, column)
        if column == "origin" or len(found) > 1:
            console.print()
            console.print(_shares(column, found, console))
    overlapping = overlap(manifest)
    if overlapping is not None:
        console.print()
        console.print(Text.assemble(("baselines ", "bold"), overlapping.sentence()))
    for certificate in certificates(manifest):
        console.print()
        _print(console, Text.assemble(("policy of ", "bold"), (certificate.stage, "bold")))
        console.print(_clauses(certificate, console))
        slack = sum(clause.state == "slack" for clause in certificate.clauses)
        if slack and len(certificate.clauses) > _CLAUSES:
            console.print(Text(f"and {slack:,} more, met with rows to spare", style="dim"))
    around = near(version, _NEAR)
    if around is not None:
        console.print()
        line = around.line
        place = f"around the cut of {line.stage}, by {line.column}"
        _print(console, Text.assemble((place, "bold"), (f": {line.words}", "dim")))
        console.print(_examples(around, console))
    found_warnings = warnings(manifest)
    if found_warnings:
        console.print()
    for sentence in found_warnings:
        console.print(Text(f"! {one_line(sentence)}", style="yellow"))


def _print(console: Console, text: Text) -> None:
    """Print one line that is to be copied: never wrapped or cut."""
    console.print(text, soft_wrap=True)


def _funnel(version: Version, console: Console) -> Table:
    steps, sources = funnel(version.manifest), version.manifest["sources"].values()
    rows, unreadable = (sum(source[key] for source in sources) for key in ("rows", "unreadable"))
    most = max([rows, *(step.entered + step.created for step in steps)])
    table = Table(box=None, padding=(0, 1), header_style="dim", pad_edge=False)
    table.add_column("stage", no_wrap=True)
    table.add_column("in", justify="right", no_wrap=True)
    table.add_column("out", justify="right", no_wrap=True)
    table.add_column("", no_wrap=True)
    table.add_column("what happened")
    table.add_column("time", justify="right", no_wrap=True)
    unread = [f"{unreadable:,} unreadable"] if unreadable else []
    table.add_row(
        Text.assemble((f"{'read':<7}", "dim"), ("sources", "bold")),
        f"{rows:,}",
        f"{rows - unreadable:,}",
        _bar(rows - unreadable, most, console),
        Text(", ".join([*unread, *settled(version.manifest)])),
        "",
    )
    for step in steps:
        table.add_row(
            Text.assemble((f"{step.verb:<7}", "dim"), (step.id, "bold")),
            f"{step.entered:,}",
            f"{step.out:,}",
            _bar(step.out, most, console),
            Text(_happened(step)),
            Text(_time(step.seconds), style="dim"),
        )
    return table


def _failed(version: Version, console: Console, *, ending: bool) -> None:
    """How many rows fail each clause of the conditions of filters, or where that is said."""
    steps = [step for step in funnel(version.manifest) if step.clauses]
    if ending and steps:
        command = f"curate show {version.name}@{version.version}{out_of(version)}"
        said = f"rows by clause of {', '.join(step.id for step in steps)}: {command}"
        _print(console, Text(said, style="dim"))
        return
    for step in steps:
        console.print()
        title = (f"rows by clause of {step.id}", "bold")
        _print(console, Text.assemble(title, (" (one may fail several)", "dim")))
        table = grid(Failed.HEAD, Failed.HEAD[1:])
        for each in step.clauses:
            numbers = (each.failed, each.unknown, each.alone)
            table.add_row(inline(each.clause, console), *(f"{n:,}" for n in numbers))
        console.print(table)


def _happened(step: Step) -> str:
    parts = [part for part in (step.why().replace("_", " "),) if part]
    if step.remembered:
        before = step.remembered - step.taken
        if before:
            parts.append(f"{before:,} of {step.distinct:,} remembered")
        if step.taken:
            parts.append(f"{step.taken:,} in the pass of {step.shared}")
    elif step.distinct:
        parts.append(_computed(step))
    if step.distinct and step.repeats:
        parts.append(counted(step.repeats, "repeat"))
    if step.distinct and step.auto:
        parts.append(" ".join(step.auto))
    return ", ".join(parts)


def _computed(step: Step) -> str:
    if step.recalled:
        return f"{step.recalled:,} made of what was kept"
    besides = [name for name in step.known if name != "truncated"]
    return f"{step.distinct:,} computed" + (f" ({', '.join(besides)} known)" if besides else "")


def _time(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} m" if hours else f"{minutes} m {rest:02} s"


def _bar(part: int, whole: int, console: Console) -> Text:
    """A bar as long as the share; at least one mark for what is not nothing."""
    full, empty = ("#", ".") if console.options.ascii_only else ("█", "░")
    marks = max(round(_BAR * part / whole), 1) if part else 0
    return Text.assemble((full * marks, "green"), (empty * (_BAR - marks), "dim"))


def _shares(column: str, found: Sequence[Share], console: Console) -> Table:
    before, after = sum(s.before for s in found), sum(s.after for s in found)
    table = Table(box=None, padding=(0, 1), header_style="dim", pad_edge=False)
    table.add_column(column, no_wrap=True, max_width=24)
    for when in ("before", "after"):
        table.add_column(when, justify="right", no_wrap=True)
        table.add_column("", justify="right", no_wrap=True)
    table.add_column("", no_wrap=True)
    for share in grouped(found, _VALUES):
        table.add_row(
            inline(share.value, console),
            f"{share.before:,}",
            _percent(share.before, before),
            f"{share.after:,}",
            _percent(share.after, after),
            _bar(share.after, after, console),
        )
    return table


def _percent(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f} %" if whole else ""


def _clauses(certificate: Certificate, console: Console) -> Table:
    table = Table(box=None, padding=(0, 1), header_style="dim", pad_edge=False)
    for name in Clause.HEAD:
        # long names fold: a clause that cannot be read certifies nothing
        right, folds = name in ("achieved", "available"), name in ("clause", "asked")
        table.add_column(
            name,
            justify="right" if right else "left",
            no_wrap=not folds,
            overflow="fold",
        )
    styles = {"relaxed": "yellow", "binding": "green", "slack": "none"}
    clauses = certificate.clauses
    if len(clauses) > _CLAUSES:  # of many, those that decided
        clauses = tuple(clause for clause in clauses if clause.state != "slack")
    for clause in clauses:
        row = [inline(cell, console) for cell in clause.words()]
        row[Clause.HEAD.index("state")].stylize(styles[clause.state])
        table.add_row(*row)
    return table


def _examples(around: Near, console: Console) -> Table:
    sides = {"just kept": around.kept, "just dropped": around.dropped}
    labels = max(map(len, sides))
    scores = max(len(row.shown) for side in sides.values() for row in side)
    gaps = 2 * 2
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, show_header=False)
    table.add_column(style="dim", width=labels)
    table.add_column(justify="right", width=scores)
    table.add_column(
        no_wrap=True,
        overflow="crop" if console.options.ascii_only else "ellipsis",
        max_width=max(console.width - labels - scores - gaps, 1),
    )
    for label, side in sides.items():
        for at, row in enumerate(side):
            style = "red" if side is around.dropped else "green"
            score = Text(row.shown, style=style)
            table.add_row("" if at else label, score, inline(row.text, console))
    return table
