"""What a generative judge maximises: the expected reward of its verdicts in both orders, exactly.

A verdict is one word, and labels say what each verdict earns. So the expectation over A and B is a sum of two terms (a
bandit with full information): its gradient is that of the policy gradient with infinitely many samples, and nothing
has to be sampled.
"""

from __future__ import annotations

import torch
from torch import Tensor


def verdict_likelihood(logps: Tensor, preference: Tensor) -> Tensor:
    """The mean log-likelihood of the right verdict over both orders, y log pi(right) + (1 - y) log pi(wrong).

    Args:
        logps: log pi of the verdict for the preferred response, and of the one for the other; in the order in which the
            preferred one is shown first, and in the other order; shape (n, 2 orders, 2 verdicts).
        preference: y = P(preferred), shape (n,).

    Returns:
        Shape (n,), in nats.
    """
    y = preference[:, None]
    return (y * logps[..., 0] + (1 - y) * logps[..., 1]).mean(dim=1)


def verdict_return(logps: Tensor, preference: Tensor, *, consistency: float, brier: float) -> Tensor:
    """The expected reward of a pair's verdicts, each order's drawn from the policy by itself.

        J = mean_o E[c_o] + consistency E[c_ab c_ba] - brier mean_o E[(q_o - c_o)^2]

    c_o is 1 where the verdict of order o is right and 0 where it is wrong or no verdict at all; q_o is the share that
    the verdict has of pi(A) + pi(B), which is the confidence that it states. The second term is J1's reward for both
    orders (arXiv:2505.10320), the third RLCR's for calibration (arXiv:2507.16806), which is the Brier score. The
    arguments are those of `verdict_likelihood`.

    Returns:
        J, shape (n,).
    """
    p, y = logps.exp(), preference[:, None]
    right = (y * p[..., 0] + (1 - y) * p[..., 1]).mean(dim=1)
    both = preference * p[..., 0].prod(dim=1) + (1 - preference) * p[..., 1].prod(dim=1)
    q = torch.sigmoid(logps[..., 0] - logps[..., 1])
    score = (y * (1 - q) ** 2 + (1 - y) * q**2).mean(dim=1)
    return right + consistency * both - brier * score
