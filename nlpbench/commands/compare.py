"""`nlpbench compare`: is this run really better than that one?"""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class Format(StrEnum):
    table = "table"
    markdown = "markdown"
    json = "json"


class Test(StrEnum):
    mcnemar = "mcnemar"
    randomisation = "randomisation"
    bootstrap = "bootstrap"


def compare(
    runs: Annotated[
        list[Path],
        typer.Argument(
            metavar="RUN",
            help="Run directories, or directories of seeds; the first is the baseline.",
        ),
    ],
    baseline: Annotated[
        Path | None, typer.Option(help="The run that the others are compared with.")
    ] = None,
    metrics: Annotated[
        list[str] | None,
        typer.Option(
            "--metrics",
            "-m",
            help="Names, as f1,accuracy, or YAML, as {name: bleu, tokenize: zh}; may be repeated.",
        ),
    ] = None,
    format: Annotated[Format, typer.Option(help="How it is written.")] = Format.table,
    markdown: Annotated[
        bool, typer.Option("--markdown", help="The same as --format markdown: for a pull request.")
    ] = False,
    examples: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write all examples that changed there, as jsonl."),
    ] = None,
    test: Annotated[
        Test | None, typer.Option(help="Of rows, in place of the one that fits each metric.")
    ] = None,
    confidence: Annotated[
        float | None, typer.Option(help="Level of the intervals; the baseline's unless told.")
    ] = None,
    resamples: Annotated[
        int | None,
        typer.Option(help="How often rows are drawn or exchanged; the baseline's unless told."),
    ] = None,
    seed: Annotated[
        int | None, typer.Option(help="Of drawing and exchanging; the baseline's unless told.")
    ] = None,
) -> None:
    """Compare finished runs on the same examples, with paired tests."""
    import shutil

    from nlpbench.commands.results import short_names
    from nlpbench.config.written_components import written_list
    from nlpbench.results.render_comparison import render
    from nlpbench.runs.compare import compare as run

    named = runs if baseline is None or baseline in runs else [baseline, *runs]
    comparison = run(
        named,
        baseline=baseline,
        names=short_names(named),
        metrics=written_list(metrics or (), "--metrics"),
        confidence=confidence,
        resamples=resamples,
        seed=seed,
        test=test.value if test else None,
    )
    form = Format.markdown if markdown else format
    typer.echo(render(comparison, form.value, shutil.get_terminal_size().columns), nl=False)
    if examples is not None:
        comparison.write_examples(examples)
        typer.echo(f"wrote {examples}", err=True)
