"""The pre-deployment checklist: what was measured, line by line."""
