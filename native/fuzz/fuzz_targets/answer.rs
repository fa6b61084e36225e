//! Claims: whatever comes, the reply is nothing or one whole DNS message to it, within its limit.
//!
//! Input: an octet (bit 0: over TCP, bit 1: from IPv6), 16 octets of source address, the packet. With bit 2,
//! the packet's start is made of three octets (which name, type, how many further records), so that the
//! fuzzer need not guess names.
#![no_main]
use std::sync::LazyLock;

use _native::answer::{Answerer, Context, Counters, Notified, Now, Request};
use _native::snapshot::Snapshot;
use _native::snapshot::builder::small_world;
use libfuzzer_sys::fuzz_target;

const REPLY_BYTES: usize = 65_535;
const HEADER_BYTES: usize = 12;
const UDP_BYTES: usize = 1232; // of the small world

const NAMES: &[&str] = &[
    "",
    "example",
    "cdn.example",
    "www.cdn.example",
    "x.st.cdn.example",
    "img.cdn.example",
    "forced.cdn.example",
    "sub.cdn.example",
    "www.sub.cdn.example",
    "missing.cdn.example",
    "many.cdn.example",
    "text.cdn.example",
    "ent.cdn.example",
    "q.wild.cdn.example",
    "q.cwild.cdn.example",
    "alias.cdn.example",
    "plain.cdn.example",
    "loop.cdn.example",
    "out.cdn.example",
    "nowhere.cdn.example",
    "tocut.cdn.example",
    "host.cut.cdn.example",
];

static SNAPSHOT: LazyLock<Snapshot> = LazyLock::new(|| small_world().load().expect("the world is proved"));
static COUNTERS: LazyLock<Counters> = LazyLock::new(Counters::default);
static NOTIFIED: LazyLock<Notified> = LazyLock::new(Notified::default);

fuzz_target!(|input: &[u8]| {
    let Some((&[flags, ref address @ ..], packet)) = input.split_first_chunk::<17>() else { return };
    let (is_tcp, is_ipv6) = (flags & 1 != 0, flags & 2 != 0);
    let mapped =
        0xffff_0000_0000 | u128::from(u32::from_be_bytes([address[0], address[1], address[2], address[3]]));
    let source = if is_ipv6 { u128::from_be_bytes(*address) } else { mapped };
    let (mut buffer, mut length) = (vec![0xaa; REPLY_BYTES], [0]);
    let made = if flags & 4 != 0 { with_question(packet) } else { None };
    let packet = made.as_deref().unwrap_or(packet);
    let request = Request { packet, source, is_tcp };
    let context = Context {
        view: SNAPSHOT.view(),
        counters: &COUNTERS,
        limiter: None,
        notified: &NOTIFIED,
        now: Now::default(),
    };
    Answerer::default().answer(&context, &[request], &mut buffer, REPLY_BYTES, &mut length);
    check(packet, &buffer[..length[0]], is_tcp);
});

/// A query for one of the names, and the rest of the input after it.
fn with_question(input: &[u8]) -> Option<Vec<u8>> {
    let (&[name, kind, additionals], rest) = input.split_first_chunk()?;
    let mut packet = vec![0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, additionals % 3];
    for label in NAMES[usize::from(name) % NAMES.len()].split('.').filter(|label| !label.is_empty()) {
        packet.push(label.len() as u8);
        packet.extend_from_slice(label.as_bytes());
    }
    packet.extend_from_slice(&[0, 0, kind, 0, 1]);
    packet.extend_from_slice(rest);
    Some(packet)
}

fn check(query: &[u8], reply: &[u8], is_tcp: bool) {
    if query.len() < HEADER_BYTES || query[2] & 0x80 != 0 {
        assert!(reply.is_empty(), "no query, so no reply");
        return;
    }
    assert!(reply.len() >= HEADER_BYTES && reply.len() <= if is_tcp { REPLY_BYTES } else { UDP_BYTES });
    assert_eq!(reply[..2], query[..2], "ID");
    assert_eq!(reply[2] & 0xf9, query[2] & 0x79 | 0x80, "QR is set, opcode and RD are copied");
    assert_eq!(reply[3] & 0xf0, 0, "RA, Z, AD and CD are 0");
    let [questions, answers, authorities, additionals] = [4, 6, 8, 10].map(|at| u16_at(reply, at));
    assert!(questions <= 1);
    let mut at = HEADER_BYTES;
    for _ in 0..questions {
        at = name_end(reply, at) + 4;
        assert_eq!(reply[HEADER_BYTES..at], query[HEADER_BYTES..at], "the question as it was asked");
    }
    let (mut opts, records) = (0, answers + authorities + additionals);
    for number in 0..records {
        at = name_end(reply, at);
        if u16_at(reply, at) == 41 {
            opts += 1;
            assert_eq!(number, records - 1, "OPT comes last");
        }
        at += 10 + usize::from(u16_at(reply, at + 8));
    }
    assert_eq!(at, reply.len(), "all sections and nothing else");
    assert!(opts <= 1);
}

/// Where a name ends; it may point back, to where a name stands, and has at most 255 octets.
fn name_end(reply: &[u8], start: usize) -> usize {
    let (mut at, mut end, mut octets) = (start, None, 1);
    loop {
        let length = usize::from(reply[at]);
        match length {
            0 => return end.unwrap_or(at + 1),
            1..=63 => (at, octets) = (at + 1 + length, octets + 1 + length),
            _ => {
                assert!(length >= 0xc0, "label type");
                let target = usize::from(u16_at(reply, at) & 0x3fff);
                assert!((HEADER_BYTES..at).contains(&target), "a pointer leads back");
                (at, end) = (target, end.or(Some(at + 2)));
            }
        }
        assert!(octets <= 255);
    }
}

fn u16_at(octets: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([octets[at], octets[at + 1]])
}
