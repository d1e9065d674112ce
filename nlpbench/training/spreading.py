"""How a model is spread over the processes of a run (fully sharded data parallel)."""

from __future__ import annotations

from typing import Any

import torch
from accelerate import PartialState
from accelerate.utils import DistributedType, FullyShardedDataParallelPlugin
from transformers import Trainer


class SpreadingTrainer(Trainer):
    """A Trainer that spreads models over processes on CPUs too, and can bring them together."""

    model: Any

    def create_accelerator_and_postprocess(self) -> None:
        if self.args.fsdp_plugin_args:
            self.args.fsdp_plugin_args.setdefault(
                "transformer_cls_names_to_wrap", ",".join(self._parts_to_spread())
            )
        super().create_accelerator_and_postprocess()
        state = self.accelerator.state
        if self.args.fsdp_plugin_args and state.distributed_type == DistributedType.MULTI_CPU:
            # accelerate spreads models over GPUs only, and would train by DDP without a word.
            state.distributed_type = PartialState().distributed_type = DistributedType.FSDP
            state.fsdp_plugin = FullyShardedDataParallelPlugin(**self.args.fsdp_plugin_args)
            self.is_fsdp_enabled = True

    def _parts_to_spread(self) -> list[str]:
        """The classes that transformers names, but for those that hold the embedding table.

        accelerate spreads that by itself, and cannot do it twice.
        """
        table = self.model.get_input_embeddings()
        return [
            name
            for name in sorted(self.model._no_split_modules or ())
            if not any(
                type(module).__name__ == name and table in module.modules()
                for module in self.model.modules()
            )
        ]

    def whole_weights(self) -> dict[str, torch.Tensor]:
        """The weights of a model that is spread over the processes, all of them, on the CPU."""
        from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict

        weights: dict[str, Any] = get_model_state_dict(
            self.model_wrapped, options=StateDictOptions(full_state_dict=True)
        )
        return weights
