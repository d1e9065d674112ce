"""`nlpbench score`: score a file of answers from anywhere, without a model."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from nlpbench.commands import options


class Kind(StrEnum):
    labels = "labels"
    label_sets = "label-sets"
    values = "values"
    tags = "tags"
    spans = "spans"
    texts = "texts"
    log_likelihoods = "log-likelihoods"
    rankings = "rankings"


class SplitName(StrEnum):
    train = "train"
    validation = "validation"
    test = "test"


def score(
    predictions: Annotated[
        Path,
        typer.Argument(
            metavar="PREDICTIONS",
            help="A predictions.jsonl or its run; json, jsonl, csv or tsv; else text, one a line.",
        ),
    ],
    metrics: Annotated[
        list[str] | None,
        typer.Option(
            "--metrics",
            "-m",
            help="Names, as f1,accuracy, or YAML, as {name: bleu, tokenize: zh}; may be repeated.",
        ),
    ] = None,
    references: Annotated[
        list[Path] | None,
        typer.Option(
            "--references",
            "-r",
            help="A file of references, or a run with them; repeated, several for each answer.",
        ),
    ] = None,
    output_dir: Annotated[
        Path | None,
        typer.Option("--output-dir", "-o", help="A run directory to write; none unless told."),
    ] = None,
    name: Annotated[
        str | None, typer.Option(help="What answered, as tables call it; the file unless told.")
    ] = None,
    task: Annotated[
        str | None, typer.Option(help="The task, by name or as YAML, where the files do not tell.")
    ] = None,
    answer: Annotated[
        Kind | None, typer.Option(help="The kind of the answers, where the files do not tell.")
    ] = None,
    labels: Annotated[
        list[str] | None,
        typer.Option(
            help="The labels in their order, as no,yes; those found, sorted, unless told."
        ),
    ] = None,
    prediction_column: Annotated[
        str | None, typer.Option(help="Of the answers; prediction unless told.")
    ] = None,
    reference_column: Annotated[
        str | None, typer.Option(help="Of the references; reference unless told.")
    ] = None,
    id_column: Annotated[
        str | None, typer.Option(help="That rows are matched by; id, if there is one.")
    ] = None,
    split: Annotated[
        SplitName | None, typer.Option(help="What the rows are; the run's, or test.")
    ] = None,
    confidence: Annotated[
        float | None, typer.Option(help="Level of the intervals; 0.95 unless told.")
    ] = None,
    resamples: Annotated[
        int | None, typer.Option(help="Bootstrap resamples; 1000 unless told.")
    ] = None,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> None:
    """Score a file of answers against references, without a model."""
    options.set_loudness(quiet, verbose)
    from nlpbench.commands.show_table import show_table
    from nlpbench.config.written_components import written, written_list
    from nlpbench.runs.score import score as run

    options_given: dict[str, Any] = {
        "answer": answer.value if answer else None,
        "split": split.value if split else None,
        "labels": [_label(item) for item in written_list(labels, "--labels")] if labels else None,
        "task": written(task, "--task") if task else None,
    }
    record = run(
        predictions,
        written_list(metrics or (), "--metrics"),
        references=references or (),
        output_dir=output_dir,
        name=name,
        prediction_column=prediction_column,
        reference_column=reference_column,
        id_column=id_column,
        confidence=confidence,
        resamples=resamples,
        **options_given,
    )
    show_table([(record.name, record)])
    if output_dir is not None:
        typer.echo(f"wrote {output_dir}", err=True)


def _label(item: Any) -> str:
    return str(item).lower() if isinstance(item, bool) else str(item)
