//! steer's native engine: the Python face of the packet loop, and the only file that names pyo3.

/// The module `steer.dataplane._native`.
#[cfg(feature = "python")]
#[pyo3::pymodule]
mod _native {}
