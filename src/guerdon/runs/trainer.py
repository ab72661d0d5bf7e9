"""The training loop: `transformers.Trainer`, with whole optimiser steps as its items.

One item of the data set is one rank's share of one optimiser step: a list of micro-batches. Its losses are summed and
divided by the number of judgements, so a step is the same however it is cut; gradients meet once a step.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset, SequentialSampler
from transformers import PrinterCallback, Trainer, TrainingArguments
from transformers.trainer import TRAINER_STATE_NAME
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR

from guerdon.errors import ModelError
from guerdon.files import disk_errors, output_error

WEIGHTS_FILE = "trainable.safetensors"

Step = dict[str, Any]
"""`micro`: list of (batch, targets); `judgements`: what the summed loss is divided by."""


def only(items: Sequence[Step]) -> Step:
    """Collator: an item is a whole step already."""
    return items[0]


def step_arguments(
    run: Path,
    *,
    steps: int,
    learning_rate: float,
    warmup: float,
    weight_decay: float,
    checkpoint_every: int,
    validates: bool,
    seed: int,
) -> TrainingArguments:
    """What `StepTrainer` needs to know of a run: bf16 where a GPU has it, a linear rate, checkpoints, figures.

    Args:
        run: folder of checkpoints and figures.
        steps: optimiser steps of the run.
        learning_rate: at its peak.
        warmup: share of the steps over which it rises; it then falls to 0 along a line.
        weight_decay: of matrices.
        checkpoint_every: steps between two checkpoints, and two evaluations.
        validates: whether there is something held out; the checkpoint with the lowest loss on it is kept, too.
        seed: of everything random.
    """
    return TrainingArguments(
        output_dir=str(run),
        per_device_train_batch_size=1,
        max_steps=steps,
        learning_rate=learning_rate,
        lr_scheduler_type="linear",
        warmup_steps=round(warmup * steps),
        weight_decay=weight_decay,
        bf16=torch.cuda.is_available() and torch.cuda.is_bf16_supported(),
        logging_strategy="steps",
        logging_steps=max(1, min(10, steps // 10)),
        eval_strategy="steps" if validates else "no",
        eval_steps=checkpoint_every,
        save_strategy="steps",
        save_steps=checkpoint_every,
        metric_for_best_model="eval_loss" if validates else None,
        greater_is_better=False if validates else None,
        dataloader_pin_memory=torch.cuda.is_available(),
        remove_unused_columns=False,
        report_to=[],
        disable_tqdm=True,
        seed=seed,
        data_seed=seed,
    )


class StepTrainer(Trainer):
    """`Trainer` whose items are optimiser steps, and whose checkpoints are whole or absent.

    The model takes `(batch, targets)` and gives the summed loss of a micro-batch, and how many pairs it orders with how
    many of them right, shape (2,).
    """

    def __init__(
        self,
        model: nn.Module,
        args: TrainingArguments,
        steps: Dataset[Step],
        validation: Dataset[Step] | None = None,
        *,
        layer_decay: float = 1.0,
        **options: Any,
    ) -> None:
        self._layer_decay = layer_decay
        super().__init__(
            model=model,
            args=args,
            train_dataset=steps,
            eval_dataset=validation,
            data_collator=only,
            **options,
        )
        self.remove_callback(PrinterCallback)
        self.model_accepts_loss_kwargs = False
        self._order = torch.zeros(2)
        self._seen = 0

    def _get_train_sampler(self, train_dataset: Any = None) -> SequentialSampler:
        """The plan is the order."""
        return SequentialSampler(self.train_dataset)  # type: ignore[arg-type]

    def training_step(self, model: nn.Module, inputs: Step, num_items_in_batch: Any = None) -> Tensor:
        """One optimiser step's gradient on this rank. Returns the mean loss of its judgements."""
        model.train()
        total = torch.zeros((), device=self.args.device)
        micro: Any = self._prepare_inputs(inputs["micro"])
        count = self._agreed_count(len(micro))
        for number in range(count):
            batch, targets = micro[min(number, len(micro) - 1)]
            last = number == count - 1
            with contextlib.nullcontext() if last else self.accelerator.no_sync(model):
                loss, order = model(batch, targets)
                if number >= len(micro):  # other ranks have more: take part, add nothing
                    loss, order = loss * 0.0, order * 0.0
                loss = loss / inputs["judgements"]
                self.accelerator.backward(loss)
            total += loss.detach()
            self._order += order.cpu()
        self._seen += inputs["judgements"] * self.args.world_size
        if not torch.isfinite(total):
            raise self._diverged(f"the loss is {total.item()}", self.state.global_step + 1)
        return total

    @staticmethod
    def _diverged(what: str, step: int) -> ModelError:
        return ModelError(
            f"{what} at step {step}: training has diverged. Fix: lower --learning-rate; the last checkpoint is kept"
        )

    def _agreed_count(self, own: int) -> int:
        """Micro-batches that every rank runs, since sharded models meet in each forward pass."""
        if self.args.world_size == 1:
            return own
        counts = self.accelerator.gather(torch.tensor([own], device=self.args.device))
        return int(counts.max())

    def floating_point_ops(self, inputs: Any) -> int:
        """Not counted: items are not tensors of one shape."""
        return 0

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Adds the training accuracy since the last log, and the judgements seen."""
        if "loss" in logs:
            order = self.accelerator.reduce(self._order.to(self.args.device), reduction="sum")
            if order[0] > 0:
                logs["accuracy"] = float(order[1] / order[0])
            logs["judgements"] = float(self._seen)
            self._order = torch.zeros(2)
        super().log(logs, start_time)

    def evaluate(self, *_: Any, **__: Any) -> dict[str, float]:
        """Loss and accuracy on the held-out judgements, the same on every rank."""
        steps: Any = self.eval_dataset
        self._bare.eval()
        totals = torch.zeros(4, device=self.args.device)  # loss, judgements, ordered pairs, of them right
        with torch.no_grad():
            for index in range(len(steps)):
                item = steps[index]
                micro: Any = self._prepare_inputs(item["micro"])
                for batch, targets in micro:
                    loss, order = self.model_wrapped(batch, targets)
                    totals += torch.stack((loss.detach(), totals.new_zeros(()), *order.to(totals)))
                totals[1] += item["judgements"]
        loss, judged, ordered, right = totals.tolist()
        metrics = {"eval_loss": loss / judged}
        if ordered:
            metrics["eval_accuracy"] = right / ordered
        self.log(dict(metrics))
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        """Writes a checkpoint under another name and renames it; keeps the last and the best."""
        if not all(parameter.isfinite().all() for parameter in trainable(self._bare).values()):
            raise self._diverged("weights are not finite", self.state.global_step)
        run = Path(str(self.args.output_dir))
        stage = run / "saving"
        name = f"{PREFIX_CHECKPOINT_DIR}-{self.state.global_step}"
        try:
            if self.args.should_save:
                shutil.rmtree(stage, ignore_errors=True)
                stage.mkdir(parents=True)
            self.accelerator.wait_for_everyone()
            self.args.output_dir = str(stage)
            try:
                with disk_errors():
                    super()._save_checkpoint(model, trial)
            finally:
                self.args.output_dir = str(run)
            self.accelerator.wait_for_everyone()
            if self.args.should_save:
                self.state.best_model_checkpoint = None  # a path in `stage`; we go by `best_global_step`
                self.state.save_to_json(str(stage / name / TRAINER_STATE_NAME))
                shutil.rmtree(run / name, ignore_errors=True)
                (stage / name).replace(run / name)
                stage.rmdir()
                self._forget({name, f"{PREFIX_CHECKPOINT_DIR}-{self.state.best_global_step}"})
        except OSError as error:
            shutil.rmtree(stage, ignore_errors=True)
            raise output_error(run / name, error) from error

    def _forget(self, keep: set[str]) -> None:
        for step in checkpoint_steps(Path(str(self.args.output_dir))):
            if (name := f"{PREFIX_CHECKPOINT_DIR}-{step}") not in keep:
                shutil.rmtree(Path(str(self.args.output_dir)) / name, ignore_errors=True)

    def _save(self, output_dir: str | None = None, state_dict: Mapping[str, Tensor] | None = None) -> None:
        """Writes what is trained, and nothing else: the rest is as the backbone has it."""
        from safetensors.torch import save_file

        names = trainable(self._bare)
        state: Mapping[str, Tensor] = state_dict or dict(names)
        folder = output_dir or str(self.args.output_dir)
        os.makedirs(folder, exist_ok=True)
        save_file(
            {k: v.detach().cpu().contiguous() for k, v in state.items() if k in names},
            os.path.join(folder, WEIGHTS_FILE),
        )

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        if self.is_fsdp_enabled or self.is_deepspeed_enabled:
            super()._load_from_checkpoint(resume_from_checkpoint, model)
        else:
            load_trainable(self._bare, Path(resume_from_checkpoint))

    @property
    def _bare(self) -> nn.Module:
        module: nn.Module = self.accelerator.unwrap_model(self.model)
        return module

    def create_optimizer(self, model: Any = None) -> torch.optim.Optimizer:
        """AdamW with a rate for each layer."""
        if self.optimizer is None:
            groups = optimiser_groups(self._bare, self.args.learning_rate, self.args.weight_decay, self._layer_decay)
            fused = self.args.device.type in ("cuda", "cpu")
            self.optimizer = torch.optim.AdamW(
                groups, lr=self.args.learning_rate, eps=self.args.adam_epsilon, fused=fused
            )
        return self.optimizer


def trainable(model: nn.Module) -> dict[str, nn.Parameter]:
    """Name -> parameter, of those that are trained."""
    return {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}


def checkpoint_steps(run: Path) -> list[int]:
    """Steps of the complete checkpoints of a run folder, ascending."""
    names = [entry.name.removeprefix(f"{PREFIX_CHECKPOINT_DIR}-") for entry in run.glob(f"{PREFIX_CHECKPOINT_DIR}-*")]
    return sorted(int(name) for name in names if name.isdigit())


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


def optimiser_groups(model: nn.Module, rate: float, weight_decay: float, layer_decay: float) -> list[dict[str, Any]]:
    """AdamW's parameter groups: a rate for each layer, decay for matrices only.

    The head has `rate`; each layer below it `layer_decay` times that of the layer above, embeddings the least
    (Howard and Ruder 2018, arXiv:1801.06146, section 3.2).
    """
    depth = layer_depth([name for name, _ in model.named_parameters()])
    top = max(depth.values())
    groups: dict[tuple[int, bool], list[nn.Parameter]] = {}
    for name, parameter in trainable(model).items():
        groups.setdefault((depth[name], parameter.dim() >= 2), []).append(parameter)
    return [
        {"params": members, "lr": rate * layer_decay ** (top - level), "weight_decay": weight_decay if matrix else 0.0}
        for (level, matrix), members in sorted(groups.items(), reverse=True)
    ]


def layer_depth(names: Sequence[str]) -> dict[str, int]:
    """Parameter name -> 0 for embeddings, k + 1 for layer k, one more than the last layer for the rest (head)."""
    found: dict[str, int] = {}
    for name in names:
        parts = name.split(".")
        layer = next(
            (int(part) for before, part in itertools.pairwise(parts) if before in _LAYERS and part.isdigit()),
            None,
        )
        found[name] = -1 if layer is None else layer + 1
    top = max(found.values(), default=0) + 1
    return {n: (0 if any(e in n for e in _EMBEDDINGS) else top) if level < 0 else level for n, level in found.items()}


_LAYERS = ("layer", "layers", "h", "block", "blocks")
_EMBEDDINGS = ("embed", ".wte.", ".wpe.")
