"""The little LaTeX of statements as HTML that any browser shows and wraps, and as plain text."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from html import escape

_TOKEN = re.compile(r"\\[A-Za-z]+|\\.|[A-Za-z]|\s+|.", re.DOTALL)

_LETTERS = """
alpha α beta β gamma γ delta δ epsilon ε varepsilon ε eta η theta θ kappa κ lambda λ mu μ nu ν pi π rho ρ
sigma σ tau τ phi φ varphi φ psi ψ omega ω Gamma Γ Delta Δ Theta Θ Lambda Λ Sigma Σ Phi Φ Psi Ψ Omega Ω ell ℓ
infty ∞ cdot · pm ± mp ∓ langle ⟨ rangle ⟩ lVert ‖ rVert ‖ Vert ‖ | ‖ lvert | rvert | int ∫ partial ∂ nabla ∇
forall ∀ exists ∃ dots … ldots … cdots … top ⊤ circ ∘ star ∗ prime ′ { { } } % % _ _ & & # #
"""
_RELATIONS = """
le ≤ leq ≤ ge ≥ geq ≥ ne ≠ neq ≠ ll ≪ gg ≫ sim ~ approx ≈ equiv ≡ to → rightarrow → Rightarrow ⇒ in ∈
subset ⊂ subseteq ⊆ times × odot ⊙ mid | sum Σ prod Π
"""
_SPACES = {",": " ", ";": " ", ":": " ", " ": " ", "quad": "  ", "qquad": "  ", "!": ""}
_SIZES = dict.fromkeys(("left", "right", "big", "Big", "bigl", "bigr", "Bigl", "Bigr"), "")


def _pairs(text: str) -> dict[str, str]:
    words = text.split()
    return dict(zip(words[::2], words[1::2]))


_SYMBOLS = (
    _pairs(_LETTERS) | {name: f" {sign} " for name, sign in _pairs(_RELATIONS).items()} | _SPACES | _SIZES
)
_GLUE = "\u2060"
"""Keeps an index on the line of what it belongs to."""
_ACCENTS = {"hat": "\u0302", "widehat": "\u0302", "tilde": "\u0303", "bar": "\u0304", "dot": "\u0307"}
_WORDS = ("log", "exp", "max", "min", "sup", "inf", "lim", "tr", "arg", "Pr", "cos", "sin", "det", "rank")
_FONTS = ("mathcal", "mathbb", "mathbf", "mathit")
_UPRIGHT = ("mathrm", "text", "operatorname")


def to_html(text: str) -> str:
    """Return ``text`` for a page: what stands between dollar signs is typeset, everything is escaped."""
    return _render(text, _Html())


def to_text(text: str) -> str:
    """Return ``text`` for a terminal."""
    return _render(text, _Plain())


class _Html:
    def plain(self, text: str) -> str:
        return escape(text)

    def letter(self, text: str) -> str:
        return f"<i>{escape(text)}</i>"

    def raised(self, text: str) -> str:
        return f"{_GLUE}<sup>{text}</sup>"

    def lowered(self, text: str) -> str:
        return f"{_GLUE}<sub>{text}</sub>"

    def root(self, text: str) -> str:
        return f'√<span class="root">{text}</span>'

    def formula(self, text: str) -> str:
        return f'<span class="math">{text}</span>'


class _Plain(_Html):
    def plain(self, text: str) -> str:
        return text

    def letter(self, text: str) -> str:
        return text

    def raised(self, text: str) -> str:
        return "^" + _grouped(text)

    def lowered(self, text: str) -> str:
        return "_" + _grouped(text)

    def root(self, text: str) -> str:
        return "√" + _grouped(text)

    def formula(self, text: str) -> str:
        return text


def _grouped(text: str) -> str:
    return text if len(text) == 1 or text.isdigit() else f"({text})"


def _render(text: str, style: _Html) -> str:
    parts = re.split(r"(?<!\\)\$", text)
    return "".join(
        style.formula(_tidy(_Formula(part, style).all())) if i % 2 else style.plain(part.replace("\\$", "$"))
        for i, part in enumerate(parts)
    )


def _tidy(text: str) -> str:
    """Drop doubled spaces, and those after a sign that stands before one number."""
    return re.sub(r"(^|\(|<su[bp]>) ?− ", r"\1−", re.sub(" {2,3}(?! )", " ", text)).strip()


@dataclass
class _Formula:
    """Reads one formula from left to right."""

    source: str
    style: _Html

    def __post_init__(self) -> None:
        self.tokens = _TOKEN.findall(self.source)[::-1]

    def all(self, end: str = "") -> str:
        out = []
        while self.tokens and self.tokens[-1] != end:
            out.append(self.one())
        if self.tokens:
            self.tokens.pop()
        return "".join(out)

    def one(self) -> str:
        """Render one token with the arguments that it takes."""
        token = self.tokens.pop() if self.tokens else ""
        if token == "{":
            return self.all("}")
        if token == "^":
            return self.style.raised(self.argument())
        if token == "_":
            return self.style.lowered(self.argument())
        if token.startswith("\\"):
            return self.command(token[1:])
        if token.isspace():
            return ""
        if token in ("+", "-", "=", "<", ">"):
            return self.style.plain(f" {token.replace('-', '−')} ")
        if token == ",":
            return ", "
        return self.style.letter(token) if token.isalpha() else self.style.plain(token)

    def argument(self) -> str:
        while self.tokens and self.tokens[-1].isspace():
            self.tokens.pop()
        return self.one().strip()

    def raw(self) -> str:
        """Return the letters of a group as they stand."""
        letters = [self.tokens.pop()] if self.tokens else []
        while letters[:1] == ["{"] and letters[-1] != "}" and self.tokens:
            letters.append(self.tokens.pop())
        return "".join(letters).strip("{}")

    def command(self, name: str) -> str:
        if name == "frac":
            return f"{self.part()}/{self.part()}"
        if name == "binom":
            return f"C({self.argument()}, {self.argument()})"
        if name == "sqrt":
            return self.style.root(self.argument())
        if name in _ACCENTS:
            base = self.argument()
            return unicodedata.normalize("NFC", re.sub(r"(\w)(?=(</i>)?$)", rf"\1{_ACCENTS[name]}", base))
        if name in _FONTS:
            return self.argument()
        if name in _UPRIGHT:
            return self.style.plain(f" {self.raw()} ")
        if name in _WORDS:
            return self.style.plain(f" {name}" if self.tokens[-1:] == ["("] else f" {name} ")
        if name in ("sum", "prod"):
            symbol = self.style.plain(_SYMBOLS[name].strip())
            while self.tokens and self.tokens[-1] in ("_", "^"):
                symbol += self.one()
            return f" {symbol} "
        return self.style.plain(_SYMBOLS.get(name, name))

    def part(self) -> str:
        """Read one half of a fraction, in brackets where the slash would tear it."""
        text = self.argument()
        return f"({text})" if re.search(r" [+−=] ", text) else text
