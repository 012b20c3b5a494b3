"""Facts about processes and the machine, from /proc: who is alive, and which boot and PID namespace this is."""

import os
from pathlib import Path

MAX_COMMAND = 80
"""Characters of a command line that a message shows."""


def boot_id() -> str:
    """The kernel's random id of this boot; empty where /proc does not tell."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def pid_namespace() -> tuple[int, int]:
    """Device and inode of this process's PID namespace. A robust mutex excludes only within one."""
    try:
        facts = os.stat("/proc/self/ns/pid")
    except OSError:
        return 0, 0
    return facts.st_dev, facts.st_ino


def _stat_fields(pid: int) -> list[str] | None:
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    return text[text.rindex(")") + 2 :].split()  # the command in parentheses may hold anything


def start_time(pid: int) -> int:
    """When the process started, in clock ticks since boot; 0 if there is none. With the pid it names one process."""
    fields = _stat_fields(pid)
    return int(fields[19]) if fields else 0


def state(pid: int) -> str:
    """The kernel's state letter (R, S, D, T stopped, t traced, Z zombie), or an empty string."""
    fields = _stat_fields(pid)
    return fields[0] if fields else ""


def is_alive(pid: int, start: int) -> bool:
    """Whether the very process (not a later one with its pid) still runs. A zombie does not."""
    fields = _stat_fields(pid)
    return bool(fields) and fields[0] != "Z" and (not start or int(fields[19]) == start)  # type: ignore[index]


def command(pid: int) -> str:
    """The process's command line for people, or its short name, or an empty string."""
    import psutil  # late: only messages and listings need it

    try:
        found = psutil.Process(pid)
        words = " ".join(" ".join(found.cmdline() or [found.name()]).split())
    except psutil.Error:
        return ""
    return words if len(words) <= MAX_COMMAND else words[: MAX_COMMAND - 1] + "…"


def describe(pid: int) -> str:
    """One phrase that names a process: `pid 4711 (python agent.py, stopped)`."""
    words = {"T": "stopped", "t": "stopped by a debugger", "D": "in uninterruptible sleep", "Z": "dead"}
    letter = state(pid)
    if not letter:
        return f"pid {pid}, which has ended"
    return f"pid {pid} ({command(pid)}, {words.get(letter, 'running')})"
