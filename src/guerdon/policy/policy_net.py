"""A causal language model as what is trained: batches of responses to log-probabilities."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from guerdon.errors import ConfigError
from guerdon.hf import unwrap
from guerdon.packing import reads_shared_rows
from guerdon.policy.logps import ResponseBatch, model_inputs, token_logps, token_states


class PolicyNet(nn.Module):
    """A causal language model, or a PEFT model around one."""

    def __init__(self, model: nn.Module) -> None:
        """Raises ConfigError for a model that is not a causal language model."""
        super().__init__()
        self.model = model
        if self.language_model.config.is_encoder_decoder:
            raise ConfigError(
                f"{type(self.language_model).__name__} is an encoder-decoder; only causal language models can be "
                "trained. Fix: choose another --policy (best-of-n takes this one)"
            )

    @property
    def language_model(self) -> Any:
        """The Transformers model itself, adapters in place."""
        return unwrap(self.model)

    @property
    def backbone(self) -> Any:
        """What gives hidden states."""
        model = self.language_model
        return getattr(model, model.base_model_prefix)

    @property
    def _no_split_modules(self) -> Any:
        """Which layers FSDP must keep whole; accelerate asks the outermost module."""
        return self.language_model._no_split_modules

    @property
    def reads_groups(self) -> bool:
        """Whether the prompt of a group of responses may be computed once."""
        return reads_shared_rows(self.backbone, self.language_model.config)

    def forward(self, batch: ResponseBatch, temperature: float = 1.0) -> Tensor:
        """Log-probabilities of the tokens of a batch of responses, float32, shape (tokens,)."""
        _, logits = self.read(batch)
        return token_logps(logits, batch["token_ids"], temperature)

    def read(self, batch: ResponseBatch) -> tuple[Tensor, Tensor]:
        """The state that predicts each token (tokens, hidden), and the logits there (tokens, vocabulary)."""
        model = self.language_model
        if _plain_head(model):
            # Only where response tokens are predicted: on the prompt the logits cost as much as a third of the model.
            states = token_states(self.backbone, batch)
            return states, model.get_output_embeddings()(states)
        output = model(**model_inputs(batch), use_cache=False, output_hidden_states=True)
        places = batch["row"], batch["column"]
        return output.hidden_states[-1][places], output.logits[places]

    def next_logits(self, **inputs: Any) -> Tensor:
        """Logits of the token that follows the last column, shape (rows, vocabulary); no gradient is asked for."""
        model = self.language_model
        head = model.get_output_embeddings()
        product = _plain_head(model) and type(head) is nn.Linear and getattr(head, "bias", None) is None
        if not product or len(inputs["input_ids"]) > _FEW:
            logits: Tensor = model(**inputs, logits_to_keep=1).logits[:, -1]
            return logits
        states: Tensor = self.backbone(**inputs).last_hidden_state[:, -1]
        by_token: Tensor = head.weight @ states.T
        return by_token.T


_FEW = 128
"""Up to so many rows a CPU multiplies the head by the rows faster than the rows by the head (1.2 to 1.9 times)."""


def _plain_head(model: Any) -> bool:
    """Whether logits are the head's product and nothing more (Gemma caps them, Granite and Cohere scale them)."""
    config = model.config.get_text_config()
    names = ("final_logit_softcapping", "logits_scaling", "logit_scale")
    return not any(getattr(config, name, None) for name in names)
