//! System calls: sockets, threads, the map's file. The only module with `unsafe`.
#![allow(unsafe_code)]
mod mapped;

pub use mapped::MappedFile;
