"""Real command line agents under `makfs run`, offline: where they are, their model, how each finds it."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.mount import modelserver
from tests.mount.mounted import PACKAGES, PATIENCE_S
from tests.mount.runs import Place, Process

PROJECT = Path(__file__).parents[2]
FOLDER = Path(os.environ.get("MAKFS_CLIS") or PROJECT / ".clis")  # where scripts/clis puts them
PATH = os.pathsep.join(
    [os.environ["PATH"], str(FOLDER / "node_modules" / ".bin"), str(FOLDER / "aider" / "bin")]
)
KEY = "sk-tiger-lily"
Turn = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Client:
    """How one program is pointed at a model at an address, and what it calls its tools."""

    name: str
    variables: dict[str, str]  # {} is the address
    words: tuple[str, ...] = ()
    home: tuple[tuple[str, str], ...] = ()  # files of its home, and their text
    shell: Callable[[str], Turn] | None = None  # a turn that runs a command


def _tool(name: str, **more: Any) -> Callable[[str], Turn]:
    def turn(command: str) -> Turn:
        return {"tool": name, "arguments": {"command": command, "description": "look", **more}}

    return turn


def _codex_shell(command: str) -> Turn:
    return {"tool": "exec_command", "arguments": {"cmd": command}}


_PROVIDER = 'model_providers.scripted={{name="scripted",base_url="{}/v1",env_key="OPENAI_API_KEY"}}'
_OPENCODE = {
    "provider": {
        "scripted": {
            "npm": "@ai-sdk/openai-compatible",
            "options": {"baseURL": "{}/v1", "apiKey": KEY},
            "models": {"scripted": {"name": "scripted"}},
        }
    }
}
CLIENTS = {
    each.name: each
    for each in (
        Client("claude", {"ANTHROPIC_BASE_URL": "{}", "ANTHROPIC_API_KEY": KEY}, shell=_tool("Bash")),
        Client(
            "codex",
            {"OPENAI_API_KEY": KEY},
            ("-c", _PROVIDER, "-c", "model_provider=scripted", "-m", "scripted", "--disable", "plugins"),
            shell=_codex_shell,
        ),
        Client(
            "gemini",
            {"GOOGLE_GEMINI_BASE_URL": "{}", "GEMINI_API_KEY": KEY},
            ("-m", "gemini-2.5-flash"),
            ((".gemini/settings.json", '{"security": {"auth": {"selectedType": "gemini-api-key"}}}'),),
            _tool("run_shell_command"),
        ),
        Client(
            "opencode",
            {"OPENCODE_DISABLE_MODELS_FETCH": "1"},
            ("-m", "scripted/scripted"),
            ((".config/opencode/opencode.json", json.dumps(_OPENCODE)),),
            _tool("bash"),
        ),
        Client(
            "qwen",
            {"OPENAI_BASE_URL": "{}/v1", "OPENAI_API_KEY": KEY, "OPENAI_MODEL": "scripted"},
            shell=_tool("run_shell_command", is_background=False),
        ),
        Client(
            "copilot",
            {
                "COPILOT_OFFLINE": "true",
                "COPILOT_PROVIDER_BASE_URL": "{}/v1",
                "COPILOT_PROVIDER_API_KEY": KEY,
                "COPILOT_MODEL": "scripted",
            },
            shell=_tool("bash"),
        ),
        Client(
            "aider",
            {"OPENAI_API_BASE": "{}/v1", "OPENAI_API_KEY": KEY},
            ("--model", "openai/scripted", "--no-show-model-warnings"),
        ),
    )
}


def needed(*names: str) -> tuple[Client, ...]:
    """Return programs, or skip the test that needs them."""
    for name in names:
        if shutil.which(name, path=PATH) is None:
            pytest.skip(f"{name} is not installed; scripts/clis {name} does that")
    return tuple(CLIENTS[name] for name in names)


class Model:
    """The model, on a network that has nothing else."""

    def __init__(self, place: Place, folder: Path, server: Process, port: int) -> None:
        self._place = place
        self._folder = folder
        self._server = server
        self._port = port

    def script(self, **turns: Sequence[Turn]) -> None:
        """Say what the model answers to whom, and forget what was asked."""
        (self._folder / "script.json").write_text(json.dumps(turns))
        (self._folder / "requests.jsonl").write_text("")

    def requests(self, agent: str) -> list[dict[str, Any]]:
        """Return what an agent's program asked, but for errands that offer no tools."""
        bodies = self.all_requests(agent)
        return [body for body in bodies if body.get("tools")] or bodies

    def all_requests(self, agent: str) -> list[dict[str, Any]]:
        """Return whatever an agent's program asked."""
        lines = (self._folder / "requests.jsonl").read_text().splitlines()
        return [each["body"] for line in lines if (each := json.loads(line))["agent"] == agent]

    def start(self, client: Client, *words: str, agent: str) -> Process:
        """Start `makfs run` where the model is; its own words follow `-e` and the like."""
        address = f"http://127.0.0.1:{self._port}/{agent}"
        home = self._place.repo / ".makfs" / "agents" / agent / "home"
        for path, text in client.home:
            (home / path).parent.mkdir(parents=True, exist_ok=True)
            (home / path).write_text(text.replace("{}", address))
        given = [f"{name}={value.replace('{}', address)}" for name, value in client.variables.items()]
        options = [word for each in given for word in ("-e", each)]
        inside = ["nsenter", f"--net=/proc/{self._server.pid}/ns/net"]
        command = [*inside, sys.executable, "-P", "-m", "makfs.cli", "run", *options, *words]
        variables = {name: value for name, value in os.environ.items() if name != "MAKFS_REPO"}
        variables |= {"PYTHONPATH": PACKAGES, "PATH": PATH, "HOME": str(self._place.outside.parent / "home")}
        return subprocess.Popen(
            command, cwd=self._place.repo, env=variables, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )  # fmt: skip

    def task(self, client: Client, task: str, agent: str) -> Process:
        """Start a program for a task, by its adapter."""
        address = f"http://127.0.0.1:{self._port}/{agent}"
        words = [word.format(address) for word in client.words]
        return self.start(client, agent, "--cli", client.name, "--task", task, "--", *words, agent=agent)


@contextmanager
def model(place: Place, folder: Path) -> Iterator[Model]:
    """Serve a model until the block ends."""
    if os.geteuid() != 0 or shutil.which("nsenter") is None:
        pytest.skip("a network of one's own needs root, and nsenter")
    folder.mkdir()
    server: Process = subprocess.Popen(
        [sys.executable, "-P", modelserver.__file__, str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert server.stdin is not None
    assert server.stdout is not None
    try:
        yield Model(place, folder, server, int(server.stdout.readline()))
    finally:
        server.stdin.close()
        server.wait(PATIENCE_S)
        server.stdout.close()


def ended(process: Process) -> str:
    """Return what a run printed, when it has ended well."""
    out, err = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0, (out[-2000:], err[-2000:])
    return out.decode()
