"""Statements as HTML and as text."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest

from rmttheory.studies.typeset import to_html, to_text
from rmttheory.theorem.claims import claims
from rmttheory.theorem.trained.predicates import PREDICATES


@pytest.mark.parametrize(
    ("latex", "text"),
    [
        (r"the error is $O(n^{-1/2})$", "the error is O(n^(−1/2))"),
        (r"$\sqrt{n/g}\,|v|_2$", "√(n/g) |v|_2"),
        (r"$\frac{a + b}{2}$", "(a + b)/2"),
        (r"$\frac{2}{|T|}\sum_s L$", "2/|T| Σ_s L"),
        (r"$\hat\theta(s) \to \theta_i$", "θ̂(s) → θ_i"),
        (r"$\langle \hat u, u\rangle^2$", "⟨û, u⟩^2"),
        (r"$\left(2 \Phi(u) - 1\right)^n$", "(2Φ(u) − 1)^n"),
        (r"$\{x_i\} \subseteq \mathrm{supp}\,S$", "{x_i} ⊆ supp S"),
        (r"$2 \log(n) \le x$", "2 log(n) ≤ x"),
        (r"costs \$5 and $x$", "costs $5 and x"),
        ("no formula, 100 % < 1", "no formula, 100 % < 1"),
    ],
)
def test_text(latex, text):
    assert to_text(latex) == text


@pytest.mark.parametrize(
    ("latex", "html"),
    [
        ("a < b & <script>", "a &lt; b &amp; &lt;script&gt;"),
        (r"$x < 1$", '<span class="math"><i>x</i> &lt; 1</span>'),
        (r"$v_s^2$", '<span class="math"><i>v</i>\u2060<sub><i>s</i></sub>\u2060<sup>2</sup></span>'),
        (r"$\text{</span>}$", '<span class="math">&lt;/span&gt;</span>'),
    ],
)
def test_html_is_escaped(latex, html):
    assert re.sub(r" (?=&[lg]t;)|(?<=&[lg]t;) ", "", to_html(latex)) == re.sub(
        r" (?=&[lg]t;)|(?<=&[lg]t;) ", "", html
    )


@pytest.mark.parametrize(
    "broken", ["$x^$", "$\\frac{a}$", "${{$", "$}$", "$\\sqrt$", "$_$", "$", "$$", "\\", "$\\$"]
)
def test_broken_formulas_do_not_stop_a_report(broken):
    to_html(broken)
    to_text(broken)


class Balance(HTMLParser):
    def __init__(self):
        super().__init__()
        self.open = []

    def handle_starttag(self, tag, attrs):  # noqa: ARG002
        self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


STATEMENTS = {f"{claim.id}": claim.statement for claim in claims()}
STATEMENTS |= {f"{claim.id}, source": claim.source for claim in claims()}
STATEMENTS |= {f"{c.id}, {h.id}": h.statement for c in claims() for h in c.hypotheses}
STATEMENTS |= {f"{c.id}/{name}": control.breaks for c in claims() for name, control in c.controls.items()}
STATEMENTS |= {predicate.id: predicate.statement for predicate in PREDICATES}


@pytest.mark.parametrize("statement", STATEMENTS.values(), ids=STATEMENTS)
def test_every_statement_of_the_package_is_understood(statement):
    """No command is left over: an unknown one would show as its bare name in the middle of a formula."""
    page = Balance()
    page.feed(to_html(statement))
    assert not page.open
    assert re.findall(r"[\\{}$]", to_html(statement)) == re.findall(r"(?<=\\)[{}]", statement)
    commands = re.findall(r"\\([A-Za-z]+)", statement)
    shown = to_text(statement)
    assert not [name for name in commands if len(name) > 3 and re.search(rf"\b{name}\b", shown)]
