//! System calls: sockets, threads, the map's file. The only module with `unsafe`.
#![allow(unsafe_code)]
mod bind;
mod connection;
mod datagrams;
mod engine;
mod loaded_file;
mod order;
mod tcp;
#[cfg(test)]
mod tests;
mod udp;

pub use bind::BindError;
pub use engine::Engine;
pub use loaded_file::LoadedFile;
pub use tcp::TcpSettings;
