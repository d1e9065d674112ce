"""Answers from anywhere are scored as they are meant, or refused with what is wrong."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

import nlpbench
from nlpbench.config.errors import UserError
from nlpbench.config.run_config import RunConfig
from nlpbench.results.record import read as read_record

QUICK = {"resamples": 100}


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def put(name, content):
    text = content
    if not isinstance(content, str):
        rows = "".join(json.dumps(row) + "\n" for row in content)
        text = rows if name.endswith(".jsonl") else json.dumps(content)
    Path(name).parent.mkdir(parents=True, exist_ok=True)
    Path(name).write_text(text, encoding="utf-8")
    return name


def values(record):
    return {key: score.value for key, score in record.scores.items()}


def scored(predictions, *metrics, **options):
    return values(nlpbench.score(predictions, metrics, **QUICK, **options))


HYPOTHESES = "".join(f"the cat number {n} sat on the mat .\n" for n in range(20))
FIRST = "".join(f"a cat number {n} sat on a mat .\n" for n in range(20))
SECOND = "".join(f"cat number {n} was sitting on the mat today .\n" for n in range(20))


# What the answers are, from the metrics and the values


@pytest.mark.parametrize(
    ("rows", "metric", "expected"),
    [
        ([("yes", "yes"), ("no", "yes")], "accuracy", {"accuracy": 0.5}),
        ([(1, 1), (0, "1"), (10, 2)], "accuracy", {"accuracy": 1 / 3}),
        ([(True, "true"), (False, "true")], "accuracy", {"accuracy": 0.5}),
        ([(["a"], ["a"]), ([], ["b"])], "accuracy", {"accuracy": 0.5}),
        ([(1, 2), (2.5, "3.5"), (-3, "-2e0")], "mae", {"mae": 1.0}),
        ([("O B-PER", ["O", "B-PER"]), (["O"], "O")], "token-accuracy", {"token_accuracy": 1.0}),
        (
            [("", ""), ("x", ["x", "y"]), ("z", "")],
            "squad-exact-match",
            {"squad_exact_match": 2 / 3},
        ),
        ([("x", "x"), ("y", ["z", "y"]), ("a", "b")], "exact-match", {"exact_match": 2 / 3}),
        ([(["d", "e"], {"e": 1}), (["d"], ["d"])], "mrr", {"mrr_at_10": 0.75}),
    ],
)
def test_the_kind_of_answers_follows_from_metrics_and_values(rows, metric, expected):
    put("p.jsonl", [{"prediction": told, "reference": right} for told, right in rows])
    found = scored("p.jsonl", metric)
    assert {key: found[key] for key in expected} == pytest.approx(expected)


def test_labels_are_sorted_unless_told():
    put("p.jsonl", [{"prediction": n, "reference": n % 11} for n in (10, 9, 2, 11)])
    assert nlpbench.score("p.jsonl", ["accuracy"], **QUICK).labels == ["0", "2", "9", "10", "11"]
    put("p.csv", "prediction,reference\nyes,no\nno,no\nyes,yes\n")
    f1 = {"name": "f1", "average": "binary"}
    assert scored("p.csv", f1) == pytest.approx({"f1": 2 / 3})
    assert scored("p.csv", f1, labels=["yes", "no"]) == pytest.approx({"f1": 2 / 3})
    assert scored("p.csv", {**f1, "positive_label": "no"}) == pytest.approx({"f1": 2 / 3})
    record = nlpbench.score("p.csv", ["accuracy"], labels=["yes", "perhaps", "no"], **QUICK)
    assert record.labels == ["yes", "perhaps", "no"]
    with pytest.raises(UserError, match=r'^p\.csv, row 2 has the reference "no", which is none of'):
        nlpbench.score("p.csv", ["accuracy"], labels=["yes", "No"], reference_column="prediction")


def test_answers_that_could_be_several_kinds_are_asked_about():
    put("p.jsonl", [{"prediction": "a", "reference": "a"}])
    put("metric.py", METRIC)
    with pytest.raises(
        UserError, match="could be labels or spans or texts or tags: write --answer"
    ):
        nlpbench.score("p.jsonl", ["evaluate:metric.py"])


METRIC = """
import datasets, evaluate

class Same(evaluate.Metric):
    def _info(self):
        return evaluate.MetricInfo(
            description="", citation="", inputs_description="",
            features=datasets.Features(
                {"predictions": datasets.Value("string"), "references": datasets.Value("string")}
            ),
        )

    def _compute(self, predictions, references):
        return {"same": sum(a == b for a, b in zip(predictions, references)) / len(references)}
"""


def test_no_metric_means_those_of_the_task():
    put("p.csv", "prediction,reference\nyes,no\nno,no\n")
    assert list(scored("p.csv", task="text-classification")) == ["f1_macro", "accuracy"]
    assert list(scored("p.csv", answer="labels")) == ["f1_macro", "accuracy"]
    with pytest.raises(UserError, match="name the metrics with --metrics"):
        nlpbench.score("p.csv")


def test_a_task_may_be_told_with_its_options():
    put("h.txt", HYPOTHESES)
    put("r.txt", FIRST)
    task = {"name": "translation", "source_language": "en", "target_language": "de"}
    record = nlpbench.score("h.txt", references="r.txt", task=task, **QUICK)
    assert record.task == "translation"
    assert list(record.scores) == ["bleu", "chrf"]
    with pytest.raises(UserError, match="--task  task  needs the key source_column"):
        nlpbench.score("h.txt", references="r.txt", task="translation")
    with pytest.raises(
        UserError, match="--task translation predicts texts, and --answer is labels"
    ):
        nlpbench.score("h.txt", references="r.txt", task=task, answer="labels")


@pytest.mark.parametrize(
    ("metrics", "options", "message"),
    [
        (["acuracy"], {}, r"unknown metric \(got \"acuracy\"\)  did you mean accuracy"),
        ([{"name": "f1", "averag": "macro"}], {}, "metrics.0..averag  unknown key"),
        (
            ["accuracy", "bleu"],
            {},
            "no kind of answer has all these metrics: accuracy scores labels",
        ),
        (["bleu"], {"answer": "labels"}, "these metrics score texts, and the answers are labels"),
        (["brier"], {}, r"brier reads probabilities, and p.csv has none"),
        (["mae"], {}, 'p.csv, row 1 has the reference "no", which is no finite number'),
        (["chrf"], {"labels": ["a"]}, "--labels names classes, and these are texts"),
        (["accuracy"], {"prediction_column": "label"}, "p.csv has no column label; columns: pred"),
        (["accuracy"], {"reference_column": "referense"}, "did you mean reference"),
        (["accuracy"], {"id_column": "id"}, "has no column id; .* --id-column"),
        (["accuracy"], {"references": "none.txt"}, "none.txt: no such file"),
        (["accuracy"], {"confidence": 95.0}, "evaluation.confidence  must be less than 1"),
        (["accuracy"], {"resamples": 5}, "evaluation.resamples  must be at least 100"),
    ],
)
def test_what_cannot_be_scored_is_told(metrics, options, message):
    put("p.csv", "prediction,reference\nyes,no\nno,no\n")
    with pytest.raises(UserError, match=message):
        nlpbench.score("p.csv", metrics, **options)


def test_plain_text_without_references_is_told():
    put("h.txt", HYPOTHESES)
    with pytest.raises(UserError, match="holds no references; name them with --references"):
        nlpbench.score("h.txt", ["bleu"])


# Files of all kinds


def test_bleu_and_chrf_of_plain_text_are_those_of_sacrebleu():
    put("h.txt", HYPOTHESES)
    put("r1.de", FIRST)
    put("r2.de", SECOND)
    found = nlpbench.score(
        "h.txt", ["bleu", {"name": "chrf", "word_order": 2}], references=["r1.de", "r2.de"], **QUICK
    )
    command = [
        *(sys.executable, "-m", "sacrebleu", "r1.de", "r2.de", "-i", "h.txt"),
        *("-m", "bleu", "chrf", "--chrf-word-order", "2", "-f", "json", "-w", "10"),
    ]
    told = subprocess.run(command, capture_output=True, check=True, text=True)
    bleu, chrf = (entry["score"] for entry in json.loads(told.stdout))
    assert values(found) == pytest.approx({"bleu": bleu, "chrf_pp": chrf}, abs=1e-8)
    assert "nrefs:2" in found.scores["bleu"].signature


def test_lines_may_hold_anything_but_line_ends():
    odd = "a\u2028b\x85c  d\t e \r\nplain\n"
    put("h.hyp", odd)
    put("r.ref", odd)
    assert scored("h.hyp", "exact-match", references="r.ref") == {"exact_match": 1.0}
    assert nlpbench.score("h.hyp", ["chrf"], references="r.ref", **QUICK).data["test"].rows == 2


def test_tables_and_json_say_the_same():
    rows = [("7", "yes", "no"), ("8", "no", "no"), ("9", "yes", "yes")]
    csv = "number,guess,gold\n" + "".join(f"{','.join(row)}\n" for row in rows)
    named = [dict(zip(("number", "guess", "gold"), row, strict=True)) for row in rows]
    files = [
        put("p.csv", csv),
        put("p.tsv", csv.replace(",", "\t")),
        put("p.jsonl", named),
        put("p.json", named),
    ]
    columns = {"prediction_column": "guess", "reference_column": "gold", "id_column": "number"}
    records = [nlpbench.score(file, ["accuracy"], **columns, **QUICK) for file in files]
    assert {values(record)["accuracy"] for record in records} == {2 / 3}
    assert len({record.data["test"].fingerprint for record in records}) == 1


def test_a_list_may_stand_in_a_cell():
    put("p.csv", 'prediction,reference\n"[""B-PER"", ""O""]","[""B-PER"", ""O""]"\n[],[]\n')
    assert scored("p.csv", "entity-f1")["entity_f1"] == 1.0


def test_nested_columns_are_reached():
    rows = [{"out": {"text": "x"}, "answers": {"text": ["x", "y"]}}]
    put("p.jsonl", rows)
    columns = {"prediction_column": "out.text", "reference_column": "answers.text"}
    assert scored("p.jsonl", "squad-f1", **columns) == {"squad_f1": 1.0}


def test_squads_own_files_are_read():
    questions = [
        {"id": "q1", "question": "?", "answers": [{"text": "blue", "answer_start": 0}]},
        {"id": "q2", "question": "?", "answers": [], "is_impossible": True},
    ]
    data = {"data": [{"title": "t", "paragraphs": [{"context": "blue", "qas": questions}]}]}
    put("dev.json", data)
    put("answers.json", {"q2": "", "q1": "blue sky"})
    found = scored("answers.json", "squad-f1", "squad-exact-match", references="dev.json")
    assert found["squad_f1"] == pytest.approx((2 / 3 + 1) / 2)
    assert found["squad_exact_match"] == 0.5
    put("answers.json", {"q2": ""})
    with pytest.raises(UserError, match=r'lacks 1 of the 2 ids \("q1"\) of dev\.json'):
        nlpbench.score("answers.json", ["squad-f1"], references="dev.json")


def test_probabilities_may_stand_in_the_rows():
    rows = [
        {"prediction": "yes", "reference": "yes", "probabilities": {"yes": 0.8, "no": 0.2}},
        {"prediction": "yes", "reference": "no", "probabilities": {"yes": 0.6, "no": 0.4}},
    ]
    put("p.jsonl", rows)
    assert scored("p.jsonl", "brier")["brier"] == pytest.approx((0.2**2 + 0.6**2) / 2)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("p.jsonl", "{}\n{", r"p\.jsonl:2 is damaged"),
        ("p.jsonl", '{"prediction": "a", "reference": "a"}\n{}\n', r"p\.jsonl:2 has no prediction"),
        ("p.json", "[1]", r"p\.json, row 1: must be an object"),
        ("p.json", "3", r"p\.json must be a list of objects"),
        ("p.json", "[", r"p\.json is damaged"),
        ("p.csv", "prediction,reference\na\n", "row 1: 1 value where the header has 2 columns"),
        ("p.csv", "prediction,reference\n", "holds no rows below its header"),
        ("p.parquet", "PAR1", "is a parquet file, which is not scored; save it as jsonl"),
        ("p.txt", "", r"is empty \(0 bytes\)"),
    ],
)
def test_a_damaged_file_is_told(name, content, message):
    put(name, content)
    with pytest.raises(UserError, match=message):
        nlpbench.score(name, ["accuracy"])


# Rows are matched


def test_rows_are_matched_by_id_in_the_order_of_the_references():
    put("p.jsonl", [{"id": n, "prediction": f"answer {n}"} for n in (3, 1, 2)])
    put("r.csv", "id,reference\n1,answer 1\n2,answer two\n3,answer 3\n")
    record = nlpbench.score(
        "p.jsonl", ["exact-match"], references="r.csv", output_dir="run", **QUICK
    )
    assert values(record) == pytest.approx({"exact_match": 2 / 3})
    rows = [json.loads(line) for line in Path("run/predictions.jsonl").read_text().splitlines()]
    assert [row["prediction"] for row in rows] == ["answer 1", "answer 2", "answer 3"]


def test_rows_are_matched_by_line_where_one_side_has_no_ids():
    put("p.jsonl", [{"id": name, "prediction": name} for name in "ba"])
    put("r.txt", "b\nA\n")
    nlpbench.score("p.jsonl", ["exact-match"], references="r.txt", output_dir="run", **QUICK)
    rows = [json.loads(line) for line in Path("run/predictions.jsonl").read_text().splitlines()]
    assert [(row["id"], row["reference"]) for row in rows] == [("b", ["b"]), ("a", ["A"])]


@pytest.mark.parametrize(
    ("predictions", "references", "message"),
    [
        (
            "id,prediction\n1,a\n1,b\n",
            "id,reference\n1,a\n2,b\n",
            'row 2 has the id "1" of p.csv, row 1',
        ),
        (
            "id,prediction\n1,a\n2,b\n",
            "id,reference\n1,a\n1,b\n",
            'row 2 has the id "1" of r.csv, row 1',
        ),
        (
            "id,prediction\n" + "".join(f"{n},a\n" for n in range(1, 3)),
            "id,reference\n" + "".join(f"{n},a\n" for n in range(2, 10)),
            r'p.csv lacks 7 of the 8 ids \("3", "4", "5", "6", "7" and 2 more\) of r.csv; '
            r'r.csv lacks 1 of the 2 ids \("1"\) of p.csv',
        ),
        (
            "prediction\na\nb\n",
            "id,reference\n1,a\n",
            "p.csv has 2 rows and r.csv has 1 row; without ids in both",
        ),
    ],
)
def test_rows_that_do_not_match_are_told(predictions, references, message):
    put("p.csv", predictions)
    put("r.csv", references)
    with pytest.raises(UserError, match=message):
        nlpbench.score("p.csv", ["accuracy"], references="r.csv")


def test_files_of_unlike_lengths_are_told():
    put("h.txt", "a\nb\nc\n")
    put("r.txt", "a\nb\n")
    with pytest.raises(UserError, match=r"h\.txt has 3 lines and r\.txt has 2 lines"):
        nlpbench.score("h.txt", ["chrf"], references="r.txt")


# The run that is written


def write_run():
    put("p.csv", "id,prediction,reference,note\n1,yes,no,x\n2,no,no,y\n3,yes,yes,z\n")
    return nlpbench.score(
        "p.csv", ["accuracy", "f1"], output_dir="runs/one", name="oracle", **QUICK
    )


def test_a_scored_file_leaves_a_run():
    record = write_run()
    kept = read_record(Path("runs/one"))
    assert kept == record
    assert (kept.command, kept.name, kept.task, kept.split) == (
        "score",
        "one",
        "text-classification",
        "test",
    )
    assert kept.model == {"name": "oracle"}
    assert kept.efficiency == {}
    config = RunConfig.model_validate(kept.config)
    assert config.task.answer == "labels"
    assert [metric.name for metric in config.metrics] == ["accuracy", "f1"]
    rows = [
        json.loads(line) for line in Path("runs/one/predictions.jsonl").read_text().splitlines()
    ]
    assert rows[0] == {"id": "1", "reference": "no", "prediction": "yes", "note": "x"}
    with pytest.raises(UserError, match="holds the finished run of this config"):
        write_run()


def test_the_run_of_a_scored_file_scores_the_same_again():
    one = write_run()
    two = nlpbench.score("runs/one", output_dir="runs/two", **QUICK)
    assert two.scores == one.scores
    assert two.data == one.data
    assert two.model == one.model
    three = nlpbench.score("runs/one/predictions.jsonl", ["mcc"], **QUICK)
    assert list(three.scores) == ["mcc"]
    assert three.name == "one"


def test_the_references_of_a_run_say_which_data_they_are():
    one = write_run()
    put("q.jsonl", [{"id": number, "prediction": "no"} for number in (2, 3, 1)])
    with pytest.raises(UserError, match="lacks 3 of the 3 ids"):
        nlpbench.score("q.jsonl", references="runs/one")
    put("q.csv", "id,prediction\n2,no\n3,no\n1,no\n")
    two = nlpbench.score("q.csv", references="runs/one", **QUICK)
    assert two.data == one.data
    assert two.labels == one.labels
    assert list(two.scores) == list(one.scores)
    assert two.model == {"name": "q.csv"}
    with pytest.raises(UserError, match="--split says train, and the references are those of test"):
        nlpbench.score("q.csv", references="runs/one", split="train")


def test_a_run_that_lost_rows_is_told():
    write_run()
    file = Path("runs/one/predictions.jsonl")
    file.write_text("\n".join(file.read_text().splitlines()[:-1]))
    with pytest.raises(UserError, match=r"holds 2 rows, and the record\.json beside it says 3"):
        nlpbench.score("runs/one")


def test_answers_of_a_run_beside_other_references_are_other_data():
    one = write_run()
    put("r.csv", "id,reference\n1,yes\n2,no\n3,yes\n")
    two = nlpbench.score("runs/one", references="r.csv", **QUICK)
    assert values(two)["accuracy"] == 1.0
    assert two.data["test"].fingerprint != one.data["test"].fingerprint
    assert two.model == one.model


def test_what_answers_follow_from_stays_in_the_signature():
    write_run()
    file = Path("runs/one/record.json")
    values = json.loads(file.read_text())
    for score in values["scores"].values():
        score["signature"] += "|search:beams-4"
    file.write_text(json.dumps(values))
    again = nlpbench.score("runs/one", ["accuracy", "mcc"], **QUICK)
    assert [score.signature.endswith("|search:beams-4") for score in again.scores.values()] == [
        True
    ] * 2


def test_the_same_references_are_the_same_data_whoever_answers():
    put("r.txt", "a b\nc d\n")
    put("one.txt", "a b\nc\n")
    put("two.jsonl", [{"id": 0, "prediction": "x"}, {"id": 1, "prediction": "y"}])
    one, two = (
        nlpbench.score(file, ["chrf"], references="r.txt", **QUICK)
        for file in ("one.txt", "two.jsonl")
    )
    assert one.data == two.data


# The command


IN_ONE_PROCESS = """
import contextlib, io, json, sys
from nlpbench.commands import main
told = []
for line in json.loads(sys.argv[1]):
    sys.argv[1:] = line
    out, err, code = io.StringIO(), io.StringIO(), 0
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main.main()
        except SystemExit as end:
            code = end.code or 0
    heavy = [name for name in ("torch", "transformers", "datasets", "evaluate") if name in sys.modules]
    told.append([code, out.getvalue(), err.getvalue(), heavy])
json.dump(told, sys.stdout)
"""


def run(*lines):
    command = [sys.executable, "-c", IN_ONE_PROCESS, json.dumps(lines)]
    return json.loads(subprocess.run(command, capture_output=True, check=True, text=True).stdout)


def test_the_command_prints_a_table_and_loads_no_torch():
    put("p.csv", "prediction,reference\ntrue,false\nfalse,false\ntrue,true\n")
    plain, written, unknown, broken = run(
        ["score", "p.csv", "-m", "accuracy", "-m", "{name: f1, average: macro}", "-q"],
        ["score", "p.csv", "-m", "accuracy,mcc", "-o", "out", "--labels", "[true, false]"],
        ["score", "p.csv", "-m", "accuracy,bleu"],
        ["score", "p.csv", "-m", "{name: f1"],
    )
    assert plain[0] == 0
    assert plain[1].splitlines()[0].split() == ["run", "split", "rows", "accuracy", "f1_macro"]
    assert "0.6667 [" in plain[1]
    assert plain[3] == []
    assert (written[0], written[3]) == (0, [])
    assert "wrote out" in written[2]
    assert read_record(Path("out")).labels == ["true", "false"]
    assert unknown[0] == 2
    assert unknown[2].startswith("error: no kind of answer has all these metrics")
    assert broken[0] == 2
    assert broken[2].startswith("error: --metrics  not valid YAML")


def test_rows_of_one_cluster_are_drawn_together():
    rows = [
        {"prediction": "a", "reference": "ab"[n % 3 == 0], "cluster": f"c{n // 4}"}
        for n in range(40)
    ]
    put("p.jsonl", rows)
    record = nlpbench.score("p.jsonl", ["accuracy"], output_dir="out", **QUICK)
    assert record.interval["method"] == "percentile bootstrap over clusters of cluster"
    assert record.interval["clusters"] == 10
    kept = [json.loads(line) for line in Path("out/predictions.jsonl").read_text().splitlines()]
    assert [row["cluster"] for row in kept] == [row["cluster"] for row in rows]
    assert nlpbench.score("out", **QUICK).scores == record.scores


def test_rankings_leave_a_run_too():
    put("p.jsonl", [{"id": "q", "prediction": ["d", "e"], "reference": {"e": 1}}])
    one = nlpbench.score("p.jsonl", ["mrr"], output_dir="out", **QUICK)
    assert nlpbench.score("out", **QUICK).scores == one.scores
