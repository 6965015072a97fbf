"""`curate nait`: features made outside of a run, and compared with one another."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import click

from curate.api import Host, hookimpl, nearest

CURATE_API = 1


@click.group("nait")
def command() -> None:
    """Features of capabilities: extract and compare them."""


def _pairs(texts: tuple[str, ...], option: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for text in texts:
        name, sign, value = text.partition("=")
        if not sign or not name or not value:
            raise click.BadParameter(f"'{text}' is not NAME=VALUE", param_hint=option)
        if name in found:
            raise click.BadParameter(f"'{name}' is given twice", param_hint=option)
        found[name] = value
    return found


def _value(text: str, option: str) -> Any:
    """A value as a recipe would write it."""
    import yaml

    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        said = " ".join(str(error).split())
        raise click.BadParameter(f"'{text}' is no YAML: {said}", param_hint=option) from error


def _options(texts: tuple[str, ...], known: Iterable[str]) -> dict[str, Any]:
    """Parameters by name, each among those that are known."""
    found = {name: _value(value, "--with") for name, value in _pairs(texts, "--with").items()}
    for name in found:
        if name not in known:
            near = nearest(name, sorted(known)) or f"Known: {', '.join(sorted(known))}."
            said = f"'{name}' has no effect here. {near}"
            raise click.BadParameter(said, param_hint="--with")
    return found


def _table(text: str, option: str) -> dict[str, Any]:
    """A table as a recipe would write it: a path, or a mapping in braces."""
    table = _value(text, option) if text.startswith("{") else {"path": text}
    if not isinstance(table, dict):
        raise click.BadParameter(f"'{text}' is neither a path nor a mapping", param_hint=option)
    return table


@command.command()
@click.option("--model", default="builtin:minilm", show_default=True, help="The model.")
@click.option(
    "--target",
    "targets",
    multiple=True,
    required=True,
    metavar="NAME=FILE",
    help="A capability and a file of its examples (or `{path: ..., columns: ...}`, as in a "
    "recipe); several times for several.",
)
@click.option(
    "--sample",
    type=click.IntRange(min=1),
    help="Examples of each target, chosen by id with --seed.",
)
@click.option("--seed", type=int, default=0, show_default=True, help="For --sample.")
@click.option(
    "--with",
    "options",
    multiple=True,
    metavar="KEY=VALUE",
    help="A parameter of nait.alignment, such as preset=paper or max_length=512.",
)
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder to write to.")
@click.pass_obj
def extract(
    host: Host,
    model: str,
    targets: tuple[str, ...],
    sample: int | None,
    seed: int,
    options: tuple[str, ...],
    out: Path,
) -> None:
    """Write the feature of each capability as a safetensors file.

    Recipes use them as `features: {NAME: FOLDER/NAME.safetensors}`.
    """
    from curate_nait.alignment import FEW, Alignment
    from curate_nait.features import Feature, write
    from curate_nait.parameters import FIT, fit_options

    references = {
        name: _table(text, "--target") for name, text in _pairs(targets, "--target").items()
    }
    if sample is not None:
        references = {name: {**table, "sample": sample} for name, table in references.items()}
    known = {*FIT, "preset", "batch_size"} - {"model"}
    params = {**_options(options, known), "model": model, "targets": references}
    apart = host.fit("nait.alignment", params, seed=seed)
    files = apart.models["model"]
    assert isinstance(apart.stage, Alignment)
    fingerprints = host.service("forward").fingerprints(apart.stage.passing(apart.models))
    for name in references:
        feature = Feature(
            name,
            apart.arrays[name],
            tuple(apart.ids[name]),
            {"name": files.name, "commit": files.commit, "digest": files.digest},
            fingerprints,
            fit_options(apart.stage.params),
        )
        path = out / f"{name}.safetensors"
        write(feature, path)
        explained = feature.arrays["explained"][:, 0]
        click.echo(
            f"{path}: {len(feature.samples)} examples, {len(explained)} layers, first component "
            f"explains {explained.min():.0%} to {explained.max():.0%}"
        )
        if len(feature.samples) < FEW:
            click.echo(
                f"{name}: {len(feature.samples)} examples are few: take {FEW} or more", err=True
            )
    if apart.counts.get("target.truncated"):
        click.echo(f"{apart.counts['target.truncated']:,} texts were cut", err=True)


@command.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--pool", help="Rows on which the scores of the capabilities are compared too.")
@click.option(
    "--with",
    "options",
    multiple=True,
    metavar="KEY=VALUE",
    help="For --pool: similarity, layers, layer_scale or batch_size of nait.alignment.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--png", type=click.Path(path_type=Path), help="Draw the heat-map into this file.")
@click.pass_obj
def compare(
    host: Host,
    files: tuple[Path, ...],
    pool: str | None,
    options: tuple[str, ...],
    as_json: bool,
    png: Path | None,
) -> None:
    """Show how alike capabilities are: cosines of their directions, by layer.

    With --pool also the rank correlations (Spearman) of their scores on its rows.
    """
    from curate_nait.features import read
    from curate_nait.parameters import READING, AlignmentParams
    from curate_nait.transfer import by_layer, check_comparable, correlations, cosines, table

    features = [read(path) for path in files]
    reading = _options(options, (*READING, "batch_size") if pool else ())
    check_comparable(features)
    names = [feature.capability for feature in features]
    if len(set(names)) < len(names):  # one capability, extracted several times
        if pool:
            raise click.BadParameter(
                "two of the features are of one capability: scores need names of their own",
                param_hint="--pool",
            )
        names = [f"{path.parent.name}/{path.stem}" for path in files]
    found: dict[str, Any] = {"capabilities": names, **cosines(features)}
    if pool:
        params = {
            **features[0].options,
            **reading,
            "model": features[0].model["name"],
            "features": {name: str(path) for name, path in zip(names, files, strict=True)},
        }
        scores = host.score("nait.alignment", params, _table(pool, "--pool"))
        fields = AlignmentParams.model_fields
        used = {name: reading.get(name, fields[name].default) for name in READING}
        found |= {"pool": pool, "rows": len(scores), "scores": used} | correlations(scores, names)
    if png:
        if png.suffix != ".png":
            raise click.BadParameter(f"'{png}' does not end in .png", param_hint="--png")
        from curate_nait.heatmap import draw

        draw(found, png)
    if as_json:
        click.echo(json.dumps(found, indent=2))
        return
    click.echo(table("cosine of directions, mean over layers", names, found["cosine"]))
    click.echo("\n" + by_layer(names, found["cosine_by_layer"]))
    if pool:
        said = ", ".join(f"{name} {value}" for name, value in found["scores"].items())
        title = f"rank correlation of scores ({said}) on {found['rows']:,} rows of {pool}"
        click.echo("\n" + table(title, names, found["rank_correlation"]))
    if png:
        click.echo(f"\n{png}")


@hookimpl
def register_commands(register: Callable[[click.Command], None]) -> None:
    """Offer the command."""
    register(command)
