"""Write the page of all experiments from the records that their paper presets left in ``experiments/``."""

from __future__ import annotations

from pathlib import Path

from rmttheory.studies.experiments import read_record, table

HERE = Path(__file__).parent

_HEAD = """# The papers' experiments

What the papers report beside what was found here. Every number stands in a record,
`docs/experiments/NAME.json`, that the command under its table wrote; the same command with `--preset quick`
takes less than two minutes on one core. All of them together, with every other script in `simulations/`:
`bash .ci/nightly`, which prints the time of each.

"As the paper says" compares the sign or the size of the quantity in that row, as the row names it; a dash
means that the two cannot be compared, and the [gallery](gallery/index) says why.

| experiment | what was found |
|---|---|
"""


def write(path: Path) -> None:
    """Write the page, which holds every record in the order of its title."""
    records = sorted(
        (read_record(one) for one in (HERE / "experiments").glob("*.json")), key=lambda r: r["title"]
    )
    lines = [f"| [{r['title']}](#{_anchor(r['title'])}) | {r['verdict']} |" for r in records]
    text = _HEAD + "\n".join(lines) + "\n" + _without_record()
    for record in records:
        text += f"\n## {record['title']}\n\n{table(record)}\n\n"
        where = " and ".join(record["machines"])
        text += f"`{record['command']}`, {record['seconds']:,.0f} s of computing on {where}; "
        text += f"[figure and code](gallery/{record['experiment']}).\n"
    if not path.is_file() or path.read_text(encoding="utf-8") != text:
        path.write_text(text, encoding="utf-8")


def _without_record() -> str:
    """Name the experiments whose paper preset has left no record, so that nobody takes them for done."""
    scripts = sorted((HERE.parent / "simulations").glob("*.py"))
    names = [path.stem for path in scripts if "run_script" in path.read_text(encoding="utf-8")]
    missing = [f"`{name}`" for name in names if not (HERE / f"experiments/{name}.json").is_file()]
    if not missing:
        return ""
    listed = ", ".join(missing)
    return f"\nOnly quick presets were run so far of {listed}; what they find is not reported here.\n"


def _anchor(title: str) -> str:
    return "".join(c for c in title.lower().replace(" ", "-") if c.isalnum() or c in "-_")
