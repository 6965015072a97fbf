"""The funnel: what each stage did to the rows, as the manifest records it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from curate.printing import counted, one_line
from curate.versions.policy import certificates, empty, relaxed
from curate.versions.splits import uneven

_ID = 12
"""Characters of an id."""


@dataclass(frozen=True)
class Failed:
    """A clause of the condition that a filter kept by, and how many of the judged rows fail it.

    Attributes:
        clause: As the recipe writes it.
        failed: Rows for which it is false or null.
        unknown: Of these, those for which it is null.
        alone: Of these, those that fail no other clause.
    """

    clause: str
    failed: int
    unknown: int
    alone: int

    HEAD: ClassVar = ("clause", "rows that fail it", "null", "fail it alone")
    """What its attributes mean."""


@dataclass(frozen=True)
class Step:
    """One stage's books: entered + created = out + dropped + failed + merged.

    Attributes:
        losses: Reason of dropped rows > count; failed and merged rows are counted by those words.
        gone: Rows that were dropped or failed.
        merged: Rows that others, made of them, took the place of.
        distinct: Distinct contents that were to be scored, where the memo was asked.
        remembered: How many of them the memo held.
        repeats: Rows that were to be scored, and whose content another one has.
        shared: The stage in whose forward pass some of them were computed, if it was another's.
        taken: How many these were.
        recalled: How many were made of other outputs that were remembered.
        known: Outputs that were remembered for every content, where others were not.
        auto: What was left to the machine or the model, and the words that it came to.
        notes: What the stage says besides.
        clauses: How many rows fail each clause of its condition; empty where it has one clause, or
            nothing was dropped.
    """

    id: str
    verb: str
    stage: str
    entered: int
    created: int
    out: int
    losses: Mapping[str, int]
    gone: int
    merged: int
    seconds: float
    distinct: int
    remembered: int
    repeats: int = 0
    shared: str | None = None
    taken: int = 0
    recalled: int = 0
    known: tuple[str, ...] = ()
    auto: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    clauses: tuple[Failed, ...] = ()

    def why(self) -> str:
        """Rows that came and went, in words: `12 duplicate, 3 failed`; and the notes."""
        gains = {"created": self.created} if self.created else {}
        words = [f"{n:,} {word}" for word, n in {**gains, **self.losses}.items()]
        return ", ".join([*words, *self.notes])


def funnel(manifest: Mapping[str, Any]) -> list[Step]:
    """The stages of a run, in the order in which they ran."""
    return [_step(stage) for stage in _stages(manifest)]


def _stages(manifest: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The entries of the stages, each with what became of the rows that it flags."""
    fates = manifest.get("flags_by_fate", {})
    return [stage | {"flags_by_fate": fates.get(stage["id"], {})} for stage in manifest["stages"]]


def _step(stage: Mapping[str, Any]) -> Step:
    losses = dict(stage["reasons"])
    losses |= {fate: stage[fate] for fate in ("failed", "merged") if stage[fate]}
    memo = stage["memo"] or {"distinct": 0, "hits": 0}
    return Step(
        id=stage["id"],
        verb=stage["verb"],
        stage=stage["stage"],
        entered=stage["in"],
        created=stage["created"],
        out=stage["out"],
        losses=losses,
        gone=stage["dropped"] + stage["failed"],
        merged=stage["merged"],
        seconds=stage["seconds"],
        distinct=memo["distinct"],
        remembered=memo["hits"],
        repeats=stage.get("repeats", 0),
        shared=stage.get("shares_pass_of"),
        recalled=stage.get("counts", {}).get("recalled", 0),
        known=tuple(
            output
            for output, count in stage.get("remembered", {}).items()
            if memo["hits"] < memo["distinct"] == count
        ),
        auto=tuple(
            value for value in stage.get("auto", {}).values() if isinstance(value, str) and value
        ),
        notes=_notes(stage),
        clauses=tuple(
            Failed(each["clause"], each["failed"], each["unknown"], each["alone"])
            for each in stage.get("clauses", ())
        ),
        taken=min(stage.get("counts", {}).get("pass.shared", 0), memo["hits"]),
    )


def _notes(stage: Mapping[str, Any]) -> tuple[str, ...]:
    notes = [one_line(note) for note in stage.get("notes", ())]
    notes += [
        f"{flag.replace('_', ' ')} in {counted(count)}{_of_these(stage, flag)}"
        for flag, count in stage["flags"].items()
        if count and _gone(stage, flag)
    ]
    notes += _asked(stage.get("services", {}).get("llm"))
    fits = stage.get("fits") or {}
    if stage["verb"] == "filter" and fits and set(fits.values()) == {"memo"}:
        notes.append("found before")
    return tuple(notes)


def _asked(llm: Mapping[str, Any] | None) -> list[str]:
    """What a stage asked a language model, and what that took; and what all its answers took."""
    if llm is None:
        return []
    used = llm.get("used", {})
    if llm.get("kind") == "record":  # nothing is sent, and nothing is paid
        said = [counted(used["answers"], "recorded answer")] if used["answers"] else []
        return said + ([f"{llm['reasked']:,} asked again for the form"] if llm["reasked"] else [])
    words = {
        "sent": f"{counted(llm['sent'], 'request')} sent",
        "journal": f"{counted(llm['journal'], 'answer')} from the journal",
        "reasked": f"{llm['reasked']:,} asked again for the form",
        "retried": f"{llm['retried']:,} sent again",
    }
    said = [words[name] for name in words if llm[name]]
    if llm["sent"]:
        said += _took(llm)
    earlier = used and used["answers"] > llm["sent"] - llm["retried"] - llm["failed"]
    if earlier:
        took = " and ".join(_took(used))
        said.append(
            f"its {counted(used['answers'], 'answer')}, those of earlier runs included: {took}"
        )
    return said


def _took(account: Mapping[str, Any]) -> list[str]:
    # where the server did not say what an answer took, as much is counted as it could have
    most = "at most " if account["unmetered"] else ""
    said = [f"{most}{account['prompt_tokens']:,} + {account['completion_tokens']:,} tokens"]
    if account["money"] is not None:
        said.append(f"{most}{float(account['money']):,.4f} in money")
    return said


@dataclass(frozen=True)
class Share:
    """How many rows had a value at the start, and how many of the kept rows have it."""

    value: str
    before: int
    after: int


def shares(manifest: Mapping[str, Any], column: str) -> list[Share]:
    """The values of `source`, `origin`, `generator` or `ability`, the most frequent first."""
    counts: dict[str, list[int]] = {}  # rows that say `unknown` stand with those that say nothing
    for at, when in enumerate(("before", "after")):
        for value, rows in manifest["shares"][column][when].items():
            counts.setdefault(value or "unknown", [0, 0])[at] += rows
    found = [Share(value, *both) for value, both in counts.items()]
    return sorted(found, key=lambda share: (-share.before, -share.after, share.value))


def grouped(found: Sequence[Share], most: int) -> list[Share]:
    """The first shares, and the others as one; a single other stands as it is."""
    if len(found) <= most + 1:
        return list(found)
    rest = found[most:]
    before, after = (sum(getattr(share, when) for share in rest) for when in ("before", "after"))
    return [*found[:most], Share(f"{len(rest)} others", before, after)]


def kept_of(books: Mapping[str, int]) -> str:
    """What the kept rows, whose number stands before it, are out of."""
    if not books["created"]:
        return f"of {books['sources']:,} examples kept"
    made = f"{books['created']:,} that stages made"
    return f"examples kept, of {books['sources']:,} from the sources and {made}"


def unreadable(manifest: Mapping[str, Any]) -> int:
    """Rows of the sources that could not be read: they are among the failed ones of the books."""
    return sum(int(source["unreadable"]) for source in manifest["sources"].values())


def warnings(manifest: Mapping[str, Any], out: str = "") -> list[str]:
    """What a reader of the version should know, one sentence each.

    Args:
        manifest: Of the version.
        out: What a command needs besides the version's name, such as ` --out DIR`.
    """
    books, found = manifest["books"], []
    if manifest.get("limit"):
        found.append(
            f"A preview: at most the first {manifest['limit']:,} rows of each source were taken."
        )
    unread = unreadable(manifest)
    if unread:
        found.append(f"{counted(unread)} of the sources could not be read and went no further.")
    if books["failed"] > unread:
        failed = counted(books["failed"] - unread)
        found.append(f"{failed} failed and were set aside; {_rerun(manifest)}")
    for name, source in manifest["sources"].items():
        kept = source.get("facts_kept", {})
        for fact, count in source["facts"].items():
            if count and kept.get(fact) != 0:
                found.append(f"Source {name}: {_fact(fact, count, kept.get(fact))}.")
    for stage in _stages(manifest):
        found += _warnings_of(stage, f"{manifest['name']}@{manifest['version']}{out}")
    found += [
        f"The split {name} is empty: it was to have {said['asked']} of the rows."
        for name, said in manifest.get("splits", {}).get("shares", {}).items()
        if not said["rows"]
    ]
    found += uneven(manifest)
    for certificate in certificates(manifest):
        found += relaxed(certificate)
        found += empty(certificate)
    return found


def settled(manifest: Mapping[str, Any]) -> list[str]:
    """Facts of the sources that no kept row has any more."""
    return [
        _fact(fact, count, 0)
        for source in manifest["sources"].values()
        for fact, count in source["facts"].items()
        if count and source.get("facts_kept", {}).get(fact) == 0
    ]


_FACTS = {
    "unread_turns": ("unread turn", ""),
    "equal_answers": ("pair", " whose answers are equal"),
}


def _fact(fact: str, count: int, kept: int | None) -> str:
    """A fact of a source; versions of earlier releases do not say how much of it was kept."""
    if fact in _FACTS:
        noun, rest = _FACTS[fact]
        said = f"{counted(count, noun)}{rest}"
    else:
        said = f"{fact.replace('_', ' ')} in {counted(count)}"
    return said if kept is None else f"{said}, {_number(kept)} kept"


def _rerun(manifest: Mapping[str, Any]) -> str:
    """What a rerun does about failed rows: what a model answered is kept, of use or not."""
    unanswered = [
        stage["services"]["llm"]["failed"]
        for stage in manifest["stages"]
        if stage["failed"] and "llm" in stage.get("services", {})
    ]
    if not unanswered:
        return "a rerun tries again."
    return (
        f"a rerun asks again what had no answer ({counted(sum(unanswered), 'question')}). Answers "
        "that came and were of no use stay as they are: to ask further, raise `llm.reasks` for the "
        "form, `llm.max_tokens` for what was cut off; another `llm.seed` asks all anew."
    )


def _gone(stage: Mapping[str, Any], flag: str) -> bool:
    """Whether all rows that raise a flag left; versions of earlier releases do not say."""
    fates = stage["flags_by_fate"].get(flag)
    return fates is not None and not fates.keys() & {"kept", "merged"}


def _of_these(stage: Mapping[str, Any], flag: str) -> str:
    """How many rows that raise a flag were kept, and how many gave way to others."""
    fates = stage["flags_by_fate"].get(flag)
    if fates is None:
        return ""
    said = f", {_number(fates.get('kept', 0))} kept"
    return said + (f" and {fates['merged']:,} merged" if "merged" in fates else "")


def _number(rows: int) -> str:
    return f"{rows:,}" if rows else "none"


def _flagged(stage: Mapping[str, Any], flag: str, version: str) -> str:
    """The first rows that raise a flag, as `curate explain` takes them; the command for all."""
    ids = stage.get("flagged", {}).get(flag, [])
    if not ids:
        return ""
    first = ", ".join(id[:_ID] for id in ids)
    if len(ids) == stage["flags"][flag]:
        return f": {first}"
    return f": {first} and more (curate explain {version} --where {stage['id']}_{flag})"


def _warnings_of(stage: Mapping[str, Any], version: str) -> list[str]:
    id, counts, found = stage["id"], stage.get("counts", {}), []
    for flag, count in stage["flags"].items():
        if count and not _gone(stage, flag):
            by_source = stage.get("flags_by_source", {}).get(flag, {})
            where = ", ".join(f"{source} {times:,}" for source, times in by_source.items())
            shown = f" ({where})" if where else ""
            said = f"{flag.replace('_', ' ')} in {counted(count)}{shown}{_of_these(stage, flag)}"
            found.append(f"Stage {id}: {said}{_flagged(stage, flag, version)}.")
    if counts.get("target.truncated"):
        found.append(f"Stage {id}: {counts['target.truncated']:,} texts of its targets were cut.")
    if counts.get("pass.smaller_shapes"):
        found.append(
            f"Stage {id}: memory did not suffice for {counts['pass.smaller_shapes']:,} batches, "
            "which were passed in parts; that may change last bits."
        )
    if stage.get("where") and stage["in"] and stage["untouched"] == stage["in"]:
        found.append(f"Stage {id}: no row fits its `where: {stage['where']}`.")
    for margin in stage["margins"]:
        if margin["close"]:
            tolerance = margin["tolerance"]
            why = "may be close" if tolerance is None else "was close"
            may = "" if tolerance is None else f", where each value may move by {tolerance:.2g}"
            found.append(
                f"Stage {id}: the cut {margin['cut']} {why} ({margin['distance']:.2g} from the "
                f"nearest row{may}); another machine may decide that row differently."
            )
    return found
