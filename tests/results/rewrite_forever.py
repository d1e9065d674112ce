"""Rewrites a file, or a directory of files, over and over until it is killed; run by test_files."""

from __future__ import annotations

import itertools
import sys
from pathlib import Path

from nlpbench.results.files import new_directory, write_text

what, path = sys.argv[1], Path(sys.argv[2])
for number in itertools.count():
    text = f"{number % 10}" * 50_000 + "\n"
    if what == "file":
        write_text(path, text)
    else:
        with new_directory(path) as place:
            (place / "inner").mkdir()
            for name in ("a", "b", "inner/c"):
                (place / name).write_text(text, encoding="utf-8")
    if number == 1:
        sys.stdout.write("ready\n")
        sys.stdout.flush()
