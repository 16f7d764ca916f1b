"""Write environment.yml, for conda, from pyproject.toml; with --check, only say whether it is up to date."""

import itertools
import re
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parent.parent
CONDA_NAMES = {"matplotlib": "matplotlib-base"}  # where conda-forge's name is another


def environment() -> str:
    """The text of environment.yml."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [
        *project["dependencies"],
        *itertools.chain(*(wanted for extra, wanted in project["optional-dependencies"].items() if extra != "torch")),
    ]
    lines = [f"python{project['requires-python']}", "pip"]
    for requirement in wanted:
        name, version = re.match(r"([\w.-]+)([^;]*)", requirement).groups()
        if ";" not in requirement:  # what has a marker is on PyPI alone
            lines.append(CONDA_NAMES.get(name, name) + version.strip())
    return "\n".join(
        [
            "# generated from pyproject.toml by `make environment`; tests check that it is up to date",
            "name: edgecache",
            "channels: [conda-forge]",
            "dependencies:",
            *(f'  - "{line}"' for line in lines),
            "  - pip:",
            "      - -e .",
            "",
        ]
    )


if __name__ == "__main__":
    file = ROOT / "environment.yml"
    if "--check" not in sys.argv:
        file.write_text(environment())
    elif file.read_text() != environment():
        sys.exit("environment.yml does not match pyproject.toml: run `make environment`")
