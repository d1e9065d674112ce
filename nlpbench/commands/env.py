"""`nlpbench env`: versions and hardware, for a bug report."""

from __future__ import annotations

import typer

SHOWN_VARIABLES = (
    "CUDA_VISIBLE_DEVICES",
    "HF_HOME",
    "HF_HUB_CACHE",
    "HF_HUB_OFFLINE",
    "HF_DATASETS_OFFLINE",
    "NLPBENCH_DATA",
    "OMP_NUM_THREADS",
)


def env() -> None:
    """Print versions and hardware for a bug report."""
    import os

    from nlpbench.results.environment import describe

    found = describe()
    packages = found.pop("packages")
    typer.echo(f"python        {found.pop('python')}")
    for name, version in packages.items():
        typer.echo(f"{name:<14}{version}")
    for key, value in found.items():
        if key == "git":
            value = None if value is None else value["commit"][:12] + "+" * value["dirty"]
        typer.echo(f"{key:<14}{value}")
    for name in SHOWN_VARIABLES:
        if name in os.environ:
            typer.echo(f"{name}={os.environ[name]}")
    typer.echo(f"{'gpu':<14}{_gpu()}")


def _gpu() -> str:
    import torch

    if not torch.cuda.is_available():
        return f"none that torch sees (built for CUDA {torch.version.cuda})"
    names = [torch.cuda.get_device_name(number) for number in range(torch.cuda.device_count())]
    return f"{', '.join(names)} (CUDA {torch.version.cuda})"
