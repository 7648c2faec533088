"""Repayment plans of loans: FastAPI, `async def`. Every plan is computed to the last rate when it is asked for."""

from functools import cache

from fastapi import FastAPI, HTTPException

from .settings import cured, severity

RATES = round(9_000 * severity())
LOANS = 500

app = FastAPI(title="Loans")


def repayment(amount: float, yearly_percent: float, rates: int) -> dict[str, float]:
    """Pay an annuity back, rate by rate, rounded to cents as banks do; return what it cost."""
    monthly = yearly_percent / 1200 / 100
    annuity = amount * monthly / (1 - (1 + monthly) ** -rates)
    left, interest_paid, paid = amount, 0.0, 0.0
    for _ in range(rates):
        interest = round(left * monthly, 2)
        rate = min(annuity, left + interest)
        left += interest - rate
        interest_paid += interest
        paid += rate
    return {"paid": round(paid, 2), "interest": round(interest_paid, 2), "left": round(left, 2)}


@cache
def known_plan(loan_id: int) -> dict[str, float]:
    """Return the plan, computed once."""
    return plan(loan_id)


def plan(loan_id: int) -> dict[str, float]:
    """Return the plan of one loan."""
    return repayment(5_000.0 + 37 * loan_id, 2.0 + loan_id % 7, RATES)


find_plan = known_plan if cured() else plan


@app.get("/")
async def home() -> dict[str, int]:
    """Say how many loans there are."""
    return {"loans": LOANS}


@app.get("/loans/{loan_id}/plan")
async def show_plan(loan_id: int) -> dict[str, float]:
    """Return what a loan costs."""
    if not 0 < loan_id <= LOANS:
        raise HTTPException(404, "no such loan")
    return find_plan(loan_id)
