"""What this machine is doing, as named integers."""

import time

import psutil

MIB = 1024 * 1024


class Machine:
    """Reads the machine's gauges; what is counted becomes a rate since the reading before.

        machine = Machine()
        machine.read()  # {"cpu percent": 12, "memory used MiB": 5310, …}

    A counter that this machine doesn't have (a container without disks, say) is left out. The
    first reading has no rates.
    """

    def __init__(self):
        psutil.cpu_percent()  # the first call only sets its mark
        self._counted = {}
        self._at = 0.0

    def read(self):
        """Return the gauges by name, in the units that the names say."""
        memory = psutil.virtual_memory()
        return {
            "cpu percent": round(psutil.cpu_percent()),
            "load 1 min x100": round(psutil.getloadavg()[0] * 100),
            "memory used MiB": memory.used // MIB,
            "memory percent": round(memory.percent),
            "disk used MiB": psutil.disk_usage("/").used // MIB,
            "processes": len(psutil.pids()),
        } | self._rates()

    def _rates(self):
        """Return what grew since the last call, in kB per second (a counter may start anew)."""
        now, counted = time.monotonic(), {}
        if disk := psutil.disk_io_counters():
            counted["disk read kB/s"] = disk.read_bytes
            counted["disk write kB/s"] = disk.write_bytes
        if net := psutil.net_io_counters():
            counted["net received kB/s"] = net.bytes_recv
            counted["net sent kB/s"] = net.bytes_sent
        rates = {
            name: max(0, round((count - self._counted[name]) / 1000 / (now - self._at)))
            for name, count in counted.items()
            if name in self._counted and now > self._at
        }
        self._counted, self._at = counted, now
        return rates
