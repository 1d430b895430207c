"""What a GPU gives: agreement with the CPU, speed, memory, trainings; see __main__.py."""
