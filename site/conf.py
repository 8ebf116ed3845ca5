"""The website's settings; ``python -m tools.site`` gathers the pages and calls Sphinx."""

from docutils import nodes
from latex2mathml.converter import convert

from tools.retarget import read_target

target = read_target()

project = "fmcourse"
author = "the authors of fmcourse"
language = "en"
extensions = ["myst_nb", "sphinx_copybutton", "sphinx_design"]
exclude_patterns = ["_static"]

# The notebooks were executed before; links between pages are written as they are served.
nb_execution_mode = "off"
nb_merge_streams = True
myst_enable_extensions = ["colon_fence", "dollarmath"]
myst_all_links_external = True
myst_update_mathjax = False
html_math_renderer = "mathml"

html_theme = "sphinx_book_theme"
html_title = "fmcourse"
html_css_files = ["course.css"]
html_js_files = ["course.js"]
html_copy_source = False
html_use_index = False
html_show_sourcelink = False
html_theme_options = {
    "repository_url": f"https://github.com/{target.slug}",
    "repository_branch": target.ref,
    "path_to_docs": "notebooks",
    "use_repository_button": True,
    "use_issues_button": True,
    "use_download_button": False,
    "launch_buttons": {"colab_url": "https://colab.research.google.com"},
    "show_navbar_depth": 1,
    "extra_footer": f'<a href="https://github.com/{target.slug}/issues/new/choose">'
    "Report an error on this page</a>",
    "pygments_light_style": "a11y-high-contrast-light",
    "pygments_dark_style": "a11y-high-contrast-dark",
}


def _inline(writer, node):
    writer.body.append(convert(node.astext()))
    raise nodes.SkipNode


def _block(writer, node):
    writer.body.append(convert(node.astext(), display="block"))
    raise nodes.SkipNode


def setup(app):
    """Show formulas as MathML, which browsers draw without a script or a network."""
    app.add_html_math_renderer("mathml", (_inline, None), (_block, None))
