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
from nlpbench.data.data_file import DataFile
from nlpbench.data.embedded import sample_names, sample_summary
from nlpbench.data.formats import READABLE, known_format, read_files, split_suffix
from nlpbench.data.origin import Original, Part
from nlpbench.data.parallel import choices, is_pattern, join, pair, split_language, unpacked
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
TEXTS_ABOUT_IT = {"readme", "license", "licence"}
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

    def formats(self) -> set[str]:
        """Those of the files of all splits, as far as they are known."""
        names = {name for names in self.chosen.values() for name in names}
        files = [file for name in names for file in self.groups[name]]
        return {kind for file in files if (kind := known_format(file, self.config))}

    def read(self, split: str) -> Original:
        names = self.chosen[split]
        refuse_ambiguous(names, split, self.name)
        files = [file for name in names for file in self.groups[name]]
        rows, counts = read_files(files, self.config)
        parts = [Part(file.place, count) for file, count in zip(files, counts, strict=True)]
        return Original(rows, tuple(parts))


def from_files(config: DataSection) -> FileSource:
    """A file or glob for each split."""
    groups: Groups = {}
    for split in SPLITS:
        pattern = getattr(config, split)
        if pattern is not None:
            groups[split] = find(pattern, f"data.{split}", config)
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
    files = [DataFile(path, name)] if path.exists() else find(name, "data.source", config)
    return FileSource(name, {"train": files}, {"train": ["train"]}, config)


def from_directory(config: DataSection, folder: Path, name: str) -> FileSource:
    """The splits of a directory, also laid out as the hub does (data/, a folder a subset)."""
    folders = [folder, folder / "data"]
    if config.subset is not None:
        folders = [folder / config.subset, folder / config.subset / "data", folder / "data"]
        if not folders[0].is_dir():
            folders = [folder / "data" / config.subset, folder]
    told = config.format is not None
    visible = [child for child in sorted(folder.iterdir()) if not child.name.startswith(".")]
    inner = [child for child in visible if child.is_dir() and collect(child, "", told)]
    if len(inner) == 1:
        folders.append(inner[0])
    found: list[Groups] = [collect(each, place_of(each, folder, name), told) for each in folders]
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
            f"nlpbench reads {READABLE}"
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


def collect(folder: Path, place: str, any_suffix: bool = False) -> Groups:
    """Data files by what they are called without suffix and shard number.

    Args:
        any_suffix: the config tells the format, so that suffixes need not.
    """
    groups: Groups = {}
    if not folder.is_dir():
        return groups
    stems: dict[str, list[str]] = {}
    texts: dict[str, list[tuple[str, DataFile]]] = {}  # of languages, by stem
    for path in sorted(folder.iterdir()):
        if path.name.startswith((".", "_")):
            continue
        inner_place = f"{place}/{path.name}"
        if path.is_dir():
            if split_of(path.name) and (inner := collect(path, inner_place, any_suffix)):
                groups[path.name] = [file for files in inner.values() for file in files]
            continue
        file = DataFile(path, inner_place)
        stem, format_name = split_suffix(path.name)
        if format_name is None and any_suffix:
            stem = unpacked(path.name)
        elif format_name is None:
            found = split_language(path.name)
            if found is not None and found[0].lower() not in TEXTS_ABOUT_IT:
                texts.setdefault(found[0], []).append((found[1], file))
            continue
        if stem not in DESCRIPTIONS and Path(stem).stem.lower() not in TEXTS_ABOUT_IT:
            group = re.sub(r"-\d{5}-of-\d{5}$", "", stem)
            groups.setdefault(group, []).append(file)
            stems.setdefault(group, []).append(stem)
    for stem, file in pair(texts, place).items():
        groups.setdefault(stem, []).append(file)
        stems.setdefault(stem, []).append(stem)
    for group, names in stems.items():
        if len(set(names)) < len(names):
            files = " and ".join(file.place.rpartition("/")[2] for file in groups[group])
            raise UserError(
                f"{place}: {files} are both called {group}; keep one of them, "
                "or leave out data.source and name a file for each split"
            )
    return groups


def find(pattern: str, key: str, config: DataSection) -> list[DataFile]:
    """The files that a name, a glob or a pattern such as train.{en,de} stands for."""
    if pattern.startswith("pkg://") and not is_pattern(pattern):
        return [DataFile(package_path(pattern, key), pattern)]
    if not is_pattern(pattern) or Path(pattern).expanduser().exists():
        return match(pattern, key)
    if glob.has_magic(pattern):
        raise UserError(f"{key}: {pattern} is a glob and a choice of languages; write one of them")
    sides = {}
    for language, name in choices(pattern, key).items():
        [sides[language]] = find(name, key, config)
        kind = split_suffix(name)[1] if config.format is None else config.format
        if kind not in (None, "txt"):
            raise UserError(
                f"{key}: {pattern}: {name} is {kind}, and only plain text is read as parallel text"
            )
    return [join(pattern, sides)]


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
