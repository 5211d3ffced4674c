"""Evidence as numbers: intervals, betting, clusters. numpy and scipy alone."""
