"""Turn scores into labels: metrics, thresholds and the decision itself (numpy only)."""
