"""Credit checks in `def` endpoints: the agency's service is asked with requests, a thread each."""

import requests
from fastapi import FastAPI, HTTPException
from requests.adapters import HTTPAdapter

from .settings import companion_url

AGENCY = companion_url("AGENCY_URL")

app = FastAPI(title="credit")
agency = requests.Session()
agency.mount("http://", HTTPAdapter(pool_maxsize=50))


def score_of(customer: int) -> int:
    """Ask the agency for a customer's score."""
    answer = agency.get(f"{AGENCY}/scores/{customer}", timeout=30)
    if not answer.ok:
        raise HTTPException(502, "the agency does not answer")
    rate: float = answer.json()["rate"]
    return round(rate * 500)


@app.get("/customers/{customer}/limit")
def limit(customer: int) -> dict[str, int]:
    """Return how much a customer may owe."""
    return {"customer": customer, "cents": score_of(customer) * 100}
