"""The stages of the plugin are registered and described."""

from curate.plugins.registry import get_registry
from curate_text.stages import STAGES


def test_the_stages_are_found():
    found = get_registry().stages_of("text")
    assert set(found) == {stage.name for stage in STAGES}
    assert all(name.startswith("text.") for name in found)
