"""An OpenAPI document, and valid values of its schemas."""
