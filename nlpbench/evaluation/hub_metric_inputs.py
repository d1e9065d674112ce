"""Predictions and references in the form that a metric of the `evaluate` library reads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from nlpbench.evaluation.hub_metric import Source

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]

Inputs = dict[str, list[Any]]


def inputs(
    source: Source, module: Any, predictions: Array, references: Array, labels: Sequence[str]
) -> Inputs:
    """The module's `predictions` and `references`, n of each, as plain lists of its features.

    Class ids become names where the module reads strings; texts come with a list of references
    where it takes several, else with the one there is; answers of question answering with ids
    where it reads those of SQuAD.

    Raises:
        UserError: the module reads something else, or one reference where a row has several.
    """
    options = module.features if isinstance(module.features, list) else [module.features]
    others = [name for name in options[0] if name not in ("predictions", "references")]
    if others or "predictions" not in options[0]:
        wanted = ", ".join(others) or "no predictions"
        raise source.error(
            f"reads {wanted}, and nlpbench has predictions and references to give; "
            "use a metric that reads those"
        )
    if predictions.dtype != object:
        return _numbers(options, predictions, references, labels)
    if not isinstance(predictions[0], str):
        return {"predictions": list(predictions), "references": list(references)}
    if any(_has(option["predictions"], "prediction_text") for option in options):
        return _squad(options, predictions, references)
    if any(_is_list(option.get("references")) for option in options):
        return {"predictions": list(predictions), "references": list(references)}
    several = next((row for row, right in enumerate(references) if len(right) != 1), None)
    if several is not None:
        raise source.error(
            f"takes one reference for each prediction, and row {several + 1} has "
            f"{len(references[several])}; keep one reference a row, or use another metric"
        )
    return {"predictions": list(predictions), "references": [right[0] for right in references]}


def _numbers(
    options: Sequence[Any], predictions: Array, references: Array, labels: Sequence[str]
) -> Inputs:
    found: Inputs = {"predictions": predictions.tolist(), "references": references.tolist()}
    if predictions.ndim == 1 and predictions.dtype.kind == "i" and labels:
        for key, numbers in found.items():
            if all(getattr(option.get(key), "dtype", None) == "string" for option in options):
                found[key] = [labels[number] for number in numbers]
    return found


def _squad(options: Sequence[Any], predictions: Array, references: Array) -> Inputs:
    scored = any(_has(option["predictions"], "no_answer_probability") for option in options)
    guessed, right = [], []
    for row, (text, answers) in enumerate(zip(predictions, references, strict=True)):
        name = str(row)
        unanswered = {"no_answer_probability": float(not text)} if scored else {}
        guessed.append({"id": name, "prediction_text": text, **unanswered})
        starts = [0] * len(answers)  # asked for, and read by no arithmetic
        right.append({"id": name, "answers": {"text": list(answers), "answer_start": starts}})
    return {"predictions": guessed, "references": right}


def _has(feature: Any, key: str) -> bool:
    return isinstance(feature, dict) and key in feature


def _is_list(feature: Any) -> bool:
    return isinstance(feature, list) or hasattr(feature, "feature")
