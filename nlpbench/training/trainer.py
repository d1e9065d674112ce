"""The transformers Trainer with nlpbench's batches, loss, evaluation and guards."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from accelerate.data_loader import prepare_data_loader
from torch.utils.data import DataLoader
from transformers.trainer_optimizer import is_optimizer_factory
from transformers.trainer_utils import rotate_checkpoints

from nlpbench.config.errors import RunError, UserError
from nlpbench.config.training import TrainingSection
from nlpbench.evaluation import memory, processes
from nlpbench.training import checkpoints, learning_rates
from nlpbench.training.batches import Batch, cut
from nlpbench.training.cpu_kernels import CpuKernels
from nlpbench.training.divergence import Divergence
from nlpbench.training.objective import Objective
from nlpbench.training.parameter_groups import parameter_groups
from nlpbench.training.sampling import TrainSampler
from nlpbench.training.schedule import Schedule
from nlpbench.training.shares import Shares
from nlpbench.training.spreading import SpreadingTrainer

logger = logging.getLogger("nlpbench")
LEAST_TARGETS = torch.finfo(torch.float32).tiny


@dataclass(frozen=True)
class Plan:
    """What BenchTrainer knows beyond a Trainer's arguments."""

    section: TrainingSection
    schedule: Schedule
    objective: Objective
    sampler: TrainSampler
    evaluate: Callable[[], dict[str, float]]
    divergence: Divergence
    save_total_limit: int
    states: tuple[checkpoints.State, ...] = ()


class BenchTrainer(SpreadingTrainer):
    """Trainer sees one batch a step: all rows of the effective batch that fall to its process.

    Here they are cut into micro-batches, whose losses are summed and divided by the number of
    targets in the effective batch, over all processes: the base takes the mean losses of most heads
    for normalised ones and adds them up, so that a step over 4 micro-batches is 4 times too large
    (transformers#47688). Where a micro-batch does not fit into memory, the step is done again with
    halved ones. Evaluation is nlpbench's own prediction path.
    """

    model: Any
    train_dataset: Any
    data_collator: Any
    optimizer: Any
    lr_scheduler: Any

    def __init__(self, *args: Any, plan: Plan, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.plan = plan
        self.micro_batch_size = plan.schedule.micro_batch_size
        self.tokens_computed = self.tokens_padded = 0
        self.last_saved_step: int | None = None
        self.kernels = CpuKernels(self.model)

    def train(self, *args: Any, **kwargs: Any) -> Any:
        # A compiler makes kernels of its own, and torch.compile cannot see into these.
        with nullcontext() if self.args.torch_compile else self.kernels():
            return super().train(*args, **kwargs)

    @contextmanager
    def _plain_model(self) -> Iterator[None]:
        """The model as every evaluation sees it: without the kernels and the autocast of training."""
        # accelerate puts autocast into the model's own forward.
        own = vars(self.model)
        trained, plain = own.get("forward"), own.get("_original_forward")
        in_use = self.kernels.in_use
        if in_use:
            self.kernels.take_out()
        if plain is not None:
            self.model.forward = plain
        try:
            yield
        finally:
            if plain is not None:
                self.model.forward = trained
            if in_use:
                self.kernels.put_in()

    # What a step is

    def get_batch_samples(
        self, epoch_iterator: Iterator[Batch], num_batches: int, device: torch.device
    ) -> tuple[list[Any], torch.Tensor | int | None]:
        batches = list(islice(epoch_iterator, num_batches))
        items = torch.stack([self._targets(batch) for batch in batches]).sum(0).to(device)
        if self.args.world_size > 1:
            items = self.accelerator.gather(items[None]).sum(0)
        return batches, items

    def _targets(self, batch: Batch) -> torch.Tensor:
        """(T,) the targets of a batch; none in the stand-in of an empty share."""
        count = self.plan.objective.count
        found = torch.stack([count(piece["labels"]) for piece in batch["pieces"]]).sum(0)
        return found if len(batch["rows"]) else torch.zeros_like(found)

    def training_step(
        self,
        model: torch.nn.Module,
        inputs: Batch,
        num_items_in_batch: torch.Tensor | int | None = None,
    ) -> torch.Tensor:
        step = self.state.global_step + 1
        self.plan.divergence.remember(step, inputs["rows"])
        self.tokens_computed += inputs["computed"]
        self.tokens_padded += inputs["padded"]
        if not len(inputs["rows"]):  # an empty share: its stand-in has no part in the gradient
            num_items_in_batch = torch.tensor(torch.inf, device=self.args.device)
        loss = None
        while loss is None:
            try:
                loss = self._accumulate(model, inputs["pieces"], num_items_in_batch)
            except Exception as error:
                if not memory.is_out_of_memory(error):
                    raise
                self._halve(error)
            if loss is None:  # outside of the handler, whose traceback holds the tensors
                model.zero_grad()
                memory.free()
        self.plan.divergence.watch("loss", loss, step, self._rate())
        return loss

    def _accumulate(self, model: torch.nn.Module, pieces: list[Batch], items: Any) -> torch.Tensor:
        pieces = cut(pieces, self.micro_batch_size)
        shares = [items] * len(pieces)
        if self.is_fsdp_enabled:  # each forward pass is one of all processes
            lacking = max(processes.gather(len(pieces))) - len(pieces)
            pieces += pieces[:1] * lacking
            shares += [torch.full_like(items, torch.inf)] * lacking
        total = torch.zeros((), device=self.args.device)
        for number, (piece, items) in enumerate(zip(pieces, shares, strict=True), 1):
            last = number == len(pieces)
            with nullcontext() if last else self.accelerator.no_sync(model):
                total = total + super().training_step(model, piece, items)
        return total

    def compute_loss(
        self,
        model: torch.nn.Module,
        inputs: Batch,
        return_outputs: bool = False,
        num_items_in_batch: torch.Tensor | int | None = None,
    ) -> Any:
        batch = dict(inputs)
        labels = batch.pop("labels")
        objective = self.plan.objective
        outputs = objective.task.forward(model, objective.inputs(batch))
        # Each process has the gradient of its own rows, and their mean is taken. A term without
        # targets in the whole batch adds nothing.
        items = torch.as_tensor(num_items_in_batch).clamp_min(LEAST_TARGETS)
        loss = (objective.loss(outputs, labels) / items).sum() * self.accelerator.num_processes
        return (loss, outputs) if return_outputs else loss

    def _halve(self, error: Exception) -> None:
        size = self.micro_batch_size
        if self.plan.objective.task.rows_interact:
            raise RunError(
                f"a batch of {size} rows does not fit into memory ({error}), and cannot be cut: its "
                "rows are compared with one another; set training.effective_batch_size to fewer"
            ) from error
        if self.args.world_size > 1:  # the others wait for this process's gradients
            raise RunError(
                f"a micro-batch of {size} rows does not fit into memory ({error}); set "
                "training.per_device_train_batch_size to fewer rows, or to auto"
            ) from error
        self.micro_batch_size = memory.halved(size, error)
        logger.warning(
            "step %d: %d rows at a time do not fit into memory; going on with %d",
            self.state.global_step + 1,
            size,
            self.micro_batch_size,
        )

    def _get_grad_norm(self, model: torch.nn.Module, grad_norm: Any = None) -> Any:
        norm: Any = super()._get_grad_norm(model, grad_norm)  # type: ignore[no-untyped-call]
        if not self.args.fp16:  # there one overflowing gradient is what loss scaling is for
            step = self.state.global_step + 1
            self.plan.divergence.watch("gradient norm", torch.as_tensor(norm), step, self._rate())
        return norm

    def _rate(self) -> float:
        return float(max(self.lr_scheduler.get_last_lr()))

    def floating_point_ops(self, inputs: Batch) -> int:
        return 0  # of no use here, and the base looks for token ids at the top of the batch

    # What is trained on, with which rates

    def get_train_dataloader(self) -> Any:
        args = self.args
        loader = DataLoader(
            self.train_dataset,
            batch_sampler=Shares(
                self.plan.sampler,
                self.plan.schedule.effective_batch_size,
                args.process_index,
                args.world_size,
                args.dataloader_drop_last,
            ),
            collate_fn=self.data_collator,
            num_workers=args.dataloader_num_workers,
            pin_memory=args.dataloader_pin_memory,
            persistent_workers=args.dataloader_persistent_workers,
            multiprocessing_context=args.dataloader_multiprocessing_context,
            prefetch_factor=args.dataloader_prefetch_factor,
            in_order=args.dataloader_in_order,
        )
        # Batches are shared out already.
        return prepare_data_loader(
            loader, args.device, num_processes=1, process_index=0, put_on_device=True,
            non_blocking=args.dataloader_pin_memory,
        )  # fmt: skip

    def create_optimizer(self, model: Any = None) -> torch.optim.Optimizer:
        section = self.plan.section
        if section.layerwise_lr_decay is None and section.head_learning_rate is None:
            default: torch.optim.Optimizer = super().create_optimizer(model)
            return default
        kind, options = self.get_optimizer_cls_and_kwargs(self.args, self.model)
        if is_optimizer_factory(kind) or {"params", "model", "optimizer_dict"} & options.keys():
            raise UserError(
                f"training.arguments.optim: {self.args.optim} makes its own parameter groups; take "
                "another one with layerwise_lr_decay and head_learning_rate"
            )
        optimizer: torch.optim.Optimizer = kind(
            parameter_groups(model or self.model, section), **options
        )
        self.optimizer = optimizer
        return optimizer

    def create_scheduler(
        self, num_training_steps: int, optimizer: torch.optim.Optimizer | None = None
    ) -> Any:
        if self.lr_scheduler is None:
            self.lr_scheduler = learning_rates.scheduler(
                self.plan.section,
                optimizer or self.optimizer,
                num_training_steps,
                self.plan.schedule.warmup_steps,
                self.args.lr_scheduler_kwargs,
            )
        return self.lr_scheduler

    # What is measured and kept

    def evaluate(
        self,
        eval_dataset: Any = None,
        ignore_keys: list[str] | None = None,
        metric_key_prefix: str = "eval",
    ) -> dict[str, float]:
        with self._plain_model():
            found = self.plan.evaluate()
        values = {f"{metric_key_prefix}_{key}": value for key, value in found.items()}
        self.log(values)
        self.control = self.callback_handler.on_evaluate(
            self.args, self.state, self.control, values
        )
        return values

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        self.plan.divergence.check_watched(self._rate())
        if "eval_loss" in logs:
            self.plan.divergence.check(
                "validation loss", logs["eval_loss"], self.state.global_step, self._rate()
            )
        super().log(logs, start_time)

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        place = Path(str(self.args.output_dir)) / f"checkpoint-{self.state.global_step}"
        checkpoints.unseal(place)
        super()._save_checkpoint(model, trial)
        self.last_saved_step = self.state.global_step
        self.accelerator.wait_for_everyone()
        if self.args.should_save:
            for state in self.plan.states:
                state.save(place)
            checkpoints.seal(place)
            # The base would do this before the new one is whole.
            rotate_checkpoints(
                output_dir=str(self.args.output_dir),
                save_total_limit=self.plan.save_total_limit,
                best_model_checkpoint=self.state.best_model_checkpoint,
                use_mtime=True,
            )

    @property
    def accumulation(self) -> int:
        """Micro-batches of a step."""
        return -(-self.plan.schedule.rows_per_process // self.micro_batch_size)

    def token_counts(self) -> tuple[int, int]:
        """Tokens of text, and all that were computed, padding included, by all processes.

        Every process must ask for them.
        """
        counts = processes.gather((self.tokens_padded, self.tokens_computed))
        padded, computed = map(sum, zip(*counts, strict=True))
        return computed - padded, computed
