"""The gateway: a store over HTTP and WebSocket, for programs that do not share its memory.

`shmctx gateway NAME` or, in the daemon's process, `shmctx daemon NAME --http HOST:PORT`. Needs the extra `gateway`.
docs/gateway.md says what it answers.
"""
