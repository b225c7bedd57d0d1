from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from denoise_lib import photographs
from denoise_lib.downloads import DataError
from denoise_lib.photographs import BUILTIN, SMALLEST_CROP, photo_files, photos, read_photo, square_crops


def save(path: Path, image: Image.Image | tuple[int, int, int] = (0, 0, 0), **options: Any) -> Path:
    """A photo, or one of a single colour."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if not isinstance(image, Image.Image):
        image = Image.new("RGB", (12, 10), image)
    image.save(path, **options)
    return path


def numbered(folder: Path, count: int, first: int = 0, suffix: str = ".png") -> Path:
    """`count` gray photos whose value is their number."""
    for number in range(first, first + count):
        save(folder / f"{number:03}{suffix}", (number, number, number))
    return folder


def values(images: Tensor) -> list[int]:
    assert (images == images[:, :1, :1, :1]).all()
    return images[:, 0, 0, 0].tolist()


def map_of_places(width: int, height: int) -> Image.Image:
    """Red tells the column and green the row."""
    places = np.zeros((height, width, 3), dtype=np.uint8)
    places[..., 0], places[..., 1] = np.arange(width), np.arange(height)[:, None]
    return Image.fromarray(places)


# --- the photos of the packages ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("split", ["train", "test"])
def test_builtin_photos(split: str) -> None:
    images = photos(split, size=16, crops=2)
    assert images.shape == (2 * len(BUILTIN[split]), 3, 16, 16) and images.dtype == torch.uint8 and images.is_contiguous()
    assert len({image.numpy().tobytes() for image in images}) == len(images)
    for image in images.float():  # photos of colour, and none is flat
        assert image.std() > 10 and (image[0] - image[2]).abs().max() > 10


def test_builtin_splits_share_no_photo() -> None:
    files = [{str(file) for file in photo_files(split)} for split in ("train", "test")]
    assert len(files[0]) == 5 and len(files[1]) == 2 and not files[0] & files[1]
    train, test = (photos(split, size=8).flatten(1).float() for split in ("train", "test"))
    assert torch.cdist(test, train).min() > 100


def test_the_defaults() -> None:
    assert torch.equal(photos(size=8), photos("train", "builtin", size=8, crops=1, seed=0))
    assert photos("test").shape == (2, 3, 256, 256)


def test_a_package_without_its_photos_leaves_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    one = {"train": (("skimage", "data/gone.png"), ("skimage", "data/chelsea.png")), "test": (("skimage", "data/gone.png"),)}
    monkeypatch.setattr(photographs, "BUILTIN", one)
    assert len(photos("train", size=8)) == 1
    with pytest.raises(DataError, match="no photos"):
        photos("test", size=8)


# --- folders ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["test", "val"])
def test_a_folder_with_splits_of_its_own(name: str, tmp_path: Path) -> None:
    numbered(tmp_path / "train", 6)
    numbered(tmp_path / name, 3, first=100)
    numbered(tmp_path, 2, first=200)  # beside them: of no split
    assert values(photos("train", tmp_path, size=4)) == list(range(6))
    assert values(photos("test", tmp_path, size=4)) == [100, 101, 102]
    assert values(photos("all", tmp_path, size=4)) == [*range(6), 100, 101, 102]


@pytest.mark.parametrize("count", [5, 12])
def test_each_fifth_photo_of_a_plain_folder_is_for_the_test(count: int, tmp_path: Path) -> None:
    numbered(tmp_path, count)
    test = list(range(4, count, 5))
    assert values(photos("test", tmp_path, size=4)) == test
    assert values(photos("train", str(tmp_path), size=4)) == [number for number in range(count) if number not in test]
    assert sorted(values(photos("all", tmp_path, size=4))) == list(range(count))


def test_photos_are_found_in_folders_of_folders_by_their_endings(tmp_path: Path) -> None:
    for number, name in enumerate(["a/z.png", "b/a.JPG", "b/c/d.jpeg", "m.bmp", "n.tif", "o.tiff", "p.webp", "q.PNG"]):
        save(tmp_path / "train" / name, (10 * number,) * 3)
    (tmp_path / "train" / "readme.txt").write_text("no photo")
    save(tmp_path / "train" / "x.gif")
    found = photo_files("train", tmp_path)
    assert [file.name for file in found] == ["z.png", "a.JPG", "d.jpeg", "m.bmp", "n.tif", "o.tiff", "p.webp", "q.PNG"]
    assert values(photos("train", tmp_path, size=4)) == pytest.approx(list(range(0, 80, 10)), abs=2)


def test_empty_and_missing_folders(tmp_path: Path, refused: Any) -> None:
    for split in ("train", "test", "all"):
        with refused(DataError, "no photos", ".jpg", str(tmp_path)):
            photos(split, tmp_path)
        with refused(ValueError, "source", "nowhere", "'builtin'"):
            photos(split, tmp_path / "nowhere")
    with refused(ValueError, "source", "'build-in'"):
        photos("train", "build-in")
    file = save(tmp_path / "photo.png")
    with refused(ValueError, "source", "photo.png"):
        photos("train", file)
    (tmp_path / "train").mkdir()
    with refused(DataError, "no photos", "'train'"):
        photos("train", tmp_path)


@pytest.mark.parametrize("content", [b"", b"no photo", "truncated"], ids=["empty", "text", "truncated"])
@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".bmp", ".tif"])
def test_a_broken_photo_is_named(content: bytes | str, suffix: str, tmp_path: Path) -> None:
    numbered(tmp_path / "train", 3)
    noise = np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    path = save(tmp_path / "train" / f"broken{suffix}", Image.fromarray(noise))
    whole = path.read_bytes()
    path.write_bytes(content if isinstance(content, bytes) else whole[: len(whole) // 2])
    with pytest.raises(DataError) as caught:
        photos("train", tmp_path, size=4)
    message = str(caught.value)
    assert message.startswith(f"broken{suffix} cannot be read as a photo") and "\n" not in message


def test_a_folder_with_the_name_of_a_photo_is_named(tmp_path: Path) -> None:
    (tmp_path / "album.jpg").mkdir()
    with pytest.raises(DataError, match=r"album\.jpg"):
        photos("train", tmp_path)


# --- Imagenette --------------------------------------------------------------------------------------------------------


def refuse_download(*_: Any, **__: Any) -> None:
    raise RuntimeError("no connection")


@pytest.mark.parametrize("given", [True, False])
def test_imagenette_from_its_folder(given: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torchvision.datasets.Imagenette", refuse_download)
    if not given:
        monkeypatch.setenv("DENOISE_DATA", str(tmp_path))
    folder = tmp_path / "imagenette2-160"
    numbered(folder / "train" / "n01440764", 3, suffix=".png")
    numbered(folder / "train" / "n02102040", 2, first=3, suffix=".png")
    numbered(folder / "val" / "n01440764", 2, first=50, suffix=".png")
    root = tmp_path if given else None
    assert values(photos("train", "imagenette", size=4, root=root)) == list(range(5))
    assert values(photos("test", "imagenette", size=4, root=root)) == [50, 51]
    assert values(photos("all", "imagenette", size=4, root=root)) == [0, 1, 2, 3, 4, 50, 51]


def test_imagenette_is_downloaded_once_in_its_smallest_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def download(root: str, **options: Any) -> None:
        calls.append(options)
        numbered(Path(root) / "imagenette2-160" / "train", 4)

    monkeypatch.setattr("torchvision.datasets.Imagenette", download)
    for _ in range(2):
        assert len(photos("train", "imagenette", size=4, root=tmp_path / "new" / "cache")) == 4
    assert calls == [{"size": "160px", "download": True}]


def test_without_a_connection_imagenette_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refused: Any) -> None:
    monkeypatch.setattr("torchvision.datasets.Imagenette", refuse_download)
    with refused(DataError, "Imagenette", "RuntimeError: no connection", "photos(source='builtin')"):
        photos("train", "imagenette", root=tmp_path)
    assert not (tmp_path / "imagenette2-160").exists()


# --- squares ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("width", "height"), [(120, 80), (80, 120), (80, 80)])
def test_the_first_square_is_the_largest_in_the_middle(width: int, height: int, tmp_path: Path) -> None:
    path = save(tmp_path / "train/map.png", map_of_places(width, height))
    left, top = (width - 80) // 2, (height - 80) // 2
    expected = np.asarray(Image.open(path).crop((left, top, left + 80, top + 80)))
    image = photos("train", tmp_path, size=80)[0]
    assert np.array_equal(image.permute(1, 2, 0).numpy(), expected)
    # At another size: the same square, reduced.
    small = photos("train", tmp_path, size=20)[0].float()
    reduced = image.float().view(3, 20, 4, 20, 4).mean(dim=(2, 4))
    assert (small - reduced)[:, 2:-2, 2:-2].abs().max() < 1


def test_further_squares_have_70_to_100_percent_of_its_side(tmp_path: Path) -> None:
    width, height, size = 250, 200, 50
    save(tmp_path / "train/map.png", map_of_places(width, height))
    images = photos("train", tmp_path, size=size, crops=200).double()
    rounding, rows, columns = 1.0, images[:, 1, :, size // 2], images[:, 0, size // 2]
    sides = {}
    for axis, line, room in (("y", rows, height), ("x", columns, width)):
        # From the slope inside, away from where the resampling sees the end of the photo.
        side = (line[:, -6] - line[:, 5]) * size / (size - 11)
        start = line[:, 5] + 0.5 - 5.5 * side / size
        assert (start > -rounding).all() and (start + side < room + rounding).all()
        sides[axis] = side
        assert start[1:].max() - start[1:].min() > 0.2 * room  # they lie everywhere
    assert (sides["x"] - sides["y"]).abs().max() < 2 * rounding  # squares
    share = sides["y"] / height
    assert share[0] == pytest.approx(1, abs=0.01)
    assert share[1:].min() > SMALLEST_CROP - 0.01 and share.max() < 1.01
    assert share[1:].min() < 0.72 and share[1:].max() > 0.98
    assert share[1:].mean() == pytest.approx(0.85, abs=5 * 0.3 / (12 * 199) ** 0.5)


def test_squares_come_photo_by_photo_and_do_not_depend_on_their_number(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    for number in range(3):
        photo = generator.integers(0, 256, (40, 60, 3), dtype=np.uint8)
        save(tmp_path / "train" / f"{number}.png", Image.fromarray(photo))
    many, few = (photos("train", tmp_path, size=8, crops=crops).view(3, crops, 3, 8, 8) for crops in (4, 2))
    assert torch.equal(many[:, :2], few)
    assert torch.equal(few[:, 0], photos("train", tmp_path, size=8))
    assert torch.equal(many.flatten(0, 1), torch.cat(list(square_crops(photo_files("train", tmp_path), size=8, crops=4))))
    assert torch.equal(photos("train", tmp_path, size=8, crops=4), many.flatten(0, 1))  # the same at each call
    assert len({image.numpy().tobytes() for image in many.flatten(0, 1)}) == 12


def test_each_photo_has_random_squares_of_its_own(tmp_path: Path) -> None:
    for number in range(2):
        save(tmp_path / "train" / f"{number}.png", map_of_places(200, 200))
    first, second = photos("train", tmp_path, size=8, crops=3).view(2, 3, 3, 8, 8)
    assert torch.equal(first[0], second[0]) and not torch.equal(first[1:], second[1:])


def test_another_seed_gives_other_random_squares() -> None:
    first, second = (photos("test", size=8, crops=3, seed=seed).view(2, 3, 3, 8, 8) for seed in (0, 1))
    assert torch.equal(first[:, 0], second[:, 0]) and not torch.equal(first[:, 1:], second[:, 1:])


def test_small_photos_are_enlarged(tmp_path: Path) -> None:
    save(tmp_path / "train/small.png", map_of_places(4, 3))
    assert photos("train", tmp_path, size=32).shape == (1, 3, 32, 32)
    save(tmp_path / "train/small.png", Image.new("RGB", (1, 1), (7, 8, 9)))
    assert photos("train", tmp_path, size=2, crops=2).flatten(2).unique(dim=2).tolist() == [[[7], [8], [9]]] * 2


# --- files of other kinds ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("turn", range(1, 9))
def test_photos_are_turned_upright(turn: int, tmp_path: Path) -> None:
    # EXIF's eight orientations: how the stored picture has to be turned to be seen upright.
    upright = np.asarray(map_of_places(6, 4))
    stored = {
        1: upright, 2: upright[:, ::-1], 3: upright[::-1, ::-1], 4: upright[::-1],
        5: upright.swapaxes(0, 1), 6: np.rot90(upright), 7: np.rot90(upright, 2).swapaxes(0, 1), 8: np.rot90(upright, -1),
    }[turn]  # fmt: skip
    exif = Image.Exif()
    exif[0x0112] = turn
    path = save(tmp_path / "turned.png", Image.fromarray(np.ascontiguousarray(stored)), exif=exif)
    assert np.array_equal(np.asarray(read_photo(path)), upright)
    assert np.array_equal(np.asarray(read_photo(str(path))), upright)


@pytest.mark.parametrize("mode", ["L", "LA", "RGBA", "P", "1", "CMYK", "I;16"])
def test_files_of_each_mode_become_rgb(mode: str, tmp_path: Path) -> None:
    white = {"L": 255, "LA": (255, 255), "RGBA": (255,) * 4, "P": 255, "1": 1, "CMYK": (0,) * 4, "I;16": 65535}[mode]
    black = {"L": 0, "LA": (0, 255), "RGBA": (0, 0, 0, 255), "P": 0, "1": 0, "CMYK": (0, 0, 0, 255), "I;16": 0}[mode]
    image = Image.new(mode, (8, 8), black)
    if mode == "P":
        image.putpalette([value for value in range(256) for _ in range(3)])
    image.paste(white, (4, 0, 8, 8))
    path = save(tmp_path / "train" / ("photo.tif" if mode == "CMYK" else "photo.png"), image)
    photo = read_photo(path)
    assert photo.mode == "RGB" and photo.size == (8, 8)
    pixels = photos("train", tmp_path, size=8)
    assert pixels.shape == (1, 3, 8, 8)
    assert (pixels[..., :4] == 0).all() and (pixels[..., 4:] == 255).all()


def test_colours_of_a_palette_are_kept(tmp_path: Path) -> None:
    image = Image.new("P", (4, 4), 0)
    image.putpalette([10, 20, 30, 40, 50, 60])
    image.putpixel((3, 3), 1)
    photo = read_photo(save(tmp_path / "photo.png", image))
    assert photo.getpixel((0, 0)) == (10, 20, 30) and photo.getpixel((3, 3)) == (40, 50, 60)


# --- bad arguments ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "error", "word"),
    [
        ({"split": "valid"}, ValueError, "split"), ({"split": None}, ValueError, "split"), ({"split": ""}, ValueError, "split"),
        ({"size": 0}, ValueError, "size"), ({"size": 8.0}, TypeError, "size"), ({"size": "8"}, TypeError, "size"),
        ({"size": True}, TypeError, "size"), ({"size": (8, 8)}, TypeError, "size"),
        ({"crops": 0}, ValueError, "crops"), ({"crops": 1.5}, TypeError, "crops"), ({"crops": None}, TypeError, "crops"),
        ({"seed": -1}, ValueError, "seed"), ({"seed": 0.5}, TypeError, "seed"), ({"seed": None}, TypeError, "seed"),
    ],
)  # fmt: skip
def test_bad_arguments(options: dict[str, Any], error: type[Exception], word: str, tmp_path: Path, refused: Any) -> None:
    with refused(error, word):
        photos(**{"split": "train", "source": numbered(tmp_path, 5), "size": 4} | options)


@pytest.mark.parametrize("file", ["missing.png", "folder.png"])
def test_read_photo_refuses_what_is_no_file(file: str, tmp_path: Path) -> None:
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(DataError, match=file):
        read_photo(tmp_path / file)


# --- found wanting ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("source", "error"), [("", ValueError), (None, TypeError), (3, TypeError)])
def test_bad_sources(
    source: Any, error: type[Exception], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refused: Any
) -> None:
    monkeypatch.chdir(numbered(tmp_path, 5))
    with refused(error, "source"):
        photos("train", source, size=4)


@pytest.mark.parametrize("name", ["train", "test", "val"])
def test_a_folder_with_one_split_alone_lends_it_no_photo_of_the_other(name: str, tmp_path: Path) -> None:
    numbered(tmp_path / name, 10)
    found = []
    for split in ("train", "test"):
        try:
            found.append(set(values(photos(split, tmp_path, size=4))))
        except DataError:
            found.append(set())
    assert not found[0] & found[1]


def test_all_photos_of_a_small_folder(tmp_path: Path) -> None:
    assert values(photos("all", numbered(tmp_path, 3), size=4)) == [0, 1, 2]


def test_gray_photos_of_16_bits_keep_their_grays(tmp_path: Path) -> None:
    ramp = Image.fromarray((np.arange(64).reshape(8, 8) * 1040).astype(np.uint16))
    photo = np.asarray(read_photo(save(tmp_path / "ramp.png", ramp)))
    assert np.abs(photo[..., 0].astype(float) - np.arange(64).reshape(8, 8) * 1040 / 257).max() < 1.01
