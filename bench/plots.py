"""Plots for docs/explanation/performance.md from the newest results of each part, as SVG.

The same results make the same files, to the letter.
"""

import json
from pathlib import Path

import matplotlib
from matplotlib.figure import Figure

from tests.servers import CHECKOUT

RESULTS = Path(CHECKOUT, "bench", "results")
PLOTS = Path(CHECKOUT, "docs", "explanation", "performance")

#: One colour for each kind, whichever server; lines of daphne are dashed.
COLOURS = {
    "raw": "#777777",
    "bare": "#444444",
    "ours": "#1a7f37",
    "ours acking": "#54ae6b",
    "channels redis": "#b35900",
    "channels memory": "#e08a3c",
    "dcrf redis": "#8250df",
}


def newest():
    """Each part's newest result, by the part's name."""
    found = {}
    for path in RESULTS.glob("*.json"):
        result = json.loads(path.read_text())
        for part, value in result.items():
            if part in ("machine", "measured"):
                continue
            known = found.get(part)
            if known is None or known[0] < result["measured"]:
                found[part] = (result["measured"], value, result["machine"])
    return {part: (value, machine) for part, (_, value, machine) in found.items()}


def style(kind):
    name, _, server = kind.partition(" on ")
    return {
        "label": name if server == "none" else kind,
        "color": COLOURS[name],
        "linestyle": "--" if server == "daphne" else "-",
        "marker": "s" if server == "daphne" else "o",
        "markerfacecolor": "none" if server == "daphne" else COLOURS[name],
        "markersize": 5,
    }


def fanout(results, machine):
    """Clients against the CPU of a delivery."""
    figure, axes = sheet("Server CPU for each delivered event, one event a frame", machine)
    sizes = sorted(results, key=int)
    kinds = {kind: None for size in sizes for kind in results[size]["outside"]}
    for kind in kinds:
        measured = [size for size in sizes if kind in results[size]["outside"]]
        costs = [results[size]["outside"][kind]["microseconds"] for size in measured]
        axes.plot([int(size) for size in measured], costs, **style(kind))
    axes.set_xlabel("clients of one process")
    axes.set_ylabel("µs of CPU a delivery")
    axes.set_yscale("log")
    axes.set_xticks([int(size) for size in sizes])
    save(figure, axes, "fanout.svg")


def rates(results, machine):
    """Events a second against how soon everybody is current."""
    figure, axes = sheet("From a commit in another process to the client", machine)
    for kind, found in results.items():
        paces = sorted(found, key=int)
        for percentile, width in (("p50_ms", 2), ("p99_ms", 1)):
            drawn = {**style(kind), "linewidth": width}
            drawn["label"] += f", {percentile[:3]}"
            axes.plot(
                [int(one) for one in paces], [found[one][percentile] for one in paces], **drawn
            )
    axes.set_xlabel("events a second")
    axes.set_ylabel("milliseconds")
    axes.set_xscale("log")
    axes.set_yscale("log")
    save(figure, axes, "latency.svg")


def sheet(title, machine):
    figure = Figure(figsize=(8, 4.5), layout="constrained")
    axes = figure.subplots()
    axes.set_title(f"{title}\n{machine['cores']} cores, Python {machine['python']}", fontsize=11)
    axes.grid(alpha=0.3)
    return figure, axes


def save(figure, axes, name):
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter("{x:g}")
    axes.yaxis.set_minor_formatter("{x:g}")
    axes.tick_params(axis="y", which="minor", labelsize=6)
    axes.legend(fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))
    PLOTS.mkdir(exist_ok=True)
    figure.savefig(PLOTS / name, metadata={"Date": None})
    print(PLOTS / name)


def main():
    # Ids in the files come from this, else they were random.
    matplotlib.rcParams["svg.hashsalt"] = "django-databinding"
    matplotlib.rcParams["svg.fonttype"] = "none"
    found = newest()
    for draw in (fanout, rates):
        if draw.__name__ in found:
            draw(*found[draw.__name__])


if __name__ == "__main__":
    main()
