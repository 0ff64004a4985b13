"""The picture on the landing page is what its script draws."""

import base64
import io

import landing
import matplotlib.pyplot as plt

from chapters import comparison


def test_the_picture_is_current():
    drawn = io.BytesIO()
    landing.landing_picture().savefig(drawn, dpi=144)
    plt.close("all")
    stored = landing.PICTURE.read_bytes()
    assert comparison().same_picture(
        *(base64.b64encode(x).decode() for x in (stored, drawn.getvalue()))
    )
