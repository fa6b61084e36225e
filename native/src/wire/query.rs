//! Reads a query: header, question, the records after it, OPT and its options.
use super::cookie::Cookie;
use super::ecs::Ecs;
use super::names::Labels;
use super::{HEADER_BYTES, Rcode, kinds, u16_at};

const FLAG_RESPONSE: u8 = 0x80; // QR, in the third octet
const OPCODE: u8 = 0x78;
const OPCODE_NOTIFY: u8 = 4 << 3; // RFC 1996
const FLAG_DNSSEC_OK: u16 = 0x8000; // DO, in the lower half of an OPT's TTL (RFC 3225)
const OPTION_NSID: u16 = 3; // RFC 5001
const OPTION_CLIENT_SUBNET: u16 = 8;
const OPTION_COOKIE: u16 = 10; // RFC 7873
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
    /// No question, but a cookie (RFC 7873 section 5.4).
    CookieAlone,
    /// A question, which was read.
    Asked,
}

/// Which options are looked at; all others are ignored (RFC 6891 section 6.1.2).
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Reads {
    /// Client subnets, in class IN: some zone steers (ECS-8).
    pub ecs: bool,
    /// Cookies: there is a secret.
    pub cookies: bool,
}

/// Where a question is answered.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Place {
    /// Nowhere: this is the rcode.
    Fault(Rcode),
    /// In the zones.
    #[default]
    Zones,
    /// By whoever transfers zones (RFC 1996).
    Notify,
    /// By the server itself: class CH.
    Chaos,
    /// Nowhere: another class.
    OtherClass,
    /// Nowhere: QTYPE is OPT, which is no data.
    Opt,
    /// Nowhere: IXFR, AXFR, or a NOTIFY of something else than an SOA.
    Prohibited,
}

/// Which option was at fault.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Malformed {
    /// Something else, or nothing.
    #[default]
    Other,
    /// A client subnet (ECS-4 to ECS-6, ECS-21, ECS-22).
    Ecs,
    /// A cookie (RFC 7873 section 5.2.2).
    Cookie,
}

/// A question, what came with it, and what is wrong with it.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Asked {
    /// Where the question ends: it starts at 12.
    pub question_end: u16,
    /// QTYPE.
    pub kind: u16,
    /// Where it is answered.
    pub place: Place,
    /// What of a FORMERR's options is to be counted.
    pub malformed: Malformed,
    /// NSID is asked for.
    pub wants_nsid: bool,
    /// Where the cookie's data stand, and how many octets.
    cookie: Option<(u16, u8)>,
    /// The OPT record, once it was read whole.
    pub edns: Option<Edns>,
    /// The client subnet, well-formed; only where it was to be read.
    pub ecs: Option<Ecs>,
}

impl Asked {
    /// The question's name, without the root's zero octet.
    pub fn name<'p>(&self, packet: &'p [u8]) -> &'p [u8] {
        packet.get(HEADER_BYTES..usize::from(self.question_end).saturating_sub(5)).unwrap_or_default()
    }

    /// Whether a cookie was read.
    pub fn has_cookie(&self) -> bool {
        self.cookie.is_some()
    }

    /// The cookie, if one was read.
    pub fn cookie(&self, packet: &[u8]) -> Option<Cookie> {
        let (start, bytes) = self.cookie?;
        Cookie::read(packet.get(usize::from(start)..)?.get(..usize::from(bytes))?)
    }

    /// DO (RFC 3225).
    pub fn is_dnssec_ok(&self) -> bool {
        self.edns.is_some_and(|edns| edns.dnssec_ok)
    }

    /// A message with no question, of which nothing is known yet.
    fn nothing(&mut self) {
        (self.question_end, self.kind) = (HEADER_BYTES as u16, 0);
        self.forget_options();
        self.edns = None;
    }

    fn forget_options(&mut self) {
        (self.ecs, self.cookie, self.wants_nsid) = (None, None, false);
        self.malformed = Malformed::Other;
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

/// Reads a message into `asked`; `labels` becomes those of the question.
pub fn parse(packet: &[u8], asked: &mut Asked, labels: &mut Labels, reads: Reads) -> Parsed {
    let Some(&[_, _, flags, _, ..]) = packet.first_chunk::<HEADER_BYTES>() else {
        return Parsed::Dropped(Dropped::Short);
    };
    if flags & FLAG_RESPONSE != 0 {
        return Parsed::Dropped(Dropped::Response);
    }
    asked.malformed = Malformed::Other;
    let opcode = flags & OPCODE;
    if opcode != 0 && opcode != OPCODE_NOTIFY {
        return Parsed::Bare(Rcode::NotImp);
    }
    let questions = u16_at(packet, 4).unwrap_or(0);
    if questions == 0 && opcode == 0 && reads.cookies && asks_for_cookie(packet, asked) {
        return Parsed::CookieAlone;
    }
    // RFC 9619: a query has exactly one question.
    let class = if questions == 1 { question(packet, asked, labels) } else { None };
    let Some(class) = class else {
        return Parsed::Bare(Rcode::FormErr);
    };
    let is_notify = opcode == OPCODE_NOTIFY;
    let reads = Reads { ecs: reads.ecs && class == kinds::IN && !is_notify, ..reads };
    asked.place = match fault(packet, asked, is_notify, reads) {
        Some(rcode) => {
            let malformed = asked.malformed;
            asked.forget_options(); // ECS-8, and what was not read whole is not believed
            asked.malformed = malformed;
            Place::Fault(rcode)
        }
        None => place(asked.kind, class, is_notify),
    };
    Parsed::Asked
}

/// Reads the question; returns its class.
fn question(packet: &[u8], asked: &mut Asked, labels: &mut Labels) -> Option<u16> {
    let name_end = labels.read(packet, HEADER_BYTES)?;
    let kind = u16_at(packet, name_end)?;
    let class = u16_at(packet, name_end + 2)?;
    asked.nothing();
    asked.question_end = (name_end + 4) as u16;
    asked.kind = kind;
    Some(class)
}

/// Whether a message without a question asks for a cookie, well-formed, and for nothing else.
#[cold]
fn asks_for_cookie(packet: &[u8], asked: &mut Asked) -> bool {
    asked.nothing();
    let count = |offset| u16_at(packet, offset).unwrap_or(0);
    if count(6) != 0 || count(8) != 0 || records(packet, asked, 0, count(10)).is_none() {
        return false;
    }
    let reads = Reads { ecs: false, cookies: true };
    asked.edns.is_some_and(|edns| {
        edns.version == 0 && options(packet, asked, edns, reads).is_some() && asked.cookie.is_some()
    })
}

/// The rcode of what cannot be read; fills in OPT and its options.
fn fault(packet: &[u8], asked: &mut Asked, is_notify: bool, reads: Reads) -> Option<Rcode> {
    let count = |offset| u16_at(packet, offset).unwrap_or(0);
    let (answers, authorities, additionals) = (count(6), count(8), count(10));
    // A query has neither; but an IXFR has an SOA in its authority section (RFC 1995 section 3).
    let is_plain = answers == 0 && (authorities == 0 || asked.kind == kinds::IXFR);
    let skipped = u32::from(answers) + u32::from(authorities);
    if !(is_plain || is_notify) || records(packet, asked, skipped, additionals).is_none() {
        return Some(Rcode::FormErr);
    }
    let edns = asked.edns?;
    if edns.version != 0 {
        return Some(Rcode::BadVers); // RFC 6891 section 6.1.3
    }
    options(packet, asked, edns, reads).is_none().then_some(Rcode::FormErr)
}

/// Where a question is answered that could be read.
fn place(kind: u16, class: u16, is_notify: bool) -> Place {
    match (class, kind) {
        (kinds::IN, kinds::SOA) if is_notify => Place::Notify,
        _ if is_notify => Place::Prohibited,
        (kinds::CH, kinds::TXT | kinds::ANY) => Place::Chaos,
        (kinds::IN, kinds::OPT) => Place::Opt,
        (kinds::IN, kinds::IXFR | kinds::AXFR) => Place::Prohibited,
        (kinds::IN, _) => Place::Zones,
        _ => Place::OtherClass,
    }
}

/// Goes over the records after the question, to the packet's last octet; keeps the OPT among the last
/// `additionals`. Nothing where they cannot be read.
#[inline(always)] // of every query; the other caller is cold
fn records(packet: &[u8], asked: &mut Asked, skipped: u32, additionals: u16) -> Option<()> {
    let mut offset = usize::from(asked.question_end);
    for index in 0..skipped + u32::from(additionals) {
        let owner = offset;
        offset = skip_owner(packet, offset)?;
        let fixed = packet.get(offset..).and_then(<[u8]>::first_chunk::<10>)?;
        let kind = u16::from_be_bytes([fixed[0], fixed[1]]);
        let is_opt = kind == kinds::OPT && index >= skipped;
        if is_opt && (offset != owner + 1 || asked.edns.is_some()) {
            return None; // RFC 6891 section 6.1.1, ECS-22
        }
        let start = offset + fixed.len();
        offset = start + usize::from(u16::from_be_bytes([fixed[8], fixed[9]]));
        if offset > packet.len() {
            return None;
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
    (offset == packet.len()).then_some(())
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

/// Walks the options, in order: the first fault decides, and is nothing.
#[inline(always)] // as above
fn options(packet: &[u8], asked: &mut Asked, edns: Edns, reads: Reads) -> Option<()> {
    let mut rest = packet.get(usize::from(edns.options_start)..usize::from(edns.options_end))?;
    while !rest.is_empty() {
        let (&[code_high, code_low, length_high, length_low], after) = rest.split_first_chunk()?;
        let length = usize::from(u16::from_be_bytes([length_high, length_low]));
        let data = after.get(..length)?;
        let offset = (usize::from(edns.options_end) - after.len()) as u16;
        match u16::from_be_bytes([code_high, code_low]) {
            OPTION_CLIENT_SUBNET if reads.ecs => match Ecs::read(data, offset) {
                Some(ecs) if asked.ecs.is_none() => asked.ecs = Some(ecs),
                _ => {
                    asked.malformed = Malformed::Ecs;
                    return None;
                }
            },
            OPTION_COOKIE if reads.cookies && asked.cookie.is_none() => {
                if Cookie::read(data).is_none() {
                    asked.malformed = Malformed::Cookie;
                    return None;
                }
                asked.cookie = Some((offset, length as u8));
            }
            OPTION_NSID => asked.wants_nsid = true,
            _ => {}
        }
        rest = &after[length..];
    }
    Some(())
}
