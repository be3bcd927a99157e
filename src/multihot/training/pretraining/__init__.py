"""Runs of masked-language-model and next-sentence pretraining."""
