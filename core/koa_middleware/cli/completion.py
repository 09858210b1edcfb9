"""``koa-cal completion``."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from .output import print_exactly

ABOUT = "print what lets a shell complete commands, options, cal types, columns and names"

EXAMPLES = """
# in ~/.bashrc, or in ~/.zshrc with zsh
eval "$(koa-cal completion bash)"
# of fish
koa-cal completion fish > ~/.config/fish/completions/koa-cal.fish
"""


def add_arguments(command: ArgumentParser) -> None:
    """Add the arguments."""
    command.add_argument("shell", choices=("bash", "zsh", "fish"))


def run(options: Namespace) -> int:
    """Print the shell's code."""
    from argcomplete.shell_integration import shellcode

    print_exactly(shellcode(["koa-cal"], shell=options.shell))
    return 0
