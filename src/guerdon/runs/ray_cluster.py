"""Ray for the time of a run."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import ray


@contextmanager
def ray_running(actors: int = 0) -> Iterator[None]:
    """Uses the Ray that is running, or starts one with room for so many actors, which ends with the run."""
    for name in ("ray", "ray.rllib", "ray.tune", "ray.train"):
        logging.getLogger(name).setLevel(logging.ERROR)  # they warn of what is as it should be
    with warnings.catch_warnings():
        # A second training in one process registers RLlib's environment again.
        warnings.filterwarnings("ignore", ".*Overriding environment rllib-")
        if ray.is_initialized():
            yield
            return
        # A dashboard would cost seconds and memory.
        cpus = max(os.cpu_count() or 1, 1 + actors)
        quiet: dict[str, Any] = {"include_dashboard": False, "log_to_driver": False, "logging_level": logging.ERROR}
        ray.init(num_cpus=cpus, _node_ip_address="127.0.0.1", **quiet)
        try:
            yield
        finally:
            ray.shutdown()
