"""What other tools call our keys: transformers 4 and 5, and the transformers example scripts."""

from __future__ import annotations

_RENAMED = {
    # transformers 4 names that transformers 5 took away
    "evaluation_strategy": "training.eval_strategy",
    "warmup_ratio": "training.warmup_steps (a number below 1 is a ratio)",
    "group_by_length": "training.train_sampling_strategy: group_by_length",
    "torch_dtype": "training.precision",
    "fp16": "training.precision: fp16",
    "bf16": "training.precision: bf16",
    "half_precision_backend": "training.precision",
    "fp16_full_eval": "evaluation.precision: fp16",
    "bf16_full_eval": "evaluation.precision: bf16",
    "per_gpu_train_batch_size": "training.per_device_train_batch_size",
    "per_gpu_eval_batch_size": "evaluation.batch_size",
    "per_device_eval_batch_size": "evaluation.batch_size",
    "adafactor": "training.arguments: {optim: adafactor}",
    # names of the example scripts
    "model_name_or_path": "model.name_or_path",
    "model_name": "model.name_or_path",
    "config_name": "model.config",
    "tokenizer_name": "model.tokenizer",
    "model_revision": "model.revision",
    "dataset_name": "data.source",
    "dataset": "data.source",
    "dataset_config_name": "data.subset",
    "train_file": "data.train",
    "validation_file": "data.validation",
    "test_file": "data.test",
    "max_seq_length": "task.max_length",
    "max_seq_len": "task.max_length",
    "text_column_name": "task.text_column",
    "text_column_names": "task.text_column and task.text_pair_column",
    "label_column_name": "task.label_column",
    "task_name": "task.name",
    "do_regression": "task.problem_type: regression",
    "max_train_samples": "data.max_samples.train",
    "max_eval_samples": "data.max_samples.validation",
    "max_predict_samples": "data.max_samples.test",
    "metric_name": "evaluation.metrics",
    "metric": "evaluation.metrics",
    "output": "output_dir",
    "run_name": "output_dir",
    "data_seed": "seed",
    "epochs": "training.num_train_epochs",
    "lr": "training.learning_rate",
    "batch_size": "training.effective_batch_size, or evaluation.batch_size",
    "train_batch_size": "training.effective_batch_size",
    "patience": "training.early_stopping_patience",
}

_GONE = {
    "no_cuda": "nlpbench uses a GPU where there is one; hide it with CUDA_VISIBLE_DEVICES=''",
    "use_cpu": "nlpbench uses a GPU where there is one; hide it with CUDA_VISIBLE_DEVICES=''",
    "overwrite_output_dir": "nothing is overwritten: take another output_dir, or --resume",
    "do_train": "the command says it: nlpbench finetune, nlpbench evaluate",
    "do_eval": "the command says it: nlpbench finetune, nlpbench evaluate",
    "do_predict": "the command says it: nlpbench finetune, nlpbench evaluate",
    "logging_dir": "history.jsonl stands in the run directory",
    "save_safetensors": "models are always saved as safetensors",
    "pad_to_max_length": "batches are padded to their longest row",
    "trust_remote_code": "code from a model repository is never run",
    "use_auth_token": "set HF_TOKEN in the environment",
    "token": "set HF_TOKEN in the environment",
    "cache_dir": "set HF_HUB_CACHE in the environment",
    "use_fast_tokenizer": "the fast tokenizer is always taken where there is one",
    "preprocessing_num_workers": "rows are encoded by all cores, and once: the tokens are kept",
    "overwrite_cache": "what is cached is found by its content; rm -r ~/.cache/nlpbench clears it",
    "gradient_accumulation_steps": (
        "follows from training.effective_batch_size and training.per_device_train_batch_size"
    ),
    "auto_find_batch_size": (
        "write training.per_device_train_batch_size: auto; the effective batch stays as it is"
    ),
    "greater_is_better": "the direction is taken from the metric",
    "save_strategy": "a checkpoint is kept at each evaluation: training.eval_strategy",
    "save_steps": "a checkpoint is kept at each evaluation: training.eval_steps",
    "resume_from_checkpoint": "nlpbench finetune CONFIG --resume",
    "remove_unused_columns": "the task says which columns the model reads",
    "compute_loss_func": "the task defines its loss",
    "logging_strategy": "training.logging_steps",
    "logging_nan_inf_filter": "a loss that is not finite stops the run",
    "push_to_hub": "upload the model directory with hf upload",
    "label_names": "the task says which columns hold labels",
}

HINTS = {key: f"write {ours}" for key, ours in _RENAMED.items()} | _GONE
