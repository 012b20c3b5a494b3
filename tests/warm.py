"""Commands in processes forked from one that has loaded what they load: a command that starts from nothing spends most
of its time on that.
Run as a program it is that process: it answers requests on the socket whose descriptor it is given, one at a time.
"""

import atexit
import contextlib
import gc
import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
import traceback
from importlib import import_module
from pathlib import Path

LIMIT = 60.0  # seconds; only a command that hangs reaches it
MAINS = {"shmctx": "shmctx.cli.main", "shmctx-recover": "shmctx.cli.recover"}


class Warm:
    """Runs commands; `close` ends the process that forks them."""

    def __init__(self):
        self._socket, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with other:
            command = [sys.executable, __file__, str(other.fileno())]
            self._server = subprocess.Popen(command, pass_fds=[other.fileno()], stdin=subprocess.DEVNULL)

    def run(self, program, arguments, environ, stdin=b""):
        """(exit code, output, errors) of a program's `main`, given bytes on its standard input."""
        pipes = [os.pipe() for _ in range(3)]
        to, *from_ = [pipes[0][1], pipes[1][0], pipes[2][0]]
        self.start(program, arguments, environ, [pipes[0][0], pipes[1][1], pipes[2][1]])
        try:
            out, errors = exchanged(to, stdin, from_)
            return self.ended(), out.decode(), errors.decode()
        finally:
            for descriptor in from_:
                os.close(descriptor)

    def start(self, program, arguments, environ, descriptors):
        """Run it with these as its standard input, output and error; they are closed here."""
        request = {"program": program, "arguments": arguments, "environ": environ, "folder": str(Path.cwd())}
        socket.send_fds(self._socket, [json.dumps(request).encode()], descriptors)
        for descriptor in set(descriptors):
            os.close(descriptor)

    def ended(self):
        """The exit code of what was started."""
        assert select.select([self._socket], [], [], LIMIT)[0], f"the command did not end within {LIMIT} s"
        return int(self._socket.recv(64))

    def close(self):
        self._socket.close()
        self._server.wait(LIMIT)


def exchanged(to, text, from_):
    """Write text to one pipe, which is closed, and read the others to their ends."""
    deadline = time.monotonic() + LIMIT
    collected = dict.fromkeys(from_, b"")
    writing, reading = [to], list(from_)
    os.set_blocking(to, False)
    while writing or reading:
        ready, free, _ = select.select(reading, writing, [], deadline - time.monotonic())
        assert ready or free, f"the command went on for {LIMIT} s"
        if free:
            with contextlib.suppress(BrokenPipeError):
                text = text[os.write(to, text) :] if text else text
            if not text:
                os.close(to)
                writing = []
        for descriptor in ready:
            chunk = os.read(descriptor, 1 << 16)
            collected[descriptor] += chunk
            if not chunk:
                reading.remove(descriptor)
    return [collected[descriptor] for descriptor in from_]


_running = []


def run(program, arguments, environ, stdin=b""):
    """As Warm.run, by the one process that this session has for it."""
    return shared().run(program, [*map(str, arguments)], environ, stdin)


def shared():
    if not _running:
        _running.append(Warm())
    return _running[0]


def close():
    while _running:
        _running.pop().close()


# ---- the process that forks ----


def serve(asked):
    """Answer requests until the socket is closed, loaded with everything that a command may load."""
    main = import_module(MAINS["shmctx"])
    for module, _ in main.COMMANDS.values():
        import_module(f"shmctx.cli.{module}")
    for name in ("rich.console", "rich.table", "sqlite3", "shmctx.cold.reader", "shmctx.events.monitor", "psutil"):
        import_module(name)
    gc.freeze()
    while True:
        request, descriptors, _, _ = socket.recv_fds(asked, 1 << 20, 3)
        if not request:
            return
        pid = os.fork()
        if pid == 0:
            asked.close()
            become(descriptors, **json.loads(request))
        for descriptor in descriptors:
            os.close(descriptor)
        _, status = os.waitpid(pid, 0)
        asked.send(str(os.waitstatus_to_exitcode(status)).encode())


def become(descriptors, program, arguments, environ, folder):
    """In the child, which never returns from here."""
    for standard, descriptor in enumerate(descriptors):
        os.dup2(descriptor, standard)
        os.close(descriptor)
    sys.stdin = os.fdopen(0, closefd=False)
    sys.stdout = os.fdopen(1, "w", closefd=False)
    sys.stderr = os.fdopen(2, "w", buffering=1, closefd=False)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.environ.clear()
    os.environ.update(environ)
    time.tzset()
    os.chdir(folder)
    sys.argv = [program, *arguments]
    code = 1
    try:
        import_module(MAINS[program]).main()
    except SystemExit as done:
        code = done.code
    except BaseException:  # noqa: BLE001 - nothing may leave the child but its exit code
        traceback.print_exc()
    finally:
        threading._shutdown()
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)  # to take down what was loaded, shared with the parent, costs more than a command


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the session's own Ctrl-C ends it by closing the socket
    serve(socket.socket(fileno=int(sys.argv[1])))
