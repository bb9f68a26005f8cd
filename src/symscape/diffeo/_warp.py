"""Images pulled back by displacement fields, with bilinear or Gaussian interpolation."""

from __future__ import annotations

import math
from typing import Any, Literal, get_args

import torch
from torch import Tensor

__all__ = ["SIGMA", "Interpolation", "at_least_single", "check_images", "warp"]

Interpolation = Literal["bilinear", "gaussian"]
"""How an image is read between its pixels."""

SIGMA = 0.4715
"""Width of the Gaussian in pixels: four pixels take part at the center of a cell."""

_REACH = 3  # pixels from the nearest one; the weight beyond is 1e-12


def warp(images: Tensor, fields: Tensor, interpolation: Interpolation = "bilinear") -> Tensor:
    r"""Pull images back by displacement fields, :math:`[\tau x](s) = x(s - \tau(s))`.

    Sources outside the image are moved to its frame. All channels of an image share the field.
    Differentiable in the images and in the fields, on every device. Numbers of less than 32 bits
    are computed in float32, and the result is rounded.

    Gaussian interpolation, with weights :math:`\propto e^{-r^2/2\sigma^2}` of :data:`SIGMA`,
    blurs even where nothing moves: compare with the image warped by a field of zeros.

    Args:
        images: (..., channels, rows, columns), floating point.
        fields: (..., 2, rows, columns) of the same dtype and device, in pixels, along x (the last
            axis) and y. The leading shapes broadcast: (S, B, 2, rows, columns) deforms each image
            of a batch (B, channels, rows, columns) in S ways.
        interpolation: ``"bilinear"``, or ``"gaussian"``.

    Returns:
        (..., channels, rows, columns).

    Raises:
        ValueError: images that are not floating point, fields that do not fit.

    Source: Ch. 4, Section 2.1 and App. C, Eq. 15-17.
    """
    check_images(images)
    rows, columns = images.shape[-2:]
    if fields.ndim < 3 or fields.shape[-3:] != (2, rows, columns):
        raise ValueError(
            f"fields: shape {tuple(fields.shape)} given; allowed: (..., 2, {rows}, {columns})"
        )
    if fields.dtype != images.dtype or fields.device != images.device:
        raise ValueError(
            f"fields: {fields.dtype} on {fields.device} given; allowed: that of the images, "
            f"{images.dtype} on {images.device}"
        )
    if interpolation not in get_args(Interpolation):
        allowed = ", ".join(get_args(Interpolation))
        raise ValueError(f"interpolation: {interpolation!r} given; allowed: {allowed}")
    try:
        lead = torch.broadcast_shapes(images.shape[:-3], fields.shape[:-3])
    except RuntimeError:
        raise ValueError(
            f"fields: leading shape {tuple(fields.shape[:-3])} given; allowed: one that "
            f"broadcasts with that of the images, {tuple(images.shape[:-3])}"
        ) from None
    precise = at_least_single(images.dtype)
    if precise != images.dtype:
        wide = warp(images.to(precise), fields.to(precise), interpolation)
        return wide.to(images.dtype)
    if interpolation == "gaussian":
        return _gaussian(images, fields)
    if images.device.type == "cpu" and images.dtype in (torch.float32, torch.float64):
        return _compiled(images, fields, lead)
    return bilinear(images, fields)


def at_least_single(dtype: torch.dtype) -> torch.dtype:
    """The dtype in which pixels are found: half precision cannot even count to 300."""
    return torch.float32 if dtype.itemsize < 4 else dtype


def check_images(images: Tensor) -> None:
    """Raise ValueError unless images have channels, two pixels a side, and floating point."""
    if images.ndim < 3 or min(images.shape[-2:]) < 2:
        raise ValueError(
            f"images: shape {tuple(images.shape)} given; allowed: (..., channels, rows, columns) "
            "with two rows and two columns or more"
        )
    if not images.dtype.is_floating_point:
        raise ValueError(
            f"images: {images.dtype} given; allowed: floating point, for example "
            "images.float() / 255"
        )


def bilinear(images: Tensor, fields: Tensor) -> Tensor:
    """Bilinear interpolation in plain torch: any device, any dtype, derivatives of any order."""
    rows, columns = images.shape[-2:]
    u, v = _sources(fields)
    left, top = u.floor(), v.floor()
    p, q = (u - left).unsqueeze(-3), (v - top).unsqueeze(-3)
    j, i = _whole(left), _whole(top)
    l, k = (j + 1).clamp(max=columns - 1), (i + 1).clamp(max=rows - 1)
    upper, upper_right = _pixels(images, i, j), _pixels(images, i, l)
    lower, lower_right = _pixels(images, k, j), _pixels(images, k, l)
    upper = upper + p * (upper_right - upper)
    lower = lower + p * (lower_right - lower)
    return upper + q * (lower - upper)


def _gaussian(images: Tensor, fields: Tensor) -> Tensor:
    """Gaussian interpolation; the weights are products, so their norm is too."""
    height, width = images.shape[-2:]
    u, v = _sources(fields)
    j, i = _whole(u.detach().round()), _whole(v.detach().round())
    out = torch.zeros((), dtype=images.dtype, device=images.device)
    norm = torch.zeros_like(u)
    for down in range(-_REACH, _REACH + 1):
        rows = i + down
        vertical = _weight(v, rows, height)
        for across in range(-_REACH, _REACH + 1):
            columns = j + across
            weight = vertical * _weight(u, columns, width)
            pixels = _pixels(images, rows.clamp(0, height - 1), columns.clamp(0, width - 1))
            out = out + weight.unsqueeze(-3) * pixels
            norm = norm + weight
    return out / norm.unsqueeze(-3)


def _weight(source: Tensor, pixel: Tensor, n: int) -> Tensor:
    """The Gaussian weight of pixels along one axis, 0 for those outside the image."""
    weight = torch.exp(-0.5 * ((source - pixel) / SIGMA) ** 2)
    return torch.where((pixel >= 0) & (pixel < n), weight, torch.zeros_like(weight))


def _sources(fields: Tensor) -> tuple[Tensor, Tensor]:
    """Where each pixel is read: columns and rows, each (..., rows, columns), moved to the frame."""
    rows, columns = fields.shape[-2:]
    y, x = (torch.arange(n, device=fields.device, dtype=fields.dtype) for n in (rows, columns))
    u = (x - fields[..., 0, :, :]).clamp(0, columns - 1)
    v = (y[:, None] - fields[..., 1, :, :]).clamp(0, rows - 1)
    return u, v


def _whole(source: Tensor) -> Tensor:
    """Indices of pixels; 0 for NaN, which shows in the weights."""
    return source.nan_to_num(0.0).long()


def _pixels(images: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """images[..., channel, rows, columns], of the shape of the images."""
    channels, height, width = images.shape[-3:]
    lead = torch.broadcast_shapes(images.shape[:-3], rows.shape[:-2])
    index = (rows * width + columns).flatten(-2).unsqueeze(-2).expand(*lead, channels, -1)
    flat = images.flatten(-2).expand(*lead, channels, -1)
    return flat.gather(-1, index).unflatten(-1, (height, width))


def _compiled(images: Tensor, fields: Tensor, lead: torch.Size) -> Tensor:
    """Bilinear interpolation by compiled loops; images and fields are not repeated in memory."""
    out = _Warp.apply(
        images.reshape(-1, *images.shape[-3:]),
        fields.reshape(-1, *fields.shape[-3:]),
        _members(images.shape[:-3], lead),
        _members(fields.shape[:-3], lead),
    )
    return out.reshape(*lead, *images.shape[-3:])


def _members(own: torch.Size, lead: torch.Size) -> Tensor:
    """Which of the entries of shape ``own`` each entry of the broadcast shape ``lead`` is."""
    return torch.arange(math.prod(own), device="cpu").reshape(own).expand(lead).reshape(-1)


class _Warp(torch.autograd.Function):
    """Compiled forward pass and first derivatives; where these are to be differentiated in their
    turn, they come from plain torch."""

    @staticmethod
    def forward(images: Tensor, fields: Tensor, image_of: Tensor, field_of: Tensor) -> Tensor:
        from symscape.diffeo import _kernels

        out = images.new_empty(len(image_of), *images.shape[-3:])
        held = (images.detach().contiguous(), fields.detach().contiguous())
        _kernels.forward(*held, image_of, field_of, out)
        return out

    @staticmethod
    def setup_context(context: Any, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        context.save_for_backward(*inputs)

    @staticmethod
    def backward(context: Any, *grad_outputs: Tensor) -> tuple[Tensor | None, ...]:
        images, fields, image_of, field_of = context.saved_tensors
        (grad_out,) = grad_outputs
        if torch.is_grad_enabled():
            pull: Any = torch.func.vjp(
                lambda a, b: bilinear(a[image_of], b[field_of]), images, fields
            )[1]
            return (*pull(grad_out), None, None)
        from symscape.diffeo import _kernels

        held = (images.detach().contiguous(), fields.detach().contiguous())
        to_images, to_fields = _kernels.backward(
            *held, image_of, field_of, grad_out.detach().contiguous()
        )
        return (
            _gathered(to_images, images, image_of),
            _gathered(to_fields, fields, field_of),
            None,
            None,
        )

    @staticmethod
    def vmap(
        info: Any,
        in_dims: tuple[int | None, ...],
        images: Tensor,
        fields: Tensor,
        image_of: Tensor,
        field_of: Tensor,
    ) -> tuple[Tensor, int]:
        """The mapped dimension becomes a part of the batch of images, or of fields."""
        K = info.batch_size

        def folded(entries: Tensor, dim: int | None, member: Tensor) -> tuple[Tensor, Tensor]:
            if dim is None:
                return entries, member.repeat(K)
            entries = entries.movedim(dim, 0)
            shift = entries.shape[1] * torch.arange(K, device="cpu")[:, None]
            return entries.flatten(0, 1), (member + shift).flatten()

        images, all_images_of = folded(images, in_dims[0], image_of)
        fields, all_fields_of = folded(fields, in_dims[1], field_of)
        out = _Warp.apply(images, fields, all_images_of, all_fields_of)
        return out.unflatten(0, (K, len(image_of))), 0


def _gathered(each: Tensor, own: Tensor, member_of: Tensor) -> Tensor:
    """The gradients of the outputs, summed for the entries that several outputs share."""
    if len(each) == len(own):
        return each
    return torch.zeros_like(own).index_add_(0, member_of, each)
