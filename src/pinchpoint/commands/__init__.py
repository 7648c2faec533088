"""The composition root: the only place where load, collector, profiles, diagnosis and report meet."""
