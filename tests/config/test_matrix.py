"""Several models and data sets in one config: its cells, and where its mistakes stand."""

from __future__ import annotations

from pathlib import Path

import pytest

from nlpbench.config import matrix
from nlpbench.config.errors import ConfigError, UserError
from nlpbench.config.load import load as load_one
from nlpbench.config.yaml12 import dump

TASK = "task: token-classification\n"
MODELS = "models:\n  - runs/tiny\n  - {name_or_path: org/large, revision: v2}\n"
DATA = "data:\n  - dev.conll\n  - {source: org/news, subset: de, name: German news}\n"


@pytest.fixture
def write(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def write(text: str, name: str = "m.yaml") -> Path:
        Path(name).write_text(text, encoding="utf-8")
        return Path(name)

    return write


def problems(*arguments) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        matrix.load(*arguments)
    return caught.value.problems


def test_every_model_goes_with_every_data_set(write):
    cells = matrix.load(write(MODELS + DATA + TASK))
    assert [(cell.model, cell.data, cell.place) for cell in cells] == [
        ("runs/tiny", "dev.conll", "tiny/dev.conll"),
        ("org/large@v2", "dev.conll", "large-v2/dev.conll"),
        ("runs/tiny", "German news", "tiny/German-news"),
        ("org/large@v2", "German news", "large-v2/German-news"),
    ]
    assert cells[3].config.model.revision == "v2"
    assert cells[3].config.data.subset == "de"


@pytest.mark.parametrize(
    ("text", "places"),
    [
        ("model: a\ndata: x\n", [""]),
        ("models: [a]\ndata: [x]\n", [""]),
        ("models: [a, b]\ndata: x\n", ["a", "b"]),
        ("model: a\ndata: [x, sub/y]\n", ["x", "y"]),
        ("models: [one/m, two/m, two/M]\ndata: x\n", ["m", "m-2", "M-3"]),
        ("model: a\ndata: ['sample:t', {train: sub/x.csv}]\n", ["t", "x.csv"]),
        ("models: [.., a/./b/]\ndata: x\n", ["unnamed", "b"]),
    ],
)
def test_a_dimension_of_one_has_no_directory(write, text, places):
    assert [cell.place for cell in matrix.load(write(text + TASK))] == places


def test_what_is_resolved_gives_the_cells_again(write):
    cells = matrix.load(write(MODELS + DATA + TASK), ["seed=7"])
    again = matrix.load(write(dump(matrix.resolved(cells)), "again.yaml"))
    assert matrix.resolved(again) == matrix.resolved(cells)
    assert [cell.place for cell in again] == [cell.place for cell in cells]


def test_a_single_run_resolves_as_itself(write):
    file = write("model: a\ndata: x\n" + TASK)
    assert matrix.resolved(matrix.load(file)) == load_one(file).resolved()


def test_mistakes_in_items_are_told_once_and_where_they_stand(write):
    file = write(
        "models:\n"
        "  - {name_or_path: a, revison: x}\n"
        "  - {name_or_path: b, dropout: {hidden: 0.1}}\n"
        "  - {config: {model_type: bert}}\n"
        "data:\n"
        "  - x.csv\n"
        "  - {source: y.csv, sorce: z}\n"
        "  - {subset: de}\n"
        "evaluation: {resamples: 3}\n" + TASK
    )
    assert problems(file) == [
        "m.yaml:2:23  models[0].revison  unknown key  did you mean revision?",
        "m.yaml:3:23  models[1].dropout  is for fine-tuning; a model is scored as it was saved  "
        "take it away",
        "m.yaml:4:6  models[2].config  is for fine-tuning; a model is scored as it was saved  "
        "take it away",
        "m.yaml:7:21  data[1].sorce  unknown key  did you mean source?",
        "m.yaml:8:5  data[2]  names no data  write source, or train with a file",
        "m.yaml:9:25  evaluation.resamples  must be at least 100 (got 3)",
    ]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("models: a\ndata: x\n", 'm.yaml:1:9  models  must be a list (got "a")  write model for'),
        ("models: []\ndata: x\n", "m.yaml:1:9  models  must hold at least 1 item (got [])"),
        ("model: a\ndata: []\n", "m.yaml:2:7  data  must hold at least 1 item (got [])"),
        ("model: a\nmodels: [b, c]\ndata: x\n", "m.yaml:2:1  models  excludes model  keep one"),
        ("models: [a, 3]\ndata: x\n", "m.yaml:1:13  models[1]  must be a string or a mapping (got"),
        ("models: [a, b, a]\ndata: x\n", 'm.yaml:1:16  models[2]  is called "a", as models[0] is'),
        ("model: a\ndata: [x, x]\n", 'm.yaml:2:11  data[1]  is called "x", as data[0] is  give'),
        ("data: [x, y]\n", "m.yaml:1:1  needs the key model"),
        ("models: [a, b]\n", "m.yaml:1:1  needs the key data"),
        ("models: [a, ${env:NONE_SUCH}]\ndata: x\n", "m.yaml:1:14  not valid YAML: a comma"),
        ("models:\n - a\n - ${env:NONE_SUCH}\ndata: x\n", "m.yaml:3:4  models[1]  the environment"),
    ],
)
def test_a_mistake_about_the_lists(write, text, told):
    [problem] = problems(write(text + TASK))
    assert problem.startswith(told)


def test_what_a_run_would_be_told_is_told_of_a_cell(write):
    file = write(MODELS + DATA + TASK + "evaluation: {metrics: [bleu]}\n")
    [problem] = problems(file)
    assert problem.startswith("m.yaml:8:24  evaluation.metrics[0]  bleu does not score the tags")


def test_the_command_line_takes_the_place_of_the_lists(write):
    file = write("models: [a, b]\n" + DATA + TASK)
    cells = matrix.load(file, [], ["c"], ["{source: glue, subset: mrpc}", "*.csv"])
    assert [(cell.model, cell.data, cell.place) for cell in cells] == [
        ("c", "glue/mrpc", "mrpc"),
        ("c", "*.csv", "csv"),
    ]
    one = matrix.load(write("model: {name_or_path: a, dropout: {hidden: 0.1}}\n" + DATA + TASK))
    assert [cell.place for cell in one] == ["dev.conll", "German-news"]


@pytest.mark.parametrize(
    ("models", "data", "told"),
    [
        (["a", "a"], [], '--model a  models[1]  is called "a", as models[0] is  take it away'),
        ([""], [], "--model   model.name_or_path  must have at least 1 character"),
        ([], ["{sorce: x}"], '--data "{sorce: x}"  data.sorce  unknown key  did you mean source?'),
        ([], ["x", "{source: x, sorce: y}"], "data[1].sorce  unknown key  did you mean source?"),
        ([], ["{source: x"], '--data "{source: x"  data  not valid YAML: a bracket is never'),
        ([], ["", "x"], '--data ""  data[0].source  must have at least 1 character'),
    ],
)
def test_a_mistake_on_the_command_line(write, models, data, told):
    assert any(
        told in problem for problem in problems(write(DATA + TASK), [], models or ["m"], data)
    )


def test_an_override_reaches_an_item(write):
    file = write(MODELS + DATA + TASK)
    cells = matrix.load(file, ["data[0].max_samples.test=5", "evaluation.split=validation"])
    assert [cell.config.data.max_samples.test for cell in cells] == [5, 5, None, None]
    assert {cell.config.evaluation.split for cell in cells} == {"validation"}
    [problem] = problems(file, ["data.max_samples.test=5"])
    assert "data is a list, and has numbers from 0 on, such as data[0]" in problem


def test_a_model_stands_in_place_of_models_that_a_base_has(write):
    write(MODELS + DATA + TASK, "base.yaml")
    assert len(matrix.load(write("extends: base.yaml\nmodel: mine\n"))) == 2
    assert len(matrix.load(Path("base.yaml"), ["model=mine", "data=x"])) == 1
    write("model: mine\ndata: x\n" + TASK, "one.yaml")
    assert len(matrix.load(write("extends: one.yaml\nmodels: [a, b, c]\n"))) == 3


def test_a_command_of_one_model_refuses_the_lists(write):
    with pytest.raises(UserError) as caught:
        load_one(write(MODELS + DATA + TASK))
    assert str(caught.value).splitlines() == [
        "m.yaml:1:1  models  stands for several models, and this takes one; nlpbench evaluate "
        "scores them all  write model",
        "m.yaml:4:1  data  stands for several data sets, and this takes one; nlpbench evaluate "
        "scores them all  write one of them",
    ]


def test_a_file_with_mistakes_in_its_text_is_not_expanded(write):
    [problem] = problems(write("models: [a\ndata: x\n"))
    assert "not valid YAML" in problem


def test_a_column_has_one_new_name(write):
    file = write(
        "model: a\ndata: {source: x, rename_columns: {one: text, two: text, three: label}}\n" + TASK
    )
    told = [line.split("  ", 1)[1] for line in problems(file)]
    assert told == [
        'data.rename_columns.one  is the new name of two columns (got "text")  keep one of them',
        'data.rename_columns.two  is the new name of two columns (got "text")  keep one of them',
    ]
