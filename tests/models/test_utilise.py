import numpy as np
import pytest
import torch

from openeo_udf_fusion.errors import InvalidCube
from openeo_udf_fusion.models import utilise

SMALL = utilise.Config(
    widths=(8, 8, 12), centre=(0.2,) * 10, spread=(0.1,) * 10, block_days=30, support_days=40
)
DAYS = 17_000 + np.arange(0, 120, 8)
SIZE = 24


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(7)
    made = utilise.Utilise(SMALL)
    with torch.no_grad():
        for layer in (made.attention.query, made.attention.key):
            layer.weight.mul_(4)  # attention that chooses
    return made.eval()


def series(seed=7, y=SIZE, x=SIZE):
    """Images with clouds of a pixel up to a quarter of the area, and one date without anything."""
    rng = np.random.default_rng(seed)
    images = 0.2 + 0.1 * rng.random((len(DAYS), 10, y, x), np.float32)
    for image in images:
        top, left = rng.integers(0, (y, x))
        image[:, top : top + y // 2, left : left + x // 2] = np.nan
    images[5] = np.nan
    return images


def test_the_published_widths_are_the_default():
    config = utilise.Config()
    assert config.widths == (64, 64, 64, 128)
    assert config.cell_px == 8


def test_the_margin_holds(model):
    config = SMALL
    assert config.margin_px % config.cell_px == 0
    size = 2 * config.margin_px + 5 * config.cell_px
    at = size // 2
    images = torch.rand(2, 10, size, size)
    valid = torch.rand(images.shape) < 0.6
    valid[:, :, at, at] = False
    other = valid.clone()
    other[0, :, at, at] = True
    days, asked = torch.tensor([3, 20]), torch.tensor([0, 1])
    with torch.inference_mode():
        moved = model(images, valid, days, asked) - model(images, other, days, asked)
    rows, columns = np.nonzero(moved.abs().amax((0, 1)).numpy() > 1e-7)
    away = max(np.abs(rows - at).max(), np.abs(columns - at).max())
    assert config.margin_px // 3 < away <= config.margin_px


def test_tiles_equal_the_whole(model, monkeypatch):
    images = series(y=50, x=90)
    asked = DAYS[[4, 6]] + 1
    whole = utilise.filled(model, images, DAYS, asked)
    monkeypatch.setattr(utilise, "TILE_PX", 16)
    np.testing.assert_allclose(utilise.filled(model, images, DAYS, asked), whole, rtol=0, atol=1e-5)


def test_tiles_cover_everything_once():
    counted = np.zeros((50, 201), int)
    for kept, tile, inner in utilise.tiles(counted.shape, SMALL):
        counted[kept] += 1
        assert all(part.start % SMALL.cell_px == 0 for part in tile)
        np.testing.assert_array_equal(
            np.arange(50 * 201).reshape(50, 201)[tile][inner].size, counted[kept].size
        )
    assert (counted == 1).all()


def test_dates_may_come_in_any_order(model):
    images, asked = series(), DAYS[3:6] + 2
    order = np.random.default_rng(1).permutation(len(DAYS))
    np.testing.assert_allclose(
        utilise.filled(model, images[order], DAYS[order], asked),
        utilise.filled(model, images, DAYS, asked),
        atol=1e-6,
    )


def test_what_is_missing_has_no_say(model):
    images = torch.from_numpy(series())
    valid = images.isfinite()
    days, asked = torch.from_numpy(DAYS - DAYS[0]), torch.tensor([1, 5])
    with torch.inference_mode():
        one, other = (model(images.nan_to_num(fill), valid, days, asked) for fill in (0.0, 9.0))
    np.testing.assert_array_equal(one, other)


def test_an_answer_depends_on_no_other_question(model):
    images, asked = series(), DAYS[[2, 3, 7, 7]] + np.array([1, 0, 2, 2])
    together = utilise.filled(model, images, DAYS, asked)
    for place, day in enumerate(asked):
        alone = utilise.filled(model, images, DAYS, np.array([day]))
        np.testing.assert_allclose(together[place], alone[0], atol=1e-6)


def test_a_date_that_saw_nothing_changes_nothing(model):
    images, asked = series(), DAYS[[4, 5]] + 1
    kept = np.arange(len(DAYS)) != 5
    np.testing.assert_allclose(
        utilise.filled(model, images, DAYS, asked),
        utilise.filled(model, images[kept], DAYS[kept], asked),
        atol=1e-6,
    )


def test_only_dates_within_reach_count(model):
    images, asked = series(), np.array([17_000])
    block = 17_000 // SMALL.block_days * SMALL.block_days
    far = block + SMALL.block_days + SMALL.support_days <= DAYS
    assert far.any()
    changed = images.copy()
    changed[far] += 0.3
    np.testing.assert_array_equal(
        utilise.filled(model, images, DAYS, asked), utilise.filled(model, changed, DAYS, asked)
    )
    changed[~far] += 0.3
    assert not np.allclose(
        utilise.filled(model, images, DAYS, asked),
        utilise.filled(model, changed, DAYS, asked),
        equal_nan=True,
    )


def test_nothing_is_said_before_the_first_and_after_the_last_date(model):
    found = utilise.filled(model, series(), DAYS, np.array([DAYS[0] - 1, DAYS[0], DAYS[-1], DAYS[-1] + 1]))
    np.testing.assert_array_equal(np.isfinite(found).all((1, 2, 3)), [False, True, True, False])
    assert np.isnan(found[[0, 3]]).all()


def test_cells_never_seen_and_bands_never_seen_stay_missing(model):
    images = series()
    images[:, :, 4:8, 8:12] = np.nan  # a cell
    images[:, 3] = np.nan
    found = utilise.filled(model, images, DAYS, DAYS[3:4])[0]
    expected = np.zeros(found.shape, bool)
    expected[:, 4:8, 8:12] = True
    expected[3] = True
    np.testing.assert_array_equal(np.isnan(found), expected)


def test_ragged_images_keep_their_size(model):
    assert utilise.filled(model, series(y=23, x=21), DAYS, DAYS[:2]).shape == (2, 10, 23, 21)


def test_no_dates_no_answer(model):
    none = np.empty((0, 10, 4, 4), np.float32)
    assert np.isnan(utilise.filled(model, none, np.empty(0, np.int64), np.array([5]))).all()


@pytest.mark.parametrize(("bands", "days"), [(9, DAYS), (10, DAYS[:3]), (10, np.repeat(DAYS[:1], len(DAYS)))])
def test_what_does_not_fit_is_refused(model, bands, days):
    with pytest.raises(InvalidCube, match="U-TILISE needs"):
        utilise.filled(model, series()[:, :bands], days, DAYS[:1])


def test_it_can_learn_to_fill():
    """A few steps on one series bring hidden pixels nearer than the mean does."""
    torch.manual_seed(1)
    small = utilise.Utilise(SMALL)
    level = torch.linspace(0.1, 0.4, 12)[:, None, None, None]
    images = level + 0.05 * torch.rand(1, 10, 8, 8)
    valid = torch.ones(images.shape, dtype=torch.bool)
    valid[::3] = False
    days, asked = torch.arange(12) * 5, torch.arange(0, 12, 3)
    optimizer = torch.optim.Adam(small.parameters(), 3e-3)
    for _ in range(150):
        loss = (small(images, valid, days, asked) - images[asked]).abs().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss < 0.5 * (images[asked] - images.mean()).abs().mean()
