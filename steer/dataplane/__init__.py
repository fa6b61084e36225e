"""The engine in its two forms, native (Rust) and reference (Python): start, stop and swap a snapshot.
Imports level 0, `steer.publish.format` and `steer.telemetry.counters`, nothing else of steer."""
