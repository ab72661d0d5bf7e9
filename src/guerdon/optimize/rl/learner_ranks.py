"""What learners share of an update: who computes what, sums over all of them, and what is logged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Ranks:
    """Learners that share an update: the same weights, the same trajectories, each computing some of the groups.

    What is summed over them is little: log-probabilities of the step, gradients, metrics. So the update is that of one
    learner, whatever their number.
    """

    own: int = 0
    count: int = 1

    def share(self, of: Sequence[int]) -> Sequence[int]:
        """The part that this learner computes."""
        return of[self.own :: self.count]

    def sum(self, tensor: Tensor) -> None:
        """Puts the sum over all learners into the tensor."""
        if self.count > 1:
            torch.distributed.all_reduce(tensor)

    def gather(self, value: Any) -> list[Any]:
        """The value of every learner."""
        found = [value] * self.count
        if self.count > 1:
            torch.distributed.all_gather_object(found, value)
        return found


class UpdateMetrics:
    """Sums and counts of what is logged; they stay on the device until they are joined."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._running: dict[str, Tensor] = {}
        self.sums: dict[str, list[float]] = {}
        self.steps = 0

    def add(self, name: str, value: Tensor | float, count: Tensor | float) -> None:
        """Adds `value`, a sum over `count`."""
        if name not in self._running:
            self._running[name] = torch.zeros(2, dtype=torch.float64, device=self._device)
        self._running[name][0] += value
        self._running[name][1] += count

    def join(self, ranks: Ranks) -> None:
        """Adds what the other learners saw."""
        seen = ranks.gather({name: held.tolist() for name, held in self._running.items()})
        names = dict.fromkeys(name for sums in seen for name in sums)
        self.sums = {name: [sum(sums.get(name, (0, 0))[i] for sums in seen) for i in range(2)] for name in names}

    def means(self) -> dict[str, float]:
        """The mean of each; losses are those of whole optimiser steps."""
        per_step = ("policy_loss", "value_loss")
        found = {
            name: total / max(self.steps if name in per_step else count, 1)
            for name, (total, count) in self.sums.items()
        }
        return found | {"optimizer_steps": float(self.steps)}
