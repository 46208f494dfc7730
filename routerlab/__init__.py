"""routerlab: from prompts and pairwise judgments to an LLM router you can trust.

Start with ``load_demo()`` and ``notebooks/00_quickstart.ipynb``. Importing this package reads no
data and opens no connection. The public names stand in ``__init__.pyi``; each is imported from its
module when it is first used: pandas, scipy and scikit-learn alone take longer than an import should.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
__all__ = sorted(__all__)
__version__ = "0.2.0.dev0"
