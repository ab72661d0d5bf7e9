"""What a speed is worth: the device that gave it, its matmul peak, and one way to write both beside results."""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from guerdon.cpu import count
from guerdon.files import atomic_write

LIBRARIES = ("guerdon", "transformers", "accelerate", "peft", "tokenizers", "trl", "sentence-transformers", "vllm")


def device_name() -> str:
    """Where benchmarks compute: a GPU where there is one."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def usual_dtype() -> torch.dtype:
    """In what they compute there: bfloat16 on a GPU, float32 on a CPU."""
    return torch.bfloat16 if torch.cuda.is_available() else torch.float32


def synchronize() -> None:
    """Waits until the GPU has done what it was given; a clock that is read before measures the giving."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def device_facts() -> dict[str, Any]:
    """What decides a speed beside the code: device, memory in GiB, driver, versions, cores, threads."""
    versions = {name: found for name in LIBRARIES if (found := _version(name))}
    facts: dict[str, Any] = {
        "device": _cpu_name(), "kind": device_name(), "cpu": _cpu_name(), "cores": count(),
        "threads": torch.get_num_threads(), "memory_gib": round(_memory_bytes() / 2**30, 1),
        "python": platform.python_version(), "torch": torch.__version__, "libraries": versions,
    }  # fmt: skip
    if torch.cuda.is_available():
        card = torch.cuda.get_device_properties(0)
        facts |= {
            "device": card.name, "gpus": torch.cuda.device_count(),
            "gpu_memory_gib": round(card.total_memory / 2**30, 1),
            "compute_capability": f"{card.major}.{card.minor}", "cuda": torch.version.cuda, "driver": _driver(),
        }  # fmt: skip
    return facts


def matmul_peak(dtype: torch.dtype, *, size: int = 0, repeats: int = 5) -> float:
    """FLOP/s of square matrix products on the device, the best of several timings.

    2 size^3 operations a product (Golub & Van Loan 2013, section 1.1.12). `size` 0 takes 8192 on a GPU, where smaller
    ones do not fill it, and 1024 on a CPU.
    """
    device = device_name()
    size = size or (8192 if device == "cuda" else 1024)
    a, b = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
    a @ b
    best = 0.0
    for _ in range(repeats):
        synchronize()
        start = time.perf_counter()
        for _ in range(10):
            a @ b
        synchronize()
        best = max(best, 10 * 2 * size**3 / (time.perf_counter() - start))
    return best


def peaks() -> dict[str, float]:
    """The matmul peaks of bfloat16 and float32 in TFLOP/s; of a CPU that of float32, in which it computes."""
    dtypes = (torch.bfloat16, torch.float32) if torch.cuda.is_available() else (torch.float32,)
    return {str(dtype).removeprefix("torch."): matmul_peak(dtype) / 1e12 for dtype in dtypes}


def layer_parameters(model: torch.nn.Module) -> int:
    """Parameters that take part in matrix products of every token: all but embeddings and the output layer.

    These are N in C = 6 N a token of training and 2 N a token of a forward pass (Kaplan et al. 2020, arXiv:2001.08361).
    """
    outside = [part.weight for part in model.modules() if isinstance(part, torch.nn.Embedding)]
    head = getattr(model, "get_output_embeddings", lambda: None)()
    outside += [] if head is None else [head.weight]
    left_out = {id(weight) for weight in outside}
    return sum(weight.numel() for weight in model.parameters() if id(weight) not in left_out)


def summary(rates: Sequence[float], *, work_tflop: float = 0.0, peak_tflops: float = 0.0) -> dict[str, Any]:
    """The median of some rates, with their spread; and what part of a peak they are.

    Args:
        rates: units of work a second, one a run.
        work_tflop: 10^12 floating-point operations of a unit of work; 0 gives no share.
        peak_tflops: the measured matmul peak, in 10^12 operations a second.
    """
    median = statistics.median(rates)
    found: dict[str, Any] = {"median": median, "least": min(rates), "most": max(rates), "runs": list(rates)}
    return found | ({"share_of_peak": median * work_tflop / peak_tflops} if work_tflop else {})


def add_result_option(parser: argparse.ArgumentParser) -> None:
    """Gives a benchmark the option that names the file of its results."""
    parser.add_argument("--json", type=Path, help="file for the results, with the facts of the device")


def write_result(arguments: argparse.Namespace, results: Mapping[str, Any], peaks_tflops: Mapping[str, float]) -> None:
    """Writes what a benchmark measured, the options that it ran with, and the device; nothing without `--json`."""
    if arguments.json is None:
        return
    options = {name: value for name, value in vars(arguments).items() if name != "json"}
    record = {
        "benchmark": Path(sys.argv[0]).stem,
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "options": options,
        "facts": device_facts(),
        "peak_tflops": dict(peaks_tflops),
        "results": results,
    }
    with atomic_write(arguments.json) as file:
        json.dump(record, file, indent=2, default=str)


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""


def _driver() -> str:
    """The version of NVIDIA's driver; empty where `nvidia-smi` cannot say it."""
    command = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()[0]
    except (OSError, subprocess.CalledProcessError, IndexError):
        return ""


def _cpu_name() -> str:
    """What Linux calls the processor; elsewhere what Python knows."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _memory_bytes() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
