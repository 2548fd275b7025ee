"""From features to features along time: a token's code of its day, and the layers of the transformer.

Axes as in `tamrf_network`.
"""

import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from einops import rearrange
from torch import Tensor, nn

from openeo_udf_fusion.models.tamrf_config import Config

DAYS_OF_TIME_CODE = 365


def time_code(days: Tensor, width: int) -> Tensor:
    """Code of days (t,) by sines and cosines of falling frequency: (t, width)."""
    order = torch.arange(width, device=days.device)
    angle = days.float()[:, None] / torch.pow(DAYS_OF_TIME_CODE, 2 * (order // 2) / width)
    return torch.where(order % 2 == 0, angle.sin(), angle.cos())


class Attention(nn.Module):
    """Multi-head attention; keys and values come from `source`, with one key of zero where `zero` is set."""

    def __init__(self, width: int, heads: int, zero: bool = False) -> None:
        super().__init__()
        self.heads, self.zero = heads, zero
        self.project = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)

    def forward(self, query: Tensor, source: Tensor, bias: Tensor | None = None) -> Tensor:
        """Queries (p, q, d) and what they read (p, t, d) -> (p, q, d); `bias` as `mixed` takes it."""
        return self.mixed(self.asked(query), self.offered(source), bias)

    def asked(self, query: Tensor) -> Tensor:
        """Queries (..., q, d), projected."""
        width = query.shape[-1]
        return F.linear(query, self.project.weight[:width], self.project.bias[:width])

    def offered(self, source: Tensor) -> Tensor:
        """Keys and values (p, t, 2 d) of what is read."""
        width = source.shape[-1]
        return F.linear(source, self.project.weight[width:], self.project.bias[width:])

    def mixed(self, asked: Tensor, offered: Tensor, bias: Tensor | None = None) -> Tensor:
        """Projected queries (p, q, d) and keys with values (p, t, 2 d) -> (p, q, d).

        `bias` (p, 1, 1, t) is added to the keys' logits: -inf where nobody may look.
        """
        k, v = offered.chunk(2, -1)
        q, k, v = (rearrange(each, "p t (h d) -> p h t d", h=self.heads) for each in (asked, k, v))
        if self.zero:
            k, v = F.pad(k, (0, 0, 0, 1)), F.pad(v, (0, 0, 0, 1))
            bias = None if bias is None else F.pad(bias, (0, 1))
        mixed = attend(q, k, v, bias)
        together: Tensor = self.out(rearrange(mixed, "p h t d -> p t (h d)"))
        return together


def attend(q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None) -> Tensor:
    """Scaled dot-product attention (p, h, q, d); on processors plain products are faster in bfloat16."""
    if q.dtype == torch.bfloat16 and q.device.type == "cpu":
        scores = (q * q.shape[-1] ** -0.5) @ k.transpose(-1, -2)
        scores = scores if bias is None else scores + bias
        mixed: Tensor = scores.softmax(-1) @ v
        return mixed
    return F.scaled_dot_product_attention(q, k, v, attn_mask=bias)


class Layer(nn.Module):
    """A transformer layer that normalises behind each step."""

    def __init__(self, config: Config, zero: bool = False) -> None:
        super().__init__()
        self.attention = Attention(config.width, config.heads, zero)
        self.norm_time = nn.LayerNorm(config.width)
        self.up = nn.Linear(config.width, config.mlp)
        self.down = nn.Linear(config.mlp, config.width)
        self.norm_width = nn.LayerNorm(config.width)

    def forward(self, query: Tensor, source: Tensor, bias: Tensor | None = None) -> Tensor:
        """(p, q, d) that read (p, t, d) -> (p, q, d)."""
        return self.settled(query, self.attention(query, source, bias))

    def settled(self, query: Tensor, found: Tensor) -> Tensor:
        """What comes out once attention has found something, (p, q, d)."""
        z = self.norm_time(query + found)
        out: Tensor = self.norm_width(z + self.down(F.relu(self.up(z), inplace=True)))
        return out
