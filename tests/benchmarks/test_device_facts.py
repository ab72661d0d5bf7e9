"""Facts of the device, its matmul peak, and results beside both."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import pytest
import torch

import device_facts


def test_facts_say_what_decides_a_speed() -> None:
    facts = device_facts.device_facts()
    assert facts["torch"] == torch.__version__
    assert facts["kind"] == "cpu"
    assert facts["device"]
    assert facts["cores"] >= 1
    assert facts["memory_gib"] > 0.5
    assert facts["libraries"]["transformers"]


def test_the_peak_is_what_a_product_reaches() -> None:
    peak = device_facts.matmul_peak(torch.float32, size=128, repeats=2)
    assert 1e8 < peak < 1e14
    assert device_facts.peaks().keys() == {"float32"}


def test_parameters_of_layers_are_those_that_every_token_meets(tiny_llama: str) -> None:
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(tiny_llama)
    layers = sum(weight.numel() for weight in model.model.layers.parameters()) + model.model.norm.weight.numel()
    assert device_facts.layer_parameters(model) == layers


def test_a_share_of_the_peak() -> None:
    found = device_facts.summary([2.0, 8.0, 4.0], work_tflop=5.0, peak_tflops=100.0)
    assert found == {"median": 4.0, "least": 2.0, "most": 8.0, "runs": [2.0, 8.0, 4.0], "share_of_peak": 0.2}
    assert "share_of_peak" not in device_facts.summary([1.0])


def test_results_are_written_with_options_and_facts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["benchmarks/speed.py"])
    parser = argparse.ArgumentParser()
    parser.add_argument("--pairs", type=int, default=3)
    device_facts.add_result_option(parser)
    device_facts.write_result(parser.parse_args([]), {}, {})
    assert not list(tmp_path.iterdir())
    arguments = parser.parse_args(["--json", str(tmp_path / "out" / "speed.json")])
    device_facts.write_result(arguments, {"guerdon": {"median": 1.0}}, {"float32": 0.1})
    record = json.loads((tmp_path / "out" / "speed.json").read_text(encoding="utf-8"))
    assert record["benchmark"] == "speed"
    assert record["options"] == {"pairs": 3}
    assert record["results"] == {"guerdon": {"median": 1.0}}
    assert record["peak_tflops"] == {"float32": 0.1}
    assert record["facts"]["torch"] == torch.__version__
