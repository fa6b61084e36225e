//! The options of a reply's OPT record, in their order: client subnet, cookie, NSID, extended error.
use super::cookie::COOKIE_REPLY_BYTES;
use super::ecs::Ecs;
use super::message::{Full, Message};

const OPTION_NSID: u16 = 3;
const OPTION_COOKIE: u16 = 10;
const OPTION_EXTENDED_ERROR: u16 = 15;
const OPT_BYTES: usize = 11; // an OPT without options
const HEAD_BYTES: usize = 4; // code and length

/// An INFO-CODE of RFC 8914 that is sent.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ExtendedError {
    /// Stale Answer.
    Stale = 3,
    /// Not Ready.
    NotReady = 14,
    /// Prohibited.
    Prohibited = 18,
    /// Not Authoritative.
    NotAuthoritative = 20,
}

/// The options of a reply.
#[derive(Clone, Copy, Debug, Default)]
pub struct ReplyOptions<'o> {
    /// The client subnet as asked.
    pub ecs: Option<&'o Ecs>,
    /// Its SCOPE PREFIX-LENGTH in the reply.
    pub scope_bits: u8,
    /// Client and server cookie.
    pub cookie: Option<&'o [u8; COOKIE_REPLY_BYTES]>,
    /// Which server this is; empty: not told.
    pub nsid: &'o [u8],
    /// What the rcode does not tell.
    pub error: Option<ExtendedError>,
}

impl ReplyOptions<'_> {
    /// Octets of an OPT record with these options.
    pub fn opt_bytes(&self) -> usize {
        OPT_BYTES + self.data_bytes()
    }

    /// Octets of the options.
    pub fn data_bytes(&self) -> usize {
        self.ecs.map_or(0, Ecs::option_bytes)
            + self.cookie.map_or(0, |cookie| HEAD_BYTES + cookie.len())
            + if self.nsid.is_empty() { 0 } else { HEAD_BYTES + self.nsid.len() }
            + if self.error.is_some() { HEAD_BYTES + 2 } else { 0 }
    }

    /// Writes them. `query`: where the client subnet stands.
    pub fn write(&self, message: &mut Message<'_>, query: &[u8]) -> Result<(), Full> {
        if let Some(ecs) = self.ecs {
            let (head, address) = ecs.option(query, self.scope_bits);
            message.put(&head)?;
            message.put(address)?;
        }
        if let Some(cookie) = self.cookie {
            put_option(message, OPTION_COOKIE, cookie)?;
        }
        if !self.nsid.is_empty() {
            put_option(message, OPTION_NSID, self.nsid)?;
        }
        if let Some(error) = self.error {
            put_option(message, OPTION_EXTENDED_ERROR, &(error as u16).to_be_bytes())?;
        }
        Ok(())
    }
}

fn put_option(message: &mut Message<'_>, code: u16, data: &[u8]) -> Result<(), Full> {
    message.put_u16(code)?;
    message.put_u16(data.len() as u16)?;
    message.put(data)
}
