"""Groups of the products of topic `loans`, as the metrics add them up."""

from __future__ import annotations

OF_BANKS = ("CARD", "CONSUMER", "SME")
"""Found and funded by a bank alone."""
ALONE = ("BAITIAO", "WEILIDAI", *OF_BANKS)
"""One party finds the borrower and funds the loan."""
REFERRED = ("PARTNERSHIP", "COFINANCED")
"""A facilitator or marketplace finds the borrower for a bank, which lends."""
OF_PLATFORMS = ("BAITIAO", "WEILIDAI", "JOINT")
"""The platform is the lender, also where a bank puts in money."""
