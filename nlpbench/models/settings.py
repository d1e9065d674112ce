"""A copy of a saved model that differs in entries of its configuration alone."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nlpbench.models import adapted

# Weights in forms that nlpbench does not load, which lie beside the others on the hub.
OTHER_FORMS = ("*.bin", "*.h5", "*.msgpack", "*.onnx", "*.onnx_data", "*.ot", "*.tflite", "*.pt")


def copy_with(entries: Mapping[str, Any], source: Path, place: Path) -> None:
    """Copies a model's directory, and puts entries into its configuration.

    That of adapters is the one of their base, which stands beside them.

    Args:
        place: a directory that is there and empty.
    """
    ignored = shutil.ignore_patterns(*OTHER_FORMS)
    shutil.copytree(source, place, ignore=ignored, dirs_exist_ok=True)
    with_adapters = adapted.is_adapter(place)
    file = place / (adapted.BASE if with_adapters else "config.json")
    content = json.loads(file.read_text(encoding="utf-8"))
    (content["config"] if with_adapters else content).update(entries)
    text = json.dumps(content, indent=2, sort_keys=not with_adapters, ensure_ascii=False)
    file.unlink()  # a copy of a file without the right to write has none either
    file.write_text(text + "\n", encoding="utf-8")
