"""What this machine is doing, as named integers."""

import time

import psutil

MIB = 1024 * 1024
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


class Machine:
    """Reads the machine's gauges; what is counted becomes a rate since the reading before.

        machine = Machine()
        machine.read()  # {"cpu.percent": 12, "memory.used_mib": 5310, …}

    What this machine can't tell (a container without disks, say) is left out.
    """

    def __init__(self):
        psutil.cpu_percent()  # the first call only sets its mark
        self._counted, self._at = _answers(COUNTERS), time.monotonic()

    def read(self):
        """Return integers by name, in the units that the names say."""
        counted, now = _answers(COUNTERS), time.monotonic()
        seconds = max(now - self._at, 0.001)
        rates = {
            name: max(0, count - self._counted[name]) / 1000 / seconds  # a counter may start anew
            for name, count in counted.items()
            if name in self._counted
        }
        self._counted, self._at = counted, now
        return {name: round(value) for name, value in (_answers(GAUGES) | rates).items()}


def _answers(questions):
    answers = {}
    for name, ask in questions.items():
        try:
            answers[name] = ask()
        except (
            AttributeError,
            OSError,
            RuntimeError,
        ):  # psutil's ways to say: not here, or not now
            pass
    return answers
