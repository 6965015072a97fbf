"""The stage `nait.alignment`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from curate.api import (
    TRUNCATED,
    Artifact,
    Context,
    CurateError,
    Depends,
    ForwardStage,
    LoadedModel,
    ModelFiles,
    Output,
    Params,
    Reader,
    Reference,
)
from curate_nait.parameters import FIT, LAYERS, PROJECTED, AlignmentParams, fit_options

if TYPE_CHECKING:
    import numpy as np
    import polars as pl
    from numpy.typing import NDArray

FEW = 16
"""Examples below which a capability has few."""


class Alignment(ForwardStage):
    """How an example's activations align with the direction of a capability (NAIT).

    Let A_l(x) be the activation of example x in layer l, pooled over its tokens. For a capability
    with in-domain examples S,

        v_l = first principal component of {A_l(s) : s in S}, with the sign that makes it point
              along the mean drift (or mean activation) of S
        score(x) = sum over layers l of A_l(x) . v_l

    (arXiv 2603.13201). The paper leaves open which activations, how they are pooled, whether the
    PCA is centred, whether lengths are normalised (dot product or cosine) and how layers are
    weighted: each is a parameter, and the presets name the readings. The defaults (the drift of
    MLP neurons, cosine, layers standardised) are those that find a capability's rows best in a
    retrieval proxy; `preset: paper` is as near to the paper as is known.

    One column for each capability; `<capability>_layers` where `keep_layers` is set; `truncated`
    says whether the text was cut.
    """

    name = "nait.alignment"
    version = 2
    Params: ClassVar[type[Params]] = AlignmentParams
    params: AlignmentParams

    def outputs(self) -> Mapping[str, Output]:
        """A number for each capability, its projections by layer if kept; whether text was cut."""
        kept = self.params.capabilities if self.params.keep_layers else ()
        return {
            **{name: Output("number") for name in self.params.capabilities},
            **{f"{name}{LAYERS}": Output("vector") for name in kept},
            **super().outputs(),
        }

    def depends(self, output: str) -> Depends:
        """A score depends on its own capability alone, so that another one costs only itself."""
        if output == TRUNCATED:
            return super().depends(output)
        if output.endswith(LAYERS):
            return Depends(params=PROJECTED, fits=(output.removesuffix(LAYERS),))
        return Depends(params=(*PROJECTED, "layers", "layer_scale"), fits=(output,))

    def recalls(self, output: str) -> tuple[str, ...]:
        """A score is made from the projections by layer, where these are kept."""
        if not self.params.keep_layers or output not in self.params.capabilities:
            return ()
        return (f"{output}{LAYERS}",)

    def tolerance(self, output: str, fits: Mapping[str, Mapping[str, NDArray[Any]]]) -> float:
        """In proportion to what the capability's own samples score."""
        from curate_nait.directions import chosen, tolerance_of

        if output not in fits:
            return 0.0
        given, fit = self.params, fits[output]
        layers = chosen(given.layers, len(fit["mean"]))
        return tolerance_of(fit, given.similarity, given.layer_scale, layers, given.dtype)

    def prepare(self, models: Mapping[str, ModelFiles], service: Callable[[str], Any]) -> None:
        """Refuse a feature that was made with another model, template or option."""
        from curate_nait.features import differences, read_header

        if not self.params.features:
            super().prepare(models, service)
            return
        # refuses a missing template, too
        fingerprints = service("forward").fingerprints(self.passing(models))
        model = models["model"]
        facts = {"name": model.name, "digest": model.digest}
        for name, artifact in self.params.features.items():
            feature = read_header(Path(artifact.path).expanduser())
            if feature.capability != name:
                raise CurateError(
                    f"The feature '{name}' ({artifact.path}) is that of '{feature.capability}'.",
                    f"Write `{feature.capability}: {artifact.path}`.",
                )
            differs = differences(feature, facts, fingerprints, fit_options(self.params))
            if differs:
                raise CurateError(
                    f"The feature '{name}' ({artifact.path}) was made with {'; '.join(differs)}.",
                    "Write the same in the recipe, or make it anew with `curate nait extract`.",
                )

    def fits(self) -> Mapping[str, Reference | Artifact]:
        """One part for each capability."""
        return {**self.params.targets, **self.params.features}

    def fit_depends(self, part: str) -> tuple[str, ...]:
        """What is done with directions changes none of them; a feature's file says it all."""
        return FIT if part in self.params.targets else ()

    def fit(self, part: str, rows: pl.DataFrame, ctx: Context) -> Mapping[str, NDArray[Any]]:
        """Find the directions of a capability, or read them.

        Returns:
            See `curate_nait.directions.directions_of`.

        Raises:
            CurateError: The examples give no direction.
        """
        from curate_nait.directions import directions_of
        from curate_nait.features import read

        if part in self.params.features:
            return read(Path(self.params.features[part].path).expanduser()).arrays
        try:
            given = self.params
            return directions_of(
                *self._samples(rows, ctx), center=given.center, components=given.components
            )
        except ValueError as error:
            raise CurateError(
                f"The target '{part}' gives no direction: {error}.",
                f"Give it examples that have text and differ from one another, {FEW} or more.",
            ) from error

    def _samples(
        self, rows: pl.DataFrame, ctx: Context
    ) -> tuple[NDArray[np.float32], NDArray[np.float32] | None, NDArray[np.float32]]:
        """Pooled activations, the drift where it is wanted, lengths: see `directions_of`."""
        import numpy as np

        from curate_nait.readers import Pooling, SampleReader

        if rows.is_empty():
            raise ValueError("it has no examples")
        given = self.params
        model: LoadedModel = ctx.service("forward").open(self.passing(ctx.models), ctx.count)
        width = model.neurons if given.hook == "mlp_neurons" else model.width
        pooling, drift = Pooling(given.pool, given.baseline), given.sign == "mean_drift"
        reader = SampleReader(given.hook, pooling, drift=drift)
        parts, blocks = 2 if drift else 1, model.blocks
        found = np.empty((len(rows), parts, blocks, width), dtype=np.float32)
        lengths = np.empty((len(rows), blocks), dtype=np.float32)
        for positions, (values,), cut in model.run(rows, [reader]):
            if cut.any():
                ctx.count("target.truncated", int(cut.sum()))
            found[positions] = values[:, :-blocks].reshape(len(positions), parts, blocks, width)
            lengths[positions] = values[:, -blocks:]
        return found[:, 0], found[:, 1] if drift else None, lengths

    def reader(self, model: LoadedModel, ctx: Context) -> Reader:
        """Projects inside the pass on every capability that is wanted."""
        from curate_nait.directions import chosen
        from curate_nait.readers import Pooling, ProjectionReader

        chosen(self.params.layers, model.blocks)
        given, fits = self.params, [ctx.fits[name]["directions"] for name in self._wanted(ctx)]
        pooling = Pooling(given.pool, given.baseline)
        return ProjectionReader(given.hook, pooling, fits, given.similarity)

    def columns(self, values: NDArray[np.floating[Any]], ctx: Context) -> Mapping[str, pl.Series]:
        """Scores, and the projections they are made of."""
        wanted = self._wanted(ctx)
        if not wanted:
            return {}
        projections = values.reshape(len(values), len(wanted), -1).swapaxes(0, 1)
        found: dict[str, pl.Series] = {}
        for name, each in zip(wanted, projections, strict=True):
            found |= self._made(name, each, ctx)
        return found

    def stream(self, rows: pl.DataFrame, ctx: Context) -> Iterator[pl.DataFrame]:
        """From kept projections where all that is wanted can be made of them, else by a pass."""
        import polars as pl

        if not all(f"{name}{LAYERS}" in rows.columns for name in ctx.wanted):
            yield from super().stream(rows, ctx)
            return
        frame = {"id": rows["id"]}
        for name in ctx.wanted:
            frame[name] = self._made(name, rows[f"{name}{LAYERS}"].to_numpy(), ctx)[name]
        yield pl.DataFrame(frame)

    def _made(
        self, name: str, projections: NDArray[np.float32], ctx: Context
    ) -> dict[str, pl.Series]:
        """A capability's columns from its projections, float32 [rows, layers]."""
        import numpy as np
        import polars as pl

        from curate_nait.directions import chosen, combined

        given, count = self.params, projections.shape[1]
        layers = chosen(given.layers, count)
        projections = np.ascontiguousarray(projections, dtype=np.float32)
        return {
            name: pl.Series(
                combined(projections, ctx.fits[name], given.similarity, given.layer_scale, layers)
            ),
            f"{name}{LAYERS}": pl.Series(projections, dtype=pl.Array(pl.Float32, count)),
        }

    @staticmethod
    def _wanted(ctx: Context) -> list[str]:
        """Capabilities of which something is wanted, in the order of the outputs."""
        names = [name.removesuffix(LAYERS) for name in ctx.wanted if name != TRUNCATED]
        return list(dict.fromkeys(names))
