"""Where the time goes: capture with py-spy, folded stacks, attribution to code, flame graphs."""
