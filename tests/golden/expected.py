"""Expected output that stands in files of this directory; README.md says how to refresh it."""

from __future__ import annotations

import os
from pathlib import Path

REFRESH = "NLPBENCH_REFRESH_GOLDEN"


def golden(name: str, text: str) -> str:
    """What the file `name` holds; to refresh, `text` is written there first."""
    file = Path(__file__).with_name(name)
    if os.environ.get(REFRESH) == "1":
        file.write_text(text, encoding="utf-8")
    assert file.is_file(), f"no {file}; make it with {REFRESH}=1 (see README.md beside it)"
    return file.read_text(encoding="utf-8")
