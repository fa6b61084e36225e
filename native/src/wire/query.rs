//! Reads a query: header, question, the records after it, OPT and its options.
use super::ecs::Ecs;
use super::names::Labels;
use super::{HEADER_BYTES, Rcode, kinds, u16_at};

const FLAG_RESPONSE: u8 = 0x80; // QR, in the third octet
const OPCODE: u8 = 0x78;
const FLAG_DNSSEC_OK: u16 = 0x8000; // DO, in the lower half of an OPT's TTL (RFC 3225)
const OPTION_CLIENT_SUBNET: u16 = 8;
const POINTER: u8 = 0xc0;
const MAX_LABEL_BYTES: u8 = 63;

/// Why a message gets no reply.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Dropped {
    /// Fewer than 12 octets.
    Short,
    /// QR = 1.
    Response,
}

/// What a message turned out to be.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Parsed {
    /// Not answered.
    Dropped(Dropped),
    /// Answered with 12 octets: no question could be read.
    Bare(Rcode),
    /// A question, which was read.
    Asked,
}

/// A question, what came with it, and what is wrong with it.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Asked {
    /// Where the question ends: it starts at 12.
    pub question_end: u16,
    /// QTYPE.
    pub kind: u16,
    /// The OPT record, once it was read whole.
    pub edns: Option<Edns>,
    /// The client subnet, well-formed; only where it was to be read.
    pub ecs: Option<Ecs>,
    /// The rcode without looking at any zone.
    pub verdict: Option<Rcode>,
    /// The verdict is FORMERR because of a client subnet (ECS-4 to ECS-6, ECS-22).
    pub ecs_malformed: bool,
}

impl Asked {
    /// The question's name, without the root's zero octet.
    pub fn name<'p>(&self, packet: &'p [u8]) -> &'p [u8] {
        packet.get(HEADER_BYTES..usize::from(self.question_end).saturating_sub(5)).unwrap_or_default()
    }
}

/// An OPT record.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Edns {
    /// The requestor's UDP payload size, as asked.
    pub udp_bytes: u16,
    /// DO.
    pub dnssec_ok: bool,
    version: u8,
    options_start: u16,
    options_end: u16,
}

/// A record that could not be read.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Malformed;

/// Reads a message into `asked`; `labels` becomes those of the question. `reads_ecs`: some zone steers
/// (ECS-8).
pub fn parse(packet: &[u8], asked: &mut Asked, labels: &mut Labels, reads_ecs: bool) -> Parsed {
    let Some(&[_, _, flags, _, ..]) = packet.first_chunk::<HEADER_BYTES>() else {
        return Parsed::Dropped(Dropped::Short);
    };
    if flags & FLAG_RESPONSE != 0 {
        return Parsed::Dropped(Dropped::Response);
    }
    if flags & OPCODE != 0 {
        return Parsed::Bare(Rcode::NotImp);
    }
    // RFC 9619: a query has exactly one question.
    let class = if u16_at(packet, 4) == Some(1) { question(packet, asked, labels) } else { None };
    let Some(class) = class else {
        return Parsed::Bare(Rcode::FormErr);
    };
    asked.verdict = verdict(packet, asked, class, reads_ecs);
    if asked.verdict == Some(Rcode::FormErr) || asked.verdict == Some(Rcode::BadVers) {
        asked.ecs = None; // ECS-8
    }
    Parsed::Asked
}

/// Reads the question; returns its class.
fn question(packet: &[u8], asked: &mut Asked, labels: &mut Labels) -> Option<u16> {
    let name_end = labels.read(packet, HEADER_BYTES)?;
    let kind = u16_at(packet, name_end)?;
    let class = u16_at(packet, name_end + 2)?;
    asked.question_end = (name_end + 4) as u16;
    asked.kind = kind;
    (asked.edns, asked.ecs, asked.ecs_malformed) = (None, None, false);
    Some(class)
}

/// The rcode that no zone has a say in; fills in OPT and ECS.
fn verdict(packet: &[u8], asked: &mut Asked, class: u16, reads_ecs: bool) -> Option<Rcode> {
    let count = |offset| u16_at(packet, offset).unwrap_or(0);
    let (answers, authorities, additionals) = (count(6), count(8), count(10));
    // RFC 1995 section 3: an IXFR has an SOA in its authority section.
    if answers != 0 || (authorities != 0 && asked.kind != kinds::IXFR) {
        return Some(Rcode::FormErr);
    }
    if records(packet, asked, authorities, additionals).is_err() {
        return Some(Rcode::FormErr);
    }
    if let Some(edns) = asked.edns {
        if edns.version != 0 {
            return Some(Rcode::BadVers); // RFC 6891 section 6.1.3
        }
        if options(packet, asked, edns, reads_ecs && class == kinds::IN).is_err() {
            return Some(Rcode::FormErr);
        }
    }
    match asked.kind {
        _ if class != kinds::IN => Some(Rcode::Refused),
        kinds::OPT => Some(Rcode::FormErr),
        kinds::IXFR | kinds::AXFR => Some(Rcode::Refused),
        _ => None,
    }
}

/// Skips the records after the question, to the packet's last octet; keeps the OPT.
fn records(packet: &[u8], asked: &mut Asked, authorities: u16, additionals: u16) -> Result<(), Malformed> {
    let mut offset = usize::from(asked.question_end);
    for index in 0..u32::from(authorities) + u32::from(additionals) {
        let owner = offset;
        offset = skip_owner(packet, offset).ok_or(Malformed)?;
        let fixed = packet.get(offset..).and_then(<[u8]>::first_chunk::<10>).ok_or(Malformed)?;
        let kind = u16::from_be_bytes([fixed[0], fixed[1]]);
        let is_opt = kind == kinds::OPT && index >= u32::from(authorities);
        if is_opt && (offset != owner + 1 || asked.edns.is_some()) {
            return Err(Malformed); // RFC 6891 section 6.1.1, ECS-22
        }
        let start = offset + fixed.len();
        offset = start + usize::from(u16::from_be_bytes([fixed[8], fixed[9]]));
        if offset > packet.len() {
            return Err(Malformed);
        }
        if is_opt {
            asked.edns = Some(Edns {
                udp_bytes: u16::from_be_bytes([fixed[2], fixed[3]]),
                version: fixed[5],
                dnssec_ok: u16::from_be_bytes([fixed[6], fixed[7]]) & FLAG_DNSSEC_OK != 0,
                options_start: start as u16,
                options_end: offset as u16,
            });
        }
    }
    if offset == packet.len() { Ok(()) } else { Err(Malformed) }
}

/// Where an owner name ends: at a zero octet, or after a pointer, which is not followed.
fn skip_owner(packet: &[u8], mut offset: usize) -> Option<usize> {
    loop {
        let length = *packet.get(offset)?;
        offset += 1;
        match length {
            0 => return Some(offset),
            1..=MAX_LABEL_BYTES => offset += usize::from(length),
            POINTER.. => return Some(offset + 1),
            _ => return None,
        }
    }
}

/// Walks the options, in order: the first fault decides. Unknown ones are ignored (RFC 6891 section 6.1.2).
fn options(packet: &[u8], asked: &mut Asked, edns: Edns, reads_ecs: bool) -> Result<(), Malformed> {
    let mut rest =
        packet.get(usize::from(edns.options_start)..usize::from(edns.options_end)).ok_or(Malformed)?;
    while !rest.is_empty() {
        let (&[code_high, code_low, length_high, length_low], after) =
            rest.split_first_chunk().ok_or(Malformed)?;
        let length = usize::from(u16::from_be_bytes([length_high, length_low]));
        let data = after.get(..length).ok_or(Malformed)?;
        if reads_ecs && u16::from_be_bytes([code_high, code_low]) == OPTION_CLIENT_SUBNET {
            let offset = usize::from(edns.options_end) - after.len();
            match Ecs::read(data, offset as u16) {
                Some(ecs) if asked.ecs.is_none() => asked.ecs = Some(ecs),
                _ => {
                    asked.ecs_malformed = true; // ECS-4 to ECS-6, ECS-22: only one
                    return Err(Malformed);
                }
            }
        }
        rest = &after[length..];
    }
    Ok(())
}
