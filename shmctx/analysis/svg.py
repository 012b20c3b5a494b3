"""A chain as a picture: a timeline, one row for every event, in tree order. Standalone SVG 1.1, no script, no font.

Names at the left, indented by what caused them; at the right a bar from the event to the end of its handlers, or a dot
where that is not known, and a line from its cause. The critical path is drawn dark, errors red. The axis comes again
every REPEAT rows, so that a long picture can be read wherever one scrolls to.
"""

import math
import re
from collections.abc import Iterator
from datetime import UTC, datetime

from shmctx.analysis.chain import Chain, Node
from shmctx.analysis.critical import critical_path
from shmctx.analysis.text import NOTES, escaped, seconds, shortened

ROW, REPEAT = 18, 40  # pixels; rows between two axes
_NAMES, _TIMES, _MARGIN = 420, 760, 12  # pixels
_INDENT, _MAX_INDENT = 12, 20  # pixels a level; levels
_CHARACTER = 6.7  # pixels, at 11 px monospaced
_MIN_BAR = 2  # pixels

_STYLE = """
text{font:11px ui-monospace,Menlo,Consolas,"DejaVu Sans Mono",monospace;fill:#222}
.dim{fill:#777}.err{fill:#b00020}
.grid{stroke:#e4e4e4}.link{stroke:#bbb;fill:none}
.bar{fill:#9db8d9}.hot{fill:#2f5f98}.bad{fill:#b00020}
.odd{fill:#f7f7f7}
"""
_FORBIDDEN = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")  # XML 1.0, section 2.2


def svg(chain: Chain, *, title: str = "") -> str:
    """The picture, as a document of its own; `title` is its heading."""
    picture = _Picture(chain)
    width, height = _NAMES + _TIMES + 2 * _MARGIN, picture.height
    size = f'width="{width}" height="{height}"'
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} viewBox="0 0 {width} {height}" role="img">',
        f"<title>{quoted(title or 'timeline')}</title>",
        f"<style>{_STYLE}</style>",
        f'<rect {size} fill="#fff"/>',
        f'<text x="{_MARGIN}" y="20" font-weight="bold">{quoted(title)}</text>',
        f'<text x="{_MARGIN}" y="36" class="dim">{quoted(_summary(chain))}</text>',
        *picture.rows(),
        "</svg>",
    ]
    return "\n".join(lines) + "\n"


def _summary(chain: Chain) -> str:
    if not chain.nodes:
        return "no events"
    begin = datetime.fromtimestamp(chain.begin_ns / 1e9, UTC).isoformat(sep=" ", timespec="milliseconds")
    failed = sum(node.error is not None for node in chain.nodes)
    return f"{len(chain.nodes)} events from {begin}, {seconds((chain.end_ns - chain.begin_ns) / 1e9)}, errors: {failed}"


class _Picture:
    """Where everything goes."""

    def __init__(self, chain: Chain) -> None:
        self._chain = chain
        critical = critical_path(chain)
        self._critical = {step.node.index for step in critical.steps} if critical else set()
        self._span = max(chain.end_ns - chain.begin_ns, 1)
        self.height = self._top(len(chain.nodes)) + _MARGIN

    def _top(self, index: int) -> int:
        """Where a row begins, below the headings and the axes before it."""
        return 48 + ROW * (index + 1 + index // REPEAT)

    def _x(self, time_ns: int) -> float:
        return _MARGIN + _NAMES + (time_ns - self._chain.begin_ns) / self._span * _TIMES

    def rows(self) -> Iterator[str]:
        for node in self._chain.nodes:
            if node.index % REPEAT == 0:
                yield from self._axis(node.index)
            yield from self._row(node)

    def _axis(self, index: int) -> Iterator[str]:
        top = self._top(index)
        bottom = self._top(min(index + REPEAT, len(self._chain.nodes)) - 1) + ROW
        for mark in _marks(self._span):
            x = f"{self._x(self._chain.begin_ns + mark):.1f}"
            yield f'<text x="{x}" y="{top - 5}" class="dim">+{quoted(seconds(mark / 1e9))}</text>'
            yield f'<line x1="{x}" y1="{top}" x2="{x}" y2="{bottom}" class="grid"/>'

    def _row(self, node: Node) -> Iterator[str]:
        top = self._top(node.index)
        middle, baseline = top + ROW // 2, top + 13
        yield f"<g><title>{quoted(_told(self._chain, node))}</title>"
        if node.index % 2:
            yield f'<rect x="0" y="{top}" width="{_MARGIN + _NAMES - 4}" height="{ROW}" class="odd"/>'
        indent = min(node.level, _MAX_INDENT) * _INDENT
        name = f"{node.level}· " * (node.level > _MAX_INDENT) + escaped(node.event_name)
        room = max(int((_NAMES - indent) / _CHARACTER) - 2, 4)
        name, agent = shortened(name, room), escaped(node.agent_id or "")
        rest = room - len(name) - 2
        style = ' class="err"' if node.error is not None else ""
        yield f'<text x="{_MARGIN + indent}" y="{baseline}"{style}>{quoted(name)}'
        if agent and rest > 3:
            yield f'<tspan class="dim" dx="8">{quoted(shortened(agent, rest))}</tspan>'
        yield "</text>"
        yield from self._mark(node, middle)
        yield "</g>"

    def _mark(self, node: Node, middle: int) -> Iterator[str]:
        """The bar or dot, and the line from the cause."""
        x = self._x(node.time_ns)
        if node.parent is not None:
            cause = self._chain.nodes[node.parent]
            up = self._top(cause.index) + ROW // 2
            yield f'<path class="link" d="M{self._x(cause.time_ns):.1f} {up}V{middle}H{x:.1f}"/>'
        style = "bad" if node.error is not None else "hot" if node.index in self._critical else "bar"
        if node.duration_ns is None:
            yield f'<circle cx="{x:.1f}" cy="{middle}" r="3" class="{style}"/>'
        else:
            width = max(self._x(node.end_ns) - x, _MIN_BAR)
            yield f'<rect x="{x:.1f}" y="{middle - 5}" width="{width:.1f}" height="10" class="{style}"/>'


def _marks(span: int) -> Iterator[int]:
    """Round times for the axis, in ns: at most eight, 1, 2 or 5 times a power of ten apart."""
    power = 10 ** max(math.floor(math.log10(span / 8)), 0) if span >= 8 else 1
    step = next(power * factor for factor in (1, 2, 5, 10, 20) if power * factor * 8 >= span)
    return iter(range(0, span, step))


def _told(chain: Chain, node: Node) -> str:
    lines = [node.event_name, node.ref, f"agent {node.agent_id or '-'}", f"+{seconds(chain.offset(node))}"]
    if node.duration_ns is not None:
        lines.append(f"took {seconds(node.duration_ns / 1e9)}")
    lines += [text for text in (node.error, NOTES[node.root]) if text]
    return "\n".join(map(escaped, lines))


def quoted(text: str) -> str:
    """Any text as XML character data; characters that XML cannot hold are replaced."""
    text = _FORBIDDEN.sub("\ufffd", text)
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace('"', "&quot;")
