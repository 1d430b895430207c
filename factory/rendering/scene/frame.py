"""Where the camera stands before a head, so that the film is the aligned face itself.

A similarity of the image plane (roll, scale and shift) is a roll, a focal length and a principal
point of a perspective camera, so the 112x112 crop that recognizers want is rendered without any
resampling: the head's true five points fall on the ArcFace template as alignment would put them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from factory.rendering.head.head import Head
from factory.rendering.view import Pose, View
from factory.sources.alignment import TEMPLATE_52, similarity_transform


@dataclass(frozen=True)
class Frame:
    """The camera of one image and the turn of the head in the world."""

    rotation_33: np.ndarray
    """From the space of the head to the world, about `middle_3`."""
    middle_3: np.ndarray
    """The middle of the eyes in the space of the head, the origin of the world."""
    distance: float
    """Of the camera from there, centimeters along the world's z axis."""
    matrix_23: np.ndarray
    """From the plane at distance 1 (x right, y down) to pixels."""
    image_px: int

    def to_world(self, points_N3: np.ndarray) -> np.ndarray:
        """Points of the head's space in the world."""
        return np.asarray((points_N3 - self.middle_3) @ self.rotation_33.T)

    def to_head(self, points_N3: np.ndarray) -> np.ndarray:
        """Points of the world in the space of the head."""
        return np.asarray(points_N3 @ self.rotation_33 + self.middle_3)

    def pixels(self, points_N3: np.ndarray) -> np.ndarray:
        """Where points of the head's space lie in the image; pixel centers are whole numbers."""
        plane = _on_plane(self.to_world(points_N3), self.distance)
        return np.asarray(plane @ self.matrix_23[:, :2].T + self.matrix_23[:, 2])


def frame_of(head: Head, view: View, image_px: int, zoom: float = 1.0) -> Frame:
    """The camera that sees a head as `sources.alignment.align` would crop it."""
    rotation, middle = rotation_of(view.pose), head.middle_3
    world = (head.five_53 - middle) @ rotation.T
    template = (56 + zoom * (TEMPLATE_52 - 56)) * (image_px / 112)
    noise = np.asarray(view.landmark_noise).reshape(-1, 2) * (image_px / 112)
    points = _on_plane(world, view.camera.distance)
    matrix = similarity_transform(points, template + noise if len(noise) else template)
    return Frame(rotation, middle, view.camera.distance, matrix, image_px)


def rotation_of(pose: Pose) -> np.ndarray:
    """The turn of a head [3, 3]: pitch, then yaw, then roll, each about an axis of the world."""
    yaw, pitch, roll = np.radians([pose.yaw, -pose.pitch, -pose.roll])
    about_x = [[1, 0, 0], [0, np.cos(pitch), -np.sin(pitch)], [0, np.sin(pitch), np.cos(pitch)]]
    about_y = [[np.cos(yaw), 0, np.sin(yaw)], [0, 1, 0], [-np.sin(yaw), 0, np.cos(yaw)]]
    about_z = [[np.cos(roll), -np.sin(roll), 0], [np.sin(roll), np.cos(roll), 0], [0, 0, 1]]
    return np.asarray(np.array(about_z) @ np.array(about_y) @ np.array(about_x))


def _on_plane(world_N3: np.ndarray, distance: float) -> np.ndarray:
    """Points of the world on the camera's plane at distance 1, x right and y down."""
    depth = distance - world_N3[:, 2:]
    return np.asarray(world_N3[:, :2] * [1, -1] / depth)
