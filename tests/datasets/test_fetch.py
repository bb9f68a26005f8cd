"""Fetching, against a server of this process that drops, ignores and corrupts on demand."""

import dataclasses
import http.server
import re
import socket
import threading
from pathlib import Path

import pytest

from symscape.datasets import FetchError, _catalogue, fetch, load, resolve, user_data_folder
from symscape.datasets._catalogue import OFFICIAL_FILES
from symscape.datasets._sources import content_sha256


class Mirror:
    """An HTTP server of one folder, with faults.

    drops: how many answers break off in the middle; ranges: whether it can resume;
    corrupt: whether one byte of each file is wrong; status: an error given to all requests.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.drops, self.ranges, self.corrupt = folder, 0, True, False
        self.status: int | None = None
        self.requests: list[tuple[str, int]] = []  # name of the file, first byte asked for
        self.sent = 0
        mirror = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                mirror.answer(self)

            def log_message(self, *args: object) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/"
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    def answer(self, request: http.server.BaseHTTPRequestHandler) -> None:
        name = request.path.strip("/")
        asked = re.match(r"bytes=(\d+)-", request.headers.get("Range", ""))
        start = int(asked[1]) if asked and self.ranges else 0
        self.requests.append((name, int(asked[1]) if asked else 0))
        if self.status or not (self.folder / name).is_file():
            request.send_error(self.status or 404)
            return
        content = bytearray((self.folder / name).read_bytes())
        if self.corrupt:
            content[len(content) // 2] ^= 1
        if start and start >= len(content):
            request.send_error(416)
            return
        request.send_response(206 if start else 200)
        if start:
            request.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        request.send_header("Content-Length", str(len(content) - start))
        request.end_headers()
        body = content[start:]
        if self.drops:
            self.drops -= 1
            body = body[: len(body) // 2]
        self.sent += len(body)  # before the client can have read them
        request.wfile.write(body)


@pytest.fixture
def mirror(tmp_path, small_digits, monkeypatch):
    """A function that starts a mirror; the first one defines which files are the official ones."""
    folder = small_digits(tmp_path / "served")
    checksums = tuple((name, content_sha256(folder / f"{name}.gz")) for name in OFFICIAL_FILES)
    item = dataclasses.replace(_catalogue.CATALOGUE["mnist"], checksums=checksums)
    monkeypatch.setitem(_catalogue.CATALOGUE, "mnist", item)
    started: list[Mirror] = []

    def start() -> Mirror:
        started.append(Mirror(folder))
        return started[-1]

    yield start
    for each in started:
        each.server.shutdown()
        each.server.server_close()


def test_fetched_data_are_found_afterwards(mirror):
    source = fetch("mnist", mirrors=[mirror().url], pause=0)
    assert source == resolve("mnist") == resolve("auto")
    assert source.path == user_data_folder() / "mnist"
    assert source.n == 60
    assert len(load("mnist").images) == 60
    assert [path.name for path in user_data_folder().iterdir()] == ["mnist"]


def test_second_fetch_asks_nobody(mirror):
    server = mirror()
    source = fetch("mnist", mirrors=[server.url])
    assert len(server.requests) == 4
    assert fetch("mnist", mirrors=[server.url]) == source
    assert len(server.requests) == 4


@pytest.mark.parametrize("ranges", [True, False])
def test_dropped_connection_is_resumed(mirror, ranges):
    server = mirror()
    server.drops, server.ranges = 2, ranges
    fetch("mnist", mirrors=[server.url], pause=0)
    resumed = [start for _, start in server.requests if start]
    assert len(resumed) == 2
    size = sum((server.folder / f"{name}.gz").stat().st_size for name in OFFICIAL_FILES)
    assert server.sent == size if ranges else server.sent > size


def test_later_call_goes_on_where_the_first_one_gave_up(mirror):
    server = mirror()
    server.drops = 10**6
    with pytest.raises(
        FetchError, match=r"broke off after .* bytes.*a later call goes on from here"
    ):
        fetch("mnist", mirrors=[server.url], pause=0)
    assert not (user_data_folder() / "mnist").exists()
    assert resolve("auto").name == "mnist-sample"
    server.drops, before = 0, server.sent
    server.requests.clear()
    fetch("mnist", mirrors=[server.url], pause=0)
    assert server.requests[0] == ("train-images-idx3-ubyte.gz", before)


def test_complete_files_of_a_broken_fetch_are_kept(mirror):
    server = mirror()
    last = server.folder / "t10k-labels-idx1-ubyte.gz"
    last.rename(last.with_name("away"))
    with pytest.raises(FetchError, match="HTTP 404"):
        fetch("mnist", mirrors=[server.url])
    last.with_name("away").rename(last)
    server.requests.clear()
    fetch("mnist", mirrors=[server.url])
    assert server.requests == [(last.name, 0)]


def test_corrupted_mirror_is_passed_over(mirror):
    bad, good = mirror(), mirror()
    bad.corrupt = True
    fetch("mnist", mirrors=[bad.url, good.url])
    assert len(bad.requests) == len(good.requests) == 4
    assert len(load("mnist").images) == 60


def test_nothing_wrong_is_ever_put_in_place(mirror):
    server = mirror()
    server.corrupt = True
    with pytest.raises(FetchError, match="the file there is not the official one"):
        fetch("mnist", mirrors=[server.url])
    assert not (user_data_folder() / "mnist").exists()


def test_stale_part_does_not_poison_the_next_fetch(mirror):
    server = mirror()
    server.corrupt, server.drops = True, 10**6
    with pytest.raises(FetchError):
        fetch("mnist", mirrors=[server.url], pause=0)
    server.corrupt, server.drops = False, 0  # the part kept holds a wrong byte
    assert fetch("mnist", mirrors=[server.url]).n == 60


def test_part_that_is_complete_already_is_accepted(mirror):
    server = mirror()
    server.drops = 10**6
    with pytest.raises(FetchError):
        fetch("mnist", mirrors=[server.url], pause=0)
    server.drops = 0
    (part,) = (user_data_folder() / "mnist.incoming").glob("*.part")
    part.write_bytes((server.folder / "train-images-idx3-ubyte.gz").read_bytes())
    assert fetch("mnist", mirrors=[server.url]).n == 60


def test_refusal_is_not_repeated_but_a_failing_server_is_asked_again(mirror):
    refusing, failing = mirror(), mirror()
    refusing.status, failing.status = 403, 503
    with pytest.raises(FetchError, match=r"HTTP 403 .*HTTP 503"):
        fetch("mnist", mirrors=[refusing.url, failing.url], pause=0)
    assert len(refusing.requests) == 1
    assert len(failing.requests) == 4


def test_no_network_is_one_clear_sentence():
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}/"
    with pytest.raises(FetchError, match=r"could not fetch train-images.*gz \(.*no connection"):
        fetch("mnist", mirrors=[url], pause=0)


def test_damaged_files_in_place_are_replaced(mirror):
    server = mirror()
    path = fetch("mnist", mirrors=[server.url]).path / "train-labels-idx1-ubyte.gz"
    path.write_bytes(path.read_bytes()[:-5])
    source = fetch("mnist", mirrors=[server.url])
    assert content_sha256(path) == dict(_catalogue.CATALOGUE["mnist"].checksums)[path.stem]
    assert [entry.name for entry in source.path.parent.iterdir()] == ["mnist"]


def test_progress_counts_every_byte(mirror):
    server = mirror()
    seen: dict[str, tuple[int, int | None]] = {}
    fetch("mnist", mirrors=[server.url], progress=lambda *s: seen.__setitem__(s[0], s[1:]))
    assert set(seen) == set(OFFICIAL_FILES)
    for name, (done, total) in seen.items():
        assert done == total == (server.folder / f"{name}.gz").stat().st_size


def test_folder_of_choice(mirror, tmp_path):
    assert fetch("mnist", tmp_path / "here", mirrors=[mirror().url]).path == tmp_path / "here/mnist"


def test_what_cannot_be_fetched():
    with pytest.raises(ValueError, match="cifar10 cannot be fetched; download it from https"):
        fetch("cifar10")
    with pytest.raises(ValueError, match=r"'file:///etc/' is not an address starting with http"):
        fetch("mnist", mirrors=["file:///etc/"])
    with pytest.raises(ValueError, match="unknown data set"):
        fetch("imagenet")


def test_known_mirrors_are_encrypted_and_several():
    mirrors = _catalogue.CATALOGUE["mnist"].mirrors
    assert len(set(mirrors)) >= 3
    assert all(mirror.startswith("https://") and mirror.endswith("/") for mirror in mirrors)


@pytest.mark.parametrize("exists", [True, False])
def test_a_link_to_another_place_stays_a_link(mirror, tmp_path, exists):
    place, folder = tmp_path / "disk" / "digits", tmp_path / "here"
    folder.mkdir()
    (folder / "mnist").symlink_to(place)
    if exists:
        place.mkdir(parents=True)
    source = fetch("mnist", folder, mirrors=[mirror().url])
    assert source.n == 60
    assert (folder / "mnist").is_symlink()
    assert {path.name for path in place.iterdir()} == {f"{name}.gz" for name in OFFICIAL_FILES}
    assert [path.name for path in folder.iterdir()] == ["mnist"]
    assert [path.name for path in place.parent.iterdir()] == ["digits"]
