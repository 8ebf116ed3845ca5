"""How does an executed notebook become a page that needs no network? nbconvert's template, without what it would load.

That template takes require.js, MathJax and Mermaid from a CDN and leaves alt texts out. Ours needs no JavaScript:
formulae become MathML, drawings are embedded, figures keep their descriptions.
"""

from __future__ import annotations

import base64
import copy
import html
import mimetypes
import re
from pathlib import Path

from latex2mathml.converter import convert
from nbconvert import HTMLExporter
from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath
from nbformat import NotebookNode

from tools.form import WIDGET_VIEW, normalize, read
from tools.retarget import ROOT

__all__ = ["index", "page"]

TEMPLATE = """{% extends 'lab/index.html.j2' %}
{% block html_head_js %}{% endblock %}
{% block html_head_js_mathjax %}{% endblock %}
{% block html_head_js_mermaidjs %}{% endblock %}
{% block data_png scoped %}<div class="jp-RenderedImage jp-OutputArea-output {{ extra_class }}"><img
 src="data:image/png;base64,{{ output.data['image/png'] | replace('\n', '') }}"
 alt="{{ (output | get_metadata('alt', 'image/png') or '') | escape_html }}"></div>{% endblock %}"""
NO_WIDGET = "<p><em>Run the notebook to use the widget that stands here.</em></p>"


def page(notebook: NotebookNode, title: str) -> str:
    """Return an executed notebook as one HTML page that needs no other file and no network."""
    exporter = _Pages(raw_template=TEMPLATE)
    shown = normalize(_without_widgets(notebook))
    text, _ = exporter.from_notebook_node(shown, resources={"metadata": {"name": title}})
    return re.sub(
        r'src="\.\./images/([^"]+)"',
        lambda match: f'src="{_embedded(ROOT / "images" / match[1])}"',
        text,
    )


def _embedded(image: Path) -> str:
    """Return an image file as an address that holds it; nbconvert embeds none from outside the notebook's folder."""
    return f"data:{mimetypes.guess_type(image)[0]};base64,{base64.b64encode(image.read_bytes()).decode()}"


def _without_widgets(notebook: NotebookNode) -> NotebookNode:
    """Return a copy with a sentence where a widget stood: its text form tells a reader nothing."""
    shown = copy.deepcopy(notebook)
    for output in (output for cell in shown.cells for output in cell.get("outputs", [])):
        if WIDGET_VIEW in output.get("data", {}):
            output.data = NotebookNode({"text/html": NO_WIDGET})
    return shown


class _Pages(HTMLExporter):
    """nbconvert's exporter with our markdown."""

    def default_filters(self):
        yield from super().default_filters()
        yield "markdown2html", _to_html


def _to_html(source: str) -> str:
    return MarkdownWithMath(renderer=_Markdown(escape=False)).render(source)


class _Markdown(IPythonRenderer):
    """Markdown whose formulae are MathML, and whose links lead to the pages beside it."""

    def inline_math(self, body: str) -> str:
        return convert(body)

    def block_math(self, body: str) -> str:
        return convert(body, display="block")

    def latex_environment(self, name: str, body: str) -> str:
        return self.block_math(f"\\begin{{{name}}}{body}\\end{{{name}}}")

    def link(self, text: str, url: str, title: str | None = None) -> str:
        return super().link(text, re.sub(r"^(?:\./)?(\w+)\.ipynb(?=#|$)", r"\1.html", url), title)

    def image(self, text: str, url: str, title: str | None = None) -> str:
        return text if url.startswith("http") else super().image(text, url, title)


def index(pages: list[Path]) -> str:
    """Return the page that leads to the others, each under its first heading."""
    rows = "\n".join(f'<li><a href="{p.name}">{html.escape(_heading(p))}</a></li>' for p in pages)
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>fmcourse</title>'
        "<style>body{font:18px/1.6 sans-serif;max-width:40em;margin:3em auto}</style></head>\n"
        f'<body><main><h1>The course, as executed</h1>\n<ol start="0">\n{rows}\n</ol></main></body></html>\n'
    )


def _heading(path: Path) -> str:
    notebook = ROOT / "notebooks" / f"{path.stem}.ipynb"
    found = (
        re.search(r"^# (.+)$", read(notebook).cells[0].source, re.MULTILINE)
        if notebook.exists()
        else None
    )
    return found[1].strip() if found else path.stem
