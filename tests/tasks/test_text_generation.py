"""Text generation: prompts and conversations."""

from __future__ import annotations

import json

import pytest
import torch
from pydantic import ValidationError
from text_pairs import batch, bundle, dataset, features, mean_loss, own_labels, place
from tiny_models import CONFIGURATIONS

from nlpbench.config.errors import UserError
from nlpbench.config.run_config import RunConfig
from nlpbench.runs.evaluate import evaluate
from nlpbench.runs.finetune import finetune
from nlpbench.tasks.text_generation import TextGeneration

LENGTHS = {"max_source_length": 60, "max_target_length": 20}
ROWS = [
    {"prompt": "Question: Where is the station?\nAnswer:", "completion": " Behind the town hall."},
    {"prompt": "Prices rose. ", "completion": "Again."},
    {"prompt": "A dog", "completion": "runs across the grass."},
]
# As such templates are: every message ends, and the assistant's begins with its role.
TEMPLATE = (
    "{% for m in messages %}<{{ m.role }}> {{ m.content }}{{ eos_token }}\n{% endfor %}"
    "{% if add_generation_prompt %}<assistant> {% endif %}"
)
FORGETFUL = (  # writes of the assistant's earlier answers only that there were some
    "{% for m in messages %}"
    "{% if m.role == 'assistant' and not loop.last %}<assistant> …\n"
    "{% else %}<{{ m.role }}> {{ m.content }}{{ eos_token }}\n{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<assistant> {% endif %}"
)


def message(role, content):
    return {"role": role, "content": content}


CHATS = [
    {
        "messages": [
            message("user", "Where is the dog?"),
            message("assistant", "On the grass."),
            message("user", "And the children?"),
            message("assistant", "They laugh."),
        ]
    },
    {
        "messages": [
            message("system", "Be brief."),
            message("user", "A man with a hat"),
            message("assistant", "plays."),
        ]
    },
]
TASK = TextGeneration(**LENGTHS)
CHAT = TextGeneration(messages_column="messages", chat_template=TEMPLATE, **LENGTHS)


def scored_runs(tokenizer, made):
    """The runs of scored tokens of each row, as texts."""
    found = []
    for labels in own_labels(made):
        runs, last = [], None
        for index, label in enumerate(labels.tolist()):
            if label == -100:
                continue
            if last is None or index != last + 1:
                runs.append([])
            runs[-1].append(label)
            last = index
        found.append([tokenizer.decode(run) for run in runs])
    return found


# Prompts and completions


def test_a_completion_follows_its_prompt_with_a_space_where_neither_has_one():
    found = bundle(TASK, "gpt2")
    made = batch(TASK, ROWS, found)
    ends = [text.removesuffix("<|endoftext|>") for [text] in scored_runs(found.tokenizer, made)]
    assert ends == [" Behind the town hall.", "Again.", " runs across the grass."]
    whole = found.tokenizer.decode(made["input_ids"][2], skip_special_tokens=True)
    assert whole == "A dog runs across the grass."


def test_nothing_stands_between_where_the_separator_is_nothing():
    task = TextGeneration(separator="", **LENGTHS)
    found = bundle(task, "gpt2")
    made = batch(task, ROWS, found)
    assert scored_runs(found.tokenizer, made)[2] == ["runs across the grass.<|endoftext|>"]


@pytest.mark.parametrize("model_type", ["gpt2", "llama"])
def test_a_decoder_keeps_the_end_of_a_long_prompt_and_its_template(model_type):
    task = TextGeneration(
        prompt_template="Story: {prompt}\n=>", max_source_length=20, max_target_length=4
    )
    found = bundle(task, model_type)
    [row] = features(
        task, [{"prompt": "one two three " * 30 + "the end", "completion": "x"}], found
    )
    text = found.tokenizer.decode(row["input_ids"], skip_special_tokens=True)
    assert text.replace(" ", "").startswith("Story:")
    assert text.replace(" ", "").endswith("theend\n=>")
    assert 18 <= len(row["input_ids"]) <= 20 < row["whole_length"]


def test_an_encoder_decoder_keeps_the_beginning():
    task = TextGeneration(max_source_length=8, max_target_length=8)
    found = bundle(task, "t5")
    [row] = features(task, [{"prompt": "A dog runs " + "two " * 30, "completion": "x"}], found)
    assert found.tokenizer.decode(row["input_ids"]).startswith("A dog runs")
    assert len(row["input_ids"]) == 8
    assert row["input_ids"][-1] == found.tokenizer.eos_token_id


def test_where_nothing_follows_something_else_may_be_right():
    rows = [{"prompt": "a", "completion": []}, {"prompt": "b", "completion": ["x", "y"]}]
    with pytest.raises(UserError, match="row 1: there is no reference in completion"):
        TASK.references(dataset(rows), (), place)
    task = TextGeneration(no_completion="No answer.", **LENGTHS)
    assert task.references(dataset(rows), (), place).tolist() == [["No answer."], ["x", "y"]]
    found = bundle(task, "gpt2")
    targets = [found.tokenizer.decode(row["target"]) for row in features(task, rows, found)]
    assert targets == [" No answer.<|endoftext|>", " x<|endoftext|>"]


def test_an_empty_prompt_is_one_token_to_go_on_from():
    found = bundle(TASK, "gpt2")
    made = TASK.encode(dataset([{"prompt": "", "completion": "x"}]), None, found)
    assert made[0]["input_ids"] == [found.tokenizer.bos_token_id]
    [answer] = TASK.infer(found, TASK.collate(found)(list(made))).values
    assert len(answer) > 0


# Conversations


@pytest.mark.parametrize("model_type", ["gpt2", "llama"])
def test_the_answers_of_the_assistant_alone_are_learnt(model_type):
    found = bundle(CHAT, model_type)
    end = found.tokenizer.eos_token
    made = batch(CHAT, CHATS, found)
    texts = [[run.strip() for run in runs] for runs in scored_runs(found.tokenizer, made)]
    assert texts == [[f"On the grass.{end}", f"They laugh.{end}"], [f"plays.{end}"]]
    whole = found.tokenizer.decode(made["input_ids"][0])
    assert whole.replace(" ", "").startswith(f"<user>Whereisthedog?{end}\n<assistant>Onthegrass.")
    own = found.model(
        input_ids=made["input_ids"],
        attention_mask=made["attention_mask"],
        labels=own_labels(made),
    )
    assert torch.allclose(mean_loss(CHAT, found.model, made), own.loss, atol=1e-6)


def test_answers_that_the_template_rewrites_are_not_learnt_but_the_last_one_is():
    task = TextGeneration(messages_column="messages", chat_template=FORGETFUL, **LENGTHS)
    found = bundle(task, "gpt2")
    [runs, _] = scored_runs(found.tokenizer, batch(task, CHATS, found))
    assert runs == ["They laugh.<|endoftext|>"]


def test_the_validation_loss_is_of_the_last_answer():
    found = bundle(CHAT, "gpt2")
    made = batch(CHAT, CHATS, found, training=False)
    [first, second] = scored_runs(found.tokenizer, made)
    assert (first, second) == (["They laugh.<|endoftext|>"], ["plays.<|endoftext|>"])


def test_what_the_model_reads_when_it_writes_ends_where_its_answer_begins():
    found = bundle(CHAT, "gpt2")
    made = CHAT.encode(dataset(CHATS), None, found)
    texts = [found.tokenizer.decode(row) for row in made["input_ids"]]
    assert all(text.endswith("<assistant> ") for text in texts)
    assert "They laugh" not in texts[0]
    trained = features(CHAT, CHATS, found)
    assert trained["input_ids"][0] == made["input_ids"][0]
    assert CHAT.references(dataset(CHATS), (), place).tolist() == [["They laugh."], ["plays."]]


def test_a_long_conversation_loses_its_beginning():
    task = CHAT.model_copy(update={"max_source_length": 12})
    found = bundle(task, "gpt2")
    made, whole = features(task, CHATS, found), features(CHAT, CHATS, found)
    for row, full in zip(made, whole, strict=True):
        assert row["input_ids"] == full["input_ids"][-12:]
        assert row["prompt_labels"] == full["prompt_labels"][-12:]
        assert row["whole_length"] == full["length"]


def test_an_encoder_decoder_reads_the_conversation_and_learns_the_last_answer():
    found = bundle(CHAT, "bart")
    made = features(CHAT, CHATS, found)
    texts = found.tokenizer.batch_decode(list(made["target"]), skip_special_tokens=True)
    assert texts == ["They laugh.", "plays."]
    assert "On the grass." in found.tokenizer.decode(made[0]["input_ids"])


def test_the_tokenizers_own_template_is_used_unless_told():
    task = TextGeneration(messages_column="messages", **LENGTHS)
    found = bundle(task, "gpt2")
    with pytest.raises(UserError, match=r"has no chat template.*task.chat_template"):
        features(task, CHATS, found)
    found.tokenizer.chat_template = TEMPLATE
    assert list(features(task, CHATS, found)["input_ids"]) == list(
        features(CHAT, CHATS, found)["input_ids"]
    )


def test_what_a_template_refuses_is_told_with_the_messages():
    strict = "{{ raise_exception('roles must alternate') }}"
    task = TextGeneration(messages_column="messages", chat_template=strict, **LENGTHS)
    with pytest.raises(UserError, match=r"cannot write these messages \(roles must alternate\)"):
        features(task, CHATS, bundle(task, "gpt2"))


@pytest.mark.parametrize(
    ("messages", "problem"),
    [
        (None, "must hold a list of messages"),
        ([], "must hold a list of messages"),
        ([message("user", "a"), message("assistant", None)], "message 2 .* both texts"),
        ([message("assistant", "b"), message("user", "a")], "last message .* is of the user"),
        ([message("assistant", "b")], "last message .* is the only one"),
    ],
)
def test_what_is_no_conversation_is_refused_with_its_row(messages, problem):
    rows = dataset([CHATS[0], {"messages": messages}])
    for ask in (CHAT.texts, lambda *args: CHAT.references(args[0], (), args[1])):
        with pytest.raises(UserError, match=f"row 2: .*{problem}"):
            ask(rows, place)


def test_the_audit_reads_what_is_asked_and_a_tokenizer_all_that_is_said():
    texts = CHAT.texts(dataset(CHATS), place)
    assert texts[1] == "Be brief.\nA man with a hat"
    assert list(texts) == texts[:2]
    said = [one["content"] for row in CHATS for one in row["messages"]]
    assert list(CHAT.tokenizer_texts(dataset(CHATS), place)) == said


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"messages_column": "m", "prompt_column": "p"}, "prompt_column excludes messages_column"),
        ({"messages_column": "m", "separator": ""}, "separator excludes messages_column"),
        ({"chat_template": TEMPLATE}, "chat_template needs messages_column"),
        ({"prompt_template": "{source}"}, "prompt_template must hold {prompt} once"),
        (
            {"completion_column": "a", "completion_columns": ["a", "b"]},
            "completion_columns excludes completion_column",
        ),
    ],
)
def test_options_that_exclude_each_other_are_refused(values, message):
    with pytest.raises(ValidationError, match=message):
        TextGeneration(**values)


# Whole runs


@pytest.mark.parametrize(
    ("model_type", "options", "rows"),
    [
        ("llama", {"messages_column": "messages", "chat_template": TEMPLATE}, CHATS),
        ("t5", {}, ROWS),
    ],
)
def test_a_run_scores_the_raw_completions_and_an_evaluation_gives_the_same(
    model_type, options, rows, tmp_path
):
    (tmp_path / "data").mkdir()
    for split in ("train", "validation", "test"):
        text = "".join(json.dumps(row) + "\n" for row in rows * 4)
        (tmp_path / "data" / f"{split}.jsonl").write_text(text, encoding="utf-8")
    config = RunConfig.model_validate(
        {
            "model": {
                "config": {"model_type": model_type, **CONFIGURATIONS[model_type]},
                "tokenizer": {"train": {"vocab_size": 500}},
            },
            "data": {"source": str(tmp_path / "data")},
            "task": {
                "name": "text-generation",
                **options,
                "max_source_length": 40,
                "max_target_length": 20,
                "generation": {"do_sample": True, "seed": 5},
            },
            "training": {
                "num_train_epochs": 2,
                "learning_rate": 0.01,
                "effective_batch_size": 4,
                "precision": "fp32",
            },
            "evaluation": {"efficiency": False, "resamples": 100},
        }
    )
    [record] = finetune(config, tmp_path / "run")
    lines = (tmp_path / "run" / "predictions.jsonl").read_text(encoding="utf-8").splitlines()
    found = [json.loads(line)["reference"] for line in lines]
    assert found == TextGeneration(**options).references(dataset(rows * 4), (), place).tolist()
    [again] = evaluate(config, tmp_path / "again", [str(tmp_path / "run")])
    assert {key: score.value for key, score in again.scores.items()} == {
        key: score.value for key, score in record.scores.items()
    }
    assert list(record.scores) == ["chrf", "exact_match"]


def test_other_columns_stand_in_the_prompt_and_only_the_prompts_own_is_cut():
    task = TextGeneration(
        prompt_column="context",
        completion_column="answers",
        prompt_template="{prompt}\nQuestion: {question}\nAnswer:",
        max_source_length=40,
        max_target_length=8,
    )
    rows = [
        {"context": "one two three " * count, "question": "Where is {it}?", "answers": ["a", "b"]}
        for count in (1, 30)
    ]
    assert task.columns == ["context", "question", "answers"]
    assert task.texts(dataset(rows), place)[0] == "one two three \nWhere is {it}?"
    found = bundle(task, "gpt2")
    texts = [found.tokenizer.decode(row["input_ids"]) for row in features(task, rows, found)]
    assert texts[0] == "one two three \nQuestion: Where is {it}?\nAnswer:"
    assert all(text.endswith("\nQuestion: Where is {it}?\nAnswer:") for text in texts)


@pytest.mark.parametrize(("limit", "fits"), [(5, False), (30, True)])
def test_a_prompt_that_is_too_long_without_its_source_is_refused(limit, fits):
    task = TextGeneration(
        prompt_template="{prompt} {question}", max_source_length=limit, max_target_length=8
    )
    rows = [{"prompt": "a", "question": "one two three", "completion": "x"}]
    found = bundle(task, "gpt2")
    if fits:
        assert len(features(task, rows, found)) == 1
    else:
        with pytest.raises(UserError, match=r"task.max_source_length leaves 5 tokens to a prompt"):
            features(task, rows, found)
