"""The service `llm`: asks language models for stages, and pays for every answer once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from curate.answers import Backend, Llm
from curate.asking import LlmSettings
from curate.contract.context import ModelFiles
from curate.contract.marks import Neutral, marker
from curate.errors import CurateError
from curate.hookspecs import hookimpl
from curate.plugins.registry import get_registry
from curate.services.models import find_problem

if TYPE_CHECKING:
    from curate.services.llm.session import Session

CURATE_API = 1


class LlmService:
    """What the runner asks of the service; a stage is given an `Llm` by it."""

    def is_local(self, settings: LlmSettings) -> bool:
        """Whether the model is one whose files have to be found on this machine.

        Raises:
            PluginError: There is no such backend.
        """
        return get_registry().llm(settings.backend).kind == "files"

    def check(self, settings: LlmSettings) -> None:
        """Refuse what this machine shows to be wrong, without a network or a key.

        Raises:
            CurateError: There is no such backend, model or recording, or a setting is wrong for it.
        """
        if not self.is_local(settings):
            self._backend(settings, None)
            return
        found = find_problem(settings.model, get_registry())
        if found:
            raise CurateError(found)

    def identity(self, settings: LlmSettings, files: ModelFiles | None) -> dict[str, Any]:
        """What of the settings changes answers, for keys: the endpoint's address among them.

        Raises:
            CurateError: A setting is wrong for its backend.
        """
        kind = type(settings)
        plain = {
            name: getattr(settings, name)
            for name in kind.model_fields
            if not marker(kind, name, Neutral)
        }
        for place in ("base_url", "answers"):
            plain.pop(place, None)
        if files is not None:
            plain["model"] = files.digest
        return plain | {"address": self._backend(settings, files).address}

    def open(
        self,
        settings: LlmSettings,
        files: ModelFiles | None,
        memo: Path,
        id: str,
        paid: Path | None = None,
        ticked: Callable[[], None] = lambda: None,
    ) -> Session:
        """Begin asking for one stage of one run.

        Args:
            settings: Whom to ask, and how.
            files: Of a model on this machine.
            memo: Folder of the memo, which holds the journal.
            id: The stage's id, for messages.
            paid: Folder of the memo from whose journal alone endpoints are to be answered: nobody
                is asked. None: endpoints are asked.
            ticked: Called now and then while answers are awaited, by whoever waits.
        """
        from curate.services.llm.session import Session

        return Session(settings, self._backend(settings, files), memo, id, paid, ticked)

    def estimate(
        self,
        settings: LlmSettings,
        files: ModelFiles | None,
        memo: Path,
        rows: Iterable[Mapping[str, Any]],
        ask: Callable[[Mapping[str, Any], Llm], object],
        calls: int,
    ) -> Mapping[str, Any]:
        """What asking about some rows would take at most; see `estimating`."""
        from curate.services.llm.estimating import estimate

        return estimate(settings, self._backend(settings, files).address, memo, rows, ask, calls)

    def _backend(self, settings: LlmSettings, files: ModelFiles | None) -> Backend:
        return get_registry().llm(settings.backend)(settings, files)


@hookimpl
def register_services(register: Callable[[Callable[[], Any]], None]) -> None:
    """Offer the service."""
    register(LlmService)
