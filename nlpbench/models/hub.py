"""Turns the many errors of the model loading libraries into one that says what to do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from nlpbench.config.errors import UserError
from nlpbench.models.source import ModelSource


@contextmanager
def told_clearly(source: ModelSource, what: str) -> Iterator[None]:
    """Raises UserError for what a library says while it loads the `what` of a model."""
    from huggingface_hub import errors as hub_errors
    from huggingface_hub.constants import HF_HUB_CACHE, HF_HUB_OFFLINE

    try:
        yield
    except UserError:
        raise
    except (OSError, ValueError, KeyError, RuntimeError, ImportError, TypeError) as error:
        if source.directory is not None:
            raise UserError(
                f"the {what} of {source.directory} cannot be loaded: {_first_line(error)}"
            ) from error
        cause: BaseException | None = error
        while cause is not None:
            if isinstance(cause, hub_errors.GatedRepoError):
                raise UserError(
                    f"the model {source.name} is gated: accept its terms on the hub and set HF_TOKEN"
                ) from error
            if isinstance(
                cause, hub_errors.RepositoryNotFoundError | hub_errors.RevisionNotFoundError
            ):
                raise UserError(
                    f"there is no model {source.name}"
                    + (f" at revision {source.revision}" if source.revision else "")
                    + " on the hub (or it is private: set HF_TOKEN), and no such directory here"
                ) from error
            cause = cause.__cause__ or cause.__context__
        why = "HF_HUB_OFFLINE is set" if HF_HUB_OFFLINE else "the hub cannot be reached"
        raise UserError(
            f"the {what} of {source.name} is not in the cache ({HF_HUB_CACHE}), and {why}; where "
            f"there is a connection, run: hf download {source.name} --local-dir DIR, "
            "bring DIR here and set model.name_or_path to it"
        ) from error


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0][:300] if lines else type(error).__name__
