"""One digest of all that a saved model is: weights, configuration, tokenizer."""

from __future__ import annotations

import hashlib
from pathlib import Path

from nlpbench.models import source as sources
from nlpbench.models.gguf import converted
from nlpbench.models.hub import told_clearly

READ = (".json", ".jinja", ".model", ".spm", ".txt", ".vocab")


def content_digest(name_or_path: str, revision: str | None = None) -> str:
    """`sha256:…` over the files that a model with its tokenizer is loaded from.

    Files that are only written, such as a README, do not count, nor does the place of the model.
    A model of the hub is told by its name and commit.

    Raises:
        UserError: as `sources.find`, and for a model of the hub that cannot be fetched.
    """
    source = converted(sources.find(name_or_path, revision))
    digest = hashlib.sha256()
    if source.directory is None:
        digest.update(f"{source.name}@{_commit(source)}".encode())
        return f"sha256:{digest.hexdigest()}"
    weights = sources.weight_files(source.directory)
    others = [
        path
        for path in source.directory.rglob("*")
        if path.is_file() and path.suffix in READ and path not in weights
    ]
    for file in sorted([*weights, *others]):
        digest.update(f"{file.relative_to(source.directory).as_posix()}\n".encode())
        with file.open("rb") as stream:
            digest.update(hashlib.file_digest(stream, "sha256").digest())
    return f"sha256:{digest.hexdigest()}"


def _commit(source: sources.ModelSource) -> str:
    from transformers.utils.hub import cached_file

    with told_clearly(source, "configuration"):
        file = cached_file(source.name, "config.json", revision=source.revision or "main")
    return Path(str(file)).parent.name  # snapshots are named after their commits
