"""Makes the WebP files in webp/ and what PIL decodes them to, as PNG.

    pip install pillow==13.0.0
    python make_webp.py

Writes
  webp/lossy.webp, lossy_alpha.webp, lossless.webp, lossless_alpha.webp, each with a .png of the same pixels, transparent ones too
  webp/exif.webp                lossy.webp with the EXIF orientation 6
  webp/animated.webp            two frames
"""

import os
from PIL import Image

here = os.path.dirname(os.path.abspath(__file__))
out = os.path.join(here, "webp")
os.makedirs(out, exist_ok=True)
photo = Image.open(os.path.join(here, "images", "photo.jpg")).convert("RGB").resize((37, 22), Image.Resampling.BICUBIC)
faded = photo.copy()
faded.putalpha(
    Image.linear_gradient("L").resize(photo.size)
)  # 0 at the top: colours that nobody sees are kept where `exact` says so


def write(name, picture, **options):
    path = os.path.join(out, name + ".webp")
    picture.save(path, method=6, exact=True, **options)
    with Image.open(path) as decoded:
        decoded.save(os.path.join(out, name + ".png"), optimize=True)


write("lossy", photo, quality=60)
write("lossy_alpha", faded, quality=60)
write("lossless", photo.quantize(16).convert("RGB"), lossless=True)
write("lossless_alpha", faded, lossless=True)
exif = Image.Exif()
exif[0x0112] = 6
photo.save(os.path.join(out, "exif.webp"), method=6, exact=True, quality=60, exif=exif)
frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
frames[0].save(os.path.join(out, "animated.webp"), save_all=True, append_images=frames[1:], duration=100)
