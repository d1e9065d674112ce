"""Which rows of a table have costs that do not compare, since other hardware was measured."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from nlpbench.results.record import Record

MARKS = "†‡§¶"

Machine = tuple[str, str]


class Hardware:
    """The machines that measured the costs of records, the most common one first."""

    def __init__(self, records: Iterable[Record]) -> None:
        counts = Counter(machine for record in records if (machine := machine_of(record)))
        self.machines = [machine for machine, _ in counts.most_common()]

    def mark(self, record: Record) -> str:
        """What stands at the costs of a record; nothing on the most common machine."""
        machine = machine_of(record)
        return "" if machine is None else self._mark(self.machines.index(machine))

    @property
    def differs(self) -> bool:
        return len(self.machines) > 1

    @property
    def note(self) -> str:
        """Where the costs come from; empty if nowhere."""
        if not self.machines:
            return ""
        first, *others = [_told(machine) for machine in self.machines]
        if not others:
            return f"costs measured on {first}"
        told = [f"those with {self._mark(n)} on {machine}" for n, machine in enumerate(others, 1)]
        return f"costs measured on {first}, and {', '.join(told)}; they do not compare"

    @staticmethod
    def _mark(number: int) -> str:
        if number == 0:
            return ""
        return MARKS[number - 1] if number <= len(MARKS) else f"#{number}"


def machine_of(record: Record) -> Machine | None:
    """The device and its threads; None where nothing was measured."""
    device = record.efficiency.get("device")
    return None if device is None else (str(device), str(record.efficiency.get("threads") or ""))


def _told(machine: Machine) -> str:
    device, threads = machine
    plural = "" if threads == "1" else "s"
    return f"{device}{threads and f', {threads} thread{plural}'}"
