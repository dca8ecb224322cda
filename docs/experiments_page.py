"""Write the page of all experiments from the records that their paper presets left in ``experiments/``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rmttheory.studies.experiments import read_record, table

HERE = Path(__file__).parent

_HEAD = """# The papers' experiments

What the papers report beside what was found here. Every number stands in a record,
`docs/experiments/NAME.json`, that the command under its table wrote; the same command with `--preset quick`
takes less than two minutes on one core, and `--preset published`, where there is one, has the paper's own
sizes. All of them together, with every other script in `simulations/`: `bash .ci/nightly`, which prints the
time of each.

"As the paper says" compares the sign or the size of the quantity in that row, as the row names it; a dash
means that the two cannot be compared, and the [gallery](gallery/index) says why.

| experiment | what was found |
|---|---|
"""


def write(path: Path) -> None:
    """Write the page, which holds every record in the order of its title."""
    records = sorted((read_record(one) for one in (HERE / "experiments").glob("*.json")), key=_title)
    lines = [f"| [{_title(r)}](#{_anchor(_title(r))}) | {r['verdict']} |" for r in records]
    text = _HEAD + "\n".join(lines) + "\n" + _without_record()
    text += "".join(_results(record) for record in records if record["experiment"] == "arms")
    for record in records:
        text += f"\n## {_title(record)}\n\n{table(record)}\n\n"
        where = " and ".join(record["machines"])
        text += f"`{record['command']}`, {record['seconds']:,.0f} s of computing on {where}; "
        text += f"[figure and code](gallery/{record['experiment']}).\n"
    if not path.is_file() or path.read_text(encoding="utf-8") != text:
        path.write_text(text, encoding="utf-8")


def _results(record: dict[str, Any]) -> str:
    """Return the table of all networks, protocols and arms, with the claims that were tested on it."""
    lines = [
        "| data | network | protocol | arm | accuracy, % | seed sd | parameters | removed | over *none* |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for group in record["series"]["table"]:
        where = f"| {group['data']} | {group['net']} | {group['protocol']} "
        for arm, found in group["arms"].items():
            low, high = (100 * found["accuracy"][end] for end in ("low", "high"))
            line = f"{where}| {arm} | {100 * found['accuracy']['value']:.2f} [{low:.2f}, {high:.2f}] "
            line += (
                f"| {100 * found['sd']:.2f} | {found['parameters']:,.0f} | {100 * found['removed']:.1f} % | "
            )
            gain = {key: 100 * found["difference"][key] for key in ("value", "low", "high")}
            line += "-" if arm == "none" else "{value:+.2f} [{low:+.2f}, {high:+.2f}]".format(**gain)
            lines.append(f"{line} |")
    seen = {True: "yes", False: "no", None: "open"}
    claims = [
        f"| {row['quantity']} | {seen[row['agrees']]} |" for row in record["rows"] if row["paper"] == "yes"
    ]
    seeds = record["series"]["table"][0]["seeds"]
    return (
        f"\n## Table of results\n\nAccuracies in per cent and points, means of {seeds} seeds with intervals "
        "of 95 %; `python simulations/arms.py --record docs/experiments/arms.json` prints them from "
        f"`docs/experiments/arms.json`, which `{record['command']}` wrote.\n\n"
        + "\n".join([*lines, "", "| what the papers claim | seen everywhere |", "|---|---|", *claims, ""])
    )


def _without_record() -> str:
    """Name the experiments that have left no record, so that nobody takes them for done."""
    scripts = sorted((HERE.parent / "simulations").glob("*.py"))
    names = [path.stem for path in scripts if "run_script" in path.read_text(encoding="utf-8")]
    missing = [f"`{name}`" for name in names if not [*(HERE / "experiments").glob(f"{name}*.json")]]
    if not missing:
        return ""
    listed = ", ".join(missing)
    return f"\nOnly quick presets were run so far of {listed}; what they find is not reported here.\n"


def _title(record: dict[str, Any]) -> str:
    """Return the title, with the preset where it is that of the paper's own sizes."""
    return record["title"] + ("" if record["preset"] == "paper" else ", at the paper's sizes")


def _anchor(title: str) -> str:
    return "".join(c for c in title.lower().replace(" ", "-") if c.isalnum() or c in "-_")
