"""dtype: auto is what this machine computes in, found without torch."""

import ctypes
import subprocess
import sys
from importlib.machinery import ModuleSpec
from pathlib import Path

import pytest

from curate.api import ModelFiles, PassParams
from curate_embed import hardware
from curate_embed.forward import ForwardService
from curate_embed.stages import SentenceParams

AMX = "processor : 0\nflags\t\t: fpu avx512f amx_bf16 amx_tile\nbugs :\n"
AVX = "processor : 0\nflags\t\t: fpu avx512f avx512_bf16\n"
OLD = "processor : 0\nflags\t\t: fpu avx2 bf16_like\n"
ARM = "processor : 0\nFeatures\t: fp asimd bf16\n"


class Cuda:
    """libcuda with one GPU of a generation, or with a call that fails."""

    def __init__(self, major, fails=""):
        self._major, self._fails = major, fails

    def cuInit(self, _flags):  # noqa: N802 - the library's name
        return int(self._fails == "init")

    def cuDeviceGet(self, _device, _index):  # noqa: N802 - the library's name
        return int(self._fails == "get")

    def cuDeviceGetAttribute(self, value, attribute, _device):  # noqa: N802 - the library's name
        assert attribute == 75
        value._obj.value = self._major
        return 0


@pytest.fixture
def machine(monkeypatch, tmp_path):
    """Sets up processor, torch's build and libcuda, and asks for the best dtype."""

    def best(cpuinfo, cuda="None", gpu=None, version=None, backend="torch"):
        (tmp_path / "version.py").write_text(
            version or f"__version__ = '2.13.0'\ncuda: Optional[str] = {cuda}\nhip = None\n"
        )
        spec = ModuleSpec("torch", None, is_package=True)
        spec.submodule_search_locations = [str(tmp_path)]
        monkeypatch.setattr(hardware, "find_spec", lambda name: spec)

        def library(name):
            if gpu is None:
                raise OSError(name)
            return gpu

        monkeypatch.setattr(ctypes, "CDLL", library)
        real = Path.read_text

        def read(self, *args, **more):
            if str(self) != "/proc/cpuinfo":
                return real(self, *args, **more)
            if cpuinfo is None:
                raise FileNotFoundError(self)
            return cpuinfo

        monkeypatch.setattr(Path, "read_text", read)
        hardware.best_dtype.cache_clear()
        try:
            return hardware.best_dtype(backend)
        finally:
            hardware.best_dtype.cache_clear()

    return best


@pytest.mark.parametrize(
    ("cpuinfo", "expected"),
    [
        (AMX, "bfloat16"),
        (AVX, "bfloat16"),
        (OLD, "float32"),
        (ARM, "float32"),
        ("", "float32"),
        (None, "float32"),
    ],
)
def test_a_processor_decides_where_there_is_no_gpu(machine, cpuinfo, expected):
    assert machine(cpuinfo) == expected
    assert machine(cpuinfo, backend="openvino") == expected
    assert machine(cpuinfo, backend="onnx") == "float32"
    assert machine(cpuinfo, "'13.0'") == expected  # torch for CUDA, but no driver
    assert machine(cpuinfo, "'13.0'", Cuda(9, "init")) == expected
    assert machine(cpuinfo, "'13.0'", Cuda(9, "get")) == expected
    assert machine(cpuinfo, "None", Cuda(9)) == expected  # a GPU that torch will not use
    assert machine(cpuinfo, gpu=Cuda(9), version="nothing") == expected


@pytest.mark.parametrize(
    ("major", "expected"), [(7, "float32"), (8, "bfloat16"), (9, "bfloat16"), (12, "bfloat16")]
)
@pytest.mark.parametrize("cpuinfo", [AMX, OLD])
def test_the_gpu_that_torch_will_use_decides(machine, major, expected, cpuinfo):
    assert machine(cpuinfo, "'12.8'", Cuda(major)) == expected
    assert machine(cpuinfo, version="cuda = '12.8'\n", gpu=Cuda(major)) == expected


def test_other_backends_use_the_processor_beside_a_gpu(machine):
    assert machine(AMX, "'12.8'", Cuda(7), backend="openvino") == "bfloat16"
    assert machine(OLD, "'12.8'", Cuda(9), backend="openvino") == "float32"
    assert machine(AMX, "'12.8'", Cuda(9), backend="onnx") == "float32"


def test_without_torch_the_processor_decides(machine, monkeypatch):
    machine(AMX)
    monkeypatch.setattr(hardware, "find_spec", lambda name: None)
    assert hardware.best_dtype() == "bfloat16"
    hardware.best_dtype.cache_clear()


def test_the_service_says_it_and_knows_nothing_else():
    given, auto = SentenceParams(), ForwardService().auto
    assert auto("dtype", given, {}) == hardware.best_dtype()
    assert auto("dtype", PassParams(), {}) == hardware.best_dtype()
    onnx = given.model_copy(update={"backend": "onnx"})
    assert auto("dtype", onnx, {}) == "float32"
    openvino = given.model_copy(update={"backend": "openvino"})
    assert auto("dtype", openvino, {}) == hardware.best_dtype("openvino")
    with pytest.raises(ValueError, match="no automatic 'device'"):
        auto("device", given, {"model": ModelFiles("m", Path(), None, "")})


def test_it_is_found_without_torch():
    script = (
        "import sys; from curate_embed.forward import ForwardService;"
        "from curate_embed.stages import SentenceParams;"
        "print(ForwardService().auto('dtype', SentenceParams(), {}), 'torch' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == [hardware.best_dtype(), "False"]


def test_it_agrees_with_torch_here():
    import torch

    if torch.cuda.is_available():
        major = torch.cuda.get_device_capability()[0]
        assert hardware.best_dtype() == ("bfloat16" if major >= 8 else "float32")
    else:
        assert hardware._gpu_generation() is None or torch.version.cuda is None
