"""What every training shares: ranks, engine, sample order, moving average, resumable state."""
