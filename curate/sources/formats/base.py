"""What a row shape is: how its rows become conversations, and conversations its fields."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    import polars as pl

_SHORT = 40


class RowError(ValueError):
    """A row that cannot be read.

    Args:
        field: The field at fault.
        what: What is wrong, to be read after the field's name: "is null".
        remedy: What to do about it.
    """

    def __init__(self, field: str, what: str, remedy: str = "") -> None:
        super().__init__(f"{field} {what}")
        self.field = field
        self.what = what
        self.remedy = remedy


class NotTextError(RowError):
    """A field holds something else than text."""


@dataclass(frozen=True)
class Conversation:
    """A conversation with all that a row says of it.

    Attributes:
        turns: `role`, `content` and what else a turn holds; calls of tools under `tool_calls`,
            results with the role `tool`, as chat interfaces write them.
        tools: What the assistant may call; None where nothing is said.
        answered: Of a preference: how many of the turns are the prompt; the rest was chosen.
        rejected: Turns that were rejected in favour of those; None where it is no preference.
        plain: Its parts are texts, which no chat template is to be put around.
        implicit: Of a preference: the prompt is what both answers begin with.
    """

    turns: list[dict[str, Any]]
    tools: Sequence[Any] | None = None
    answered: int = 0
    rejected: list[dict[str, Any]] | None = None
    plain: bool = False
    implicit: bool = False


class Format:
    """A row shape. Subclass it and register an instance.

    Class attributes:
        name: The word that recipes use, and the name of the entry point.
        required: Fields that a row must have.
        optional: Fields that it may have.
        synonyms: Field > names under which other data sets have it, for suggestions.
        turn_keys: What a turn may hold that the shape can say; None: anything.
        shared: Fields beside the conversation that rows made from a row take over from it.
        automatic: Whether `format: auto` may find it.
        paired: Whether it says which answer was rejected, too.
        plain: Whether its rows may be texts that follow each other without a template.
        asks: Whether rows have an instruction at all; where not, none is missed.
    """

    name: ClassVar[str]
    required: ClassVar[tuple[str, ...]]
    optional: ClassVar[tuple[str, ...]] = ()
    synonyms: ClassVar[Mapping[str, tuple[str, ...]]] = {}
    turn_keys: ClassVar[frozenset[str] | None] = frozenset({"role", "content"})
    shared: ClassVar[tuple[str, ...]] = ()
    automatic: ClassVar[bool] = True
    paired: ClassVar[bool] = False
    plain: ClassVar[bool] = False
    asks: ClassVar[bool] = True

    def read(self, row: Mapping[str, Any]) -> list[dict[str, str]]:
        """The conversation of one row.

        Args:
            row: Values by the format's field names; what the file lacks is absent.

        Returns:
            Turns with `role` and `content`.

        Raises:
            RowError: The row cannot be read.
        """
        raise NotImplementedError

    def read_texts(
        self,
        texts: Mapping[str, pl.Series],  # noqa: ARG002 - for subclasses
    ) -> Sequence[tuple[str, pl.Series]] | None:
        """The conversations of many rows that hold nothing but text, all at once.

        A format that changes `read` of another without this is read row by row.

        Args:
            texts: Strings (or nulls) by the format's field names; what the file lacks is absent.

        Returns:
            The turns as `read` would give them for each row: a role, and its content in every
            row (strings without nulls). None where rows have to be read one by one: their turns
            differ, or one of them cannot be read.
        """
        return None

    def whole(self, row: Mapping[str, Any]) -> Conversation:
        """The conversation of a row that `read` takes, with all that its turns hold.

        Args:
            row: As for `read`.
        """
        return Conversation(list(self.read(row)))

    def write(
        self, messages: Sequence[Mapping[str, Any]], tools: Sequence[Any] | None = None
    ) -> dict[str, Any] | None:
        """The fields of a row that reads as this conversation.

        Args:
            messages: Turns with `role` and `content`; what else they hold is left out where
                `turn_keys` lacks it.
            tools: What the assistant may call.

        Returns:
            None where the shape cannot say it, tool calls included.
        """
        raise NotImplementedError

    def rows(self, whole: Conversation) -> list[dict[str, Any]] | None:
        """The fields of the rows that say a conversation: one, for shapes of conversations.

        Returns:
            None where the shape cannot say it.
        """
        fields = self.write(whole.turns, whole.tools)
        return None if fields is None else [fields]

    def holds(self, row: Mapping[str, Any], messages: Sequence[Mapping[str, Any]]) -> bool:
        """Whether a row's fields are this conversation.

        Raises:
            RowError: The row cannot be read.
        """
        return self.read(row) == messages

    def rewrite(
        self, row: Mapping[str, Any], messages: Sequence[Mapping[str, Any]]
    ) -> dict[str, Any]:
        """The fields of a row that takes the place of another, or is made from it.

        Args:
            row: The fields of the other one.
            messages: The new conversation.

        Returns:
            All fields; None where there is nothing to say.
        """
        kept = {field: row.get(field) for field in self.shared}
        return dict.fromkeys(self.fields) | kept | (self.write(messages) or {})

    def rewrite_in_place(
        self,
        row: Mapping[str, Any],
        messages: Sequence[Mapping[str, Any]],
        rejected: Sequence[Mapping[str, Any]] | None = None,  # noqa: ARG002 - for subclasses
    ) -> dict[str, Any]:
        """As `rewrite`, of a row that takes the place of the other one: by default the same.

        Args:
            row: The fields of the other one.
            messages: The new conversation.
            rejected: The new rejected answer, where there is one.
        """
        return self.rewrite(row, messages)

    def settle(self, rows: Sequence[dict[str, Any]]) -> Sequence[dict[str, Any]]:
        """Give the rows of one file one form, where the shape has several; as they are otherwise.

        Args:
            rows: Fields, each row as this format reads it.
        """
        return rows

    @property
    def fields(self) -> tuple[str, ...]:
        """All fields, the required ones first."""
        return (*self.required, *self.optional)

    def matches(self, columns: Collection[str], mapping: Mapping[str, str]) -> bool:
        """Whether a file with these columns has every required field.

        Args:
            columns: Columns of the file.
            mapping: Field > column, where their names differ.
        """
        return set(mapping) <= set(self.fields) and all(
            mapping.get(field, field) in columns for field in self.required
        )

    def suggest(self, columns: Collection[str]) -> dict[str, str] | None:
        """The likely mapping of fields to columns; None if a required field has no candidate."""
        mapping = {}
        by_name = {column.lower(): column for column in columns}
        for field in self.fields:
            names = (field, *self.synonyms.get(field, ()))
            found = next((by_name[name] for name in names if name in by_name), None)
            if found is None and field in self.required:
                return None
            if found is not None and found != field:
                mapping[field] = found
        return mapping


def text_of(row: Mapping[str, Any], field: str) -> str:
    """The text of a required field.

    Raises:
        RowError: It is missing, null or no text.
    """
    value = row.get(field)
    if isinstance(value, str):
        return value
    if value is not None:
        raise NotTextError(field, f"is {spoken(value)}, not text")
    raise RowError(field, "is null" if field in row else "is missing")


def optional_text_of(row: Mapping[str, Any], field: str) -> str:
    """The text of an optional field, "" where it is missing or null.

    Raises:
        RowError: It is no text.
    """
    return "" if row.get(field) is None else text_of(row, field)


def turns_of(row: Mapping[str, Any], field: str) -> list[Any]:
    """The turns of a required field.

    Raises:
        RowError: It is missing, null, empty or no list.
    """
    turns = row.get(field)
    if turns is None:
        raise RowError(field, "is null" if field in row else "is missing")
    if not isinstance(turns, list):
        raise RowError(field, f"is {spoken(turns)}, not a list of turns")
    if not turns:
        raise RowError(field, "is empty")
    return turns


def stated(value: Any) -> Any:
    """A value without the nulls of objects: a typed column fills in what a row does not hold."""
    if isinstance(value, Mapping):
        return {key: stated(item) for key, item in value.items() if item is not None}
    return [stated(item) for item in value] if isinstance(value, list) else value


def short(text: str) -> str:
    """The beginning of a word from a file, for messages."""
    return text if len(text) <= _SHORT else f"{text[:_SHORT]}..."


def spoken(value: Any) -> str:
    """What a value is, in words."""
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, int | float):
        return "a number"
    if isinstance(value, str):
        return "a string"
    if isinstance(value, list | tuple):
        return "a list"
    return "an object" if isinstance(value, Mapping) else type(value).__name__
