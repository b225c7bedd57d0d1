from __future__ import annotations

import gzip
import hashlib
import os
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils.data import DataLoader
from torchvision.datasets import MNIST
from torchvision.datasets.mnist import read_image_file

from denoise_lib import digits, downloads
from denoise_lib.data import NoisyImages, as_float_images, mnist, without
from denoise_lib.downloads import DataError, data_folder, download_file
from denoise_lib.noise import Blend, Gaussian, PointSample

# --- the small MNIST ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("split", "count"), [("train", 4000), ("test", 1000)])
def test_small_mnist_is_stratified_and_ordered(split: str, count: int) -> None:
    images, labels = mnist(split, "small", labels=True)
    assert images.shape == (count, 1, 28, 28) and images.dtype == torch.uint8
    assert labels.shape == (count,) and labels.dtype == torch.int64
    assert labels.tolist() == list(range(10)) * (count // 10)
    assert images.float().mean() / 255 == pytest.approx(0.1325, abs=0.01)  # the mean of all MNIST
    assert images.amin() == 0 and images.amax() == 255
    assert torch.equal(mnist(split), images)  # small is the default, and the same at each call


def test_small_labels_belong_to_their_images() -> None:
    images, labels = mnist("test", labels=True)
    train, train_labels = mnist("train", labels=True)
    # The nearest training digit has the same label for more than nine of ten: chance would be one of ten.
    distance = torch.cdist(images[:200].flatten(1).float(), train.flatten(1).float())
    assert (train_labels[distance.argmin(dim=1)] == labels[:200]).float().mean() > 0.9


def test_small_train_and_test_are_disjoint(small_train: Tensor, small_test: Tensor) -> None:
    assert len(without(small_train, small_test)) == len(small_train)
    assert len(without(small_test, small_train)) == len(small_test)
    everything = torch.cat([small_train, small_test])
    assert len({image.tobytes() for image in everything.numpy()}) == 5000


def test_changing_the_result_does_not_change_the_next(small_test: Tensor) -> None:
    mnist("test").zero_()
    assert torch.equal(mnist("test"), small_test)


@pytest.mark.parametrize(("arguments", "word"), [(("valid",), "split"), (("train", "big"), "size"), ((None,), "split")])
def test_unknown_splits_and_sizes(arguments: tuple[Any, ...], word: str, refused: Any) -> None:
    with refused(ValueError, word):
        mnist(*arguments)


def test_without_keeps_order_and_removes_every_copy() -> None:
    images = torch.arange(6, dtype=torch.uint8).view(6, 1, 1, 1)[[0, 3, 1, 3, 5]]
    assert without(images, images[[1, 4]]).flatten().tolist() == [0, 1]
    assert torch.equal(without(images, images[:0]), images)
    assert without(images, images).shape == (0, 1, 1, 1)


def test_without_refuses_other_types(digits: Tensor, refused: Any) -> None:
    for bad in (digits.float(), digits[0], digits.numpy(), None):
        with refused(TypeError, "images must", "uint8"):
            without(bad, digits)  # type: ignore[arg-type]
        with refused(TypeError, "unwanted must", "uint8"):
            without(digits, bad)  # type: ignore[arg-type]


# --- the full MNIST, where it is at hand ---------------------------------------------------------------------------


def test_full_mnist(full_mnist: Path, tmp_path: Path) -> None:
    for split, count, first in (("train", 60_000, [5, 0, 4, 1, 9]), ("test", 10_000, [7, 2, 1, 0, 4])):
        images, labels = mnist(split, "full", full_mnist, labels=True)
        assert images.shape == (count, 1, 28, 28) and images.dtype == torch.uint8
        assert labels.shape == (count,) and labels.dtype == torch.int64
        assert labels[:5].tolist() == first
        packed = full_mnist / f"MNIST/raw/{'train' if split == 'train' else 't10k'}-images-idx3-ubyte.gz"
        (tmp_path / split).write_bytes(gzip.decompress(packed.read_bytes()))
        assert torch.equal(images.squeeze(1), read_image_file(str(tmp_path / split)))
    # Casey and Racape's test set: 80.7 % exact zeros, mean 0.1325.
    assert images.float().mean() / 255 == pytest.approx(0.1325, abs=5e-5)
    assert (images == 0).float().mean() == pytest.approx(0.807, abs=5e-4)


def test_all_small_digits_are_full_training_digits(full_mnist: Path, small_train: Tensor, small_test: Tensor) -> None:
    full = mnist("train", "full", full_mnist)
    assert len(without(torch.cat([small_train, small_test]), full)) == 0
    assert len(without(full, small_test)) == 59_000
    assert len(without(small_test, mnist("test", "full", full_mnist))) == 1000


# --- files and downloads ---------------------------------------------------------------------------------------------

NAMES = {"images": "train-images-idx3-ubyte.gz", "labels": "train-labels-idx1-ubyte.gz"}


def idx(array: np.ndarray) -> bytes:
    header = bytes([0, 0, 8, array.ndim]) + b"".join(size.to_bytes(4, "big") for size in array.shape)
    return gzip.compress(header + array.astype(np.uint8).tobytes())


def md5(content: bytes) -> str:
    return hashlib.md5(content).hexdigest()


IMAGES = np.random.default_rng(0).integers(0, 256, (7, 28, 28))
LABELS = np.arange(7) % 10
GOOD = {NAMES["images"]: idx(IMAGES), NAMES["labels"]: idx(LABELS)}
FILE = "digits.gz"
CONTENT = idx(IMAGES)


@dataclass
class Reply:
    body: bytes = b""
    status: int = 200
    declared: int | None = None
    """Content-Length, where it is not the truth."""
    chunked: bool = False
    raw: bytes | None = None
    """Sent in place of any HTTP."""
    stall: bool = False


@dataclass
class Site:
    """A local server: each path has a list of replies, of which the last is repeated."""

    address: str
    replies: dict[str, list[Reply]] = field(default_factory=dict)
    seen: list[str] = field(default_factory=list)

    def serve(self, path: str, *replies: Reply | bytes) -> str:
        self.replies[f"/{path}"] = [reply if isinstance(reply, Reply) else Reply(reply) for reply in replies]
        return f"{self.address}/{path}"


@pytest.fixture
def site() -> Iterator[Site]:
    over = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            site.seen.append(self.path)
            replies = site.replies.get(self.path, [Reply(status=404)])
            reply = replies.pop(0) if len(replies) > 1 else replies[0]
            self.close_connection = True
            if reply.stall:
                over.wait(30)
            elif reply.raw is not None:
                self.wfile.write(reply.raw)
            else:
                self.send_response(reply.status)
                if reply.chunked:
                    self.send_header("Transfer-Encoding", "chunked")
                    reply = Reply(b"%x\r\n" % (2 * len(reply.body)) + reply.body)  # promises a chunk twice as long
                else:
                    self.send_header("Content-Length", str(len(reply.body) if reply.declared is None else reply.declared))
                self.end_headers()
                self.wfile.write(reply.body)

        def log_message(self, *arguments: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    site = Site(f"http://127.0.0.1:{server.server_port}")
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    yield site
    over.set()
    server.shutdown()
    server.server_close()


FAILURES = {
    "404": Reply(status=404),
    "server error": Reply(b"sorry", status=503),
    "truncated": Reply(CONTENT[:-100]),
    "connection lost": Reply(CONTENT[:-100], declared=len(CONTENT)),
    "connection lost in a chunk": Reply(CONTENT, chunked=True),
    "empty": Reply(b""),
    "another file": Reply(idx(LABELS)),
    "HTML in place of gzip": Reply(b"<html><body>Please log in to the campus network</body></html>"),
    "no HTTP": Reply(raw=b"SSH-2.0-OpenSSH_9.2\r\n"),
    "nothing": Reply(raw=b""),
    "stalled": Reply(stall=True),
}


def get(urls: list[str], path: Path, *, attempts: int = 1) -> None:
    download_file(urls, path, md5(CONTENT), attempts=attempts, pause=0, timeout=0.3)


def test_a_good_download(site: Site, tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / FILE
    get([site.serve(FILE, CONTENT)], path)
    assert path.read_bytes() == CONTENT
    assert os.listdir(path.parent) == [FILE]


@pytest.mark.parametrize("kind", FAILURES)
def test_a_failed_download_leaves_nothing(kind: str, site: Site, tmp_path: Path, refused: Any) -> None:
    with refused(DataError, FILE, "1 mirror(s)", "size='small'"):
        get([site.serve(FILE, FAILURES[kind])], tmp_path / FILE)
    assert site.seen and os.listdir(tmp_path) == []


@pytest.mark.parametrize("kind", FAILURES)
def test_the_second_mirror_helps(kind: str, site: Site, tmp_path: Path) -> None:
    get([site.serve("bad", FAILURES[kind]), site.serve("good", CONTENT)], tmp_path / FILE)
    assert (tmp_path / FILE).read_bytes() == CONTENT
    assert os.listdir(tmp_path) == [FILE]


@pytest.mark.parametrize("kind", FAILURES)
def test_a_second_attempt_helps(kind: str, site: Site, tmp_path: Path) -> None:
    get([site.serve(FILE, FAILURES[kind], Reply(CONTENT))], tmp_path / FILE, attempts=2)
    assert (tmp_path / FILE).read_bytes() == CONTENT
    assert os.listdir(tmp_path) == [FILE]


def test_pauses_double_between_attempts(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    monkeypatch.setattr(downloads.time, "sleep", pauses.append)
    with pytest.raises(DataError, match="4 attempts"):
        download_file([f"{site.address}/none"], tmp_path / FILE, md5(CONTENT), attempts=4, pause=0.5)
    assert pauses == [0.5, 1, 2]


def test_no_server_at_all(tmp_path: Path, refused: Any) -> None:
    with refused(DataError, FILE):
        get(["http://127.0.0.1:1/digits.gz", "no-address"], tmp_path / FILE)
    assert os.listdir(tmp_path) == []


def test_a_full_disk_while_downloading(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refused: Any) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(downloads.os, "replace", full)
    with refused(DataError, FILE, "No space left"):
        get([site.serve(FILE, CONTENT)], tmp_path / FILE)
    assert os.listdir(tmp_path) == []


def test_ctrl_c_while_downloading_leaves_nothing(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(downloads.os, "replace", stop)
    with pytest.raises(KeyboardInterrupt):
        get([site.serve(FILE, CONTENT)], tmp_path / FILE)
    assert os.listdir(tmp_path) == []


def test_a_folder_that_cannot_be_written(site: Site, tmp_path: Path, refused: Any) -> None:
    (tmp_path / "file").write_text("in the way")
    with refused(DataError, "cannot write to", "DENOISE_DATA"):
        get([site.serve(FILE, CONTENT)], tmp_path / "file" / FILE)
    assert os.listdir(tmp_path) == ["file"] and not site.seen


def test_a_folder_without_permission(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refused: Any) -> None:
    def forbidden(**_: Any) -> None:  # chmod would not stop a superuser, who runs the tests in many containers
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(downloads.tempfile, "TemporaryDirectory", forbidden)
    with refused(DataError, "cannot write to", "Permission denied"):
        get([site.serve(FILE, CONTENT)], tmp_path / FILE)
    assert os.listdir(tmp_path) == [] and not site.seen


@pytest.fixture
def tiny_mnist(site: Site, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Site:
    """The full training set is seven digits on the local server; neither the environment nor the real cache is seen."""
    monkeypatch.setattr(MNIST, "mirrors", [f"{site.address}/first/", f"{site.address}/second/"])
    monkeypatch.setattr(MNIST, "resources", [(name, md5(content)) for name, content in GOOD.items()])
    monkeypatch.delenv("DENOISE_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(downloads.time, "sleep", lambda _: None)
    for name, content in GOOD.items():
        site.serve(f"second/{name}", content)  # the first mirror has nothing
    return site


def put(folder: Path, contents: dict[str, bytes] = GOOD) -> None:
    (folder / "MNIST" / "raw").mkdir(parents=True)
    for name, content in contents.items():
        (folder / "MNIST" / "raw" / name).write_bytes(content)


def test_full_mnist_is_downloaded_once(tiny_mnist: Site, tmp_path: Path) -> None:
    images, labels = mnist("train", "full", tmp_path / "root", labels=True)
    assert torch.equal(images, torch.from_numpy(IMAGES.astype(np.uint8)).unsqueeze(1))
    assert torch.equal(labels, torch.from_numpy(LABELS))
    assert sorted(os.listdir(tmp_path / "root/MNIST/raw")) == sorted(GOOD)
    requests = len(tiny_mnist.seen)
    assert torch.equal(mnist("train", "full", tmp_path / "root"), images)
    assert len(tiny_mnist.seen) == requests


def test_a_failed_full_mnist_never_becomes_the_small_one(tiny_mnist: Site, tmp_path: Path, refused: Any) -> None:
    tiny_mnist.replies.clear()
    with refused(DataError, NAMES["images"], "2 mirror(s)", "size='small'"):
        mnist("train", "full", tmp_path / "root")
    assert os.listdir(tmp_path / "root/MNIST/raw") == []


def test_a_damaged_file_in_root(tiny_mnist: Site, tmp_path: Path, refused: Any) -> None:
    put(tmp_path, GOOD | {NAMES["images"]: CONTENT[:-10]})
    with refused(DataError, NAMES["images"], "damaged", "delete it"):
        mnist("train", "full", tmp_path)
    assert not tiny_mnist.seen


def test_where_files_are_looked_for(tiny_mnist: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert data_folder() == tmp_path / "cache" / "denoise_lib"
    monkeypatch.setenv("DENOISE_DATA", str(tmp_path / "classroom"))
    assert data_folder() == tmp_path / "classroom"
    put(tmp_path / "cache" / "denoise_lib")
    assert len(mnist("train", "full")) == 7  # in the cache, though not in DENOISE_DATA
    assert not tiny_mnist.seen and not (tmp_path / "classroom").exists()
    put(tmp_path / "classroom", {name: b"damaged" for name in GOOD})
    with pytest.raises(DataError, match="classroom"):  # DENOISE_DATA comes first
        mnist("train", "full")


def test_downloads_go_to_denoise_data(tiny_mnist: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DENOISE_DATA", str(tmp_path / "classroom"))
    assert len(mnist("train", "full")) == 7
    assert sorted(os.listdir(tmp_path / "classroom/MNIST/raw")) == sorted(GOOD)
    assert not (tmp_path / "cache").exists()


def test_the_cache_without_settings_is_in_the_home_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("DENOISE_DATA", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert data_folder() == Path.home() / ".cache" / "denoise_lib"


@pytest.mark.parametrize("array", [IMAGES, LABELS, IMAGES[:0]], ids=["images", "labels", "none"])
def test_idx_files_are_read(array: np.ndarray, tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes(idx(array))
    read = digits._read_idx(tmp_path / FILE)
    assert read.dtype == np.uint8 and read.flags.writeable
    assert np.array_equal(read, array) and read.shape == array.shape


GOOD_IDX = gzip.decompress(CONTENT)
BAD_IDX = {
    "empty": b"",
    "HTML": b"<html></html>",
    "truncated gzip": CONTENT[:-20],
    "damaged gzip": CONTENT[:10] + bytes([byte ^ 0xFF for byte in CONTENT[10:30]]) + CONTENT[30:],
    "no header": gzip.compress(b"\0\0"),
    "no sizes": gzip.compress(GOOD_IDX[:7]),
    "no bytes but floats": gzip.compress(b"\0\0\x0d" + GOOD_IDX[3:]),
    "no axes": gzip.compress(b"\0\0\x08\0" + GOOD_IDX[4:]),
    "too few values": gzip.compress(GOOD_IDX[:-1]),
    "too many values": gzip.compress(GOOD_IDX + b"\0"),
}


@pytest.mark.parametrize("kind", BAD_IDX)
def test_damaged_idx_files_are_refused(kind: str, tmp_path: Path, refused: Any) -> None:
    (tmp_path / FILE).write_bytes(BAD_IDX[kind])
    with refused(DataError, FILE, "delete it"):
        digits._read_idx(tmp_path / FILE)


# --- NoisyImages -----------------------------------------------------------------------------------------------------


def stacked(pairs: NoisyImages) -> tuple[Tensor, Tensor]:
    items = [pairs[index] for index in range(len(pairs))]
    return torch.stack([noisy for noisy, _ in items]), torch.stack([clean for _, clean in items])


def served(pairs: NoisyImages, size: int = 10, **options: Any) -> tuple[Tensor, Tensor]:
    batches = list(pairs.batches(size, **options))
    return torch.cat([noisy for noisy, _ in batches]), torch.cat([clean for _, clean in batches])


@pytest.fixture(params=["uint8", "float"])
def clean(request: pytest.FixtureRequest, digits: Tensor) -> Tensor:
    return digits if request.param == "uint8" else digits.double() / 255


def test_fixed_noise_is_drawn_once(clean: Tensor) -> None:
    pairs = NoisyImages(clean, Blend(0.25))
    noisy, target = stacked(pairs)
    assert noisy.dtype == target.dtype == torch.float32 and noisy.shape == target.shape == clean.shape
    for again in (stacked(pairs), served(pairs), served(pairs, 32), served(NoisyImages(clean, Blend(0.25)))):
        assert torch.equal(again[0], noisy) and torch.equal(again[1], target)
    assert torch.equal((target * 255).round().byte(), (clean * (255 if clean.is_floating_point() else 1)).round().byte())
    assert torch.equal(pairs[-1][0], noisy[-1])
    expected = Blend(0.25)(as_float_images(clean), torch.Generator().manual_seed(0))
    assert torch.equal(noisy, expected)


def test_fresh_noise_is_drawn_at_each_access(clean: Tensor) -> None:
    pairs = NoisyImages(clean, Blend(0.25), fresh=True)
    draws = [stacked(pairs)[0], stacked(pairs)[0], served(pairs)[0], served(pairs)[0]]
    for first in range(4):
        for second in range(first):
            for index in range(len(clean)):
                assert not torch.equal(draws[first][index], draws[second][index])
    assert torch.equal(stacked(pairs)[1], stacked(NoisyImages(clean, Blend(0.25)))[1])


def test_fresh_noise_is_reproducible(digits: Tensor) -> None:
    first, second = (NoisyImages(digits, Blend(0.25), fresh=True, seed=3) for _ in range(2))
    assert torch.equal(stacked(first)[0], stacked(second)[0])
    assert torch.equal(served(first)[0], served(second)[0])
    generators = [torch.Generator().manual_seed(5) for _ in range(2)]
    assert torch.equal(served(first, generator=generators[0])[0], served(second, generator=generators[1])[0])


@pytest.mark.parametrize("fresh", [False, True])
def test_the_global_generator_is_untouched(digits: Tensor, fresh: bool) -> None:
    before = torch.random.get_rng_state()
    pairs = NoisyImages(digits, Blend((0.1, 0.4)), fresh=fresh)
    stacked(pairs), served(pairs), served(pairs, generator=torch.Generator())
    assert torch.equal(torch.random.get_rng_state(), before)


def test_seeds_differ(digits: Tensor) -> None:
    first, second = (stacked(NoisyImages(digits, Blend(0.25), seed=seed))[0] for seed in (0, 1))
    assert all(not torch.equal(a, b) for a, b in zip(first, second, strict=True))


def test_setting_the_noise_keeps_the_draw(digits: Tensor) -> None:
    pairs = NoisyImages(digits, Blend(1.0, clip=False), seed=2)
    normal, target = stacked(pairs)
    for mu in (0.4, 0.1, 0.0):
        pairs.noise = Blend(mu, clip=False)
        assert pairs.noise == Blend(mu, clip=False)
        assert torch.allclose(stacked(pairs)[0], (1 - mu) * target + mu * normal, rtol=0, atol=1e-6)
        assert torch.equal(served(pairs)[0], stacked(pairs)[0])


def test_setting_fresh_noise(digits: Tensor) -> None:
    pairs = NoisyImages(digits, Blend(0.5), fresh=True)
    pairs.noise = Blend(0)
    noisy, target = stacked(pairs)
    assert torch.equal(noisy, target)


@pytest.mark.parametrize("fresh", [False, True])
def test_a_refused_noise_leaves_the_data_set_as_it_was(digits: Tensor, fresh: bool, refused: Any) -> None:
    pairs = NoisyImages(digits, Blend(0.25), fresh=fresh)
    with refused(TypeError, "noise", "Blend(0.25)"):
        pairs.noise = 0.25  # type: ignore[assignment]
    if not fresh:
        before = stacked(pairs)[0]
        with refused(ValueError, "PointSample"):
            pairs.noise = PointSample(5)  # 28 does not divide by 5
        assert torch.equal(stacked(pairs)[0], before)
    assert pairs.noise == Blend(0.25)


@pytest.mark.parametrize("fresh", [False, True])
def test_a_noise_that_makes_smaller_images(digits: Tensor, fresh: bool) -> None:
    pairs = NoisyImages(digits, PointSample(4), fresh=fresh)
    for noisy, target in (stacked(pairs), served(pairs)):
        assert noisy.shape == target.shape == (32, 1, 7, 7)
        assert torch.allclose(target, torch.nn.functional.avg_pool2d(digits / 255, 4))


@pytest.mark.parametrize("fresh", [False, True])
def test_shuffled_batches_are_a_permutation(digits: Tensor, fresh: bool) -> None:
    pairs = NoisyImages(digits, Blend(0.25), fresh=fresh)
    generator = torch.Generator().manual_seed(0)
    orders = []
    for _ in range(2):
        batches = list(pairs.batches(10, generator=generator))
        assert [len(noisy) for noisy, _ in batches] == [10, 10, 10, 2]
        noisy, target = (torch.cat(parts) for parts in zip(*batches, strict=True))
        order = [(digits / 255 == image).flatten(1).all(dim=1).nonzero().item() for image in target]
        assert sorted(order) == list(range(32)) and order != list(range(32))
        orders.append(order)
        if not fresh:
            assert torch.equal(noisy, stacked(pairs)[0][order])
        else:  # the noise belongs to the image beside it
            assert ((noisy - target).square().mean(dim=(1, 2, 3)) < 0.1).all()
    assert orders[0] != orders[1]


@pytest.mark.parametrize("workers", [0, 2])
def test_a_data_loader_gives_each_item_and_epoch_its_own_noise(workers: int) -> None:
    same = torch.full((8, 1, 8, 8), 128, dtype=torch.uint8)  # one gray image eight times: only the noise can differ
    pairs = NoisyImages(same, Gaussian(0.1), fresh=True)
    loader = DataLoader(pairs, batch_size=2, num_workers=workers, generator=torch.Generator().manual_seed(0))
    images = [image for _ in range(2) for noisy, _ in loader for image in noisy]
    assert len(images) == 16
    assert len({image.numpy().tobytes() for image in images}) == 16


def test_a_data_loader_with_fixed_noise_equals_the_data_set(digits: Tensor) -> None:
    pairs = NoisyImages(digits, Blend(0.25))
    loader = DataLoader(pairs, batch_size=5, num_workers=2, generator=torch.Generator())
    assert torch.equal(torch.cat([noisy for noisy, _ in loader]), stacked(pairs)[0])


def test_the_clean_images_are_not_changed(clean: Tensor) -> None:
    before = clean.clone()
    for fresh in (False, True):
        pairs = NoisyImages(clean, Blend(0.0), fresh=fresh)
        for noisy, target in [*pairs.batches(4), pairs[0]]:
            noisy.add_(1)
            assert noisy.data_ptr() != target.data_ptr()
    assert torch.equal(clean, before)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="this machine has no CUDA device")
def test_batches_on_a_gpu(digits: Tensor) -> None:
    pairs = NoisyImages(digits, Blend(0.25))
    on_gpu = served(pairs, device="cuda")
    assert on_gpu[0].is_cuda and torch.equal(on_gpu[0].cpu(), served(pairs)[0])
    assert torch.equal(served(NoisyImages(digits.cuda(), Blend(0.25)))[0].cpu(), served(pairs)[0])
    fresh = NoisyImages(digits, Blend(0.25), fresh=True)
    assert not torch.equal(served(fresh, device="cuda")[0], served(fresh, device="cuda")[0])


BAD_CLEAN: list[tuple[Callable[[Tensor], Any], type[Exception]]] = [
    (lambda x: x.numpy(), TypeError),
    (lambda x: None, TypeError),
    (lambda x: x.long(), TypeError),
    (lambda x: x[0], ValueError),
    (lambda x: x[:0], ValueError),
    (lambda x: x.float(), ValueError),  # 0..255
    (lambda x: x / 255 - 0.1, ValueError),
    (lambda x: torch.full((1, 1, 4, 4), float("nan")), ValueError),
]


@pytest.mark.parametrize(("change", "error"), BAD_CLEAN)
def test_bad_clean_images(change: Callable[[Tensor], Any], error: type[Exception], digits: Tensor, refused: Any) -> None:
    for fresh in (False, True):
        with refused(error, "clean"):
            NoisyImages(change(digits), Blend(0.25), fresh=fresh)


def test_bad_arguments(digits: Tensor, refused: Any) -> None:
    for noise in (0.25, "blend:0.25", None, Blend):
        with refused(TypeError, "noise"):
            NoisyImages(digits, noise)  # type: ignore[arg-type]
    for seed, error in ((-1, ValueError), (0.5, TypeError), (True, TypeError), ("0", TypeError)):
        with refused(error, "seed"):
            NoisyImages(digits, Blend(0.25), seed=seed)  # type: ignore[arg-type]
    pairs = NoisyImages(digits, Blend(0.25))
    for size, error in ((0, ValueError), (-3, ValueError), (1.5, TypeError), (None, TypeError)):
        with refused(error, "size"):
            next(pairs.batches(size))  # type: ignore[arg-type]
    with refused(TypeError, "generator"):
        next(pairs.batches(4, generator=0))  # type: ignore[arg-type]
    for index in (32, -33):
        with refused(IndexError, str(index), "32 images"):
            pairs[index]


def test_as_float_images(digits: Tensor, refused: Any) -> None:
    assert torch.equal(as_float_images(digits), digits / 255)
    assert as_float_images(digits.double() / 255).dtype == torch.float32
    with refused(TypeError, "pictures"):
        as_float_images(digits.int(), "pictures")
    with refused(ValueError, "pictures", "[0, 1]"):
        as_float_images(digits.float(), "pictures")
