"""The life of a row in a terminal. Every text in it comes from data and is drawn inert."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from itertools import count
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from curate.report.drawing import grid, heading, inert, inline, number, reason_of
from curate.versions.wording import GONE, NEW, SAME

LONG = 1_000
"""Characters of a text that are shown, unless all are asked for."""

AROUND = 120
"""Characters at each end of a passage that two texts have in common."""

SIDES = 3
"""Duplicates and relatives that are shown side by side, unless all are asked for."""

_WIDTH = 110
_LITTLE = 0.4
"""Texts that share less of the longer one are shown without marks."""

_FATE = 40
_NODES = 30
"""Other rows that are named, a line each, unless all are asked for."""

_SHOWN = 12
"""Characters of an id."""

_HOW = {
    "id": "whose ids begin so",
    "text": "that hold this text",
    "where": "for which the condition holds",
}
_LIKE_MARKS = re.compile(r"(?=\[-|-\]|\{\+|\+\})")
_MARKS = {GONE: ("[-", "-]", "red"), NEW: ("{+", "+}", "green")}

_UNSEEN = re.compile(r"(?<!\S) | (?!\S)|[\t\u00a0\u1680\u2000-\u200a\u202f\u205f\u3000]", re.ASCII)
_SPACES = {" ": "·", "\t": "→", "\u00a0": "⍽"}

Life = Mapping[str, Any]


def life(facts: Life, name: str, console: Console, *, full: bool = False) -> None:
    """Print the life of a row.

    Args:
        facts: What `explain` tells.
        name: The version, `NAME@vN`.
        console: Where to.
        full: Show every text whole, and every relative.
    """
    draw = _Drawing(console, facts, full=full)
    draw.head(name)
    draw.text()
    draw.scores()
    draw.stages()
    draw.stand_in()
    draw.duplicates()
    draw.family()


class _Drawing:
    def __init__(self, console: Console, facts: Life, *, full: bool) -> None:
        self.console, self.facts, self.full = console, facts, full
        self.width = min(console.width, _WIDTH)

    def out(self, shown: Any) -> None:
        self.console.print(shown, width=self.width)

    def line(self, text: Text) -> None:
        """A line that is to be copied: never wrapped."""
        self.console.print(text, soft_wrap=True)

    def head(self, name: str) -> None:
        facts, row = self.facts, self.facts["row"] or {}
        style = "bold green" if facts["fate"] == "kept" else "bold red"
        self.line(Text.assemble((facts["id"], "bold"), ("  in  ", "dim"), (name, "bold")))
        self.line(inline(_fate(facts), self.console, style))
        if facts["detail"]:
            self.out(self.long(facts["detail"]))
        maker = facts["made_by"] or "a stage that cannot be told"
        by = f", made by {maker}" if facts["made"] else ""
        place = f"{facts['file']}, line {facts['line']} (source {facts['source']}{by})"
        self.line(Text.assemble(("from  ", "dim"), inline(place, self.console)))
        if earlier := facts["earlier"]:
            there = f" (source {earlier['source']} there)" if earlier["source"] else ""
            more = f"{earlier['version']}{there}: curate explain {earlier['version']} {facts['id']}"
            self.line(Text.assemble(("before  ", "dim"), inline(more, self.console)))
        said = [
            f"{column} {row[column]}"
            for column in ("origin", "generator", "license", "ability")
            if row.get(column)
        ]
        if said:
            self.out(Text.assemble(("has   ", "dim"), self.long(" ".join(", ".join(said).split()))))

    def text(self) -> None:
        self.out("")
        row = self.facts["row"]
        if row is None or row["messages"] is None:
            self.out(Text(f"no text: {self.facts['unpublished']}", style="yellow"))
            return
        table = Table(box=None, padding=(0, 1), pad_edge=False, show_header=False)
        table.add_column(style="dim", max_width=12, overflow="fold")
        table.add_column(overflow="fold")
        for turn in row["messages"]:
            table.add_row(inline(turn["role"], self.console), self.long(turn["content"]))
        self.out(table)

    def long(self, text: str) -> Text:
        """A text, cut where it is long, and by how much."""
        if self.full or len(text) <= LONG:
            return inert(text, self.console)
        more = f"{self.dots} {len(text) - LONG:,} more characters (--full shows them)"
        return Text.assemble(inert(text[:LONG], self.console), (more, "yellow"))

    @property
    def dots(self) -> str:
        return "..." if self.console.options.ascii_only else "…"

    def scores(self) -> None:
        if all(value is None for value in self.facts["scores"].values()):
            return
        self.out("")
        table = grid(("score", "value", "percentile", "among"), ("value", "percentile"))
        for column, value in self.facts["scores"].items():
            if isinstance(value, list):
                table.add_row(inline(column, self.console), f"{len(value)} numbers", "", "")
                continue
            if isinstance(value, str):
                text = self.long(" ".join(value.split()))
                table.add_row(inline(column, self.console), "", "", text)
                continue
            stands = self.facts["percentiles"].get(column)
            percentile = stands["percentile"] if stands else None
            table.add_row(
                inline(column, self.console),
                number(value),
                "" if percentile is None else f"{percentile:.1f}",
                _among(value, stands) if stands else "it has no value",
            )
        self.out(table)

    def stages(self) -> None:
        untold = self.facts["made"] and self.facts["made_by"] is None
        if not self.facts["stages"] and not untold:  # it could not be read
            return
        self.out("")
        if untold:
            said = "the stages before cannot be told: this row is not published"
            self.out(Text(said, style="yellow"))
        table = grid(("", "stage", "outcome", "why"))
        for stage in self.facts["stages"]:
            ended = stage["outcome"] in ("dropped", "failed")
            table.add_row(
                Text(stage["verb"], style="dim"),
                inline(f"{stage['id']}", self.console, "bold"),
                Text(stage["outcome"], style="red" if ended else ""),
                self.why(stage),
            )
        if table.row_count:
            self.out(table)

    def why(self, stage: Life) -> Text:
        """What a stage decided by; each clause of its condition on a line of its own."""
        clauses = stage.get("clauses", ())
        lines = [inline("; ".join(_because(stage)), self.console)]
        width = max((len(each["outcome"]) for each in clauses), default=0)
        for each in clauses:
            values = ", ".join(f"{name} {number(value)}" for name, value in each["values"].items())
            style = "dim" if each["outcome"] == "holds" else "red"
            line = Text(f"{each['outcome']:<{width}}  ", style)
            line.append_text(inline(each["clause"], self.console))
            if values:
                line.append("  ").append_text(inline(f"({values})", self.console, "dim"))
            lines.append(line)
        return Text("\n").join(lines if lines[0] else lines[1:])

    def stand_in(self) -> None:
        for at, other in enumerate(self.facts["stands_for_it"]):
            if "reference" in other:
                title = f"in its place: line {other['line']} of the reference {other['reference']}"
                title += f" ({other['file'] or 'of no known file'})"
                if other["note"]:
                    title += f"; no text: {other['note']}"
            else:
                title = "in its place" if at == 0 else "and in the place of that"
                title += f": {_place(other)}"
            self.beside(title, "this row", "that row", other, other_first=False)

    def duplicates(self) -> None:
        others = self.facts["duplicates"]
        self.several(
            others, f"rows that fell for this one: {len(others):,}", "this row", "that row"
        )

    def family(self) -> None:
        parents, children = self.facts["ancestors"], self.facts["descendants"]
        if not parents and not children:
            return
        self.out("")
        self.out(heading("family"))
        nodes = [*_above(parents), (None, self.facts), *_below(children)]
        shown_nodes = nodes if self.full else nodes[:_NODES]
        for depth, node in shown_nodes:
            word = "this row" if depth is None else ("parent" if depth < 0 else "child")
            indent = 2 * (_height(parents) + (depth or 0))
            self.line(
                Text.assemble(" " * indent, (f"{word} ", "dim"), inline(_place(node), self.console))
            )
        self.more(len(nodes) - len(shown_nodes))
        for title, others, first in (("parent", parents, True), ("child", children, False)):
            shown = others if self.full else others[:SIDES]
            for other in shown:
                names = ("before", "after")
                self.beside(f"{title} {other['id'][:_SHOWN]}", *names, other, other_first=first)
            self.more(len(others) - len(shown))

    def several(self, others: Sequence[Life], title: str, left: str, right: str) -> None:
        if not others:
            return
        self.out("")
        self.out(heading(title))
        shown = others if self.full else others[:SIDES]
        for other in shown:
            self.beside(_place(other), left, right, other, other_first=False)
        rest = others[len(shown) :]
        for other in rest[:_NODES]:
            self.line(inline(_place(other), self.console))
        self.more(len(rest) - _NODES)

    def more(self, count: int) -> None:
        """Say how many are not shown."""
        if count > 0:
            self.out(Text(f"and {count:,} more (--full shows them)", style="yellow"))

    def beside(self, title: str, left: str, right: str, other: Life, *, other_first: bool) -> None:
        """Two texts side by side, what differs marked `[-so-]` and `{+so+}`."""
        self.out("")
        self.line(inline(title, self.console, "bold"))
        row = self.facts["row"]
        if other["messages"] is None or row is None:
            if "note" not in other:
                self.out(Text("  its text is not published", style="yellow"))
            return
        table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim")
        table.add_column(left, ratio=1, overflow="fold")
        table.add_column(right, ratio=1, overflow="fold")
        table.expand = True
        parts = other["differences"]
        if parts is None or _shared(parts) < _LITTLE:
            pair = [self.turns(row["messages"]), self.turns(other["messages"])]
            table.add_row(*(pair[::-1] if other_first else pair))
            self.out(table)
            self.out(Text("not compared" if parts is None else "little in common", style="dim"))
            return
        table.add_row(self.side(parts, GONE), self.side(parts, NEW))
        self.out(table)
        if all(kind == SAME for kind, _ in parts):
            self.out(Text("the texts are the same", style="dim"))

    def turns(self, messages: Sequence[Mapping[str, str]]) -> Text:
        lines = [f"{turn['role']}: {turn['content']}" for turn in messages]
        return self.long("\n\n".join(lines))

    def side(self, parts: Sequence[tuple[str, str]], kind: str) -> Text:
        """One of two texts: what is in both, and what is in it alone."""
        opens, closes, style = _MARKS[kind]
        shown = Text()
        last = len(parts) - 1
        for at, (what, text) in enumerate(_unlike_marks(parts, (SAME, kind))):
            if what == SAME:
                shown.append_text(self.shortened(text, head=at > 0, tail=at < last))
            elif what == kind:
                inner = self.long(_seen(text))
                inner.stylize(style)
                shown.append_text(Text.assemble((opens, style), inner, (closes, style)))
        return shown

    def shortened(self, text: str, *, head: bool, tail: bool) -> Text:
        """A passage in common: its ends, where it is long; the outer ends of the first and last."""
        if self.full or len(text) <= 4 * AROUND:
            return inert(text, self.console)
        left = AROUND if head else 2 * AROUND
        right = AROUND if tail else 2 * AROUND
        gap = f" {self.dots} {len(text) - left - right:,} characters in both {self.dots} "
        ends = (inert(text[:left], self.console), inert(text[-right:], self.console))
        return Text.assemble(ends[0], (gap, "yellow"), ends[1])


def _unlike_marks(
    parts: Sequence[tuple[str, str]], kinds: Collection[str]
) -> list[tuple[str, str]]:
    """Parts of these kinds, so that nothing in them reads as a mark: `{+` as `⟨U+007B⟩+`."""
    own = [(what, text if what in kinds else "") for what, text in parts]
    like = {found.start() for found in _LIKE_MARKS.finditer("".join(text for _, text in own))}
    places = count()
    return [
        (what, "".join(f"⟨U+{ord(c):04X}⟩" if next(places) in like else c for c in text))
        for what, text in own
    ]


def _seen(text: str) -> str:
    """A stretch in which texts differ, with the white space that cannot be seen marked.

    A space stands as it is between two words and otherwise as `·`; a tab is `→`, a no-break space
    `⍽`, others are named; line ends are `↵` where there is white space alone.
    """
    marked = _UNSEEN.sub(lambda found: _SPACES.get(found[0]) or f"⟨U+{ord(found[0]):04X}⟩", text)
    return marked if text.strip() else marked.replace("\n", "↵\n")


def _fate(row: Life) -> str:
    """What became of a row, in words."""
    if row["fate"] is None:
        return "not in this version"
    if row["fate"] == "kept":
        return f"kept, in the split {row['split']}" if row.get("split") else "kept"
    if row["fate"] == "merged":
        return f"replaced by {row['stage']}"
    where = f" at {row['stage']}" if row["stage"] else ""
    return f"{row['fate']}{where}: {reason_of(row['reason'])}"


def _place(row: Life) -> str:
    file = f" ({row['file']}:{row['line']})" if row["file"] else ""
    return f"{row['id'][:_SHOWN]}{file} {_fate(row)}"


def _because(stage: Life) -> list[str]:
    """What a stage decided by, in a few phrases."""
    said = [f"{name} {number(value)}" for name, value in _plain(stage["values"])]
    if stage["outcome"] == "not asked":
        return [f"outside where: {stage['where']}" if stage["where"] else "without a value to read"]
    if stage["outcome"] == "replaced":
        by = ", ".join(each[:_SHOWN] for each in stage.get("children", ()))
        return [f"by {by or 'rows of which the maker cannot be told'}"]
    if stage["outcome"] == "unknown":
        return ["the maker of its children cannot be told: they are not published"]
    if stage.get("children"):
        said.append(f"made {', '.join(each[:_SHOWN] for each in stage['children'])}")
    if stage.get("reason"):
        said.insert(0, reason_of(stage["reason"]))
    clauses = stage.get("clauses", ())
    if stage["stage"] == "core.where" and not clauses:
        said.append(f"keep: {stage['params']['keep']}")
    cut = stage.get("cut")
    known = {*stage["values"], *([cut["column"]] if cut else [])}
    known.update(name for each in clauses for name in each["values"])
    said += [f"{n} {number(v)}" for n, v in _plain(stage.get("reads", {})) if n not in known]
    if cut:
        if cut["column"] not in stage["values"] and cut["value"] is not None:
            said.append(f"{cut['column']} {number(cut['value'])}")
        for side in ("kept", "dropped"):
            if cut[side] and cut["rows"] > 1:
                least, most = map(number, cut[side])
                said.append(f"rows {side} {least}" + (f" to {most}" if most != least else ""))
        if cut["unpublished"]:
            said.append(f"{cut['unpublished']:,} more numbers are not published")
    for margin in stage.get("margins", ()):
        said.append(f"cut {margin['cut']}, nearest row {number(margin['distance'])} away")
    return said


def _shared(parts: Sequence[tuple[str, str]]) -> float:
    """How much of the longer of two texts is in both."""
    lengths = {
        kind: sum(len(text) for at, text in parts if at == kind) for kind in (SAME, GONE, NEW)
    }
    return lengths[SAME] / max(lengths[SAME] + max(lengths[GONE], lengths[NEW]), 1)


def _among(value: bool | float, stands: Mapping[str, Any]) -> str:
    """The rows among which a value stands; those that say the same where it is yes or no."""
    if stands["of"] == 1:
        return "no other row has a value"
    same = f"{number(value)} in {stands['equal']:,} of " if isinstance(value, bool) else ""
    return f"{same}{stands['of']:,} rows with a value"


def _plain(values: Mapping[str, Any]) -> list[tuple[str, Any]]:
    return [
        (name, value)
        for name, value in values.items()
        if value is None or isinstance(value, bool | int | float | str)
    ]


def _height(nodes: Sequence[Life]) -> int:
    return 1 + max(_height(node["ancestors"]) for node in nodes) if nodes else 0


def _above(nodes: Sequence[Life], depth: int = -1) -> list[tuple[int | None, Life]]:
    """Ancestors, the eldest first, each with how many generations it is above."""
    found: list[tuple[int | None, Life]] = []
    for node in nodes:
        found += [*_above(node["ancestors"], depth - 1), (depth, node)]
    return found


def _below(nodes: Sequence[Life], depth: int = 1) -> list[tuple[int | None, Life]]:
    found: list[tuple[int | None, Life]] = []
    for node in nodes:
        found += [(depth, node), *_below(node["descendants"], depth + 1)]
    return found


def briefs(rows: Sequence[Life], total: int, how: str, console: Console) -> None:
    """Print several rows that were found, a line each.

    Args:
        rows: Those to show, as `explain.brief` gives them.
        total: How many were found.
        how: `id`, `text` or `where`: see `Found`.
        console: Where to.
    """
    console.print(Text(f"{total:,} rows {_HOW[how]}", style="bold"))
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, show_header=False)
    fates = min(max((len(_fate(row)) for row in rows), default=0), _FATE)
    table.add_column(no_wrap=True, width=_SHOWN)
    table.add_column(no_wrap=True, width=fates)
    width = max((len(_stands(row)) + 2 for row in rows if _stands(row)), default=0)
    if width:
        table.add_column(no_wrap=True)
    table.add_column(no_wrap=True, max_width=max(console.width - _SHOWN - fates - width - 4, 1))
    for row in rows:
        text = row["text"] if row["text"] is not None else "(not published)"
        said = (row["id"][:_SHOWN], _fate(row), *([_stands(row)] if width else []))
        table.add_row(
            *(inline(cell, console) for cell in said),
            _changed(row["change"], console) if row["change"] else inline(text, console),
        )
    console.print(table)
    if total > len(rows):
        more = f"and {total - len(rows):,} more (--limit N shows more)"
        console.print(Text(more, style="yellow"))


def _stands(row: Life) -> str:
    """The rows that stand for one that fell or gave way."""
    made = row["replaced_by"]
    others = f" and {len(made) - 1:,} more" if made[1:] else ""
    return "".join(f"> {id[:_SHOWN]}{others}" for id in [*made, row["ref"]][:1] if id)


def _changed(parts: Sequence[tuple[str, str]], console: Console) -> Text:
    """The first difference between two texts on one line: `in both[-before-]{+after+}in both`."""
    shown = Text()
    for kind, text in _unlike_marks(parts, (SAME, GONE, NEW)):
        opens, closes, style = _MARKS.get(kind, ("", "", ""))
        said = text if kind == SAME else _seen(text)
        shown.append_text(inert(opens + re.sub(r"\s+", " ", said) + closes, console, style))
    return shown
