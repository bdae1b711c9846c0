"""Images from servers that truncate, stall, lie and redirect: a final file is complete or absent."""

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


def add_sandbox_mark(content: bytes) -> bytes:
    """Return the image as flux saves it from a server on this machine, with the mark of the sandbox."""
    return with_texts(content, sandbox_mark()) if content.startswith(b"\x89PNG") else content


PNG, JPEG, WEBP = IMAGES["png"], IMAGES["jpg-baseline"], IMAGES["webp-lossy"]
TASK = "a-task"
HERE = f"/{TASK}.png"


def completed_reply(task: str, *urls: str) -> Reply:
    """Return the reply of PiAPI for a task whose images are at `urls`."""
    data = {"task_id": task, "status": "completed", "output": {"image_urls": list(urls)}}
    return 200, {}, json.dumps({"code": 200, "data": data}).encode()


def offer_images(service: Service, *urls: str, task: str = TASK, times: int = 99) -> None:
    """Let polls show that the images of a task are at `urls`."""
    service.reply_with("GET", f"/api/v1/task/{task}", *[completed_reply(task, *urls)] * times)


@dataclass(frozen=True)
class Case:
    """The responses of an image URL, one per attempt, and the end of `flux wait`.

    message: a part of stderr. saved: the content of the only file; None for no file.
    tries: the number of requests; None: more than one, until flux gives up.
    """

    name: str
    responses: list[Response]
    code: int = 10
    message: str = ""
    saved: bytes | None = None
    state: State = State.READY
    tries: int | None = None


def flip_bit(content: bytes) -> bytes:
    """Flip a bit in the middle of the pixels."""
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 4]) + content[middle + 1 :]


def truncated_response(body: bytes) -> Response:
    """Return a response with the beginning of an image, and the length of the complete one."""
    return plain_response(body, length=len(PNG))


def raw_response(content: bytes) -> Response:
    """Return a response of raw bytes, which may not be HTTP."""
    return lambda: [content]


def send_slowly() -> Iterable[bytes]:
    """Yield an image at less than a kilobyte per second."""
    yield response_head("HTTP/1.1 200 OK", f"Content-Length: {len(PNG)}")
    for byte in PNG:
        time.sleep(0.05)
        yield bytes([byte])


def gzip_bomb() -> Response:
    """Return a response of 8 kB that decompresses to 8 MB."""
    return plain_response(gzip.compress(b"\x89PNG\r\n\x1a\n" + bytes(8_000_000)), "Content-Encoding: gzip")


GOOD = plain_response(PNG)
TRUNCATED_LENGTH = len(PNG) - 4  # Pillow opens this without an error
BROKEN_DOWNLOAD = "could not be saved: the download failed: "
MALFORMED_URL = "the image URL, or one that it redirects to, is malformed"
CLOSED, NO_HTTP = (
    f"{BROKEN_DOWNLOAD}the connection closed before its end",
    f"{BROKEN_DOWNLOAD}the response is not valid HTTP",
)

CASES = [
    Case("complete", [GOOD], 0, "saved a-task.png", PNG, State.SAVED, 1),
    Case("complete, in chunks", [chunked_response(PNG)], 0, "", PNG, State.SAVED, 1),
    Case("complete, up to the end of the connection", [unframed_response(PNG)], 0, "", PNG, State.SAVED, 1),
    Case("truncated, with its full length", [truncated_response(PNG[:TRUNCATED_LENGTH])], message=CLOSED),
    Case("truncated in a chunk", [chunked_response(PNG[:TRUNCATED_LENGTH], ends=False)], message=CLOSED),
    Case("a last chunk that comes too early", [chunked_response(PNG[:TRUNCATED_LENGTH])], message="the PNG is truncated"),
    Case("truncated by the end of the connection", [unframed_response(PNG[:TRUNCATED_LENGTH])], message="the PNG is truncated"),
    Case("complete, but without the last chunk", [chunked_response(PNG, ends=False)], message=CLOSED),
    Case("longer than its stated length", [plain_response(PNG, length=TRUNCATED_LENGTH)], message="the PNG is truncated"),
    Case("a flipped bit", [plain_response(flip_bit(PNG))], message="the PNG is damaged"),
    Case("complete at the last attempt", [plain_response(flip_bit(PNG))] * 4 + [GOOD], 0, "trying again", PNG, State.SAVED, 5),
    Case("a web page", [plain_response(b"<!DOCTYPE html><title>Sign in</title>")], message="received a web page instead of an image"),
    Case("an empty body", [plain_response(b"")], message="received nothing"),
    Case("no response", [raw_response(b"")], message=CLOSED),
    Case("not HTTP", [raw_response(b"SSH-2.0-OpenSSH_9.6\r\n\r\n")], message=NO_HTTP),
    Case("a head without an end", [raw_response(b"HTTP/1.1 200 OK\r\nX: " + b"y" * 300_000)], message=BROKEN_DOWNLOAD),
    Case("a negative length", [raw_response(response_head("HTTP/1.1 200 OK", "Content-Length: -1"))], message=BROKEN_DOWNLOAD),
    Case("two lengths", [plain_response(PNG, "Content-Length: 3")], message=BROKEN_DOWNLOAD),
    Case("a huge length", [plain_response(PNG, length=10**30)], message=BROKEN_DOWNLOAD),
    Case("endless", [endless_response()], message="the image is larger than 1 MiB", tries=2),
    Case("a slow response", [send_slowly], message="the download is too slow"),
    Case("slow, but above the minimum speed", [endless_response(lambda: time.sleep(0.02))], message="took more than 0 s"),
    Case("a gzip bomb", [gzip_bomb()], message="the image is larger than 1 MiB", tries=2),
    Case("gzip", [plain_response(gzip.compress(PNG), "Content-Encoding: gzip")], 0, "", PNG, State.SAVED, 1),
    Case("deflate, in chunks of any size", [chunked_response(zlib.compress(PNG), "Content-Encoding: Deflate")], 0, "", PNG,
         State.SAVED, 1),
    Case("truncated gzip", [plain_response(gzip.compress(PNG)[:-9], "Content-Encoding: gzip")], message=f"{BROKEN_DOWNLOAD}unusable content encoding"),
    Case("not gzip", [plain_response(PNG, "Content-Encoding: gzip")], message=f"{BROKEN_DOWNLOAD}unusable content encoding"),
    Case("gzip in gzip", [plain_response(gzip.compress(gzip.compress(PNG)), "Content-Encoding: gzip, gzip")],
         message=f"{BROKEN_DOWNLOAD}unusable content encoding"),
    Case("brotli", [plain_response(PNG, "Content-Encoding: br")], message=f"{BROKEN_DOWNLOAD}unusable content encoding"),
    Case("a JPEG and a line ending", [plain_response(JPEG + b"\r\n")], 0, "", JPEG + b"\r\n", State.SAVED, 1),
    Case("partial content", [plain_response(PNG, status="206 Partial Content")], message="the image URL returned HTTP 206"),
    Case("no content", [raw_response(response_head("HTTP/1.1 204 No Content"))], message="the image URL returned HTTP 204"),
    Case("too many requests, then complete", [plain_response(b"", "Retry-After: 0", status="429 Too Many")] * 2 + [GOOD], 0, "HTTP 429", PNG,
         State.SAVED, 3),
    Case("a JPEG", [plain_response(JPEG)], 0, "the image is jpg; saving as a-task.jpg", JPEG, State.SAVED, 1),
    Case("a WebP named PNG", [plain_response(WEBP, "Content-Disposition: attachment; filename=../../x.png")], 0,
         "saving as a-task.webp", WEBP, State.SAVED, 1),
    Case("a redirect loop", [redirect(HERE)], message="more than 5 redirects", tries=12),
    Case("five redirects", [redirect(HERE, "307 Temporary Redirect")] * 5 + [GOOD], 0, "", PNG, State.SAVED, 6),
    Case("a redirect without a location", [redirect(None)], message="redirects to nowhere", tries=2),
    Case("a redirect to an empty location", [redirect("")], message="redirects to nowhere", tries=2),
    Case("a redirect to a file", [redirect("file:///etc/passwd")], message="the image URL is not http(s)", tries=2),
    Case("a redirect to a data URL", [redirect("data:image/png;base64,iVBORw0KGgo=")], message=MALFORMED_URL, tries=2),
    Case("a redirect to a URL with a user name", [redirect("http://user:word@127.0.0.1/")], message="the image URL contains a user name", tries=2),
    Case("a redirect to an invalid IPv6 address", [redirect("http://[::1/")], message=BROKEN_DOWNLOAD),
    Case("a redirect to an invalid host", [redirect("//a]b/")], message=f"{BROKEN_DOWNLOAD}DNS lookup failed"),
    Case("a redirect to a port above 65535", [redirect("http://127.0.0.1:99999/")], message=MALFORMED_URL, tries=2),
    Case("a redirect to port 0", [redirect("http://127.0.0.1:0/")], message=MALFORMED_URL, tries=2),
    Case("a redirect to an empty IDN label", [redirect("http://xn--/")], message=MALFORMED_URL, tries=2),
    Case("a redirect to an invalid IDN label", [redirect("http://xn--a-.com/")], message=MALFORMED_URL, tries=2),
    Case("a redirect to a URL with terminal codes", [redirect("//127.0.0.1:1/\x1b]0;x\x07")], message=BROKEN_DOWNLOAD),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_responses_of_an_image_url(
    flux: Flux, service: Service, raw: RawServer, entries: Entries, monkeypatch: pytest.MonkeyPatch, case: Case
) -> None:
    if case.code:
        monkeypatch.setenv("FLUX_TIME_SCALE", "0.005")  # retry for a shorter time
    monkeypatch.setattr(downloads, "IMAGE_BYTES", 2**20)
    monkeypatch.setattr(downloads, "SLOW_SECONDS", 0.1)
    monkeypatch.setattr(downloads, "TOTAL_SECONDS", 0.2 if "minimum" in case.name else 5.0)
    raw.responses[HERE] = list(case.responses)
    offer_images(service, raw.url(HERE))
    result = flux(f"wait {TASK}")

    assert (result.code, case.message in result.err) == (case.code, True), result.err
    assert [path.read_bytes() for path in Path().iterdir()] == ([add_sandbox_mark(case.saved)] if case.saved else [])
    assert [entry.state for entry in entries()] == [case.state]
    assert len(raw.heads) == case.tries or (case.tries is None and len(raw.heads) > 1)
    assert not set("\x1b\x07") & set(result.out + result.err)
    if case.code:
        raw.responses[HERE] = [GOOD]
        assert flux("resume -q").out == f"{TASK}.png\n"


def test_an_image_truncated_at_any_byte_is_downloaded_again(flux: Flux, service: Service, raw: RawServer) -> None:
    small = encode(Image.new("L", (1, 1)), "PNG")
    framings: dict[str, Callable[[bytes], Response]] = {
        "length": lambda body: plain_response(body, length=len(small)),
        "open": unframed_response,
        "chunk": lambda body: chunked_response(body, ends=False),
        "ended": chunked_response,
    }
    tasks = []
    for (name, framing), cut in itertools.product(framings.items(), range(len(small))):
        if name != "open" and cut % 6 and cut < len(small) - 12:  # every byte only for "open", to save time
            continue
        tasks.append(f"{name}-{cut}")
        raw.responses[f"/{tasks[-1]}"] = [framing(small[:cut]), plain_response(small)]
        offer_images(service, raw.url(f"/{tasks[-1]}"), task=tasks[-1], times=1)
    result = flux(f"wait {' '.join(tasks)} -q -d cut")

    assert result.code == 0
    assert {path.name: path.read_bytes() for path in Path("cut").iterdir()} == {
        f"{task}.png": add_sandbox_mark(small) for task in tasks
    }
    assert len(raw.heads) == 2 * len(tasks)


@pytest.mark.parametrize(
    ("status", "fresh", "code", "message", "state"),
    [
        ("403 Forbidden", "good", 0, "", State.SAVED),
        ("404 Not Found", "good", 0, "", State.SAVED),
        ("410 Gone", "good", 0, "", State.SAVED),
        ("410 Gone", "gone", 10, "could not be saved: the image URL returned HTTP 410", State.READY),
        ("401 Unauthorized", "good", 0, "", State.SAVED),
        ("500 Busy", "good", 0, "", State.SAVED),
        ("404 Not Found", "cut", 10, "the PNG is truncated", State.READY),
        ("403 Forbidden", "forgotten", 10, "has expired: PiAPI no longer has it, and", State.EXPIRED),
        ("403 Forbidden", "unavailable", 10, "could not be saved: the image URL returned HTTP 403", State.READY),
        ("403 Forbidden", "fewer", 10, "could not be saved: the image URL returned HTTP 403", State.READY),
    ],
)
def test_a_failed_download_polls_the_task_for_a_fresh_url(
    flux: Flux, service: Service, raw: RawServer, entries: Entries,
    status: str, fresh: str, code: int, message: str, state: State,
) -> None:  # fmt: skip
    flux(GEN + " --no-wait --no-metadata")
    task = service.charges[0].id
    raw.responses = {
        "/old": [plain_response(b"", status=status)],
        "/good": [GOOD],
        "/gone": [plain_response(b"", status=status)],
    }
    raw.responses["/cut"] = [unframed_response(PNG[:TRUNCATED_LENGTH])]
    replies: dict[str, Reply] = {
        "forgotten": (404, {}, b'{"code": 404, "message": "task not found"}'),
        "unavailable": (503, {}, b""),
        "fewer": completed_reply(task),
    }
    fresh_reply = replies.get(fresh) or completed_reply(task, raw.url(f"/{fresh}"))
    service.reply_with(*POLL, completed_reply(task, raw.url("/old")), *[fresh_reply] * 99)
    result = flux("resume")

    assert (result.code, message in result.err) == (code, True), result.err
    assert [entry.state for entry in entries()] == [state]
    assert [path.read_bytes() for path in Path().iterdir()] == ([add_sandbox_mark(PNG)] if code == 0 else [])
    if code:
        assert ". Charged ($0.015 simulated)." in result.err
    assert len(service.charges) == 1


def test_a_failed_image_keeps_the_images_saved_before_it(
    flux: Flux, service: Service, raw: RawServer, entries: Entries
) -> None:
    raw.responses = {"/1": [GOOD], "/2": [plain_response(PNG[:TRUNCATED_LENGTH])]}
    offer_images(service, raw.url("/1"), raw.url("/2"))
    assert flux(f"wait {TASK}").code == 10
    raw.responses["/2"] = [plain_response(JPEG)]

    assert flux("resume -q").out.split() == [f"{TASK}.png", f"{TASK}-2.jpg"]
    assert sorted(path.name for path in Path().iterdir()) == [f"{TASK}-2.jpg", f"{TASK}.png"]


def test_no_cookies_and_only_necessary_headers_are_sent(flux: Flux, service: Service, raw: RawServer) -> None:
    raw.responses[HERE] = [
        lambda: [
            response_head("HTTP/1.1 302 Found", "Set-Cookie: id=7; Path=/", "Content-Length: 0", f"Location: {HERE}?2")
        ]
    ]
    raw.responses[f"{HERE}?2"] = [plain_response(b"", "Set-Cookie: id=8; Path=/", status="500 Busy"), GOOD]
    offer_images(service, raw.url(HERE))

    assert flux(f"wait {TASK}").code == 0
    names = {line.split(b":")[0].lower() for request in raw.heads for line in request.split(b"\r\n")[1:] if line}
    assert names == {b"host", b"accept", b"accept-encoding", b"connection", b"user-agent"}


# --- PiAPI at a public host name -------------------------------------------------------------------------------------

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


def add_private_names(dns: dict[str, list[str]]) -> None:
    """Let public DNS names resolve to private addresses."""
    dns |= {"inside.example.com": ["192.168.7.7"], "a.localhost": ["127.0.0.1"], "localhost.": ["127.0.0.1"]}


MALFORMED = [
    "https://0177.0.0.1/x.png",
    "https://\uff11\uff12\uff17.0.0.1/x.png",
    "https://8.8.8.8:99999/x.png",
    "https://xn--/x.png",
]
PRIVATE_NETWORK, MALFORMED_MESSAGE = " leads into a private network", ", or one that it redirects to, is malformed"


def test_image_urls_in_private_networks_are_refused(
    flux: Flux, service: Service, network: PublicNetwork, dns: dict[str, list[str]], entries: Entries
) -> None:
    add_private_names(dns)
    refused = dict.fromkeys(PRIVATE, PRIVATE_NETWORK) | dict.fromkeys(MALFORMED, MALFORMED_MESSAGE)
    for number, url in enumerate(refused):
        offer_images(service, url, task=f"task-{number}")
    result = flux(f"wait {' '.join(f'task-{number}' for number in range(len(refused)))}")

    assert (result.code, result.out) == (10, "")
    for number, (url, message) in enumerate(refused.items()):
        assert f"flux: the image of task task-{number} could not be saved: the image URL{message}" in result.err, url
    assert {host for host, _ in network.heads} == {"api.piapi.ai"}
    assert {entry.state for entry in entries()} == {State.READY}


def test_redirects_into_private_networks_are_refused(
    flux: Flux, service: Service, network: PublicNetwork, dns: dict[str, list[str]], raw: RawServer
) -> None:
    add_private_names(dns)
    network.hosts["img.theapi.app"] = raw.port
    locations = {url: PRIVATE_NETWORK for url in PRIVATE if url.startswith("https:") and url.isascii()}
    locations |= dict.fromkeys(
        ["http://img.theapi.app/x", "ftp://img.theapi.app/x"], " redirects to a URL that is not https"
    )
    locations["//user@img.theapi.app/x"] = " contains a user name"
    for number, location in enumerate(locations):
        raw.responses[f"/{number}"] = [redirect(location)]
        offer_images(service, f"https://img.theapi.app/{number}", task=f"task-{number}")
    result = flux(f"wait {' '.join(f'task-{number}' for number in range(len(locations)))}")

    assert result.code == 10
    for number, (location, message) in enumerate(locations.items()):
        refused = f"the image of task task-{number} could not be saved: the image URL{message}"
        assert refused in result.err, location
    assert {host for host, _ in network.heads} == {"api.piapi.ai", "img.theapi.app"}
    assert len(raw.heads) == 2 * len(locations)
    assert list(Path().iterdir()) == []


def test_dns_rebinding_is_detected(
    flux: Flux, service: Service, network: PublicNetwork, dns: dict[str, list[str]], certificate: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate)
    with run_raw_server(tls) as inner:
        inner.responses[HERE] = [GOOD]
        dns["img.theapi.app"] = ["93.184.215.14", "127.0.0.1"]
        monkeypatch.setenv("NO_PROXY", "img.theapi.app")
        offer_images(service, f"https://img.theapi.app:{inner.port}{HERE}")
        result = flux(f"wait {TASK}")

        assert (result.code, "leads into a private network" in result.err) == (10, True), result.err
        assert inner.heads == []
    assert list(Path().iterdir()) == []


def test_an_image_may_be_on_any_public_host(
    flux: Flux, service: Service, network: PublicNetwork, raw: RawServer
) -> None:
    network.hosts |= {"img.theapi.app": raw.port, "elsewhere.example.com": raw.port}
    raw.responses[HERE] = [redirect("https://elsewhere.example.com/x.png")]
    raw.responses["/x.png"] = [GOOD]
    offer_images(service, f"https://img.theapi.app{HERE}")

    assert flux(f"wait {TASK} -q").out == f"{TASK}.png\n"
    assert [host for host, _ in network.heads] == ["api.piapi.ai", "img.theapi.app", "elsewhere.example.com"]


# --- one bad image in a batch ----------------------------------------------------------------------------------------


def test_a_malformed_url_fails_only_its_own_row(flux: Flux, service: Service, entries: Entries) -> None:
    Path("prompts.txt").write_text("a boat\na ship\na raft\n")
    flux("gen --from prompts.txt --no-wait -q")
    bad, *others = [charge.id for charge in service.charges]
    for url in ("http://xn--/a.png", "http://127.0.0.1:99999/"):
        service.reply_with("GET", f"/api/v1/task/{bad}", *[completed_reply(bad, url)] * 2)
        result = flux(f"wait {bad} {' '.join(others)} -j 1")
        assert (result.code, MALFORMED_URL in result.err) == (3, True), result.err
        assert "a bug in flux" not in result.err
        assert "1 finished but not saved; " in result.err
    assert sorted(entry.state for entry in entries()) == [State.READY, State.SAVED, State.SAVED]
    assert flux("resume -q").code == 0


def test_a_bug_while_saving_an_image_fails_only_its_own_row(
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
    assert """flux: "a boat": a bug in flux: KeyError: 'hull' (test_downloads.py, line """ in result.err
    assert "). Charged ($0.015 simulated).\n      Please report this; once it is fixed, " in result.err
    assert "1 saved, 1 finished but not saved; $0.03 (simulated) spent" in result.err
    assert len(list(Path().glob("*.png"))) == 1
    assert sorted(entry.state for entry in entries()) == [State.READY, State.SAVED]
    assert flux("resume -q").code == 0
    assert len(service.charges) == 2


def test_tasks_left_running_by_a_bug_are_in_the_summary(
    flux: Flux, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("prompts.txt").write_text("a boat\na ship\n")

    def broken(*_: object) -> float:
        raise KeyError("hull")

    with monkeypatch.context() as fault:
        fault.setattr(poller, "_ended_at", broken)
        result = flux("gen --from prompts.txt -j 1")
    assert result.code == 1
    assert "To continue, run the same command again. " in result.err
    assert "1 running, 1 not started; $0.015 (simulated) spent" in result.err
    assert len(service.charges) == 1
