"""Who is who: networks that turn a face into a unit vector, and how they are trained."""
