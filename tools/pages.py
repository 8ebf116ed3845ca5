"""Turns an executed notebook into one page that needs no network, no JavaScript and no other file.

nbconvert's own template takes scripts from the network, leaves alt texts out, and cuts long
lines off.
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

from tools import ROOT
from tools.form import WIDGET_VIEW, digest, normalize, read

__all__ = ["heading", "index", "page", "sources_of"]

# Long lines scroll; colours reach a contrast of 4.5 on the ground they stand on.
CSS = """
.jp-InputArea, .jp-InputArea-editor, .jp-CodeMirrorEditor, .highlight pre, .jp-OutputArea pre {
  overflow-x: auto; }
.jp-InputPrompt, .jp-OutputPrompt { color: #595959 !important; opacity: 1 !important; }
.highlight [class^="c"] { color: #2f6464 !important; }
.highlight [class^="m"], .highlight .il { color: #006400 !important; }
.highlight [class^="o"] { color: #7a00c2 !important; }
.jp-RenderedHTMLCommon a, nav a { text-decoration: underline !important; }
nav { margin: 1em; }
"""
TEMPLATE = (
    """{% extends 'lab/index.html.j2' %}
{% block html_head_js %}{% endblock %}
{% block html_head_js_mathjax %}{% endblock %}
{% block html_head_js_mermaidjs %}{% endblock %}
{% block html_head_css %}{{ super() }}<style>"""
    + CSS
    + """</style>
<meta name="sources" content="{{ resources.metadata.sources }}">{% endblock %}
{% block body_header %}{{ super() }}<nav><a href="index.html">All notebooks</a></nav>{% endblock %}
{% block data_png scoped %}<div class="jp-RenderedImage jp-OutputArea-output {{ extra_class }}"><img
 src="data:image/png;base64,{{ output.data['image/png'] | replace('\n', '') }}"
 alt="{{ (output | get_metadata('alt', 'image/png') or '') | escape_html }}"></div>{% endblock %}"""
)
NO_WIDGET = "<p><em>Run the notebook to use the widget that stands here.</em></p>"
# nbconvert sorts the attributes.
SOURCES = re.compile(r'<meta content="(\w+)" name="sources"')


def page(notebook: NotebookNode, title: str) -> str:
    """Return an executed notebook as one HTML page that needs no other file and no network."""
    exporter = _Pages(raw_template=TEMPLATE)
    resources = {"metadata": {"name": title, "sources": digest(notebook)}}
    shown = normalize(_without_widgets(notebook))
    text, _ = exporter.from_notebook_node(shown, resources=resources)
    # A column without a name is no heading to a screen reader.
    text = text.replace("<th></th>", "<td></td>")
    # What scrolls can be reached with the keyboard.
    text = text.replace('hl-ipython3"><pre>', 'hl-ipython3"><pre tabindex="0">')
    return re.sub(r'src="\.\./images/([^"]+)"', _embedded, text)


def _embedded(match: re.Match) -> str:
    """Return an image's attribute with the image in it; nbconvert embeds only the folder's own."""
    image = ROOT / "images" / match[1]
    data = base64.b64encode(image.read_bytes()).decode()
    return f'src="data:{mimetypes.guess_type(image)[0]};base64,{data}"'


def _without_widgets(notebook: NotebookNode) -> NotebookNode:
    """Return a copy with a sentence where a widget stood: its text form tells a reader nothing."""
    shown = copy.deepcopy(notebook)
    for cell in shown.cells:
        for output in cell.get("outputs", []):
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


def heading(notebook: NotebookNode) -> str:
    """Return a notebook's title, without the sign before it."""
    lines = notebook.cells[0].source.splitlines() if notebook.cells else []
    return lines[0].lstrip("# ") if lines else ""


def sources_of(file: Path) -> str:
    """Return the digest of the sources that a page was made from, or nothing."""
    found = SOURCES.search(file.read_text(encoding="utf-8"))
    return found[1] if found else ""


def index(notebooks: list[Path]) -> str:
    """Return the page that leads to the pages of some notebooks, each under its title."""
    rows = ""
    for path in notebooks:
        rows += f'<li><a href="{path.stem}.html">{html.escape(heading(read(path)))}</a></li>\n'
    return f"""<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>fmcourse: all notebooks</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>body{{font:18px/1.6 sans-serif;max-width:40em;margin:3em auto;padding:0 1em}}</style></head>
<body><main><h1>A course on foundation models</h1>
<p>These pages show each notebook with its results. They need no network and no Python.</p>
<ul>
{rows}</ul></main></body></html>
"""
