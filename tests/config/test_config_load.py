"""What a config file may say, and the RunConfig that comes of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

import nlpbench
from nlpbench.config.document import parse
from nlpbench.config.errors import ConfigError
from nlpbench.config.load import load, loads
from nlpbench.config.run_config import RunConfig
from nlpbench.config.yaml12 import dump

BASE = "model: m\ndata: d.csv\ntask: text-classification\n"


@pytest.fixture(autouse=True)
def in_tmp_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def write(name: str, text: str) -> Path:
    file = Path(name)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")
    return file


def value_of(text: str) -> Any:
    document = parse(f"key: {text}", "a.yaml")
    assert not document.problems
    return document.values["key"]


# YAML 1.2.2, section 10.3: the core schema; the words that 1.1 took for something else are strings.
SCALARS = [
    ("5e-5", 5e-5),
    ("1e3", 1000.0),
    ("1.", 1.0),
    (".5", 0.5),
    ("-1.5E+2", -150.0),
    ("5.0e-5", 5e-5),
    ("1.0", 1.0),
    ("-.inf", float("-inf")),
    ("7", 7),
    ("+7", 7),
    ("010", 10),
    ("0o10", 8),
    ("0x1F", 31),
    ("true", True),
    ("FALSE", False),
    ("null", None),
    ("~", None),
    ("", None),
    ("# nothing", None),
    ("no", "no"),
    ("yes", "yes"),
    ("on", "on"),
    ("Off", "Off"),
    ("y", "y"),
    ("tRUE", "tRUE"),
    ("nULL", "nULL"),
    ("1_000", "1_000"),
    ("0b101", "0b101"),
    ("0o8", "0o8"),
    ("0x", "0x"),
    ("-0x1F", "-0x1F"),
    ("1e", "1e"),
    ("12:30:45", "12:30:45"),
    ("2026-01-01", "2026-01-01"),
    ("2026-01-01T00:00:00Z", "2026-01-01T00:00:00Z"),
    ("=", "="),
    ("1.2.3", "1.2.3"),
    ("inf", "inf"),
    ("'5e-5'", "5e-5"),
    ('"no"', "no"),
    ('"null"', "null"),
    ("!!str 5", "5"),
    ("|\n  5\n", "5\n"),
    ("caf\u00e9 \U0001f600", "caf\u00e9 \U0001f600"),
]


@pytest.mark.parametrize(("text", "value"), SCALARS)
def test_scalars_are_those_of_yaml_1_2(text: str, value: Any):
    found = value_of(text)
    assert found == value
    assert type(found) is type(value)


def test_a_directive_does_not_bring_yaml_1_1_back():
    document = parse("%YAML 1.1\n---\nword: no\nnumber: 010\n", "a.yaml")
    assert document.values == {"word": "no", "number": 10}


@pytest.mark.parametrize("value", [value for _, value in SCALARS])
def test_a_scalar_that_is_dumped_is_read_back(value: Any):
    assert parse(dump({"key": value}), "a.yaml").values == {"key": value}


@settings(deadline=None, max_examples=300, database=None)
@given(
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers(-(10**30), 10**30)
        | st.floats(allow_nan=False)
        | st.text(st.characters(exclude_categories=["Cs", "Cc"], include_characters="\n\t")),
        lambda inner: (
            st.lists(inner, max_size=3) | st.dictionaries(st.text("ab1-:#", max_size=4), inner)
        ),
        max_leaves=8,
    )
)
def test_values_that_are_dumped_are_read_back(value: Any):
    document = parse(dump({"key": value}), "a.yaml")
    assert not document.problems
    assert document.values == {"key": value}


def test_an_anchor_may_be_used_and_used_again():
    text = BASE + "training: {max_steps: &n 5, eval_strategy: steps, eval_steps: *n}\nseed: &n 7\n"
    config = loads(text)
    assert (config.training.max_steps, config.training.eval_steps, config.seed) == (5, 5, 7)


def test_a_byte_order_mark_is_left_out():
    Path("run.yaml").write_bytes(b"\xef\xbb\xbf" + BASE.encode())
    assert load("run.yaml").model.name_or_path == "m"


def test_windows_line_ends():
    Path("run.yaml").write_bytes(BASE.replace("\n", "\r\n").encode() + b"seed: 5\r\n")
    assert load("run.yaml").seed == 5


# Shorthands


def test_a_string_stands_for_the_main_key():
    short = loads(BASE + "evaluation: {metrics: [f1]}\n")
    long = loads(
        "model: {name_or_path: m}\ndata: {source: d.csv}\ntask: {name: text-classification}\n"
        "evaluation: {metrics: [{name: f1}]}\n"
    )
    assert short == long


def test_a_tokenizer_by_its_name():
    config = loads(BASE.replace("model: m", "model: {config: {model_type: bert}, tokenizer: t}"))
    assert config.model.tokenizer is not None
    assert config.model.tokenizer.name_or_path == "t"


# extends


def test_a_config_extends_another():
    write("base.yaml", BASE + "training: {learning_rate: 1e-3, max_steps: 5}\nseed: 3\n")
    write("run.yaml", "extends: base.yaml\ntraining: {max_steps: 6}\n")
    config = load("run.yaml")
    assert (config.training.learning_rate, config.training.max_steps, config.seed) == (1e-3, 6, 3)


def test_of_several_bases_the_last_wins():
    write("one.yaml", BASE + "seed: 1\ntraining: {max_steps: 1, logging_steps: 1}\n")
    write("two.yaml", "seed: 2\ntraining: {max_steps: 2}\n")
    write("run.yaml", "extends: [one.yaml, two.yaml]\n")
    config = load("run.yaml")
    assert (config.seed, config.training.max_steps, config.training.logging_steps) == (2, 2, 1)


def test_a_base_is_relative_to_its_file_not_to_the_working_directory(monkeypatch):
    write("configs/run.yaml", "extends: ../shared/base.yaml\nseed: 9\n")
    write("shared/base.yaml", "extends: more/root.yaml\ntraining: {max_steps: 2}\n")
    write("shared/more/root.yaml", BASE + "seed: 1\n")
    write("elsewhere/x", "")
    monkeypatch.chdir("elsewhere")
    config = load("../configs/run.yaml")
    assert (config.seed, config.training.max_steps, config.model.name_or_path) == (9, 2, "m")


def test_two_bases_may_share_a_base():
    write("root.yaml", BASE)
    write("one.yaml", "extends: root.yaml\nseed: 4\n")
    write("two.yaml", "extends: root.yaml\ntraining: {max_steps: 4}\n")
    write("run.yaml", "extends: [one.yaml, two.yaml]\n")
    assert load("run.yaml").seed == 4


def test_extending_nothing():
    assert loads("extends: []\n" + BASE).seed == 42


def test_lists_are_replaced():
    write("base.yaml", BASE + "evaluation: {metrics: [f1, accuracy], split: validation}\n")
    config = loads("extends: base.yaml\nevaluation: {metrics: [mcc]}\n")
    assert [metric.name for metric in config.metrics] == ["mcc"]
    assert config.evaluation.split == "validation"


def test_options_are_merged_into_a_component_of_the_same_name():
    write(
        "base.yaml",
        BASE.replace("task: text-", "task: {name: text-").rstrip() + ", max_length: 9}\n",
    )
    config = loads("extends: base.yaml\ntask: {text_column: body}\n")
    assert config.max_length == 9
    assert config.task.text_column == "body"


def test_options_are_added_to_a_name():
    write("base.yaml", BASE)
    config = loads("extends: base.yaml\nmodel: {revision: main}\ntask: {max_length: 9}\n")
    assert (config.model.name_or_path, config.model.revision) == ("m", "main")
    assert config.max_length == 9


def test_a_name_replaces_a_mapping():
    write("base.yaml", BASE.replace("model: m", "model: {name_or_path: m, revision: main}"))
    config = loads("extends: base.yaml\nmodel: other\n")
    assert (config.model.name_or_path, config.model.revision) == ("other", None)


def test_a_component_of_another_name_replaces_the_one_before():
    # Another task would not know the options of this one; here a mapping with another name shows it.
    from nlpbench.config.load import _merge

    below, above = parse("task: {name: a, x: 1}", "a"), parse("task: {name: b, y: 2}", "b")
    _merge(below, above)
    assert below.values == {"task": {"name": "b", "y": 2}}


def test_seeds_replace_the_seed_of_a_base_and_the_other_way_round():
    write("base.yaml", BASE + "seed: 3\n")
    write("many.yaml", "extends: base.yaml\nseeds: [1, 2]\n")
    assert load("many.yaml").seeds == [1, 2]
    assert loads("extends: many.yaml\nseed: 7\n").seeds is None


def test_seed_and_seeds_of_one_file_stay_a_mistake():
    write("base.yaml", BASE)
    with pytest.raises(ConfigError) as caught:
        loads("extends: base.yaml\nseed: 7\nseeds: [1]\n", "run.yaml")
    assert caught.value.problems == ["run.yaml:3:1  seeds  excludes seed  keep one of them"]


# Variables


def test_a_variable_alone_has_the_type_of_its_text(monkeypatch):
    for name, value in {"LR": "5e-5", "FLAG": "false", "STEPS": "7", "MODEL": "no"}.items():
        monkeypatch.setenv(name, value)
    config = loads(
        BASE.replace("model: m", "model: ${env:MODEL}")
        + "training:\n  learning_rate: ${env:LR}\n"
        + "evaluation:\n  efficiency: ${env:FLAG}\n  batch_size: ${env:STEPS}\n"
    )
    assert config.training.learning_rate == 5e-5
    assert config.evaluation.efficiency is False
    assert config.evaluation.batch_size == 7
    assert config.model.name_or_path == "no"


def test_a_variable_in_quotes_is_a_string(monkeypatch):
    monkeypatch.setenv("NAME", "5")
    assert loads(BASE.replace("model: m", 'model: "${env:NAME}"')).model.name_or_path == "5"


def test_variables_inside_a_text(monkeypatch):
    monkeypatch.setenv("ROOT", "/data")
    monkeypatch.setenv("PART", "train")
    config = loads(BASE.replace("d.csv", "${env:ROOT}/x/${env:PART}.csv"))
    assert config.data.source == "/data/x/train.csv"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("${env:UNSET:-5}", 5),
        ('"${env:UNSET:-5}"', "5"),
        ("${env:UNSET:-}", None),
        ("${env:UNSET:-a b}", "a b"),
    ],
)
def test_the_default_of_a_variable(text: str, value: Any, monkeypatch):
    monkeypatch.delenv("UNSET", raising=False)
    assert value_of(text) == value


def test_a_variable_is_text_and_not_yaml(monkeypatch):
    for value in ("[1, 2]", "a: b", "# x", "!!python/name:os.x", "*x", "'5'", "${env:NAME}"):
        monkeypatch.setenv("NAME", value)
        assert value_of("${env:NAME}") == value


# Overrides

OVERRIDES = [
    ("training.learning_rate=3e-5", lambda c: c.training.learning_rate, 3e-5),
    ("training.arguments.optim=adafactor", lambda c: c.training.arguments, {"optim": "adafactor"}),
    ("training={max_steps: 3}", lambda c: c.training.max_steps, 3),
    ("seed=7", lambda c: c.seed, 7),
    ("seeds=[1, 2]", lambda c: c.seeds, [1, 2]),
    ("evaluation.efficiency=false", lambda c: c.evaluation.efficiency, False),
    ("evaluation.metrics=[mcc]", lambda c: [m.name for m in c.metrics], ["mcc"]),
    ("evaluation.metrics[1]=mcc", lambda c: [m.name for m in c.metrics], ["f1", "mcc"]),
    ("evaluation.metrics.1=mcc", lambda c: [m.name for m in c.metrics], ["f1", "mcc"]),
    ("evaluation.metrics[0].average=micro", lambda c: c.metrics[0].average, "micro"),
    ("model=other", lambda c: c.model.name_or_path, "other"),
    ("model.revision=main", lambda c: (c.model.name_or_path, c.model.revision), ("m", "main")),
    ("model.tokenizer=t", lambda c: c.model.tokenizer.name_or_path, "t"),
    ("data.max_samples.train=5", lambda c: (c.data.source, c.data.max_samples.train), ("d.csv", 5)),
    ("task.max_length=9", lambda c: c.max_length, 9),
    ("output_dir=no", lambda c: c.output_dir, "no"),
    ("output_dir='5'", lambda c: c.output_dir, "5"),
    ("output_dir=a=b", lambda c: c.output_dir, "a=b"),
    ("training.max_steps=", lambda c: c.training.max_steps, None),
]


@pytest.mark.parametrize(
    ("override", "read", "value"), OVERRIDES, ids=[row[0] for row in OVERRIDES]
)
def test_an_override(override: str, read: Any, value: Any):
    write(
        "run.yaml",
        BASE + "seed: 1\nevaluation: {metrics: [f1, accuracy]}\ntraining: {max_steps: 9}\n",
    )
    assert read(load("run.yaml", [override])) == value


def test_overrides_apply_in_their_order():
    write("run.yaml", BASE)
    config = load(
        "run.yaml", ["model=x", "model.revision=y", "seed=1", "seed=2", "seeds=[1]", "seed=3"]
    )
    assert (config.model.name_or_path, config.model.revision) == ("x", "y")
    assert (config.seed, config.seeds) == (3, None)


# The config itself


def test_a_run_directory_stands_for_its_config():
    write("runs/mine/config.yaml", BASE + "seed: 8\n")
    assert load("runs/mine").seed == 8
    assert load("runs/mine", ["seed=9"]).seed == 9


def test_the_python_api_loads_a_config():
    write("run.yaml", BASE)
    config = nlpbench.load_config("run.yaml", ["training.learning_rate=3e-5"])
    assert config.training.learning_rate == 3e-5


def test_a_config_is_frozen():
    config = loads(BASE)
    for part, key in (
        (config, "seed"),
        (config.training, "max_steps"),
        (config.task, "max_length"),
    ):
        with pytest.raises(ValidationError, match="frozen"):
            setattr(part, key, 5)


def test_a_config_for_each_seed():
    config = loads(BASE + "seeds: [3, 4]\n")
    assert [config.with_seed(seed).seed for seed in config.seeds or []] == [3, 4]
    assert config.with_seed(3).seeds is None


SECTIONS = {
    "output_dir": st.sampled_from(["runs/x", "no", "5e-5", "2026-01-01", "a: b # c", "\u00e9\n"]),
    "model": st.one_of(
        st.text("abc-/_.0189", min_size=1, max_size=8).map(lambda name: {"name_or_path": name}),
        st.builds(
            lambda layers, tokenizer: {
                "config": {"model_type": "bert", "n": layers, "ids": {"0": "no"}},
                "tokenizer": tokenizer,
            },
            st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.none(),
            st.sampled_from([{"name_or_path": "t"}, {"train": {"vocab_size": 300}}, "t"]),
        ),
    ),
    "data": st.fixed_dictionaries(
        {"source": st.sampled_from(["d.csv", "sample:support-tickets", "null", "~", "0x1F"])},
        optional={
            "validation_share": st.floats(0.01, 0.4),
            "split_seed": st.integers(0, 2**40),
            "max_samples": st.fixed_dictionaries({}, optional={"train": st.integers(1, 99)}),
            "delimiter": st.sampled_from(";|\t '\"#"),
            "column_names": st.lists(st.text("ab:- #\u00e9", min_size=1), min_size=1, max_size=3),
            "max_leakage": st.floats(0, 1),
        },
    ),
    "task": st.fixed_dictionaries(
        {"name": st.just("text-classification")},
        optional={
            "max_length": st.integers(2, 512),
            "text_column": st.sampled_from(["text", "yes", "1", "a b"]),
            "labels": st.sampled_from([["no", "yes"], ["0", "1", "2"], ["true", "null"]]),
        },
    ),
    "training": st.fixed_dictionaries(
        {},
        optional={
            "learning_rate": st.floats(1e-300, 1e10),
            "num_train_epochs": st.integers(1, 9) | st.floats(0.1, 9),
            "max_steps": st.integers(1, 10**9),
            "warmup_steps": st.floats(0, 0.99) | st.integers(1, 100),
            "precision": st.sampled_from(["auto", "fp32", "bf16", "fp16"]),
            "metric_for_best_model": st.just("loss"),
            "arguments": st.sampled_from([{}, {"optim": "adafactor"}, {"adam_beta1": 0.8}]),
        },
    ),
    "evaluation": st.fixed_dictionaries(
        {},
        optional={
            "split": st.sampled_from(["train", "validation", "test"]),
            "confidence": st.floats(0.01, 0.99),
            "metrics": st.sampled_from(
                [
                    ["f1"],
                    [{"name": "f1", "positive_label": "no"}, "mcc"],
                    ["accuracy", {"name": "f1"}],
                ]
            ),
        },
    ),
}
NEEDED = ("model", "data", "task")
CONFIGS = st.fixed_dictionaries(
    {key: SECTIONS[key] for key in NEEDED},
    optional={key: value for key, value in SECTIONS.items() if key not in NEEDED},
).flatmap(
    lambda values: st.sampled_from([{}, {"seed": 0}, {"seed": 2**40}, {"seeds": [3, 1]}]).map(
        lambda seeds: {**values, **seeds}
    )
)


@settings(deadline=None, max_examples=150, database=None)
@given(CONFIGS)
def test_a_resolved_config_loads_as_the_same_config(values: dict[str, Any]):
    config = loads(dump(values))
    text = dump(config.resolved())
    again = loads(text)
    assert dump(again.resolved()) == text
    assert again.metrics == config.metrics
    assert _comparable(again) == _comparable(config)


def _comparable(config: RunConfig) -> dict[str, Any]:
    """All values, but that a resolved config names the metrics that were the task's own."""
    values = config.model_dump()
    values["evaluation"]["metrics"] = None
    values["model"]["config"] = _set(values["model"]["config"])
    return values


def _set(values: dict[str, Any] | None) -> dict[str, Any] | None:
    return values and {key: value for key, value in values.items() if value is not None}
