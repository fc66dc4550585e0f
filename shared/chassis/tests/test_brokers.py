"""Kafka's address says how its brokers are spoken to."""

import ssl
from pathlib import Path

import pytest
from chassis.brokers import client_options, public_address
from trustme import CA


@pytest.mark.parametrize("brokers", ["kafka:9092", "kafka-0:9092,kafka-1:9093", "[::1]:9092"])
def test_an_address_without_a_scheme_is_spoken_to_in_plain_text(brokers: str) -> None:
    assert client_options(brokers) == {
        "bootstrap_servers": brokers,
        "security_protocol": "PLAINTEXT",
        "ssl_context": None,
    }
    assert client_options(f"plaintext://{brokers}") == client_options(brokers)


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"])
def test_a_login_is_taken_with_its_escaped_characters(mechanism: str) -> None:
    options = client_options(f"sasl_ssl://ada%40shop:pa%2Fss%3A1@kafka-0:9092,kafka-1:9092?mechanism={mechanism}")

    assert isinstance(options.pop("ssl_context"), ssl.SSLContext)
    assert options == {
        "bootstrap_servers": "kafka-0:9092,kafka-1:9092",
        "security_protocol": "SASL_SSL",
        "sasl_mechanism": mechanism,
        "sasl_plain_username": "ada@shop",
        "sasl_plain_password": "pa/ss:1",
    }


def test_whom_to_trust_and_what_to_show_are_files(tmp_path: Path) -> None:
    ca = CA()
    ours = ca.issue_cert("order")
    ca.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    ours.private_key_and_cert_chain_pem.write_to_path(str(tmp_path / "ours.pem"))

    context = client_options(f"ssl://kafka:9093?ca_file={tmp_path}/ca.pem&cert_file={tmp_path}/ours.pem")["ssl_context"]

    assert len(context.get_ca_certs()) == 1
    assert context.check_hostname
    assert context.verify_mode is ssl.CERT_REQUIRED


@pytest.mark.parametrize(
    ("brokers", "why"),
    [
        ("kafka", "say .*host:port"),
        ("", "say .*host:port"),
        ("kafka:70000", "Port out of range"),
        ("https://kafka:9093", "say .*host:port"),
        ("kafka:9092,,kafka:9093", "say .*host:port"),
        ("sasl_ssl://ada:pa@ss@kafka:9093?mechanism=PLAIN", "must be escaped"),
        ("sasl_ssl://kafka:9093?mechanism=PLAIN", "user:password@"),
        ("sasl_ssl://ada:secret@kafka:9093", "mechanism= one of PLAIN"),
        ("sasl_ssl://ada:secret@kafka:9093?mechanism=GSSAPI", "mechanism= one of PLAIN"),
        ("ssl://ada:secret@kafka:9093", "are for sasl_ssl://"),
        ("ssl://kafka:9093?mechanism=PLAIN", "are for sasl_ssl://"),
        ("ssl://kafka:9093?cafile=/x", "cafile: there are no options but mechanism, ca_file, cert_file, key_file"),
        ("ssl://kafka:9093?ca_file=/nowhere.pem", "ca_file: .*No such file"),
        ("ssl://kafka:9093?key_file=/nowhere.pem", "there is no cert_file"),
        ("kafka:9092?ca_file=/nowhere.pem", "ca_file: for ssl://"),
    ],
)
def test_an_address_that_can_be_none_is_refused_without_its_password(brokers: str, why: str) -> None:
    with pytest.raises(ValueError, match=why) as refused:
        client_options(brokers)

    assert "secret" not in str(refused.value)
    assert "ss@" not in str(refused.value)


@pytest.mark.parametrize("password", ["secret", "se@cret", "se/cret", "se://cret"])
def test_an_address_is_shown_without_who_speaks(password: str) -> None:
    shown = public_address(f"sasl_ssl://ada:{password}@kafka:9093?mechanism=PLAIN")

    assert shown == "sasl_ssl://kafka:9093?mechanism=PLAIN"
