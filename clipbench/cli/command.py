"""The base class of all subcommands: no option is overridden silently, and messages name flags."""

from __future__ import annotations

import re
from collections import Counter
from typing import Any

import click

from clipbench.cli.display import display
from clipbench.cli.foreign_flags import explain_flag, explain_value
from clipbench.errors import ClipbenchError, ConfigError
from clipbench.utils.registry import close_matches


class Command(click.Command):
    """A subcommand.

    Click takes the last one of a repeated option without a word. Here an option either collects (``multiple``) or is
    refused when repeated. One that collects also takes several words, as argparse's do, if the command has no
    arguments: ``--tasks a b``.

    Args:
        words_are: The option that words without one belong to, such as ``--tasks``.
        resumable: Whether the same command, run again, continues what was interrupted.
    """

    def __init__(self, *args: Any, words_are: str | None = None, resumable: bool = False, **attributes: Any) -> None:
        super().__init__(*args, **attributes)
        self._words_are, self._resumable = words_are, resumable

    def get_help_option_names(self, ctx: click.Context) -> list[str]:
        """The same whatever context comes first: click remembers the first one's."""
        return ["-h", "--help"]

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse as click does, but refuse repeated options and what is not UTF-8, and answer foreign flags."""
        if ctx.resilient_parsing:  # a shell completes it
            return super().parse_args(ctx, args)
        for argument in args:
            if any("\ud800" <= sign <= "\udfff" for sign in argument):  # how Python represents undecodable bytes
                raise ConfigError(f"{argument}: not UTF-8: rename the file or folder")
        args = self._with_an_option_each(args)
        try:
            values, _, order = self.make_parser(ctx).parse_args(args=list(args))
        except click.NoSuchOption as error:
            raise ConfigError(self._explain(error.option_name, args)) from None
        if answer := explain_value(values):
            raise ConfigError(answer)
        options = [part for part in order if isinstance(part, click.Option) and not part.multiple]
        counts = Counter(option.name for option in options)  # by name: `--wrong --right` set the same one
        for parameter in options:
            if (times := counts[parameter.name]) > 1:
                hint = ", with several values separated by commas" if takes_list(parameter) else ""
                raise ConfigError(f"{_flag(parameter)} is given {times} times: give it once{hint}")
        return super().parse_args(ctx, args)

    def _with_an_option_each(self, args: list[str]) -> list[str]:
        """``--tasks a b`` as ``--tasks a --tasks b``."""
        if isinstance(self, click.Group) or any(isinstance(param, click.Argument) for param in self.params):
            return args
        options = [param for param in self.params if isinstance(param, click.Option) and not param.is_flag]
        collects = {name: option.multiple for option in options for name in option.opts}
        found: list[str] = []
        option, has_value = "", False
        for word in args:
            if word.startswith("-"):
                name, sign, _ = word.partition("=")
                option, has_value = name[:2] + name[2:].replace("-", "_"), bool(sign)
            elif option in collects and not has_value:
                has_value = True
            elif owner := option if collects.get(option) else self._words_are:
                found.append(owner)
            found.append(word)
        return found

    def _explain(self, flag: str, args: list[str]) -> str:
        """Why there is no such flag, and what to do."""
        known = [_flag(option) for option in self.params if isinstance(option, click.Option)]
        return explain_flag(flag, args) or f"{flag}: no such flag{close_matches(flag, known)}; --help lists them"

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command with a live display; an error of the library, which names fields, is made to name flags."""
        try:
            with display.open(f"starting {ctx.command_path}"):
                return super().invoke(ctx)
        except ClipbenchError as error:
            error.args = (name_flags(str(error), self),)
            raise
        except KeyboardInterrupt:
            raise Interrupted(RESUME if self._resumable else "interrupted") from None


RESUME = "interrupted; run the same command again to resume"


class Interrupted(click.ClickException):
    """Ctrl-C: the message says whether anything is lost."""

    exit_code = 130


def joined(ctx: click.Context, param: click.Parameter, value: tuple[str, ...]) -> str:
    """Callback of a repeatable option whose values are lists: ``--tasks a --tasks b,c`` is ``--tasks a,b,c``."""
    return ",".join(value)


def name_flags(message: str, command: click.Command | None) -> str:
    """Write the names of fields in a message of the library as this command's flags.

    The library writes a field by its name, such as ``output_path`` or ``allow_missing``; in backticks if the name is an
    ordinary word, such as ``data`` in `` `data` ``.

    Examples:
        >>> command = click.Command("eval", params=[click.Option(["--use_cache"]), click.Option(["--data"])])
        >>> name_flags("use_cache /tmp/use_cache: full; say in `data` where the data is", command)
        '--use_cache /tmp/use_cache: full; say in --data where the data is'
    """
    flags = {
        name: _flag(param)
        for param in (command.params if command else ())
        if isinstance(param, click.Option)
        for name in {param.name or "", *(option.lstrip("-") for option in param.opts)}
    }
    if "num_workers" in flags:
        flags["workers"] = flags["num_workers"]

    def flag_of(match: re.Match[str]) -> str:
        return flags[match["quoted"] or match["word"]]

    quoted = "|".join(map(re.escape, flags))
    words = "|".join(re.escape(name) for name in flags if "_" in name)
    if not quoted:
        return message
    word = rf"|(?<![\w./'\"=-])(?P<word>{words})(?:=True)?(?![\w./'\"-])" if words else "|(?P<word>(?!))"
    return re.sub(rf"`(?P<quoted>{quoted})`{word}", flag_of, message)


def _flag(option: click.Option) -> str:
    return max(option.opts, key=len)


def takes_list(option: click.Option) -> bool:
    """Whether an option takes several values, separated by commas."""
    metavar, default = option.metavar or "", option.default if isinstance(option.default, str) else ""
    return isinstance(option.type, click.types.StringParamType) and (metavar == "NAMES" or "," in f"{metavar}{default}")
