"""What is worn on head and body, or held before the face."""
