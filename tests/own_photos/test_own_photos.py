from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from rounding import rounding
from torch import Tensor, nn

from denoise_lib import tnet
from denoise_lib.display.figures import tile
from denoise_lib.metrics import psnr
from denoise_lib.noise import add_noise
from denoise_lib.own_photos import files as own_photo_files
from denoise_lib.own_photos import tiling
from denoise_lib.own_photos.files import PICTURE_SIDE, Denoised, before_after, denoise_file, denoise_photo
from denoise_lib.own_photos.tiling import GEOMETRY, denoise_image
from denoise_lib.sources.download import DataError
from denoise_lib.sources.photographs import photo_tensor
from denoise_lib.tnet import BaseNet, Noise2NoiseUNet, SelfEnsemble, TinyDenoiser, TNet
from denoise_lib.unet import Autoencoder, UNet

pytestmark = pytest.mark.numbers

NETWORKS = tuple(GEOMETRY)


@pytest.fixture(scope="module")
def built() -> Callable[[type[nn.Module]], nn.Module]:
    """One network of each kind, in evaluation mode, with weights that are always the same."""
    made: dict[type[nn.Module], nn.Module] = {}

    def build(network: type[nn.Module]) -> nn.Module:
        if network not in made:
            with torch.random.fork_rng():
                torch.manual_seed(3)
                made[network] = network().eval()
        return made[network]

    return build


Built = Callable[[type[nn.Module]], nn.Module]


def channels(model: nn.Module) -> int:
    return 1 if isinstance(model, UNet | Autoencoder) else 3


def image_for(model: nn.Module, height: int, width: int, count: int = 1, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(count, channels(model), height, width, generator=generator)


def raw(model: nn.Module, image: Tensor) -> Tensor:
    with torch.no_grad():
        return model(image).clamp(0, 1)  # type: ignore[no-any-return]


def exact(model: nn.Module) -> float:
    """How far another order of the longest sum, over the inputs of one output, may move a number in [0, 1]."""
    terms = max((weight[0].numel() for weight in model.parameters() if weight.dim() == 4), default=9)
    return rounding(terms, 1.0, torch.float32)


def seen_by(model: nn.Module, image: Tensor, **options: Any) -> list[Tensor]:
    """What the network is given, call by call."""
    calls: list[Tensor] = []
    hook = model.register_forward_pre_hook(lambda _, inputs: calls.append(inputs[0].clone()))
    denoise_image(model, image, **options)
    hook.remove()
    return calls


# --- what each network needs ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("network", NETWORKS)
def test_the_multiple_of_each_network_is_the_least_that_it_takes(network: type[nn.Module], built: Built) -> None:
    model, multiple = built(network), GEOMETRY[network].multiple
    assert raw(model, image_for(model, multiple, 3 * multiple)).shape[-2:] == (multiple, 3 * multiple)
    for sides in ((multiple // 2, multiple), (multiple, multiple + multiple // 2)):
        with pytest.raises(ValueError, match=f"divide by {multiple}"):
            model(image_for(model, *sides))


@pytest.mark.parametrize("network", NETWORKS)
def test_the_reach_of_each_network(network: type[nn.Module], monkeypatch: pytest.MonkeyPatch) -> None:
    # With positive weights, averages for maxima and no activation, the output is positive wherever it sees something.
    monkeypatch.setattr(tnet, "max_pool2d", torch.nn.functional.avg_pool2d)
    monkeypatch.setattr(tnet, "relu", lambda x: x)
    monkeypatch.setattr(tnet, "leaky_relu", lambda x, slope: x)
    model = network().double()
    for module in model.modules():
        if isinstance(module, nn.LeakyReLU):
            module.negative_slope = 1
    for parameter in model.parameters():
        nn.init.constant_(parameter, 1 if parameter.dim() > 1 else 0)
    multiple, edge = GEOMETRY[network].multiple, 192
    surroundings = torch.zeros(1, channels(model), multiple, 2 * edge, dtype=torch.float64)
    surroundings[..., edge:] = 1
    with torch.no_grad():
        left, right = (model(image).sum(dim=(0, 1, 2)).nonzero() for image in (surroundings, 1 - surroundings))
    assert (edge - int(left[0]), int(right[-1]) + 1 - edge) == (GEOMETRY[network].reach,) * 2


# --- any size ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("network", NETWORKS)
def test_a_size_that_fits_is_not_padded(network: type[nn.Module], built: Built) -> None:
    model = built(network)
    image = image_for(model, 2 * GEOMETRY[network].multiple, 96, count=2)
    assert torch.allclose(denoise_image(model, image), raw(model, image), rtol=0, atol=exact(model))


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 70), (2, 3), (31, 33), (37, 5), (65, 64)])
@pytest.mark.parametrize("network", NETWORKS)
def test_other_sizes_are_mirrored_and_cut_back(network: type[nn.Module], height: int, width: int, built: Built) -> None:
    model, multiple = built(network), GEOMETRY[network].multiple
    image = image_for(model, height, width)
    missing = [(0, 0), (0, 0), (0, -height % multiple), (0, -width % multiple)]
    padded = torch.from_numpy(np.pad(image.numpy(), missing, mode="reflect"))
    expected = raw(model, padded)[..., :height, :width]
    assert torch.allclose(denoise_image(model, image), expected, rtol=0, atol=exact(model))


@given(st.integers(1, 70), st.integers(1, 70), st.sampled_from([TinyDenoiser, TNet, UNet]), st.integers(1, 2))
def test_every_size_comes_back(height: int, width: int, network: type[nn.Module], count: int) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = network()
    image = image_for(model, height, width, count)
    before = image.clone()
    result = denoise_image(model, image, tile=32)
    assert result.shape == image.shape and result.dtype == torch.float32 and not result.requires_grad
    assert result.isfinite().all() and result.min() >= 0 and result.max() <= 1
    assert torch.equal(image, before) and model.training


def test_a_network_of_your_own() -> None:
    blur = nn.AvgPool2d(3, stride=1, padding=1, count_include_pad=False)
    image = torch.rand(1, 2, 33, 45)
    assert torch.allclose(denoise_image(blur, image)[..., :-1, :-1], blur(image)[..., :-1, :-1], rtol=0, atol=exact(blur))
    assert {tuple(seen.shape[-2:]) for seen in seen_by(blur, image)} == {(64, 64)}


def test_images_of_other_kinds(built: Built) -> None:
    model = built(TinyDenoiser)
    image = image_for(model, 9, 9)
    expected = denoise_image(model, image)
    assert torch.equal(denoise_image(model, image.clone().requires_grad_()), expected)
    assert torch.equal(denoise_image(model, image.double()), expected)
    # Another layout, or another number of images, may be added up in another order.
    for other in (image.to(memory_format=torch.channels_last), image.expand(2, 3, 9, 9)):
        assert torch.allclose(denoise_image(model, other)[-1:], expected, rtol=0, atol=exact(model))
    assert denoise_image(model, 5 * image - 2).isfinite().all()  # noisy images may leave [0, 1]


# --- tiles -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("network", "height", "width", "tile", "overlap"),
    [
        (TinyDenoiser, 150, 131, 32, None), (TinyDenoiser, 61, 100, 38, 22), (TinyDenoiser, 90, 90, 20, 64),
        (UNet, 101, 90, 32, None), (Autoencoder, 70, 90, 24, 16), (TNet, 130, 300, 96, None), (TNet, 200, 70, 32, 64),
        (Noise2NoiseUNet, 40, 450, 96, None),
    ],
)  # fmt: skip
def test_tiles_change_nothing(
    network: type[nn.Module], height: int, width: int, tile: int, overlap: int | None, built: Built
) -> None:
    model = built(network)
    image = image_for(model, height, width)
    whole = denoise_image(model, image, tile=1024)
    tiled = denoise_image(model, image, tile=tile, overlap=overlap)
    assert len(seen_by(model, image, tile=tile, overlap=overlap)) > 1
    assert (tiled - whole).abs().max() <= exact(model)


def test_without_an_overlap_tiles_are_seen(built: Built) -> None:
    image = image_for(built(TinyDenoiser), 128, 128)
    whole = denoise_image(built(TinyDenoiser), image)
    seams = (denoise_image(built(TinyDenoiser), image, tile=32, overlap=0) - whole).abs()[0].amax(dim=0)
    right = seams[:11, :11].max()  # 21 pixels from the edge the first tile is right
    assert seams[30:34].max() > 1e-3 > exact(built(TinyDenoiser)) >= right


@pytest.mark.parametrize("network", NETWORKS)
def test_tiles_begin_where_the_pooling_does_and_stay_small(network: type[nn.Module], built: Built) -> None:
    model, multiple = built(network), GEOMETRY[network].multiple
    height, width, tile, overlap = 3 * multiple + 1, 230, 2 * multiple, multiple
    places = torch.stack(torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")).float()
    image = places[-1:].expand(channels(model), -1, -1)[None]
    corners = set()
    for seen in seen_by(model, image, tile=tile, overlap=overlap):
        assert all(side % multiple == 0 and 0 < side <= tile + 2 * overlap for side in seen.shape[-2:])
        corners.add(int(seen[0, 0, 0, 0]))
    assert corners == {max(0, left - overlap) for left in range(0, width, tile)}
    assert all(corner % multiple == 0 for corner in corners)


# --- bad arguments -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("image", "options", "error", "word"),
    [
        (torch.rand(3, 8, 8), {}, ValueError, "(N, C, H, W)"), (torch.rand(1, 1, 8, 8), {}, ValueError, "(N, 3, H, W)"),
        (torch.zeros(1, 3, 8, 8, dtype=torch.uint8), {}, TypeError, "float"),
        (torch.full((1, 3, 8, 8), torch.nan), {}, ValueError, "NaN"), (torch.rand(1, 3, 0, 8), {}, ValueError, "empty"),
        (np.zeros((1, 3, 8, 8)), {}, TypeError, "torch.from_numpy"), (None, {}, TypeError, "image"),
        (torch.rand(1, 3, 8, 8), {"tile": 0}, ValueError, "tile"), (torch.rand(1, 3, 8, 8), {"tile": 64.0}, TypeError, "tile"),
        (torch.rand(1, 3, 8, 8), {"tile": 33}, ValueError, "tile must divide by 2"),
        (torch.rand(1, 3, 8, 8), {"overlap": -2}, ValueError, "overlap"),
        (torch.rand(1, 3, 8, 8), {"progress": "no"}, TypeError, "progress must be True or False"),
        (torch.rand(1, 3, 8, 8), {"overlap": 7}, ValueError, "overlap must divide by 2"),
    ],
)  # fmt: skip
def test_bad_arguments(image: Any, options: dict[str, Any], error: type[Exception], word: str, refused: Any) -> None:
    with refused(error, word):
        denoise_image(TinyDenoiser(), image, **options)


def test_networks_that_take_no_photo(refused: Any) -> None:
    with refused(ValueError, "BaseNet", "32x32", "TinyDenoiser()"):
        denoise_image(BaseNet(), torch.rand(1, 3, 64, 64))
    with refused(ValueError, "SelfEnsemble", "square"):
        denoise_image(SelfEnsemble(TinyDenoiser()), torch.rand(1, 3, 64, 32))
    with refused(TypeError, "model must be a torch.nn.Module"):
        denoise_image("tiny-denoiser", torch.rand(1, 3, 64, 64))  # type: ignore[arg-type]


# --- a photo, with noise and without -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("mu", [0, 0.25, 1])
def test_noise_is_added_and_removed(mu: float, built: Built) -> None:
    photo = image_for(built(TinyDenoiser), 21, 33)
    result = denoise_photo(built(TinyDenoiser), photo, mu=mu, seed=5)
    assert result.noisy is not None and torch.equal(result.photo, photo)
    assert torch.equal(result.noisy, add_noise(photo, mu, generator=torch.Generator().manual_seed(5)))
    assert torch.equal(result.denoised, denoise_image(built(TinyDenoiser), result.noisy))
    assert result.scores() == (psnr(result.noisy, photo), psnr(result.denoised, photo))


def test_without_a_level_the_photo_is_denoised_as_it_is(built: Built) -> None:
    photo = image_for(built(TinyDenoiser), 21, 33)
    result = denoise_photo(built(TinyDenoiser), photo)
    assert result.noisy is None and result.scores() is None
    assert torch.equal(result.denoised, denoise_image(built(TinyDenoiser), photo))


@pytest.mark.parametrize("mu", [-0.1, 1.5, float("nan")])
def test_bad_levels(mu: float, refused: Any, built: Built) -> None:
    with refused(ValueError, "mu must be in [0, 1]"):
        denoise_photo(built(TinyDenoiser), torch.rand(1, 3, 8, 8), mu=mu)


# --- before and after ------------------------------------------------------------------------------------------------------


def flat(value: float) -> Tensor:
    return torch.full((1, 3, 40, 300), value)


def test_pictures_stand_beside_each_other_below_their_titles() -> None:
    picture = before_after(Denoised(flat(1.0), flat(0.4), flat(0.2)))
    assert picture.shape == (60, 3 * 300 + 2 * 12, 3) and picture.dtype == np.uint8
    for index, value in enumerate((255, 102, 51)):
        left = index * 312
        assert (picture[20:, left : left + 300] == value).all()
        assert (picture[:20, left : left + 300] < 100).any()  # a title, in black
    assert before_after(Denoised(flat(0.4), None, flat(0.2))).shape == (60, 2 * 300 + 12, 3)


def test_of_a_large_photo_the_middle_is_shown() -> None:
    height, width = PICTURE_SIDE + 40, PICTURE_SIDE + 100
    photo = torch.zeros(1, 1, height, width)
    photo[..., 20:-20, 50:-50] = 1
    picture = before_after(Denoised(photo, None, 1 - photo))
    assert picture.shape[1] == 2 * PICTURE_SIDE + 12 and picture.shape[0] == PICTURE_SIDE + 20
    assert (picture[20:, :PICTURE_SIDE] == 255).all() and (picture[20:, -PICTURE_SIDE:] == 0).all()


def test_a_tiny_photo_is_enlarged() -> None:
    photo = torch.tensor([0.0, 1.0]).view(1, 1, 1, 2)
    picture = before_after(Denoised(photo, photo, photo))
    assert (picture[20:148, :128] == 0).all() and (picture[20:148, 128:256] == 255).all()


# --- files -----------------------------------------------------------------------------------------------------------------


@pytest.fixture
def photo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A photo in a folder, and an empty folder beside it; both in the folder where we are."""
    monkeypatch.chdir(tmp_path)
    for folder in ("in", "folder.png"):
        Path(folder).mkdir()
    pixels = np.random.default_rng(0).integers(0, 256, (21, 33, 3), dtype=np.uint8)
    Image.fromarray(pixels).save("in/my.photo.png")
    return Path("in/my.photo.png")


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        (None, ("in/my.photo-denoised.png", "in/my.photo-before-after.png")),
        ("out", ("out/my.photo-denoised.png", "out/my.photo-before-after.png")),
        (Path("out.v2/new"), ("out.v2/new/my.photo-denoised.png", "out.v2/new/my.photo-before-after.png")),
        ("folder.png", ("folder.png/my.photo-denoised.png", "folder.png/my.photo-before-after.png")),
        ("out/new.PNG", ("out/new.PNG", "out/new-before-after.png")),
    ],
)
def test_where_the_files_go(output: str | None, expected: tuple[str, str], photo: Path, built: Built) -> None:
    before = {str(path) for path in Path().rglob("*.png")}
    assert denoise_file(built(TinyDenoiser), str(photo), output) == tuple(Path(name) for name in expected)
    assert all(Path(name).is_file() for name in expected)
    assert {str(path) for path in Path().rglob("*.[pP]*")} - before == set(expected)


@pytest.mark.parametrize("output", ["new.jpg", "out/new.JPEG", "new.tif", "new.gif"])
def test_only_png_is_written(output: str, photo: Path, refused: Any, built: Built) -> None:
    with refused(ValueError, "end in .png", repr(output)):
        denoise_file(built(TinyDenoiser), photo, output)


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_both_files_are_whole_or_not_there(
    error: BaseException, photo: Path, monkeypatch: pytest.MonkeyPatch, refused: Any, built: Built
) -> None:
    targets = denoise_file(built(TinyDenoiser), photo, "out", mu=0.1)
    before = [path.read_bytes() for path in targets]
    write = Path.write_bytes

    def fail(path: Path, content: bytes) -> int:
        if "before-after" in path.name:
            write(path, content[:1])
            raise error
        return write(path, content)

    monkeypatch.setattr(Path, "write_bytes", fail)
    for output in ("out", "new"):
        if isinstance(error, OSError):
            with refused(DataError, "my.photo-denoised.png and my.photo-before-after.png cannot be written", "No space left"):
                denoise_file(built(TinyDenoiser), photo, output, mu=0.3, force=True)
        else:
            with pytest.raises(KeyboardInterrupt):
                denoise_file(built(TinyDenoiser), photo, output, mu=0.3, force=True)
    assert [path.read_bytes() for path in targets] == before and len(os.listdir("out")) == 2
    assert os.listdir("new") == []


def test_nothing_is_written_over(photo: Path, refused: Any, built: Built) -> None:
    model, other = built(TinyDenoiser), Path("other.png")
    Path("link.png").symlink_to(photo)
    for path in (other, Path("in/my.photo-before-after.png")):
        path.write_bytes(b"mine")
    with refused(FileExistsError, "in/my.photo-before-after.png is already there", "--force"):
        denoise_file(model, photo)
    for output in (photo, "link.png", "folder.png/../in/my.photo.png"):
        with refused(ValueError, "is one of the photos"):
            denoise_file(model, photo, output, force=True)
    with refused(ValueError, "other.png is one of the photos"):
        denoise_file(model, photo, other, force=True, keep=["missing.png", "other.png"])
    assert other.read_bytes() == b"mine" and not Path("in/my.photo-denoised.png").exists()
    assert denoise_file(model, photo, other, force=True)[0] == other and other.read_bytes() != b"mine"


def test_folders_that_cannot_be_written_to(photo: Path, monkeypatch: pytest.MonkeyPatch, refused: Any, built: Built) -> None:
    with refused(DataError, "cannot be written", "my.photo.png is no folder"):
        denoise_file(built(TinyDenoiser), photo, photo / "new")
    Path("folder.png/my.photo-denoised.png").mkdir()
    with refused(DataError, "cannot be written", "directory"):
        denoise_file(built(TinyDenoiser), photo, "folder.png", force=True)
    assert os.listdir("folder.png") == ["my.photo-denoised.png"]
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != Path())
    monkeypatch.setattr(own_photo_files, "read_photo", lambda path: pytest.fail("it is told before the work"))
    with refused(DataError, "out/new/my.photo-denoised.png cannot be written", "choose another output"):
        denoise_file(built(TinyDenoiser), photo, "out/new")


@pytest.mark.parametrize(("network", "gray"), [(TinyDenoiser, False), (UNet, True)])
@pytest.mark.parametrize("mu", [None, 0.25])
def test_a_file_is_denoised(
    network: type[nn.Module], gray: bool, mu: float | None, photo: Path, capsys: pytest.CaptureFixture[str], built: Built
) -> None:
    targets = denoise_file(built(network), photo, mu=mu, seed=4)
    pixels = photo_tensor(Image.open(photo).convert("L" if gray else "RGB")).float() / 255
    expected = denoise_photo(built(network), pixels, mu=mu, seed=4)
    assert np.array_equal(np.asarray(Image.open(targets[0])), tile(expected.denoised))
    assert np.array_equal(np.asarray(Image.open(targets[1]).convert("RGB")), before_after(expected))
    output = capsys.readouterr().out
    assert ("my.photo.png: UNet takes gray images, so the photo is turned gray" in output) == gray
    assert "tiles" not in output and f"my.photo.png: {targets[0]} and my.photo-before-after.png" in output
    assert ("PSNR" in output) == (mu is not None)
    if mu is not None:
        before, after = expected.scores() or (0, 0)
        assert f"mu 0.25, PSNR {before:.2f} dB noisy and {after:.2f} dB denoised, of the whole photo" in output


def test_a_large_file_is_announced(photo: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    Image.new("RGB", (2600, 1540)).save(photo)
    monkeypatch.setattr(tiling, "denoise_image", lambda model, image, progress: image)
    denoise_file(TinyDenoiser(), photo)
    assert "my.photo.png: 2600 x 1540 pixels, in 24 tiles of 512 x 512" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "error", "word"),
    [
        ({"file": None}, TypeError, "file must be a path"), ({"file": ""}, ValueError, "file"),
        ({"file": "missing.jpg"}, DataError, "missing.jpg"), ({"file": "folder.png"}, DataError, "folder.png"),
        ({"output": 3}, TypeError, "output must be a path"), ({"mu": 2}, ValueError, "mu must be in [0, 1]"),
        ({"mu": "much"}, TypeError, "mu"), ({"seed": -1}, ValueError, "seed"), ({"seed": None}, TypeError, "seed"),
        ({"force": "no"}, TypeError, "force must be True or False"), ({"keep": [None]}, TypeError, "keep must be a path"),
        ({"keep": None}, TypeError, "keep must be a list"), ({"keep": "photo.png"}, TypeError, "keep must be a list"),
        ({"model": "photo-blind"}, TypeError, "model must be a torch.nn.Module"),
    ],
)  # fmt: skip
def test_bad_arguments_of_a_file(
    options: dict[str, Any], error: type[Exception], word: str, photo: Path, refused: Any, built: Built
) -> None:
    with refused(error, word):
        denoise_file(**({"model": built(TinyDenoiser), "file": photo, "output": "out"} | options))
    assert not Path("out").exists()


def test_before_and_after_of_something_else(refused: Any) -> None:
    with refused(TypeError, "result must be of the class Denoised", "denoise_photo"):
        before_after(torch.rand(1, 3, 8, 8))  # type: ignore[arg-type]
