"""Insurance tariffs: FastAPI, `async def` with a dependency. A premium is the sum over the months of a contract."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, FastAPI

from .settings import severity

MONTHS = round(35_000 * severity())

app = FastAPI(title="Tariffs")


@dataclass(frozen=True)
class Contract:
    """Who is insured, and how."""

    age: int
    smoker: bool


def contract(contract_id: int) -> Contract:
    """Return a contract by its number."""
    return Contract(20 + contract_id % 50, contract_id % 4 == 0)


def premium(insured: Contract, months: int) -> float:
    """Sum discounted monthly risk up; risk grows with age."""
    risk, discount, total = 0.0005 * insured.age * (1.6 if insured.smoker else 1.0), 1.0, 0.0
    for month in range(months):
        total += risk * discount
        discount *= 0.9985
        risk *= 1.0004 if month % 12 else 1.001
        risk = min(risk, 0.9)
    return total


@app.get("/")
async def home() -> dict[str, int]:
    """Say how long contracts last."""
    return {"months": MONTHS}


@app.get("/contracts/{contract_id}/premium")
async def show_premium(contract_id: int, insured: Annotated[Contract, Depends(contract)]) -> dict[str, float]:
    """Return what a contract costs."""
    return {"contract": contract_id, "premium": round(1000 * premium(insured, MONTHS), 2)}
