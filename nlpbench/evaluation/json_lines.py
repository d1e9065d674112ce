"""A file of one JSON object a line, each with its place."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from nlpbench.config.errors import UserError
from nlpbench.data.encoding import check_text, open_unpacked
from nlpbench.data.json_values import check_object


def json_lines(file: Path) -> list[tuple[str, dict[str, Any]]]:
    """The objects, each with `FILE:LINE`; blank lines are none.

    Raises:
        UserError: a file that cannot be read or holds no row, a damaged line.
    """
    check_text(file, str(file), "jsonl")
    rows = []
    with open_unpacked(file, str(file)) as stream:
        # Only \n ends a row: JSON allows U+2028 and the like inside strings.
        for number, line in enumerate(stream, start=1):
            if line.strip():
                place = f"{file}:{number}"
                rows.append((place, _parse(line, place)))
    if not rows:
        raise UserError(f"{file} holds no rows")
    return rows


def _parse(line: bytes, place: str) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except json.JSONDecodeError as error:
        raise UserError(f"{place} is damaged: {error.msg} at column {error.colno}") from error
    except (ValueError, RecursionError) as error:  # a number or a nest beyond all measure
        raise UserError(f"{place} is damaged: {error}") from error
    check_object(row, place, '{"id": …}')
    return row  # type: ignore[no-any-return]
