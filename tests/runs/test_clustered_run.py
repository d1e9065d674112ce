"""evaluation.cluster_column, from the config to the record, the predictions and back."""

from __future__ import annotations

import json

import pytest
from conftest import topic_rows, write_jsonl

from nlpbench.config.errors import UserError
from nlpbench.config.load import loads
from nlpbench.config.yaml12 import dump
from nlpbench.evaluation.answered import read
from nlpbench.runs.finetune import finetune
from nlpbench.runs.scored_model import interval


@pytest.fixture
def clustered(tiny_config, topics):
    """A config over test rows of six speakers, three rows each."""
    rows = [{**row, "speaker": f"s{number // 3}"} for number, row in enumerate(topic_rows(18, 200))]
    write_jsonl(topics / "test.jsonl", rows)
    tiny_config["evaluation"]["cluster_column"] = "speaker"
    tiny_config["training"] |= {"num_train_epochs": 1, "max_steps": 1}
    return tiny_config


def run(values, place):
    [record] = finetune(loads(dump(values)), place)
    return record


def test_the_record_says_what_was_drawn_and_the_predictions_hold_the_clusters(clustered, tmp_path):
    record = run(clustered, tmp_path / "run")
    assert record.interval["method"] == "percentile bootstrap over clusters of speaker"
    assert record.interval["clusters"] == 6
    assert any("6 clusters of speaker" in warning for warning in record.warnings)
    file = tmp_path / "run" / "predictions.jsonl"
    assert [json.loads(line)["cluster"] for line in file.read_text().splitlines()] == [
        f"s{number // 3}" for number in range(18)
    ]
    assert read(file, "labels", record.labels).clusters[4] == "s1"

    del clustered["evaluation"]["cluster_column"]
    plain = run(clustered, tmp_path / "plain")
    assert plain.interval["method"] == "percentile bootstrap over examples"
    assert "clusters" not in plain.interval
    assert "cluster" not in (tmp_path / "plain" / "predictions.jsonl").read_text()
    assert plain.data["test"].fingerprint == record.data["test"].fingerprint
    assert {key: score.value for key, score in plain.scores.items()} == {
        key: score.value for key, score in record.scores.items()
    }


def test_a_missing_column_or_value_is_told_before_training(clustered, topics, tmp_path):
    clustered["evaluation"]["cluster_column"] = "speakr"
    with pytest.raises(UserError) as error:
        run(clustered, tmp_path / "run")
    assert 'evaluation.cluster_column: no column "speakr"; did you mean speaker?' in str(
        error.value
    )
    assert "columns: text, label, length, speaker" in str(error.value)

    rows = [json.loads(line) for line in (topics / "test.jsonl").read_text().splitlines()]
    rows[7]["speaker"] = None
    write_jsonl(topics / "test.jsonl", rows)
    clustered["evaluation"]["cluster_column"] = "speaker"
    with pytest.raises(UserError) as error:
        run(clustered, tmp_path / "run")
    assert 'test.jsonl, row 8, column "speaker": no value' in str(error.value)
    assert not (tmp_path / "run" / "model").exists()


@pytest.mark.parametrize(
    ("task", "drawn"),
    [
        ("text-classification", "examples"),
        ("causal-language-modeling", "documents"),
        ("retrieval", "queries"),
    ],
)
def test_the_record_names_what_is_drawn_after_the_task(task, drawn, tiny_config):
    tiny_config["task"] = {"name": task}
    tiny_config["training"] = {}
    config = loads(dump(tiny_config))
    assert interval(config)["method"] == f"percentile bootstrap over {drawn}"
    clustered = interval(config, ["a", "b", "a"])
    assert clustered["method"] == "percentile bootstrap over clusters"
    assert clustered["clusters"] == 2
