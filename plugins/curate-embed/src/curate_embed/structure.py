"""Finding the parts of a transformer by its structure: its blocks, and the MLP of each.

Imports torch; imported by `loading`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from transformers.pytorch_utils import Conv1D

from curate.api import CurateError


def text_config(model: Any) -> Any:
    """The part of a model's configuration that describes its text transformer."""
    return model.config.get_text_config()


def find_blocks(model: Any, name: str) -> tuple[torch.nn.Module, ...]:
    """The transformer blocks of a model, first to last.

    They are the one list of as many modules of one class as the configuration has hidden layers.

    Raises:
        CurateError: There is no such list, there are several, or they hold experts.
    """
    count = text_config(model).num_hidden_layers
    found = {
        place: module
        for place, module in model.named_modules()
        if isinstance(module, torch.nn.ModuleList)
        and len(module) == count
        and len({type(block) for block in module}) == 1
    }
    outermost = {
        place: module
        for place, module in found.items()
        if not any(place.startswith(f"{other}.") for other in found)
    }
    if len(outermost) == 1:
        (blocks,) = outermost.values()
        places = [place.lower() for place, _ in blocks.named_modules()]
        if any("expert" in place or "router" in place for place in places):
            raise CurateError(
                f"The model {name} ({type(model).__name__}) is a mixture of experts: what it gives "
                "for a row depends on what else is in the batch, in its last bits.",
                "Use a model whose blocks are all passed by every token.",
            )
        return tuple(blocks)
    kind = type(model).__name__
    what = (
        f"it has {len(outermost)} stacks of {count} layers: {', '.join(outermost)}"
        if outermost
        else f"no list of modules holds its {count} layers"
    )
    raise CurateError(
        f"The transformer blocks of the model {name} ({kind}) cannot be found: {what}.",
        "Use an encoder or a decoder with one stack of blocks, such as BERT or Llama.",
    )


def find_projections(
    blocks: Sequence[torch.nn.Module], width: int, name: str
) -> tuple[torch.nn.Module, ...]:
    """The down-projection of each block's MLP: its input are the MLP's neurons.

    Of the linear maps outside attention that lead from another width to the hidden width it is the
    widest; where all lead from the hidden width itself, the last.

    Args:
        blocks: The blocks.
        width: Of the hidden states.
        name: The model's, for the message.

    Raises:
        CurateError: A block has none, or no attention.
    """
    found = []
    for at, block in enumerate(blocks):
        names = [place.lower() for place, _ in block.named_modules()]
        if not any("attn" in place or "attention" in place for place in names):
            raise _no_neurons(name, f"block {at + 1} has no attention beside an MLP")
        sizes = [
            (_sizes(module), module)
            for place, module in block.named_modules()
            if "attn" not in place.lower() and "attention" not in place.lower()
        ]
        ending = [(size[0], module) for size, module in sizes if size and size[1] == width]
        if not ending:
            raise _no_neurons(name, f"block {at + 1} has no linear map to its width {width}")
        widest = max((size for size, _ in ending if size != width), default=width)
        found.append([module for size, module in ending if size == widest][-1])
    return tuple(found)


def neurons_of(projection: torch.nn.Module) -> int:
    """The width of what a down-projection is given."""
    sizes = _sizes(projection)
    assert sizes is not None
    return sizes[0]


def _sizes(module: torch.nn.Module) -> tuple[int, int] | None:
    """Width in and out of a linear map, None for anything else."""
    if isinstance(module, torch.nn.Linear):
        return module.in_features, module.out_features
    if isinstance(module, Conv1D):  # GPT-2 keeps its linear maps transposed
        return int(module.weight.shape[0]), int(module.weight.shape[1])
    return None


def _no_neurons(name: str, why: str) -> CurateError:
    return CurateError(
        f"The MLP neurons of the model {name} cannot be found: {why}.",
        "Read its blocks instead: `hook: block_output`.",
    )
