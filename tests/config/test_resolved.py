"""A resolved config is a config: what a run leaves can be loaded again."""

from __future__ import annotations

import pytest

from nlpbench.config.load import loads
from nlpbench.config.run_config import RunConfig

TASKS = [
    "text-classification",
    "{name: text-classification, problem_type: multi_label_classification, threshold: 0.3}",
    "{name: text-classification, problem_type: regression}",
    "{name: text-classification, tune_thresholds: f1, positive_label: yes}",
    "{name: text-generation, messages_column: messages}",
    "{name: text-generation, prompt_column: p, completion_column: c, source_prefix: 'say: '}",
    "sentence-similarity",
    "{name: sentence-similarity, loss_function: cosent, scale: 10}",
    "retrieval",
    "token-classification",
    "question-answering",
    "multiple-choice",
    "causal-language-modeling",
    "masked-language-modeling",
    "next-sentence-prediction",
    "{name: translation, source_language: en, target_language: de}",
    "summarization",
]
CHAINS = [
    "[{name: head-pruning, ratio: 0.2}, {name: ffn-pruning, width: 64}, bfloat16]",
    "[{name: ffn-pruning, ratio: 0.5, scope: global}, {name: layer-dropping, layers: [0, 2]}]",
    "[{name: layer-dropping, keep: 2, recover: {num_train_epochs: 1}}]",
]


@pytest.mark.parametrize("task", TASKS)
def test_a_resolved_task_loads_again(task):
    check(f"model: m\ndata: d\ntask: {task}\n")


@pytest.mark.parametrize("chain", CHAINS)
def test_a_resolved_chain_loads_again(chain):
    check(f"model: m\ndata: d\ntask: text-classification\ncompression: {chain}\n")


def check(text: str) -> None:
    resolved = loads(text).resolved()
    assert RunConfig.model_validate(resolved).resolved() == resolved
