"""Every plugin is imported in a process of its own: exits, crashes and hangs are findings."""

from curate.plugins.health import examine_all
from curate.plugins.loader import discover
from curate.plugins.registry import Registry

NOISY = "print('hello from a plugin')\n"


def test_crashes_hangs_and_claims_are_lines_of_the_list(install, good):
    sources = {
        "quiet": good,
        "noisy": NOISY + good,
        "hanging": "import time; time.sleep(600)",
        "exiting": "import os; os._exit(0)",
        "crashing": "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)",
        "raising": "raise RuntimeError('boom')",
    }
    for word, source in sources.items():
        install(f"curate-{word}", {"curate": {word: (f"health_{word}", source)}})
    install("curate-hiding", {"curate.commands": {"run": ("health_run", "")}})
    install("curate-twin", {"curate": {"quiet2": ("health_q2", good)}})
    install("curate-twin2", {"curate": {"quiet2": ("health_q3", good)}})
    mine = [point for point in discover() if point.entry.module.startswith("health_")]

    found = {health.name: health for health in examine_all(Registry(mine), ["run"], seconds=5)}

    def error(name):
        (finding,) = found[name].findings
        return finding.error

    assert found["curate-quiet"].well
    assert found["curate-noisy"].well
    (finding,) = found["curate-noisy"].findings
    assert [(s.name, s.verb, s.version, s.summary) for s in finding.stages] == [
        ("noisy.keep", "filter", 1, "Keeps.")
    ]
    assert finding.api == 1
    assert "did not finish loading within 5 s" in error("curate-hanging")
    assert "ended the process while being loaded (exit status 0)" in error("curate-exiting")
    assert "ended the process while being loaded (exit status -11)" in error("curate-crashing")
    assert "RuntimeError: boom" in error("curate-raising")
    assert "core's own" in error("curate-hiding")
    assert "claimed by curate-twin and curate-twin2" in error("curate-twin")
    assert "claimed by curate-twin and curate-twin2" in error("curate-twin2")
