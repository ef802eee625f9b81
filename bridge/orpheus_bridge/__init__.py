"""The thin service between a voice assistant and Triton: HTTP in, speech out, into LiveKit rooms or as bytes.

The path of a sentence: `api` checks the request, `voices` says who speaks, `speech` asks Triton and stretches, and the
samples go to an encoder (`audio`) or a room (`rooms`). Seams are Protocols with a fake in the same package:
`speech.Engine`, `voices.store.VoiceStore`, `rooms.sink.RoomSink`.
"""
