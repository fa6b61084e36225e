//! What goes over the wire: reading queries, writing replies. Knows RFCs, not tables: names are numbers of a
//! tree that the caller walks. Errors on hostile input are small values; nothing here allocates.
mod chaos;
mod cookie;
mod ecs;
mod message;
mod names;
mod query;
mod reply_options;
#[cfg(test)]
mod tests;

pub use chaos::ServerText;
pub use cookie::{COOKIE_REPLY_BYTES, Cookie, Judged, SECRET_BYTES};
pub use ecs::{ClientAddress, Ecs, TRANSLATED_BITS, read_source};
pub use message::{Full, Message, Outcome, Section, bare_reply};
pub use names::{Compressor, Labels, NameTree};
pub use query::{Asked, Dropped, Edns, Malformed, Parsed, Place, Reads, parse};
pub use reply_options::{ExtendedError, ReplyOptions};

/// Octets of a message's header.
pub const HEADER_BYTES: usize = 12;
/// Octets of the largest message over TCP.
pub const MAX_MESSAGE_BYTES: usize = 65_535;
/// Octets of a UDP response when the query has no OPT (RFC 1035 section 4.2.1).
pub const PLAIN_UDP_BYTES: u16 = 512;

/// A response code; those above 15 need an OPT record for their upper bits (RFC 6891 section 6.1.3).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Rcode {
    /// RFC 1035.
    NoError = 0,
    /// RFC 1035: the query could not be read.
    FormErr = 1,
    /// RFC 1035: the server has no data.
    ServFail = 2,
    /// RFC 1035: the name does not exist.
    NxDomain = 3,
    /// RFC 1035: an opcode other than QUERY.
    NotImp = 4,
    /// RFC 1035: not for this server to answer.
    Refused = 5,
    /// RFC 6891 section 6.1.3: EDNS of a version above 0.
    BadVers = 16,
}

/// Types and classes that the engine treats by their meaning.
pub mod kinds {
    /// RFC 1035.
    pub const A: u16 = 1;
    /// RFC 1035.
    pub const NS: u16 = 2;
    /// RFC 1035.
    pub const CNAME: u16 = 5;
    /// RFC 1035.
    pub const SOA: u16 = 6;
    /// RFC 1035.
    pub const HINFO: u16 = 13;
    /// RFC 1035.
    pub const TXT: u16 = 16;
    /// RFC 3596.
    pub const AAAA: u16 = 28;
    /// RFC 6891.
    pub const OPT: u16 = 41;
    /// RFC 4034.
    pub const DS: u16 = 43;
    /// RFC 4034.
    pub const RRSIG: u16 = 46;
    /// RFC 4034.
    pub const NSEC: u16 = 47;
    /// RFC 1995.
    pub const IXFR: u16 = 251;
    /// RFC 5936.
    pub const AXFR: u16 = 252;
    /// RFC 8482.
    pub const ANY: u16 = 255;
    /// The class of the Internet.
    pub const IN: u16 = 1;
    /// The class of questions about the server itself.
    pub const CH: u16 = 3;
}

/// Two octets in network order at `offset`, if they are inside.
fn u16_at(bytes: &[u8], offset: usize) -> Option<u16> {
    bytes.get(offset..)?.first_chunk().map(|&octets| u16::from_be_bytes(octets))
}
