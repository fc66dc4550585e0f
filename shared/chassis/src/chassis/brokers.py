"""Kafka's address: where its brokers are and how they are spoken to, in one line as with MongoDB and Redis.

    host:port[,host:port]
    ssl://host:port?ca_file=/run/secrets/ca.pem
    sasl_ssl://user:password@host:port?mechanism=SCRAM-SHA-512

The schemes are the values of Kafka's own `security.protocol`, in small letters. User and password are percent-encoded.
That a password must be escaped, and is not shown, goes for MongoDB's address, too: `refuse_unescaped` and
`public_address` take either.
"""

import re
import ssl
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

MECHANISMS = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")
FILES = CA_FILE, CERT_FILE, KEY_FILE = ("ca_file", "cert_file", "key_file")
"""Who signs the brokers' certificates, by default whoever this machine trusts; and what we show to brokers that ask."""
ADDRESS = re.compile(
    r"((?P<protocol>plaintext|ssl|sasl_plaintext|sasl_ssl)://)?"
    r"((?P<user>[^\s:@/]+):(?P<password>[^\s:@/]+)@)?"
    r"(?P<servers>[^\s,@/?]+:\d+(,[^\s,@/?]+:\d+)*)"
    r"(\?(?P<options>\S*))?"
)


def client_options(brokers: str) -> dict[str, Any]:
    """How to make a client of aiokafka that speaks to these brokers.

    Raises ValueError if the address can be none, without repeating what may be a part of a password.
    """
    parts = ADDRESS.fullmatch(brokers)
    if parts is None:
        schemes = "[ssl://|sasl_ssl://user:password@]"
        raise ValueError(f"say {schemes}host:port[,host:port][?options]; characters such as / must be escaped")
    for server in parts["servers"].split(","):
        _ = urlsplit(f"//{server}").port
    protocol = (parts["protocol"] or "plaintext").upper()
    told = dict(parse_qsl(parts["options"] or "", keep_blank_values=True))
    options = {"bootstrap_servers": parts["servers"], "security_protocol": protocol}
    options |= _login(protocol, parts["user"], parts["password"], told.pop("mechanism", None))
    files = {name: told.pop(name) for name in FILES if name in told}
    if told:
        raise ValueError(f"{', '.join(told)}: there are no options but mechanism, {', '.join(FILES)}")
    return options | {"ssl_context": _tls(protocol, files)}


def public_address(brokers: str) -> str:
    """The address without the user and the password in it, also where nobody escaped the characters of these."""
    return re.sub(r"//.*@", "//", brokers)


def refuse_unescaped(url: str) -> None:
    """Raises ValueError if the password of a connection string would end early, at a character that must be escaped.

    A client takes what is behind that for a database or an option, and repeats it when it finds fault with it.
    """
    if re.search(r"//[^/?]*[/?].*@", url):
        raise ValueError(
            "an @ comes after a / or ?; such characters must be escaped in a password, and an @ in an option as %40"
        )


def _login(protocol: str, user: str | None, password: str | None, mechanism: str | None) -> dict[str, str]:
    if not protocol.startswith("SASL"):
        if user is not None or mechanism is not None:
            raise ValueError("user, password and mechanism are for sasl_ssl:// and sasl_plaintext://")
        return {}
    if user is None or password is None:
        raise ValueError(f"{protocol.lower()}:// takes user:password@ before the host")
    if mechanism not in MECHANISMS:
        raise ValueError(f"{protocol.lower()}:// takes ?mechanism= one of {', '.join(MECHANISMS)}")
    return {
        "sasl_mechanism": mechanism,
        "sasl_plain_username": unquote(user),
        "sasl_plain_password": unquote(password),
    }


def _tls(protocol: str, files: dict[str, str]) -> ssl.SSLContext | None:
    if not protocol.endswith("SSL"):
        if files:
            raise ValueError(f"{', '.join(files)}: for ssl:// and sasl_ssl:// only")
        return None
    if KEY_FILE in files and CERT_FILE not in files:
        raise ValueError(f"{KEY_FILE}: there is no {CERT_FILE} that it belongs to")
    try:
        context = ssl.create_default_context(cafile=files.get(CA_FILE))
        if CERT_FILE in files:
            # Without a password nobody is asked for one, who would have to sit at the terminal of a service.
            context.load_cert_chain(files[CERT_FILE], files.get(KEY_FILE), password="")
    except OSError as error:  # ssl.SSLError is one
        raise ValueError(f"{', '.join(files)}: {error}") from error
    return context
