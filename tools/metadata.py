"""Write CITATION.cff, codemeta.json and .zenodo.json from pyproject.toml and CHANGELOG.md; with --check, only compare.

CITATION.cff keeps what pyproject.toml does not know: the paper. The others follow from both.
"""

import json
import re
import sys
import tomllib
from pathlib import Path

import yaml

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
DOI = "https://doi.org/"


def released() -> str:
    """The date of this version, from the changelog. Raises LookupError where that does not have it."""
    heading = rf"^## {re.escape(PROJECT['version'])} \((\d{{4}}-\d\d-\d\d)\)$"
    found = re.search(heading, (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    if not found:
        raise LookupError(f"CHANGELOG.md has no heading '## {PROJECT['version']} (YYYY-MM-DD)'")
    return found[1]


def citation() -> str:
    """CITATION.cff with this version, its date, licence and keywords."""
    text = (ROOT / "CITATION.cff").read_text()
    values = {
        "version": PROJECT["version"],
        "date-released": released(),
        "license": PROJECT["license"],
        "keywords": f"[{', '.join(PROJECT['keywords'])}]",
    }
    for name, value in values.items():
        text = re.sub(rf"^{name}: .*$", f"{name}: {value}", text, flags=re.MULTILINE)
    return text


def paper() -> dict:
    """The paper, as CITATION.cff has it."""
    (reference,) = yaml.safe_load((ROOT / "CITATION.cff").read_text())["references"]
    return reference


def codemeta() -> dict:
    """The content of codemeta.json."""
    reference = paper()
    return {
        "@context": "https://w3id.org/codemeta/3.0",
        "type": "SoftwareSourceCode",
        "name": PROJECT["name"],
        "description": PROJECT["description"],
        "version": PROJECT["version"],
        "dateModified": released(),
        "license": f"https://spdx.org/licenses/{PROJECT['license']}",
        "author": [{"type": "Organization", "name": author["name"]} for author in PROJECT["authors"]],
        "keywords": PROJECT["keywords"],
        "programmingLanguage": {"type": "ComputerLanguage", "name": "Python"},
        "runtimePlatform": f"Python {PROJECT['requires-python']}",
        "operatingSystem": ["Linux", "macOS"],
        "softwareRequirements": PROJECT["dependencies"],
        "readme": "README.md",
        "referencePublication": {
            "type": "ScholarlyArticle",
            "name": reference["title"],
            "author": [{"type": "Person", "familyName": author["family-names"]} for author in reference["authors"]],
            "datePublished": str(reference["year"]),
            "isPartOf": {"type": "PublicationIssue", "name": reference["conference"]["name"]},
            "identifier": DOI + reference["doi"],
        },
    }


def zenodo() -> dict:
    """The content of .zenodo.json."""
    reference = paper()
    arxiv = next(entry["value"] for entry in reference["identifiers"] if entry["value"].startswith("arXiv:"))
    return {
        "title": yaml.safe_load((ROOT / "CITATION.cff").read_text())["title"],
        "description": PROJECT["description"],
        "upload_type": "software",
        "version": PROJECT["version"],
        "publication_date": released(),
        "license": PROJECT["license"].lower(),
        "creators": [{"name": author["name"]} for author in PROJECT["authors"]],
        "keywords": PROJECT["keywords"],
        "related_identifiers": [
            {"identifier": reference["doi"], "relation": "references", "scheme": "doi"},
            {"identifier": arxiv, "relation": "references", "scheme": "arxiv"},
        ],
    }


def main() -> None:
    """Write the files, or with --check leave with a sentence where one is out of date."""
    made = {
        "CITATION.cff": citation,
        "codemeta.json": lambda: json.dumps(codemeta(), indent=2) + "\n",
        ".zenodo.json": lambda: json.dumps(zenodo(), indent=2) + "\n",
    }
    for name, content in made.items():
        file = ROOT / name
        if "--check" not in sys.argv:
            file.write_text(content())
        elif not file.exists() or file.read_text() != content():
            sys.exit(f"{name} does not match pyproject.toml and CHANGELOG.md: run `make readme`")


if __name__ == "__main__":
    main()
