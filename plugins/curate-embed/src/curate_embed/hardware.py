"""What this machine computes in.

Found without importing torch: a run that is up to date has no time for it.
"""

from __future__ import annotations

import ctypes
import re
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from curate.api import CurateError

LIBRARIES = {"torch": ("torch",), "onnx": ("onnxruntime", "onnxscript"), "openvino": ("openvino",)}
"""What each backend is made of."""

_MAJOR = 75  # CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR
_AMPERE = 8  # the first generation of NVIDIA GPUs that computes in bfloat16
_CPU_FLAGS = {"amx_bf16", "avx512_bf16"}


@cache
def best_dtype(backend: str = "torch") -> str:
    """`bfloat16` where the device that a backend will use computes in it, else `float32`.

    torch uses a GPU where there is one, OpenVINO the processor; ONNX Runtime has no bfloat16 there.
    """
    if backend == "torch" and _torch_has_cuda():
        major = _gpu_generation()
        if major is not None:
            return "bfloat16" if major >= _AMPERE else "float32"
    return "bfloat16" if backend != "onnx" and _cpu_flags() & _CPU_FLAGS else "float32"


def check_backend(backend: str) -> None:
    """Look for the libraries of a backend, without importing them.

    Raises:
        CurateError: They are not installed.
    """
    missing = [name for name in LIBRARIES[backend] if find_spec(name) is None]
    if missing:
        raise CurateError(
            f"`backend: {backend}` needs {' and '.join(missing)}, not installed here.",
            f"pip install 'curate-embed[{backend}]'",
        )


def _torch_has_cuda() -> bool:
    spec = find_spec("torch")
    for place in (spec.submodule_search_locations or ()) if spec else ():
        version = Path(place, "version.py")
        if version.is_file():
            found = re.search(r"^cuda(?:: [^=]+)? = (.+)$", version.read_text("utf-8"), re.M)
            return found is not None and found[1].strip() != "None"
    return False


def _gpu_generation() -> int | None:
    """The major compute capability of the first visible NVIDIA GPU; None where there is none."""
    try:
        cuda = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return None
    device, major = ctypes.c_int(), ctypes.c_int()
    failed = (
        cuda.cuInit(0)
        or cuda.cuDeviceGet(ctypes.byref(device), 0)
        or cuda.cuDeviceGetAttribute(ctypes.byref(major), _MAJOR, device)
    )
    return None if failed else major.value


def _cpu_flags() -> set[str]:
    try:
        text = Path("/proc/cpuinfo").read_text("utf-8")
    except OSError:
        return set()  # not Linux: float32 is always right
    found = re.search(r"^flags\s*:(.*)$", text, re.M)
    return set(found[1].split()) if found else set()
