"""SavedModels for inference servers."""
