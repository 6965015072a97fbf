"""`curate gc`: what is remembered between runs, and removing some of it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from curate.memo.gc import Entry

_SECONDS = {"h": 3600.0, "d": 86_400.0, "w": 604_800.0}
_UNITS = ("B", "kB", "MB", "GB", "TB")


class Age(click.ParamType[float]):
    """Hours, days or weeks, such as `30d`, as seconds."""

    name = "age"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Read an age."""
        if isinstance(value, float):
            return value
        found = re.fullmatch(r"(\d+)([hdw])", value)
        if found is None:
            self.fail(f"'{value}' is no age: write 12h, 30d or 8w.", param, ctx)
        return int(found[1]) * _SECONDS[found[2]]


@click.command(name="gc")
@click.option("--older-than", type=Age(), metavar="AGE", help="Only what was not used for 30d, ...")
@click.option("--stage", "names", multiple=True, metavar="NAME", help="Only what is of this stage.")
@click.option("--answers", is_flag=True, help="Answers of language models too: they were paid for.")
@click.option("--remove", "removing", is_flag=True, help="Remove it; without this it is shown.")
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")
def command(
    older_than: float | None, names: tuple[str, ...], answers: bool, removing: bool, as_json: bool
) -> None:
    """Show what is remembered between runs, by stage and age, and remove what is not needed.

    Published versions are never touched, nor what a running process uses. What was removed is
    computed again when a run needs it.
    """
    from curate.errors import UsageError
    from curate.memo.gc import Removed, held, remove, select
    from curate.sources.hashes import home

    if removing and older_than is None and not names:
        raise UsageError(
            "Say what to remove: --older-than AGE, --stage NAME, or both.",
            "Everything but answers: --older-than 0d.",
        )
    root = home()
    found, strange = held(root)
    chosen = select(found, older_than=older_than, names=names, answers=answers)
    done = remove(root, chosen) if removing else Removed()
    facts = {
        "home": str(root),
        "held": by_name(found),
        "selected": by_name(chosen),
        "removed": by_name(done.entries),
        "in_use": by_name(done.in_use),
        "not_ours": [str(path) for path in strange],
    }
    if as_json:
        import json

        click.echo(json.dumps(facts))
    else:
        _print(facts, removing, narrowed=older_than is not None or bool(names))


def by_name(entries: Iterable[Entry]) -> list[dict[str, Any]]:
    """Sums over the entries of each name: `keys`, `rows`, `bytes`, `made`, `used` (ISO, UTC)."""
    from datetime import UTC, datetime
    from itertools import groupby

    sums = []
    for name, group in groupby(entries, key=lambda entry: entry.name):
        some = list(group)
        rows = [entry.rows for entry in some if entry.rows is not None]
        made, used = min(entry.made for entry in some), max(entry.used for entry in some)
        sums.append(
            {
                "name": name,
                "kinds": sorted({entry.kind for entry in some}),
                "keys": len(some),
                "rows": sum(rows) if rows else None,
                "bytes": sum(entry.bytes for entry in some),
                "made": datetime.fromtimestamp(made, UTC).isoformat(timespec="seconds"),
                "used": datetime.fromtimestamp(used, UTC).isoformat(timespec="seconds"),
            }
        )
    return sums


def _print(facts: Mapping[str, Any], removing: bool, narrowed: bool) -> None:
    from rich.table import Table
    from rich.text import Text

    from curate.commands.printing import wide_console
    from curate.printing import printable

    console = wide_console()
    table = Table(box=None, padding=(0, 1), pad_edge=False, header_style="dim")
    for head in ("of", "what", "keys", "values", "size", "made", "last used"):
        table.add_column(head, justify="right" if head in ("keys", "values", "size") else "left")
    for held in facts["held"]:
        table.add_row(
            Text(held["name"], style="bold"),
            ", ".join(held["kinds"]),
            f"{held['keys']:,}",
            "" if held["rows"] is None else f"{held['rows']:,}",
            size(held["bytes"]),
            held["made"][:10],
            held["used"][:10],
        )
    if facts["held"]:
        console.print(table)
    console.print(Text(f"{_sum(facts['held'])} in {printable(facts['home'])}"), soft_wrap=True)
    if facts["not_ours"]:
        names = printable(", ".join(facts["not_ours"]))
        console.print(Text(f"! not the memo's, and never touched: {names}", style="yellow"))
    if removing:
        console.print(Text(f"removed: {_sum(facts['removed'])}"))
        if facts["in_use"]:
            console.print(
                Text(f"! left, as a run uses it: {_sum(facts['in_use'])}", style="yellow")
            )
    elif narrowed:
        console.print(Text(f"selected: {_sum(facts['selected'])}; --remove removes it"))


def _sum(sums: Iterable[Mapping[str, Any]]) -> str:
    some = list(sums)
    keys, total = (sum(each[name] for each in some) for name in ("keys", "bytes"))
    return f"{keys:,} keys, {size(total)}"


def size(count: float) -> str:
    """Bytes in the unit that makes them short, of thousands."""
    for unit in _UNITS[:-1]:
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} {_UNITS[-1]}"
