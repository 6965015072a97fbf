"""Features: the directions of one capability as a safetensors file, with all that they depend on.

Tensors are those of `curate_nait.directions.directions_of`; the header's metadata say from which
samples, model, tokenizer, template and options they were made.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from curate.api import CurateError

if TYPE_CHECKING:
    from numpy.typing import NDArray

FORMAT = "curate-nait feature 1"
_KEY = "feature"
_LONGEST = 100 * 2**20  # bytes of a header, as safetensors has it
_REMEDY = "Make one: curate nait extract --model ... --target NAME=FILE --out FOLDER"


@dataclass(frozen=True)
class Feature:
    """A capability's directions.

    Attributes:
        capability: Its name.
        arrays: See `curate_nait.directions.directions_of`.
        samples: Ids of the examples that they were made from.
        model: Name, commit (or None) and digest of the model's files.
        fingerprints: Of the tokenizer and the template's text.
        options: Parameters that they depend on, by name.
    """

    capability: str
    arrays: Mapping[str, NDArray[Any]]
    samples: tuple[str, ...]
    model: Mapping[str, Any]
    fingerprints: Mapping[str, str]
    options: Mapping[str, Any]


def write(feature: Feature, path: Path) -> None:
    """Write a feature, whole or not at all.

    Raises:
        CurateError: There is another file, or it cannot be written.
    """
    from safetensors.numpy import save

    said = {
        "format": FORMAT,
        "capability": feature.capability,
        "samples": list(feature.samples),
        "model": dict(feature.model),
        "fingerprints": dict(feature.fingerprints),
        "options": dict(feature.options),
    }
    # under one key, since several are written in an order of chance
    data = save(dict(feature.arrays), metadata={_KEY: json.dumps(said, sort_keys=True)})
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        if path.exists():
            if path.read_bytes() == data:
                return
            raise CurateError(
                f"{path} is there and holds another feature.",
                "Name another folder with --out, or delete it first.",
            )
        path.parent.mkdir(parents=True, exist_ok=True)
        aside.write_bytes(data)
        os.replace(aside, path)
    except OSError as error:
        raise CurateError(f"{path} cannot be written: {error.strerror}.") from error


def read_header(path: Path) -> Feature:
    """Read what a feature says of itself, without its arrays and without numpy.

    Raises:
        CurateError: It is no feature.
    """
    try:
        with path.open("rb") as file:  # a safetensors file: 8 bytes of length, then JSON
            length = int.from_bytes(file.read(8), "little")
            header = json.loads(file.read(min(length, _LONGEST)))
        said = json.loads(header["__metadata__"][_KEY])
        if said["format"] != FORMAT:
            raise ValueError(f"its format is {said['format']}")
        return Feature(
            said["capability"],
            {},
            tuple(said["samples"]),
            said["model"],
            said["fingerprints"],
            said["options"],
        )
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise CurateError(
            f"{path} cannot be read as a feature: {type(error).__name__}: {error}", _REMEDY
        ) from error


def read(path: Path) -> Feature:
    """Read a feature.

    Raises:
        CurateError: It is no feature.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    feature = read_header(path)
    try:
        return replace(feature, arrays=load_file(path))
    except (OSError, SafetensorError) as error:
        raise CurateError(f"{path} cannot be read as a feature: {error}", _REMEDY) from error


def differences(
    feature: Feature, model: Mapping[str, Any], fingerprints: Mapping[str, str], options: Any
) -> list[str]:
    """What a feature was made with that is not what is asked now, in words; empty if nothing.

    Args:
        feature: The feature.
        model: As in `Feature`.
        fingerprints: As in `Feature`.
        options: As in `Feature`.
    """
    found = []
    if feature.model["digest"] != model["digest"]:
        found.append(
            f"model {feature.model['name']} ({feature.model['digest'][:12]}), "
            f"not {model['name']} ({model['digest'][:12]})"
        )
    else:
        found += [
            f"another {name} of the same model"
            for name in ("tokenizer", "template")
            if feature.fingerprints[name] != fingerprints[name]
            and feature.options["template"] == options["template"]
        ]
    for name, value in options.items():
        given = feature.options.get(name)
        if given != value:
            found.append(f"{name}: {json.dumps(given)}, not {json.dumps(value)}")
    return found
