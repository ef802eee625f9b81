"""The recipe of the demo voice: corpus, codec, language model, export, evaluation. See README.md."""
