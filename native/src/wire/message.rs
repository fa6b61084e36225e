//! Writes a reply into a buffer, within a limit.
use super::query::Edns;
use super::reply_options::ReplyOptions;
use super::{HEADER_BYTES, Rcode, kinds};

const FLAG_RESPONSE: u8 = 0x80;
const FLAG_AUTHORITATIVE: u8 = 0x04;
const FLAG_TRUNCATED: u8 = 0x02;
const KEPT_FLAGS: u8 = 0x79; // opcode and RD
const FLAG_CHECKING_DISABLED: u8 = 0x10; // in the fourth octet; copied too (RFC 4035 section 3.1.6)
const QUESTION_POINTER: [u8; 2] = [0xc0, HEADER_BYTES as u8];

/// What was to be written does not fit.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Full;

/// A section that records are written to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Section {
    /// The answer section.
    Answer = 0,
    /// The authority section.
    Authority = 1,
    /// The additional section, but for OPT.
    Additional = 2,
}

/// A reply in the making.
#[derive(Debug)]
pub struct Message<'b> {
    buffer: &'b mut [u8],
    length: usize,
    limit: usize,
    opt_bytes: usize,
    question_end: usize,
    counts: [u16; 3],
}

/// A place to go back to.
#[derive(Clone, Copy, Debug)]
pub struct Mark(usize, [u16; 3]);

impl<'b> Message<'b> {
    /// Starts a reply that carries the question of `query`, which ends at `question_end`. `limit`: octets of
    /// the whole message, `opt_bytes` of which are set aside for the OPT. The buffer holds at least 512 octets.
    pub fn reply(
        buffer: &'b mut [u8],
        query: &[u8],
        question_end: u16,
        limit: usize,
        opt_bytes: usize,
    ) -> Self {
        let question_end = usize::from(question_end);
        if let (Some(to), Some(from)) = (buffer.get_mut(..question_end), query.get(..question_end)) {
            to.copy_from_slice(from);
        }
        let limit = limit.min(buffer.len()).saturating_sub(opt_bytes);
        Self { buffer, length: question_end, limit, opt_bytes, question_end, counts: [0; 3] }
    }

    /// Octets written so far.
    pub fn length(&self) -> usize {
        self.length
    }

    /// Writes octets.
    pub fn put(&mut self, octets: &[u8]) -> Result<(), Full> {
        let end = self.length + octets.len();
        if end > self.limit {
            return Err(Full);
        }
        self.buffer.get_mut(self.length..end).ok_or(Full)?.copy_from_slice(octets);
        self.length = end;
        Ok(())
    }

    /// Writes a number.
    pub fn put_u16(&mut self, number: u16) -> Result<(), Full> {
        self.put(&number.to_be_bytes())
    }

    /// Writes an owner that stands for the question.
    pub fn put_question_pointer(&mut self) -> Result<(), Full> {
        self.put(&QUESTION_POINTER)
    }

    /// Writes type, class IN and TTL of a record.
    pub fn put_type_and_ttl(&mut self, kind: u16, ttl_s: u32) -> Result<(), Full> {
        self.put_head(kind, kinds::IN, ttl_s)
    }

    /// Writes type, class and TTL of a record.
    pub fn put_head(&mut self, kind: u16, class: u16, ttl_s: u32) -> Result<(), Full> {
        let ([a, b], [c, d], [e, f, g, h]) = (kind.to_be_bytes(), class.to_be_bytes(), ttl_s.to_be_bytes());
        self.put(&[a, b, c, d, e, f, g, h])
    }

    /// Writes RDLENGTH and whatever `write` writes.
    pub fn put_rdata(&mut self, write: impl FnOnce(&mut Self) -> Result<(), Full>) -> Result<(), Full> {
        let start = self.length;
        self.put_u16(0)?;
        write(self)?;
        let rdata_bytes = self.length - start - 2;
        self.buffer[start..start + 2].copy_from_slice(&(rdata_bytes as u16).to_be_bytes());
        Ok(())
    }

    /// Writes address records of the answer, whose owner stands for the question; `addresses`: `size` octets
    /// each.
    pub fn put_addresses(
        &mut self,
        kind: u16,
        ttl_s: u32,
        addresses: &[u8],
        size: usize,
    ) -> Result<(), Full> {
        addresses.chunks_exact(size).try_for_each(|address| self.put_answer(kind, ttl_s, address))
    }

    /// Writes a record of the answer whose owner stands for the question.
    #[inline(always)]
    pub fn put_answer(&mut self, kind: u16, ttl_s: u32, rdata: &[u8]) -> Result<(), Full> {
        let ([a, b], [c, d, e, f]) = (kind.to_be_bytes(), ttl_s.to_be_bytes());
        let ([g, h], [i, j]) = (QUESTION_POINTER, (rdata.len() as u16).to_be_bytes());
        self.put(&[g, h, a, b, 0, kinds::IN as u8, c, d, e, f, i, j])?;
        self.put(rdata)?;
        self.count(Section::Answer, 1);
        Ok(())
    }

    /// Counts records that were written.
    pub fn count(&mut self, section: Section, records: u16) {
        self.counts[section as usize] += records;
    }

    /// Where the message stands now.
    pub fn mark(&self) -> Mark {
        Mark(self.length, self.counts)
    }

    /// Forgets what was written since.
    pub fn go_back(&mut self, mark: Mark) {
        (self.length, self.counts) = (mark.0, mark.1);
    }

    /// Empties all sections but the question's.
    pub fn empty(&mut self) {
        (self.length, self.counts) = (self.question_end, [0; 3]);
    }

    /// Writes OPT and header; returns the octets of the message. `edns`: the query's OPT. `offered_udp_bytes`:
    /// the size in the reply's.
    pub fn finish(
        &mut self,
        query: &[u8],
        edns: Option<Edns>,
        options: &ReplyOptions<'_>,
        outcome: Outcome,
        offered_udp_bytes: u16,
    ) -> usize {
        self.limit = self.buffer.len();
        if let Some(edns) = edns {
            let written = self.put_opt(query, edns, options, outcome.rcode, offered_udp_bytes);
            debug_assert!(written.is_ok(), "the OPT's space was set aside");
            self.count(Section::Additional, 1);
        }
        let flags = FLAG_RESPONSE
            | if outcome.is_authoritative { FLAG_AUTHORITATIVE } else { 0 }
            | if outcome.is_truncated { FLAG_TRUNCATED } else { 0 };
        self.buffer[2] = self.buffer[2] & KEPT_FLAGS | flags;
        self.buffer[3] = self.buffer[3] & FLAG_CHECKING_DISABLED | outcome.rcode as u8 & 0x0f;
        let [answers, authorities, additionals] = self.counts.map(u16::to_be_bytes);
        self.buffer[6..8].copy_from_slice(&answers);
        self.buffer[8..10].copy_from_slice(&authorities);
        self.buffer[10..12].copy_from_slice(&additionals);
        self.length
    }

    fn put_opt(
        &mut self,
        query: &[u8],
        edns: Edns,
        options: &ReplyOptions<'_>,
        rcode: Rcode,
        offered_udp_bytes: u16,
    ) -> Result<(), Full> {
        let [size_high, size_low] = offered_udp_bytes.to_be_bytes();
        let dnssec_ok = if edns.dnssec_ok { 0x80 } else { 0 }; // RFC 3225
        let head = [0, 0, kinds::OPT as u8, size_high, size_low, rcode as u8 >> 4, 0, dnssec_ok, 0];
        options.write(self, query, head, self.opt_bytes)
    }
}

/// What the header says of an answer.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Outcome {
    /// The response code.
    pub rcode: Rcode,
    /// AA.
    pub is_authoritative: bool,
    /// TC.
    pub is_truncated: bool,
}

/// Writes the 12 octets of a reply to a query whose question could not be read.
pub fn bare_reply(buffer: &mut [u8], query: &[u8], rcode: Rcode) -> usize {
    let (Some(to), Some(from)) =
        (buffer.first_chunk_mut::<HEADER_BYTES>(), query.first_chunk::<HEADER_BYTES>())
    else {
        return 0;
    };
    let flags = [from[2] & KEPT_FLAGS | FLAG_RESPONSE, from[3] & FLAG_CHECKING_DISABLED | rcode as u8];
    *to = [from[0], from[1], flags[0], flags[1], 0, 0, 0, 0, 0, 0, 0, 0];
    HEADER_BYTES
}
