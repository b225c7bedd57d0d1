from __future__ import annotations

import io
import struct
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageCms, ImageFile
from torch import Tensor

from denoise_lib.sources import photographs
from denoise_lib.sources.download import DataError
from denoise_lib.sources.photographs import (
    BUILTIN,
    MAX_PIXELS,
    SMALLEST_CROP,
    UNREAD_SUFFIXES,
    patches,
    photo_files,
    photo_tensor,
    photos,
    read_photo,
    square_crops,
)


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


def test_photos_of_a_package_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(photographs, "BUILTIN", {"train": (("skimage_that_is_not", "data/astronaut.png"),)})
    with pytest.raises(DataError, match="skimage_that_is_not, which is not installed"):
        photo_files("train")


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
    monkeypatch.setattr(photographs, "download_file", refuse_download)
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


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".tif"])
@pytest.mark.parametrize("turn", range(1, 9))
def test_photos_are_turned_upright(turn: int, suffix: str, tmp_path: Path) -> None:
    # EXIF's eight orientations: how the stored picture has to be turned to be seen upright.
    upright = 40 * np.asarray(map_of_places(6, 4)).repeat(16, axis=0).repeat(16, axis=1)
    stored = {
        1: upright, 2: upright[:, ::-1], 3: upright[::-1, ::-1], 4: upright[::-1],
        5: upright.swapaxes(0, 1), 6: np.rot90(upright), 7: np.rot90(upright, 2).swapaxes(0, 1), 8: np.rot90(upright, -1),
    }[turn]  # fmt: skip
    exif = Image.Exif()
    exif[0x0112] = turn
    exact: dict[str, dict[str, Any]] = {".jpg": {"quality": 100, "subsampling": 0}, ".webp": {"lossless": True}}
    image = Image.fromarray(np.ascontiguousarray(stored))
    path = save(tmp_path / f"turned{suffix}", image, exif=exif, **exact.get(suffix, {}))
    for photo in (read_photo(path), read_photo(str(path)), read_photo(path.read_bytes())):
        pixels = np.asarray(photo).astype(int)
        assert pixels.shape == upright.shape and np.abs(pixels - upright).max() <= (3 if suffix == ".jpg" else 0)


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


def encoded(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    """The bytes of a file."""
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def png_file(width: int, height: int, rows: bytes = b"", *, depth: int = 8, colour: int = 2, extra: bytes = b"") -> bytes:
    """A PNG by hand, whose header may claim anything. `colour` is 0 for gray, 2 for RGB; `extra` are further chunks."""
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    start, end = chunk(b"IHDR", header) + extra, chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + start + end


def chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


@pytest.mark.parametrize(
    ("mode", "colour", "expected"),
    [
        ("RGBA", (200, 0, 100, 0), (255, 255, 255)), ("RGBA", (0, 0, 0, 0), (255, 255, 255)),
        ("RGBA", (200, 0, 100, 255), (200, 0, 100)), ("RGBA", (200, 0, 100, 51), (244, 204, 224)),
        ("LA", (0, 0), (255, 255, 255)), ("LA", (40, 255), (40, 40, 40)), ("LA", (0, 102), (153, 153, 153)),
    ],
)  # fmt: skip
def test_transparent_parts_are_shown_on_white(mode: str, colour: Any, expected: tuple[int, ...]) -> None:
    image = Image.new(mode, (3, 2), colour)
    for photo in (read_photo(encoded(image)), read_photo(encoded(image, "WEBP", lossless=True, exact=True))):
        assert photo.mode == "RGB" and np.abs(np.asarray(photo).astype(int) - expected).max() <= 1


@pytest.mark.parametrize("transparency", [0, b"\x00\xff"], ids=["one colour", "each colour"])
@pytest.mark.parametrize("kind", ["PNG", "GIF"])
def test_transparent_colours_of_a_palette_are_white(kind: str, transparency: int | bytes) -> None:
    image = Image.new("P", (4, 4), 0)
    image.putpalette([10, 20, 30, 40, 50, 60])
    image.putpixel((3, 3), 1)
    photo = read_photo(encoded(image, kind, transparency=transparency if kind == "PNG" else 0))
    assert photo.getpixel((0, 0)) == (255, 255, 255) and photo.getpixel((3, 3)) == (40, 50, 60)


@pytest.mark.parametrize(("mode", "hidden", "other"), [("RGB", (9, 8, 7), (9, 8, 6)), ("L", 9, 8), ("1", 0, 1)])
def test_one_transparent_colour_without_a_palette_is_white(mode: str, hidden: Any, other: Any) -> None:
    image = Image.new(mode, (2, 1), hidden)
    image.putpixel((1, 0), other)
    photo = read_photo(encoded(image, transparency=hidden))
    assert photo.getpixel((0, 0)) == (255, 255, 255)
    assert photo.getpixel((1, 0)) == image.convert("RGB").getpixel((1, 0))


SIXTEEN = np.array([[0, 255, 256, 257], [4096, 32768, 65280, 65535]], dtype=np.uint16)


@pytest.mark.parametrize("kind", ["gray png", "gray tif", "gray tif, big-endian", "rgb png", "rgb tif"])
def test_sixteen_bits_are_scaled_and_not_cut_off(kind: str) -> None:
    rgb, buffer = np.stack([SIXTEEN, SIXTEEN[::-1], SIXTEEN[:, ::-1]], axis=-1), io.BytesIO()
    if kind == "rgb png":
        rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in rgb)
        content = png_file(4, 2, rows, depth=16)
    elif kind == "gray png":
        content = encoded(Image.fromarray(SIXTEEN))
    else:
        tifffile.imwrite(buffer, rgb if "rgb" in kind else SIXTEEN, byteorder=">" if "big" in kind else "<")
        content = buffer.getvalue()
    expected = (rgb if "rgb" in kind else SIXTEEN[..., None].repeat(3, axis=-1)) / 257
    assert np.abs(np.asarray(read_photo(content)) - expected).max() < 1.01


@pytest.mark.parametrize("mode", ["F", "I"])
def test_pixels_of_32_bits_are_refused(mode: str, refused: Any) -> None:
    with refused(DataError, "the image cannot be read as a photo", "neither 8-bit nor 16-bit"):
        read_photo(encoded(Image.new(mode, (4, 4)), "TIFF"))


@pytest.mark.parametrize("ink", [(0, 0, 0, 0), (0, 0, 0, 255), (255, 0, 0, 0), (0, 200, 100, 50), (30, 60, 90, 120)])
@pytest.mark.parametrize("kind", ["JPEG", "TIFF"])
def test_inks_become_colours(kind: str, ink: tuple[int, int, int, int]) -> None:
    content = encoded(Image.new("CMYK", (16, 16), ink), kind, **({"quality": 100} if kind == "JPEG" else {}))
    assert kind == "TIFF" or b"Adobe" in content  # and therefore stored inverted
    expected = [(255 - part) * (255 - ink[3]) / 255 for part in ink[:3]]
    assert np.abs(np.asarray(read_photo(content)) - expected).max() <= 3


@pytest.mark.parametrize("kind", ["GIF", "TIFF", "PNG", "WEBP"])
def test_the_first_picture_of_several_is_taken(kind: str) -> None:
    colours = [(200, 0, 0), (0, 200, 0), (0, 0, 200)]
    frames = [Image.new("RGB", (16, 16), colour) for colour in colours]
    options = {"lossless": True} if kind == "WEBP" else {}
    photo = read_photo(encoded(frames[0], kind, save_all=True, append_images=frames[1:], **options))
    assert photo.size == (16, 16) and photo.getpixel((5, 5)) == colours[0]


def test_a_colour_profile_changes_no_pixel() -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    content = encoded(map_of_places(5, 5), icc_profile=profile)
    assert np.array_equal(np.asarray(read_photo(content)), np.asarray(map_of_places(5, 5)))


def test_a_photo_of_one_pixel() -> None:
    assert read_photo(encoded(Image.new("RGB", (1, 1), (7, 8, 9)))).getpixel((0, 0)) == (7, 8, 9)


# --- hostile files -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("JPEG", {}), ("JPEG", {"progressive": True}), ("PNG", {}), ("WEBP", {}), ("WEBP", {"lossless": True}), ("GIF", {}),
        ("BMP", {}), ("TIFF", {}), ("TIFF", {"compression": "tiff_lzw"}),
    ],
)  # fmt: skip
@pytest.mark.filterwarnings("ignore:Truncated File Read", "ignore:Corrupt EXIF data")  # Pillow's, of TIFF
def test_a_photo_that_is_cut_off_is_never_half_a_photo(kind: str, options: dict[str, Any], refused: Any) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    whole = encoded(Image.fromarray(noise), kind, **options)
    expected = np.asarray(read_photo(whole))
    refusals = 0
    for length in (*range(0, len(whole), max(1, len(whole) // 50)), *range(len(whole) - 9, len(whole))):
        try:  # the last bytes of some formats hold no pixels
            assert np.array_equal(np.asarray(read_photo(whole[:length])), expected)
        except DataError:
            refusals += 1
            with refused(DataError, "cannot be read as a photo"):
                read_photo(whole[:length])
    assert refusals >= 50


@pytest.mark.parametrize(
    ("width", "height"),
    [(MAX_PIXELS + 1, 1), (9000, 9000), (10_000, 10_000), (60_000, 60_000), (2**31 - 1, 2**31 - 1)],
)
def test_more_pixels_than_anyone_needs_are_refused_before_they_are_decoded(
    width: int, height: int, monkeypatch: pytest.MonkeyPatch, refused: Any, recwarn: pytest.WarningsRecorder
) -> None:
    def decode(*_: Any) -> None:
        raise AssertionError("decoded")

    monkeypatch.setattr(ImageFile.ImageFile, "load", decode)
    with refused(DataError, "more than 80 million pixels", "a smaller copy"):
        read_photo(png_file(width, height))
    assert not recwarn.list


def test_a_photo_just_small_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(photographs, "MAX_PIXELS", 12)
    assert read_photo(encoded(Image.new("RGB", (4, 3)))).size == (4, 3)
    with pytest.raises(DataError, match="pixels"):
        read_photo(encoded(Image.new("RGB", (13, 1))))


@pytest.mark.parametrize("size", [(0, 0), (0, 5), (5, 0)])
def test_a_photo_without_pixels(size: tuple[int, int], refused: Any) -> None:
    for content in (png_file(*size), b"GIF89a" + struct.pack("<HH", *size) + b"\0\0\0;"):
        with refused(DataError, "cannot be read"):
            read_photo(content)


def test_reading_leaves_the_settings_of_pillow_and_python_alone() -> None:
    before = Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES, list(warnings.filters)
    good, bomb = encoded(Image.new("RGB", (8, 8))), png_file(10_000, 10_000)

    def read(content: bytes) -> bool:
        try:
            return read_photo(content).size == (8, 8)
        except DataError:
            return False

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(read, [good, bomb] * 100)) == 100
    assert (Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES, list(warnings.filters)) == before


@pytest.mark.parametrize(
    "content", [b"", b"no photo", b"<svg/>", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", b"\xff\xd8"]
)
def test_what_is_no_photo_is_told_in_one_sentence(content: bytes, tmp_path: Path, refused: Any) -> None:
    path = tmp_path / "photo.jpg"
    path.write_bytes(content)
    with refused(DataError, "photo.jpg cannot be read as a photo", "save it as JPEG or PNG"):
        read_photo(path)
    with refused(DataError, "the image cannot be read as a photo"):
        read_photo(content)


@pytest.mark.parametrize("suffix", UNREAD_SUFFIXES)
def test_formats_that_are_not_read_are_named(suffix: str, tmp_path: Path, refused: Any) -> None:
    # A raw file is often a TIFF that begins with a thumbnail.
    path = tmp_path / f"IMG_1234{suffix.upper()}"
    path.write_bytes(encoded(Image.new("RGB", (160, 120)), "TIFF"))
    with refused(DataError, path.name, suffix[1:].upper(), "JPEG or PNG"):
        read_photo(path)


@given(st.integers(0, 5), st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), min_size=1, max_size=8))
def test_damaged_bytes_are_read_or_refused(which: int, damage: list[tuple[float, int]]) -> None:
    image, kinds = map_of_places(20, 20), ("JPEG", "PNG", "WEBP", "GIF", "BMP", "JPEG")
    content = bytearray(encoded(image, kinds[which], **({"progressive": True} if which == 5 else {})))
    for place, value in damage:
        content[int(place * len(content))] = value
    try:
        assert read_photo(bytes(content)).mode == "RGB"
    except DataError as error:
        assert str(error).startswith("the image cannot be read as a photo (") and "\n" not in str(error)


@pytest.mark.parametrize("file", [None, 3, [b"a"], np.zeros(3)])
def test_read_photo_refuses_what_names_no_file(file: Any, refused: Any) -> None:
    with refused(TypeError, "file must be a path", "'photo.jpg'"):
        read_photo(file)


# --- tensors -----------------------------------------------------------------------------------------------------------


def test_a_photo_as_a_tensor() -> None:
    photo = map_of_places(5, 3)
    pixels = photo_tensor(photo)
    assert pixels.shape == (1, 3, 3, 5) and pixels.dtype == torch.uint8 and pixels.is_contiguous()
    assert pixels[0, :, 2, 4].tolist() == [4, 2, 0]
    gray = photo_tensor(photo.convert("L"))
    assert gray.shape == (1, 1, 3, 5)
    pixels.zero_()  # it is a copy
    assert photo.getpixel((4, 2)) == (4, 2, 0)


@pytest.mark.parametrize("photo", [Image.new("RGBA", (2, 2)), Image.new("P", (2, 2)), np.zeros((2, 2, 3)), None])
def test_other_photos_are_no_tensors(photo: Any, refused: Any) -> None:
    with refused(TypeError, "photo must be", "read_photo"):
        photo_tensor(photo)


@pytest.mark.parametrize(("height", "width"), [(4, 4), (9, 14), (8, 4), (11, 7)])
@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_patches_are_cut_row_by_row(height: int, width: int, dtype: torch.dtype) -> None:
    images = torch.arange(2 * 3 * height * width).reshape(2, 3, height, width).to(dtype)
    expected = [
        image[:, row : row + 4, column : column + 4]
        for image in images
        for row in range(0, height - 3, 4)
        for column in range(0, width - 3, 4)
    ]
    cut = patches(images, 4)
    assert torch.equal(cut, torch.stack(expected)) and cut.dtype == dtype
    assert torch.equal(patches(images.transpose(2, 3), 4), patches(images.transpose(2, 3).contiguous(), 4))


@pytest.mark.parametrize(
    ("images", "side", "error", "word"),
    [
        (torch.zeros(1, 3, 63, 64), 64, ValueError, "side 64"), (torch.zeros(3, 64, 64), 64, ValueError, "(N, C, H, W)"),
        (torch.zeros(1, 3, 64, 64), 0, ValueError, "side"), (torch.zeros(1, 3, 64, 64), 8.0, TypeError, "side"),
        (np.zeros((1, 3, 64, 64)), 64, TypeError, "images"),
    ],
)  # fmt: skip
def test_bad_arguments_of_patches(images: Any, side: Any, error: type[Exception], word: str, refused: Any) -> None:
    with refused(error, word):
        patches(images, side)


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


@pytest.mark.parametrize("file", ["missing.png", "folder.png", "two\nlines.png"])
def test_read_photo_refuses_what_is_no_file(file: str, tmp_path: Path, refused: Any) -> None:
    (tmp_path / "folder.png").mkdir()
    with refused(DataError, f"{' '.join(file.split())} cannot be read as a photo"):
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
