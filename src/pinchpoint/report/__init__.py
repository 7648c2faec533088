"""Outputs of a run: `report.json`, `report.md`, `report.html` and the terminal summary; each reads only the report."""
