"""Curves: read, fitted, judged, drawn, and used in place of a table."""

import json
import math
import subprocess
import sys

import numpy as np
import polars as pl
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import curve_fit

import curate
from curate.api import CurateError
from curate.commands import call
from curate_sources.growth.curves import read_curves
from curate_sources.growth.laws import fit_law
from curate_sources.growth.saturation import FitParams, fit_curves
from curate_sources.growth.stage import GrowthParams

ROWS = (1, 4, 16, 64, 256, 1000)


def runs(law, *, rows=ROWS, noise=0.0, repeats=1, seed=0):
    rng = np.random.default_rng(seed)
    return tuple(sorted((n, law(n) + noise * rng.normal()) for n in rows for _ in range(repeats)))


def fit(law, params=None, **how):
    return fit_curves({"a": runs(law, **how)}, params or FitParams())["a"]


def power(start, ceiling, b, n0=1):
    return lambda n: ceiling - (ceiling - start) * (n / n0) ** -b


def test_planted_parameters_come_back():
    found = fit(power(30, 80, 0.6))
    assert (found.law.start, found.law.b) == (
        pytest.approx(30, abs=1e-4),
        pytest.approx(0.6, rel=1e-4),
    )
    assert found.law.slope / found.law.b == pytest.approx(50, rel=1e-4)
    assert found.law.r2 == pytest.approx(1)
    assert found.reached == pytest.approx(20 ** (1 / 0.6), rel=1e-3)  # 147.4
    assert str(found.pace) == "saturates at 150"
    assert found.why == (
        "gains 49.2 from 1 to 1,000 rows; 0.95 of the way to its ceiling at 147 rows"
    )
    assert str(found.law) == "30 + 30 (1 - n^-b) / b, b 0.6, ceiling 80"


def test_planted_parameters_come_back_with_noise():
    found = fit(power(30, 80, 0.6), noise=1.0, repeats=5)
    assert found.law.b == pytest.approx(0.6, abs=0.1)
    assert found.law.start == pytest.approx(30, abs=2)
    assert found.law.start + found.law.slope / found.law.b == pytest.approx(80, abs=2)
    assert found.law.noise == pytest.approx(1.0, rel=0.5)
    assert found.law.noise_of == "repeated runs"
    assert 100 <= found.pace.at <= 220


@settings(max_examples=40, deadline=None)
@given(
    st.floats(-50, 50),
    st.floats(0.5, 100),
    st.floats(-0.5, 1.5).filter(lambda b: abs(b) > 0.01),
    st.integers(0, 99),
)
def test_the_fit_is_the_least_squares_of_scipys_general_search(start, rise, b, seed):
    points = runs(
        lambda n: start + rise * (1 - n**-b) / (1 - 1000**-b),
        noise=0.02 * rise,
        repeats=2,
        seed=seed,
    )
    found = fit_curves({"a": points}, FitParams())["a"]
    rows, metric = (np.array(each, dtype=float) for each in zip(*points, strict=True))

    def law(n, start, slope, b):
        return start + slope * (1 - n**-b) / b

    guess = (found.law.start, found.law.slope, found.law.b)
    other, _ = curve_fit(law, rows, metric, p0=guess, maxfev=10_000)
    ours = ((law(rows, *guess) - metric) ** 2).sum()
    theirs = ((law(rows, *other) - metric) ** 2).sum()
    assert ours <= theirs * (1 + 1e-6)
    assert found.law.residual == pytest.approx(math.sqrt(ours / (len(rows) - 3)), rel=1e-6)
    assert found.law.r2 == pytest.approx(1 - ours / ((metric - metric.mean()) ** 2).sum(), rel=1e-6)
    np.testing.assert_allclose(found.law.at(rows), law(rows, *guess), rtol=1e-6, atol=1e-6 * rise)


@pytest.mark.parametrize(
    ("law", "pace", "why"),
    [
        (lambda n: 40.0, "token", "does not change from 1 to 1,000 rows"),
        (lambda n: 20 + 6 * math.log(n), "responsive", "no ceiling that could be reached"),
        (lambda n: 20 + n**0.3, "responsive", "no ceiling that could be reached"),
        (power(30, 80, 0.2), "responsive", "way to its ceiling at 3.2e+06 rows"),
        (
            lambda n: 30 if n == 1 else 70,
            "saturates at 4",
            "of the way to its ceiling at 2 rows (90%: from 1 to 2)",
        ),
        (lambda n: 60 - 5 * math.log(n), "token", "gets worse by 34.5 from 1 to 1,000 rows"),
    ],
)
def test_verdicts(law, pace, why):
    found = fit(law)
    assert str(found.pace) == pace
    assert why in found.why


def test_a_flat_curve_of_noise():
    found = fit(lambda n: 40, noise=2, repeats=3)
    assert str(found.pace) == "token"
    assert found.law.noise == pytest.approx(2, rel=0.4)
    assert "not above 3 x noise" in found.why


def test_each_parameter_of_the_verdict():
    saturating = power(30, 80, 0.6)
    assert str(fit(saturating, FitParams(reach=0.9)).pace) == "saturates at 47"
    assert str(fit(saturating, FitParams(digits=3)).pace) == "saturates at 148"
    assert str(fit(saturating, FitParams(digits=1)).pace) == "saturates at 200"
    assert str(fit(saturating, FitParams(reach=0.99)).pace) == "responsive"  # at 2,154
    assert str(fit(saturating, FitParams(min_gain=49.3)).pace) == "token"
    noisy = {"noise": 3.0, "repeats": 3}
    assert str(fit(saturating, FitParams(flat=50), **noisy).pace) == "token"
    assert str(fit(saturating, FitParams(flat=0), **noisy).pace).startswith("saturates")
    loss = fit(lambda n: -saturating(n), FitParams(better="lower"))
    assert (str(loss.pace), loss.gain) == ("saturates at 150", pytest.approx(49.2, abs=0.1))
    assert str(fit(lambda n: -saturating(n)).pace) == "token"


def test_n_never_exceeds_what_was_measured():
    found = fit(power(30, 80, math.log(20) / math.log(995)))
    assert found.reached == pytest.approx(995, rel=1e-3)
    assert found.pace.at == 1000


def test_a_curve_that_the_law_does_not_fit_is_called_so():
    found = fit(lambda n: {1: 30, 4: 30, 16: 60, 64: 30, 256: 60, 1000: 60}[n], FitParams(flat=0.5))
    assert "fits poorly (R2 0." in found.why
    assert "poorly" not in fit(power(30, 80, 0.6)).why
    assert (
        "poorly"
        not in fit(
            lambda n: {1: 30, 4: 30, 16: 60, 64: 30, 256: 60, 1000: 60}[n],
            FitParams(flat=0.5, poor=0.1),
        ).why
    )


def test_repeated_runs_tell_the_noise_longhand():
    points = {1: [10, 12], 4: [30, 31], 16: [40, 44], 64: [50, 50]}
    curve = tuple(sorted((n, float(y)) for n, ys in points.items() for y in ys))
    found = fit_curves({"a": curve}, FitParams())["a"]
    within = sum((y - np.mean(ys)) ** 2 for ys in points.values() for y in ys)
    assert found.law.noise == pytest.approx(math.sqrt(within / 4))
    few = fit_curves({"a": curve[:2] + curve[3:]}, FitParams())["a"]
    assert few.law.noise_of == "repeated runs"
    assert fit(power(30, 80, 0.6), noise=1).law.noise_of == "residuals"


def test_the_exponents_between_are_those_that_an_f_test_does_not_refuse():
    from scipy.stats import f as fisher

    curve = runs(power(30, 80, 0.6), noise=2, repeats=2)
    law = fit_law("a", curve)
    rows, metric = (np.array(each, dtype=float) for each in zip(*curve, strict=True))

    def squares(b):
        design = np.stack([np.ones_like(rows), (1 - rows**-b) / b], axis=1)
        return ((metric - design @ np.linalg.lstsq(design, metric)[0]) ** 2).sum()

    freedom = len(rows) - 3
    for b in law.between:
        test = (squares(b) - squares(law.b)) / squares(law.b) * freedom
        assert fisher.cdf(test, 1, freedom) == pytest.approx(0.9, abs=1e-6)
    assert law.between[0] < law.b < law.between[1]


def test_what_is_not_known_has_no_ends():
    law = fit_law("a", runs(lambda n: 40))
    assert law.between == (-math.inf, math.inf)
    assert law.r2 is None
    logarithm = fit(lambda n: 20 + 6 * math.log(n), noise=1)
    assert logarithm.between == (None, None)
    assert logarithm.why == "gains 41.4 from 1 to 1,000 rows; no ceiling that could be reached"
    unsure = fit(lambda n: 20 + 6 * math.log(n), noise=4)
    assert unsure.why.endswith(" on)")


@pytest.mark.parametrize("value", [40.0, 0.0, 0.1, -3.3])
def test_runs_that_are_equal_up_to_rounding_are_a_constant(value):
    curve = tuple((n, value * (1 + at % 2 * 2e-16)) for at, n in enumerate(ROWS * 3))
    found = fit_curves({"a": tuple(sorted(curve))}, FitParams())["a"]
    assert (str(found.pace), found.why) == ("token", "does not change from 1 to 1,000 rows")
    assert (found.law.slope, found.law.b, found.law.r2, found.law.residual) == (0, 0, None, 0)
    assert found.law.start == pytest.approx(value, rel=1e-15)
    assert str(found.law) == f"{value:g}, a constant"


def test_a_logarithm_is_written_as_one():
    for sign, smallest in ((1, 1), (-1, 4)):
        curve = runs(
            lambda n, sign=sign, smallest=smallest: 20 + sign * 6 * math.log(n / smallest),
            rows=[n for n in (1, 4, 8, 16, 64, 256) if n >= smallest],
        )
        law = fit_law("a", curve)
        assert abs(law.b) < 1e-4
        assert law.exact
        assert str(law) == f"20 {'+-'[sign < 0]} 6 ln {'n' if smallest == 1 else '(n / 4)'}"
    assert not fit(power(30, 80, 0.6), noise=0.1).law.exact
    assert str(fit(power(30, 80, 0.01)).law).endswith("b 0.01")
    assert str(fit(power(30, 80, 0.05)).law).endswith("b 0.05, ceiling 80")


def test_a_curve_that_gets_worse_is_called_so_whichever_way_is_better():
    rising = fit(lambda n: 20 + 6 * math.log(n), FitParams(better="lower"))
    assert (str(rising.pace), rising.why) == ("token", "gets worse by 41.4 from 1 to 1,000 rows")
    within = fit(lambda n: 20 + 6 * math.log(n), FitParams(better="lower", min_gain=50))
    assert within.why == "gets worse by 41.4 from 1 to 1,000 rows, not above min_gain 50"


def test_the_order_of_lines_changes_no_bit(tmp_path):
    lines = [f"a,{n},{y!r}" for n, y in runs(power(30, 80, 0.6), noise=1, repeats=3)]
    head = "ability,rows,metric"
    one, two = tmp_path / "one.csv", tmp_path / "two.csv"
    one.write_text("\n".join([head, *lines]))
    two.write_text("\r\n".join(["\ufeff" + head, *lines[::-1], "", ""]), encoding="utf-8")
    first, second = (fit_curves(read_curves(path), FitParams()) for path in (one, two))
    assert first == second


def test_abilities_stand_in_the_order_of_the_file(tmp_path):
    path = tmp_path / "c.csv"
    lines = [f"{n},{n},{name}" for n in ROWS for name in "zam"]
    path.write_text("\n".join(["metric,rows,ability", *lines]))
    assert list(read_curves(path)) == ["z", "a", "m"]


GOOD = "ability,rows,metric\na,1,1\na,2,2\na,3,3\na,4,4\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", ":1: the column 'ability' is missing."),
        ("ability,rows,metric\n", "holds no runs"),
        ("ability,rows,metric,rows\n", ":1: the column 'rows' stands there twice."),
        ("ability,rows,metrics\n", ":1: there is a column 'metrics' beside ability, rows, metric."),
        ("ability,rows\n", ":1: the column 'metric' is missing."),
        (GOOD + "a,5\n", ":6: 2 cells under 3 columns."),
        (GOOD + ",5,1\n", ":6: the ability is empty."),
        (GOOD + "a\x1b[31m,5,1\n", ":6: the ability holds characters that cannot be printed."),
        (GOOD + "a,-5,1\n", ":6: rows must be a whole number from 1 on, not '-5'."),
        (GOOD + "a,2.5,1\n", ":6: rows must be a whole number from 1 on, not '2.5'."),
        (GOOD + "a,0,1\n", "no place for a model without training rows"),
        (GOOD + "a,5,nan\n", ":6: metric must be a finite number, not 'nan'."),
        (GOOD + "a,5,inf\n", ":6: metric must be a finite number, not 'inf'."),
        (GOOD + "a,5,\n", ":6: metric must be a finite number, not ''."),
        (GOOD + "b,1,1\nb,1,2\nb,64,3\nb,1000,3\n", "'b' is measured at 3 different numbers of"),
        (GOOD + 'a,5,"1\n', "is no CSV in UTF-8"),
        (GOOD + '\n"a",5,"1\n"\na,6,x\n', ":9: metric must be"),
    ],
)
def test_mistakes_in_the_file(tmp_path, text, message):
    path = tmp_path / "c.csv"
    path.write_text(text)
    with pytest.raises(CurateError) as caught:
        read_curves(path)
    assert message in str(caught.value)
    assert str(path) in str(caught.value)


def test_files_that_cannot_be_read(tmp_path):
    with pytest.raises(CurateError, match="cannot be read: No such file"):
        read_curves(tmp_path / "none.csv")
    (tmp_path / "latin.csv").write_bytes("ability,rows,metric\nä,1,2\n".encode("latin-1"))
    with pytest.raises(CurateError, match="is no CSV in UTF-8"):
        read_curves(tmp_path / "latin.csv")


def test_a_search_that_does_not_converge(monkeypatch):
    import scipy.optimize

    real = scipy.optimize.minimize_scalar

    def short(*given, options, **named):
        return real(*given, options={**options, "maxiter": 1}, **named)

    monkeypatch.setattr("curate_sources.growth.laws.minimize_scalar", short)
    with pytest.raises(CurateError, match="curve of 'a' does not converge"):
        fit(power(30, 80, 0.6), noise=1)


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CURATE_HOME", str(tmp_path / "home"))
    laws = {"talk": power(30, 80, 0.6), "ethics: right": lambda n: 40, "code": lambda n: 9 * n**0.2}
    lines = [
        f"{name},{n},{y}"
        for name, law in laws.items()
        for n, y in runs(law, noise=0.5, repeats=3, rows=(1, 2, 4, 8, 16, 32))
    ]
    (tmp_path / "curves.csv").write_text("\n".join(["ability,rows,metric", *lines]) + "\n")
    rows = [
        {"instruction": f"{name} {at}", "output": "Well.", "ability": name}
        for name in laws
        for at in range(40)
    ]
    pl.DataFrame(rows).write_ndjson(tmp_path / "pool.jsonl")
    return tmp_path


def curate_growth(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "curate", "growth", *arguments],
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_command_prints_fits_and_a_table_to_paste(place):
    done = curate_growth("curves.csv", "--reach", "0.8", "--plot", "pictures/c.png")
    assert (done.returncode, done.stderr) == (0, "\npictures/c.png\n")
    assert (place / "pictures" / "c.png").read_bytes().startswith(b"\x89PNG")
    words, _, table = done.stdout.partition("\ngrowth:\n")
    assert "talk: saturates at " in words
    assert "18 runs at 6 numbers of rows; law " in words
    assert "R2 0.9" in words
    growth = yaml.safe_load(f"growth:\n{table}")["growth"]
    assert list(growth) == ["talk", "ethics: right", "code"]
    assert growth["ethics: right"] == "token"
    assert growth["code"] == "responsive"
    facts = json.loads(curate_growth("curves.csv", "--reach", "0.8", "--json").stdout)
    assert {name: fact["pace"] for name, fact in facts.items()} == growth
    read = GrowthParams.model_validate({"growth": growth}).growth
    assert dict(read) == growth


def test_the_command_on_runs_without_noise(place, capsys):
    laws = {"same": lambda n: 40, "log": lambda n: 20 + 6 * math.log(n)}
    lines = [f"{name},{n},{law(n)!r}" for name, law in laws.items() for n in (1, 2, 4, 8)]
    (place / "exact.csv").write_text("\n".join(["ability,rows,metric", *lines]))
    assert call(["growth", "exact.csv"]) == 0
    assert (
        capsys.readouterr().out
        == """same: token
  does not change from 1 to 8 rows
  4 runs at 4 numbers of rows; law 40, a constant
  all runs are equal

log: responsive
  gains 12.5 from 1 to 8 rows; no ceiling that could be reached
  4 runs at 4 numbers of rows; law 20 + 6 ln n
  the runs lie on the law

growth:
  same: token
  log: responsive
"""
    )


def test_mistakes_on_the_command_line(place, capsys):
    assert call(["growth", "curves.csv", "--reach", "2"]) == 2
    assert "--reach" in capsys.readouterr().err
    assert call(["growth", "curves.csv", "--plot", "c.gif"]) == 2
    assert "'c.gif' ends in none of .png, .svg, .html" in capsys.readouterr().err
    assert call(["growth", "none.csv"]) == 1
    assert "none.csv cannot be read" in capsys.readouterr().err


def test_pictures_of_other_kinds(place):
    assert call(["growth", "curves.csv", "--plot", "c.svg"]) == 0
    assert "talk: responsive" in (place / "c.svg").read_text()
    assert call(["growth", "curves.csv", "--plot", "c.html"]) == 0
    assert 'src="http' not in (place / "c.html").read_text()
    (place / "file").write_text("")
    assert call(["growth", "curves.csv", "--plot", "file/c.png"]) == 1


def recipe(**params):
    return {
        "name": "grown",
        "sources": {"pool": {"path": "pool.jsonl"}},
        "pipeline": [{"fuse": "sources.growth", "id": "grow", "with": params}],
    }


def test_a_run_from_curves(place):
    params = {"curves": "curves.csv", "fit": {"reach": 0.8}, "size": 50, "token": 8}
    version = curate.run(recipe(**params))
    (stage,) = version.manifest["stages"]
    fits = stage["facts"]["fits"]
    growth = {name: fit["pace"] for name, fit in fits.items()}
    assert growth["ethics: right"] == "token"
    at = int(growth["talk"].removeprefix("saturates at "))
    assert dict(version.frame()["ability"].value_counts().iter_rows()) == {
        "ethics: right": 8,
        "talk": at,
        "code": 42 - at,
    }
    written = curate.run(recipe(growth=growth, size=50, token=8))
    assert set(written.frame()["id"]) == set(version.frame()["id"])


def test_other_curves_make_another_version(place):
    params = {"curves": "curves.csv", "others": "drop"}
    first = curate.run(recipe(**params))
    lines = (place / "curves.csv").read_text().splitlines()
    (place / "curves.csv").write_text("\n".join(line for line in lines if "code" not in line))
    second = curate.run(recipe(**params))
    assert first.manifest["digest"] != second.manifest["digest"]
    assert "code" not in set(second.frame()["ability"])


def test_a_mistake_in_curves_is_found_before_any_work(place):
    (place / "curves.csv").write_text(GOOD + "a,0,1\n")
    with pytest.raises(CurateError, match=r"curves.csv:6"):
        curate.plan(recipe(curves="curves.csv"))
