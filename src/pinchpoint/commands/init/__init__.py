"""`pinchpoint init`: a Locust file from an OpenAPI document."""
