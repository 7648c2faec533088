"""What pushes: arrivals, the ramp, the load processes and their scenarios."""
