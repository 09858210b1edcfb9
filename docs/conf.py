"""How Sphinx makes the site from docs/: ``nox -s docs``. It asks no other machine for anything."""

from __future__ import annotations

import sys
from pathlib import Path

from sphinx.application import Sphinx

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

import reference  # noqa: E402  (beside this file)
import site_pages  # noqa: E402
from koa_middleware import __version__  # noqa: E402

project = "koa-middleware"
author = "The koa-middleware developers"
version = release = __version__
language = "en"

extensions = ["myst_nb", "numpydoc", "sphinx.ext.autodoc", "sphinx.ext.autosummary"]
exclude_patterns = ["_build"]
templates_path = ["_templates"]
nitpicky = True
nitpick_ignore_regex = [
    (r"py:.*", r"(sqlalchemy|astropy|pluggy|numpy|pathlib|datetime|collections)\..*"),  # have sites of their own
    (r"py:.*", r"PluginManager(\.\w+)?"),  # pluggy's
    (r"py:obj", r"[a-z_]+"),  # columns, settings and parameters, which stand below their class
]

myst_heading_anchors = 4
nb_execution_mode = "off"
nb_ipywidgets_js = {}  # it would come from elsewhere
suppress_warnings = ["misc.highlighting_failure"]  # of examples that "..." cuts short

autodoc_typehints = "none"
autodoc_member_order = "bysource"
autosummary_ignore_module_all = False
numpydoc_show_class_members = False
default_role = "autolink"

html_theme = "furo"
html_title = f"koa-middleware {version}"
html_copy_source = False
html_show_copyright = False
pygments_style = "a11y-high-contrast-light"
pygments_dark_style = "a11y-high-contrast-dark"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_js_files = ["site.js"]

linkcheck_ignore = [r"http://127\.0\.0\.1", r"http://localhost", r"https?://[\w.]*example(\.\w+)?"]


def setup(app: Sphinx) -> None:
    """Write the pages that are made, and resolve links that leave docs/."""
    site_pages.write(HERE / "_generated")
    reference.write(HERE / "_generated")
    app.connect("source-read", site_pages.resolve_links)
    app.connect("autodoc-process-docstring", reference.say_it_here)
