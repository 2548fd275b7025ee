"""The network of TAMRF-SITS: Landsat and Sentinel-2 image series in one, all their bands at 10 m on any day.

Date by date each sensor's encoder turns an image into features at 10 m; pixel by pixel a transformer lets
the dates of both sensors attend to one another; queries, one per day asked for, attend to the outcome; two
convolutions decode all bands of both sensors.

After Michel and Inglada 2025, doi:10.1016/j.rse.2025.115159, whose published network is the default Config;
written from the paper. Its parts are in `tamrf_encoder` and `tamrf_attention`, and those that the published
network lacks in `tamrf_carry` and `tamrf_detail`; `tamrf_series` has what comes in.

Where a pixel has nothing valid on a date, that date is no token of that pixel: no other looks at it, so
nothing depends on whether the date is masked or left out.

Axes: n images, t input dates, q queried days, b bands, y and x pixels, p pixels in a row, d width.
"""

from collections.abc import Mapping
from typing import NamedTuple, cast

import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from einops import rearrange
from torch import Tensor, nn

from openeo_udf_fusion.models.linear_in_time import linear_in_time
from openeo_udf_fusion.models.tamrf_attention import Layer, time_code
from openeo_udf_fusion.models.tamrf_carry import Carry
from openeo_udf_fusion.models.tamrf_config import SENSORS, Config, SensorId, opposite
from openeo_udf_fusion.models.tamrf_detail import Detail
from openeo_udf_fusion.models.tamrf_encoder import SLOPE, Encoder, conv
from openeo_udf_fusion.models.tamrf_interpolation import filled_around, finer, line_of, on_grid_of
from openeo_udf_fusion.models.tamrf_series import (
    Series,
    checked,
    dates_with_tokens,
    size_at_10_m,
    tokens_seen,
    unseen,
)


class Folded(NamedTuple):
    """What is the same at all pixels, computed once.

    Attributes
    ----------
    codes
        (t, time and sensor code).
    first_asked, first_offered
        The codes' share in the first layer's queries, and in its keys and values: (t, d), (t, 2 d).
    queries, asked
        The decoder's queries (q, d), and projected.
    """

    codes: Tensor
    first_asked: Tensor
    first_offered: Tensor
    queries: Tensor
    asked: Tensor


class Tamrf(nn.Module):
    """The whole network; `tamrf.predict` streams an image series through its parts."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        for sensor in SENSORS:
            bands = len(config.bands(sensor))
            self.register_buffer(f"{sensor}_mean", torch.zeros(bands))
            self.register_buffer(f"{sensor}_std", torch.ones(bands))
        self.encoder = nn.ModuleDict(
            {
                "lr": Encoder(config.inputs("lr"), config.upscaling, config),
                "hr": Encoder(config.inputs("hr"), 1, config),
            }
        )
        self.sensor_code = nn.ParameterDict(
            {sensor: nn.Parameter(torch.randn(config.sensor_code) * 0.02) for sensor in SENSORS}
        )
        self.layers = nn.ModuleList(Layer(config) for _ in range(config.layers))
        self.query_features = nn.Parameter(torch.randn(config.features) * 0.02)
        self.query_code = nn.Parameter(torch.randn(config.sensor_code) * 0.02)
        self.cross = Layer(config, zero=True)
        self.decoder = nn.Sequential(
            conv(config.width, config.width),
            nn.LeakyReLU(SLOPE, inplace=True),
            conv(config.width, len(config.lr + config.hr)),
        )
        alike = len(config.alike("lr"))
        self.carry = nn.ModuleDict({sensor: Carry(alike) for sensor in SENSORS} if config.carried else {})
        self.detail = Detail(config) if config.detailed else None

    @property
    def device(self) -> torch.device:
        """Where the network is."""
        return self.query_code.device

    @property
    def dtype(self) -> torch.dtype:
        """Of the encoders and of attention."""
        return self.cross.up.weight.dtype

    def forward(
        self,
        *,
        hr: Tensor | None = None,
        hr_days: Tensor | None = None,
        lr: Tensor | None = None,
        lr_days: Tensor | None = None,
        query_days: Tensor,
        hr_valid: Tensor | None = None,
        lr_valid: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """`tamrf.predict` of one small image at once, to train by: every step can be differentiated.

        Parameters, result and errors are those of `tamrf.predict`, all on the model's device. Where a pixel
        has no token the result is NaN: choose the other pixels before anything is made of it.
        """
        given = checked(self.config, lr=(lr, lr_days, lr_valid), hr=(hr, hr_days, hr_valid))
        query_days = torch.as_tensor(query_days, device=self.device)
        useful = dates_with_tokens(given)
        if not useful:
            return unseen(self.config, given, len(query_days), self.device)
        others = self.departures(useful)
        features = torch.cat(
            [self.encoder[sensor](self.read(useful[sensor], sensor, others.get(sensor))) for sensor in useful]
        )
        seen = tokens_seen(self.config, useful)
        rows, columns = features.shape[-2:]
        folded = self.folded({sensor: series.days for sensor, series in useful.items()}, query_days)
        answers = self.answered(
            rearrange(features, "t d y x -> (y x) t d"),
            folded,
            None if seen is None else seen.flatten(0, 1),
        )
        both = self.decoded(rearrange(answers, "(y x) q d -> q d y x", y=rows, x=columns))
        if self.config.anchored:
            anchors = self.anchors(given, query_days)
            both = {sensor: both[sensor] + anchors[sensor] for sensor in SENSORS}
        if "hr" in useful:
            both["hr"] = torch.stack(
                [
                    self.with_detail(image, useful["hr"], day)
                    for image, day in zip(both["hr"], query_days, strict=True)
                ]
            )
        if seen is not None:
            both = {sensor: values.where(seen.any(-1), torch.nan) for sensor, values in both.items()}
        return both["lr"], both["hr"]

    def with_detail(self, image: Tensor, series: Series, day: Tensor) -> Tensor:
        """Bands of `hr` on a queried day (b, y, x); where its bands of 20 m were seen, those with detail."""
        same = torch.nonzero(series.days.to(day.device) == day)
        if self.detail is None or not len(same):
            return image
        own, places = series.on(int(same[0])), self.config.coarse
        std = self.get_buffer("hr_std")[places][:, None, None]
        sharp = own.images[0, places].to(std) + std * self.detail(self.read(own, "hr"))[0]
        known = True if own.valid is None else own.valid[0, places].to(image.device)
        out = image.clone()
        out[places] = torch.where(torch.as_tensor(known, device=image.device), sharp.to(image), image[places])
        return out

    def standardised(self, images: Tensor, sensor: SensorId) -> Tensor:
        """DN/1e4 (n, b, y, x) -> what an encoder reads."""
        mean, std = (self.get_buffer(f"{sensor}_{what}")[:, None, None] for what in ("mean", "std"))
        return (images - mean) / std

    def read(self, series: Series, sensor: SensorId, departures: Tensor | None = None) -> Tensor:
        """A series as the sensor's encoder reads it, the mean in place of what is missing."""
        ready = self.standardised(series.images.to(self.device, torch.float32), sensor)
        ready = ready if series.valid is None else ready.where(series.valid.to(self.device), 0)
        return ready if departures is None else torch.cat([ready, departures.to(self.device)], 1)

    def departures(self, given: Mapping[SensorId, Series]) -> dict[SensorId, Tensor]:
        """Each sensor's images less what others tell of their days; nothing unless `compared`.

        Standardised (t, b, y, x), first all bands less the sensor's own other days, then the bands alike
        less the other sensor; 0 where either is unknown. On the device of the images.
        """
        if not self.config.compared:
            return {}
        out: dict[SensorId, Tensor] = {}
        for sensor, series in given.items():
            bands, alike = [*range(len(self.config.bands(sensor)))], self.config.alike(sensor)
            own = series.images.float() - line_of(series, bands, series.days, other_days=True)
            own = own if series.valid is None else own.where(series.valid, torch.nan)
            away = torch.cat([own, self.beyond_other(given, sensor)], 1)
            std = self.get_buffer(f"{sensor}_std")[bands + alike].to(away.device)[:, None, None]
            out[sensor] = away.div_(std).nan_to_num_(0, 0, 0)  # as large as the series: in place
        return out

    def beyond_other(self, given: Mapping[SensorId, Series], sensor: SensorId) -> Tensor:
        """A sensor's bands alike less the other sensor's line (t, b, y, x); NaN where either is unknown."""
        series, other = given[sensor], opposite(sensor)
        alike = self.config.alike(sensor)
        images = series.images[:, alike].float()
        if other not in given:
            return torch.full_like(images, torch.nan)
        line = line_of(given[other], self.config.alike(other), series.days)
        away = images - on_grid_of(sensor, line, self.config.upscaling)
        return away if series.valid is None else away.where(series.valid[:, alike], torch.nan)

    def tokens(self, features: Tensor, codes: Tensor) -> Tensor:
        """Features (p, t, features) beside their dates' codes (t or p t, time and sensor code)."""
        return torch.cat([features, codes.expand(len(features), -1, -1)], -1)

    def codes(self, days: Mapping[SensorId, Tensor]) -> Tensor:
        """Codes of all dates (t, time and sensor code), those of `lr` first."""
        parts = [
            torch.cat(
                [
                    time_code(days[sensor], self.config.time_code),
                    self.sensor_code[sensor].expand(len(days[sensor]), -1),
                ],
                -1,
            )
            for sensor in SENSORS
            if sensor in days
        ]
        return torch.cat(parts)

    def encoded(self, tokens: Tensor, bias: Tensor | None = None) -> Tensor:
        """Let the dates attend to one another, (p, t, d)."""
        for layer in self.layers:
            tokens = layer(tokens, tokens, bias)
        return tokens

    def queries(self, days: Tensor) -> Tensor:
        """What asks for each day, (q, d): the same at every pixel."""
        code = time_code(days, self.config.time_code)
        both = [self.query_features.expand(len(days), -1), code, self.query_code.expand(len(days), -1)]
        return torch.cat(both, -1)

    def folded(self, days: Mapping[SensorId, Tensor], query_days: Tensor) -> Folded:
        """What depends on dates alone."""
        codes = self.codes({sensor: each.to(self.device) for sensor, each in days.items()}).to(self.dtype)
        queries = self.queries(query_days.to(self.device)).to(self.dtype)
        width, features = self.config.width, self.config.features
        project = cast(Layer, self.layers[0]).attention.project
        first = F.linear(codes, project.weight[:, features:], project.bias)
        asked = self.cross.attention.asked(queries)
        return Folded(codes, first[:, :width], first[:, width:], queries, asked)

    def answered(self, features: Tensor, folded: Folded, seen: Tensor | None = None) -> Tensor:
        """The network between encoders and decoder, (p, t, features) -> (p, q, d), without what is folded.

        `seen` (p, t) says which dates are tokens of a pixel; None: all are.
        """
        if seen is None or bool(seen.all()):
            return self._answered(features, folded, None, None)
        # Each pixel's tokens move to the front, and what no pixel has any more is cut off.
        most = max(int(seen.sum(1).max()), 1)
        order = torch.argsort(~seen, dim=1, stable=True)[:, :most]
        chosen = features.gather(1, order[..., None].expand(-1, -1, features.shape[-1]))
        codes, asked, offered = (
            each[order] for each in (folded.codes, folded.first_asked, folded.first_offered)
        )
        folded = folded._replace(codes=codes, first_asked=asked, first_offered=offered)
        closed = torch.where(seen.gather(1, order), 0.0, -torch.inf).to(features.dtype)[:, None, None]
        # Among no tokens at all a softmax is NaN; let those look anywhere, as nobody looks at them.
        among = closed.where(seen.any(1)[:, None, None, None], 0)
        return self._answered(chosen, folded, among, closed)

    def _answered(
        self, features: Tensor, folded: Folded, among: Tensor | None, closed: Tensor | None
    ) -> Tensor:
        first, *others = (cast(Layer, layer) for layer in self.layers)
        width = self.config.width
        moved = F.linear(features, first.attention.project.weight[:, : self.config.features])
        asked, offered = moved[..., :width] + folded.first_asked, moved[..., width:] + folded.first_offered
        found = first.attention.mixed(asked, offered, among)
        tokens = first.settled(self.tokens(features, folded.codes), found)
        for layer in others:
            tokens = layer(tokens, tokens, among)
        queries = folded.queries.expand(len(features), -1, -1)
        asked = folded.asked.expand(len(features), -1, -1)
        found = self.cross.attention.mixed(asked, self.cross.attention.offered(tokens), closed)
        return self.cross.settled(queries, found)

    def decoded(self, answers: Tensor) -> dict[SensorId, Tensor]:
        """Answers (q, d, y, x) -> each sensor's bands (q, b, y, x) in DN/1e4, or what corrects them."""
        both = self.decoder(answers).split([len(self.config.lr), len(self.config.hr)], 1)
        out: dict[SensorId, Tensor] = {}
        for sensor, values in zip(SENSORS, both, strict=True):
            mean, std = (self.get_buffer(f"{sensor}_{what}")[:, None, None] for what in ("mean", "std"))
            out[sensor] = values * std if self.config.anchored else values * std + mean
        return out

    def anchors(self, given: Mapping[SensorId, Series], query_days: Tensor) -> dict[SensorId, Tensor]:
        """What an anchored network corrects: each sensor's bands (q, b, y, x) at 10 m, linear in time.

        Where a band of a pixel was never seen it is the band's mean; of Landsat's, what was seen of it within
        two cells, if anything was. On the device of the images.
        """
        some = next(iter(given.values()))
        rows, columns = size_at_10_m(self.config, given)
        out: dict[SensorId, Tensor] = {}
        for sensor in SENSORS:
            mean = self.get_buffer(f"{sensor}_mean").to(some.images.device)
            if sensor not in given:
                out[sensor] = mean[:, None, None].expand(len(query_days), -1, rows, columns)
                continue
            images, days, valid = given[sensor]
            valid = torch.ones_like(images, dtype=torch.bool) if valid is None else valid
            line = linear_in_time(images.float(), days, valid, query_days, mean)
            scale = self.config.scale(sensor)
            out[sensor] = line if scale == 1 else finer(filled_around(line, valid.any(0)), scale)
            if self.config.carried and opposite(sensor) in given:
                out[sensor][:, self.config.alike(sensor)] += self.carried(given, sensor, query_days)
        return out

    def carried(self, given: Mapping[SensorId, Series], sensor: SensorId, query_days: Tensor) -> Tensor:
        """What the other sensor tells beyond a sensor's line, its bands alike (q, b, y, x) at 10 m."""
        other, series = opposite(sensor), given[sensor]
        away, days = self.beyond_other(given, other), given[other].days
        alike = self.config.alike(sensor)
        own = (
            torch.ones_like(series.images[:, alike])
            if series.valid is None
            else series.valid[:, alike].float()
        )
        told = self.carry[sensor](
            away,
            days,
            on_grid_of(other, own, self.config.upscaling, "nearest"),
            series.days,
            query_days.to(days.device),
        )
        carried: Tensor = told if other == "hr" else finer(told, self.config.upscaling)
        return carried
