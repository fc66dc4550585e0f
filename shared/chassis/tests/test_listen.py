import socket

import uvicorn
from chassis.run import listen


async def no_app(*_: object) -> None: ...


def test_the_body_of_an_answer_does_not_wait_until_its_headers_are_acknowledged() -> None:
    with listen(uvicorn.Config(no_app, port=0)) as listener:
        listener.listen()
        with socket.create_connection(listener.getsockname()), listener.accept()[0] as accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
