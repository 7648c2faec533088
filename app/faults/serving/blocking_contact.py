"""A shop that mails the order's confirmation again when asked to."""

import smtplib
from email.message import EmailMessage
from urllib.parse import urlsplit

from fastapi import FastAPI
from fastapi.concurrency import run_in_threadpool

from .settings import companion_url, cured

_relay = urlsplit(companion_url("MAIL_URL"))
MAIL_HOST, MAIL_PORT = _relay.hostname or "127.0.0.1", _relay.port or 25
SENDER = "orders@shop.example"

app = FastAPI(title="shop")


def confirmation(order: int) -> EmailMessage:
    """Write the mail."""
    message = EmailMessage()
    message["From"], message["To"] = SENDER, f"customer-{order}@mail.example"
    message["Subject"] = f"Your order {order}"
    message.set_content(f"Thank you for your order {order}.\nIt leaves our house tomorrow.\n")
    return message


def deliver(message: EmailMessage) -> int:
    """Hand the mail to the relay; return how many recipients it refused."""
    with smtplib.SMTP(MAIL_HOST, MAIL_PORT, local_hostname="shop.example", timeout=10) as relay:
        return len(relay.send_message(message))


@app.get("/orders/{order}/confirmation")
async def resend(order: int) -> dict[str, int]:
    """Mail the confirmation of an order again."""
    message = confirmation(order)
    refused = await run_in_threadpool(deliver, message) if cured() else deliver(message)
    return {"order": order, "refused": refused}
