"""A real ASGI server in a thread of its own."""

import contextlib
import socket
import threading

import uvicorn


@contextlib.contextmanager
def serving(app):
    """The port of a uvicorn on the loopback, with `app`, as long as the block runs."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        config = uvicorn.Config(
            app, lifespan="off", log_config=None, ws="websockets-sansio", timeout_graceful_shutdown=5
        )
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
        thread.start()
        try:
            yield listening.getsockname()[1]
        finally:
            server.should_exit = True
            thread.join(20)
            assert not thread.is_alive()
