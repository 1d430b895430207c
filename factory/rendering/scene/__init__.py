"""Parts as a scene of Mitsuba, and the scene as light."""
