"""The rows of the data sets of an evaluation, each read once however many models there are."""

from __future__ import annotations

from nlpbench.config.matrix import MatrixCell
from nlpbench.data.load import LoadedData
from nlpbench.runs import material as materials
from nlpbench.runs.material import Material
from nlpbench.runs.once import Once
from nlpbench.runs.scored_model import OpenedModel


class CellRows:
    """Reads rows when they are first asked for, and keeps them, or the error that this ended in."""

    def __init__(self) -> None:
        self._loaded: dict[str, Once[LoadedData]] = {}
        self._materials: dict[tuple[str, tuple[str, ...]], Once[Material]] = {}

    def load(self, cell: MatrixCell) -> LoadedData:
        """The rows of the scored split.

        Raises:
            UserError: data that cannot be read; the same at each call.
        """
        config = cell.config
        load = Once(lambda: materials.load_rows(config, [config.evaluation.split]))
        return self._loaded.setdefault(cell.data, load)()

    def material(self, cell: MatrixCell, opened: OpenedModel) -> Material:
        """The rows with the labels of a model that may be scored on them.

        They are labelled anew only for a model with other labels.

        Raises:
            UserError: a label that the model does not know, or rows that it was trained on.
        """
        config, data = cell.config, self.load(cell)
        materials.refuse_training_rows(config, data, opened.name)
        split = config.evaluation.split
        read = Once(lambda: materials.read(config, [split], opened.labels, data))
        return self._materials.setdefault((cell.data, tuple(opened.labels)), read)()
