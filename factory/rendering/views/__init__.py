"""How images of a person vary: pose, expression, light, camera, background."""
