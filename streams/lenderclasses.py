"""Classes of lenders, fixed in the world: TRADITIONAL_BANKS are the own products (CARD, CONSUMER, SME) of state,
joint-stock, city and rural banks; PLATFORMS are BAITIAO, WEILIDAI and JOINT, whoever lends. Partnership and co-financed
loans belong to neither, nor do the own products of private and internet banks.
"""

from __future__ import annotations

import numpy as np

from streams.loanproducts import OF_BANKS, OF_PLATFORMS
from streams.metric import Folded, Int64, World, totalled

ALL, TRADITIONAL_BANKS, PLATFORMS = "ALL", "TRADITIONAL_BANKS", "PLATFORMS"
TRADITIONAL = ("state-bank", "joint-stock-bank", "city-bank", "rural-bank")


class LenderClasses:
    """Cells by lender and product with the classes and ALL behind the lenders and ALL behind the products.

    lenders, products: names along the two axes. traditional: bool[lenders of the world].
    """

    def __init__(self, world: World, folded: Folded) -> None:
        """folded: any rollup by `lender` and `product`."""
        lenders = [str(lender) for lender in folded.symbols("lender")]
        products = [str(product) for product in folded.symbols("product")]
        self.lenders, self.products = [*lenders, TRADITIONAL_BANKS, PLATFORMS, ALL], [*products, ALL]
        self.traditional = np.array([world.kinds.get(lender) in TRADITIONAL for lender in lenders])
        own, platforms = (np.array([product in names for product in products]) for names in (OF_BANKS, OF_PLATFORMS))
        self._masks = (self.traditional[:, None] & own, np.ones_like(self.traditional)[:, None] & platforms)

    def of(self, cells: Int64) -> Int64:
        """int64[lenders, products, ...] of int64[lenders, products, ...] cells. Raises SumOverflow."""
        whole = totalled(cells, 0)
        masks = [mask.reshape(mask.shape + (1,) * (cells.ndim - 2)) for mask in self._masks]
        classes = [(cells * mask).sum(axis=0, keepdims=True) for mask in masks]
        return totalled(np.concatenate((cells, *classes, whole[-1:])), 1)


LABELS = """traditional AS (
    SELECT id AS lender FROM institutions WHERE kind IN ('state-bank', 'joint-stock-bank', 'city-bank', 'rural-bank')
), labels AS (
    SELECT lender, product, as_lender, unnest([product, 'ALL']) AS as_product FROM (
        SELECT lender, product, unnest(['ALL', lender] || CASE
            WHEN product IN ('CARD', 'CONSUMER', 'SME') AND lender IN (FROM traditional) THEN ['TRADITIONAL_BANKS']
            WHEN product IN ('BAITIAO', 'WEILIDAI', 'JOINT') THEN ['PLATFORMS'] ELSE [] END) AS as_lender
        FROM (SELECT DISTINCT lender, product FROM loans))
)"""
"""For a proof: `labels` (lender, product, as_lender, as_product), which rows a lender's loans of a product are in."""
