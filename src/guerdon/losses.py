"""The losses of reward models, and of policies trained with them, each a pure function.

Those of reward models come first. They take scores (raw, unbounded, float) and return one loss per judgement, *not*
reduced: the caller sums over the judgements of an optimiser step and divides by their number, so that a step means the
same however it is cut into micro-batches. All are written on `logsigmoid` or `logsumexp` and stay finite at margins of
1e4.

Those of policies work on tokens: n sampled responses, padded to t tokens. `logps` are log-probabilities of the tokens
that were taken, under the policy in training; `mask` is 1 where a token was generated and 0 behind the end. They return
a loss per token, which `token_weights` turns into a sum that is the same however the responses are cut into
micro-batches. Which of them make up which algorithm is a row of the table in `guerdon.optimize.rl.algorithms`.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid


def bradley_terry(
    chosen: Tensor,
    rejected: Tensor,
    *,
    margin: Tensor | None = None,
    preference: Tensor | None = None,
    label_smoothing: float = 0.0,
) -> Tensor:
    """Pairwise logistic loss of Bradley and Terry (1952), with margin, soft labels, ties and label smoothing.

    With d = r_chosen - r_rejected - margin and p the probability that the chosen one is preferred,

        loss = -p log sigmoid(d) - (1 - p) log sigmoid(-d).

    p = 1 is InstructGPT's loss (Ouyang et al. 2022, eq. 1), with a margin that of Llama 2 (Touvron et al. 2023, eq. 2);
    p = 1/2 is a tie, whose minimum is at d = 0; smoothing e replaces p by (1 - e) p + e (1 - p).

    Args:
        chosen: scores of the preferred responses, shape (n,).
        rejected: scores of the others, shape (n,).
        margin: what the difference must exceed, in units of the score, shape (n,); None is 0.
        preference: P(chosen preferred), in [0, 1], shape (n,); None is 1.
        label_smoothing: e, in [0, 0.5).

    Returns:
        Loss in nats, shape (n,).
    """
    difference = chosen - rejected
    if margin is not None:
        difference = difference - margin
    p = torch.ones_like(difference) if preference is None else preference
    if label_smoothing:
        p = (1 - label_smoothing) * p + label_smoothing * (1 - p)
    return -p * logsigmoid(difference) - (1 - p) * logsigmoid(-difference)


def reward_centering(chosen: Tensor, rejected: Tensor) -> Tensor:
    """(r_chosen + r_rejected)^2, shape (n,): pulls the mean reward to 0, which Bradley-Terry leaves free.

    Eisenstein et al. 2023 (arXiv:2312.09244), section 3; added with a small weight (they use 0.01).
    """
    return (chosen + rejected).square()


def regression(predicted: Tensor, target: Tensor) -> Tensor:
    """Squared error, shape (n,), averaged over the attributes that were rated.

    HelpSteer2's regression objective (Wang et al. 2024, arXiv:2406.08673).

    Args:
        predicted: shape (n, k), in the units of `target`.
        target: shape (n, k); NaN where an attribute was not rated. Each row must have one at least.
    """
    rated = ~target.isnan()
    error = torch.where(rated, predicted - target.nan_to_num(), 0.0)
    return error.square().sum(dim=1) / rated.sum(dim=1)


def step_cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Binary cross entropy of P(step is right) = sigmoid(z), shape (n,), averaged over the judged steps of a solution.

        loss = - mean_k [ y_k log sigmoid(z_k) + (1 - y_k) log sigmoid(-z_k) ]

    Lightman et al. 2023 (arXiv:2305.20050); with y the share of continuations that end well, Math-Shepherd's soft
    estimation (Wang et al. 2024, arXiv:2312.08935, eq. 4).

    Args:
        logits: z, shape (n, steps).
        labels: y in [0, 1], shape (n, steps); NaN for a step that nobody judged, and behind the last one.
    """
    judged = ~labels.isnan()
    y = labels.nan_to_num()
    surprise = torch.where(judged, -y * logsigmoid(logits) - (1 - y) * logsigmoid(-logits), 0.0)
    return surprise.sum(dim=1) / judged.sum(dim=1).clamp(min=1)


def plackett_luce(scores: Tensor, grades: Tensor) -> Tensor:
    """Listwise likelihood of Plackett (1975) and Luce (1959), with ties.

    Each item is drawn from itself and all items of a *lower* grade:

        loss = - sum_i [ s_i - log( exp s_i + sum_{j: g_j < g_i} exp s_j ) ].

    Without ties this is Plackett-Luce exactly; of two items it is Bradley-Terry; tied items do not compete with each
    other. ListMLE (Xia et al. 2008) is the case of a full order.

    `grades` have the shape of `scores`, (lists, items): higher is better, NaN marks padding. The loss is in nats, shape
    (lists,).
    """
    below = grades.unsqueeze(1) < grades.unsqueeze(2)  # [l, i, j]: j is of a lower grade than i; never with NaN
    itself = torch.eye(scores.shape[1], dtype=torch.bool, device=scores.device)
    competing = scores.unsqueeze(1).masked_fill(~(below | itself), float("-inf"))
    surprise = torch.logsumexp(competing, dim=2) - scores  # zero where nothing is below, padding included
    return torch.where(grades.isnan(), 0.0, surprise).sum(dim=1)


def contrastive(scores: Tensor, present: Tensor, *, temperature: float = 1.0) -> Tensor:
    """InfoNCE of the reference text against the generated ones (van den Oord et al. 2018, arXiv:1807.03748, eq. 4).

        loss = - s_0 / T + log sum_j exp(s_j / T)

    `scores` have shape (lists, items), column 0 is the reference; `present` is False at padding; T > 0 is in units of
    the score. The loss is in nats, shape (lists,).
    """
    logits = (scores / temperature).masked_fill(~present, float("-inf"))
    return torch.logsumexp(logits, dim=1) - logits[:, 0]


# --- policies: weighted likelihood


def score_function_weights(rewards: Tensor, lam: float = 1.0) -> Tensor:
    """What -log pi of each sampled response counts in L(x) = L_MLE(x) - lam R(x).

    R reads text, and text is drawn: no gradient flows from it into the weights of the model. That of its mean is

        grad E[R(y)] = E[(R(y) - b) grad log pi(y)]        (score function; Williams 1992)

    for any b that does not depend on y. With b the mean reward of the other responses to the prompt it is unbiased, so

        -lam R  has the gradient of  lam (R_i - b_i) / n  times  -log pi(y_i),   summed over the n responses.

    At lam = 0 nothing but the likelihood of the references is left; as lam (what a unit of reward is worth, in nats of
    likelihood) grows, the model leaves them for what scores higher. Rewards, where NaN takes no part, and weights have
    shape (prompts, k); these have either sign, and are 0 where a response has none to be compared with.
    """
    advantages = group_advantages(rewards, baseline="leave-one-out", scale=False)
    return lam * advantages.nan_to_num() / (~rewards.isnan()).sum().clamp(min=1)


def exponential_weights(rewards: Tensor, beta: float = 1.0) -> Tensor:
    """Reward-weighted regression: exp(R / beta), normalised over the batch (Peters and Schaal 2007).

    The policy that it leads to is the sampled one times exp(R / beta), which is what KL-regularised RL aims at.

    `beta` is a temperature in units of the reward: small ones keep the best alone. Rewards and weights have shape
    (prompts, k); the weights sum to 1, and are 0 where the reward is NaN.
    """
    known = ~rewards.isnan()
    scaled = torch.where(known, rewards.nan_to_num() / beta, float("-inf"))
    return torch.softmax(scaled.flatten(), dim=0).view_as(rewards) if known.any() else torch.zeros_like(rewards)


def best_weights(rewards: Tensor) -> Tensor:
    """RAFT: the best response to each prompt counts, the others do not (Dong et al. 2023, arXiv:2304.06767).

    Rewards and weights have shape (prompts, k); NaN takes no part; the weights sum to 1.
    """
    known = ~rewards.isnan()
    best = rewards.nan_to_num(nan=float("-inf")).argmax(dim=1, keepdim=True)
    chosen = torch.zeros_like(rewards).scatter(1, best, 1.0) * known.any(dim=1, keepdim=True)
    return chosen / chosen.sum().clamp(min=1)


# --- policies: advantages


def early_stopping_return(
    differences: Tensor,
    q: Tensor,
    last: Tensor,
    preference: Tensor,
    step_cost: Tensor,
    *,
    scoring: Literal["agreement", "log", "brier"] = "agreement",
    entropy: float = 0.0,
    greedy: bool = False,
) -> Tensor:
    """The exact expected return of a judge that after each of t chunks answers a, answers b, or reads on.

    With d = r(a so far) - r(b so far), p = sigmoid(d), and the policy exp(q) : exp(d / 2) : exp(-d / 2),

        J = sum_t P(reads to t) [P(answers) u + P(reads on) (J_next - cost) + entropy H].

    u is what an answer earns: by `agreement` the share of people who agree with it, p y + (1 - p) (1 - y); by a proper
    scoring rule (Gneiting & Raftery 2007), which pays what is said rather than what is done, y log p + (1 - y)
    log(1 - p), or -(p - y)^2. With labels every action's reward is known, so nothing has to be sampled. Where all is
    read, the log score makes J the Bradley-Terry log-likelihood, and agreement with entropy e has its maximum at
    d = (2 y - 1) / e.

    Args:
        differences: d, shape (n, t).
        q: what speaks for reading on, shape (n, t).
        last: after which chunk, from 0, there is no more to read, shape (n,); entries behind it are not read.
        preference: y = P(a preferred), in [0, 1], shape (n,).
        step_cost: cost of reading on after each chunk, shape (n, t).
        scoring: what an answer earns.
        entropy: weight of the policy's entropy H.
        greedy: answers what is likelier (p is 0 or 1) instead of drawing the answer; for a d that is known.

    Returns:
        J, shape (n,).
    """
    at = torch.arange(q.shape[1], device=q.device)
    logits = q - torch.logaddexp(differences / 2, -differences / 2)
    logits = logits.masked_fill(at >= last[:, None], -1e4)
    reads_on = torch.sigmoid(logits)
    reached = torch.cumprod(torch.cat([torch.ones_like(q[:, :1]), reads_on[:, :-1]], dim=1), dim=1)
    p, y = torch.sigmoid(differences), preference[:, None]
    if greedy:
        p = (differences.sign() + 1) / 2
    if scoring == "agreement":
        earned = p * y + (1 - p) * (1 - y)
    elif scoring == "log":
        earned = y * logsigmoid(differences) + (1 - y) * logsigmoid(-differences)
    else:
        earned = -((p - y) ** 2)
    value = (1 - reads_on) * earned - reads_on * step_cost
    if entropy:
        answer = -p * logsigmoid(differences) - (1 - p) * logsigmoid(-differences)
        whether = torch.nn.functional.softplus(logits) - logits * reads_on
        value = value + entropy * (whether + (1 - reads_on) * answer)
    return (reached * value).sum(dim=1)


def group_advantages(
    rewards: Tensor, *, baseline: Literal["mean", "leave-one-out"] = "mean", scale: bool = True
) -> Tensor:
    """How much better each response is than the others to its prompt.

    GRPO (Shao et al. 2024, arXiv:2402.03300, section 4.1.2): A = (r - mean) / std. Dr. GRPO (Liu et al. 2025,
    arXiv:2503.20783) leaves the std out. RLOO (Ahmadian et al. 2024, arXiv:2402.14740, eq. 8) compares with the mean of
    the *other* responses, A_i = r_i - sum_{j != i} r_j / (k - 1), which is k / (k - 1) (r_i - mean).

    Rewards and advantages have shape (groups, k). NaN is a response without a reward: it takes no part, and its
    advantage is NaN; a sole reward has an advantage of 0. `scale` divides by the standard deviation of the group
    (unbiased) + 1e-4.
    """
    known = ~rewards.isnan()
    count = known.sum(dim=1, keepdim=True).to(rewards.dtype)
    centred = rewards - rewards.nansum(dim=1, keepdim=True) / count
    if scale:
        variance = centred.square().nansum(dim=1, keepdim=True) / (count - 1).clamp(min=1)
        centred = centred / (variance.sqrt() + 1e-4)
    if baseline == "leave-one-out":
        centred = centred * count / (count - 1).clamp(min=1)
    return centred


def gae(rewards: Tensor, values: Tensor, mask: Tensor, *, gamma: float = 1.0, lam: float = 0.95) -> Tensor:
    """Generalised advantage estimation (Schulman et al. 2016, arXiv:1506.02438, eq. 16), behind the end worth nothing.

        delta_t = r_t + gamma V_{t+1} - V_t,    A_t = delta_t + gamma lam A_{t+1}

    With values of 0 and lam = 1 it is the discounted sum of the rewards to come.

    Args:
        rewards: the reward of each token, shape (n, t).
        values: the value of the state that each token was taken in, shape (n, t).
        mask: shape (n, t); a token that is not counted (what an environment said between turns) is passed over.
        gamma: discount.
        lam: 0 trusts the values, 1 the rewards.

    Returns:
        Advantages, shape (n, t), 0 where the mask is. A + V are the value targets.
    """
    advantages = torch.zeros_like(rewards)
    running = torch.zeros_like(rewards[:, 0])
    following = torch.zeros_like(values[:, 0])
    for t in range(rewards.shape[1] - 1, -1, -1):
        counted = mask[:, t].bool()
        delta = rewards[:, t] + gamma * following - values[:, t]
        running = torch.where(counted, delta + gamma * lam * running, running)
        following = torch.where(counted, values[:, t], following)
        advantages[:, t] = running
    return advantages * mask


def whiten(values: Tensor, mask: Tensor) -> Tensor:
    """(x - mean) / (std + 1e-8) over the masked tokens of the batch, shape (n, t), 0 elsewhere.

    What REINFORCE++ (Hu et al. 2025, arXiv:2501.03262, section 3) and PPO do to advantages.
    """
    count = mask.sum()
    mean = (values * mask).sum() / count
    variance = ((values - mean).square() * mask).sum() / (count - 1).clamp(min=1)
    return (values - mean) / (variance.sqrt() + 1e-8) * mask


# --- policies: how far from the policy that sampled, and from the reference


def log_ratio(
    logps: Tensor, sampled: Tensor, mask: Tensor, level: Literal["token", "sequence", "product"] = "token"
) -> Tensor:
    """The logarithm of pi(y) / pi_old(y), of each token, shape (n, t), or of the response, shape (n, 1).

    `sampled` are log-probabilities under the policy that sampled, shape (n, t). The level is `token`; `sequence`, the
    mean over the tokens (GSPO, Zheng et al. 2025, arXiv:2507.18071, eq. 7); or `product`, their sum, which is the
    log-ratio of the whole response (RLOO).
    """
    difference = (logps - sampled) * mask
    if level == "token":
        return difference
    total = difference.sum(dim=1, keepdim=True)
    return total if level == "product" else total / mask.sum(dim=1, keepdim=True).clamp(min=1)


def kl_k1(logps: Tensor, reference: Tensor) -> Tensor:
    """The KL estimate log pi - log pi_ref of the tokens taken, shape (n, t): unbiased, may be negative."""
    return logps - reference


def kl_k3(logps: Tensor, reference: Tensor) -> Tensor:
    """The KL estimate exp(d) - d - 1, d = log pi_ref - log pi, shape (n, t): never negative (GRPO, eq. 4)."""
    difference = reference - logps
    return difference.exp() - difference - 1


# --- policies: losses per token


def clipped_surrogate(ratio: Tensor, advantages: Tensor, *, low: float = 0.2, high: float = 0.2) -> Tensor:
    """PPO's clipped objective (Schulman et al. 2017, arXiv:1707.06347, eq. 7), as a loss.

        loss = -min(w A, clip(w, 1 - low, 1 + high) A),    w = exp(ratio)

    `high`, how far the weight may rise above 1, greater than `low` is DAPO's clip-higher (Yu et al. 2025,
    arXiv:2503.14476, eq. 10). `ratio` is a `log_ratio`; it, advantages and loss have shape (n, t) or (n, 1).
    """
    weight = ratio.exp()
    return -torch.min(weight * advantages, weight.clamp(1 - low, 1 + high) * advantages)


def cispo(ratio: Tensor, advantages: Tensor, logps: Tensor, *, high: float = 4.0) -> Tensor:
    """CISPO (MiniMax-M1, 2025, arXiv:2506.13585, eq. 4): every token keeps a gradient, its weight is clipped.

        loss = -stop_gradient(min(w, 1 + high)) A log pi

    Args and shapes as `clipped_surrogate`; `logps` has shape (n, t).
    """
    return -ratio.exp().clamp(max=1 + high).detach() * advantages * logps


def clipped_value(values: Tensor, sampled: Tensor, targets: Tensor, *, clip: float = 0.2) -> Tensor:
    """Half the squared error of the critic, the worse of its value and of that value kept near the old one.

    As OpenAI's PPO has it (Schulman et al. 2017; Stiennon et al. 2020). All have shape (n, t): `sampled` are the values
    at the time of sampling, `targets` advantages + those values; `clip` is in units of the reward.
    """
    near = sampled + (values - sampled).clamp(-clip, clip)
    return 0.5 * torch.max((values - targets).square(), (near - targets).square())


def token_weights(
    mask: Tensor,
    how: Literal["token", "sequence", "constant"],
    *,
    responses: int,
    tokens: int,
    max_length: int,
) -> Tensor:
    """What each token counts, so that the sum of weights times losses over all micro-batches is the loss of the step.

    Args:
        mask: the mask of this micro-batch, shape (n, t).
        how: `token`, all tokens of the step alike (DAPO); `sequence`, all responses alike, and within one its tokens
            (GRPO); `constant`, 1 / (responses * max_length) each, so that no length is favoured (Dr. GRPO).
        responses: how many the whole step has, over all ranks.
        tokens: generated tokens of the whole step, over all ranks.
        max_length: the most tokens that a response may have.

    Returns:
        Shape (n, t), 0 where the mask is.
    """
    if how == "token":
        return mask / max(tokens, 1)
    if how == "constant":
        return mask / (responses * max_length)
    return mask / (mask.sum(dim=1, keepdim=True).clamp(min=1) * responses)
