"""Settles the libraries before a run: quiet, no telemetry, memory kept; errors still come through."""

from __future__ import annotations

import os
import warnings

from nlpbench.evaluation.allocator import keep_freed_memory


def settle_libraries() -> None:
    """Called once before a run; imports transformers and datasets."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    import datasets
    import transformers
    from huggingface_hub.utils.tqdm import disable_progress_bars

    disable_progress_bars()
    datasets.disable_progress_bars()
    datasets.logging.set_verbosity_error()
    transformers.logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    transformers.logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    warnings.filterwarnings("ignore", category=FutureWarning, module=r"transformers|datasets|torch")
    keep_freed_memory()
