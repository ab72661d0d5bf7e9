"""Attribution by gradients: integrated gradients and gradient x input on the embeddings of tokens, by captum.

    IG_i = (x_i - x'_i) . integral_0^1 dR(x' + a (x - x')) / dx_i da

(Sundararajan, Taly & Yan 2017, arXiv:1703.01365): x are the embeddings of the tokens, x' those of a reference text in
which every token that is attributed to is the mask token (of models without one, an ellipsis, or padding where that is
several tokens; from padding, which a decoder never reads, the score swings so much that five times as many points are
needed).
Values add up to R(x) - R(x'). The prompt is kept when the response is explained, and the response when the prompt is.

The integral is a Gauss-Legendre sum on each of a few parts of the path. How far it misses there is known from the
scores at the ends of the part: the part that misses most is cut in two until the whole is near enough.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from guerdon.explain.attribution import TOLERANCE, Attribution, captum_attr
from guerdon.explain.tokens import READS, TokenizedCase, blank_word, tokenized
from guerdon.explain.units import Part
from guerdon.metrics import Floats
from guerdon.packing import default_budget
from guerdon.types import Prompt, prompt_text

if TYPE_CHECKING:
    from torch import Tensor

    from guerdon.rewards.transformer import TransformerReward

GradientMethod = Literal["integrated-gradients", "gradient-x-input"]

PARTS = 3
"""Parts of equal length that the path begins with; fewer parts with more points miss more and are cut more often."""
STEPS = 6
"""Points of the integral on each part of the path."""
MOST_STEPS = 800
_LEAST_NORM = 0.1
"""The embedding of a token that masks others must be so large at least, beside those of the text."""
_FINEST = {"float32": 2e-5, "bfloat16": 2e-2}
"""A gap on one part that is so small beside the score is rounding, by the precision of the weights."""


def gradient_attribution(
    reward: TransformerReward,
    prompt: Prompt,
    response: str,
    *,
    method: GradientMethod = "integrated-gradients",
    parts: Sequence[Part] = ("response",),
    most_gap: float = math.inf,
) -> Attribution:
    """Attributes the score of one response to its tokens, or to those of the prompt as well.

    Args:
        reward: a trained model.
        prompt: the prompt.
        response: the response.
        method: integrated gradients are refined until they add up to within 1%.
        parts: what is attributed to, each part by itself while the other is kept.
        most_gap: what the values may miss R(x) - R(x') by at most, where that is less than 1% of it.

    Raises:
        MissingExtraError: captum is not installed.
    """
    text = tokenized(reward, prompt, response)
    forward = _Forward(reward, text)
    values, total, rest, passes = np.zeros(len(text.units)), float("nan"), 0.0, 0
    with differentiable(reward):
        for part in parts:
            where = np.array([one == part for one in text.parts])
            found, total, below, used = forward.attribute(method, where, most_gap)
            values[where] = found[where]
            rest += total - below
            passes += used
    placed = [place for place, unit in enumerate(text.units) if unit is not None and unit.part in parts]
    return Attribution(
        method=method,
        level="token",
        units=tuple(unit for unit in text.units if unit is not None and unit.part in parts),
        values=values[placed],
        total=total,
        reference=total - rest if method == "integrated-gradients" else float("nan"),
        texts={"prompt": prompt_text(prompt), "response": response},
        elsewhere=float(values.sum() - values[placed].sum()),
        passes=passes,
    )


class _Forward:
    """One text through a reward model, as captum asks for it: embeddings of its tokens in, scores out."""

    def __init__(self, reward: TransformerReward, text: TokenizedCase) -> None:
        import torch

        self.reward, self.batch = reward, text.batch
        self.kept = 0
        """So many tokens at the beginning are computed once."""
        self.filled: list[tuple[Tensor, Tensor]] = []
        """Their keys and values in each layer, shape (1, heads, kept, width) each."""
        contract, tokenizer = reward.contract, reward.tokenizer
        weights, shift, scale = (np.asarray(values) for values in (contract.weights, contract.shift, contract.scale))
        self.weights = torch.tensor(weights * scale, dtype=torch.float32, device=reward.device)
        self.shift = float(weights @ shift)
        self.finest = _FINEST["bfloat16" if next(reward.net.parameters()).dtype == torch.bfloat16 else "float32"]
        self.layer: Any = reward.net.classifier.get_input_embeddings()
        word = tokenizer.encode(blank_word(tokenizer), add_special_tokens=False)
        candidates = (*word[: len(word) == 1], contract.pad_token_id, tokenizer.eos_token_id, tokenizer.unk_token_id)
        self.blank = self._blank([token for token in candidates if token is not None])

    def _blank(self, candidates: Sequence[int]) -> int:
        """The first of some tokens whose embedding is no zero vector, as that of a padding token may be.

        Models that divide by the norm of an embedding jump where it leaves zero, and no integral sees a jump.
        """
        import torch

        with torch.no_grad():
            usual = self.layer(self.batch["input_ids"])[0].norm(dim=-1).median()
            sizes = self.layer(torch.tensor(candidates, device=self.reward.device)).norm(dim=-1)
        fitting = [token for token, size in zip(candidates, sizes, strict=True) if size > _LEAST_NORM * usual]
        return int((fitting or candidates)[0])

    def __call__(self, embeddings: Tensor) -> Tensor:
        """The scores of n texts that have these embeddings, (n, tokens, width), in place of their own; shape (n,)."""
        given, batch = embeddings[:, self.kept :], self._batch(len(embeddings))
        hook = self.layer.register_forward_hook(lambda *_: given)
        try:
            logits = self.reward.net(**batch)
        finally:
            hook.remove()
        scores: Tensor = logits @ self.weights + self.shift
        return scores

    def _batch(self, count: int) -> dict[str, Any]:
        """So many copies of the text, without the tokens that are kept once, whose keys and values are at hand."""
        import torch
        from transformers import DynamicCache

        begins = {name: 0 if name == "attention_mask" else self.kept for name in self.batch if name not in READS}
        batch: dict[str, Any] = {name: self.batch[name].expand(count, -1)[:, at:] for name, at in begins.items()}
        column = self.batch["column"]
        at_row = torch.arange(count, device=column.device).repeat_interleave(len(column))
        batch |= {"row": at_row, "column": (column - self.kept).repeat(count)}
        if self.kept:
            copies = [tuple(part.expand(count, -1, -1, -1) for part in layer) for layer in self.filled]
            batch["past_key_values"] = DynamicCache(copies)
        return batch | ({"sequence": at_row} if "sequence" in self.batch else {})

    def keep(self, count: int) -> None:
        """Lets a decoder compute the first tokens once, which are the same in all texts that will be asked for."""
        import torch
        from transformers import DynamicCache

        self.kept, cache = count, DynamicCache()
        if count == 0:
            return
        first = {name: tensor[:, :count] for name, tensor in self.batch.items() if name not in READS}
        with torch.no_grad():
            self.reward.net.read(**first, row=torch.tensor([0]), column=torch.tensor([0]), past_key_values=cache)
        layers: list[Any] = cache.layers
        self.filled = [(layer.keys, layer.values) for layer in layers]

    def attribute(self, method: GradientMethod, where: np.ndarray, most_gap: float) -> tuple[Floats, float, float, int]:
        """Values of all tokens, those of `where` blanked in the reference; R(x), R(x'), and what it cost."""
        import torch

        captum = captum_attr("attribution by gradients")
        ids = self.batch["input_ids"]
        with torch.no_grad():
            whole = self.layer(ids)
            blanked = self.layer(ids.masked_fill(torch.from_numpy(where).to(ids.device), self.blank))
        if method == "gradient-x-input":
            with torch.no_grad():
                total, below = self(torch.cat([whole, blanked])).tolist()
            return _by_token(captum.InputXGradient(self).attribute(whole.requires_grad_())), total, below, 2
        self.keep(int(where.argmax()) if self.reward.shares else 0)
        path = _Path(self, captum.IntegratedGradients(self), blanked, whole)
        below, total = path.walk(most_gap)
        return path.values, total, below, path.passes


class _Path:
    """The straight line from one text's embeddings to another's, integrated part by part."""

    def __init__(self, forward: _Forward, integrated: Any, start: Tensor, stop: Tensor) -> None:
        self.forward, self.integrated, self.start, self.step = forward, integrated, start, stop - start
        self.passes = 0
        self._parts: list[tuple[float, float, float, float, float, Floats]] = []

    @property
    def values(self) -> Floats:
        """What each token adds along the whole path."""
        return np.asarray(np.sum([part[-1] for part in self._parts], axis=0))

    def walk(self, most_gap: float) -> tuple[float, float]:
        """Integrates to within 1% of the rise, and `most_gap`; returns the scores where the path starts and ends."""
        cuts = np.linspace(0.0, 1.0, PARTS + 1).tolist()
        scores = self._scores(cuts)
        for low, high, below, above in zip(cuts, cuts[1:], scores, scores[1:], strict=False):
            self._integrate(low, high, below, above)
        first, last = scores[0], scores[-1]
        allowed = min(TOLERANCE * abs(last - first), most_gap)
        rounding = self.forward.finest * max(1.0, abs(last))
        while sum(part[0] for part in self._parts) > allowed and self.passes < 2 * MOST_STEPS:
            worst = max(self._parts, key=lambda part: part[0])
            gap, low, high, below, above, _ = worst
            if gap <= rounding:
                break
            self._parts.remove(worst)
            middle = (low + high) / 2
            (between,) = self._scores([middle])
            self._integrate(low, middle, below, between)
            self._integrate(middle, high, between, above)
        return first, last

    def _scores(self, places: Sequence[float]) -> list[float]:
        """The scores at places of the path, from 0 to 1."""
        import torch

        self.passes += len(places)
        with torch.no_grad():
            return self.forward(torch.cat([self.start + place * self.step for place in places])).tolist()

    def _integrate(self, low: float, high: float, below: float, above: float) -> None:
        kept = self.forward.kept
        at_once = max(1, (2 * default_budget() - kept) // (self.start.shape[1] - kept))
        found = self.integrated.attribute(
            self.start + high * self.step,
            baselines=self.start + low * self.step,
            n_steps=STEPS,
            internal_batch_size=at_once,
        )
        values = _by_token(found)
        self.passes += 2 * STEPS
        self._parts.append((abs(values.sum() - (above - below)), low, high, below, above, values))


def _by_token(found: Tensor) -> Floats:
    """The dimensions of the embedding of each token summed, shape (tokens,)."""
    return np.asarray(found.detach()[0].double().sum(dim=-1).cpu().numpy())


@contextmanager
def differentiable(reward: TransformerReward) -> Iterator[None]:
    """Lets gradients reach the embeddings, and no weight: that halves the backward pass."""
    import torch

    reward.net.eval()
    learnt = [weight for weight in reward.net.parameters() if weight.requires_grad]
    for weight in learnt:
        weight.requires_grad_(False)
    try:
        with reward.in_force(), torch.enable_grad():
            yield
    finally:
        for weight in learnt:
            weight.requires_grad_(True)
