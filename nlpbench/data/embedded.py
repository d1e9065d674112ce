"""The data sets that come with nlpbench: folders under data/samples."""

from __future__ import annotations

from pathlib import Path

from nlpbench.config.errors import UserError
from nlpbench.config.problems import show, suggest

SAMPLES = Path(__file__).parent / "samples"


def sample_names() -> list[str]:
    if not SAMPLES.is_dir():
        return []
    return sorted(
        folder.name
        for folder in SAMPLES.iterdir()
        if folder.is_dir() and not folder.name.startswith(("_", "."))
    )


def sample_folder(name: str) -> Path:
    if name not in sample_names():
        raise UserError(
            f"data.source: no embedded sample {show(name)}; {suggest(name, sample_names())}"
        )
    return SAMPLES / name


def sample_summary(name: str) -> str:
    """The first line of the sample's README.md below its title."""
    readme = sample_folder(name) / "README.md"
    if not readme.is_file():
        return ""
    lines = (line.strip() for line in readme.read_text(encoding="utf-8").splitlines())
    return next((line for line in lines if line and not line.startswith("# ")), "")
