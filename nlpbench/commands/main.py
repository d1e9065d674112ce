"""The `nlpbench` program: its commands, and what it says and returns when one fails."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from nlpbench.commands.calibrate import calibrate
from nlpbench.commands.check import check
from nlpbench.commands.compare import compare
from nlpbench.commands.compress import compress
from nlpbench.commands.env import env
from nlpbench.commands.evaluate import evaluate
from nlpbench.commands.finetune import finetune
from nlpbench.commands.gate import gate
from nlpbench.commands.init import init
from nlpbench.commands.listing import list_components
from nlpbench.commands.results import results
from nlpbench.commands.schema import schema
from nlpbench.commands.score import score
from nlpbench.commands.show import show

INTERRUPTED = 130

app = typer.Typer(
    name="nlpbench",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={
        "help_option_names": ["--help", "-h"],
        "token_normalize_func": lambda name: name.replace("_", "-"),
    },
)


def version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version as installed

        typer.echo(f"nlpbench {installed('nlpbench')}")
        raise typer.Exit


@app.callback()
def nlpbench(
    version: Annotated[
        bool,
        typer.Option("--version", callback=version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    """Fine-tune and evaluate NLP models, with numbers that hold.

    Exit codes: 0 done, 1 a gate failed, 2 a mistake in config, data or arguments, 3 the run failed.
    """


app.command("finetune")(finetune)
app.command("evaluate")(evaluate)
app.command("compress")(compress)
app.command("calibrate")(calibrate)
app.command("check")(check)
app.command("results")(results)
app.command("compare")(compare)
app.command("score")(score)
app.command("gate")(gate)
app.command("list")(list_components)
app.command("init")(init)
app.command("show")(show)
app.command("schema")(schema)
app.command("env")(env)


def main() -> None:
    """The entry point of the `nlpbench` script."""
    from nlpbench.config.errors import NlpbenchError

    try:
        app(prog_name="nlpbench")
    except NlpbenchError as error:
        _end(str(error).splitlines(), error.exit_code)
    except KeyboardInterrupt:
        from nlpbench.runs.launch import launched

        if not launched():
            print("interrupted; start it again to go on (finetune: with --resume)", file=sys.stderr)  # noqa: T201
        sys.exit(INTERRUPTED)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(0)
    except Exception as error:  # noqa: BLE001
        _tell_unforeseen(error)


def _tell_unforeseen(error: Exception) -> None:
    import logging
    import traceback

    from nlpbench.config.errors import RunError

    lines = str(error).strip().splitlines() or [""]
    note = ""
    if logging.getLogger("nlpbench").isEnabledFor(logging.DEBUG):
        traceback.print_exc()
    else:
        note = "run it again with --verbose for the traceback"
    _end([f"{type(error).__name__}: {lines[0]}"], RunError.exit_code, note)


def _end(lines: list[str], exit_code: int, note: str = "") -> None:
    """Tells the error that ends the program; of several processes, one tells it."""
    from nlpbench.runs.launch import end_at_once, tell_launcher

    if not tell_launcher("\n".join(lines), exit_code):
        for line in lines:
            print(f"error: {line}", file=sys.stderr)  # noqa: T201
        if note:
            print(note, file=sys.stderr)  # noqa: T201
    end_at_once(exit_code)
    sys.exit(exit_code)


if __name__ == "__main__":
    main()
