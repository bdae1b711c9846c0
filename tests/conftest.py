"""Fixtures of every test: an empty home, no settings from outside, and the program to run."""

import io
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from flux_cli.cli.main import main
from flux_cli.config.paths import Paths
from flux_cli.images.png import texts_in
from flux_cli.journal.entries import Account, Entry
from flux_cli.journal.journal import Journal
from flux_cli.piapi.http_client import tls_context

from .forking import ForkedProcess, fork_server
from .raw_servers import PublicNetwork, RawServer, run_public_network, run_raw_server
from .servers import BreakingProxy, Service, run_breaking_proxy, run_sandbox

sys.dont_write_bytecode = False  # keep what pytest compiles for the next process


def pytest_configure(config: pytest.Config) -> None:
    """Compile all tests once, before each worker would."""
    if not hasattr(config, "workerinput") and config.args_source is pytest.Config.ArgsSource.TESTPATHS:
        for path in Path(__file__).parent.glob("test_*.py"):
            with suppress(pytest.skip.Exception):
                import_module(f"tests.{path.stem}")


# A run that a shell started in the background ignores Ctrl-C, and so would every program that it starts.
signal.signal(signal.SIGINT, signal.default_int_handler)

# Use the same examples in each run, so that only a change can make one fail; `explore` looks for new ones.
settings.register_profile("default", max_examples=100, deadline=None, derandomize=True)
settings.register_profile("explore", max_examples=2000, deadline=None, print_blob=True)
settings.load_profile("explore" if os.environ.get("FLUX_EXPLORE") == "1" else "default")

KEY = "test-key-0123456789abcdef"
WEBHOOK_SECRET = "hook-secret-0123456789abcdef"
SECRETS = (KEY, WEBHOOK_SECRET)
"""Secrets that must not be found anywhere but where they belong."""
KEY_PATHS = ("/api/v1/task", "/account/info", "/api/ephemeral_resource")
"""Paths that are requested with the key, in its own header."""
KEY_HOSTS = ("api.piapi.ai", "upload.theapi.app")


CONNECTIONS: list[tuple[str, object]] = []
"""Network calls of this process, in order: ("connect", address) and ("getaddrinfo", name)."""


def _audit(event: str, arguments: tuple[Any, ...]) -> None:
    """Record network calls, and raise if one would leave this machine."""
    if event == "socket.connect":
        address = arguments[1]
        CONNECTIONS.append(("connect", address))
        if isinstance(address, tuple) and not str(address[0]).startswith(("127.", "::1")):
            raise PermissionError(f"a test must not leave this machine, and connects to {address}")
    elif event == "socket.getaddrinfo":
        CONNECTIONS.append(("getaddrinfo", arguments[0]))


sys.addaudithook(_audit)


@dataclass(frozen=True)
class Result:
    """The exit code and output of a command. out_bytes: stdout before decoding."""

    code: int
    out: str
    err: str
    out_bytes: bytes = b""


Flux = Callable[..., Result]


class CapturedStream(io.TextIOWrapper):
    """A stream that is not a terminal and keeps its bytes."""

    def __init__(self) -> None:
        self.bytes = io.BytesIO()
        super().__init__(self.bytes, encoding="utf-8", write_through=True)


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Create an empty home and an empty current directory. After the test, no file in them contains a secret."""
    monkeypatch.delenv("PYTHONUNBUFFERED", raising=False)  # it would hide output that is lost at exit
    monkeypatch.delenv("PYTHONDONTWRITEBYTECODE", raising=False)  # each process would compile the program again
    for name in list(os.environ):
        if name.startswith(("FLUX_", "PIAPI_", "GITHUB_", "SSL_CERT_")) or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    # Trust only the tests' own certificate: reading the system's takes 20 ms per process.
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path))
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    monkeypatch.setenv("FLUX_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("FLUX_TIME_SCALE", "0.02")
    tls_context.cache_clear()
    yield tmp_path / "home"
    for path in tmp_path.rglob("*"):
        if path.is_file() and path.name != "config.toml":
            assert_no_secret(path.read_bytes(), str(path))
            if path.suffix.lower() == ".png":  # its texts may be compressed
                assert_no_secret(repr(texts_in(path.read_bytes())), f"the texts of {path}")
            elif zipfile.is_zipfile(path):
                with zipfile.ZipFile(path) as bundle:
                    assert_no_secret(b"".join(map(bundle.read, bundle.namelist())), f"the files in {path}")


def assert_no_secret(content: str | bytes, where: str) -> None:
    """Fail the test if the content contains a secret."""
    found = content.encode("utf-8", "surrogateescape") if isinstance(content, str) else content
    assert not [secret for secret in SECRETS if secret.encode() in found], f"a secret is in {where}"


@pytest.fixture
def flux(monkeypatch: pytest.MonkeyPatch) -> Flux:
    """Return a function that runs a command line in this process, through pipes. The key is never printed."""

    def run(line: str, stdin: str | bytes = "") -> Result:
        out, err = CapturedStream(), CapturedStream()
        given = stdin.encode() if isinstance(stdin, str) else stdin
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(given), encoding="utf-8"))
        monkeypatch.setattr(sys, "stdout", out)
        monkeypatch.setattr(sys, "stderr", err)
        code = main(shlex.split(line))
        written = out.bytes.getvalue()
        result = Result(code, written.decode("utf-8", "replace"), err.bytes.getvalue().decode(), written)
        assert_no_secret(result.out + result.err, f"the output of flux {line}")
        return result

    return run


@pytest.fixture
def service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Service]:
    """Run the sandbox on a real socket, with the settings that point at it."""
    with run_sandbox(tmp_path / "service.db") as running:
        monkeypatch.setenv("FLUX_BASE_URL", f"{running.origin}/api/v1")
        monkeypatch.setenv("FLUX_UPLOAD_URL", running.origin)
        monkeypatch.setenv("PIAPI_API_KEY", KEY)
        yield running
        for request in running.requests:
            key = request.headers.get("x-api-key")
            assert key is None or request.path.startswith(KEY_PATHS), f"the key came with {request.path}"
            rest = {name: value for name, value in request.headers.items() if name != "x-api-key"}
            assert_no_secret(f"{request.path} {rest}", f"a request for {request.path}")


@pytest.fixture
def raw() -> Iterator[RawServer]:
    """Run a server that responds with arbitrary bytes and is not PiAPI: no request to it has a secret."""
    with run_raw_server() as server:
        yield server
    for head in server.heads:
        assert_no_secret(head, "a request to another origin")
        assert b"api-key" not in head.lower()


PUBLIC_HOSTS = ("api.piapi.ai", "upload.theapi.app", "img.theapi.app", "elsewhere.example.com")
"""Hosts of the certificate of the public network. The first two are PiAPI's in a new installation."""


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Create a certificate and its key, in one file, for this machine and every public host."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed: cannot create a certificate")
    directory = tmp_path_factory.mktemp("certificate")
    names = ",".join(f"DNS:{host}" for host in (*PUBLIC_HOSTS, "localhost"))
    request = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=flux-test"
    command = [*request.split(), "-addext", f"subjectAltName={names}", "-keyout", "key.pem", "-out", "certificate.pem"]
    subprocess.run(command, cwd=directory, capture_output=True, check=True)
    combined = directory / "both.pem"
    combined.write_bytes((directory / "key.pem").read_bytes() + (directory / "certificate.pem").read_bytes())
    return combined


@pytest.fixture
def dns(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[str]]:
    """Replace the resolver: a name's addresses are returned one per lookup; the last one is repeated."""
    addresses: dict[str, list[str]] = {host: ["93.184.215.14"] for host in PUBLIC_HOSTS}
    real = socket.getaddrinfo

    def resolve(host: Any, *rest: Any, **options: Any) -> Any:
        name = host.decode() if isinstance(host, bytes) else host
        found = addresses.get(name, [name])
        address = found.pop(0) if len(found) > 1 else found[0]
        return real(address, *rest, **options)

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    return addresses


@pytest.fixture
def network(
    service: Service, certificate: Path, dns: dict[str, list[str]], monkeypatch: pytest.MonkeyPatch
) -> Iterator[PublicNetwork]:
    """Run the sandbox at PiAPI's public host names, with the settings of a new installation."""
    with run_public_network(certificate) as network:
        port = int(service.origin.rpartition(":")[2])
        network.hosts |= {"api.piapi.ai": port, "upload.theapi.app": port}
        monkeypatch.setenv("HTTPS_PROXY", network.url)
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        for name in ("FLUX_BASE_URL", "FLUX_UPLOAD_URL"):
            monkeypatch.delenv(name)
        yield network
    for host, head in network.heads:
        if host not in KEY_HOSTS:
            assert_no_secret(head, f"a request to {host}")


@pytest.fixture
def proxy(service: Service, monkeypatch: pytest.MonkeyPatch) -> Iterator[BreakingProxy]:
    """Run a breaking proxy between the program and the sandbox."""
    with run_breaking_proxy(service) as running:
        monkeypatch.setenv("FLUX_BASE_URL", f"{running.origin}/api/v1")
        yield running


@pytest.fixture
def entries(home: Path) -> Callable[[], list[Entry]]:
    """Return a function that reads the journal's entries, oldest first."""

    def read() -> list[Entry]:
        paths = Paths.find({"FLUX_HOME": str(home)})
        with closing(Journal(paths.journal, paths.locks, Account("any", "any"))) as journal:
            return journal.newest()[::-1]

    return read


class FluxProcess(subprocess.Popen[str]):
    """The program as a process whose output is checked for secrets."""

    def communicate(self, *rest: Any, **options: Any) -> tuple[str, str]:
        """Return the output, as the base class does."""
        out, err = super().communicate(*rest, **options)
        assert_no_secret(f"{out}{err}", f"the output of {self.args!r}")
        return out, err


FORKABLE = {"stdin", "stdout", "stderr", "start_new_session"}
"""Options of `start` with which the program is forked."""


class ForkedFluxProcess(FluxProcess, ForkedProcess):
    """The program as a forked process."""


@pytest.fixture(scope="session", autouse=True)
def _end_fork_server() -> Iterator[None]:
    """End the fork server at the end of the session."""
    yield
    if fork_server.cache_info().currsize:
        fork_server().end()


@pytest.fixture
def start() -> Callable[..., subprocess.Popen[str]]:
    """Return a function that starts the program as a process, forked unless it needs its own Python.

    program: the arguments of Python, if not as usual.
    """

    def run(line: str, program: Sequence[str] = ("-m", "flux_cli"), **options: object) -> subprocess.Popen[str]:
        assert_no_secret(line, "a command line, which every user of a machine can read")
        words = shlex.split(line)
        settings: dict[str, object] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, **options}
        as_usual = program == ("-m", "flux_cli") and os.environ.get("PYTHONIOENCODING", "utf-8") == "utf-8"
        if sys.platform == "linux" and as_usual and options.keys() <= FORKABLE:
            return ForkedFluxProcess(words, **settings)  # type: ignore[call-overload,no-any-return]
        return FluxProcess([sys.executable, *program, *words], **settings)  # type: ignore[call-overload,no-any-return]

    return run
