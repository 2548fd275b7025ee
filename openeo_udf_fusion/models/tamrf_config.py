"""What shapes the network of TAMRF: its two sensors, their bands, and how large and of which kind it is."""

from dataclasses import dataclass
from typing import Literal

from openeo_udf_fusion.errors import InvalidParameter

SensorId = Literal["lr", "hr"]
SENSORS: tuple[SensorId, ...] = ("lr", "hr")
"""Landsat at 30 m and Sentinel-2 at 10 m, in the order of tokens and of decoded bands."""
HALO_ROWS = 2
"""The decoder's two convolutions look so far."""
BICUBIC_PX = 2
"""And so far does the interpolation from 30 m, in its pixels."""
CONVS_OF_A_BLOCK = 5
ALIKE = (("B2", "B02"), ("B3", "B03"), ("B4", "B04"), ("B5", "B8A"), ("B6", "B11"), ("B7", "B12"))
"""Bands of `lr` and of `hr` that see nearly the same."""
COARSE = ("B05", "B06", "B07", "B8A", "B11", "B12")
"""Bands of `hr` that are measured at 20 m."""


@dataclass(frozen=True)
class Config:
    """Everything that shapes the network; the card stores it.

    Attributes
    ----------
    lr, hr
        Band names in the model's order.
    upscaling
        Pixels of `hr` beside one of `lr`.
    features, growth, dense_blocks
        Width of an encoder, what each convolution of a dense block adds, and how many blocks there are.
    time_code, sensor_code
        Width of a token's code of the day and of the sensor; the first must be even.
    layers, heads, mlp
        Of the temporal transformer.
    clear_only
        Trained on clear pixels alone: whoever calls masks clouds. The published network reads them raw.
    anchored
        What is decoded is a correction of the linear interpolation in time between each pixel's own valid
        values of the band (of its mean where it was never seen), Landsat's at 30 m and then bicubic.
    compared
        An encoder also reads how an image differs from what others tell of its day, interpolated likewise:
        those of its own sensor on other days, which shows haze, and those of the other sensor, in the bands
        that are alike, which shows what that one's interpolation lacks on the day. 0 where unknown.
    carried
        What one sensor's images differ from the other's interpolation is also added to that interpolation,
        the less the farther a queried day is; how much and how far is learned (`Carry`). Only where anchored.
    detailed
        Where a band of 20 m was seen on the queried day itself, the answer is what was seen and the detail
        that the 10 m bands of that image add to it (`Detail`). Only where anchored.
    """

    lr: tuple[str, ...] = ("B1", "B2", "B3", "B4", "B5", "B6", "B7", "LST")
    hr: tuple[str, ...] = ("B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B11", "B12")
    upscaling: int = 3
    features: int = 64
    growth: int = 32
    dense_blocks: int = 3
    time_code: int = 64
    sensor_code: int = 8
    layers: int = 3
    heads: int = 4
    mlp: int = 256
    clear_only: bool = False
    anchored: bool = False
    compared: bool = False
    carried: bool = False
    detailed: bool = False

    def __post_init__(self) -> None:
        """What is carried or detailed is added to an interpolation: without one nothing would be."""
        for name in ("carried", "detailed"):
            if getattr(self, name) and not self.anchored:
                raise InvalidParameter(f"a network that is `{name}` must be `anchored` too; this one is not")

    @property
    def width(self) -> int:
        """Of a token."""
        return self.features + self.time_code + self.sensor_code

    @property
    def receptive_field_px(self) -> int:
        """How many pixels of 10 m around a pixel matter: through Landsat's encoder, which looks farthest."""
        coarse = 2 + CONVS_OF_A_BLOCK * self.dense_blocks + BICUBIC_PX
        return self.upscaling * coarse + 1 + HALO_ROWS

    def bands(self, sensor: SensorId) -> tuple[str, ...]:
        """Band names of a sensor."""
        return self.lr if sensor == "lr" else self.hr

    @property
    def coarse(self) -> list[int]:
        """Places of the bands of 20 m among those of `hr`."""
        return [place for place, band in enumerate(self.hr) if band in COARSE]

    def scale(self, sensor: SensorId) -> int:
        """How many pixels of the result lie along one of the sensor."""
        return self.upscaling if sensor == "lr" else 1

    def alike(self, sensor: SensorId) -> list[int]:
        """Places of the sensor's bands that have a like among the other's; those of both correspond."""
        pairs = [pair for pair in ALIKE if pair[0] in self.lr and pair[1] in self.hr]
        return [self.bands(sensor).index(pair[SENSORS.index(sensor)]) for pair in pairs]

    def inputs(self, sensor: SensorId) -> int:
        """How many numbers per pixel the sensor's encoder reads."""
        bands = len(self.bands(sensor))
        return 2 * bands + len(self.alike(sensor)) if self.compared else bands


def opposite(sensor: SensorId) -> SensorId:
    """The other of the two sensors."""
    return "hr" if sensor == "lr" else "lr"
