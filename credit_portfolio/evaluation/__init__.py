"""The analyst's view of good and bad returns: intervals, the evaluation matrix, targets."""
