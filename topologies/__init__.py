"""The world as data: institutions, sources, levers and their dates, figures and the claims they answer.

>>> import topologies
>>> china = topologies.load("china")
>>> china.roster("payments")
('alipay', 'wechat-pay', 'unionpay', 'banks')
"""

from topologies.errors import Place, Problem, TopologyError
from topologies.levers import Lever, PolicySpec
from topologies.load import load, worlds
from topologies.model import Institution, Scale, Source, Span, Topology

__all__ = [
    "Institution",
    "Lever",
    "Place",
    "PolicySpec",
    "Problem",
    "Scale",
    "Source",
    "Span",
    "Topology",
    "TopologyError",
    "load",
    "worlds",
]
