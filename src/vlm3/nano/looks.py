"""Augmentation of pictures, in tensors: patterns, light, the camera, collages.

None of it moves a pixel or its labels: what a surface looks like then says less than its shape and
its place. All functions take batches of one shape and draw from torch's generator.
"""

import torch
from torch.nn import functional

from vlm3.nano.pairs import CELL_PX, F_PX

Tensor = torch.Tensor


def _normal(like: Tensor, spread: float, *last: int) -> Tensor:
    """One draw a picture (n, 1, 1, ...) of the batch `like`."""
    return torch.randn(len(like), 1, 1, *(last or (1,)), device=like.device) * spread


def _uniform(like: Tensor, *last: int) -> Tensor:
    return torch.rand(len(like), 1, 1, *(last or (1,)), device=like.device)


def patterned(image: Tensor, log_distance: Tensor, motion: Tensor | None = None) -> Tensor:
    """Waves that lie in space, the same in both views, over surfaces of some brightness.

    Args:
        image: (n, views, H, W, 3) uint8.
        log_distance: (n, views, H, W), NaN in the sky, which stays as it is.
        motion: (n, 4, 4) cam1_from_cam2; None for one view.

    Returns:
        Float, may leave 0 to 255.
    """
    n, count, height, width = log_distance.shape
    device = log_distance.device
    y, x = torch.meshgrid(
        torch.arange(height, device=device) + 0.5 - height / 2,
        torch.arange(width, device=device) + 0.5 - width / 2,
        indexing="ij",
    )
    rays = functional.normalize(torch.stack([x / F_PX, y / F_PX, torch.ones_like(x)], -1), dim=-1)
    points = rays * torch.exp(torch.nan_to_num(log_distance.float(), nan=0.0))[..., None]
    if motion is not None:
        second = points[:, 1] @ motion[:, None, :3, :3].mT + motion[:, None, None, :3, 3]
        points = torch.stack([points[:, 0], second], 1)

    # Waves across space, bent by a slower one; hard or soft; crossed in half of the pictures.
    pace = torch.exp(_uniform(image) * 2.6 - 0.2) * 3.0
    axes = functional.normalize(torch.randn(n, 3, 3, device=device), dim=1)
    along = (points.flatten(1, 3) @ axes).view(n, count, height, width, 3)
    slow = torch.sin(along[..., 2] * pace * 0.23 + _uniform(image) * 6.3)
    bend = _uniform(image) * 2.5
    wave = torch.sin(along[..., 0] * pace + bend * slow + _uniform(image) * 6.3)
    crossed = wave * torch.sin(along[..., 1] * pace + bend * slow)
    wave = torch.where(_uniform(image) < 0.5, crossed, wave)
    wave = torch.tanh(wave * torch.exp(_uniform(image) * 3.0))
    # Where: a band of brightness, and in half of the pictures only patches of space.
    light = image.float().mean(-1) / 255
    middle, band = _uniform(image) * 0.8, _uniform(image) * 0.4 + 0.1
    where = torch.sigmoid((band - (light - middle).abs()) * 25)
    patches = torch.where(_uniform(image) < 0.5, torch.sigmoid(slow * 8), torch.ones_like(slow))
    strength = _normal(image, 0.4) * (_uniform(image) < 0.55)
    amount = wave * where * patches * strength * torch.isfinite(log_distance)
    tint = 1 + torch.randn(n, 1, 1, 1, 3, device=device) * 0.2
    return image.float() * torch.exp(amount[..., None] * tint)


def lit(image: Tensor) -> Tensor:
    """(n, H, W, 3) of 0 to 1 with light that falls off across it, and some with a shadow's edge."""
    height, width = image.shape[1:3]
    v, u = (
        axis[..., None]
        for axis in torch.meshgrid(
            # Not linspace, which would be compiled anew for every size.
            torch.arange(height, device=image.device) * (2 / (height - 1)) - 1,
            torch.arange(width, device=image.device) * (2 / (width - 1)) - 1,
            indexing="ij",
        )
    )
    slope = (_normal(image, 0.18) * u + _normal(image, 0.18) * v) * (_uniform(image) < 0.6)
    size = _uniform(image) * 0.8 + 0.25
    away = (u - _normal(image, 0.6)) ** 2 + (v - _normal(image, 0.6)) ** 2
    glow = torch.exp(-away / size**2) * _normal(image, 0.45) * (_uniform(image) < 0.5)
    angle = _uniform(image) * 6.3
    edge = torch.cos(angle) * u + torch.sin(angle) * v + _normal(image, 0.4)
    shadow = torch.sigmoid(edge * torch.exp(_uniform(image) * 3 + 1))
    shadow = shadow * -_uniform(image) * 1.1 * (_uniform(image) < 0.2)
    return image * torch.exp(slope + glow + shadow)


def repainted(image: Tensor) -> Tensor:
    """(n, H, W, 3) of 0 to 255 as another camera would have it; float."""
    x = lit(image.float() / 255).clamp(min=1e-4) ** torch.exp(_normal(image, 0.33))
    x = x * torch.exp(_normal(image, 0.28) + _normal(image, 0.1, 3))
    grey = x.mean(-1, keepdim=True)
    saturation = torch.where(_uniform(image) < 0.06, 0.0, torch.exp(_normal(image, 0.4)))
    x = grey + (x - grey) * saturation
    # Hue: a turn about the grey axis.
    angle = _normal(image, 0.12)
    cosine, sine = torch.cos(angle), torch.sin(angle) / 3**0.5
    across = (x.roll(1, -1) - x.roll(-1, -1)) * sine
    x = x * cosine + across + x.mean(-1, keepdim=True) * (1 - cosine)
    middle = x.mean((1, 2, 3), keepdim=True)
    x = middle + (x - middle) * torch.exp(_normal(image, 0.3) + 0.1)
    # Lenses: a little blur, or a little sharpening.
    amount = torch.where(_uniform(image) < 0.6, _uniform(image) * 1.4 - 0.5, 0.0)
    x = x + (_blurred(x) - x) * amount
    grain = _uniform(image) * 0.05 * (_uniform(image) < 0.6)
    x = x + torch.randn_like(x) * grain
    return (x * 255).clamp(0, 255)


def _blurred(x: Tensor) -> Tensor:
    weights = x.new_tensor([1.0, 2.0, 1.0]) / 4
    kernel = (weights[:, None] * weights)[None, None]
    channels = x.permute(0, 3, 1, 2)
    flat = channels.reshape(-1, 1, *channels.shape[2:])
    return functional.conv2d(flat, kernel, padding=1).view(channels.shape).permute(0, 2, 3, 1)


def collaged(
    image: Tensor, log_distance: Tensor, normal: Tensor, share: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Some pictures become the corners, or the halves, of several.

    In one room the picture as a whole says most of every distance in it. Here only the place does:
    a reason to look where the text points.

    Args:
        image: (n, H, W, 3).
        log_distance: (n, H, W).
        normal: (n, H / 4, W / 4, 3).
        share: of the pictures that are put together.
    """
    n, height, width = log_distance.shape
    device = log_distance.device
    cut_x = torch.randint(width // 4, 3 * width // 4, (n,), device=device) // CELL_PX * CELL_PX
    cut_y = torch.randint(height // 4, 3 * height // 4, (n,), device=device) // CELL_PX * CELL_PX
    whole = torch.rand(n, device=device) >= share
    cut_x, cut_y = cut_x.masked_fill(whole, width), cut_y.masked_fill(whole, height)
    own = torch.arange(n, device=device)
    corners = torch.stack([own, *(torch.randperm(n, device=device) for _ in range(3))])
    halves = torch.rand(n, device=device) < 0.4
    corners[1] = torch.where(halves, corners[0], corners[1])
    corners[3] = torch.where(halves, corners[2], corners[3])
    rows, columns = torch.arange(height, device=device), torch.arange(width, device=device)
    below = rows[None, :, None] >= cut_y[:, None, None]
    right = columns[None, None] >= cut_x[:, None, None]
    source = corners.T.gather(1, (2 * below.long() + right.long()).flatten(1))
    source = source.view(n, height, width)
    at = (source, rows[None, :, None], columns[None, None])
    cells = (
        source[:, ::CELL_PX, ::CELL_PX],
        rows[None, : height // CELL_PX, None],
        columns[None, None, : width // CELL_PX],
    )
    return image[at], log_distance[at], normal[cells]
