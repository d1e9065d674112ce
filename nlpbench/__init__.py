"""nlpbench: fine-tune and evaluate NLP models, with numbers that hold.

Python users call what the command line calls:

    config = nlpbench.load_config("configs/quickstart.yaml", ["training.learning_rate=3e-5"])
    [record] = nlpbench.finetune(config, "runs/mine")
    print(record.scores["f1_macro"].value)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nlpbench.config.load import load as load_config
    from nlpbench.runs.compare import compare
    from nlpbench.runs.evaluate import evaluate
    from nlpbench.runs.finetune import finetune
    from nlpbench.runs.score import score

__all__ = ["compare", "evaluate", "finetune", "load_config", "score"]

_HOMES = {
    "compare": ("nlpbench.runs.compare", "compare"),
    "evaluate": ("nlpbench.runs.evaluate", "evaluate"),
    "finetune": ("nlpbench.runs.finetune", "finetune"),
    "load_config": ("nlpbench.config.load", "load"),
    "score": ("nlpbench.runs.score", "score"),
}


def __getattr__(name: str) -> Any:
    # Imported on first use, so that `import nlpbench` costs nothing.
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    module, attribute = _HOMES[name]
    return getattr(import_module(module), attribute)
