"""A model as a graph of ONNX Runtime or OpenVINO, made of the torch module when it is loaded.

Always made of the safetensors: a folder's own `onnx/` or `openvino/` files may be quantised or of
other weights, and no digest covers them. Made in memory, within seconds, so that nothing on disk
can be out of date. Both graphs take every shape; a batch's bits then depend on its shape alone, as
in torch. Imports torch; imported by `loading`.
"""

from __future__ import annotations

import logging
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch

from curate.api import CurateError
from curate_embed.hardware import check_backend

_INPUTS = ("input_ids", "attention_mask")
_EXAMPLE = (8, 24)
_PROBES = ((8, 40), (16, 8))
_NEAR = {"float32": 1 - 1e-5, "bfloat16": 0.99}
"""Least cosine of a graph's hidden states to the module's own."""

_Run = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


class Graph:
    """Stands in for a torch module: gives the final hidden state and nothing else."""

    def __init__(self, run: _Run) -> None:
        self._run = run

    def __call__(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> SimpleNamespace:
        """Pass a batch: int64 [rows, tokens] twice, to float32 [rows, tokens, width]."""
        return SimpleNamespace(last_hidden_state=self._run(input_ids, attention_mask))


class _Final(torch.nn.Module):
    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        output = self.model(input_ids=input_ids, attention_mask=attention_mask)
        hidden: torch.Tensor = output.last_hidden_state
        return hidden


def graph_of(model: Any, backend: str, dtype: str, name: str) -> Graph:
    """Make a graph of a model and compare what both compute, on batches of two other shapes.

    Args:
        model: The transformer, in float32 on the processor.
        backend: `onnx` or `openvino`.
        dtype: What it is to compute in.
        name: The model's, for messages.

    Raises:
        CurateError: The backend is not installed, cannot take the model or computes something
            else, or this processor lacks the dtype.
    """
    check_backend(backend)
    module = _Final(model).eval()
    make = _onnx if backend == "onnx" else _openvino
    try:
        with _quiet(), torch.inference_mode():
            run = make(module, dtype)
    except CurateError:
        raise
    except Exception as error:  # exporters raise all kinds of things, RuntimeError at the best
        said = " ".join(str(error).split())[:300]
        raise CurateError(
            f"`backend: {backend}` cannot take the model {name}: {said}", "Use `backend: torch`."
        ) from error
    for shape in _PROBES:
        ids, mask = _batch(model, shape)
        with torch.inference_mode():
            ours, theirs = run(ids, mask)[mask.bool()], module(ids, mask)[mask.bool()]
        cosine = float(torch.nn.functional.cosine_similarity(ours, theirs, dim=-1).min())
        if not cosine >= _NEAR[dtype]:
            raise CurateError(
                f"`backend: {backend}` computes something else of the model {name}: hidden states "
                f"have a cosine of {cosine:.4f} to those of torch.",
                "Use `backend: torch`.",
            )
    return Graph(run)


def _batch(model: Any, shape: tuple[int, int]) -> tuple[torch.Tensor, torch.Tensor]:
    """Token ids and a mask with padding in some rows, the same for every call."""
    rows, tokens = shape
    words = int(model.get_input_embeddings().num_embeddings)
    ids = (torch.arange(rows * tokens).reshape(shape) * 7919 + 11) % words
    mask = (torch.arange(tokens) < tokens - torch.arange(rows).unsqueeze(1) % 5).long()
    return ids, mask


def _onnx(module: _Final, _dtype: str) -> _Run:
    import onnxruntime

    batch = _batch(module.model, _EXAMPLE)
    free = {0: torch.export.Dim("rows"), 1: torch.export.Dim("tokens")}
    shapes = dict.fromkeys(_INPUTS, free)
    program = torch.onnx.export(
        module, batch, dynamo=True, dynamic_shapes=shapes, input_names=_INPUTS, verbose=False
    )
    assert program is not None
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.inter_op_num_threads = 1
    with tempfile.TemporaryDirectory() as folder:  # not in memory: protobuf ends at 2 GB
        file = Path(folder, "model.onnx")
        program.save(file, external_data=True)
        session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])

    def run(ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        given = dict(zip(_INPUTS, (ids.numpy(), mask.numpy()), strict=True))
        return torch.from_numpy(session.run(None, given)[0])

    return run


def _openvino(module: _Final, dtype: str) -> _Run:
    import openvino
    from openvino.frontend import FrontEndManager
    from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder

    # `openvino.convert_model` does the same, and reports its use to its makers
    decoder = TorchScriptPythonDecoder(module, example_input=_batch(module.model, _EXAMPLE))
    front = FrontEndManager().load_by_framework("pytorch")
    hint = {"float32": "f32", "bfloat16": "bf16"}[dtype]
    compiled = openvino.Core().compile_model(
        front.convert(front.load(decoder)),
        "CPU",
        {
            "INFERENCE_PRECISION_HINT": hint,
            "INFERENCE_NUM_THREADS": torch.get_num_threads(),
            "NUM_STREAMS": 1,
        },
    )
    if compiled.get_property("INFERENCE_PRECISION_HINT").to_string() != hint:
        raise CurateError(
            f"OpenVINO does not compute in {dtype} on this processor.", "Use `dtype: float32`."
        )
    request = compiled.create_infer_request()

    def run(ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        return torch.from_numpy(request.infer((ids.numpy(), mask.numpy()), share_inputs=True)[0])

    return run


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep to itself what exporters say of their own workings; the result is checked instead."""
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)
