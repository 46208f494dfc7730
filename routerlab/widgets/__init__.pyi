from ._browser import JudgmentBrowser as JudgmentBrowser
from ._comparator import PairComparator as PairComparator
from ._dashboard import LabelingDashboard as LabelingDashboard
from ._evidence_plot import EvidencePlot as EvidencePlot
from ._intents import IntentLabeler as IntentLabeler
from ._offer_explorer import OfferExplorer as OfferExplorer
from ._rater_page import RaterPage as RaterPage
