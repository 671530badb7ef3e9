"""The report: what the paper says, what a run shows, and where it was read."""

from jinliu.report.findings import Finding, Report, assess, report
from jinliu.report.table import render

__all__ = ["Finding", "Report", "assess", "render", "report"]
