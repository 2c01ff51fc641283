"""One run as one HTML file: the photographs first, then the light, the plan, the time and the record."""

from prolight.report.page import render_report

__all__ = ["render_report"]
