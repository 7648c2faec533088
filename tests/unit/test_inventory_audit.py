"""The check of the stock: its arithmetic, and what it reads from a database that was tampered with."""

import asyncio
import json
import sqlite3
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pinchpoint.app import stock
from pinchpoint.app.faults import DEFECTS, FAULTS, activate, overselling
from pinchpoint.app.stock import Audit, Balance, UncheckedError, judge
from support.inventory_shop import open_shop

PIECES = st.integers(0, 1000)


def test_what_adds_up_is_ok() -> None:
    """Ten to begin with, five more, twelve sold: three are left."""
    found = judge([Balance(1, initial=10, restocked=5, ordered=12, stock=3)], order_count=4)

    assert found == Audit(oversold=0, negative_stock=0, unbalanced=(), products=1, orders=4)
    assert found.ok


def test_a_lost_update_is_found_although_nothing_was_oversold() -> None:
    """Two orders of one piece, and only one of them left its mark on the stock."""
    balance = Balance(7, initial=10, restocked=0, ordered=2, stock=9)

    found = judge([balance], order_count=2)

    assert (found.ok, found.oversold, found.unbalanced) == (False, 0, (balance,))
    assert balance.expected == 8


def test_a_negative_stock_is_found_although_the_books_agree() -> None:
    """Six sold of five, each taken from the stock: oversold by one, and below zero."""
    found = judge([Balance(7, initial=5, restocked=0, ordered=6, stock=-1)], order_count=6)

    assert (found.ok, found.oversold, found.negative_stock, found.unbalanced) == (False, 1, 1, ())


def test_one_product_does_not_make_up_for_another() -> None:
    """A piece too many here and one too few there are two faults."""
    short = Balance(1, initial=5, restocked=0, ordered=7, stock=0)
    spare = Balance(2, initial=5, restocked=0, ordered=0, stock=7)

    found = judge([short, spare], order_count=7)

    assert (found.oversold, found.unbalanced) == (2, (short, spare))


@given(initial=PIECES, restocked=PIECES, ordered=PIECES, error=st.integers(-1000, 1000))
def test_a_product_is_ok_exactly_when_the_arithmetic_is(initial: int, restocked: int, ordered: int, error: int) -> None:
    """Whatever the figures: no error, and not more sold than there was."""
    balance = Balance(1, initial, restocked, ordered, initial + restocked - ordered + error)

    found = judge([balance], order_count=1)

    assert found.ok == (error == 0 and ordered <= initial + restocked)
    assert bool(found.unbalanced) == (error != 0)


def test_nothing_sold_is_nothing_wrong() -> None:
    """An empty shop is in order."""
    assert judge([], order_count=0).as_json() == {
        "oversold": 0,
        "negative_stock": 0,
        "unbalanced": [],
        "products": 0,
        "orders": 0,
        "ok": True,
    }


def test_the_command_prints_what_a_tampered_database_holds(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 0 and then 1; a driver that is not async will do, and cancelled orders do not count."""
    with open_shop(tmp_path) as shop:
        first, second = shop.product(stock=5), shop.product(stock=5)
        shop.order((first, 2))
        shop.ask("POST", f"/products/{second}/restock", {"quantity": 3})
        shop.ask("POST", f"/orders/{shop.order((second, 4)).json()['id']}/cancel")
    url = f"sqlite:///{tmp_path}/shop.db"

    codes = [stock.main([url])]
    with sqlite3.connect(tmp_path / "shop.db") as database:
        database.execute("UPDATE inventory_products SET stock = -1 WHERE id = ?", (first,))
        database.execute("UPDATE inventory_order_lines SET quantity = 6 WHERE product_id = ?", (first,))
        database.execute("UPDATE inventory_products SET stock = 9 WHERE id = ?", (second,))
    database.close()
    codes += [stock.main([url])]
    right, wrong = (json.loads(line) for line in capsys.readouterr().out.splitlines())

    assert codes == [0, 1]
    assert right == {
        "oversold": 0,
        "negative_stock": 0,
        "unbalanced": [],
        "products": 2,
        "orders": 2,
        "ok": True,
    }
    assert wrong == {
        "oversold": 1,
        "negative_stock": 1,
        "unbalanced": [
            {"product_id": second, "initial": 5, "restocked": 3, "ordered": 0, "stock": 9, "expected": 8},
        ],
        "products": 2,
        "orders": 2,
        "ok": False,
    }


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("sqlite:///{folder}/missing.db", "there is no SQLite file {folder}/missing.db"),
        ("sqlite+aiosqlite://", "there is no SQLite file :memory:"),
        ("sqlite:///{folder}/other.db", "no such table: inventory_products"),
        ("mysql://host/name", "mysql is neither SQLite nor PostgreSQL"),
        ("not a url", "this is not a database URL such as postgresql://user:password@host/name"),
    ],
)
def test_what_cannot_be_checked_is_one_sentence_and_code_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], url: str, reason: str
) -> None:
    """Nothing is printed that could be taken for a result, and no file is made by asking."""
    sqlite3.connect(tmp_path / "other.db").close()
    (tmp_path / "other.db").touch()

    code = stock.main([url.format(folder=tmp_path)])

    printed = capsys.readouterr()
    assert (code, printed.out) == (2, "")
    assert printed.err == f"The stock was not checked: {reason.format(folder=tmp_path)}.\n"
    assert not (tmp_path / "missing.db").exists()


def test_a_server_that_is_not_there_is_told_without_the_password() -> None:
    """The URL is not repeated: it may hold a secret."""
    with pytest.raises(UncheckedError) as caught:
        asyncio.run(stock.audit("postgresql+psycopg2://me:secret@127.0.0.1:1/shop"))

    assert "secret" not in str(caught.value)


def test_without_a_url_the_environment_names_the_database(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As for the app itself; so no password needs to stand on a command line."""
    with open_shop(tmp_path):
        pass
    monkeypatch.delenv("PINCHPOINT_APP_DATABASE_URL", raising=False)
    monkeypatch.setenv("DATABASE_URL", f"sqlite:///{tmp_path}/shop.db")

    code = stock.main([])

    assert (code, json.loads(capsys.readouterr().out)["ok"]) == (0, True)


def test_overselling_is_a_defect_and_no_bottleneck() -> None:
    """It is switched on like a fault, and is none: it has no ceiling that a capacity could be held against."""
    active = activate(("overselling",), 2.0)

    assert active.stock_gap is overselling.wait_between
    assert (active.on_loop, active.on_connection, active.pool) == ((), (), None)
    assert activate((), 1.0).stock_gap is None
    assert DEFECTS.keys() & FAULTS.keys() == set()


def test_a_defect_goes_together_with_a_bottleneck() -> None:
    """Both act."""
    active = activate(("overselling", "db-pool"), 1.0)

    assert active.stock_gap is not None
    assert active.pool == FAULTS["db-pool"].pool
