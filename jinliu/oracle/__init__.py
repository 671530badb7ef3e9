"""The proof: every final row recomputed from the raw topics by another path, and compared."""

from jinliu.oracle.compare import Difference, Verdict
from jinliu.oracle.errors import OracleError
from jinliu.oracle.proving import Progress, verify

__all__ = ["Difference", "OracleError", "Progress", "Verdict", "verify"]
