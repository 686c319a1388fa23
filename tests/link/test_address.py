import pytest
from hypothesis import given
from hypothesis import strategies as st

from flwr.errors import AddressError
from flwr.transport.address import Address, parse


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:9092", Address("127.0.0.1", 9092)),
        ("hub", Address("hub", 9092)),
        ("[::]:0", Address("::", 0)),
        ("[::1]", Address("::1", 9092)),
        ("http://hub:80", Address("hub", 80, secure=False)),
        ("https://hub.example.org/", Address("hub.example.org", 9092, secure=True)),
        ("HTTPS://[fe80::1]:443", Address("fe80::1", 443, secure=True)),
        ("  hub:9092\n", Address("hub", 9092)),
    ],
)
def test_addresses_as_users_write_them(text: str, address: Address) -> None:
    assert parse(text, 9092) == address


def test_an_address_writes_itself_so_that_it_can_be_read_again() -> None:
    for address in (Address("hub", 1), Address("::", 65535)):
        assert parse(str(address)) == address


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "no host"),
        (":9092", "no host"),
        ("hub:", "missing behind the colon"),
        ("hub:http", "not 'http'"),
        ("hub:65536", "up to 65535"),
        ("hub:-1", "not '-1'"),
        ("hub:٣", "not '٣'"),
        ("::1", "stands in brackets"),
        ("::1:9092", "stands in brackets"),
        ("[::1:9092", "not closed"),
        ("[hub]:9092", "brackets"),
        ("grpc://hub:9092", "not 'grpc'"),
        ("http://hub/fleet", "no host name"),
        ("user@hub:9092", "no host name"),
        ("hub name:9092", "no host name"),
    ],
)
def test_an_address_that_is_none_is_named_with_the_reason(text: str, why: str) -> None:
    with pytest.raises(AddressError, match=why) as caught:
        parse(text, 9092)
    assert repr(text) in str(caught.value)


def test_a_port_is_asked_for_where_there_is_no_default() -> None:
    with pytest.raises(AddressError, match="port is missing"):
        parse("hub")


@given(st.text())
def test_any_text_is_an_address_or_an_address_error(text: str) -> None:
    try:
        address = parse(text, 1)
    except AddressError:
        return
    assert address.host
    assert 0 <= address.port < 65536
