"""CUDA's own compiler takes every kernel, for the GPUs of 2020 (A100) and 2022 (H100), within the limits written down.

It needs CuPy and the wheels nvidia-cuda-nvrtc and nvidia-cuda-runtime, and neither a driver nor a GPU.
"""

import re

import pytest

from tests.cuda.limits import LIMITS
from tinygrad_gpt.kernels.cuda import launcher
from tinygrad_gpt.kernels.cuda.launcher import OPTIONS, entry_points, program

ARCHITECTURES = ("sm_80", "sm_90")
VARIANTS = [
    pytest.param(file, defines, kernels, id=f"{file}-{'-'.join(map(str, defines.values()))}")
    for file, variants in LIMITS.items()
    for defines, kernels in variants
]


@pytest.fixture(scope="module")
def nvrtc():
    """The compiler, as CuPy hands it on."""
    try:
        from cupy.cuda import nvrtc  # noqa: TID251

        nvrtc.getVersion()
    except (ImportError, RuntimeError) as error:
        pytest.skip(f"CuPy with NVRTC is missing, so no kernel was compiled: {str(error).splitlines()[0]}")
    return nvrtc


def compiled(nvrtc, text, file, architecture):
    """The compiler's log, with what ptxas tells of each kernel.  The options are those that CuPy adds to ours."""
    from cupy._core import core  # noqa: TID251

    options = core.assemble_cupy_compiler_options((*OPTIONS, "--ptxas-options=-v"))
    options += ("-ftz=true", f"-arch={architecture}", "--device-as-default-execution-space")
    unit = nvrtc.createProgram(text, file, (), ())
    try:
        nvrtc.compileProgram(unit, options)
        return nvrtc.getProgramLog(unit)
    except nvrtc.NVRTCError:
        raise SyntaxError(nvrtc.getProgramLog(unit)) from None
    finally:
        nvrtc.destroyProgram(unit)


def resources(log):
    """kernel -> (registers, bytes of shared memory, bytes of stack and of spills), as ptxas tells it."""
    found = {}
    for part in log.split("Compiling entry function '")[1:]:
        registers, shared = (re.search(pattern, part) for pattern in (r"Used (\d+) registers", r"(\d+) bytes smem"))
        local = re.search(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads", part)
        found[part[: part.index("'")]] = (
            int(registers[1]),
            int(shared[1]) if shared else 0,
            sum(map(int, local.groups())),
        )
    return found


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize(("file", "defines", "kernels"), VARIANTS)
def test_it_compiles_within_its_limits(file, defines, kernels, architecture, nvrtc):
    log = compiled(nvrtc, program(file, tuple(sorted(defines.items()))), file, architecture)
    assert "warning" not in log
    used = resources(log)
    for kernel, (most_registers, most_shared) in kernels.items():
        registers, shared, local = used[kernel]
        assert local == 0, f"{kernel} keeps {local} bytes in memory that registers have no room for"
        assert registers <= most_registers, f"{kernel} uses {registers} registers"
        assert shared <= most_shared, f"{kernel} uses {shared} bytes of shared memory"


def test_every_kernel_is_in_the_table():
    files = {path.name for path in launcher.FOLDER.glob("*.cu")}
    assert set(LIMITS) == files
    for file in files:
        listed = {kernel for _, kernels in LIMITS[file] for kernel in kernels}
        assert listed == set(entry_points(launcher.source(file))), file


@pytest.mark.parametrize("mistake", ["int x = undefined_name;", "float x = INFINITY;", "float x = 1.0f"])
def test_wrong_text_is_refused(mistake, nvrtc):
    with pytest.raises(SyntaxError, match="error"):
        compiled(nvrtc, f'extern "C" __global__ void wrong() {{ {mistake} }}', "wrong.cu", "sm_90")


def test_stack_and_spills_are_seen(nvrtc):
    body = "int a[99]; for (int k = 0; k < 99; k++) a[k] = y[k]; *y = a[i];"
    text = f'extern "C" __global__ void f(int* y, int i) {{ {body} }}'
    assert resources(compiled(nvrtc, text, "f.cu", "sm_90"))["f"][2] > 0
    body = "__shared__ float a[32]; a[threadIdx.x] = y[0]; __syncthreads(); y[1] = a[3];"
    text = f'extern "C" __global__ void g(float* y) {{ {body} }}'
    assert resources(compiled(nvrtc, text, "g.cu", "sm_80"))["g"][1:] == (128, 0)
