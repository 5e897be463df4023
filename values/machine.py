"""What this machine is doing, as named values of four kinds."""

import platform
import time
from typing import NamedTuple

import psutil

MIB = 1024 * 1024


def _top_process():
    """The name of the process that took most of the processor since this was last asked."""
    busy = {process: process.cpu_percent() for process in psutil.process_iter(["name"])}
    return max(busy, key=busy.get).info["name"] or ""


def _temperature():
    return max(
        sensor.current for group in psutil.sensors_temperatures().values() for sensor in group
    )


# Integers.
GAUGES = {
    "cpu.percent": psutil.cpu_percent,
    "load.1min_x100": lambda: psutil.getloadavg()[0] * 100,
    "memory.percent": lambda: psutil.virtual_memory().percent,
    "memory.used_mib": lambda: psutil.virtual_memory().used / MIB,
    "disk.used_mib": lambda: psutil.disk_usage("/").used / MIB,
    "processes": lambda: len(psutil.pids()),
}
COUNTERS = {  # bytes, shown as kB per second
    "disk.read_kb_s": lambda: psutil.disk_io_counters().read_bytes,
    "disk.written_kb_s": lambda: psutil.disk_io_counters().write_bytes,
    "net.received_kb_s": lambda: psutil.net_io_counters().bytes_recv,
    "net.sent_kb_s": lambda: psutil.net_io_counters().bytes_sent,
}
DECIMALS = {
    # Of its own mark: `cpu_percent` counts from where it was last asked.
    "cpu.busy": lambda: 100 - psutil.cpu_times_percent().idle,
    "cpu.temperature": _temperature,
    "load.1min": lambda: psutil.getloadavg()[0],
    "load.15min": lambda: psutil.getloadavg()[2],
    "disk.percent": lambda: psutil.disk_usage("/").percent,
    "memory.swap_percent": lambda: psutil.swap_memory().percent,
    "power.battery": lambda: psutil.sensors_battery().percent,
    "system.uptime": lambda: (time.time() - psutil.boot_time()) / 3600,
}
STATES = {"power.on_battery": lambda: not psutil.sensors_battery().power_plugged}
TEXTS = {"cpu.top_process": _top_process, "system.kernel": platform.release}

_PERCENT = {"unit": "%", "minimum": 0, "maximum": 100}
_FULL = _PERCENT | {"warn_high": 80, "critical_high": 95}
_CORES = psutil.cpu_count() or 1
#: How to show them: fields of the models.
DESCRIPTIONS = {
    "cpu.percent": _FULL,
    "cpu.busy": _FULL | {"decimals": 1},
    "cpu.temperature": {"unit": "°C", "decimals": 1, "warn_high": 80, "critical_high": 95},
    "load.1min": {"warn_high": _CORES, "critical_high": 4 * _CORES},
    "memory.percent": _FULL,
    "memory.used_mib": {"unit": "MiB"},
    "memory.swap_percent": _PERCENT | {"decimals": 1, "warn_high": 80},
    "disk.percent": _FULL | {"decimals": 1},
    "disk.used_mib": {"unit": "MiB"},
    "disk.read_kb_s": {"unit": "kB/s"},
    "disk.written_kb_s": {"unit": "kB/s"},
    "net.received_kb_s": {"unit": "kB/s"},
    "net.sent_kb_s": {"unit": "kB/s"},
    "power.battery": _PERCENT | {"decimals": 0, "critical_low": 10, "warn_low": 25},
    "power.on_battery": {"warn_on": "yes"},
    "system.uptime": {"unit": "h", "decimals": 1},
    "feed.alive": {"critical_on": "no"},
}


class Readings(NamedTuple):
    """Values by name, in the units that names and `DESCRIPTIONS` say."""

    integers: dict[str, int]
    decimals: dict[str, float]
    states: dict[str, bool]
    texts: dict[str, str]


class Machine:
    """Reads the machine; what is counted becomes a rate since the reading before.

        machine = Machine()
        machine.read().integers  # {"cpu.percent": 12, "memory.used_mib": 5310, …}

    What this machine can't tell (a container without disks or a battery, say) is left out.
    """

    def __init__(self):
        # The first calls only set their marks.
        _answers({name: ask for name, ask in (GAUGES | DECIMALS | TEXTS).items() if "cpu" in name})
        self._counted, self._at = _answers(COUNTERS), time.monotonic()

    def read(self):
        counted, now = _answers(COUNTERS), time.monotonic()
        seconds = max(now - self._at, 0.001)
        rates = {
            name: max(0, count - self._counted[name]) / 1000 / seconds  # a counter may start anew
            for name, count in counted.items()
            if name in self._counted
        }
        self._counted, self._at = counted, now
        return Readings(
            {name: round(value) for name, value in (_answers(GAUGES) | rates).items()},
            {name: round(value, 2) for name, value in _answers(DECIMALS).items()},
            _answers(STATES),
            _answers(TEXTS),
        )


def _answers(questions):
    answers = {}
    for name, ask in questions.items():
        try:
            answers[name] = ask()
        except (
            AttributeError,
            OSError,
            RuntimeError,
            ValueError,  # nothing to take the largest of
            psutil.Error,
        ):  # psutil's ways to say: not here, or not now
            pass
    return answers
