"""Credit limits and receivables as a portfolio.

The public names stand in ``__init__.pyi``; each is loaded when it is first used (SPEC 1), so that
``import credit_portfolio`` stays quick.
"""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
