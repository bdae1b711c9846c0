"""Pictures from servers that cut, stall, lie and lead elsewhere: a final file is a whole picture or absent."""

import gzip
import itertools
import json
import ssl
import time
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from flux_cli.engine import poller, saver
from flux_cli.images.metadata import sandbox_mark, texts_for
from flux_cli.images.png import with_texts
from flux_cli.journal.entries import State
from flux_cli.operations.request import TaskRequest
from flux_cli.piapi import image_download as downloads

from .conftest import Flux
from .raw_servers import (
    PublicNetwork,
    RawServer,
    Response,
    chunked_response,
    endless_response,
    plain_response,
    redirect,
    response_head,
    run_raw_server,
    unframed_response,
)
from .servers import Reply, Service
from .test_formats import IMAGES, encode
from .test_promises import GEN, POLL, Entries


def marked(content: bytes) -> bytes:
    """The image as flux saves it from a service on this machine, which it takes for a sandbox."""
    return with_texts(content, sandbox_mark()) if content.startswith(b"\x89PNG") else content


PNG, JPEG, WEBP = IMAGES["png"], IMAGES["jpg-baseline"], IMAGES["webp-lossy"]
TASK = "a-task"
HERE = f"/{TASK}.png"


def completed_reply(task: str, *urls: str) -> Reply:
    """What the service says of a task whose images stand at `urls`."""
    data = {"task_id": task, "status": "completed", "output": {"image_urls": list(urls)}}
    return 200, {}, json.dumps({"code": 200, "data": data}).encode()


def offered(service: Service, *urls: str, task: str = TASK, times: int = 99) -> None:
    """Let the service say that a task's images stand at `urls`."""
    service.reply_with("GET", f"/api/v1/task/{task}", *[completed_reply(task, *urls)] * times)


@dataclass(frozen=True)
class Case:
    """What a picture's address answers, try by try, and how `flux wait` ends.

    said: what the user reads. saved: the content of the one file that is there, None for no file.
    tries: how often the address is asked; None: again and again, until flux gives up.
    """

    name: str
    responses: list[Response]
    code: int = 10
    said: str = ""
    saved: bytes | None = None
    state: State = State.READY
    tries: int | None = None


def flipped(content: bytes) -> bytes:
    """A byte in the midst of the pixels is another."""
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 4]) + content[middle + 1 :]


def at_full_length(body: bytes) -> Response:
    """The beginning of a picture under the length of the whole one."""
    return plain_response(body, length=len(PNG))


def raw_bytes(content: bytes) -> Response:
    """An answer that is no HTTP at all, or nearly."""
    return lambda: [content]


def dripping() -> Iterable[bytes]:
    """Less than a kilobyte a second."""
    yield response_head("HTTP/1.1 200 OK", f"Content-Length: {len(PNG)}")
    for byte in PNG:
        time.sleep(0.05)
        yield bytes([byte])


def bomb() -> Response:
    """Eight megabytes in eight kilobytes, which were not asked for in that form."""
    return plain_response(gzip.compress(b"\x89PNG\r\n\x1a\n" + bytes(8_000_000)), "Content-Encoding: gzip")


GOOD = plain_response(PNG)
CUT = len(PNG) - 4  # Pillow opens this one without a word
BROKEN_DOWNLOAD = "could not be saved: the download failed: "
MALFORMED_URL = "the image URL, or one that it redirects to, is malformed"
CLOSED, NO_HTTP = (
    f"{BROKEN_DOWNLOAD}the connection closed before its end",
    f"{BROKEN_DOWNLOAD}the response is not valid HTTP",
)

CASES = [
    Case("whole", [GOOD], 0, "saved a-task.png", PNG, State.SAVED, 1),
    Case("whole, in chunks", [chunked_response(PNG)], 0, "", PNG, State.SAVED, 1),
    Case("whole, up to the end of the connection", [unframed_response(PNG)], 0, "", PNG, State.SAVED, 1),
    Case("cut under its length", [at_full_length(PNG[:CUT])], said=CLOSED),
    Case("cut in a chunk", [chunked_response(PNG[:CUT], ends=False)], said=CLOSED),
    Case("a chunk that ends the answer early", [chunked_response(PNG[:CUT])], said="the PNG is cut short"),
    Case("cut by the end of the connection", [unframed_response(PNG[:CUT])], said="the PNG is cut short"),
    Case("whole, but the last chunk is missing", [chunked_response(PNG, ends=False)], said=CLOSED),
    Case("longer than it says", [plain_response(PNG, length=CUT)], said="the PNG is cut short"),
    Case("a flipped bit", [plain_response(flipped(PNG))], said="the PNG is damaged"),
    Case("mended at the last try", [plain_response(flipped(PNG))] * 4 + [GOOD], 0, "trying again", PNG, State.SAVED, 5),
    Case("a page", [plain_response(b"<!DOCTYPE html><title>Sign in</title>")], said="a web page came instead of an image"),
    Case("nothing", [plain_response(b"")], said="nothing came"),
    Case("no answer", [raw_bytes(b"")], said=CLOSED),
    Case("no HTTP", [raw_bytes(b"SSH-2.0-OpenSSH_9.6\r\n\r\n")], said=NO_HTTP),
    Case("a head without an end", [raw_bytes(b"HTTP/1.1 200 OK\r\nX: " + b"y" * 300_000)], said=BROKEN_DOWNLOAD),
    Case("a length that is none", [raw_bytes(response_head("HTTP/1.1 200 OK", "Content-Length: -1"))], said=BROKEN_DOWNLOAD),
    Case("two lengths", [plain_response(PNG, "Content-Length: 3")], said=BROKEN_DOWNLOAD),
    Case("a length beyond all", [plain_response(PNG, length=10**30)], said=BROKEN_DOWNLOAD),
    Case("endless", [endless_response()], said="the image is larger than 1 MiB", tries=2),
    Case("dripping", [dripping], said="the download is too slow"),
    Case("slow, and within the least speed", [endless_response(lambda: time.sleep(0.02))], said="took more than 0 s"),
    Case("a bomb", [bomb()], said="the image is larger than 1 MiB", tries=2),
    Case("gzip", [plain_response(gzip.compress(PNG), "Content-Encoding: gzip")], 0, "", PNG, State.SAVED, 1),
    Case("deflate, in chunks of any size", [chunked_response(zlib.compress(PNG), "Content-Encoding: Deflate")], 0, "", PNG,
         State.SAVED, 1),
    Case("cut gzip", [plain_response(gzip.compress(PNG)[:-9], "Content-Encoding: gzip")], said=f"{BROKEN_DOWNLOAD}unusable content encoding"),
    Case("no gzip", [plain_response(PNG, "Content-Encoding: gzip")], said=f"{BROKEN_DOWNLOAD}unusable content encoding"),
    Case("gzip in gzip", [plain_response(gzip.compress(gzip.compress(PNG)), "Content-Encoding: gzip, gzip")],
         said=f"{BROKEN_DOWNLOAD}unusable content encoding"),
    Case("brotli", [plain_response(PNG, "Content-Encoding: br")], said=f"{BROKEN_DOWNLOAD}unusable content encoding"),
    Case("a JPEG and a line end", [plain_response(JPEG + b"\r\n")], 0, "", JPEG + b"\r\n", State.SAVED, 1),
    Case("a part", [plain_response(PNG, status="206 Partial Content")], said="the image URL returned HTTP 206"),
    Case("no content", [raw_bytes(response_head("HTTP/1.1 204 No Content"))], said="the image URL returned HTTP 204"),
    Case("later, and then there", [plain_response(b"", "Retry-After: 0", status="429 Too Many")] * 2 + [GOOD], 0, "HTTP 429", PNG,
         State.SAVED, 3),
    Case("a JPEG", [plain_response(JPEG)], 0, "the image is jpg: saved as a-task.jpg", JPEG, State.SAVED, 1),
    Case("a WebP named PNG", [plain_response(WEBP, "Content-Disposition: attachment; filename=../../x.png")], 0,
         "saved as a-task.webp", WEBP, State.SAVED, 1),
    Case("a loop", [redirect(HERE)], said="more than 5 redirects", tries=12),
    Case("around and back", [redirect(HERE, "307 Temporary Redirect")] * 5 + [GOOD], 0, "", PNG, State.SAVED, 6),
    Case("a redirect to nowhere", [redirect(None)], said="redirects to nowhere", tries=2),
    Case("a redirect to nothing", [redirect("")], said="redirects to nowhere", tries=2),
    Case("to a file", [redirect("file:///etc/passwd")], said="the image URL is not http(s)", tries=2),
    Case("to data", [redirect("data:image/png;base64,iVBORw0KGgo=")], said=MALFORMED_URL, tries=2),
    Case("to a user name", [redirect("http://user:word@127.0.0.1/")], said="the image URL contains a user name", tries=2),
    Case("to no address", [redirect("http://[::1/")], said=BROKEN_DOWNLOAD),
    Case("to half an address", [redirect("//a]b/")], said=f"{BROKEN_DOWNLOAD}DNS lookup failed"),
    Case("to a port beyond all", [redirect("http://127.0.0.1:99999/")], said=MALFORMED_URL, tries=2),
    Case("to the port 0", [redirect("http://127.0.0.1:0/")], said=MALFORMED_URL, tries=2),
    Case("to a name without a name", [redirect("http://xn--/")], said=MALFORMED_URL, tries=2),
    Case("to a name with a hyphen at its end", [redirect("http://xn--a-.com/")], said=MALFORMED_URL, tries=2),
    Case("to a hostile address", [redirect("//127.0.0.1:1/\x1b]0;x\x07")], said=BROKEN_DOWNLOAD),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_what_an_address_answers(
    flux: Flux, service: Service, raw: RawServer, entries: Entries, monkeypatch: pytest.MonkeyPatch, case: Case
) -> None:
    if case.code:
        monkeypatch.setenv("FLUX_TIME_SCALE", "0.005")  # or it would be tried again for longer
    monkeypatch.setattr(downloads, "IMAGE_BYTES", 2**20)
    monkeypatch.setattr(downloads, "SLOW_SECONDS", 0.1)
    monkeypatch.setattr(downloads, "TOTAL_SECONDS", 0.2 if "within" in case.name else 5.0)
    raw.responses[HERE] = list(case.responses)
    offered(service, raw.url(HERE))
    result = flux(f"wait {TASK}")

    assert (result.code, case.said in result.err) == (case.code, True), result.err
    assert [path.read_bytes() for path in Path().iterdir()] == ([marked(case.saved)] if case.saved else [])
    assert [entry.state for entry in entries()] == [case.state]
    assert len(raw.heads) == case.tries or (case.tries is None and len(raw.heads) > 1)
    assert not set("\x1b\x07") & set(result.out + result.err)
    if case.code:
        raw.responses[HERE] = [GOOD]
        assert flux("resume -q").out == f"{TASK}.png\n"


def test_cut_at_any_byte_in_any_framing_it_is_fetched_again(flux: Flux, service: Service, raw: RawServer) -> None:
    small = encode(Image.new("L", (1, 1)), "PNG")
    framings: dict[str, Callable[[bytes], Response]] = {
        "length": lambda body: plain_response(body, length=len(small)),
        "open": unframed_response,
        "chunk": lambda body: chunked_response(body, ends=False),
        "ended": chunked_response,
    }
    tasks = []
    for (name, framing), cut in itertools.product(framings.items(), range(len(small))):
        if name != "open" and cut % 6 and cut < len(small) - 12:  # only in "open" nothing but the image is cut
            continue
        tasks.append(f"{name}-{cut}")
        raw.responses[f"/{tasks[-1]}"] = [framing(small[:cut]), plain_response(small)]
        offered(service, raw.url(f"/{tasks[-1]}"), task=tasks[-1], times=1)
    result = flux(f"wait {' '.join(tasks)} -q -d cut")

    assert result.code == 0
    assert {path.name: path.read_bytes() for path in Path("cut").iterdir()} == {
        f"{task}.png": marked(small) for task in tasks
    }
    assert len(raw.heads) == 2 * len(tasks)


@pytest.mark.parametrize(
    ("status", "fresh", "code", "said", "state"),
    [
        ("403 Forbidden", "good", 0, "", State.SAVED),
        ("404 Not Found", "good", 0, "", State.SAVED),
        ("410 Gone", "good", 0, "", State.SAVED),
        ("410 Gone", "gone", 10, "could not be saved: the image URL returned HTTP 410", State.READY),
        ("401 Unauthorized", "good", 0, "", State.SAVED),
        ("451 Unavailable For Legal Reasons", "good", 0, "", State.SAVED),
        ("500 Busy", "good", 0, "", State.SAVED),
        ("404 Not Found", "cut", 10, "the PNG is cut short", State.READY),
        ("403 Forbidden", "forgotten", 10, "has expired: PiAPI no longer has it, and", State.EXPIRED),
        ("403 Forbidden", "unavailable", 10, "could not be saved: the image URL returned HTTP 403", State.READY),
        ("403 Forbidden", "fewer", 10, "could not be saved: the image URL returned HTTP 403", State.READY),
    ],
)
def test_a_link_that_does_not_work_is_asked_for_again(
    flux: Flux, service: Service, raw: RawServer, entries: Entries,
    status: str, fresh: str, code: int, said: str, state: State,
) -> None:  # fmt: skip
    flux(GEN + " --no-wait --no-metadata")
    task = service.charges[0].id
    raw.responses = {
        "/old": [plain_response(b"", status=status)],
        "/good": [GOOD],
        "/gone": [plain_response(b"", status=status)],
    }
    raw.responses["/cut"] = [unframed_response(PNG[:CUT])]
    looks: dict[str, Reply] = {
        "forgotten": (404, {}, b'{"code": 404, "message": "task not found"}'),
        "unavailable": (503, {}, b""),
        "fewer": completed_reply(task),
    }
    again = looks.get(fresh) or completed_reply(task, raw.url(f"/{fresh}"))
    service.reply_with(*POLL, completed_reply(task, raw.url("/old")), *[again] * 99)
    result = flux("resume")

    assert (result.code, said in result.err) == (code, True), result.err
    assert [entry.state for entry in entries()] == [state]
    assert [path.read_bytes() for path in Path().iterdir()] == ([marked(PNG)] if code == 0 else [])
    if code:
        assert ". Charged ($0.015 simulated)." in result.err
    assert len(service.charges) == 1


def test_a_picture_that_fails_does_not_take_back_the_one_before_it(
    flux: Flux, service: Service, raw: RawServer, entries: Entries
) -> None:
    raw.responses = {"/1": [GOOD], "/2": [plain_response(PNG[:CUT])]}
    offered(service, raw.url("/1"), raw.url("/2"))
    assert flux(f"wait {TASK}").code == 10
    raw.responses["/2"] = [plain_response(JPEG)]

    assert flux("resume -q").out.split() == [f"{TASK}.png", f"{TASK}-2.jpg"]
    assert sorted(path.name for path in Path().iterdir()) == [f"{TASK}-2.jpg", f"{TASK}.png"]


def test_no_cookie_comes_back_and_no_header_is_more_than_it_has_to_be(
    flux: Flux, service: Service, raw: RawServer
) -> None:
    raw.responses[HERE] = [
        lambda: [
            response_head("HTTP/1.1 302 Found", "Set-Cookie: id=7; Path=/", "Content-Length: 0", f"Location: {HERE}?2")
        ]
    ]
    raw.responses[f"{HERE}?2"] = [plain_response(b"", "Set-Cookie: id=8; Path=/", status="500 Busy"), GOOD]
    offered(service, raw.url(HERE))

    assert flux(f"wait {TASK}").code == 0
    names = {line.split(b":")[0].lower() for request in raw.heads for line in request.split(b"\r\n")[1:] if line}
    assert names == {b"host", b"accept", b"accept-encoding", b"connection", b"user-agent"}


# --- a service at a public address -----------------------------------------------------------------------------------

PRIVATE = [
    "https://127.0.0.1/x.png",
    "https://127.1/x.png",
    "https://2130706433/x.png",
    "https://0x7f.0.0.1/x.png",
    "https://0.0.0.0/x.png",
    "https://localhost/x.png",
    "https://a.localhost/x.png",
    "https://localhost./x.png",
    "https://10.0.0.1/x.png",
    "https://172.16.9.9/x.png",
    "https://192.168.1.1/x.png",
    "https://169.254.169.254/latest/meta-data/",
    "https://100.64.0.1/x.png",
    "https://[::1]/x.png",
    "https://[::ffff:127.0.0.1]/x.png",
    "https://[fe80::1]/x.png",
    "https://[fd00::1]/x.png",
    "https://[64:ff9b::7f00:1]/x.png",
    "https://[64:ff9b::10.0.0.1]/x.png",
    "https://[64:ff9b:1::7f00:1]/x.png",
    "https://[2002:7f00:1::]/x.png",
    "https://[2001:0:4136:e378:8000:63bf:80ff:fffe]/x.png",
    "https://[fec0::1]/x.png",
    "https://[::127.0.0.1]/x.png",
    "https://[::ffff:0:127.0.0.1]/x.png",
    "https://[ff02::1]/x.png",
    "https://[::]/x.png",
    "https://224.0.0.1/x.png",
    "https://0x7f000001/x.png",
    "https://017700000001/x.png",
    "https://127\u30020\u30020\u30021/x.png",
    "https://192.168.257/x.png",
    "https://0xa9.254.0251.254/x.png",
    "http://inside.example.com/x.png",
]


def inside(dns: dict[str, list[str]]) -> None:
    """Names of the inside that a resolver of the outside gives away."""
    dns |= {"inside.example.com": ["192.168.7.7"], "a.localhost": ["127.0.0.1"], "localhost.": ["127.0.0.1"]}


MALFORMED = [
    "https://0177.0.0.1/x.png",
    "https://\uff11\uff12\uff17.0.0.1/x.png",
    "https://8.8.8.8:99999/x.png",
    "https://xn--/x.png",
]
INSIDE, MISSHAPEN = " leads into a private network", ", or one that it redirects to, is malformed"


def test_a_public_service_leads_to_no_private_address(
    flux: Flux, service: Service, network: PublicNetwork, dns: dict[str, list[str]], entries: Entries
) -> None:
    inside(dns)
    refused = dict.fromkeys(PRIVATE, INSIDE) | dict.fromkeys(MALFORMED, MISSHAPEN)
    for number, url in enumerate(refused):
        offered(service, url, task=f"task-{number}")
    result = flux(f"wait {' '.join(f'task-{number}' for number in range(len(refused)))}")

    assert (result.code, result.out) == (10, "")
    for number, (url, said) in enumerate(refused.items()):
        assert f"flux: the image of task task-{number} could not be saved: the image URL{said}" in result.err, url
    assert {host for host, _ in network.heads} == {"api.piapi.ai"}
    assert {entry.state for entry in entries()} == {State.READY}


def test_nor_does_a_redirect(
    flux: Flux, service: Service, network: PublicNetwork, dns: dict[str, list[str]], raw: RawServer
) -> None:
    inside(dns)
    network.hosts["img.theapi.app"] = raw.port
    leads = {url: INSIDE for url in PRIVATE if url.startswith("https:") and url.isascii()}
    leads |= dict.fromkeys(
        ["http://img.theapi.app/x", "ftp://img.theapi.app/x"], " redirects to a URL that is not https"
    )
    leads["//user@img.theapi.app/x"] = " contains a user name"
    for number, location in enumerate(leads):
        raw.responses[f"/{number}"] = [redirect(location)]
        offered(service, f"https://img.theapi.app/{number}", task=f"task-{number}")
    result = flux(f"wait {' '.join(f'task-{number}' for number in range(len(leads)))}")

    assert result.code == 10
    for number, (location, said) in enumerate(leads.items()):
        refused = f"the image of task task-{number} could not be saved: the image URL{said}"
        assert refused in result.err, location
    assert {host for host, _ in network.heads} == {"api.piapi.ai", "img.theapi.app"}
    assert len(raw.heads) == 2 * len(leads)
    assert list(Path().iterdir()) == []


def test_a_name_that_changes_its_meaning_is_found_out(
    flux: Flux, service: Service, network: PublicNetwork, dns: dict[str, list[str]], certificate: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate)
    with run_raw_server(tls) as inner:
        inner.responses[HERE] = [GOOD]
        dns["img.theapi.app"] = ["93.184.215.14", "127.0.0.1"]
        monkeypatch.setenv("NO_PROXY", "img.theapi.app")
        offered(service, f"https://img.theapi.app:{inner.port}{HERE}")
        result = flux(f"wait {TASK}")

        assert (result.code, "leads into a private network" in result.err) == (10, True), result.err
        assert inner.heads == []
    assert list(Path().iterdir()) == []


def test_a_picture_of_a_public_service_comes_from_anywhere_public(
    flux: Flux, service: Service, network: PublicNetwork, raw: RawServer
) -> None:
    network.hosts |= {"img.theapi.app": raw.port, "elsewhere.example.com": raw.port}
    raw.responses[HERE] = [redirect("https://elsewhere.example.com/x.png")]
    raw.responses["/x.png"] = [GOOD]
    offered(service, f"https://img.theapi.app{HERE}")

    assert flux(f"wait {TASK} -q").out == f"{TASK}.png\n"
    assert [host for host, _ in network.heads] == ["api.piapi.ai", "img.theapi.app", "elsewhere.example.com"]


# --- one bad image in a batch ----------------------------------------------------------------------------------------


def test_a_hostile_url_is_the_trouble_of_its_own_row(flux: Flux, service: Service, entries: Entries) -> None:
    Path("prompts.txt").write_text("a boat\na ship\na raft\n")
    flux("gen --from prompts.txt --no-wait -q")
    bad, *others = [charge.id for charge in service.charges]
    for url in ("http://xn--/a.png", "http://127.0.0.1:99999/"):
        service.reply_with("GET", f"/api/v1/task/{bad}", *[completed_reply(bad, url)] * 2)
        result = flux(f"wait {bad} {' '.join(others)} -j 1")
        assert (result.code, MALFORMED_URL in result.err) == (3, True), result.err
        assert "a bug in flux" not in result.err
        assert "1 not saved; " in result.err
    assert sorted(entry.state for entry in entries()) == [State.READY, State.SAVED, State.SAVED]
    assert flux("resume -q").code == 0


def test_a_bug_while_an_image_is_saved_ends_its_row_alone(
    flux: Flux, service: Service, entries: Entries, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("prompts.txt").write_text("a boat\na ship\n")

    def broken(request: TaskRequest, *rest: Any, **options: Any) -> Any:
        if request.operation.prompt == "a boat":
            raise KeyError("hull")
        return texts_for(request, *rest, **options)

    with monkeypatch.context() as fault:
        fault.setattr(saver, "texts_for", broken)
        result = flux("gen --from prompts.txt -j 1")
    assert result.code == 3
    assert "flux: a bug in flux: KeyError: 'hull' (test_downloads.py, line " in result.err
    assert "). Charged ($0.015 simulated).\n      Please report this; once it is fixed, " in result.err
    assert "1 saved, 1 not saved; $0.03 (simulated) spent" in result.err
    assert len(list(Path().glob("*.png"))) == 1
    assert sorted(entry.state for entry in entries()) == [State.READY, State.SAVED]
    assert flux("resume -q").code == 0
    assert len(service.charges) == 2


def test_what_a_bug_leaves_running_is_in_the_summary(
    flux: Flux, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("prompts.txt").write_text("a boat\na ship\n")

    def broken(*_: object) -> float:
        raise KeyError("hull")

    with monkeypatch.context() as fault:
        fault.setattr(poller, "_ended_at", broken)
        result = flux("gen --from prompts.txt -j 1")
    assert result.code == 1
    assert "1 task still running or not saved; " in result.err
    assert "1 running, 1 not started; $0.015 (simulated) spent" in result.err
    assert len(service.charges) == 1
