"""The demo data that ships: it works with no network."""

import json
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from routerlab.datasets._dataset import Dataset
from routerlab.schema import check_judgments

REAL = (
    "real: responses of two models and of the authors of routerlab, who are AI agents, and their verdicts; "
    "see data/README.md"
)


@dataclass(frozen=True, repr=False)
class Demo(Dataset):
    """The demo data set: a simulated part and a real part, in tables of their own.

    Attributes
    ----------
    prompts : DataFrame of shape (868, 4)
        Written for routerlab: ``prompt``, ``intent`` (28), ``difficulty`` (1 to 5), ``language``.
    outcomes, judgments : DataFrame
        *Simulated*: six models with 'gpt-4' as baseline, and the votes of five raters.
    responses, verdicts : DataFrame
        *Real*: responses to 138 of the prompts, of two small open models and of this project's authors, who are AI
        agents, and these authors' verdicts on their pairs.
    """

    verdicts: pd.DataFrame = field(default_factory=pd.DataFrame)

    def __post_init__(self) -> None:
        """Check the verdicts as well, and list them among the tables."""
        object.__setattr__(self, "extra", {**self.extra, "verdicts": self.verdicts})
        super().__post_init__()
        object.__setattr__(self, "verdicts", check_judgments(self.verdicts, self.prompts))


def load_demo() -> Demo:
    """Load the demo data: prompts, simulated outcomes and votes, real responses and verdicts.

    Returns
    -------
    Demo
        ``prompts``, ``outcomes`` and ``judgments`` (simulated), ``responses`` and ``verdicts`` (real).
        Each table says which in ``attrs["provenance"]``.

    Notes
    -----
    The outcomes are not measurements of the models that they name: `data/README.md` says how they
    were simulated, and from which published averages and list prices.

    Examples
    --------
    >>> demo = load_demo()
    >>> demo.prompts.shape, demo.prompts["intent"].nunique()
    ((868, 4), 28)
    >>> demo.outcomes.attrs["provenance"].split(":")[0], demo.responses.attrs["provenance"].split(":")[0]
    ('simulated', 'real')
    """
    folder = _folder()
    note = json.loads((folder / "provenance.json").read_text(encoding="utf-8"))["provenance"]
    return Demo(
        name="routerlab demo",
        prompts=pd.read_json(folder / "prompts.jsonl", lines=True, dtype=False),
        outcomes=_table(pd.read_csv(folder / "outcomes.csv"), note),
        judgments=_table(pd.read_csv(folder / "judgments.csv"), note),
        responses=_table(pd.read_json(folder / "responses.jsonl", lines=True, dtype=False), REAL),
        verdicts=_table(pd.read_csv(folder / "verdicts.csv"), REAL),
        baseline="gpt-4",
        description="prompts written for routerlab; six models' outcomes and votes simulated; three's responses real",
        source="data/README.md, the datasheet",
        licence="CC0-1.0",
        notes=("outcomes and judgments are simulated, responses and verdicts are real: never mix the two",),
    )


def _table(frame: pd.DataFrame, provenance: str) -> pd.DataFrame:
    frame.attrs["provenance"] = provenance
    return frame


def _folder() -> Path:
    """Next to the code in a wheel, at the top of a checkout otherwise."""
    here = Path(__file__).parent
    for folder in (here / "demo", here.parents[1] / "data" / "demo"):
        if (folder / "prompts.jsonl").is_file():
            return folder
    msg = f"The demo data is not at {here / 'demo'}: this installation of routerlab is not whole. Install it again."
    raise FileNotFoundError(msg)
