"""Customers: what is measured apart. The document this came with sets weights but no limits, so the run's hold."""

from pinchpoint.packs import Pack, Part

PACK = Pack(
    # Weights are those of CustomerAPIUser; AdminUser and RegularUser have their own (see `customers.py`).
    parts=(
        Part(
            name="Create Customer",
            endpoints=("/customers/create",),
            presses="POST /customers: one insert and a unique index, one writer at a time on SQLite",
            weight=3,
        ),
        Part(
            name="Get Customer",
            endpoints=("/customers/[id]",),
            presses="GET /customers/{id}: one row by its key",
            weight=4,
        ),
        Part(
            name="Update Customer",
            endpoints=("/customers/[id]/update",),
            presses="PUT /customers/{id}: one row and its entry in a unique index, one writer at a time on SQLite",
            weight=2,
        ),
        Part(
            name="Delete Customer",
            endpoints=("/customers/[id]/delete",),
            presses="DELETE /customers/{id}: one row by its key, one writer at a time on SQLite",
        ),
        Part(
            name="Get All Customers",
            endpoints=("/customers",),
            presses="GET /customers: up to 100 rows from anywhere, and the JSON made of them",
        ),
        Part(
            name="Create Invalid Customer",
            endpoints=("/customers/invalid",),
            presses="POST /customers: validation and its errors, without the database",
        ),
    ),
)
"""Judged by `pinchpoint run --scenario customers`."""
