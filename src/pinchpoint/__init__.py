"""pinchpoint: find the load at which a Python web app breaks, and name the resource that breaks it."""

__version__ = "0.1.0"
