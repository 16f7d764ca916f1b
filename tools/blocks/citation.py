"""How to cite: BibTeX of the software and of the paper, from CITATION.cff."""

import yaml

from . import ROOT


def cite() -> str:
    """BibTeX of both."""
    software = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    (paper,) = software["references"]
    entries = (
        ("software", "edgecache", {
            "author": "{" + software["authors"][0]["name"] + "}",
            "title": "{" + software["title"] + "}",
            "year": software["date-released"].year,
            "version": software["version"],
        }),
        ("inproceedings", "liang2024resource", {
            "author": " and ".join(author["family-names"] for author in paper["authors"]),
            "title": "{" + paper["title"] + "}",
            "booktitle": paper["conference"]["name"],
            "year": paper["year"],
            "pages": f"{paper['start']}--{paper['end']}",
            "doi": paper["doi"],
        }),
    )  # fmt: skip
    text = "\n\n".join(
        f"@{kind}{{{key},\n" + "\n".join(f"  {name} = {{{value}}}," for name, value in fields.items()) + "\n}"
        for kind, key, fields in entries
    )
    return f"```bibtex\n{text}\n```"
