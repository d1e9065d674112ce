"""Where nlpbench keeps what it need not make twice."""

from __future__ import annotations

import os
from pathlib import Path

ENVIRONMENT = "NLPBENCH_CACHE"


def cache_home() -> Path:
    """Where NLPBENCH_CACHE says, else `nlpbench` in the user's cache directory (XDG)."""
    if own := os.environ.get(ENVIRONMENT):
        return Path(own).expanduser().absolute()
    caches = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(caches).expanduser().absolute() / "nlpbench"
