"""Draws the dashboards from what the live drill's queries returned (target/watch/drill.json) into docs/dashboards/.

These are plots of query results in the dashboards' own layout, not screenshots of Grafana: see tests/watch/draw.
"""

import json
import math
import re
import sys
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.colors import to_rgb
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
# The state in which figures and tables are shown, by dashboard. Graphs show the whole drill.
MOMENT = {"telltail-fleet": "on DERP", "telltail-target": "service down", "telltail-pod": "node down"}
# Grafana's names of colours, as its light theme shows them.
COLOURS = {"green": "#56a64b", "orange": "#ff9830", "red": "#e02f44", "blue": "#3274d9", "purple": "#a352cc", "yellow": "#f2cc0c",
           "transparent": "#ffffff"}
PALETTE = ["#56a64b", "#f2cc0c", "#3274d9", "#ff9830", "#e02f44", "#a352cc", "#37872d", "#b877d9", "#1f60c4", "#fa6400"]
COLUMN, ROW, GAP = 0.62, 0.36, 0.09  # inches


def colour(name):
    return COLOURS.get(name, name)


def shown(value, unit, decimals=None):
    """A value as Grafana writes it, near enough."""
    if value is None or math.isnan(value):
        return ""
    if unit == "percentunit":
        return f"{value * 100:.3g}%"
    if unit == "s":
        return f"{value:.3g} s" if value >= 1 or value == 0 else f"{value * 1e3:.3g} ms" if value >= 1e-3 else f"{value * 1e6:.3g} µs"
    if unit == "bytes":
        return f"{value / 2**20:.3g} MiB"
    if unit == "dateTimeFromNow":
        seconds = value / 1000 - NOW
        amount, word = next((abs(seconds) / size, word) for size, word in ((86400, "days"), (3600, "hours"), (60, "minutes"), (1, "seconds"))
                            if abs(seconds) >= size or size == 1)
        return f"in {amount:.0f} {word}" if seconds > 0 else f"{amount:.0f} {word} ago"
    return f"{value:.3g}" if decimals is None else f"{value:.{decimals}f}"


def legend(target, labels):
    form = target.get("legendFormat")
    return re.sub(r"{{ *(\w+) *}}", lambda m: labels.get(m[1], ""), form) if form else ", ".join(f"{k}={v}" for k, v in labels.items())


def threshold(defaults, value):
    steps = defaults.get("thresholds", {}).get("steps", [])
    return colour(next((step["color"] for step in reversed(steps) if step["value"] is None or value >= step["value"]), "#dddddd"))


def mapped(defaults, value):
    for mapping in defaults.get("mappings", []):
        found = mapping["options"].get(f"{value:g}")
        if found:
            return found["text"], colour(found["color"])
    return None


def properties(panel, name, ref):
    found = {}
    for override in panel["fieldConfig"]["overrides"]:
        matcher = override["matcher"]
        if matcher["options"] == (name if matcher["id"] == "byName" else ref):
            found.update({item["id"]: item["value"] for item in override["properties"]})
    return found


class Results:
    def __init__(self, drill):
        self.by = {(r["board"], r["panel"], r["ref"], r["state"]): r["series"] for r in drill["results"]}

    def of(self, board, panel, state):
        """Each query of a panel with its series."""
        for target in panel["targets"]:
            yield target, self.by[board, panel["title"], target["refId"], state if target["instant"] else None]


def points(series):
    return [(t - BEGAN, float("nan") if v is None else v) for t, v in series["points"]]


def lines(points):
    """Points with a gap wherever a sample is missing."""
    gapped, before = [], None
    for t, v in points:
        if before is not None and t - before > 2.5:
            gapped.append((before + 1, float("nan")))
        gapped.append((t, v))
        before = t
    return zip(*gapped) if gapped else ((), ())


def graph(axes, panel, queries):
    defaults = panel["fieldConfig"]["defaults"]
    unit, stacked = defaults["unit"], defaults["custom"]["stacking"]["mode"] != "none"
    drawn = [(target, series, legend(target, series["labels"])) for target, found in queries for series in found]
    if not drawn:
        return nothing(axes, panel)
    tops = {}
    for index, (target, series, name) in enumerate(drawn):
        own = properties(panel, name, target["refId"])
        tint = colour(own["color"]["fixedColor"]) if "color" in own else PALETTE[index % len(PALETTE)]
        times, values = map(list, lines(points(series)))
        dashed = "custom.lineStyle" in own
        if stacked and not dashed:
            base = [tops.get(t, 0) for t in times]
            top = [b + (0 if math.isnan(v) else v) for b, v in zip(base, values)]
            tops.update(zip(times, top))
            axes.fill_between(times, base, top, color=tint, alpha=0.55, linewidth=0, label=name)
        else:
            axes.plot(times, values, color=tint, linewidth=1.1, linestyle="--" if dashed else "-", label=name)
            isolated = [(t, v) for i, (t, v) in enumerate(zip(times, values)) if not math.isnan(v)
                        and all(math.isnan(values[j]) for j in (i - 1, i + 1) if 0 <= j < len(values))]
            if isolated:
                axes.plot(*zip(*isolated), ".", color=tint, markersize=2)
    if defaults["custom"].get("thresholdsStyle"):
        for step in defaults["thresholds"]["steps"][1:]:
            axes.axhline(step["value"], color=colour(step["color"]), linestyle=":", linewidth=1)
    axes.set_ylim(bottom=defaults.get("min", 0), top=defaults.get("max"))
    axes.yaxis.set_major_formatter(lambda value, _: shown(value, unit))
    axes.yaxis.set_major_locator(plt.MaxNLocator(4))
    axes.margins(x=0)
    over_time(axes)
    beside = panel["options"]["legend"]["placement"] == "right"
    where = {"loc": "upper left", "bbox_to_anchor": (1.005, 1.02)} if beside else {"loc": "upper center", "bbox_to_anchor": (0.5, -0.13), "ncols": 5}
    axes.legend(fontsize=5.5, frameon=False, handlelength=1, labelspacing=0.3, columnspacing=1, **where)


def over_time(axes):
    axes.set_xlim(0, ENDED - BEGAN)
    axes.tick_params(labelsize=5.5, length=2, pad=1)
    axes.xaxis.set_major_formatter(lambda t, _: f"{int(t) // 60}:{int(t) % 60:02d}")
    axes.axvline(NOW - BEGAN, color="#666666", linewidth=0.6, linestyle=(0, (2, 2)))
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    axes.grid(axis="y", color="#e8e8e8", linewidth=0.5)
    axes.set_axisbelow(True)


def timeline(axes, panel, queries):
    defaults = panel["fieldConfig"]["defaults"]
    rows = [(legend(target, series["labels"]), points(series)) for target, found in queries for series in found]
    if not rows:
        return nothing(axes, panel)
    for index, (_, row) in enumerate(rows):
        spans = []
        for t, v in row:
            if math.isnan(v):
                continue
            text, tint = mapped(defaults, v) or ("", threshold(defaults, v))
            if spans and spans[-1][2:] == [text, tint] and t - spans[-1][1] < 2.5:
                spans[-1][1] = t
            else:
                spans.append([t, t, text, tint])
        for begin, end, text, tint in spans:
            axes.barh(index, end - begin + 1, left=begin, height=0.85, color=tint, alpha=0.85, linewidth=0)
            if text and end - begin > 3.5 + len(text) * (ENDED - BEGAN) / 260:
                axes.text(begin + 0.7, index, text, fontsize=5.5, va="center", color="white")
    axes.set_yticks(range(len(rows)), [name for name, _ in rows])
    axes.invert_yaxis()
    over_time(axes)
    axes.grid(False)


def heatmap(axes, panel, queries):
    series = [s for _, found in queries for s in found]
    series.sort(key=lambda s: float(s["labels"]["le"]))
    if not series:
        return nothing(axes, panel)
    times = sorted({t for s in series for t, _ in points(s)})
    below = dict.fromkeys(times, 0)
    grid = []
    for s in series:
        values = dict(points(s))
        grid.append([max(0, values.get(t, 0) - below[t]) for t in times])
        below = {t: values.get(t, 0) for t in times}
    # As Grafana: what is nothing is left empty, and an exponent of a half.
    highest = max(max(row) for row in grid) or 1
    image = [[math.nan if v <= 1e-9 else (v / highest) ** 0.5 for v in row] for row in grid]
    axes.pcolormesh(times, range(len(series)), image, cmap="Oranges", vmin=0, vmax=1, shading="nearest")
    axes.set_yticks([i + 0.5 for i in range(len(series))], [s["labels"]["le"] + (" s" if s["labels"]["le"] != "+Inf" else "") for s in series])
    over_time(axes)


def stat(axes, panel, queries):
    defaults = panel["fieldConfig"]["defaults"]
    values = [(legend(target, s["labels"]) if target.get("legendFormat") else "", s["points"][-1][1], target["refId"]) for target, found in queries for s in found]
    axes.axis("off")
    if not values:
        return nothing(axes, panel)
    for index, (name, value, ref) in enumerate(values):
        own = {**defaults, **{k: v for k, v in properties(panel, name, ref).items() if k == "thresholds"}}
        text, tint = mapped(defaults, value) or (shown(value, defaults["unit"]), threshold(own, value))
        text = name if panel["options"]["textMode"] == "name" else text
        axes.axvspan(index / len(values), (index + 1) / len(values), color=tint, linewidth=0)
        dark = sum(to_rgb(tint)) < 2.2
        axes.text((index + 0.5) / len(values), 0.55, text, ha="center", va="center", fontsize=13 if len(text) < 10 else 8, color="white" if dark else "black", weight="bold")
        if name and text != name:
            axes.text((index + 0.5) / len(values), 0.2, name, ha="center", va="center", fontsize=5.5, color="white" if dark else "black")
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1)


def table(axes, panel, queries):
    axes.axis("off")
    organize = next(step["options"] for step in panel["transformations"] if step["id"] == "organize")
    several = len(panel["targets"]) > 1
    merged = {}
    for target, found in queries:
        for s in found:
            labels = {k: v for k, v in s["labels"].items() if not organize["excludeByName"].get(k)}
            row = merged.setdefault(json.dumps(labels, sort_keys=True), dict(labels))
            row[f"Value #{target['refId']}" if several else "Value"] = s["points"][-1][1]
    columns = [c for c in sorted(organize["indexByName"], key=organize["indexByName"].get) if not organize["excludeByName"].get(c)]
    if not merged:
        return nothing(axes, panel)
    names = [organize["renameByName"].get(c, c) for c in columns]
    rows = list(merged.values())
    for sort in panel["options"]["sortBy"]:
        key = columns[names.index(sort["displayName"])]
        rows.sort(key=lambda row: row.get(key) if row.get(key) is not None else -1, reverse=sort["desc"])
    widths = [max([len(n)] + [len(cell(panel, n, row.get(c))[0]) for row in rows]) + 2 for c, n in zip(columns, names)]
    left = [sum(widths[:i]) / sum(widths) for i in range(len(widths) + 1)]
    height = 1 / max(len(rows) + 1, 8)
    for i, name in enumerate(names):
        axes.text(left[i] + 0.004, 1 - height / 2, name, fontsize=6, va="center", color="#3274d9")
    for r, row in enumerate(rows[: int(1 / height) - 1]):
        y = 1 - (r + 1.5) * height
        for i, (c, n) in enumerate(zip(columns, names)):
            text, tint = cell(panel, n, row.get(c))
            if tint:
                axes.axvspan(left[i], left[i + 1], ymin=y - height * 0.45, ymax=y + height * 0.45, color=tint, linewidth=0)
            axes.text(left[i] + 0.004, y, text, fontsize=6, va="center")
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1)


def cell(panel, name, value):
    defaults = panel["fieldConfig"]["defaults"]
    own = properties(panel, name, None)
    if value is None:
        return own.get("noValue", ""), None
    if isinstance(value, str):
        return value, None
    tint = threshold({"thresholds": own["thresholds"]}, value) if "thresholds" in own else None
    return shown(value, own.get("unit", defaults["unit"]), own.get("decimals")), tint


def bargauge(axes, panel, queries):
    rows = [(legend(target, s["labels"]), s["points"][-1][1]) for target, found in queries for s in found]
    if not rows:
        return nothing(axes, panel)
    axes.barh([name for name, _ in rows], [value for _, value in rows], color="#3274d9", height=0.7)
    for index, (_, value) in enumerate(rows):
        axes.text(value, index, " " + shown(value, panel["fieldConfig"]["defaults"]["unit"]), fontsize=5.5, va="center")
    axes.invert_yaxis()
    axes.margins(x=0.12)
    axes.tick_params(labelsize=5.5, length=0)
    axes.set_xticks([])
    for side in ("top", "right", "bottom"):
        axes.spines[side].set_visible(False)


def nothing(axes, panel):
    axes.axis("off")
    axes.text(0.5, 0.5, panel["fieldConfig"]["defaults"]["noValue"], ha="center", va="center", fontsize=8, color="#888888", transform=axes.transAxes)


DRAW = {"timeseries": graph, "state-timeline": timeline, "heatmap": heatmap, "stat": stat, "table": table, "bargauge": bargauge}


def draw(board, results, marks, folder):
    name = board["uid"]
    height = max(p["gridPos"]["y"] + p["gridPos"]["h"] for p in board["panels"])
    width_in, height_in = 24 * COLUMN, height * ROW + 0.5
    figure = plt.figure(figsize=(width_in, height_in), facecolor="#f4f5f5")
    said = f"{board['title']} — plots of query results from the live drill, not a Grafana screenshot. Figures and tables: “{MOMENT[name]}” (dashed line)."
    figure.text(0.006, 1 - 0.25 / height_in, said, fontsize=8, va="center", weight="bold")
    for panel in board["panels"]:
        g = panel["gridPos"]
        x, top = g["x"] * COLUMN, height_in - 0.5 - g["y"] * ROW
        if panel["type"] == "row":
            figure.text((x + 0.08) / width_in, (top - ROW / 2) / height_in, panel["title"], fontsize=9, va="center", weight="bold")
            continue
        w, h = g["w"] * COLUMN - GAP, g["h"] * ROW - GAP
        figure.add_artist(plt.Rectangle((x / width_in, (top - h) / height_in), w / width_in, h / height_in, facecolor="white", edgecolor="#dddddd", linewidth=0.6, zorder=-1))
        figure.text((x + 0.06) / width_in, (top - 0.1) / height_in, panel["title"], fontsize=6.5, va="center", weight="bold")
        left, right, under = {"state-timeline": (2.3, 0.1, 0.2), "heatmap": (0.5, 0.1, 0.22), "timeseries": (0.5, 0.12, 0.42), "bargauge": (1.5, 0.1, 0.1)}.get(panel["type"], (0.05, 0.05, 0.05))
        if panel["type"] == "timeseries" and panel["options"]["legend"]["placement"] == "right":
            right, under = 2.4, 0.22
        axes = figure.add_axes([(x + left) / width_in, (top - h + under) / height_in, (w - left - right) / width_in, (h - under - 0.24) / height_in])
        axes.set_facecolor("white")
        DRAW[panel["type"]](axes, panel, list(results.of(name, panel, MOMENT[name])))
        if panel["type"] == "state-timeline":
            axes.tick_params(axis="y", labelsize=5.5, length=0)
    path = folder / f"{name}.png"
    figure.savefig(path, dpi=100)
    plt.close(figure)
    # So many colours are enough, and a third of the size.
    Image.open(path).convert("RGB").quantize(128, dither=Image.Dither.NONE).save(path, optimize=True)


drill = json.loads((ROOT / "target/watch/drill.json").read_text())
BEGAN, ENDED = drill["began"], drill["ended"]
folder = ROOT / "docs/dashboards"
folder.mkdir(exist_ok=True)
for path in sorted((ROOT / "dashboards").glob("*.json")):
    board = json.loads(path.read_text())
    NOW = next(r["time"] for r in drill["results"] if r["board"] == board["uid"] and r["state"] == MOMENT[board["uid"]])
    draw(board, Results(drill), drill["marks"], folder)
    print(f"docs/dashboards/{board['uid']}.png", file=sys.stderr)
