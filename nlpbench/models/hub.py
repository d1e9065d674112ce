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
    except Exception as error:  # tokenizers, for one, raises nothing narrower
        causes = list(_causes(error))
        if any(isinstance(cause, hub_errors.GatedRepoError) for cause in causes):
            raise UserError(
                f"the model {source.name} is gated: accept its terms on the hub and set HF_TOKEN"
            ) from error
        absent = (hub_errors.RepositoryNotFoundError, hub_errors.RevisionNotFoundError)
        if any(isinstance(cause, absent) for cause in causes):
            raise UserError(
                f"there is no model {source.name}"
                + (f" at revision {source.revision}" if source.revision else "")
                + " on the hub (or it is private: set HF_TOKEN), and no such directory here"
            ) from error
        unreached = (
            hub_errors.LocalEntryNotFoundError,
            hub_errors.OfflineModeIsEnabled,
            hub_errors.HfHubHTTPError,
        )
        if any(isinstance(cause, unreached) for cause in causes):
            why = "HF_HUB_OFFLINE is set" if HF_HUB_OFFLINE else "the hub cannot be reached"
            raise UserError(
                f"the {what} of {source.name} is not in the cache ({HF_HUB_CACHE}), and {why}; "
                f"where there is a connection, run: hf download {source.name} --local-dir DIR, "
                "bring DIR here and set model.name_or_path to it"
            ) from error
        raise UserError(
            f"the {what} of {source.directory or source.name} cannot be loaded: "
            f"{_first_line(error)}"
        ) from error


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0][:300] if lines else type(error).__name__
