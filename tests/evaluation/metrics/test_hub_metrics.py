"""Metrics of the evaluate library: scripts written here, in every shape of input and result."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from nlpbench.config.component import ComponentField
from nlpbench.config.errors import UserError
from nlpbench.evaluation import hub_metric
from nlpbench.evaluation.hub_metric_results import numbers, results
from nlpbench.evaluation.metrics.evaluate import Evaluate

STRING = 'datasets.Value("string")'
SCRIPT = """\
import datasets
import evaluate


class {name}(evaluate.Metric):
    def _info(self):
        return evaluate.MetricInfo(
            description="",
            citation="",
            inputs_description="",
            features=[datasets.Features(option) for option in {features}],
        )

    def _compute(self, predictions, references, **options):
        with open({log!r}, "a") as stream:
            stream.write("x")
        n = len(predictions)
        {body}
"""


@pytest.fixture(scope="module", autouse=True)
def evaluate_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """What the evaluate library copies scripts to, and forgets afterwards."""
    import evaluate

    folder = tmp_path_factory.mktemp("evaluate")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(evaluate.config, "HF_MODULES_CACHE", folder / "modules")
        patch.setattr(evaluate.config, "HF_METRICS_CACHE", folder / "metrics")
        patch.setattr(sys, "path", list(sys.path))
        yield folder
        for name in [name for name in sys.modules if name.startswith("evaluate_modules")]:
            del sys.modules[name]


@pytest.fixture(autouse=True)
def forgotten() -> Iterator[None]:
    yield
    hub_metric.load.cache_clear()
    results.cache_clear()


Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes a metric script that computes `body` from predictions, references, n and options."""

    def script(
        body: str,
        predictions: str = STRING,
        references: str = STRING,
        name: str = "overlap",
        more: str = "",
    ) -> Path:
        options = [
            f'{{"predictions": {predictions}, "references": {one}, {more}}}'
            for one in references.split(" or ")
        ]
        file = tmp_path / f"{name}.py"
        file.write_text(
            SCRIPT.format(
                name=name.title(),
                features=f"[{', '.join(options)}]",
                log=str(tmp_path / "runs"),
                body=body,
            )
        )
        return file

    return script


def runs(tmp_path: Path) -> int:
    log = tmp_path / "runs"
    return len(log.read_text()) if log.exists() else 0


def objects(items: list) -> np.ndarray:
    array = np.empty(len(items), dtype=object)
    array[:] = items
    return array


def build(**options: Any) -> Evaluate:
    return ComponentField("metric").build({"name": "evaluate", **options})


SHARE = "return {'overlap': [float(p in r) for p, r in zip(predictions, references)]}"
LENGTHS = "return {'score': sum(map(len, predictions)) / sum(map(len, references)), 'note': 'x'}"
PREDICTIONS = objects(["a b", "c", "d e f"])
REFERENCES = objects([["a b c"], ["x"], ["d e f"]])


def test_a_local_script_scores_and_values_by_example_are_averaged(write):
    metric = build(module=str(write(SHARE)))
    assert metric.compute(PREDICTIONS, REFERENCES) == {"overlap": pytest.approx(2 / 3)}
    assert metric.higher_is_better
    assert metric.key == "overlap"


def test_a_directory_stands_for_the_script_of_its_name(write, tmp_path, monkeypatch):
    folder = tmp_path / "scripts" / "overlap"
    folder.mkdir(parents=True)
    write(SHARE).rename(folder / "overlap.py")
    monkeypatch.chdir(tmp_path)
    for module in ("scripts/overlap", "./scripts/overlap/", "scripts/overlap/overlap.py"):
        metric = ComponentField("metric").build(f"evaluate:{module}")
        assert metric.compute(PREDICTIONS, REFERENCES) == {"overlap": pytest.approx(2 / 3)}


def test_scores_that_are_no_means_bear_the_metrics_name(write):
    metric = build(module=str(write(LENGTHS)))
    assert metric.compute(PREDICTIONS, REFERENCES) == {"overlap_score": 9 / 11}


@pytest.mark.parametrize(
    ("body", "scores"),
    [
        ("return 0.25", {"overlap": 0.25}),
        ("return [1.0] * n", {"overlap": 1.0}),
        ("return {'overlap_f1': 1}", {"overlap_f1": 1.0}),
        ("import numpy as np; return {'f1': np.float32(0.5), 'each': np.arange(n)}", {"overlap_f1": 0.5, "overlap_each": 1.0}),
        ("return {'PER': {'f1': 0.5, 'number': 3}, 'f1': 0.75}", {"overlap_f1[PER]": 0.5, "overlap_number[PER]": 3.0, "overlap_f1": 0.75}),
        ("return {'bleu': 0.5, 'precisions': [0.1, 0.2, 0.3], 'hash': 'x', 'fast': True, 'no': None}", {"overlap_bleu": 0.5}),
        ("return {'nan': float('nan')}", {"overlap_nan": math.nan}),
    ],
)  # fmt: skip
def test_what_a_result_may_look_like(write, body, scores):
    found = build(module=str(write(body))).compute(PREDICTIONS, REFERENCES)
    assert found == pytest.approx(scores, nan_ok=True)
    assert all(type(value) is float for value in found.values())


def test_numbers_of_a_result_without_any():
    assert numbers({"text": "x", "list": [1, 2]}, 3) == {}
    assert numbers("x", 3) == {}


def test_a_result_without_numbers_is_refused(write):
    with pytest.raises(UserError, match="returned no number"):
        build(module=str(write("return {'text': 'x'}"))).compute(PREDICTIONS, REFERENCES)


def test_scores_chooses_and_orders_the_keys(write):
    body = "return {'precision': [0.5] * n, 'recall': [0.25] * n, 'f1': [0.4] * n}"
    metric = build(module=str(write(body)), scores=["f1", "recall"])
    assert list(metric.compute(PREDICTIONS, REFERENCES)) == ["overlap_f1", "overlap_recall"]
    wrong = build(module=str(write(body)), scores=["f2"])
    with pytest.raises(UserError, match='no number "f2"; there are precision, recall, f1'):
        wrong.compute(PREDICTIONS, REFERENCES)


def test_arguments_and_configuration_reach_the_metric(write):
    body = "return {'sum': options['k'] + (self.config_name == 'mrpc')}"
    metric = build(module=str(write(body)), arguments={"k": 3}, config_name="mrpc")
    assert metric.compute(PREDICTIONS, REFERENCES) == {"overlap_sum": 4.0}
    signature = metric.signature()
    assert 'config:mrpc|arguments:{"k": 3}|intervals:of-means-over-examples|script:' in signature
    assert signature.endswith(f"|evaluate:{version('evaluate')}")
    assert "config:default|" in build(module=str(write(body))).signature()


def test_the_signature_follows_the_script(write):
    first = build(module=str(write(SHARE))).signature()
    hub_metric.load.cache_clear()
    assert build(module=str(write(LENGTHS))).signature() != first


def test_arguments_cannot_replace_the_inputs():
    with pytest.raises(ValidationError, match="predictions come from the run"):
        Evaluate(module="x", arguments={"predictions": []})


def test_means_have_intervals_and_other_scores_have_none(write):
    body = f"return {{**{SHARE[7:]}, 'n': n}}"
    metric = build(module=str(write(body)))
    counts = np.array([[1, 1, 1], [3, 0, 0], [0, 3, 0]])
    found = metric.resample(PREDICTIONS, REFERENCES, counts)
    assert list(found) == list(metric.compute(PREDICTIONS, REFERENCES))
    np.testing.assert_allclose(found["overlap"], [2 / 3, 1, 0])
    assert np.isnan(found["overlap_n"]).all()


def test_the_metric_runs_once_for_a_score_and_its_interval(write, tmp_path):
    many, right = objects(["a b"] * 20), objects([["a b c"]] * 20)
    metric = build(module=str(write(SHARE)))
    metric.compute(many, right)
    for _ in range(3):
        metric.resample(many, right, np.ones((5, 20), dtype=np.int64))
    assert runs(tmp_path) == 1


def test_recompute_runs_it_on_every_resample(write):
    metric = build(module=str(write(LENGTHS)), recompute=True)
    counts = np.array([[1, 1, 1], [3, 0, 0], [0, 3, 0]])
    found = metric.resample(PREDICTIONS, REFERENCES, counts)
    np.testing.assert_allclose(found["overlap_score"], [9 / 11, 3 / 5, 1])
    assert "intervals:recomputed" in metric.signature()


def test_no_rows_have_no_score(write):
    metric = build(module=str(write(SHARE)))
    assert math.isnan(metric.compute(objects([]), objects([]))["overlap"])
    found = metric.resample(objects([]), objects([]), np.zeros((2, 0), dtype=np.int64))
    assert np.isnan(found["overlap"]).all()


def test_lower_is_better_turns_the_direction():
    assert build(module="x", lower_is_better=True).higher_is_better is False


SEVERAL = f"datasets.Sequence({STRING})"


@pytest.mark.parametrize("features", [SEVERAL, f"{STRING} or {SEVERAL}", f"[{STRING}]"])
def test_several_references_reach_a_metric_that_takes_them(write, features):
    body = "return {'overlap': [len(r) if isinstance(r, list) else -1 for r in references]}"
    metric = build(module=str(write(body, references=features)))
    references = objects([["a", "b"], ["c"], ["d", "e", "f"]])
    assert metric.compute(PREDICTIONS, references) == {"overlap": 2.0}


def test_several_references_are_refused_by_a_metric_that_takes_one(write):
    metric = build(module=str(write(SHARE)))
    with pytest.raises(UserError, match="takes one reference for each prediction, and row 2 has 2"):
        metric.compute(PREDICTIONS, objects([["a"], ["b", "c"], ["d"]]))


EQUAL = "return {'overlap': [float(p == r) for p, r in zip(predictions, references)]}"


def test_class_ids_labels_and_values(write):
    ids, right = np.array([0, 1, 1]), np.array([0, 1, 0])
    number = 'datasets.Value("int32")'
    assert build(module=str(write(EQUAL, number, number))).compute(ids, right, ("no", "yes")) == {
        "overlap": pytest.approx(2 / 3)
    }
    names = write("return {'overlap': [float(p == 'yes') for p in predictions]}", name="named")
    assert build(module=str(names)).compute(ids, right, ("no", "yes")) == {
        "named_overlap": pytest.approx(2 / 3)
    }
    real = 'datasets.Value("float32")'
    distance = "return {'overlap': [abs(p - r) for p, r in zip(predictions, references)]}"
    values = build(module=str(write(distance, real, real, name="distance")))
    found = values.compute(np.array([1.0, 2.5]), np.array([1.0, 2.0]))
    assert found == {"distance_overlap": 0.25}


def test_label_sets_and_tags(write):
    several = 'datasets.Sequence(datasets.Value("int32"))'
    sets = build(module=str(write(EQUAL, several, several)))
    assert sets.compute(np.eye(2, dtype=np.int64), np.ones((2, 2), dtype=np.int64)) == {
        "overlap": 0.0
    }
    tags = build(module=str(write(EQUAL, SEVERAL, SEVERAL, name="tags")))
    found = tags.compute(objects([["B-PER", "O"], ["O"]]), objects([["B-PER", "O"], ["B-PER"]]))
    assert found == {"tags_overlap": 0.5}


@pytest.mark.parametrize("scored", [False, True])
def test_answers_to_questions_in_the_layout_of_squad(write, scored):
    extra = ', "no_answer_probability": datasets.Value("float32")' * scored
    guess = f'{{"id": {STRING}, "prediction_text": {STRING}{extra}}}'
    right = (
        f'{{"id": {STRING}, "answers": datasets.Sequence({{"text": {STRING}, '
        '"answer_start": datasets.Value("int32")})}'
    )
    unanswered = "p['no_answer_probability']" if scored else "float(not p['prediction_text'])"
    body = (
        "return {'right': [float(p['prediction_text'] in r['answers']['text']) "
        "for p, r in zip(predictions, references) if p['id'] == r['id']], "
        f"'unanswered': [{unanswered} for p in predictions]}}"
    )
    metric = build(module=str(write(body, guess, right, name="squad")))
    found = metric.compute(objects(["Rome", "", "1900"]), objects([["Rome", "rome"], [], ["1901"]]))
    assert found == {"squad_right": pytest.approx(1 / 3), "squad_unanswered": pytest.approx(1 / 3)}


def test_inputs_that_only_some_tasks_have_are_named(write):
    file = write(SHARE, more=f'"sources": {STRING}')
    with pytest.raises(UserError, match="reads sources, and nlpbench has predictions and refer"):
        build(module=str(file)).compute(PREDICTIONS, REFERENCES)


def test_what_a_metric_prints_does_not_reach_the_output(write, capsys):
    build(module=str(write(f"print('noise'); {SHARE}"))).compute(PREDICTIONS, REFERENCES)
    assert capsys.readouterr().out == ""


def test_an_error_of_the_metric_is_told_without_a_traceback(write):
    metric = build(module=str(write("raise RuntimeError('no\\n model')")))
    message = "cannot score this \\(RuntimeError: no model\\)"
    with pytest.raises(UserError, match=message):
        metric.compute(PREDICTIONS, REFERENCES)


def test_rows_that_it_refused_are_forgotten(write):
    number = 'datasets.Value("int32")'
    metric = build(module=str(write(EQUAL, number, number)))
    with pytest.raises(UserError, match="cannot score this"):
        metric.compute(PREDICTIONS, REFERENCES)
    assert metric.compute(np.array([1, 1]), np.array([1, 0])) == {"overlap": 0.5}


def test_a_missing_package_is_named(write):
    file = write(SHARE)
    file.write_text("import no_such_package\n" + file.read_text())
    with pytest.raises(UserError, match="no_such_package"):
        build(module=str(file)).compute(PREDICTIONS, REFERENCES)


@pytest.mark.parametrize("text", ["def f(:", "x = 1\n", "raise ValueError('at import')"])
def test_a_script_that_is_no_metric(tmp_path, text):
    file = tmp_path / "broken.py"
    file.write_text(text)
    with pytest.raises(UserError, match=r"^evaluate:.*broken\.py: cannot be loaded"):
        build(module=str(file)).signature()


@pytest.mark.parametrize("module", ["scripts/gone.py", "./gone", "a/b/c", "/gone/gone.py"])
def test_a_path_that_does_not_exist_is_told(module, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="there is no metric script /") as caught:
        build(module=module, trust_remote_code=True).signature()
    assert "gone" in str(caught.value) or "/a/b/c/c.py" in str(caught.value)


def test_a_script_of_the_hub_runs_only_where_it_is_trusted(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError) as caught:
        build(module="meteor").compute(PREDICTIONS, REFERENCES)
    assert str(caught.value) == (
        f"evaluate:meteor: there is no metric script {tmp_path}/meteor/meteor.py, and one of the "
        "hub is code of others that would run on this machine: read it, then write "
        "trust_remote_code: true"
    )


@pytest.mark.parametrize(
    ("module", "space"), [("meteor", "evaluate-metric/meteor"), ("people/theirs", "people/theirs")]
)
def test_offline_and_missing_says_how_to_get_it(module, space, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    name = module.rpartition("/")[2]
    with pytest.raises(UserError) as caught:
        build(module=module, trust_remote_code=True).compute(PREDICTIONS, REFERENCES)
    message = str(caught.value)
    assert message.startswith(f"evaluate:{module}: the metric is not in the cache ")
    assert f"hf download --repo-type space {space} --local-dir {name}" in message
    assert f"looked for {tmp_path}/{module}/{name}.py" in message


@pytest.mark.parametrize("module", ["overlap", "people/overlap"])
def test_a_metric_of_the_hub_that_is_cached_runs_offline(module, write, evaluate_cache):
    cached = f"evaluate-metric--{module}" if "/" not in module else module.replace("/", "--")
    folder = evaluate_cache / "modules/evaluate_modules/metrics" / cached / ("ab" * 32)
    folder.mkdir(parents=True)
    script = write(SHARE).read_text()
    (folder / "overlap.py").write_text(script)
    for package in (folder, folder.parent, folder.parents[1], folder.parents[2]):
        (package / "__init__.py").touch()
    metric = build(module=module, trust_remote_code=True)
    assert metric.compute(PREDICTIONS, REFERENCES) == {"overlap": pytest.approx(2 / 3)}


def test_the_name_alone_is_refused_before_anything_is_loaded(tmp_path):
    (tmp_path / "run.yaml").write_text(
        "model: m\ndata: d.csv\ntask: text-classification\n"
        "evaluation:\n  metrics: [evaluate, evaluate:accuracy]\n"
    )
    code = (
        "import sys\n"
        "from nlpbench.config.errors import UserError\n"
        "from nlpbench.config.load import load\n"
        "try:\n    load('run.yaml')\n"
        "except UserError as error:\n    print(error)\n"
        "print(sorted({'evaluate', 'datasets', 'numpy', 'torch'} & set(sys.modules)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines() == [
        "run.yaml:5:13  evaluation.metrics[0]  needs the key module  write evaluate:NAME, such as "
        "evaluate:meteor, or evaluate:path/to/script.py",
        "[]",
    ]


def test_its_options_survive_the_record(write):
    metric = build(module=str(write(SHARE)), arguments={"k": [1, 2]}, scores=["overlap"])
    values = json.loads(json.dumps(metric.model_dump(mode="json")))
    assert ComponentField("metric").build(values) == metric
