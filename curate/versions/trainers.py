"""What trainers have to be told about an exported file: entries to paste, and what they would miss.

The rules are those that the trainers document: LLaMA-Factory in `data/README.md`, axolotl in
`docs/dataset-formats`, `docs/rlhf.qmd` and its configuration reference.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from curate.printing import counted
from curate.sources.formats import sharegpt
from curate.versions.export import Exported

_SPOKEN = {"user": "user_tag", "assistant": "assistant_tag", "tool": "observation_tag"}
_DEFAULTS = {"user": "human", "assistant": "gpt", "tool": "observation", "system": "system"}
_KNOWN_TO_AXOLOTL = {
    "user": ("human", "user"),
    "assistant": ("gpt", "assistant"),
    "system": ("system",),
    "tool": ("tool",),
}
"""Role > words for it that need no `roles:`."""


@dataclass(frozen=True)
class Advice:
    """What to tell one trainer.

    Attributes:
        entry: Its description of the file; None where it cannot read it.
        notes: What it would not read, and what to do about it.
        settings: What its configuration has to say beside the entry.
    """

    entry: Mapping[str, Any] | None
    notes: tuple[str, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)


def llama_factory(exported: Exported) -> Advice:
    """The value of the file's entry in LLaMA-Factory's `dataset_info.json`."""
    name = exported.path.name
    if name.endswith((".gz", ".zst")):
        return Advice(None, ("it does not unpack files: export to .jsonl or .parquet",))
    describe: Callable[[Exported], Advice] = {
        "alpaca": _llama_alpaca,
        "messages": _llama_messages,
        "sharegpt": _llama_sharegpt,
        "prompt-completion": _llama_completion,
        "preference": _llama_preference,
        "unpaired-preference": _llama_unpaired,
    }.get(exported.format, _unknown)
    advice = describe(exported)
    if advice.entry is None:
        return advice
    return Advice({"file_name": name, **advice.entry}, advice.notes)


def axolotl(exported: Exported) -> Advice:
    """The item for the file under `datasets:` of an axolotl configuration."""
    kind = "parquet" if exported.path.suffix == ".parquet" else "json"
    describe: Callable[[Exported], Advice] = {
        "alpaca": _axolotl_alpaca,
        "messages": _axolotl_messages,
        "sharegpt": _axolotl_sharegpt,
        "prompt-completion": _axolotl_completion,
        "preference": _axolotl_preference,
    }.get(exported.format, _unknown)
    advice = describe(exported)
    if advice.entry is None:
        return advice
    file = {"path": exported.path.as_posix(), "ds_type": kind}
    return replace(advice, entry={**file, **advice.entry})


def trl(exported: Exported) -> str | None:
    """Python that loads the file for a trainer of TRL; None where none takes the shape.

    SFTTrainer takes conversations, DPOTrainer preferences, KTOTrainer unpaired ones.
    """
    if exported.format not in _TRL:
        return None
    kind = "parquet" if exported.path.suffix == ".parquet" else "json"
    file = json.dumps(exported.path.as_posix(), ensure_ascii=False)
    return f'load_dataset("{kind}", data_files={file}, split="train")'


_TRL = ("messages", "prompt-completion", "preference", "unpaired-preference")


def _unknown(exported: Exported) -> Advice:
    return Advice(None, (f"no rule is known for the shape {exported.format}",))


def _llama_alpaca(exported: Exported) -> Advice:
    columns = {"prompt": "instruction", "query": "input", "response": "output"}
    columns |= {name: name for name in ("system", "history")}
    return Advice({"formatting": "alpaca", "columns": _there(columns, exported)})


def _llama_completion(exported: Exported) -> Advice:
    if not isinstance(exported.data[0]["prompt"], str):
        return Advice(None, ("it reads prompts that are texts: export --format messages",))
    columns = {"prompt": "prompt", "response": "completion"}
    return Advice({"formatting": "alpaca", "columns": columns})


def _llama_preference(exported: Exported) -> Advice:
    texts = (isinstance(text, str) for row in exported.data for text in row.values())
    if "prompt" not in exported.data[0] or not all(texts):
        return Advice(None, ("of preferences it reads prompts and answers that are texts",))
    columns = {name: name for name in ("prompt", "chosen", "rejected")}
    return Advice({"ranking": True, "formatting": "alpaca", "columns": columns})


def _llama_unpaired(exported: Exported) -> Advice:
    if not isinstance(exported.data[0]["prompt"], str):
        return Advice(None, ("of unpaired preferences it reads texts",))
    columns = {"prompt": "prompt", "response": "completion", "kto_tag": "label"}
    return Advice({"formatting": "alpaca", "columns": columns})


def _llama_messages(exported: Exported) -> Advice:
    conversations = [[(turn["role"], turn) for turn in row["messages"]] for row in exported.data]
    tags = {
        "role_tag": "role",
        "content_tag": "content",
        "user_tag": "user",
        "assistant_tag": "assistant",
        "system_tag": "system",
    }
    if _speakers(conversations) & {"tool"}:
        tags["observation_tag"] = "tool"
    calling = sum(any(turn.get("tool_calls") for _, turn in turns) for turns in conversations)
    notes = _apart(calling, "tool calls are not read in this shape", "sharegpt")
    notes += _uneven([[role for role, _ in turns] for turns in conversations])
    entry = {"formatting": "sharegpt", "columns": {"messages": "messages"}, "tags": tags}
    return Advice(entry, notes)


def _llama_sharegpt(exported: Exported) -> Advice:
    conversations = [
        [(turn["from"], turn) for turn in row["conversations"]] for row in exported.data
    ]
    words = _words(_speakers(conversations))
    several = [sorted(found) for found in words.values() if len(found) > 1]
    if several:
        return Advice(
            None,
            (f"it knows one word for a role, not {' and '.join(several[0])}: --format messages",),
        )
    chosen = {role: next(iter(words.get(role, ())), word) for role, word in _DEFAULTS.items()}
    tags = {"role_tag": "from", "content_tag": "value"}
    tags |= {tag: chosen[role] for role, tag in _SPOKEN.items()}
    tags |= {"function_tag": sharegpt.CALL, "system_tag": chosen["system"]}
    columns = _there({"messages": "conversations", "system": "system", "tools": "tools"}, exported)
    notes = _uneven([[sharegpt.ROLES[who] for who, _ in turns] for turns in conversations])
    return Advice({"formatting": "sharegpt", "columns": columns, "tags": tags}, notes)


def _axolotl_alpaca(exported: Exported) -> Advice:
    more = [name for name in ("system", "history") if name in exported.fields]
    having = sum(any(row[name] for name in more) for row in exported.data)
    notes = _apart(having, f"{' and '.join(more)} are not read", "messages")
    return Advice({"type": "alpaca"}, notes)


def _axolotl_messages(exported: Exported) -> Advice:
    del exported
    return Advice(_template("messages", "role", "content"))


def _axolotl_sharegpt(exported: Exported) -> Advice:
    conversations = [
        [(turn["from"], turn) for turn in row["conversations"]] for row in exported.data
    ]
    speakers = _speakers(conversations)
    entry = _template("conversations", "from", "value")
    if speakers - {word for known in _KNOWN_TO_AXOLOTL.values() for word in known}:
        found = _words(speakers)
        entry["roles"] = {
            role: sorted({*known, *found.get(role, ())} | _calls(role, speakers))
            for role, known in _KNOWN_TO_AXOLOTL.items()
        }
    calling = sum(any(who == sharegpt.CALL for who, _ in turns) for turns in conversations)
    notes = _apart(calling, "tool calls are read as text", "messages")
    if "system" in exported.fields:
        having = sum(bool(row["system"]) for row in exported.data)
        notes += _apart(having, "the field `system` is not read", "messages")
    return Advice(entry, notes)


def _axolotl_completion(exported: Exported) -> Advice:
    if not isinstance(exported.data[0]["prompt"], str):
        return Advice(None, ("it reads prompts that are texts: export --format messages",))
    plain = "{instruction}"
    kind = {
        "field_instruction": "prompt",
        "field_output": "completion",
        "format": plain,
        "no_input_format": plain,
    }
    return Advice({"type": kind})


def _axolotl_preference(exported: Exported) -> Advice:
    row = exported.data[0]
    answers = [[_turns(row[name]) for name in _PAIR[1:]] for row in exported.data]
    entry: dict[str, Any]
    if all(isinstance(row.get(name), str) for name in _PAIR):
        kind = {f"field_{name}": name for name in _PAIR}
        entry = {"type": kind | {f"{name}_format": f"{{{name}}}" for name in _PAIR}}
        apart = 0
    elif row.get("prompt") is not None:
        fields = dict(zip(("messages", "chosen", "rejected"), _PAIR, strict=True))
        entry = {"type": "chat_template.default"}
        entry |= {f"field_{to}": name for to, name in fields.items()}
        apart = sum(len(chosen) > 1 or len(rejected) > 1 for chosen, rejected in answers)
    elif isinstance(row["chosen"], list):
        entry = {"type": "chat_template.argilla_chat"}
        apart = sum(chosen[:-1] != rejected[:-1] for chosen, rejected in answers)
    else:
        return Advice(None, ("of texts it reads no pairs without a field for the prompt",))
    calling = sum(
        any(turn.get("tool_calls") for turn in (*_turns(row.get("prompt")), *chosen, *rejected))
        for row, (chosen, rejected) in zip(exported.data, answers, strict=True)
    )
    notes = _apart(apart, "of answers of several turns only the last turns are compared")
    notes += _apart(calling, "tool calls are not read in this shape")
    return Advice({"split": "train", **entry}, notes, {"rl": "dpo"})


def _turns(value: str | Sequence[Mapping[str, Any]] | None) -> Sequence[Mapping[str, Any]]:
    """The turns of a field; a text has none with more than a text."""
    return [] if value is None or isinstance(value, str) else value


_PAIR = ("prompt", "chosen", "rejected")


def _template(field: str, role: str, content: str) -> dict[str, Any]:
    return {
        "type": "chat_template",
        "field_messages": field,
        "message_property_mappings": {"role": role, "content": content},
    }


def _there(columns: Mapping[str, str], exported: Exported) -> dict[str, str]:
    return {name: column for name, column in columns.items() if column in exported.fields}


def _speakers(conversations: Iterable[Sequence[tuple[str, Any]]]) -> set[str]:
    return {who for turns in conversations for who, _ in turns}


def _words(speakers: Iterable[str]) -> dict[str, set[str]]:
    """Role > the words that stand for it, calls of tools apart."""
    words: dict[str, set[str]] = {}
    for who in speakers:
        if who != sharegpt.CALL:
            words.setdefault(sharegpt.ROLES[who], set()).add(who)
    return words


def _calls(role: str, speakers: set[str]) -> set[str]:
    return {sharegpt.CALL} & speakers if role == "assistant" else set()


def _uneven(conversations: Iterable[Sequence[str]]) -> tuple[str, ...]:
    """Rows whose turns LLaMA-Factory does not take: user or tool first, then the assistant."""
    wrong = 0
    for roles in conversations:
        turns = roles[1:] if roles and roles[0] == "system" else roles
        asked, answered = set(turns[::2]), set(turns[1::2])
        wrong += bool(
            not turns or len(turns) % 2 or asked - {"user", "tool"} or answered - {"assistant"}
        )
    return _apart(wrong, "turns that do not alternate between user and assistant are left out")


def _apart(rows: int, what: str, other: str = "") -> tuple[str, ...]:
    remedy = f": export --format {other}" if other else ""
    return (f"{what} ({counted(rows)}){remedy}",) if rows else ()
