"""The apps of the fault zoo. Each is an ordinary small service; none knows its label."""
