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
        OPT_BYTES + self.ecs.map_or(0, Ecs::option_bytes) + self.rest_bytes()
    }

    /// Writes an OPT record of `opt_bytes`, whose first nine octets are given: all before RDLENGTH. `query`:
    /// where the client subnet stands.
    pub(super) fn write(
        &self,
        message: &mut Message<'_>,
        query: &[u8],
        [a, b, c, d, e, f, g, h, i]: [u8; 9],
        opt_bytes: usize,
    ) -> Result<(), Full> {
        let [j, k] = ((opt_bytes - OPT_BYTES) as u16).to_be_bytes();
        match self.ecs {
            Some(ecs) => {
                let ([l, m, n, o, p, q, r, s], address) = ecs.option(query, self.scope_bits);
                message.put(&[a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, q, r, s])?;
                message.put(address)?;
            }
            None => message.put(&[a, b, c, d, e, f, g, h, i, j, k])?,
        }
        if self.has_more() { self.write_more(message) } else { Ok(()) }
    }

    /// Whether there is more than a client subnet.
    fn has_more(&self) -> bool {
        self.cookie.is_some() || !self.nsid.is_empty() || self.error.is_some()
    }

    fn rest_bytes(&self) -> usize {
        if !self.has_more() {
            return 0;
        }
        self.cookie.map_or(0, |cookie| HEAD_BYTES + cookie.len())
            + if self.nsid.is_empty() { 0 } else { HEAD_BYTES + self.nsid.len() }
            + if self.error.is_some() { HEAD_BYTES + 2 } else { 0 }
    }

    #[inline(never)]
    fn write_more(&self, message: &mut Message<'_>) -> Result<(), Full> {
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
    let ([a, b], [c, d]) = (code.to_be_bytes(), (data.len() as u16).to_be_bytes());
    message.put(&[a, b, c, d])?;
    message.put(data)
}
