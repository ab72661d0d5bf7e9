"""The training loop, for reward models and policies alike: a plain loop on `accelerate`.

`accelerate launch` or `torchrun` start it on many devices (DDP, FSDP, DeepSpeed); `Loop.update` is the whole of one
optimiser step. A step is always the same number of examples, however it is cut into micro-batches and dealt to devices.
"""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from guerdon.ahead import Ahead, pinned
from guerdon.errors import ModelError
from guerdon.runs.folder import new_checkpoint
from guerdon.runs.log import OnStep, RunLog
from guerdon.runs.ranks import launch_state

WEIGHTS_FILE = "trainable.safetensors"
STATE_FILE = "state.json"
ADAM_EPSILON = 1e-8

Computed = TypeVar("Computed")

MicroBatch = tuple[Any, Any]
"""The arguments of the model: what it reads, and what is known of it. Tensors in dictionaries."""


class Collated:
    """Micro-batches that are made when they are asked for: those of all that is held out would fill the memory."""

    def __init__(self, collate: Callable[[Any], MicroBatch], items: Sequence[Any]) -> None:
        self._collate, self._items = collate, items

    def __getitem__(self, index: int) -> MicroBatch:
        return self._collate(self._items[index])

    def __len__(self) -> int:
        return len(self._items)

    def __iter__(self) -> Iterator[MicroBatch]:
        return map(self._collate, self._items)


@dataclass(frozen=True, slots=True)
class Step:
    """One device's share of an optimiser step."""

    micro_batches: Sequence[MicroBatch] | Collated
    """One or more."""
    examples: int
    """How many examples these hold; the summed loss is divided by the examples of the step over all devices."""
    metrics: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    """Name -> (total, count): logged as the mean over steps and devices. Every device and step has the same names."""
    notes: dict[str, str] = field(default_factory=dict)
    """Texts for the log."""
    smaller: Callable[[], Step] | None = None
    """Makes the same step in micro-batches of half the size; None where they cannot be made smaller."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoopConfig:
    """How a run is optimised."""

    steps: int
    """Optimiser steps of the run."""
    learning_rate: float
    warmup_ratio: float = 0.1
    """Share of the steps over which the learning rate rises; it then falls linearly to 0."""
    weight_decay: float = 0.0
    max_grad_norm: float = 1.0
    """Largest norm of the gradient; 0 does not clip."""
    save_steps: int
    """Steps between two checkpoints, each with an evaluation."""
    examples_per_step: int
    """Examples of a step over all devices, for the speed that is reported."""
    early_stopping_patience: int = 0
    """Stop after this many evaluations without a lower loss; 0 never does."""
    seed: int = 0

    def rate(self, step: int) -> float:
        """The learning rate of a step, counted from 1."""
        warmup = round(self.warmup_ratio * self.steps)
        return self.learning_rate * min(step / (warmup + 1), (self.steps - step + 1) / (self.steps - warmup))


class Loop:
    """Trains a model on steps; every file goes into the run folder.

    The model takes the two parts of a micro-batch and gives the summed loss of its examples, shape (), and how many
    pairs it orders with how many of them right, shape (2,).
    """

    def __init__(self, model: nn.Module, config: LoopConfig, run: Path, *, on_step: OnStep | None = None) -> None:
        from accelerate import Accelerator, DistributedDataParallelKwargs, DistributedType
        from accelerate.utils import set_seed

        launch_state()  # before accelerate makes its own
        set_seed(config.seed)
        bf16 = torch.cuda.is_available() and torch.cuda.is_bf16_supported()
        self.accelerator: Any = Accelerator(
            mixed_precision="bf16" if bf16 else None,
            kwargs_handlers=[DistributedDataParallelKwargs(find_unused_parameters=True)],
        )
        self.device: torch.device = self.accelerator.device
        self.rank, self.ranks = int(self.accelerator.process_index), int(self.accelerator.num_processes)
        """The number of this process, from 0; and how many train together, one a device."""
        self.sharded = self.accelerator.distributed_type in (DistributedType.FSDP, DistributedType.DEEPSPEED)
        if self.accelerator.distributed_type == DistributedType.DEEPSPEED:  # it clips by itself, and asks for a size
            self.accelerator.state.deepspeed_plugin.deepspeed_config |= {
                "train_micro_batch_size_per_gpu": 1,
                "gradient_clipping": config.max_grad_norm,
            }
        self.config, self.bare, self._run, self._on_step = config, model, run, on_step
        self._names = set(trainable(model))  # as they are before anything is wrapped
        self.model, self.optimizer = self.accelerator.prepare(model, adamw(model, config, self.accelerator.device))
        self.accelerator.register_save_state_pre_hook(lambda models, weights, folder: weights.clear())
        self.accelerator.register_load_state_pre_hook(lambda models, folder: models.clear())
        self._sums: dict[str, Tensor] = {}
        self.step = self.examples = 0
        self.best_step, self.best_loss, self._worse = 0, float("inf"), 0

    def train(
        self, steps: Callable[[int], Step], *, validation: Step | None = None, checkpoint: Path | None = None
    ) -> int:
        """Takes every step, logs, evaluates and saves.

        Args:
            steps: this device's share of step k, counted from 0.
            validation: what is held out, the same on every device; the checkpoint with the lowest loss on it is kept.
            checkpoint: where to go on from.

        Returns:
            The step whose checkpoint is kept: the best where something is held out, else the last.

        Raises:
            ModelError: training diverged.
            OutputError: a checkpoint cannot be written.
        """
        if checkpoint:
            self._load(checkpoint)
        config, main = self.config, self.accelerator.is_main_process
        log_steps = max(1, min(10, config.steps // 10))
        with contextlib.ExitStack() as opened:
            log = None
            if main:
                examples, on_step = config.examples_per_step, self._on_step
                log = RunLog(self._run, self.step, steps=config.steps, examples_per_step=examples, on_step=on_step)
                opened.callback(log.close)
            patience = config.early_stopping_patience or float("inf")
            while self.step < config.steps and self._worse < patience:
                step = steps(self.step)
                self.update(step)
                saves = self.step % config.save_steps == 0 or self.step == config.steps
                metrics: dict[str, float | str] = {}
                if saves or self.step % log_steps == 0:
                    metrics |= self._means() | step.notes
                if saves and validation:
                    metrics |= self._evaluate(validation)
                if log:
                    log.write(self.step, metrics)
                if saves:
                    self._save()
        self.accelerator.wait_for_everyone()
        return self.best_step or self.step

    def prepared(self, step: Step) -> Step:
        """The step with its micro-batches made, where this device copies them from; may run in another thread."""
        return replace(step, micro_batches=[self._ready(micro_batch) for micro_batch in step.micro_batches])

    def _ready(self, micro_batch: MicroBatch) -> MicroBatch:
        if self.device.type != "cuda":
            return micro_batch
        with torch.cuda.device(self.device):  # each thread has one of its own, to which pinned memory belongs
            ready: MicroBatch = pinned(micro_batch)
        return ready

    def update(self, step: Step) -> None:
        """One optimiser step on L = 1/N sum_i l_i over the N examples of the step on all devices.

        Nothing in it waits for the device: sums stay there until they are logged.
        """
        self.step += 1
        self.model.train()
        for group in self.optimizer.param_groups:
            group["lr"] = self.config.rate(self.step)
        total, order, examples = self._within_memory(self.gradient, step)
        if self.config.max_grad_norm:
            self.grad_norm = self.accelerator.clip_grad_norm_(self.model.parameters(), self.config.max_grad_norm)
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.examples += examples
        self._add("loss", total, step.examples)
        self._add("accuracy", order[1], order[0])
        for name, (value, over) in step.metrics.items():
            self._add(name, value, over)

    def gradient(self, step: Step) -> tuple[Tensor, Tensor, int]:
        """Adds up the gradient of a step; gives its summed loss, its order counts, and its examples on all devices."""
        count, examples = self._agree(step)
        total, order = torch.zeros((), device=self.device), torch.zeros(2, device=self.device)
        for number in range(count):
            inputs, targets = self.on_device(step.micro_batches[min(number, len(step.micro_batches) - 1)])
            last = number == count - 1
            self.accelerator.sync_gradients = last  # DeepSpeed goes by it
            with contextlib.nullcontext() if last else self.accelerator.no_sync(self.model):
                loss, ordered = self.model(inputs, targets)
                if number >= len(step.micro_batches) or not step.examples:  # others have more: take part, add nothing
                    loss, ordered = loss * 0.0, ordered * 0.0
                self.accelerator.backward(loss * (self.ranks / examples))  # gradients are averaged over devices
            total, order = total + loss.detach(), order + ordered
        return total, order, examples

    def _within_memory(self, compute: Callable[[Step], Computed], step: Step) -> Computed:
        """Computes a step; where the memory does not suffice, begins it again in micro-batches of half the size.

        Raises:
            ModelError: they cannot be made smaller; or there are several devices, which would wait for this one.
        """
        while True:
            try:
                return compute(step)
            except torch.OutOfMemoryError as error:
                fault = str(error).partition(".")[0]
            # Only here has the exception let go of what filled the memory.
            self.model.zero_grad(set_to_none=True)  # part of the step's gradient
            if self.device.type == "cuda":
                torch.cuda.empty_cache()
            if step.smaller is None or self.ranks > 1:
                raise ModelError(
                    f"{fault} at step {self.step}. Fix: --gradient-checkpointing, a smaller --tokens-per-batch or "
                    "--max-length, or --lora-r"
                )
            step = step.smaller()

    def on_device(self, micro_batch: MicroBatch) -> MicroBatch:
        """The micro-batch where the model is; copied while the device computes."""
        from accelerate.utils import send_to_device

        moved: MicroBatch = send_to_device(micro_batch, self.device, non_blocking=True)
        return moved

    def _agree(self, step: Step) -> tuple[int, int]:
        """Micro-batches that every device runs, since sharded models meet in each pass; and the step's examples."""
        if self.ranks == 1:
            return len(step.micro_batches), step.examples
        own = torch.tensor([[len(step.micro_batches), step.examples]], device=self.device)
        every = self.accelerator.gather(own)
        return int(every[:, 0].max()), int(every[:, 1].sum())

    def _add(self, name: str, value: Tensor | float, over: Tensor | float) -> None:
        pair = torch.stack([self._number(part) for part in (value, over)])
        self._sums[name] = self._sums[name] + pair if name in self._sums else pair

    def _number(self, value: Tensor | float) -> Tensor:
        if isinstance(value, Tensor):
            return value.to(self.device, torch.float32)
        return torch.full((), float(value), device=self.device)  # a copy from the CPU would wait for the device

    def _means(self) -> dict[str, float | str]:
        """What was added since the last call, as means over steps and devices."""
        names = list(self._sums)
        sums = self.accelerator.reduce(torch.stack([self._sums[name] for name in names]), reduction="sum").tolist()
        self._sums = {}
        loss = sums[names.index("loss")][0]
        if not math.isfinite(loss):
            raise self._diverged(f"the loss is {loss}")
        means = {name: value / over for name, (value, over) in zip(names, sums, strict=True) if over}
        norm = {"grad_norm": float(self.grad_norm)} if self.config.max_grad_norm else {}
        return means | norm | {"learning_rate": self.config.rate(self.step), "examples": float(self.examples)}

    @torch.no_grad()
    def _evaluate(self, validation: Step) -> dict[str, float]:
        """Loss and accuracy on the held-out examples, the same on every device."""
        self.model.eval()
        total, order = self._within_memory(self._sum, validation)
        mean = float(total) / validation.examples
        if mean < self.best_loss:
            self.best_step, self.best_loss, self._worse = self.step, mean, 0
        else:
            self._worse += 1
        return {"eval_loss": mean} | ({"eval_accuracy": float(order[1] / order[0])} if order[0] else {})

    def _sum(self, step: Step) -> tuple[Tensor, Tensor]:
        """The summed loss of a step, and its order counts."""
        total, order = torch.zeros((), device=self.device), torch.zeros(2, device=self.device)
        micro_batches = Ahead(lambda number: self._ready(step.micro_batches[number]), len(step.micro_batches))
        for number in range(len(step.micro_batches)):
            loss, ordered = self.model(*self.on_device(micro_batches(number)))
            total, order = total + loss, order + ordered
        return total, order

    def _save(self) -> None:
        """Writes a checkpoint: what is trained, the optimiser, every random state, and how far the run has come."""
        from safetensors.torch import save_file

        if not all(parameter.isfinite().all() for parameter in trainable(self.bare).values()):
            raise self._diverged("weights are not finite")
        main, barrier = self.accelerator.is_main_process, self.accelerator.wait_for_everyone
        with new_checkpoint(self._run, self.step, best=self.best_step, main=main, barrier=barrier) as folder:
            self.accelerator.save_state(str(folder))
            weights: Mapping[str, Tensor] = trainable(self.bare)
            if self.sharded:
                weights = self.accelerator.get_state_dict(self.model)
            if main:
                kept = {name: weights[name].detach().cpu().contiguous() for name in self._names}
                save_file(kept, str(folder / WEIGHTS_FILE))
                state = {name: getattr(self, name) for name in _STATE}
                (folder / STATE_FILE).write_text(json.dumps(state), encoding="utf-8")

    def _load(self, checkpoint: Path) -> None:
        """Goes on from a checkpoint of this run."""
        if not self.sharded:
            load_trainable(self.bare, checkpoint)
        self.accelerator.load_state(str(checkpoint))
        for name, value in json.loads((checkpoint / STATE_FILE).read_text(encoding="utf-8")).items():
            setattr(self, name, value)

    def _diverged(self, what: str) -> ModelError:
        return ModelError(
            f"{what} at step {self.step}: training has diverged. Fix: lower --learning-rate; the last checkpoint is "
            "kept"
        )


_STATE = ("step", "examples", "best_step", "best_loss", "_worse")
"""How far a run has come, beside what `accelerate` saves."""


def adamw(model: nn.Module, config: LoopConfig, device: torch.device) -> torch.optim.Optimizer:
    """AdamW with weight decay for matrices only."""
    weights = trainable(model).values()
    groups = [
        {"params": [weight for weight in weights if weight.dim() >= 2], "weight_decay": config.weight_decay},
        {"params": [weight for weight in weights if weight.dim() < 2], "weight_decay": 0.0},
    ]
    fused = device.type in ("cuda", "cpu")
    groups = [group for group in groups if group["params"]]
    return torch.optim.AdamW(groups, lr=config.learning_rate, eps=ADAM_EPSILON, fused=fused)


def trainable(model: nn.Module) -> dict[str, nn.Parameter]:
    """Name -> parameter, of those that are trained."""
    return {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}


def load_trainable(model: nn.Module, checkpoint: Path) -> None:
    """Puts a checkpoint's weights into the model.

    Raises:
        ModelError: they are not those of this model.
    """
    from safetensors.torch import load_file

    state = load_file(checkpoint / WEIGHTS_FILE)
    own = trainable(model)
    if set(state) != set(own):
        raise ModelError(f"{checkpoint} holds other weights than this model trains: was the run started otherwise?")
    with torch.no_grad():
        for name, parameter in own.items():
            parameter.copy_(state[name])
