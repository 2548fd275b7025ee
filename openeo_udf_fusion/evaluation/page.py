"""Pieces of a self-contained HTML page: escaped text, tables, pictures. No script, nothing from elsewhere."""

import base64
from collections.abc import Sequence
from html import escape
from io import BytesIO

from matplotlib.figure import Figure

DPI = 160
STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem;
color: #1c1c1c; }
h1 { font-size: 1.7rem; } h2 { margin-top: 2.5rem; border-bottom: 2px solid #d55e00; }
h3 { margin-top: 1.8rem; }
table { border-collapse: collapse; font-size: 13px; font-variant-numeric: tabular-nums;
margin: .6rem 0 1.2rem; }
caption { text-align: left; font-weight: 600; padding: .3rem 0; }
th, td { padding: .15rem .55rem; text-align: right; border-bottom: 1px solid #ddd; }
th:first-child, td:first-child { text-align: left; } thead th { border-bottom: 2px solid #888; }
td.best { font-weight: 700; } td.loss { background: #fbe3e4; } td.win { background: #e5f3e8; }
figure { margin: 1rem 0 1.6rem; break-inside: avoid; } img { width: 100%; } figcaption { font-size: 13px; }
.verdicts td, .verdicts th { text-align: left; vertical-align: top; }
.columns { display: grid; grid-template-columns: 1fr 1fr; gap: 1.2rem; }
.columns > div { border: 1px solid #ccc; padding: .2rem 1rem; }
code { font-size: 12.5px; overflow-wrap: anywhere; } .note { font-size: 13px; color: #444; }
@media print { body { margin: 0; max-width: none; font-size: 11px; }
table { break-inside: avoid; font-size: 9px; } h2, h3 { break-after: avoid; } }
"""


class Cell(str):
    """Text of a table's cell that stands out: `mark` is "best", "win" or "loss"."""

    mark: str

    def __new__(cls, text: str, mark: str = "") -> "Cell":
        """Text with its mark."""
        cell = super().__new__(cls, text)
        cell.mark = mark
        return cell


def document(title: str, sections: Sequence[str]) -> str:
    """The whole page."""
    body = "\n".join([f"<h1>{escape(title)}</h1>", *sections])
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f"<title>{escape(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n{body}\n</body>\n</html>\n"
    )


def heading(text: str, level: int = 2) -> str:
    """A heading."""
    return f"<h{level}>{escape(text)}</h{level}>"


def paragraph(text: str, *, note: bool = False) -> str:
    """A paragraph, or one in small print."""
    kind = ' class="note"' if note else ""
    return f"<p{kind}>{escape(text)}</p>"


def bullets(lines: Sequence[str]) -> str:
    """A list of sentences."""
    return "<ul>" + "".join(f"<li>{escape(line)}</li>" for line in lines) + "</ul>"


def columns(*parts: str) -> str:
    """Parts of equal width side by side."""
    return '<div class="columns">' + "".join(f"<div>{part}</div>" for part in parts) + "</div>"


def table(caption: str, head: Sequence[str], rows: Sequence[Sequence[str]], kind: str = "") -> str:
    """A table of texts; a `Cell` brings its mark."""
    top = "".join(f"<th>{escape(name)}</th>" for name in head)
    lines = "".join(f"<tr>{''.join(cell(text) for text in row)}</tr>" for row in rows)
    label = f' class="{escape(kind)}"' if kind else ""
    above = f"<caption>{escape(caption)}</caption>" if caption else ""
    return f"<table{label}>{above}<thead><tr>{top}</tr></thead><tbody>{lines}</tbody></table>"


def cell(text: str) -> str:
    """One cell."""
    mark = text.mark if isinstance(text, Cell) else ""
    return f'<td class="{mark}">{escape(text)}</td>' if mark else f"<td>{escape(text)}</td>"


def picture(figure: Figure, caption: str) -> str:
    """A picture inside the page."""
    content = BytesIO()
    figure.savefig(content, format="png", dpi=DPI, metadata={"Software": None})
    data = base64.b64encode(content.getvalue()).decode("ascii")
    text = escape(caption)
    image = f'<img alt="{text}" src="data:image/png;base64,{data}">'
    return f"<figure>{image}<figcaption>{text}</figcaption></figure>"
