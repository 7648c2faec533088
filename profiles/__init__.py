"""Where the time goes: capture with py-spy, folded stacks, attribution to code, flame graphs."""

from pinchpoint.profiles.load import load_profiles

__all__ = ["load_profiles"]
