"""Gives the top layers of a pretrained model fresh weights."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from nlpbench.models.structure import locate

if TYPE_CHECKING:
    from transformers import PreTrainedModel

logger = logging.getLogger("nlpbench")


def reinitialise(model: PreTrainedModel, layers: int, seed: int) -> None:
    """The top `layers` layers and the pooler begin as in a new model of the architecture.

    The highest layers are those most bound to pretraining, and short runs on few rows gain by
    learning them anew (Zhang et al. 2021, arXiv:2006.05987). All other weights keep their values,
    and the random numbers of the run go on as if nothing had been drawn.

    Raises:
        UserError: more layers than there are, or layers that share their weights.
    """
    import torch

    structure = locate(model)
    structure.check_layers(layers, "training.reinit_layers")
    top = structure.layers[-layers:]
    modules = [module for layer in top for module in layer.modules]
    if structure.pooler is not None:
        modules.append(structure.pooler)
    devices = {p.device for p in model.parameters() if p.device.type == "cuda"}
    with torch.random.fork_rng(devices), torch.no_grad():
        torch.manual_seed(seed)
        for module in modules:
            for tensor in (*module.parameters(), *module.buffers()):
                # transformers leaves alone what it has loaded from a checkpoint.
                tensor.__dict__.pop("_is_hf_initialized", None)
            module.apply(model._init_weights)
    pooler = " and the pooler" if structure.pooler is not None else ""
    logger.info("new weights in %s%s", ", ".join(layer.name for layer in top), pooler)
