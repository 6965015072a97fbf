"""An observer that fails where it is told to: `brittle=stage_finished`; it writes what it hears."""

import os
from functools import partial

from curate.api import hookimpl

CURATE_API = 1


class Brittle:
    def __init__(self, target):
        self.fails = target

    def hear(self, event, facts):
        with open(os.environ.get("BRITTLE_LOG", os.devnull), "a") as log:
            log.write(f"{event}\n")
        if event == self.fails:
            raise OSError(f"no {event} today")

    def __getattr__(self, event):
        return partial(self.hear, event)


@hookimpl
def register_observers(register):
    register(Brittle)
