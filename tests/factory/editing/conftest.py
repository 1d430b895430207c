"""The tiny text-to-image pipeline that a ControlNet is trained on."""

from tests.factory.text_to_image.conftest import base, base_folder, one_thread  # noqa: F401
