"""What was measured, as a page and as lines of a terminal."""

from __future__ import annotations

from typing import Any


def page(found: dict[str, Any]) -> str:
    """Markdown tables of everything in the JSON."""
    parts = [_about(found), _rows(found["rows"]), _growths(found["growths"]), _missing(found["left_out"])]
    return "\n\n".join(part for part in parts if part) + "\n"


def lines(row: dict[str, Any]) -> list[str]:
    """A task on a terminal."""
    ours = row["ours"]
    found = [f"{row['title']}: {seconds(ours['median'])}{_mib(ours['peak_mib'], ', {} MiB')}"]
    for other in row["against"]:
        name, time, ratio, pairs, mib = _cells(other)
        columns = f"{time:>10s}  {ratio + ' x':>28s}  {pairs:>2s} pairs"
        found.append(f"    {name:52s}{columns}{mib and f'  {mib} MiB'}")
    return found


def grown(task: dict[str, Any]) -> str:
    """The growth of a cost on a terminal."""
    title, sizes, exponent, error, there = _growth_cells(task)
    return f"{title}, {sizes}: exponent {exponent}, standard error {error}{there and f', {there}'}"


def seconds(value: float) -> str:
    """Three digits, in a unit that needs no more."""
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)):
        if value >= 0.9995 * size:
            return f"{_three(value / size)} {unit}"
    return f"{_three(value / 1e-9)} ns"


def _three(value: float) -> str:
    digits = f"{value:.3g}"
    return f"{float(digits):,.0f}" if "e" in digits else digits


def _mib(value: float | None, form: str = "{}") -> str:
    return "" if value is None else form.format(f"{value:.0f}" if value >= 10 else f"{value:.1f}")


def _ratio(facts: dict[str, float]) -> str:
    quartiles = f" ({_three(facts['low'])} – {_three(facts['high'])})"
    return _three(facts["median"]) + (quartiles if facts["low"] < facts["high"] else "")


def _cells(other: dict[str, Any]) -> list[str]:
    said = [other["name"]]
    if other["kind"] == "yardstick":
        said.append("a yardstick")
    if other["share"] < 1 and other["kind"] != "ours":
        said.append(f"{_three(100 * other['share'])} % timed")
    if other["difference"] is not None:
        said.append(f"differs by {other['difference']:.0e}")
    return [
        ", ".join(said),
        seconds(other["seconds"]["median"]),
        _ratio(other["ratio"]),
        str(other["pairs"] or ""),
        _mib(other["peak_mib"]),
    ]


def _about(found: dict[str, Any]) -> str:
    facts = found["environment"]
    quick = "**Small sizes and few pairs: these numbers show that the command works and nothing else.**\n\n"
    apart = ""
    if facts["scikit_rmt_interpreter"]:
        apart = f" scikit-rmt ran apart, with {_versions(facts['scikit_rmt_interpreter'])}."
    return (
        f"{quick if found['quick'] else ''}Measured on {facts['cores']} cores of {facts['processor']}, "
        f"{facts['system']}, Python {facts['python']}, with {_versions(facts['packages'])}; one BLAS "
        f"thread.{apart}"
    )


def _versions(packages: dict[str, str | None]) -> str:
    return ", ".join(f"{name} {there}" for name, there in packages.items() if there)


def _rows(rows: list[dict[str, Any]]) -> str:
    head = ("task", "rmttheory", "MiB", "against", "its time", "ratio (quartiles)", "pairs", "its MiB")
    table = [_line(head), _line(["---"] * len(head))]
    for row in rows:
        first = [row["title"], seconds(row["ours"]["median"]), _mib(row["ours"]["peak_mib"])]
        for other in row["against"] or [None]:
            table.append(_line(first + (_cells(other) if other else [""] * 5)))
            first = [""] * 3
    return "\n".join(table) if rows else ""


def _growths(growths: list[dict[str, Any]]) -> str:
    head = ("cost", "sizes", "exponent", "standard error", "extrapolated")
    table = [_line(head), _line(["---"] * len(head)), *(_line(_growth_cells(task)) for task in growths)]
    return "\n".join(table) if growths else ""


def _growth_cells(task: dict[str, Any]) -> list[str]:
    there = task.get("beyond")
    return [
        task["title"],
        f"{task['sizes'][0]:,} – {task['sizes'][-1]:,}",
        f"{task['exponent']:.2f}",
        f"{task['standard_error']:.2f}",
        f"{seconds(there['seconds'])} at {there['size']:,}" if there else "",
    ]


def _missing(left_out: dict[str, str]) -> str:
    return "\n".join(f"Left out: {name}. {why}" for name, why in left_out.items())


def _line(cells: Any) -> str:
    return "| " + " | ".join(cells) + " |"
