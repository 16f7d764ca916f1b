"""A user's table of GPU cards, as CSV: name, memory, price and watts."""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from ..errors import InputError, unknown

COLUMNS = ("card", "memory_gb", "price", "watts")
_ROOT = Path(__file__).parents[1]
# a checkout keeps data/ beside the package, an installed wheel inside it
EXAMPLE = next((p for p in (_ROOT / "data/cards.csv", _ROOT.parent / "data/cards.csv") if p.exists()), _ROOT / "data/cards.csv")


@dataclass(frozen=True)
class Card:
    """A GPU card.

    Parameters
    ----------
    card : str
        Its name.
    memory_gb : float
        GPU memory, GB.
    price : float
        Price, in one currency for all cards.
    watts : float
        Power while it works, W.
    source : str
        Where these stand.

    Examples
    --------
    >>> Card("one", 8.0, 299.0, 115.0).memory_gb
    8.0
    """

    card: str
    memory_gb: float
    price: float
    watts: float
    source: str = ""


def read_cards(path: str | Path) -> list[Card]:
    """Read cards from a CSV file.

    Parameters
    ----------
    path : str or Path
        A file with the columns `card`, `memory_gb`, `price` and `watts`, and `source` if one likes.

    Returns
    -------
    list of Card

    Raises
    ------
    InputError
        One sentence with the file, the row (1 is the first below the header), the column and the value.

    Examples
    --------
    >>> read_cards(EXAMPLE)[0].memory_gb
    8.0
    """
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8-sig", skipinitialspace=True)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "it is no CSV file"
        raise InputError(f"cannot read the cards {path}: {reason}") from None
    for name in table.columns:
        if name not in (*COLUMNS, "source"):
            raise InputError(f"{path}, header: {unknown('column', name, (*COLUMNS, 'source'))}")
    missing = [name for name in COLUMNS if name not in table.columns]
    if missing or not len(table):
        lacks = f"the column {missing[0]!r} is missing" if missing else "there is no card"
        raise InputError(f"{path}: {lacks}; needed are {', '.join(COLUMNS)}")
    return [_card(path, number, row) for number, row in enumerate(table.to_dict("records"), start=1)]


def _card(path: str | Path, number: int, row: dict) -> Card:
    """The card of a row; raise InputError for a value that is no number above zero."""
    values = {}
    for name in COLUMNS[1:]:
        try:
            values[name] = float(row[name])
        except ValueError:
            values[name] = float("nan")
        if not 0 < values[name] < 1e9:
            raise InputError(f"{path}, row {number} ({row['card']}): {name} is {row[name]!r}; it must be a number above 0")
    return Card(row["card"], **values, source=row.get("source", ""))
