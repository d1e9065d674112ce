"""Metrics of the Hugging Face `evaluate` library."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import Field, model_validator

from nlpbench.config.problems import Invalid, Problem, show
from nlpbench.evaluation.metrics import Answer, Metric, Resampler

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from nlpbench.evaluation.hub_metric import Source

    Array = NDArray[Any]

Name = Annotated[str, Field(min_length=1)]
OWN_ARGUMENTS = ("predictions", "references")


class Evaluate(Metric):
    """Any metric of the Hugging Face evaluate library, written evaluate:NAME_OR_PATH.

    A path is that of a script, or of a directory with a script of its name, relative to the
    directory the command runs in; other names are the hub's, whose scripts run once
    `trust_remote_code` says so. The scores are the numbers of the metric's result, and means where
    it gives one number an example; their keys begin with its name. Those means have intervals.
    Other scores have none, for the metric would have to run on every resample: `recompute` does.
    https://huggingface.co/docs/evaluate

    ```yaml
    metrics:
      - {name: "evaluate:meteor", trust_remote_code: true}
      - {name: "evaluate:bertscore", trust_remote_code: true, scores: [f1], arguments: {lang: en}}
      - {name: evaluate, module: scripts/error_rate.py, lower_is_better: true, recompute: true}
    ```
    """

    answers: ClassVar[tuple[Answer, ...]] = (
        *("labels", "label-sets", "values"),
        *("tags", "spans", "texts"),
    )
    after_colon: ClassVar[str | None] = "module"

    module: Name = Field(description="name on the hub, script, or directory with a script")
    config_name: Name | None = Field(
        None, description="configuration of the metric, such as mrpc for glue"
    )
    revision: Name | None = Field(None, description="branch, tag or commit of a hub metric")
    arguments: dict[str, Any] = Field({}, description="what else goes to its compute function")
    scores: list[Name] | None = Field(
        None, min_length=1, description="keys of its result, the headline first; all unless told"
    )
    lower_is_better: bool = Field(False, description="as with error rates")
    recompute: bool = Field(
        False, description="intervals for all scores, by running it on every resample"
    )
    trust_remote_code: bool = Field(False, description="run the script of a hub metric")

    @model_validator(mode="before")
    @classmethod
    def say_how_to_name_it(cls, values: Any) -> Any:
        if isinstance(values, dict) and values.get("module") is None:
            advice = "write evaluate:NAME, such as evaluate:meteor, or evaluate:path/to/script.py"
            raise Invalid(Problem((), "needs the key module", advice, at_key=True))
        return values

    @model_validator(mode="after")
    def keeps_the_inputs_apart(self) -> Evaluate:
        own = [key for key in OWN_ARGUMENTS if key in self.arguments]
        if own:
            message = f"come from the run (got {show(self.arguments[own[0]])})"
            raise Invalid(Problem(("arguments", own[0]), message, "take it away", at_key=True))
        return self

    @property
    def higher_is_better(self) -> bool:  # type: ignore[override]
        return not self.lower_is_better

    @property
    def key(self) -> str:
        return re.sub(r"\W", "_", Path(self.module).stem)

    def gives(self, key: str) -> bool:
        return key.startswith(self.key)

    def compute(
        self, predictions: Array, references: Array, labels: Sequence[str] = ()
    ) -> dict[str, float]:
        import numpy as np

        if not len(references):
            return {self.key: float("nan")}
        found = self._results(predictions, references, labels)
        return {key: float(np.mean(value)) for key, value in found.items()}

    def resample(
        self,
        predictions: Array,
        references: Array,
        counts: NDArray[np.int64],
        labels: Sequence[str] = (),
    ) -> dict[str, NDArray[np.float64]]:
        """NaN for scores that are no means over examples, unless `recompute`."""
        if self.recompute and len(references):
            return super().resample(predictions, references, counts, labels)
        return self.resampler(predictions, references, labels)(counts)

    def resampler(
        self, predictions: Array, references: Array, labels: Sequence[str] = ()
    ) -> Resampler:
        import numpy as np

        from nlpbench.evaluation.resampling import weighted_mean

        if self.recompute and len(references):
            return super().resampler(predictions, references, labels)
        found: dict[str, float | list[float]] = {self.key: math.nan}
        if len(references):
            found = self._results(predictions, references, labels)

        def resample(counts: NDArray[np.int64]) -> dict[str, NDArray[np.float64]]:
            return {
                key: weighted_mean(counts, np.array(value))
                if isinstance(value, list)
                else np.full(len(counts), np.nan)
                for key, value in found.items()
            }

        return resample

    def signature(self, labels: Sequence[str] = (), answer: Answer = "labels") -> str:
        from nlpbench.evaluation.hub_metric import load

        module = load(self._source)
        parts = [f"metric:{self.key}", f"config:{module.config_name}"]
        if self.arguments:
            parts.append(f"arguments:{json.dumps(self.arguments, sort_keys=True)}")
        if self.revision:
            parts.append(f"revision:{self.revision}")
        parts.append(f"intervals:{'recomputed' if self.recompute else 'of-means-over-examples'}")
        return "|".join([*parts, f"script:{module._hash[:8]}", f"evaluate:{version('evaluate')}"])

    @property
    def _source(self) -> Source:
        from nlpbench.evaluation.hub_metric import Source

        return Source(self.module, self.config_name, self.revision, self.trust_remote_code)

    def _results(
        self, predictions: Array, references: Array, labels: Sequence[str]
    ) -> dict[str, float | list[float]]:
        """The chosen numbers of the result by their keys in the record."""
        from nlpbench.evaluation.hub_metric import load
        from nlpbench.evaluation.hub_metric_inputs import inputs
        from nlpbench.evaluation.hub_metric_results import results

        given = inputs(self._source, load(self._source), predictions, references, labels)
        found = results(self._source, json.dumps(given), json.dumps(self.arguments))
        for key in self.scores or ():
            if key not in found:
                raise self._source.error(
                    f"its result has no number {show(key)}; there are {', '.join(found)}"
                )
        return {self._full(key): found[key] for key in self.scores or found}

    def _full(self, key: str) -> str:
        """A key of the result, with the metric's name unless it begins with that."""
        return key if key.startswith(self.key) else f"{self.key}_{key}".rstrip("_")
