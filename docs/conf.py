"""How Sphinx builds the site of README.md, docs/ and notebooks/: `make report`. The source folder is the checkout.

The site asks no other host for anything. Formulas become MathML, by the extension `mathml` beside this file.
"""

import sys
from pathlib import Path

import edgecache

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE / "extensions"))

project = "edgecache"
author = "The edgecache developers"
version = release = edgecache.__version__
language = "en"
root_doc = "README"
include_patterns = ["*.md", "docs/**.md", "notebooks/*.ipynb", "data/README.md", "build/measured/*.md"]
exclude_patterns = [  # not even looked into
    ".*", "build/[!m]*", "data/profiles", "data/results", "edgecache", "figures", "notebooks/index.ipynb", "tests", "tools",
]  # fmt: skip

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "mathml", "contents"]
nb_execution_mode = "off"  # notebooks are committed as executed
nb_merge_streams = True
myst_enable_extensions = ["dollarmath", "amsmath"]
myst_heading_anchors = 3
suppress_warnings = ["ref.python"]  # a name that a room and its module both show
html_math_renderer = "mathml"
autodoc_member_order = "bysource"
autodoc_typehints = "none"  # the docstrings say what a parameter is
napoleon_numpy_docstring, napoleon_google_docstring = True, False
napoleon_use_rtype = False
napoleon_use_ivar = True
default_role = "code"

html_theme = "furo"
html_title = "edgecache"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_use_index = html_domain_indices = False
html_show_sourcelink = False
html_copy_source = False
html_show_copyright = False
pygments_style = "a11y-high-contrast-light"
pygments_dark_style = "a11y-high-contrast-dark"
