"""What observes: the probe inside the workers, the sampler outside them, on one clock."""
