from __future__ import annotations

import os
import re
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import Tensor

from denoise_lib.corruptions import PointSample
from denoise_lib.data import NoisyPairs
from denoise_lib.metrics import psnr
from denoise_lib.papers import pairs as pairs_module
from denoise_lib.papers.pairs import PhotoPairs, photo_pairs
from denoise_lib.sources.download import DataError
from denoise_lib.sources.photographs import photo_files, photos

pytestmark = pytest.mark.numbers

SIGMAS = 5
CELL, SIDE = 4, 8


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that the pairs are kept in; it is made at need."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "denoise_lib" / "pairs"


@pytest.fixture
def album(tmp_path: Path) -> Path:
    """Three photos for training and two for the test."""
    return fill(tmp_path / "album", 0)


def fill(folder: Path, seed: int, suffix: str = ".png") -> Path:
    generator = np.random.default_rng(seed)
    for split, count in (("train", 3), ("test", 2)):
        (folder / split).mkdir(parents=True, exist_ok=True)
        for number in range(count):
            # Smooth shapes with some noise: no two squares are alike, and no cell is flat.
            coarse = generator.integers(0, 256, (6, 5, 3), dtype=np.uint8)
            photo = np.asarray(Image.fromarray(coarse).resize((50, 60), Image.Resampling.BICUBIC)).astype(float)
            photo = (photo + generator.normal(0, 12, photo.shape)).clip(0, 255).astype(np.uint8)
            Image.fromarray(photo).save(folder / split / f"{number}{suffix}")
    return folder


def drawn(source: Path, count: int = 10, split: str = "train", **options: Any) -> PhotoPairs:
    return photo_pairs(split, source, **{"count": count, "cell": CELL, "side": SIDE} | options)


def tensors(pairs: PhotoPairs) -> tuple[Tensor, Tensor, Tensor]:
    return pairs.first, pairs.second, pairs.clean


def same(first: PhotoPairs, second: PhotoPairs) -> bool:
    return all(torch.equal(a, b) for a, b in zip(tensors(first), tensors(second), strict=True))


def squares_of(pairs: PhotoPairs, source: Path, crops: int, split: str = "train", seed: int = 0) -> tuple[Tensor, Tensor]:
    """The large squares that the pairs were made of, found by their clean images, and their numbers."""
    squares = photos(split, source, size=CELL * SIDE, crops=crops, seed=seed) / 255
    reduced = PointSample(CELL).clean(squares)
    distance = (pairs.clean[:, None] / 255 - reduced).abs().flatten(2).amax(dim=2)
    return squares[distance.argmin(dim=1)], distance.argmin(dim=1)


# --- what is drawn ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [1, 3, 9, 10])
def test_shapes(count: int, album: Path) -> None:
    pairs = drawn(album, count)
    assert len(pairs) == count
    for part in tensors(pairs):
        assert part.shape == (count, 3, SIDE, SIDE) and part.dtype == torch.uint8
    assert not (pairs.first == pairs.second).flatten(1).all(dim=1).any()


def test_the_papers_sizes_are_the_defaults() -> None:
    pairs = photo_pairs("test", count=3, cache=False)
    assert pairs.clean.shape == (3, 3, 32, 32)
    assert same(pairs, photo_pairs("test", "builtin", count=3, cell=8, side=32, seed=0, cache=False))


def test_a_clean_image_is_the_mean_of_its_cells(album: Path) -> None:
    pairs = drawn(album, 10)
    squares, numbers = squares_of(pairs, album, crops=4)  # 10 pairs of 3 photos
    # Rounding to 8 bits: half a gray level, and a trifle for float32.
    assert (pairs.clean / 255 - PointSample(CELL).clean(squares)).abs().max() <= 0.5001 / 255
    assert len(set(numbers.tolist())) == 10  # each square is used once


@pytest.mark.parametrize("split", ["train", "test"])
def test_each_noisy_pixel_is_one_of_its_cell(split: str, album: Path) -> None:
    pairs = drawn(album, 12, split)
    squares, _ = squares_of(pairs, album, crops=4 if split == "train" else 6, split=split)
    cells = (squares * 255).round().view(12, 3, SIDE, CELL, SIDE, CELL).permute(0, 1, 2, 4, 3, 5).flatten(4)
    for copy in (pairs.first, pairs.second):  # bit for bit, and at one place in all channels
        assert (cells == copy[..., None]).all(dim=1).any(dim=-1).all()


def test_noisy_pixels_are_unbiased_and_independent(album: Path) -> None:
    pairs = drawn(album, 300)
    squares, _ = squares_of(pairs, album, crops=100)
    noise = PointSample(CELL)
    residuals = [copy / 255 - noise.clean(squares) for copy in (pairs.first, pairs.second)]
    variance = noise.variance(squares)
    for residual in residuals:
        for channel in range(3):
            total, spread = residual[:, channel].sum(), variance[:, channel].sum().sqrt()
            assert abs(total) < SIGMAS * spread
        assert residual.square().mean().item() == pytest.approx(variance.mean().item(), rel=0.05)
    product = (residuals[0] * residuals[1]).sum(dim=1)  # of the channels, which are correlated
    assert abs(product.sum()) < SIGMAS * product.square().sum().sqrt()


def test_each_photo_has_noise_of_its_own(album: Path) -> None:
    photo = (album / "train" / "0.png").read_bytes()
    for number in (1, 2):
        (album / "train" / f"{number}.png").write_bytes(photo)
    pairs = drawn(album, 3)  # three times the same square
    assert torch.equal(pairs.clean[0], pairs.clean[1]) and torch.equal(pairs.clean[0], pairs.clean[2])
    copies = torch.cat([pairs.first, pairs.second])
    for index in range(6):
        for other in range(index):
            share = (copies[index] == copies[other]).all(dim=0).float().mean().item()
            # 64 pixels, each at the same of the 16 places by chance alone.
            assert share < 1 / 16 + SIGMAS * (15 / 16**2 / SIDE**2) ** 0.5


def test_all_photos_are_used_equally_often_and_mixed(album: Path) -> None:
    pairs = drawn(album, 30)
    _, numbers = squares_of(pairs, album, crops=10)
    assert sorted(numbers.tolist()) == list(range(30))
    by_photo = (numbers // 10).tolist()
    assert sum(a != b for a, b in pairwise(by_photo)) > 10  # photo by photo, it would be 2


def test_training_and_test_share_no_image(album: Path) -> None:
    train, test, everything = (drawn(album, 6, split) for split in ("train", "test", "all"))
    assert not {image.numpy().tobytes() for image in train.clean} & {image.numpy().tobytes() for image in test.clean}
    assert len(everything) == 6 and not same(everything, train)


def test_one_seed_gives_one_set(album: Path) -> None:
    first = drawn(album, cache=False)
    assert same(drawn(album, cache=False), first)
    assert not same(drawn(album, seed=1, cache=False), first)


def test_few_squares_are_held_as_floats_at_a_time(album: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    held: list[int] = []

    def counting(self: PointSample, image: Tensor, generator: torch.Generator | None = None) -> Tensor:
        held.append(len(image))
        return sample(self, image, generator)

    sample = PointSample.__call__
    monkeypatch.setattr(PointSample, "__call__", counting)
    pairs = drawn(album, 30, cache=False)
    assert max(held) == 10  # the squares of one photo
    held.clear()
    monkeypatch.setattr(pairs_module, "PART", 4)
    assert same(drawn(album, 30, cache=False), pairs)
    assert max(held) == 4 and sum(held) == 2 * 30


def test_the_global_generator_is_untouched(album: Path) -> None:
    before = torch.random.get_rng_state()
    drawn(album)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_the_pairs_can_be_served(album: Path) -> None:
    pairs = drawn(album)
    dataset = NoisyPairs.from_copies(pairs.first, pairs.second, exchange=True)
    first, second = next(dataset.batches(10))
    assert torch.allclose(first + second, (pairs.first / 255) + (pairs.second / 255))


def test_nothing_is_printed(album: Path, capsys: pytest.CaptureFixture[str]) -> None:
    drawn(album)
    told = capsys.readouterr()
    assert told.out == told.err == ""


# --- the cache -------------------------------------------------------------------------------------------------------


def files_in(folder: Path) -> list[Path]:
    return sorted(folder.iterdir()) if folder.exists() else []


def test_the_second_call_reads_the_file(album: Path, cache: Path) -> None:
    first = drawn(album)
    (file,) = files_in(cache)
    assert file.name.startswith("train-10-") and file.suffix == ".safetensors"
    content = load_file(file)
    assert same(PhotoPairs(**content), first)
    content["clean"][0] = 77
    save_file(content, file)
    again = drawn(album)
    assert (again.clean[0] == 77).all() and torch.equal(again.first, first.first)
    assert same(drawn(album, cache=False), first)  # does not look at it


def test_without_the_cache_nothing_is_written(album: Path, cache: Path) -> None:
    drawn(album, cache=False)
    assert files_in(cache.parent) == []


@pytest.mark.parametrize(
    "change", [{"count": 11}, {"cell": 2}, {"side": 4}, {"seed": 1}, {"split": "test"}, {"source": "other"}], ids=str
)
def test_other_arguments_are_kept_apart(change: dict[str, Any], album: Path, cache: Path, tmp_path: Path) -> None:
    options: dict[str, Any] = {"split": "train", "source": album, "count": 10, "cell": CELL, "side": SIDE}
    if change == {"source": "other"}:
        change = {"source": fill(tmp_path / "other", 1)}
    first, other = photo_pairs(**options), photo_pairs(**options | change)
    assert len(files_in(cache)) == 2
    assert same(photo_pairs(**options), first) and same(photo_pairs(**options | change), other)
    assert same(photo_pairs(**options | change, cache=False), other) and not torch.equal(first.clean, other.clean)


def test_a_new_photo_makes_a_new_set(album: Path, cache: Path) -> None:
    first = drawn(album)
    Image.new("RGB", (40, 40), (9, 9, 9)).save(album / "train" / "3.png")
    assert not same(drawn(album), first) and len(files_in(cache)) == 2


@pytest.mark.parametrize("kind", ["empty", "text", "truncated", "no second", "more", "folder"])
def test_a_damaged_file_is_built_again(kind: str, album: Path, cache: Path) -> None:
    first = drawn(album)
    (file,) = files_in(cache)
    whole, content = file.read_bytes(), load_file(file)
    if kind == "folder":
        file.unlink()
        file.mkdir()
    elif kind in ("no second", "more"):
        content |= {"third": content["second"] + 1}
        save_file({name: part for name, part in content.items() if kind == "more" or name in ("first", "clean")}, file)
    else:
        file.write_bytes({"empty": b"", "text": b"no tensors", "truncated": whole[: len(whole) // 2]}[kind])
    assert same(drawn(album), first)
    assert files_in(cache) == [file]  # and no scratch file beside it
    if kind != "folder":
        assert same(PhotoPairs(**load_file(file)), first)


def test_a_full_disk_leaves_no_torn_file(album: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written = []

    def torn(content: dict[str, Tensor], path: Path) -> None:
        Path(path).write_bytes(b"half of a fi")
        written.append(Path(path))
        raise OSError(28, "No space left on device")

    expected = drawn(album, cache=False)
    with monkeypatch.context() as patched:
        patched.setattr(pairs_module, "save_file", torn)
        assert same(drawn(album), expected)
    assert len(written) == 1 and written[0].parent == cache and files_in(cache) == []
    assert same(drawn(album), expected) and len(files_in(cache)) == 1


def test_a_cache_that_cannot_be_written_is_no_error(album: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise PermissionError(13, "Permission denied")

    expected = drawn(album, cache=False)
    with monkeypatch.context() as patched:
        patched.setattr(Path, "mkdir", refuse)
        assert same(drawn(album), expected)
    assert files_in(cache) == []
    cache.mkdir(parents=True)
    with monkeypatch.context() as patched:
        patched.setattr(Path, "replace", refuse)
        assert same(drawn(album), expected)
    assert files_in(cache) == []


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="an administrator may write everywhere")
def test_a_folder_without_permission_is_no_error(album: Path, cache: Path) -> None:
    cache.mkdir(parents=True)
    cache.chmod(0o500)
    try:
        assert same(drawn(album), drawn(album, cache=False))
    finally:
        cache.chmod(0o700)
    assert files_in(cache) == []


# --- bad arguments ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["count", "cell", "side", "seed"])
def test_bad_numbers(name: str, album: Path, cache: Path, refused: Any) -> None:
    low = 0 if name == "seed" else 1
    wrong_kinds: list[tuple[Any, type[Exception]]] = [(bad, TypeError) for bad in (1.5, "8", True, None)]
    for bad, error in [(low - 1, ValueError), (-3, ValueError), *wrong_kinds]:
        with refused(error, f"{name} must"):
            drawn(album, **{name: bad})
    assert files_in(cache) == []


def test_bad_sources(album: Path, tmp_path: Path, refused: Any) -> None:
    with refused(ValueError, "split", "'valid'"):
        drawn(album, split="valid")
    with refused(ValueError, "source", "nowhere"):
        drawn(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with refused(DataError, "no photos"):
        drawn(tmp_path / "empty")
    (album / "train" / "broken.png").write_bytes(b"no photo")
    with pytest.raises(DataError, match=r"broken\.png"):
        drawn(album)


# --- which photos these are ------------------------------------------------------------------------------------------


def test_a_fingerprint_changes_with_one_byte(album: Path) -> None:
    pairs = drawn(album, 6)
    fingerprint = pairs.fingerprint()
    assert re.fullmatch("[0-9a-f]{8}", fingerprint)
    assert fingerprint == pairs.fingerprint() == drawn(album, 6).fingerprint() == drawn(album, 6, cache=False).fingerprint()
    for place in ((0, 0, 0, 0), (5, 2, SIDE - 1, SIDE - 1)):
        clean = pairs.clean.clone()
        clean[place] ^= 1
        assert PhotoPairs(pairs.first, pairs.second, clean).fingerprint() != fingerprint
        clean[place] ^= 1
        assert PhotoPairs(pairs.first, pairs.second, clean).fingerprint() == fingerprint


def test_other_photos_and_settings_have_other_fingerprints(album: Path, tmp_path: Path) -> None:
    pairs = [drawn(album), drawn(album, 9), drawn(album, cell=3), drawn(album, split="test"), drawn(fill(tmp_path / "b", 1))]
    assert len({part.fingerprint() for part in pairs}) == len(pairs)


def test_the_order_of_the_photos_is_in_the_fingerprint_and_their_layout_is_not(album: Path) -> None:
    pairs = drawn(album, 6)
    turned = PhotoPairs(*(part.flip(0) for part in tensors(pairs)))
    assert turned.fingerprint() != pairs.fingerprint()
    spread = pairs.clean.to(memory_format=torch.channels_last)
    assert PhotoPairs(pairs.first, pairs.second, spread).fingerprint() == pairs.fingerprint()


# --- found wanting ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("part", ["first", "clean"])
def test_another_seed_draws_other_squares_and_noise(part: str, album: Path) -> None:
    images = [{image.numpy().tobytes() for image in getattr(drawn(album, 12, seed=seed), part)} for seed in (0, 1)]
    assert len(images[0] & images[1]) <= 3  # the central squares are the same, and clean alike


def test_folders_with_files_of_equal_names_and_sizes_are_kept_apart(tmp_path: Path) -> None:
    first, other = (fill(tmp_path / str(seed), seed, ".bmp") for seed in (0, 1))
    drawn(first)
    assert same(drawn(other), drawn(other, cache=False))


def test_a_file_where_the_cache_folder_should_be_is_no_error(album: Path, cache: Path) -> None:
    cache.parent.mkdir(parents=True)
    cache.write_text("in the way")
    assert same(drawn(album), drawn(album, cache=False))


def test_ctrl_c_leaves_no_torn_file(album: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stopped(content: dict[str, Tensor], path: Path) -> None:
        Path(path).write_bytes(b"half of a fi")
        raise KeyboardInterrupt

    monkeypatch.setattr(pairs_module, "save_file", stopped)
    with pytest.raises(KeyboardInterrupt):
        drawn(album)
    assert files_in(cache) == []


def test_the_noise_of_many_photos_is_that_of_the_papers_data() -> None:
    folder = Path(os.environ.get("DENOISE_DATA", "")) / "photos"
    if not (os.environ.get("DENOISE_DATA") and folder.is_dir()):
        pytest.skip("the hundreds of photos that this needs are not in DENOISE_DATA")
    pairs = photo_pairs("all", folder, count=len(photo_files("all", folder)), cache=False)
    noisy, clean = pairs.first.float() / 255, pairs.clean.float() / 255
    # The paper's validation set has 20.72 dB and 19.62 dB pooled; 900 photos have a standard error of 0.1 dB.
    assert psnr(noisy, clean) == pytest.approx(20.72, abs=0.3)
    assert psnr(noisy, clean, per_image=False) == pytest.approx(19.62, abs=0.3)
