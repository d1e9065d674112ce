"""A matrix of models and data sets: failures that stop nothing, and cells that are kept."""

from __future__ import annotations

import json
import logging
import multiprocessing
import shutil

import pytest
from conftest import topic_rows, write_jsonl
from tiny_models import classifier, tiny_tokenizer
from typer.testing import CliRunner

from nlpbench.commands.main import app
from nlpbench.config import matrix
from nlpbench.config.document import parse
from nlpbench.config.errors import UserError
from nlpbench.config.yaml12 import dump
from nlpbench.results import run_directory
from nlpbench.results.record import find, read
from nlpbench.results.render import render
from nlpbench.results.table import build
from nlpbench.runs import evaluate as evaluation
from nlpbench.runs import material as materials
from nlpbench.runs.evaluate import evaluate_cells, exit_code, next_directory
from nlpbench.runs.preflight import preflight_cells

LABELS = ["birds", "fruit", "tools"]
MODELS = ["bert", "distilbert"]
ALL_MODELS = [*MODELS, "electra"]
DATA = ["one", "two"]
ALL_DATA = [*DATA, "three"]


def save(directory, model_type, seed=0, labels=LABELS):
    """A model with a head for the topics; it has learnt nothing, and answers all the same."""
    import torch

    tokenizer = tiny_tokenizer(model_type)
    model = classifier(
        model_type,
        layers=1,
        vocab_size=len(tokenizer),
        id2label=dict(enumerate(labels)),
        label2id={label: number for number, label in enumerate(labels)},
        num_labels=len(labels),
        max_position_embeddings=64,
    )
    generator = torch.Generator().manual_seed(seed)
    for parameter in model.parameters():
        parameter.data += torch.randn(parameter.shape, generator=generator)
    model.save_pretrained(directory)
    tokenizer.save_pretrained(directory)
    return directory


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """Three models, and three data sets of which one calls its text otherwise."""
    root = tmp_path_factory.mktemp("matrix")
    for number, model_type in enumerate(ALL_MODELS):
        save(root / model_type, model_type, number)
    for number, name in enumerate(ALL_DATA):
        rows = topic_rows(24, 100 * number)
        if name == "two":
            rows = [{"sentence": row["text"], "label": row["label"]} for row in rows]
        write_jsonl(root / f"{name}.jsonl", rows)
    return root


@pytest.fixture
def here(saved, tmp_path, monkeypatch):
    """A directory with copies of them, which a test may change."""
    shutil.copytree(saved, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def data_called(*names):
    sections = [{"test": f"{name}.jsonl", "name": name} for name in names]
    for section in sections:
        if section["name"] == "two":
            section["rename_columns"] = {"sentence": "text"}
    return sections


def document(**changes):
    """Two models on two data sets, unless other ones are given."""
    return {
        "models": MODELS,
        "data": data_called(*DATA),
        "task": {"name": "text-classification", "max_length": 32},
        "evaluation": {"efficiency": False, "resamples": 100, "metrics": ["accuracy"]},
        **changes,
    }


def cells(**changes):
    values = {key: value for key, value in document(**changes).items() if value is not None}
    return matrix.expand(parse(dump(values), "matrix.yaml"))


def records(directory):
    return {str(path.relative_to(directory)): record for path, record in find([directory])}


@pytest.fixture
def told(caplog, monkeypatch):
    monkeypatch.setattr(logging.getLogger("nlpbench"), "propagate", True)
    caplog.set_level(logging.INFO, logger="nlpbench")
    return lambda: [record.getMessage() for record in caplog.records]


@pytest.fixture
def scored(monkeypatch):
    """The cells that are computed, in the order that they are."""
    names, original = [], evaluation._evaluate_cell

    def noted(cell, *arguments):
        names.append(cell.place)
        return original(cell, *arguments)

    monkeypatch.setattr(evaluation, "_evaluate_cell", noted)
    return names


def test_every_model_is_scored_on_every_data_set(here, monkeypatch):
    opened, loaded = [], []
    open_model, load_rows = evaluation.open_model, materials.load_rows

    def counted(config, name, revision):
        opened.append(name)
        return open_model(config, name, revision)

    def counted_rows(config, needed):
        loaded.append(config.data.name)
        return load_rows(config, needed)

    monkeypatch.setattr(evaluation, "open_model", counted)
    monkeypatch.setattr(materials, "load_rows", counted_rows)
    outcomes = evaluate_cells(cells(), here / "out")

    assert exit_code(outcomes) == 0
    assert opened == MODELS  # each once, however many data sets
    assert loaded == DATA
    assert [(one.cell.model, one.cell.data) for one in outcomes] == [
        (model, data) for data in DATA for model in MODELS
    ]
    found = records(here / "out")
    assert sorted(found) == ["bert/one", "bert/two", "distilbert/one", "distilbert/two"]
    assert found["bert/two"] == outcomes[2].record
    assert found["bert/two"].name == "bert/two"
    table = build([(one.cell.model, one.row) for one in outcomes])
    assert table.columns[:2] == ["run", "data"]
    assert "compare rows of the same data only" in table.notes


def test_a_cell_scores_as_it_does_by_itself(here):
    one = evaluate_cells(cells(models=["bert"], data={"test": "one.jsonl"}), here / "alone")
    together = evaluate_cells(cells(), here / "out")
    assert one[0].record.scores == together[0].record.scores
    assert (here / "alone" / "predictions.jsonl").read_text() == (
        here / "out/bert/one/predictions.jsonl"
    ).read_text()


def test_a_failing_cell_does_not_stop_the_others(here, told):
    (here / "two.jsonl").write_text('{"sentence": "x", "label": "planets"}\n')
    (here / "three.jsonl").unlink()
    outcomes = evaluate_cells(cells(data=data_called(*ALL_DATA)), here / "out")

    assert [one.record is not None for one in outcomes] == [True] * 2 + [False] * 4
    assert exit_code(outcomes) == 2
    assert sorted(records(here / "out")) == ["bert/one", "distilbert/one"]
    table = build([(one.cell.model, one.row) for one in outcomes])
    assert [row["run"].value for row in table.rows] == MODELS * 3
    assert [row["accuracy"].value is None for row in table.rows] == [False] * 2 + [True] * 4
    unknown, missing = [note for note in table.notes if "failed" in note]
    assert unknown.startswith("bert on two, distilbert on two failed: ")
    assert "planets" in unknown
    assert missing.startswith("bert on three, distilbert on three failed: ")
    assert any(line.startswith("bert on two: ") and "planets" in line for line in told())


def test_what_nobody_foresaw_ends_one_cell(here, monkeypatch, told):
    original = evaluation.score_opened

    def broken(config, opened, material, **options):
        if (opened.name, config.data.name) == ("distilbert", "one"):
            raise ZeroDivisionError("by zero\nat once")
        return original(config, opened, material, **options)

    monkeypatch.setattr(evaluation, "score_opened", broken)
    outcomes = evaluate_cells(cells(), here / "out")
    assert [one.cell.place for one in outcomes if one.error] == ["distilbert/one"]
    assert exit_code(outcomes) == 3
    assert outcomes[1].reason == "ZeroDivisionError: by zero"
    assert "distilbert on one: ZeroDivisionError: by zero" in told()
    assert outcomes[1].error.__traceback__ is None  # which would hold the model in memory

    monkeypatch.setattr(evaluation, "score_opened", original)
    again = evaluate_cells(cells(), here / "out")
    assert exit_code(again) == 0
    assert "3 of 4 cells are there already" in told()


def test_a_model_that_does_not_load_fails_on_all_its_data(here, monkeypatch):
    file = here / "bert" / "config.json"
    values = json.loads(file.read_text())
    file.write_text(json.dumps({**values, "num_hidden_layers": 4}))
    opened, original = [], evaluation.open_model

    def counted(config, name, revision):
        opened.append(name)
        return original(config, name, revision)

    monkeypatch.setattr(evaluation, "open_model", counted)
    outcomes = evaluate_cells(cells(), here / "out")
    failed = [one for one in outcomes if one.error]
    assert [one.cell.place for one in failed] == ["bert/one", "bert/two"]
    assert len({one.reason for one in failed}) == 1
    assert opened == MODELS


def test_missing_models_are_told_together_before_any_work(here, scored):
    with pytest.raises(UserError) as caught:
        evaluate_cells(cells(models=["bert", "./gone", "./nowhere"]), here / "out")
    assert str(caught.value).splitlines() == [
        f"there is no model directory {here}/gone",
        f"there is no model directory {here}/nowhere",
    ]
    assert scored == []
    assert not (here / "out").exists()


def test_where_every_cell_fails_nothing_is_left(here):
    for name in DATA:
        (here / f"{name}.jsonl").unlink()
    outcomes = evaluate_cells(cells(), here / "out")
    assert exit_code(outcomes) == 2
    assert not (here / "out").exists()
    table = build([(one.cell.model, one.row) for one in outcomes])
    assert len(table.rows) == 4
    assert table.scores == []


def test_the_error_of_a_single_cell_is_raised(here):
    (here / "one.jsonl").unlink()
    with pytest.raises(UserError, match=r"one\.jsonl"):
        evaluate_cells(cells(models=["bert"], data={"test": "one.jsonl"}), here / "out")
    assert not (here / "out").exists()


# What is there already


def test_finished_cells_are_read_back(here, scored, told):
    first = evaluate_cells(cells(), here / "out")
    before = {path: path.stat().st_mtime_ns for path in (here / "out").rglob("*")}
    scored.clear()
    again = evaluate_cells(cells(), here / "out")
    assert scored == []
    assert again == first
    assert {path: path.stat().st_mtime_ns for path in (here / "out").rglob("*")} == before
    assert "4 of 4 cells are there already" in told()


def test_a_single_run_is_read_back_too(here, scored):
    one = cells(models=["bert"], data={"test": "one.jsonl"})
    [first] = evaluate_cells(one, here / "out")
    assert scored == [""]
    assert evaluate_cells(one, here / "out") == [first]
    assert scored == [""]


def test_only_what_changed_is_computed_again(here, scored, told):
    evaluate_cells(cells(), here / "out")
    scored.clear()
    save(here / "distilbert", "distilbert", seed=17)
    write_jsonl(here / "one.jsonl", topic_rows(30, 500))
    kept = (here / "out/bert/two/record.json").read_text()
    after = evaluate_cells(cells(), here / "out")
    assert scored == ["bert/one", "distilbert/one", "distilbert/two"]
    assert (here / "out/bert/two/record.json").read_text() == kept
    lines = told()
    assert "bert on one is scored again: its data changed" in lines
    assert any(line.startswith("distilbert on two is scored again: its model") for line in lines)
    assert "1 of 4 cells is there already" in lines

    fresh = evaluate_cells(cells(), here / "fresh")
    assert [one.record.scores for one in after] == [one.record.scores for one in fresh]
    assert [one.record.key for one in after] == [one.record.key for one in fresh]
    assert read(here / "out/bert/one").data["test"].rows == 30
    assert not list((here / "out").rglob("*.replaced"))


def test_a_column_that_only_the_evaluation_reads_counts(here, scored):
    """The rows are scored again if what slices are made of changes, though no answer does."""
    slices = {"slices": [{"column": "group"}], "efficiency": False, "resamples": 100}
    one = cells(models=["bert"], data=data_called("one"), evaluation=slices)
    for group in ("a", "a", "b"):
        rows = [{**row, "group": group} for row in topic_rows(6)]
        write_jsonl(here / "one.jsonl", rows)
        evaluate_cells(one, here / "out")
    assert scored == ["", ""]


@pytest.mark.parametrize(
    "spoil",
    [
        lambda place: (place / "record.json").write_text("{"),
        lambda place: (place / "record.json").unlink(),
        lambda place: shutil.rmtree(place),
    ],
    ids=["damaged", "killed before it was written", "deleted"],
)
def test_a_cell_without_a_good_record_is_computed_again(here, scored, spoil):
    first = evaluate_cells(cells(), here / "out")
    scored.clear()
    spoil(here / "out" / "bert" / "two")
    again = evaluate_cells(cells(), here / "out")
    assert scored == ["bert/two"]
    assert [one.record.scores for one in again] == [one.record.scores for one in first]


def test_the_labels_of_a_model_are_its_own(here, monkeypatch):
    """Rows are labelled once for models that agree on the labels, and again for one that does not."""
    save(here / "distilbert", "distilbert", labels=["tools", "birds", "fruit"])
    labelled, original = [], materials.read

    def counted(config, needed, labels=None, data=None):
        labelled.append((config.data.name, tuple(labels)))
        return original(config, needed, labels, data)

    monkeypatch.setattr(materials, "read", counted)
    outcomes = evaluate_cells(cells(), here / "out")
    assert len(labelled) == 4
    alone = evaluate_cells(cells(models=["distilbert"]), here / "alone")
    assert [one.record.scores for one in outcomes if one.cell.model == "distilbert"] == [
        one.record.scores for one in alone
    ]


def test_the_same_command_goes_on_where_it_was_broken_off(here, monkeypatch):
    base = here / "runs" / "matrix-evaluate"
    assert next_directory(base, cells()) == base
    original = evaluation._evaluate_cell

    def interrupted(cell, *arguments):
        if cell.place == "distilbert/two":
            raise KeyboardInterrupt
        return original(cell, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(evaluation, "_evaluate_cell", interrupted)
        with pytest.raises(KeyboardInterrupt):
            evaluate_cells(cells(), base)
    assert sorted(records(base)) == ["bert/one", "bert/two", "distilbert/one"]
    assert next_directory(base, cells()) == base
    assert next_directory(base, cells(seed=3)) == here / "runs" / "matrix-evaluate-2"
    evaluate_cells(cells(), base)
    assert next_directory(base, cells()) == here / "runs" / "matrix-evaluate-2"


def test_another_config_does_not_take_the_directory(here):
    evaluate_cells(cells(), here / "out")
    with pytest.raises(UserError, match="holds a run of another config"):
        evaluate_cells(cells(models=["bert", "electra"]), here / "out")
    (here / "mine").mkdir()
    (here / "mine" / "thesis.tex").write_text("x")
    with pytest.raises(UserError, match="is not empty and no run directory"):
        evaluate_cells(cells(), here / "mine")


def test_the_directory_of_a_matrix_is_a_config(here):
    evaluate_cells(cells(), here / "out")
    assert [cell.place for cell in matrix.load(here / "out")] == [one.place for one in cells()]
    assert matrix.load(here / "out/bert/two")[0].config.data.rename_columns == {"sentence": "text"}


def test_preflight_loads_every_cell(here):
    lines = preflight_cells(cells()).splitlines()
    assert len(lines) == 4
    assert lines[0] == "bert on one: BertForSequenceClassification, 24 rows to score"
    (here / "two.jsonl").write_text('{"sentence": "x", "label": "planets"}\n')
    with pytest.raises(UserError) as caught:
        preflight_cells(cells())
    assert [line.split(":")[0] for line in str(caught.value).splitlines()] == [
        f"{model} on two" for model in MODELS
    ]


# Killed


def nine():
    return cells(models=ALL_MODELS, data=data_called(*ALL_DATA))


def told_when_begun(directory, begun):
    """In a process of its own: says which cell begins, so that the kill meets the middle."""
    original = evaluation._evaluate_cell

    def noted(cell, *arguments):
        begun.put(cell.place)
        return original(cell, *arguments)

    evaluation._evaluate_cell = noted
    evaluate_cells(nine(), directory)


@pytest.mark.parametrize(
    "finished",
    [pytest.param(1, marks=pytest.mark.slow), 4, pytest.param(8, marks=pytest.mark.slow)],
)
def test_killed_in_the_middle_and_run_again(here, scored, finished):
    """Only missing cells are computed, and the table is that of an unbroken run."""
    unbroken = evaluate_cells(nine(), here / "whole")
    scored.clear()
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    process = context.Process(target=told_when_begun, args=(here / "out", queue), daemon=True)
    process.start()
    begun = [queue.get(timeout=300) for _ in range(finished + 1)]
    process.kill()
    process.join()
    there = set(records(here / "out"))
    assert set(begun[:-1]) <= there

    kept = {name: (here / "out" / name / "record.json").read_text() for name in there}
    outcomes = evaluate_cells(nine(), here / "out")
    assert sorted([*scored, *there]) == sorted(cell.place for cell in nine())
    for name, text in kept.items():
        assert (here / "out" / name / "record.json").read_text() == text

    def table(outcomes):
        made = build([(one.cell.model, one.row) for one in outcomes])
        return render(made, "table"), render(made, "csv")

    assert table(outcomes) == table(unbroken)
    for cell in nine():
        assert (here / "out" / cell.place / "predictions.jsonl").read_text() == (
            here / "whole" / cell.place / "predictions.jsonl"
        ).read_text()


def test_what_a_killed_replacement_left_is_no_run(here):
    """A cell that is computed again is filled beside, under a name that no table reads."""
    evaluate_cells(cells(), here / "out")
    shutil.copytree(here / "out/bert/two", here / "out/bert/two.partial")
    shutil.copytree(here / "out/bert/two", here / "out/bert/two.replaced")
    assert len(records(here / "out")) == 4


@pytest.fixture
def program(monkeypatch):
    """The program in this process, which has imported everything already."""
    logger = logging.getLogger("nlpbench")
    kept = logger.handlers, logger.propagate, logger.level

    def run(*arguments, code=0):
        done = CliRunner().invoke(app, [str(each) for each in arguments], env={"COLUMNS": "200"})
        assert done.exit_code == code, done.output
        return done

    yield run
    logger.handlers, logger.propagate = kept[:2]
    logger.setLevel(kept[2])


def test_the_command(here, program, write_config):
    file = write_config(document(), "matrix.yaml")
    (here / "two.jsonl").unlink()
    done = program("evaluate", file, code=2)
    lines = done.stdout.splitlines()
    assert lines[0].split()[:5] == ["run", "data", "split", "rows", "accuracy"]
    assert [line.split()[:2] for line in lines[2:6]] == [
        [model, data] for data in DATA for model in MODELS
    ]
    assert all("failed" in line for line in lines[4:6])
    assert "(bert on two, distilbert on two failed: " in done.stdout
    assert "wrote runs/matrix-evaluate\n" in done.stderr

    write_jsonl(here / "two.jsonl", [{"sentence": "x pear", "label": "fruit"}] * 3)
    done = program("evaluate", file)
    assert "2 of 4 cells are there already\n" in done.stderr
    assert "wrote runs/matrix-evaluate\n" in done.stderr
    done = program("results", "runs/matrix-evaluate", "--format", "csv", "--columns", "run,data")
    assert "bert/two,two" in done.stdout


def test_models_and_data_of_the_command_line(here, program, write_config):
    file = write_config(document(), "matrix.yaml")
    data = ["{test: one.jsonl}", "{test: three.jsonl, name: third}"]
    done = program(
        "evaluate", file, "-m", "bert", "--data", data[0], "--data", data[1], "-o", "pair"
    )
    assert [line.split()[1] for line in done.stdout.splitlines()[2:4]] == ["one.jsonl", "third"]
    assert sorted(records(here / "pair")) == ["one.jsonl", "third"]
    assert run_directory.CONFIG in {path.name for path in (here / "pair").iterdir()}

    again = program("evaluate", "pair", "-o", "again")  # its config names the model and the data
    assert again.stdout == done.stdout


def test_other_commands_on_a_matrix(here, program, write_config):
    file = write_config(document(), "matrix.yaml")
    assert program("check", file).stdout == f"{file}: ok\n"
    assert len(program("check", file, "--model").stdout.splitlines()) == 5
    assert len(program("evaluate", file, "--dry-run").stdout.splitlines()) == 4
    assert len(matrix.expand(parse(program("show", file).stdout, "shown"))) == 4
    done = CliRunner().invoke(app, ["finetune", str(file)])
    assert "models  stands for several models, and this takes one" in str(done.exception)
    file.write_text(file.read_text().replace("rename_columns", "rename_colums"))
    done = CliRunner().invoke(app, ["check", str(file)])
    assert "data[1].rename_colums  unknown key  did you mean rename_columns?" in str(done.exception)
