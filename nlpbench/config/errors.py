"""The three ways a run can end badly, each with its exit code."""

from __future__ import annotations

from collections.abc import Sequence


class NlpbenchError(Exception):
    """An error that is told in one message, without a traceback."""

    exit_code = 3


class UserError(NlpbenchError):
    """A mistake in a config, in data or in arguments that the user can mend."""

    exit_code = 2


class ConfigError(UserError):
    """Every problem of one config, each on a line of its own."""

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = list(problems)
        super().__init__("\n".join(self.problems))


class RunError(NlpbenchError):
    """A run that started and could not be finished."""

    exit_code = 3
