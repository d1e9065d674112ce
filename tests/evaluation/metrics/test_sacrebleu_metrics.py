"""BLEU, chrF and TER against the sacrebleu command's own output, to its last digit."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from noisy_texts import (
    CHINESE,
    JAPANESE,
    SENTENCES,
    THAI,
    as_array,
    corpus,
    draw_counts,
    repeated,
)
from pydantic import ValidationError
from sacrebleu.metrics import BLEU, CHRF, TER

from nlpbench.config.errors import UserError
from nlpbench.evaluation import corpus_score
from nlpbench.evaluation.corpus_score import CorpusScore
from nlpbench.evaluation.metrics.bleu import Bleu
from nlpbench.evaluation.metrics.chrf import Chrf
from nlpbench.evaluation.metrics.ter import Ter

DIGITS = 15


def command(
    folder: Path, predictions: np.ndarray, references: np.ndarray, *options: str
) -> subprocess.CompletedProcess[str]:
    """The sacrebleu command on files of these texts."""
    files = []
    for number, texts in enumerate([predictions, *zip(*references, strict=True)]):
        file = folder / f"{number}.txt"
        file.write_text("".join(f"{text}\n" for text in texts), encoding="utf-8")
        files.append(str(file))
    line = [sys.executable, "-m", "sacrebleu", *files[1:], "-i", files[0], "-w", str(DIGITS)]
    environment = {**os.environ, "SACREBLEU_SEED": "12345", "NO_COLOR": "1"}
    environment.pop("SACREBLEU_FORMAT", None)
    return subprocess.run(
        [*line, *options], capture_output=True, text=True, check=True, env=environment
    )


def told(done: subprocess.CompletedProcess[str]) -> dict[str, dict]:
    """What the command says of each metric: BLEU, chrF2, chrF2++, TER."""
    found = json.loads(done.stdout)
    return {score["name"]: score for score in (found if isinstance(found, list) else [found])}


OPTIONS = [
    ([Bleu(), Chrf(), Ter()], ""),
    (
        [
            Bleu(lowercase=True, tokenize="intl"),
            Chrf(word_order=2, lowercase=True),
            Ter(normalized=True, case_sensitive=True),
        ],
        "-lc -tok intl --chrf-word-order 2 --chrf-lowercase --ter-normalized --ter-case-sensitive",
    ),
    (
        [
            Bleu(tokenize="char", smooth_method="floor", smooth_value=0.01),
            Chrf(word_order=1, char_order=4, beta=3, whitespace=True),
            Ter(no_punct=True),
        ],
        "-tok char -s floor -sv 0.01 --chrf-word-order 1 --chrf-char-order 4 --chrf-beta 3 "
        "--chrf-whitespace --ter-no-punct",
    ),
    (
        [
            Bleu(tokenize="none", smooth_method="add-k"),
            Chrf(eps_smoothing=True),
            Ter(normalized=True, no_punct=True, asian_support=True),
        ],
        "-tok none -s add-k --chrf-eps-smoothing --ter-normalized --ter-no-punct "
        "--ter-asian-support",
    ),
]
NAMES = ["defaults", "lower-case", "characters", "smoothing"]


@pytest.mark.parametrize(("metrics", "options"), OPTIONS, ids=NAMES)
@pytest.mark.parametrize("number", [1, 3])
def test_score_and_signature_are_the_sacrebleu_commands_to_the_last_digit(
    metrics: list[CorpusScore], options: str, number: int, tmp_path: Path
):
    predictions, references = corpus(references=number, seed=number)
    done = command(tmp_path, predictions, references, "-m", "bleu", "chrf", "ter", *options.split())
    expected = told(done)
    assert len(expected) == 3
    for metric, said in zip(metrics, expected.values(), strict=True):
        scores = metric.compute(predictions, references)
        assert list(scores) == list(metric.keys)
        assert float(f"{scores[metric.keys[0]]:.{DIGITS}f}") == said["score"]
        assert 5 < said["score"] < 100
        left_out = "".join(f"|{part}" for part in metric.not_in_signature())
        assert metric.signature_for(references) == said["signature"] + left_out


@pytest.mark.parametrize("tokenize", ["zh", "char", "13a"])
def test_chinese_scores_as_with_the_command(tokenize, tmp_path):
    predictions = as_array([text.replace("我", "你").replace("点", "点钟") for text in CHINESE])
    references = as_array([[text] for text in CHINESE])
    metric = Bleu(tokenize=tokenize, smooth_method="none")
    said = told(command(tmp_path, predictions, references, "-tok", tokenize, "-s", "none"))["BLEU"]
    score = metric.compute(predictions, references)["bleu"]
    assert float(f"{score:.{DIGITS}f}") == said["score"]
    assert (score > 50) == (tokenize != "13a")
    assert metric.signature_for(references) == said["signature"]


def test_effective_order_scores_each_text_as_the_command_does_by_sentence(tmp_path):
    predictions, references = corpus(n=40, references=2, seed=5)
    lines = command(tmp_path, predictions, references, "-sl", "-f", "text").stdout.splitlines()
    metric = Bleu(effective_order=True)
    assert len(lines) == 40
    for index, line in enumerate(lines):
        one = slice(index, index + 1)
        signature, _, rest = line.removeprefix("BLEU|").partition(" = ")
        score = metric.compute(predictions[one], references[one])["bleu"]
        assert f"{score:.{DIGITS}f}" == rest.split()[0]
        assert metric.signature_for(references[one]) == signature


@pytest.mark.parametrize(
    ("metric", "oracle"),
    [
        (Bleu(), BLEU()),
        (Bleu(max_ngram_order=2), BLEU(max_ngram_order=2)),
        (Bleu(target_language="zh"), BLEU(trg_lang="zh")),
        (Bleu(target_language="de"), BLEU(trg_lang="de")),
        (Chrf(word_order=2), CHRF(word_order=2)),
        (Ter(), TER()),
    ],
    ids=["bleu", "bleu of bigrams", "bleu of zh", "bleu of de", "chrf++", "ter"],
)
def test_a_number_of_references_that_varies_by_text(metric, oracle):
    predictions, references = corpus(n=1100, references=(1, 3, 2), seed=7)
    most = max(map(len, references))
    streams = [[row[i] if i < len(row) else None for row in references] for i in range(most)]
    score = oracle.corpus_score(predictions.tolist(), streams).score
    assert metric.compute(predictions, references) == {metric.keys[0]: score}
    signature = str(oracle.get_signature())
    assert "nrefs:var" in signature
    assert metric.signature_for(references).startswith(signature)


def test_the_signature_without_data_is_the_rest_of_sacrebleus():
    _, references = corpus(n=8, references=2)
    for metric in (Bleu(), Bleu(lowercase=True), Chrf(word_order=2), Ter()):
        assert f"nrefs:2|{metric.signature()}" == metric.signature_for(references)
    assert Bleu().signature().startswith("case:mixed|eff:no|tok:13a|smooth:exp|version:")
    assert Bleu(max_ngram_order=3).signature() == Bleu().signature() + "|order:3"
    assert Chrf(beta=1).signature() == Chrf().signature() + "|beta:1"


def test_the_key_tells_chrf_from_chrf_plus_plus():
    assert [Chrf(word_order=order).keys for order in (0, 1, 2)] == [
        ("chrf",),
        ("chrf_p",),
        ("chrf_pp",),
    ]


@pytest.mark.parametrize("number", [1, 2])
def test_the_commands_confidence_follows_from_our_resamples_of_its_draws(number, tmp_path):
    predictions, references = corpus(n=90, references=number, seed=11)
    done = command(
        tmp_path,
        predictions,
        references,
        *"-m bleu chrf ter --confidence --confidence-n 400 --chrf-word-order 2".split(),
    )
    draws = np.random.default_rng(12345).choice(90, size=(400, 90), replace=True)
    counts = np.stack([np.bincount(row, minlength=90) for row in draws])
    for metric, said in zip((Bleu(), Chrf(word_order=2), Ter()), told(done).values(), strict=True):
        assert "bs:400|seed:12345" in said["signature"]
        scores = np.sort(metric.resample(predictions, references, counts)[metric.keys[0]])
        # sacrebleu resamples in single precision; its bounds are the 11th of 400 from each end.
        assert scores.mean() == pytest.approx(said["confidence_mean"], rel=1e-5)
        assert (scores[-11] - scores[10]) / 2 == pytest.approx(said["confidence_var"], rel=1e-4)
        low, high = np.quantile(scores, [0.025, 0.975])
        assert scores[9] <= low <= scores[10]
        assert scores[-11] <= high <= scores[-10]


@pytest.mark.parametrize("metric", [m for metrics, _ in OPTIONS for m in metrics], ids=repr)
def test_a_resample_scores_as_its_repeated_texts_do(metric):
    predictions, references = corpus(n=30, references=(2, 1), seed=13)
    counts = draw_counts(30, 20)
    found = metric.resample(predictions, references, counts)[metric.keys[0]]
    expected = [
        metric.compute(repeated(predictions, drawn), repeated(references, drawn))[metric.keys[0]]
        for drawn in counts
    ]
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-10)


def test_a_score_and_all_its_resamples_look_at_each_text_once(monkeypatch):
    seen = []
    original = Ter.statistics

    def counted(self, predictions, references):
        seen.append(len(predictions))
        return original(self, predictions, references)

    monkeypatch.setattr(Ter, "statistics", counted)
    corpus_score._statistics.cache_clear()
    predictions, references = corpus(n=20, seed=17)
    metric = Ter()
    metric.compute(predictions, references)
    for seed in range(3):
        metric.resample(predictions, references, draw_counts(20, 5, seed))
    assert seen == [20]
    predictions[3] = "Something else altogether."
    before = metric.compute(*corpus(n=20, seed=17))["ter"]
    assert metric.compute(predictions, references)["ter"] != before


def test_no_texts_have_no_score():
    nothing = as_array([])
    for metric in (Bleu(), Chrf(), Ter()):
        assert np.isnan(metric.compute(nothing, nothing)[metric.keys[0]])
        found = metric.resample(nothing, nothing, np.zeros((3, 0), dtype=np.int64))
        assert np.isnan(found[metric.keys[0]]).all()


@pytest.mark.parametrize(
    ("metric", "texts", "advice"),
    [
        (Bleu(), CHINESE, "is Chinese, .*set tokenize: zh or target_language: zh"),
        (Bleu(tokenize="intl"), CHINESE, "tokenize: zh"),
        (Bleu(tokenize="none"), CHINESE, "bleu's tokenizer none takes for one long word"),
        (Bleu(), JAPANESE, "is Japanese, .*tokenize: ja-mecab"),
        (Bleu(tokenize="zh"), JAPANESE, "tokenize: ja-mecab"),
        (Bleu(), THAI, "is Thai, .*flores200 or tokenize: char"),
        (Bleu(tokenize="zh"), THAI, "flores200"),
        (Ter(), CHINESE, "asian_support: true, or take chrf"),
        (Ter(normalized=True, asian_support=True), JAPANESE, "take chrf or cer"),
        (Ter(), THAI, "take chrf or cer"),
    ],
    ids=lambda value: value[0][:4] if isinstance(value, list) else str(value)[:40],
)
def test_a_tokenizer_that_cannot_read_the_script_is_refused(metric, texts, advice):
    references = as_array([[text] for text in texts])
    with pytest.raises(UserError, match=advice):
        metric.check(as_array(texts), references)


@pytest.mark.parametrize(
    ("metric", "texts"),
    [
        (Bleu(target_language="zh"), CHINESE),
        (Bleu(tokenize="char"), THAI),
        (Bleu(tokenize="none"), [" ".join(text) for text in CHINESE]),
        (Chrf(), THAI),
        (Ter(normalized=True, asian_support=True), CHINESE),
        (Bleu(), SENTENCES),
        (Ter(), SENTENCES),
    ],
    ids=lambda value: value[0][:4] if isinstance(value, list) else str(value)[:40],
)
def test_a_tokenizer_that_reads_the_script_is_not(metric, texts):
    assert metric.check(as_array(texts), as_array([[text] for text in texts])) == []


def test_a_little_of_such_a_script_is_worth_a_warning():
    texts = [*SENTENCES, *CHINESE]
    [warning] = Bleu().check(as_array(texts), as_array([[text] for text in texts]))
    assert "6% of the text is Chinese" in warning


@pytest.mark.parametrize(
    ("tokenize", "install"),
    [
        ("ja-mecab", "sacrebleu[ja]"),
        ("ko-mecab", "sacrebleu[ko]"),
        ("flores200", "pip install 'sentencepiece'"),
    ],
)
def test_a_tokenizer_whose_package_is_missing_is_told_by_the_signature(
    tokenize, install, monkeypatch
):
    monkeypatch.setattr("nlpbench.evaluation.bleu_tokenizer.find_spec", lambda name: None)
    with pytest.raises(UserError) as told:
        Bleu(tokenize=tokenize).signature()
    assert f"tokenize: {tokenize} needs the Python package" in str(told.value)
    assert install in str(told.value)
    language = tokenize[:2]
    if language in ("ja", "ko"):
        with pytest.raises(UserError, match=f"tokenize: {tokenize}"):
            Bleu(target_language=language).compute(*corpus(n=3))


def test_a_tokenizer_that_would_download_its_model_offline_is_told_by_the_signature(
    monkeypatch, tmp_path
):
    monkeypatch.setattr("nlpbench.evaluation.bleu_tokenizer.find_spec", lambda name: object())
    monkeypatch.setattr("sacrebleu.utils.SACREBLEU_DIR", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(UserError) as told:
        Bleu(tokenize="flores200").signature()
    assert str(tmp_path / "models" / "flores200sacrebleuspm") in str(told.value)
    assert "HF_HUB_OFFLINE is set" in str(told.value)
    assert "https://" in str(told.value)
    assert list(tmp_path.iterdir()) == []


def test_a_tokenizer_that_breaks_is_told_with_its_reason(monkeypatch):
    def broken(**options):
        raise AssertionError("Please make sure to use the IPA dictionary for MeCab")

    monkeypatch.setattr("nlpbench.evaluation.bleu_tokenizer.find_spec", lambda name: object())
    monkeypatch.setattr("sacrebleu.metrics.bleu.BLEU", broken)
    with pytest.raises(UserError, match="IPA dictionary"):
        Bleu(tokenize="ja-mecab").signature()


@pytest.mark.parametrize(
    ("metric", "options", "problem"),
    [
        (Bleu, {"tokenize": "13b"}, "did you mean 13a"),
        (Bleu, {"tokenize": "zh", "target_language": "zh"}, "leave one of them out"),
        (Bleu, {"target_language": "Chinese"}, "ISO 639-1"),
        (Bleu, {"target_language": "th"}, "no tokenizer of its own for Thai"),
        (Bleu, {"smooth_value": 0.5}, "floor and add-k only"),
        (Bleu, {"smooth_method": "floor", "smooth_value": 0.0}, "greater than 0"),
        (Bleu, {"max_ngram_order": 0}, "at least 1"),
        (Chrf, {"word_order": -1}, "at least 0"),
        (Chrf, {"char_order": 0}, "at least 1"),
        (Chrf, {"beta": 2.5}, "whole number"),
        (Ter, {"asian_support": True}, "beside normalized"),
        (Ter, {"lowercase": True}, "unknown key"),
    ],
)
def test_options_that_cannot_be_meant_so_are_refused(metric, options, problem):
    with pytest.raises(ValidationError) as told:
        metric.model_validate(options)
    [error] = told.value.errors()
    [found] = error["ctx"]["error"].problems
    assert problem in f"{found.message} {found.advice}"
