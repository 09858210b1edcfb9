"""What a real shell offers at Tab."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from .conftest import environment

#: Defines `ask`, which prints what is offered for the last word of a line, by the shell's own completion.
ASK = {
    "bash": """
eval "$(koa-cal completion bash)"
ask() {
    COMP_LINE="$1" COMP_POINT=${#1} COMP_WORDBREAKS=$' \\t\\n"\\'><=;|&(:' COMP_TYPE=9
    read -r -a COMP_WORDS <<< "$1"; [[ $1 == *' ' ]] && COMP_WORDS+=('')
    COMP_CWORD=$((${#COMP_WORDS[@]} - 1)) COMPREPLY=()
    $(complete -p koa-cal | sed 's/.*-F \\([^ ]*\\).*/\\1/') koa-cal "${COMP_WORDS[COMP_CWORD]}" koa-cal
    echo "${COMPREPLY[@]}"
}
""",
    "zsh": """
compdef() { completer=$1 }
_describe() { offered=("${(@P)2}") }
eval "$(koa-cal completion zsh)"
ask() {
    BUFFER=$1 CURSOR=${#1} words=(${(z)1}) offered=()
    $completer koa-cal
    echo ${offered%%:*}
}
""",
    "fish": """
koa-cal completion fish | source
function ask; complete -C "$argv[1]" | string replace -r '\\t.*' '' | string join ' '; end
""",
}

LINES = ["koa-cal li", "koa-cal list --ty", "koa-cal list -i testspec --type d", "koa-cal list -i testspec --where ar"]


@pytest.fixture
def koa_cal_in_path(tmp_path: Path, distribution: Path) -> dict[str, str]:
    """Give an environment whose shells find ``koa-cal``."""
    script = tmp_path / "bin" / "koa-cal"
    script.parent.mkdir()
    script.write_text(f"#!{sys.executable}\nimport sys\nfrom koa_middleware.cli import main\nsys.exit(main())\n")
    script.chmod(0o755)
    return environment(distribution, PATH=f"{script.parent}:{os.environ['PATH']}", HOME=str(tmp_path))


@pytest.mark.usefixtures("night")
@pytest.mark.parametrize("shell", ASK)
def test_a_shell_completes_commands_options_types_columns_and_names(
    shell: str, koa_cal_in_path: dict[str, str]
) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    typed = [*LINES, "koa-cal show -i testspec dark-n"]
    script = ASK[shell] + "\n".join(f"ask '{line}'" for line in typed)
    done = subprocess.run([shell], input=script, env=koa_cal_in_path, capture_output=True, text=True, timeout=60)
    assert done.stderr == ""
    assert [set(line.split()) for line in done.stdout.splitlines()] == [
        {"list"},
        {"--type"},
        {"dark"},
        {"arm="},
        {"dark-near.fits", "dark-next.fits"},
    ]
