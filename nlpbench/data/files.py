"""Finds the files that hold each split: a file, a glob, a directory, a package, a sample."""

from __future__ import annotations

import glob
import importlib.util
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from nlpbench.config.errors import UserError
from nlpbench.config.problems import show
from nlpbench.config.sections import DataSection
from nlpbench.data.embedded import sample_names, sample_summary
from nlpbench.data.formats import READABLE, DataFile, read_files, split_suffix
from nlpbench.data.origin import Original, Part
from nlpbench.data.split_names import SPLITS, choose, refuse_ambiguous, split_of

__all__ = [
    "FileSource",
    "from_directory",
    "from_files",
    "from_path",
    "package_path",
    "sample_names",
    "sample_summary",
]

# Files that describe a data set and are no rows of it.
DESCRIPTIONS = {"config", "dataset_dict", "dataset_info", "dataset_infos", "labels", "state"}
Groups = dict[str, list[DataFile]]


@dataclass(frozen=True)
class FileSource:
    """Splits made of files; `chosen` holds the names of the groups that make up each split."""

    name: str
    groups: Mapping[str, Sequence[DataFile]]
    chosen: Mapping[str, Sequence[str]]
    config: DataSection

    def available(self) -> list[str]:
        return list(self.chosen)

    def read(self, split: str) -> Original:
        names = self.chosen[split]
        refuse_ambiguous(names, split, self.name)
        files = [file for name in names for file in self.groups[name]]
        rows, counts = read_files(files, self.config.delimiter, self.config.column_names)
        parts = [Part(file.place, count) for file, count in zip(files, counts, strict=True)]
        return Original(rows, tuple(parts))


def from_files(config: DataSection) -> FileSource:
    """A file or glob for each split."""
    groups: Groups = {}
    for split in SPLITS:
        pattern = getattr(config, split)
        if pattern is not None:
            key = f"data.{split}"
            path = package_path(pattern, key) if pattern.startswith("pkg://") else None
            groups[split] = [DataFile(path, pattern)] if path else match(pattern, key)
            for file in groups[split]:
                if not file.path.exists():
                    raise missing(key, file.place, file.path)
    return FileSource("data", groups, {split: [split] for split in groups}, config)


def from_path(config: DataSection, path: Path, name: str) -> FileSource:
    """A file or a glob, which is the training split, or a directory."""
    if path.is_dir():
        return from_directory(config, path, name)
    for split in SPLITS:
        if getattr(config, split) is not None:
            raise UserError(
                f"data.{split}: {name} is not a directory, so it has no splits to name; "
                "leave out data.source and name a file for each split"
            )
    files = [DataFile(path, name)] if path.exists() else match(name, "data.source")
    return FileSource(name, {"train": files}, {"train": ["train"]}, config)


def from_directory(config: DataSection, folder: Path, name: str) -> FileSource:
    """The splits of a directory, also laid out as the hub does (data/, a folder a subset)."""
    folders = [folder, folder / "data"]
    if config.subset is not None:
        folders = [folder / config.subset, folder / config.subset / "data", folder / "data"]
        if not folders[0].is_dir():
            folders = [folder / "data" / config.subset, folder]
    inner = [child for child in sorted(folder.iterdir()) if child.is_dir() and collect(child, "")]
    if len(inner) == 1:
        folders.append(inner[0])
    found: list[Groups] = [collect(each, place_of(each, folder, name)) for each in folders]
    for groups in found:
        chosen = choose(groups, config, name) if groups else {}
        if chosen:
            return FileSource(name, groups, chosen, config)
    lone = [(group, files) for groups in found for group, files in groups.items()]
    if len(lone) == 1:
        return FileSource(name, {"train": lone[0][1]}, {"train": ["train"]}, config)
    if not lone:
        raise UserError(
            f"data.source: {name} holds no data files (looked in {folder.absolute()}); "
            f"nlpbench reads {READABLE}, each also .gz"
        )
    raise UserError(
        f"data.source: {name} holds no split train, validation or test "
        f"(files: {', '.join(group for group, _ in lone)}); "
        "leave out data.source and name a file for each split"
    )


def place_of(folder: Path, root: Path, name: str) -> str:
    """What messages call a folder inside the source."""
    inner = folder.relative_to(root).as_posix()
    return name.rstrip("/") + ("" if inner == "." else f"/{inner}")


def collect(folder: Path, place: str) -> Groups:
    """Data files by what they are called without suffix and shard number."""
    groups: Groups = {}
    if not folder.is_dir():
        return groups
    for path in sorted(folder.iterdir()):
        if path.name.startswith((".", "_")):
            continue
        if path.is_dir():
            if split_of(path.name) and (inner := collect(path, f"{place}/{path.name}")):
                groups[path.name] = [file for files in inner.values() for file in files]
            continue
        stem, format_name = split_suffix(path.name)
        if format_name is not None and stem not in DESCRIPTIONS and stem.lower() != "readme":
            group = re.sub(r"-\d{5}-of-\d{5}$", "", stem)
            groups.setdefault(group, []).append(DataFile(path, f"{place}/{path.name}"))
    for group, files in groups.items():
        formats = {split_suffix(file.path.name)[0] for file in files}
        if len(files) > 1 and len(formats) < len(files):
            names = " and ".join(file.path.name for file in files)
            raise UserError(
                f"{place}: {names} are both called {group}; keep one of them, "
                "or leave out data.source and name a file for each split"
            )
    return groups


def match(pattern: str, key: str) -> list[DataFile]:
    """The file of that name, or the files that a glob matches, sorted by name."""
    path = Path(pattern).expanduser()
    if path.is_dir():
        raise UserError(f"{key}: {pattern} is a directory where a file is due")
    if path.exists():
        return [DataFile(path, pattern)]
    if not glob.has_magic(pattern):
        raise missing(key, pattern, path)
    # Path.glob takes no absolute patterns.
    found = glob.glob(str(path), recursive=True)  # noqa: PTH207
    names = [name for name in found if Path(name).is_file()]
    if not names:
        raise UserError(f"{key}: no file matches {show(pattern)} (looked for {path.absolute()})")
    return [DataFile(Path(name), name) for name in sorted(names)]


def package_path(name: str, key: str = "data.source") -> Path:
    """The path that pkg://package/path stands for; the package is not imported."""
    package, _, inner = name.removeprefix("pkg://").partition("/")
    if not package.isidentifier():
        raise UserError(f"{key}: {name} is not of the form pkg://package/path")
    spec = importlib.util.find_spec(package)
    if spec is None:
        raise UserError(
            f"{key}: the package {package} of {name} is not installed; "
            f"pip install {package.replace('_', '-')}"
        )
    roots = [Path(root) for root in spec.submodule_search_locations or []]
    if not roots:
        raise UserError(f"{key}: {name}: {package} is a single module and holds no data files")
    found = next((root / inner for root in roots if (root / inner).exists()), None)
    if found is None:
        raise missing(key, name, roots[0] / inner)
    return found


def missing(key: str, name: str, path: Path) -> UserError:
    return UserError(f"{key}: no such file: {name} (looked for {path.absolute()})")
