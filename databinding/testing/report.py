"""What an oracle has seen."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from statistics import quantiles

from databinding.testing.program import Step


@dataclass
class Violation:
    """Something that must not happen, the program in which it did, and the client's last frames."""

    what: str
    seed: int
    steps: list[Step]
    frames: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        lines = [
            f"✗ {self.what}",
            f"  in the program of seed {self.seed}, {len(self.steps)} steps:",
        ]
        lines += [f"    {step}" for step in self.steps]
        if self.frames:
            lines += ["  the client's last frames:", *(f"    {frame}" for frame in self.frames)]
        return "\n".join(lines)


@dataclass
class Report:
    """Counts over all programs of a run. `check` raises if there were violations."""

    programs: int = 0
    writes: int = 0
    connections: int = 0
    resumed: int = 0
    snapshots: int = 0
    frames: int = 0
    #: Events and snapshots' rows that clients took.
    events: int = 0
    #: Writes that were tried again, by what the database said.
    retries: Counter[str] = field(default_factory=Counter)
    #: Writes given up, by what the database said.
    refused: Counter[str] = field(default_factory=Counter)
    #: Faults injected, by name; what becomes of single clients among them.
    faults: Counter[str] = field(default_factory=Counter)
    violations: list[Violation] = field(default_factory=list)
    #: Seconds from a commit to its arrival at each client that was listening, by what was wrong
    #: at the time, or shortly before ("": nothing).
    delays: dict[str, list[float]] = field(default_factory=dict)

    def check(self) -> None:
        """Raises `AssertionError` with everything, if anything was violated."""
        if self.violations:
            raise AssertionError("\n".join(map(str, [*self.violations, self])))

    def __str__(self) -> str:
        lines = [
            f"programs     {self.programs}",
            f"writes       {self.writes}, tried again: {_listed(self.retries)}, "
            f"refused: {_listed(self.refused)}",
            f"connections  {self.connections}, subscriptions resumed {self.resumed}, "
            f"with a snapshot {self.snapshots}",
            f"delivered    {self.events} events in {self.frames} frames",
            f"faults       {_listed(self.faults)}",
        ]
        for during, delays in sorted(self.delays.items()):
            name = f"during: {during}" if during else "undisturbed"
            lines.append(f"delay        {spread(delays)} ({name})")
        return "\n".join([*lines, f"violations   {len(self.violations)}"])


def spread(seconds: list[float]) -> str:
    """Median, 99th percentile and maximum of delays, in milliseconds, and how many there are."""
    if len(seconds) < 2:
        seconds = [*seconds, *seconds] or [0.0, 0.0]
    cuts = quantiles(seconds, n=100, method="inclusive")
    return (
        f"p50 {cuts[49] * 1000:.0f} ms, p99 {cuts[98] * 1000:.0f} ms, "
        f"max {max(seconds) * 1000:.0f} ms of {len(seconds)}"
    )


def _listed(counts: Counter[str]) -> str:
    total = counts.total()
    named = ", ".join(f"{name} {count}" for name, count in counts.most_common())
    return f"{total} ({named})" if total else "0"
