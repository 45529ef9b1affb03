"""Shadow names: editors' temporary files are recognised, ordinary names are not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from makfs.config import Config
from makfs.patterns import check_shadow, compile_globs, compile_shadows

DEFAULTS = Config().shadows
# A name as people give them: words, one dot, a usual ending.
ORDINARY = st.from_regex(r"[a-z]{1,12}(_[a-z]{1,8})?\.(py|rs|md|toml|json|ts|c|h|txt|html)", fullmatch=True)


@pytest.mark.parametrize(
    ("name", "shadowed"),
    [
        ("app.py.tmp.4711.0123456789ab", "app.py"),
        ("app.py.tmp.4711", "app.py"),
        ("app.py.tmp", "app.py"),
        (".app.py.swp", "app.py"),
        (".app.py.swo", "app.py"),
        ("app.py~", "app.py"),
        ("#app.py#", "app.py"),
        (".#app.py", "app.py"),
        ("app.py___jb_tmp___", "app.py"),
        ("new\nline.py~", "new\nline.py"),
        ("4913", ""),
        (".tmpQ1w2e3", ""),
        (".goutputstream-AB12CD", ""),
    ],
)
def test_editors_temporary_files_are_shadows(name: str, shadowed: str) -> None:
    assert DEFAULTS.is_shadow(name)
    assert DEFAULTS.shadowed(name) == shadowed


@pytest.mark.parametrize(
    "name",
    [
        *("app.py", "Makefile", "README.md", ".gitignore", ".env", "sedentary", "sedation.py", "sed", "4914"),
        *(
            "~",
            "#",
            "##",
            ".#",
            "#x",
            "x#",
            "tmp",
            "template.py",
            "a.tmpl",
            ".tmp",
            ".swp",
            "a.swp",
            ".tmpfile",
        ),
        *(
            "app.tmp.py",
            "tmp.app.py",
            "x.tmp.d",
            "pkg-1.2.3.tar.gz",
            "data.20240101",
            "conf.d",
            "__init__.py",
        ),
    ],
)
def test_ordinary_names_are_no_shadows(name: str) -> None:
    assert not DEFAULTS.is_shadow(name)
    assert DEFAULTS.shadowed(name) is None


@pytest.mark.parametrize("name", ["sedXa81cD", "sedqwerty", "XXUl9OJF", "XXlarger", ".tmpqwerty"])
def test_names_that_people_give_too_are_shadows_if_the_file_is_made_as_mkstemp_makes_it(name: str) -> None:
    assert DEFAULTS.is_shadow(name, by_mkstemp=True)
    assert not DEFAULTS.is_shadow(name), "P3"


@pytest.mark.parametrize(
    "name", ["sedate.py", "sedges", "XXL.txt", "sed", "XX", "XXlarge", "sed_a1b2c", "app.py", ".tmpfile"]
)
def test_ordinary_names_are_no_shadows_however_the_file_is_made(name: str) -> None:
    assert not DEFAULTS.is_shadow(name, by_mkstemp=True)


@given(ORDINARY)
def test_a_name_people_give_is_no_shadow_and_its_backup_is(name: str) -> None:
    assert not DEFAULTS.is_shadow(name)
    assert DEFAULTS.shadowed(f"{name}~") == name
    assert DEFAULTS.shadowed(f"{name}.tmp.1234567.0a1b2c3d4e5f") == name


@pytest.mark.parametrize(
    ("pattern", "matching", "other"),
    [
        ("x?", "xy", "x"),
        ("*.bak", "a.bak", "a.bak2"),
        ("a[0-9]", "a7", "ab"),
        ("a[!0-9]", "ab", "a7"),
        ("a[]]", "a]", "ab"),
        ("a[{]b", "a{b", "ab"),
        ("a[*]", "a*", "ab"),
        ("a.b+", "a.b+", "axbb"),
        ("v{hex:4}", "v00ff", "v00fff"),
        ("v{rand:2}", "vA1", "vab"),
        ("v{rand:2}", "va1", "vA"),
        ("v{mkstemp:2}", "vab", "va_"),
    ],
)
def test_each_placeholder_matches_what_the_syntax_says(pattern: str, matching: str, other: str) -> None:
    rules = compile_shadows((pattern,))
    assert rules.is_shadow(matching, by_mkstemp=True)
    assert not rules.is_shadow(other, by_mkstemp=True)


@pytest.mark.parametrize(
    "pattern",
    [
        *(
            "",
            "*",
            "?",
            "{name}",
            "{name}{pid}",
            "{rand:8}",
            "{mkstemp:6}",
            "[a-z]*",
            "{name}[~]",
        ),  # P1: no literal
        *("*a*b*", "{name}-{name}", "{name}*x*"),  # P2
        *(
            "{nme}~",
            "{rand}x",
            "{mkstemp}x",
            "{name:3}x",
            "{pid:3}x",
            "{hex:0}x",
            "a{",
            "a}",
            "a[",
            "a[z-a]",
            "d/x",
            "n\0",
            "x" * 256,
        ),
    ],
)
def test_a_pattern_outside_the_syntax_is_refused(pattern: str) -> None:
    with pytest.raises(ValueError, match=r"^'"):
        check_shadow(pattern)


@given(st.text(st.sampled_from("ab{}[]*?!-~#.{}name:pidhexrandmkst16\\^&|()+$"), max_size=12))
def test_any_text_compiles_or_is_refused_and_never_matches_every_name(pattern: str) -> None:
    try:
        check_shadow(pattern)
    except ValueError:
        return
    rules = compile_shadows((pattern,))
    for by_mkstemp in (False, True):
        assert not rules.is_shadow("", by_mkstemp=by_mkstemp)
        assert not rules.is_shadow("Zz" * 20, by_mkstemp=by_mkstemp), "P1"


def test_no_patterns_mean_no_shadows() -> None:
    assert not compile_shadows(()).is_shadow("")
    assert not compile_shadows(()).is_shadow("app.py~")


def test_the_worst_pattern_answers_on_the_longest_name() -> None:
    assert not compile_shadows(("{name}a*b",)).is_shadow("a" * 254 + "c"), "P2"


def test_globs_follow_gitignore() -> None:
    globs = compile_globs(("docs/", "*.log", "!keep.log", "/top"))
    matched = [
        path for path in ("docs/a", "x/docs/a", "a.log", "keep.log", "top", "x/top") if globs.match_file(path)
    ]
    assert matched == ["docs/a", "x/docs/a", "a.log", "top"]
