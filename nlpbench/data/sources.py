"""What data.source means: files, a directory, a package, a sample, a saved or a hub data set, BEIR's."""

from __future__ import annotations

import glob
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from nlpbench.config.errors import UserError
from nlpbench.config.problems import show
from nlpbench.config.sections import DataSection
from nlpbench.data.beir import is_beir, open_beir
from nlpbench.data.embedded import sample_folder
from nlpbench.data.files import FileSource, from_files, from_path, missing, package_path
from nlpbench.data.formats import split_suffix
from nlpbench.data.hub import HubSource
from nlpbench.data.origin import Original, Part, Source
from nlpbench.data.parallel import is_pattern
from nlpbench.data.split_names import choose, refuse_ambiguous

if TYPE_CHECKING:
    import datasets

HUB_ID = re.compile(r"[\w-][\w.-]*(/[\w.-]+)?")


# Options that only files of one format follow.
OF_FORMAT = {"text_unit": "txt", "conll_columns": "conll"}


def open_source(config: DataSection) -> Source:
    source = find_source(config)
    refuse_idle_options(config, source)
    return source


def refuse_idle_options(config: DataSection, source: Source) -> None:
    """An option that nothing would follow is a mistake about the data."""
    formats = source.formats() if isinstance(source, FileSource) else set()
    for key, kind in OF_FORMAT.items():
        chosen = getattr(config, key) != DataSection.model_fields[key].default
        if chosen and kind not in formats:
            raise UserError(
                f"data.{key}: is for {kind} files, and {source.name} holds none; take the key away"
            )
    if config.format is not None and not isinstance(source, FileSource):
        raise UserError(
            f"data.format: is for single files and directories of them, and {source.name} "
            "tells its format itself; take the key away"
        )


def find_source(config: DataSection) -> Source:
    source = config.source
    if source is None:
        return from_files(config)
    if source.startswith("sample:"):
        folder = sample_folder(source.removeprefix("sample:"))
        return from_local(config, folder, source)
    if is_pattern(source) and not Path(source).expanduser().exists():
        return from_path(config, Path(source), source)
    if source.startswith("pkg://"):
        return from_local(config, package_path(source), source)
    path = Path(source).expanduser()
    if path.exists() or glob.has_magic(source):
        return from_local(config, path, source)
    if looks_like_a_path(source):
        raise missing("data.source", source, path)
    if not HUB_ID.fullmatch(source):
        raise UserError(
            f"data.source: {show(source)} is neither a path that exists "
            f"(looked for {path.absolute()}) nor a hub id such as stanfordnlp/sst2"
        )
    return HubSource(config)


def looks_like_a_path(source: str) -> bool:
    return source.startswith(("/", ".", "~")) or split_suffix(source)[1] is not None


def from_local(config: DataSection, path: Path, name: str) -> Source:
    if (path / "dataset_dict.json").is_file() or (path / "state.json").is_file():
        return open_saved(config, path, name)
    folder = path / config.subset if config.subset is not None else path
    if is_beir(folder):
        return open_beir(config, folder, name if folder == path else f"{name}/{config.subset}")
    return from_path(config, path, name)


@dataclass(frozen=True)
class SavedSource:
    """A directory that `datasets` wrote with save_to_disk."""

    name: str
    splits: Mapping[str, datasets.Dataset]
    chosen: Mapping[str, Sequence[str]]

    def available(self) -> list[str]:
        return list(self.chosen)

    def read(self, split: str) -> Original:
        refuse_ambiguous(self.chosen[split], split, self.name)
        import datasets

        rows = [self.splits[name] for name in self.chosen[split]]
        parts = [
            Part(f"{self.name} {name}", each.num_rows)
            for name, each in zip(self.chosen[split], rows, strict=True)
        ]
        return Original(
            rows[0] if len(rows) == 1 else datasets.concatenate_datasets(rows), tuple(parts)
        )


def open_saved(config: DataSection, path: Path, name: str) -> SavedSource:
    import datasets
    import pyarrow as pa

    try:
        saved = datasets.load_from_disk(path)
    except (OSError, ValueError, KeyError, pa.ArrowException) as error:
        reason = str(error).partition("\n")[0]
        raise UserError(
            f"data.source: {name} looks like a data set written by save_to_disk "
            f"and cannot be read ({reason})"
        ) from None
    if isinstance(saved, datasets.Dataset):
        saved = datasets.DatasetDict({"train": saved})
    splits = {split: rows.with_format(None) for split, rows in saved.items()}
    chosen = choose(splits, config, name)
    if not chosen:
        raise UserError(
            f"data.source: {name} holds no split train, validation or test "
            f"(splits: {', '.join(splits)}); name one with data.train"
        )
    return SavedSource(name, splits, chosen)
