"""The facts of Orpheus's token stream and of SNAC's 24 kHz audio, each stated once.

Orpheus writes speech as text tokens `<custom_token_N>`. N below 10 are controls, N from 10 on are audio codes:
`N = 10 + slot * 4096 + code`, seven slots to a frame (Orpheus pretraining script, `add_tokens` for N = 0..28682).
"""

SAMPLE_RATE_HZ = 24_000
"""SNAC 24 kHz (`hubertsiuzdak/snac_24khz`), mono."""

SAMPLES_PER_FRAME = 2048
"""One frame of the coarsest codebook: 8·8·4·2 (decoder strides) times 4 (coarsest quantiser stride)."""

TOKENS_PER_FRAME = 7
"""Codes of one frame: 1 + 2 + 4 over SNAC's three codebooks."""

CODES_PER_SLOT = 4096
"""Size of each SNAC codebook; code 0 is an ordinary code."""

FIRST_CODE_TOKEN = 10
"""N of slot 0, code 0."""

CODE_TOKEN_COUNT = TOKENS_PER_FRAME * CODES_PER_SLOT
"""Audio tokens: N = 10 .. 28681."""

SLOT_CODEBOOK = (0, 1, 2, 2, 1, 2, 2)
"""Codebook (0 coarse .. 2 fine) of each slot of a frame, in time order within a codebook."""

START_OF_SPEECH = "<custom_token_1>"
END_OF_SPEECH = "<custom_token_2>"
START_OF_HUMAN = "<custom_token_3>"
END_OF_HUMAN = "<custom_token_4>"
START_OF_AI = "<custom_token_5>"
END_OF_AI = "<custom_token_6>"
PAD = "<custom_token_7>"
BEGIN_OF_TEXT = "<|begin_of_text|>"
END_OF_TURN = "<|eot_id|>"

FRAMES_PER_SECOND = SAMPLE_RATE_HZ / SAMPLES_PER_FRAME
"""11.72; real time is 82.03 tokens a second."""

SNAC_RECEPTIVE_FIELD_SAMPLES = 4757
"""Reach of SNAC's decoder to each side of a frame (layer arithmetic, confirmed by measurement on the architecture)."""

DECODER_BUCKET_FRAMES = (8, 16, 32, 64)
"""Lengths that a decoder is asked for: Triton batches only requests of equal shape, so there are few."""
