"""What opens the line between two machines: certificates, tokens, addresses."""

from pathlib import Path

import pytest

from pinchpoint.credentials import calling_tls, choose_token, serving_tls, split_address
from pinchpoint.links import LinkError, new_token


def test_a_certificate_that_is_none_is_said(tmp_path: Path) -> None:
    """Both sides name the file."""
    wrong = tmp_path / "cert.pem"
    wrong.write_text("no certificate")

    with pytest.raises(LinkError, match=r"cannot use the certificate .*cert\.pem"):
        serving_tls(wrong, wrong)
    with pytest.raises(LinkError, match=r"cannot read the certificate .*cert\.pem"):
        calling_tls(wrong)


@pytest.mark.parametrize(
    ("given_token", "environ", "expected"),
    [
        ("a token of mine", {"PINCHPOINT_TOKEN": "that of the shell"}, ("a token of mine", False)),
        (None, {"PINCHPOINT_TOKEN": "that of the shell"}, ("that of the shell", False)),
    ],
)
def test_a_given_token_is_used(given_token: str | None, environ: dict[str, str], expected: tuple[str, bool]) -> None:
    """The option wins over the variable."""
    assert choose_token(given_token, environ) == expected


def test_a_token_is_made_where_none_is_given() -> None:
    """Long, and another each time."""
    token, is_new = choose_token(None, {})

    assert (len(token), is_new) == (32, True)
    assert new_token() != new_token()


def test_a_token_that_can_be_guessed_is_refused() -> None:
    """Whoever plays the listener gets a proof to try words against."""
    with pytest.raises(LinkError, match="a token of 6 characters can be guessed"):
        choose_token("secret", {})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("10.0.0.1", ("10.0.0.1", 5557)),
        ("10.0.0.1:80", ("10.0.0.1", 80)),
        ("load-1.example:0", ("load-1.example", 0)),
        (":9000", ("127.0.0.1", 9000)),
        ("[::1]:9000", ("::1", 9000)),
        ("::1", ("::1", 5557)),
        ("[::1]", ("::1", 5557)),
    ],
)
def test_addresses_are_split(text: str, expected: tuple[str, int]) -> None:
    """A port may be left out, a host too."""
    assert split_address(text, 5557) == expected


@pytest.mark.parametrize("text", ["host:port", "host:99999", "host:-1", "host:"])
def test_what_is_no_address_is_refused(text: str) -> None:
    """With how to write it."""
    with pytest.raises(LinkError, match=r"is not an address; write it like 10\.0\.0\.1:5557"):
        split_address(text, 5557)
