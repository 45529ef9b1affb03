"""How each program edits a file, and what becomes of an edit of what another agent holds."""

import shlex
import sys
from dataclasses import dataclass
from pathlib import Path

CLIENTS = Path(__file__).parent


@dataclass(frozen=True)
class Tool:
    """How a program is run, and what it says when it may not."""

    shell: str  # $FILE, $NEW (a file with the new text), $PATCH, $OLD1 $BY1 $OLD2 $BY2
    code: int
    said: str
    kept: bool = True  # the refused bytes are a refusal
    free: bool = True  # what nobody holds goes through while something else of the file is held
    cut: int | None = None  # exit code when it cuts a held end off; None: it cannot
    alone: bool = False  # commits with git: one at a time


def own(name: str, said: str, cut: int, *, alone: bool = False) -> Tool:
    program = f'"{sys.executable}" -I -S {shlex.quote(str(CLIENTS))}/{name}.py'
    return Tool(f'{program} "$FILE" "$OLD1" "$BY1" "$OLD2" "$BY2"', 1, said, cut=cut, alone=alone)


BUSY = "Device or resource busy"
WRITE_TEXT = (
    "import sys; from pathlib import Path as P; P(sys.argv[1]).write_text(P(sys.argv[2]).read_text())"
)
SED = 'sed -i -e "s/$OLD1/$BY1/" -e "s/${OLD2:-$BY1}/${BY2:-$BY1}/" "$FILE"'
PERL = "perl -pi -e 's/$ENV{OLD1}/$ENV{BY1}/; s/$ENV{OLD2}/$ENV{BY2}/ if $ENV{OLD2}' \"$FILE\""
VIM = 'vim -Nu NONE -es +"set $MORE" +%s/"$OLD1"/"$BY1"/ +%s/"${OLD2:-$BY1}"/"${BY2:-$BY1}"/ +wq "$FILE"'
EMACS = """emacs -Q --batch "$FILE" --eval '(progn
  (dolist (each (list (cons "OLD1" "BY1") (cons "OLD2" "BY2")))
    (goto-char 1)
    (unless (string= "" (getenv (car each)))
      (while (search-forward (getenv (car each)) nil t) (replace-match (getenv (cdr each))))))
  (save-buffer))'"""
TOOLS = {
    "codex": own("codex", "(os error 16)", 0),
    "claude": own("claude", "EBUSY: device or resource busy", 1),
    "opencode": own("opencode", "busy, write", 0),
    "copilot": own("copilot", "Failed to edit", 0),
    "aider": own("aider", "Unable to write file", 1, alone=True),
    "node": own("node", "EBUSY: device or resource busy, write", 0),
    "bash >": Tool('printf "%s\\n" "$(cat "$NEW")" > "$FILE"', 1, f"write error: {BUSY}", cut=0),
    "cat >": Tool('cat "$NEW" > "$FILE"', 1, f"write error: {BUSY}", cut=1),
    "tee": Tool('tee "$FILE" < "$NEW" > /dev/null', 1, BUSY, cut=1),
    "dd": Tool('dd if="$NEW" of="$FILE" conv=notrunc status=none', 1, BUSY),
    "cp": Tool('cp "$NEW" "$FILE"', 1, BUSY, cut=1),
    "python": Tool(f'"{sys.executable}" -I -S -c "{WRITE_TEXT}" "$FILE" "$NEW"', 1, BUSY, cut=1),
    "mv": Tool('cp "$NEW" "$FILE.new" && mv -f "$FILE.new" "$FILE"', 1, "cannot move", cut=1),
    "mv from elsewhere": Tool(
        'mv -f "$NEW" "$FILE"', 1, "unable to remove target", kept=False, free=False, cut=1
    ),
    "install": Tool('install -m 644 "$NEW" "$FILE"', 1, "cannot remove", kept=False, free=False, cut=1),
    "sed -i": Tool(SED, 4, "cannot rename"),
    "perl -pi": Tool(PERL, 16, "failed to rename work file"),
    "rsync": Tool('rsync "$NEW" "$FILE"', 23, BUSY, cut=23),
    "rsync --inplace": Tool('rsync --inplace "$NEW" "$FILE"', 11, BUSY, cut=11),
    "patch": Tool('patch -s "$FILE" "$PATCH"', 2, "Can't rename file", cut=2),
    "git apply": Tool('git apply "$PATCH"', 128, "unable to write file", cut=128),
    "vim": Tool(f"MORE=nobackup; {VIM}", 1, ""),
    "vim that copies": Tool(f"MORE='backupcopy=yes backup'; {VIM}", 1, ""),
    "emacs": Tool(EMACS, 255, BUSY, cut=255),
}

FORMATTERS = {  # without what they remember of files they have formatted
    "ruff": 'format --isolated --no-cache -q "$FILE"',
    "black": '-q "$FILE"',
}
