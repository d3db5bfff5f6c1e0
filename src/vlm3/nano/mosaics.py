"""Mosaics of plain colours, for colour grounding: nothing to see but where the text points.

Learnt first, they make everything after them learnable (`train.mosaics` has the same in numpy).
"""

import torch

Tensor = torch.Tensor
_CELLS_PX = (16, 24, 32, 48, 64)
_MOVED_CELLS_PX = (12.0, 18.0, 26.0, 40.0)


def mosaics(n: int, shape_px: tuple[int, int], device: torch.device) -> Tensor:
    """(n, H, W, 3) of 0 to 255: eight colours in square cells."""
    width, height = shape_px
    cell = torch.tensor(_CELLS_PX, device=device)
    cell = cell[torch.randint(len(_CELLS_PX), (n, 1), device=device)]
    classes = torch.randint(8, (n, 24, 24), device=device)
    shift = (torch.rand(n, 2, device=device) * cell).long()
    row = (torch.arange(height, device=device)[None] + shift[:, :1]) // cell
    column = (torch.arange(width, device=device)[None] + shift[:, 1:]) // cell
    each = torch.arange(n, device=device)[:, None, None]
    return _painted(classes[each, row[:, :, None], column[:, None]])


def color_class(colors: Tensor) -> Tensor:
    """Which of `train.mosaics.COLORS` is nearest to colours (..., 3) of 0 to 255."""
    return ((colors >= 128) * colors.new_tensor([4, 2, 1], dtype=torch.long)).sum(-1)


def moved_mosaics(
    n: int, shape_px: tuple[int, int], points: int, device: torch.device
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Two views of one flat mosaic, moved, turned and scaled.

    Returns:
        Pictures (n, 2, H, W, 3), matches (n, points, 2) and (n, points, 2), and which of them lie
        in both pictures (n, points).
    """
    width, height = shape_px
    cell = torch.tensor(_MOVED_CELLS_PX, device=device)
    cell = cell[torch.randint(len(_MOVED_CELLS_PX), (n, 1, 1, 1), device=device)]
    classes = torch.randint(8, (n, 64, 64), device=device)
    size = torch.tensor([width, height], device=device).float()
    middle = size / 2
    angle = torch.randn(n, device=device) * 0.15
    scale = torch.exp(torch.randn(n, device=device) * 0.15)
    cosine, sine = scale * torch.cos(angle), scale * torch.sin(angle)
    rows = [torch.stack([cosine, -sine], -1), torch.stack([sine, cosine], -1)]
    turn = torch.stack(rows, -2)
    shift = (torch.rand(n, 2, device=device) * 0.7 - 0.35) * size
    y, x = torch.meshgrid(
        torch.arange(height, device=device) + 0.5,
        torch.arange(width, device=device) + 0.5,
        indexing="ij",
    )
    first = torch.stack([x, y], -1)[None].expand(n, -1, -1, -1)
    second = torch.einsum("nhwk,njk->nhwj", first - middle, turn) + middle + shift[:, None, None]
    each = torch.arange(n, device=device)[:, None, None]
    seen = []
    for plane in (first, second):
        index = (plane / cell).floor().long() % 64
        seen.append(classes[each, index[..., 1], index[..., 0]])
    # One palette for both: painted as one picture.
    images = _painted(torch.cat(seen, 1)).view(n, 2, height, width, 3)
    xy1 = torch.rand(n, points, 2, device=device) * size
    back = turn.transpose(1, 2) / (scale**2)[:, None, None]
    xy2 = torch.einsum("npk,njk->npj", xy1 - middle - shift[:, None], back) + middle
    return images, xy1, xy2, ((xy2 > 0) & (xy2 < size)).all(-1)


def _painted(classes: Tensor) -> Tensor:
    """(n, H, W) of eight classes as colours, each near its corner of the colour cube."""
    n, device = len(classes), classes.device
    bits = torch.tensor([2, 1, 0], device=device)
    corners = (torch.arange(8, device=device)[:, None] >> bits) & 1
    palette = (corners * 0.75 + 0.12 + torch.randn(n, 8, 3, device=device) * 0.06).clamp(0, 1)
    image = palette[torch.arange(n, device=device)[:, None, None], classes]
    noise = torch.randn(*classes.shape, 1, device=device) * 0.02
    return ((image + noise) * 255).clamp(0, 255)
