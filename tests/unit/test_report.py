"""What a run writes: pages that say the same as the verdicts, and nothing that a name could break."""

from __future__ import annotations

import dataclasses
import json
import re
from html.parser import HTMLParser

import pytest
from toy_claims import EXACT, TOYS

from rmttheory.studies import verification
from rmttheory.studies.records import Folder, NotWritten
from rmttheory.studies.report import RECONSTRUCTED, write_report
from rmttheory.studies.tables import HEADINGS, path_sentence, rows, summary, vacuous_sentences
from rmttheory.studies.verification import verify_controls, verify_suite
from rmttheory.theorem.claims import registry
from rmttheory.theorem.verdicts import Outcome

IDS = ("toy_exact", "toy_tail", "toy_vacuous", "toy_limit", "toy_exact/half")


@pytest.fixture(autouse=True)
def _toys(monkeypatch):
    for claim in TOYS:
        monkeypatch.setitem(registry(), claim.id, claim)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("report") / "out"
    with pytest.MonkeyPatch.context() as patch:
        for claim in TOYS:
            patch.setitem(registry(), claim.id, claim)
        result = verify_suite(IDS, seed=2, out=str(folder))
    return result, folder


class Page(HTMLParser):
    """Text, ids, links and images of a page; fails on tags that do not match."""

    VOID = ("meta", "link", "img", "br", "source")

    def __init__(self, html):
        super().__init__()
        self.stack, self.text, self.ids, self.links, self.resources = [], "", [], [], []
        self.feed(html)
        assert not self.stack

    def handle_starttag(self, tag, attrs):
        facts = dict(attrs)
        self.ids += [facts["id"]] if "id" in facts else []
        if tag == "a":
            self.links.append(facts["href"])
        self.resources += [facts[name] for name in ("src", "srcset") if name in facts]
        self.resources += [facts["href"]] if tag == "link" else []
        if tag not in self.VOID:
            self.stack.append(tag)

    def handle_endtag(self, tag):
        assert self.stack.pop() == tag, tag

    def handle_data(self, data):
        if not {"style", "script"} & set(self.stack):
            self.text += data


def test_a_run_leaves_all_its_files(finished):
    result, folder = finished
    assert result.status == 1  # the control among the ids is refuted
    names = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    figures = {
        f"figures/{name}.{kind}" for name in ("verdicts", "limits", "spectrum") for kind in ("png", "pdf")
    }
    assert names == figures | {
        "verdicts.json",
        "report.md",
        "report.html",
        "counterexamples/toy_exact.half.json",
    }


def test_the_document_holds_the_run(finished):
    result, folder = finished
    document = json.loads((folder / "verdicts.json").read_text())
    assert document["partial"] is False
    assert document["shares"] == len(IDS)
    assert document["verdicts"] == [verdict.to_dict() for verdict in result.run.verdicts]


def test_the_page_is_sound_and_whole(finished):
    result, folder = finished
    page = Page((folder / "report.html").read_text("utf-8"))
    assert len(page.ids) == len(set(page.ids))
    assert {link[1:] for link in page.links} <= set(page.ids)
    assert len(page.resources) == 7  # the icon, and three figures by day and by night
    assert all(resource.startswith("data:") for resource in page.resources)
    text = re.sub(r"\s+", " ", page.text)
    for row in rows(result.run.verdicts):
        for shown in row.texts:
            assert shown in text
        assert row.why in text
    assert summary(result.run.verdicts) in text
    assert RECONSTRUCTED in text
    assert "toy_vacuous says nothing at this size. It would begin to speak at width 25." in text
    assert "Reconstructed" in text


def test_markdown_tables_are_tables(finished):
    result, folder = finished
    lines = (folder / "report.md").read_text("utf-8").splitlines()
    start = lines.index(f"| {' | '.join(HEADINGS)} |")
    table = lines[start : start + 2 + len(result.run.verdicts)]
    assert {len(re.findall(r"(?<!\\)\|", line)) for line in table} == {len(HEADINGS) + 1}
    assert table[1].replace("-", "").replace("|", "") == ""
    assert lines[start + len(table)] == ""
    for name in re.findall(r"\]\((figures/[^)]*)\)", "\n".join(lines)):
        assert (folder / name).is_file()


def test_no_name_can_break_a_page(finished, tmp_path):
    result, _ = finished
    evil = "<script>alert('x')</script>|`*"
    verdicts = tuple(
        dataclasses.replace(v, why=evil, cell={"data": evil, "layer": evil}) for v in result.run.verdicts
    )
    write_report(dataclasses.replace(result.run, verdicts=verdicts), Folder(tmp_path))
    html = (tmp_path / "report.html").read_text("utf-8")
    Page(html)
    assert "<script" not in html
    assert "<script" not in (tmp_path / "report.md").read_text("utf-8")


def test_a_partial_run_says_so(finished, tmp_path):
    result, _ = finished
    write_report(dataclasses.replace(result.run, partial=True, verdicts=()), Folder(tmp_path))
    assert "was interrupted" in (tmp_path / "report.html").read_text("utf-8")
    assert "0 verdicts: nothing judged" in (tmp_path / "report.md").read_text("utf-8")


def test_what_is_left_out_stands_in_the_document_and_on_both_pages(tmp_path):
    from rmttheory.studies.grid import LeftOut

    result = verify_suite(["toy_exact"])
    rest = (LeftOut(claim="toy_tail", cell={"n": 10**6}, why="`n` must be smaller."),)
    run = dataclasses.replace(result.run, left_out=rest)
    assert "left_out" not in result.run.to_dict()
    assert run.to_dict()["left_out"] == [
        {"claim": "toy_tail", "cell": {"n": 10**6}, "why": "`n` must be smaller."}
    ]
    write_report(run, Folder(tmp_path))
    for name in ("report.html", "report.md"):
        assert "Left out: toy_tail. `n` must be smaller." in (tmp_path / name).read_text("utf-8")


def test_how_layers_were_drawn_is_said_where_there_was_a_choice():
    (verdict,) = verify_suite(["toy_exact"]).run.verdicts
    band, dense = (dataclasses.replace(verdict, path=path) for path in ("band", "dense"))
    assert path_sentence([verdict]) == ""
    assert path_sentence([verdict, band]) == "Layers were drawn without the matrix."
    assert path_sentence([verdict, dense]) == "Layers were drawn in full."
    assert path_sentence([band, dense, band]) == (
        "Layers were drawn without the matrix for 2 verdicts and in full for 1."
    )


def test_every_outcome_has_a_sentence_in_the_summary(finished):
    result, _ = finished
    assert summary(result.run.verdicts) == "5 verdicts: 1 certified, 2 consistent, 1 refuted, 1 vacuous"
    assert len(vacuous_sentences(result.run.verdicts)) == result.run.count(Outcome.VACUOUS) == 1


def test_interrupt_keeps_what_was_found(tmp_path, monkeypatch):
    def interrupted(works, **arguments):
        yield from list(verification_run(works, **arguments))[:2]
        raise KeyboardInterrupt

    verification_run = verification.run
    monkeypatch.setattr(verification, "run", interrupted)
    result = verify_suite(IDS, out=str(tmp_path))
    assert result.status == 130
    assert result.troubles == [
        f"Interrupted. The 2 verdicts reached before are kept in {tmp_path / 'verdicts.json'}."
    ]
    document = json.loads((tmp_path / "verdicts.json").read_text())
    assert document["partial"] is True
    assert [v["claim"] for v in document["verdicts"]] == list(IDS[:2])
    assert not (tmp_path / "report.html").exists()


def test_a_full_disk_costs_the_files_and_not_the_verdicts(tmp_path, monkeypatch):
    def full(*_):
        raise NotWritten("Cannot write x: no space left on device.")

    monkeypatch.setattr(Folder, "write", full)
    result = verify_suite(IDS, out=str(tmp_path))
    assert result.status == 2
    assert len(result.run.verdicts) == len(IDS)
    assert result.report is None
    assert result.troubles[0].startswith(
        "Error: Cannot write x: no space left on device. Verdicts are printed"
    )


def test_want_of_memory_is_a_sentence(monkeypatch):
    def hungry(*_, **__):
        raise MemoryError
        yield

    monkeypatch.setattr(verification, "run", hungry)
    result = verify_suite(IDS)
    assert result.status == 2
    assert "There is not enough memory" in result.troubles[0]


def test_counterexamples_of_several_cells_have_several_files(tmp_path, monkeypatch):
    broken = dataclasses.replace(
        EXACT, id="toy_broken", right=lambda _: 0.5, grids={"quick": ({"n": 8}, {"n": 9}, {"n": 10})}
    )
    monkeypatch.setitem(registry(), "toy_broken", broken)
    verify_suite(["toy_broken"], out=str(tmp_path))
    found = sorted(path.name for path in (tmp_path / "counterexamples").iterdir())
    assert found == ["toy_broken-2.json", "toy_broken-3.json", "toy_broken.json"]


def test_controls_are_all_refuted_or_counted():
    result = verify_controls(["toy_exact", "toy_tail"])
    assert result.all_refuted
    assert result.controls_sentence == "All 2 controls were refuted, as they must be."
    assert [v.claim for v in result.run.verdicts] == ["toy_exact/half", "toy_tail/often"]


def test_a_control_that_passes_is_not_hidden(monkeypatch):
    kept = {"kept": dataclasses.replace(EXACT.controls["half"], changes={})}
    monkeypatch.setitem(registry(), "toy_exact", dataclasses.replace(EXACT, controls=EXACT.controls | kept))
    result = verify_controls(["toy_exact"])
    assert not result.all_refuted
    assert result.controls_sentence == "1 of 2 controls were refuted; all of them must be."
