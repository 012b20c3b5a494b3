"""`shmctx audit`: old patterns in Python programs that embed contexts in events."""

import textwrap
from pathlib import Path

import click
import msgspec

from shmctx.cli.main import HELP_OPTIONS, PROBLEMS, examples
from shmctx.cli.render import ID, Column, Form, Listing, Output, colours, escape, number, with_output
from shmctx.transfer.audit import DEFAULT, RULES, Finding, Report
from shmctx.transfer.audit import audit as look_through

ALL = "all"

FINDINGS = Listing(
    (
        Column("path", "Path"),
        Column("line", "Line", right=True),
        Column("column", "Column", right=True),
        Column("rule", "Rule", style=ID),
        Column("what", "What it is"),
        Column("instead", "Write instead"),
    ),
    msgspec.structs.asdict,
    msgspec.structs.asdict,
)

RULE_LIST = Listing(
    (Column("rule", "Rule", style=ID), Column("default", "Default"), Column("finds", "Finds"), Column("why", "Why")),
    lambda rule: {"rule": rule.id, "default": rule.default, "finds": rule.finds, "why": rule.why},
    msgspec.structs.asdict,
)


def _rules(_context: click.Context, _option: click.Parameter, given: tuple[str, ...]) -> frozenset[str]:
    """The ids in an option that may be given more than once, each time with several."""
    names = {name.strip() for text in given for name in text.split(",") if name.strip()}
    if ALL in names:
        return frozenset(RULES)
    unknown = sorted(names - RULES.keys())
    if unknown:
        raise click.BadParameter(f"there is no rule {unknown[0]!r}; there are {', '.join(RULES)}, and {ALL}.")
    return frozenset(names)


@click.command(
    context_settings=HELP_OPTIONS,
    epilog=examples("shmctx audit src", "shmctx audit src --ignore outside-session --exclude 'tests/*' --json"),
)
@click.argument("paths", metavar="PATH...", nargs=-1, type=click.Path(path_type=Path))
@click.option("--select", callback=_rules, multiple=True, metavar="RULES", help="Look for these only; `all` for all.")
@click.option("--ignore", callback=_rules, multiple=True, metavar="RULES", help="Do not look for these.")
@click.option("--exclude", multiple=True, metavar="GLOB", help="Leave out files and folders of this name or path.")
@click.option("--rules", "list_rules", is_flag=True, help="List the rules, and look for nothing.")
@with_output
def audit(
    out: Output,
    /,
    *,
    paths: tuple[Path, ...],
    select: frozenset[str],
    ignore: frozenset[str],
    exclude: tuple[str, ...],
    list_rules: bool,
) -> None:
    """Find old patterns of event contexts in Python code.

    Metadata inside data, contexts built or passed by hand, sessions outside of contexts. Reads programs,
    runs nothing, changes nothing. For each place: what it is, and what to write instead. Exit code 0 without findings,
    5 with some. `# shmctx: ignore[RULE]` at the end of a line, or on the line above, allows a place.

    (`shmctx audit-trail` is about something else: who did what when in a correlation of a store.)
    """
    if list_rules:
        out.rows(RULE_LIST, RULES.values())
        return
    if not paths:
        raise click.UsageError("Missing argument 'PATH...'.")
    missing = [path for path in paths if not path.exists()]
    if missing:
        raise click.UsageError(f"There is no {escape(str(missing[0]))!r}.")
    report = look_through(paths, rules=(select or DEFAULT) - ignore, exclude=exclude)
    _print(out, report)
    if report.findings:
        raise click.exceptions.Exit(PROBLEMS)


def _print(out: Output, report: Report) -> None:
    if out.form is Form.JSON:
        out.json(report.to_dict())
    elif out.form is Form.TABLE:
        for finding in report.findings:
            _show(finding)
    else:
        out.rows(FINDINGS, report.findings)
    if out.form is not Form.JSON:
        out.flush()
        _summary(report)


def _show(finding: Finding) -> None:
    place = click.style(escape(f"{finding.path}:{finding.line}:{finding.column}"), bold=True)
    rule = click.style(finding.rule, fg=ID)
    click.echo(f"{place}: {rule}: {escape(finding.what)}", color=colours())
    click.echo(textwrap.indent(f"instead: {finding.instead}", "    "), color=colours())


def _summary(report: Report) -> None:
    """On standard error, so that rows stay rows."""
    for skipped in report.skipped:
        click.echo(f"{escape(skipped.path)} was left out: it {escape(skipped.reason)}", err=True)
    counts = ", ".join(f"{rule} {number(count)}" for rule, count in report.rules.items())
    within = len({finding.path for finding in report.findings})
    said = f"{_counted(len(report.findings), 'finding')} in {number(within)} of {_counted(report.files, 'file')}"
    click.echo(f"{said}{': ' * bool(counts)}{counts}", err=True)


def _counted(count: int, noun: str) -> str:
    return f"{number(count)} {noun}{'s' * (count != 1)}"
