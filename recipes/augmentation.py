"""Distortions of training pictures of any side, those that turn a coloured drawing into line art
among them.

Everything random comes from torch's generator, so a batch follows from its seed.
"""

import torch
from torch.nn import functional as F

from recipes.emoji_pairs import MEAN, STD

# Ranges of what moves a picture: angle in radians, shear, zoom and stretch.
MOVES = ((-0.35, 0.35), (-0.15, 0.15), (0.8, 1.33), (0.9, 1.1))


def augment(pixels, may_flip, line_art):
    """Turn RGBA bytes (n, 4, side, side) into normalized training pictures (n, 3, side, side), each
    in its own way."""
    return painted(outlined(move(times_alpha(pixels), may_flip), line_art))


def times_alpha(pixels):
    """Turn RGBA bytes into colours times alpha and alpha, in [0, 1], so that edges blend
    rightly."""
    x = pixels.float() / 255
    x[:, :3] *= x[:, 3:]
    return x


def painted(x):
    """Change colours, lay the pictures on paper, then blur, add noise, erase a box, and
    normalize."""
    alpha = x[:, 3:]
    x = jitter(x[:, :3], alpha) + (1 - alpha) * backgrounds(len(x), x.shape[-1])
    x = torch.where(some(len(x), 0.15), F.avg_pool2d(x, 3, 1, 1, count_include_pad=False), x)
    x = x + some(len(x), 0.3) * 0.04 * torch.randn_like(x)
    return (erase(x).clamp(0, 1) - MEAN) / STD


def some(count, share):
    """Draw True for about `share` of `count` pictures, shape (count, 1, 1, 1)."""
    return torch.rand(count, 1, 1, 1) < share


def uniform(count, low, high):
    """Draw one number for each picture, shape (count, 1, 1, 1)."""
    return low + (high - low) * torch.rand(count, 1, 1, 1)


def move(x, may_flip):
    """Rotate by up to 20 degrees, scale by 0.75 to 1.25, shear, shift, and mirror half of those
    that allow it."""
    count = len(x)
    angle, shear, zoom, stretch = (uniform(count, *ends).flatten() for ends in MOVES)
    mirror = 1 - 2.0 * (may_flip & (torch.rand(count) < 0.5))
    cos, sin = angle.cos() * zoom, angle.sin() * zoom
    wide = stretch * mirror
    right, down = 0.25 * torch.rand(2, count) - 0.125
    matrix = torch.stack([cos * wide, sin + shear, right, -sin * wide, cos, down], 1)
    grid = F.affine_grid(matrix.view(count, 2, 3), x.shape, align_corners=False)
    return F.grid_sample(x, grid, align_corners=False)


def outlined(x, share):
    """Draw dark lines where colours meet, on `share` of the pictures, and take the fills from a
    third of these."""
    chosen = (torch.rand(len(x)) < share).nonzero()[:, 0]
    if not len(chosen):
        return x
    colour, alpha = x[chosen, :3], x[chosen, 3:]
    count = len(chosen)
    kernel = 3 if torch.rand(()) < 0.6 else 5
    seen = torch.cat([colour + 1 - alpha, alpha], 1)
    highest, lowest = (sign * F.max_pool2d(sign * seen, kernel, 1, kernel // 2) for sign in (1, -1))
    contrast = (highest - lowest).amax(1, keepdim=True)
    line = ((contrast - uniform(count, 0.1, 0.5)) / 0.2).clamp(0, 1)
    if kernel == 5:
        line = F.avg_pool2d(line, 3, 1, 1)
    fill = uniform(count, 0.0, 1.0) * some(count, 0.5)  # 0 leaves white paper
    kept = torch.where(some(count, 1 / 3), fill, 1.0)
    colour = alpha - kept * (alpha - colour)
    alpha = torch.maximum(alpha * ~some(count, 0.15), line)
    ink = uniform(count, 0.0, 0.2) + 0.15 * torch.rand(count, 3, 1, 1) * some(count, 0.3)
    x = x.clone()
    x[chosen] = torch.cat([torch.minimum(colour, alpha) * (1 - line) + ink * line, alpha], 1)
    return x


def jitter(colour, alpha):
    """Change brightness, contrast, saturation and hue of colours that are already times alpha; turn
    some grey."""
    count = len(colour)
    grey = colour.mean(1, keepdim=True)
    saturation = torch.where(some(count, 0.1), 0.0, uniform(count, 0.5, 1.5))
    turned = torch.where(some(count, 0.9), uniform(count, -0.25, 0.25), uniform(count, -1.5, 1.5))
    hues = torch.einsum("nij,njhw->nihw", hue_turn(turned[:, 0, 0]), colour)
    colour = grey + saturation * (hues - grey)
    share = (colour.clamp(min=1e-4) / alpha.clamp(min=1e-4)).clamp(0, 1)
    bent = share ** uniform(count, -0.5, 0.5).exp()
    contrast, lift = uniform(count, 0.7, 1.2), uniform(count, -0.15, 0.15)
    return ((bent - 0.5) * contrast + 0.5 + lift).clamp(0, 1) * alpha


def hue_turn(angle):
    """Return rotations about the grey axis by `angle` (n, 1) in radians, shape (n, 3, 3)."""
    cross = torch.tensor([[0.0, -1, 1], [1, 0, -1], [-1, 1, 0]]) * 3**-0.5
    return torch.linalg.matrix_exp(angle[..., None] * cross)


def backgrounds(count, side):
    """Draw paper: mostly white, else black, one colour, or a slope between two, shape (count, 3,
    side, side)."""
    first, second = torch.rand(2, count, 3, 1, 1)
    slope = torch.linspace(0, 1, side).expand(side, side)
    slope = torch.where(some(count, 0.5), slope, slope.T)
    paper = torch.where(some(count, 0.3), first + slope * (second - first), first)
    plain = some(count, 0.85).float()  # white or black
    return torch.where(some(count, 0.6), plain, paper)


def erase(x):
    """Paint a box of one colour over a fifth of the pictures."""
    count, side = len(x), x.shape[-1]
    cells = torch.arange(side)
    centre, half = side * torch.rand(2, count, 1), side / 16 * (1 + 2 * torch.rand(2, count, 1))
    rows, columns = (cells - centre).abs() < half
    box = rows[:, None, :, None] & columns[:, None, None, :] & some(count, 0.2)
    return torch.where(box, torch.rand(count, 3, 1, 1), x)
