"""How Sphinx builds the site; `docs/build.py` lays out its pages."""

import os

import routerlab

METHODS = ("fit", "transform", "predict", "score", "partial_fit", "inverse_transform")
SKLEARNS = ["get_metadata_routing", "get_params", "set_params", "set_output", *(f"set_{m}_request" for m in METHODS)]

project = "routerlab"
author = "The routerlab developers"
version = release = os.environ.get("ROUTERLAB_VERSION", "")
extensions = ["sphinx.ext.autodoc", "sphinx.ext.autosummary", "numpydoc", "myst_nb", "sphinx_copybutton"]
root_doc = "index"
exclude_patterns = ["README.md"]
html_theme = "furo"
html_title = "routerlab"

nb_execution_mode = "off"  # the committed outputs are the ones that are checked
nb_mime_priority_overrides = [("html", "application/vnd.jupyter.widget-view+json", 90)]  # the static picture instead
myst_heading_anchors = 4
myst_enable_extensions = ["dollarmath"]
suppress_warnings = ["myst.header", "myst.xref_missing", "mystnb.mime_priority", "misc.highlighting_failure"]
default_role = "py:obj"
autodoc_default_options = {"exclude-members": ",".join(SKLEARNS)}
autodoc_typehints = "none"  # numpydoc's sections say the types
autosummary_generate = False
numpydoc_show_class_members = False
numpydoc_class_members_toctree = False
copybutton_prompt_text = ">>> |\\.\\.\\. "
copybutton_prompt_is_regexp = True

assert routerlab  # autodoc imports it; say so here rather than in the middle of a build
