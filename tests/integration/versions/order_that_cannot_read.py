"""A version of the order service that is too old: it does not know what tells that a payment was authorized."""

import chassis.engine.reading
import order.main
from contracts.message import Reason
from contracts.payment import PaymentAuthorized
from contracts.reasons import Unreadable
from contracts.record import Received
from contracts.wire import Envelope, decode


def read(record: Received) -> Envelope:
    envelope = decode(record)
    if isinstance(envelope.message, PaymentAuthorized):
        raise Unreadable((Reason(path="ce_type", code="unknown_type", message="this version cannot read it"),))
    return envelope


chassis.engine.reading.decode = read
order.main.main()
