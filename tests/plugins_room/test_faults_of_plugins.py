"""A broken plugin is named with its error and a remedy, and stops only those who use it."""

import pytest

from curate.errors import PluginError
from curate.plugins.loader import discover
from curate.plugins.registry import Registry

HEAD = "from curate.api import FilterStage, ScoreStage, Params, Stage, hookimpl\nCURATE_API = 1\n"
REGISTER = "\n@hookimpl\ndef register_stages(register):\n    register(Bad)\n"


def stage(body, base="FilterStage"):
    lines = "".join(f"    {line}\n" for line in body.split("; "))
    return f"{HEAD}class Bad({base}):\n{lines}{REGISTER}"


FAULTS = {
    "missing_import": ("import no_such_library_at_all", "No module named 'no_such_library_at_all'"),
    "raises": ("raise RuntimeError('boom')", "RuntimeError: boom"),
    "exits": ("import sys; sys.exit(3)", "SystemExit: 3"),
    "syntax": ("def (", "SyntaxError"),
    "no_api": ("from curate.api import hookimpl", "does not state the plugin interface"),
    "api_true": ("CURATE_API = True", "does not state the plugin interface"),
    "later_api": ("CURATE_API = 2", "built for plugin interface 2; this curate has 1"),
    "no_hook": (f"{HEAD}def register_stages(register): pass", "no function register_stages marked"),
    "misspelt_hook": (f"{HEAD}@hookimpl\ndef register_stage(register): pass", "register_stage"),
    "other_signature": (f"{HEAD}@hookimpl\ndef register_stages(reg): pass", "reg"),
    "hook_raises": (
        f"{HEAD}@hookimpl\ndef register_stages(register):\n    raise KeyError('x')",
        "failed in its hook register_stages: KeyError: 'x'",
    ),
    "hook_yields": (
        f"{HEAD}@hookimpl\ndef register_stages(register):\n    yield register(FilterStage)",
        "registers nothing",
    ),
    "too_much": (f"{HEAD}@hookimpl\ndef register_stages(register): register(1, 2)", "TypeError"),
    "no_class": (f"{HEAD}@hookimpl\ndef register_stages(register): register('x')", "no subclass"),
    "no_name": (stage("version = 1"), "without a name"),
    "other_prefix": (stage("name = 'core.bad'; version = 1"), "must be 'badprefix.'"),
    "bare_prefix": (stage("name = 'badprefix'; version = 1"), "must be 'badprefix.'"),
    "no_version": (stage("name = 'badprefix.x'"), "without a version"),
    "version_zero": (stage("name = 'badprefix.x'; version = 0"), "without a version"),
    "version_text": (stage("name = 'badprefix.x'; version = '1'"), "without a version"),
    "no_verb": (stage("name = 'badprefix.x'; version = 1", "Stage"), "without a verb"),
    "plain_params": (
        stage("name = 'badprefix.x'; version = 1; Params = dict"),
        "no subclass of curate.api.Params",
    ),
    "twice": (
        stage("name = 'badprefix.x'; version = 1") + "    register(Bad)\n",
        "registers the stage badprefix.x twice",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_fault_names_plugin_and_spares_the_others(install, fault):
    source, said = FAULTS[fault]
    install("curate-bad", {"curate": {"badprefix": (f"bad_{fault}", source)}})
    registry = Registry(discover())

    for _ in range(2):  # the second time from memory
        with pytest.raises(PluginError) as caught:
            registry.stage("badprefix.x")
        assert said in caught.value.message
        assert f"curate-bad 1.0 (entry point badprefix = bad_{fault}" in caught.value.message
        assert caught.value.remedy

    every = registry.stages()
    assert "core.top" in every
    assert not any(name.startswith("badprefix") for name in every)
    assert said in registry.broken()["curate", "badprefix"].message
    assert registry.stage("core.top").name == "core.top"


def test_interrupt_while_importing_is_not_the_plugins_fault(install):
    install("curate-bad", {"curate": {"stopped": ("bad_interrupt", "raise KeyboardInterrupt")}})
    with pytest.raises(KeyboardInterrupt):
        Registry(discover()).stage("stopped.x")


def test_prefix_claimed_twice_is_an_error_only_when_named(install, good):
    install("curate-one", {"curate": {"both": ("claim_one", good)}})
    install("curate-two", {"curate": {"both": ("claim_two", good)}})
    registry = Registry(discover())
    with pytest.raises(PluginError, match="claimed by curate-one and curate-two"):
        registry.stage("both.keep")
    assert "core.top" in registry.stages()
    assert "claimed" in registry.broken()["curate", "both"].message
