"""The cases of the fault zoo, one module per kind of resource: data only, which serves and starts nothing."""
