"""The agent as RLlib's PPO takes it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ray.rllib.core.columns import Columns
from ray.rllib.core.rl_module.apis.value_function_api import ValueFunctionAPI
from ray.rllib.core.rl_module.torch.torch_rl_module import TorchRLModule
from torch import Tensor

from guerdon.worlds.agent import CommandRanker


class RankerModule(TorchRLModule, ValueFunctionAPI):  # type: ignore[misc]
    """A `CommandRanker`, whose logits are those of a masked categorical policy."""

    def setup(self) -> None:
        """Makes the network."""
        self.network = CommandRanker()

    def _forward(self, batch: Mapping[str, Any], **_: Any) -> dict[str, Tensor]:
        return {Columns.ACTION_DIST_INPUTS: self.network(batch[Columns.OBS])[0]}

    def compute_values(self, batch: Mapping[str, Any], embeddings: Any = None) -> Tensor:
        """What a situation is worth."""
        values: Tensor = self.network(batch[Columns.OBS])[1]
        return values
