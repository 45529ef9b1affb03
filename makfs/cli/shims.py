"""Commands that wait their turn in a run: a small script of each one's name, first on the program's PATH.

H1  What is waited for is held by an open file, `.makfs/with/NAME`, which the real command inherits: it runs
    in the script's place, with its arguments, streams, terminal and signals, and is what its caller awaits.
H2  A command that is not there is 127, as without the script; one whose turn does not come is 75, and was not
    run.
H3  `python -m NAME` is the command NAME; every other `python` runs at once.
"""

import os
import shlex
from collections.abc import Sequence

from makfs.wire.runs import Turn

FOLDER = "bin"
PROFILE = "/etc/profile"
_SCRIPT = ".turn"
_PYTHONS = ("python", "python3")
_HEAD = """\
#!/bin/sh
# makfs: of some commands one runs at a time ([resource.NAME] in makfs.conf). Wait, then run the real one.
name=${0##*/}; held=
turn_of() {
    case $1 in
"""
_TAIL = """\
    esac
}
case $name in python|python3)  # what follows -m; the options before it are those of python(1)
    module= value=
    for word do
        if [ "$value" = m ]; then module=$word; break; fi
        if [ -n "$value" ]; then value=; continue; fi
        case $word in
        --check-hash-based-pycs) value=v ;;
        --*) ;;
        -?*)
            word=${word#-}
            while [ -n "$word" ]; do
                case $word in
                m) value=m; word= ;;
                m*) module=${word#m}; break 2 ;;
                c*) break 2 ;;
                W|X) value=v; word= ;;
                W*|X*) word= ;;
                *) word=${word#?} ;;
                esac
            done ;;
        *) break ;;
        esac
    done
    if [ -n "$module" ]; then turn_of "$module"; fi ;;
esac
if [ -z "$held" ]; then turn_of "$name"; fi
set -f; IFS=:
for folder in $PATH; do
    real=${folder:-.}/$name
    if [ -f "$real" ] && [ -x "$real" ] && ! [ "$real" -ef "$0" ]; then break; fi
    real=
done
unset IFS
if [ -z "$real" ]; then echo "makfs: The command $name was not found in this run." >&2; exit 127; fi
if [ -n "$held" ]; then
    for fd in 9 8 7 6 5 4 3; do [ -e "/proc/$$/fd/$fd" ] || break; done
    eval "command exec $fd>>\\"\\$held\\"" 2>/dev/null || {
        echo "makfs: $name did not get its turn; .makfs/why says who has it." >&2
        exit 75
    }
fi
exec "$real" "$@"
"""


def script(turns: Sequence[Turn], view: str) -> str:
    """Return the script for all these commands. `view` is where the program finds its view."""
    owners = {command: turn.resource for turn in turns for command in turn.commands}
    cases = "".join(
        f"    {command}) held={shlex.quote(os.path.join(view, '.makfs/with', resource))} ;;\n"
        for command, resource in owners.items()
    )
    return _HEAD + cases + _TAIL


def write(turns: Sequence[Turn], view: str, folder: str) -> None:
    """Put the script, under each command's name, into a folder that is made."""
    os.mkdir(folder, 0o755)
    path = os.path.join(folder, _SCRIPT)
    with open(path, "w", encoding="utf-8") as file:
        os.fchmod(file.fileno(), 0o755)
        file.write(script(turns, view))
    for turn in turns:
        for command in (*turn.commands, *_PYTHONS):
            place = os.path.join(folder, command)
            if not os.path.lexists(place):
                os.symlink(_SCRIPT, place)


def profile(folder: str) -> bytes:
    """Return what /etc/profile must say: login shells set PATH anew there, and shall keep the folder first.

    Raises OSError if there is none.
    """
    with open(PROFILE, "rb") as file:
        return file.read() + os.fsencode(f"\nPATH={shlex.quote(folder)}:$PATH\nexport PATH\n")
