"""Write environment.yml, for conda, from pyproject.toml; with --check, only say whether it is up to date."""

import itertools
import re
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parent.parent
CONDA_NAMES = {"matplotlib": "matplotlib-base"}  # where conda-forge's name is another
FROM_PYPI = {"playwright", "axe-playwright-python"}  # conda-forge has them under another name or not at all


def environment() -> str:
    """The text of environment.yml: the core and every extra except torch."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    wanted = [*project["dependencies"], *itertools.chain(*(extras[extra] for extra in extras if extra != "torch"))]
    conda, pip = [f"python{project['requires-python']}", "pip"], ["-e ."]
    for requirement in dict.fromkeys(wanted):  # some packages serve several extras
        name, version = re.match(r"([\w.-]+)([^;]*)", requirement).groups()
        if name in FROM_PYPI or ";" in requirement:  # what has a marker is on PyPI alone
            pip.append(requirement)
        elif name != project["name"]:  # an extra may contain other extras
            conda.append(CONDA_NAMES.get(name, name) + version.strip())
    return "\n".join(
        [
            "# generated from pyproject.toml by `make environment`; tests check that it is up to date",
            "name: edgecache",
            "channels: [conda-forge]",
            "dependencies:",
            *(f'  - "{line}"' for line in conda),
            "  - pip:",
            *(f'      - "{line}"' for line in pip),
            "",
        ]
    )


if __name__ == "__main__":
    file = ROOT / "environment.yml"
    if "--check" not in sys.argv:
        file.write_text(environment())
    elif file.read_text() != environment():
        sys.exit("environment.yml does not match pyproject.toml: run `make environment`")
