"""Colour profiles that files carry: colours of another space than sRGB become sRGB, and the profile is gone.

So the same colours are the same numbers whatever the file says about itself. A profile that is sRGB's, by the colours
that it makes, changes nothing: programs write sRGB in many wordings.
"""

import io

import numpy as np
from PIL import Image, ImageCms

MOST_BYTES = 2**22
"""Larger profiles are passed over: those of printers have half a megabyte."""
_NEAR = 2  # levels of 255 that a profile may move a colour by and still be sRGB
_STEPS = 6  # levels of each channel that are tried


def to_srgb(picture: Image.Image, profile: bytes | None, notes: list[str]) -> Image.Image:
    """A picture of mode "RGB", or "CMYK", with its embedded profile applied, in sRGB.

    An "RGB" picture is changed in its place, where it must be. Without a profile, with one that is sRGB's, is damaged
    or of another kind of colours, the picture comes back as it is; `notes` says what was done.
    """
    if not profile or len(profile) > MOST_BYTES or picture.mode not in ("RGB", "CMYK"):
        return picture
    try:
        given = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        kind = given.profile.xcolor_space.strip()
        name = " ".join((given.profile.profile_description or "").split())[:60] or "unnamed"
        if kind == picture.mode:
            return _coloured(picture, given, name, notes)
        if kind == "GRAY" and picture.mode == "RGB":
            return _grey(picture, given, name, notes)
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError, AttributeError):
        notes.append("Its colour profile cannot be used; it was ignored.")
    return picture


def _transform(given: ImageCms.ImageCmsProfile, mode: str) -> ImageCms.ImageCmsTransform:
    intent = ImageCms.Intent.PERCEPTUAL if mode == "CMYK" else ImageCms.Intent.RELATIVE_COLORIMETRIC
    return ImageCms.buildTransform(given, ImageCms.createProfile("sRGB"), mode, "RGB", intent)


def _coloured(picture: Image.Image, given: ImageCms.ImageCmsProfile, name: str, notes: list[str]) -> Image.Image:
    transform = _transform(given, picture.mode)
    if picture.mode == "CMYK":
        notes.append(f"Its CMYK colours were converted to sRGB by its colour profile ({name}).")
        return ImageCms.applyTransform(picture, transform)  # type: ignore[return-value]
    levels = np.linspace(0, 255, _STEPS).round().astype(np.uint8)
    tried = Image.fromarray(np.stack(np.meshgrid(levels, levels, levels), axis=-1).reshape(1, -1, 3))
    moved = np.asarray(ImageCms.applyTransform(tried, transform)).astype(int) - np.asarray(tried)
    if np.abs(moved).max() > _NEAR:
        ImageCms.applyTransform(picture, transform, inPlace=True)
        notes.append(f"Its colours were converted from its colour profile ({name}) to sRGB.")
    return picture


def _grey(picture: Image.Image, given: ImageCms.ImageCmsProfile, name: str, notes: list[str]) -> Image.Image:
    ramp = Image.fromarray(np.arange(256, dtype=np.uint8)[None])
    levels = np.asarray(ImageCms.applyTransform(ramp, _transform(given, "L")))[0, :, 1].astype(int)
    if np.abs(levels - np.arange(256)).max() <= _NEAR:
        return picture
    notes.append(f"Its grey levels were converted from its colour profile ({name}) to sRGB.")
    return picture.point([int(level) for level in levels] * 3)
