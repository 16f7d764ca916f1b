"""Build the static site of README.md, docs/ and the notebooks into build/report/, by Sphinx; for any browser, without a network.

A warning stops the build. The site is put in place whole or not at all.
"""

import os
import sys
import tempfile
from contextlib import redirect_stderr
from io import StringIO
from pathlib import Path

from report_machine import write_page

from edgecache.errors import InputError

ROOT = Path(__file__).parent.parent
DOCTREES = "build/doctrees"


def build(out: Path, root: Path) -> None:
    """Build the site of the checkout `root` into `out`, which is replaced once everything is there.

    Raises InputError with Sphinx's first warning or error.
    """
    for folder in ("docs", "notebooks", "figures", "data/results"):
        if not (root / folder).is_dir() or not any((root / folder).iterdir()):
            raise InputError(f"there is nothing in {root / folder}: the report needs a whole checkout")
    write_page(root / "build/profile/profile.csv", root / "build/measured")
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="report-", dir=out.parent) as folder:
        site = Path(folder) / "new"
        _sphinx(root, site)
        if out.exists():
            out.rename(Path(folder) / "old")
        site.rename(out)


def _sphinx(root: Path, site: Path) -> None:
    """Run Sphinx. What it has read before is kept in build/doctrees."""
    try:
        from sphinx.cmd.build import build_main
    except ModuleNotFoundError as missing:
        raise InputError(f"the report needs {missing.name}, which is not installed: pip install 'edgecache[docs]'") from None
    said = StringIO()
    with redirect_stderr(said):
        code = build_main(["-q", "-W", "-c", str(root / "docs"), "-d", str(root / DOCTREES), str(root), str(site)])
    lines = [line.strip() for line in said.getvalue().splitlines() if line.strip()]
    if code:
        told = [line for line in lines if "WARNING" in line or "rror" in line] or lines or ["Sphinx failed without a word"]
        raise InputError(told[0])


def main() -> None:
    """Build it; what is missing or wrong is one sentence on standard error and exit code 2."""
    os.environ["TQDM_DISABLE"] = "1"
    try:
        build(ROOT / "build/report", ROOT)
    except (InputError, OSError) as error:
        message = f"{error.filename}: {error.strerror}" if isinstance(error, OSError) else error
        print(f"report: {message}", file=sys.stderr)
        sys.exit(2)
    print(ROOT / "build/report/index.html")


if __name__ == "__main__":
    main()
