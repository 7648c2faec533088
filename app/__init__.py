"""What is measured: the reference service, its gunicorn configuration and its known faults."""
