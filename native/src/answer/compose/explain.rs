//! What an explaining name says of the decision for its asker: the RDATA of a TXT record.
use std::fmt::{self, Write};
use std::net::Ipv4Addr;

use super::super::choose::Reason;
use super::Task;
use crate::snapshot::format::NONE;
use crate::wire::{Full, Message};

const MAX_STRING_BYTES: usize = 255; // RFC 1035 section 3.3.14
const MAPPED: u128 = 0xffff; // ::ffff:a.b.c.d, above the address
const IDENTITY_BYTES: usize = 8; // of each part's

/// A character-string in the making; what does not fit is cut off.
struct Text {
    octets: [u8; MAX_STRING_BYTES],
    length: usize,
}

impl Text {
    fn push(&mut self, octets: &[u8]) {
        let count = octets.len().min(MAX_STRING_BYTES - self.length);
        self.octets[self.length..self.length + count].copy_from_slice(&octets[..count]);
        self.length += count;
    }
}

impl Write for Text {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.push(text.as_bytes());
        Ok(())
    }
}

/// Writes the RDATA.
pub(super) fn put(
    message: &mut Message<'_>,
    task: &Task<'_>,
    scope_bits: u8,
    reason: &Reason,
) -> Result<(), Full> {
    let label = |counter| task.view.records.label_of(counter).unwrap_or(b"-");
    string(message, |text| client(text, task, reason.by_ecs))?;
    if reason.arm != NONE {
        words(message, b"arm ", label(reason.arm))?;
    }
    words(message, b"rule ", if reason.is_forced { b"override" } else { label(reason.rule) })?;
    words(message, b"target ", label(reason.target))?;
    string(message, |text| write!(text, "scope {scope_bits}"))?;
    string(message, |text| {
        let number = |identity: &[u8; 16]| {
            identity.first_chunk::<IDENTITY_BYTES>().map_or(0, |octets| u64::from_be_bytes(*octets))
        };
        let (records, map) = (number(&task.view.records.identity), number(task.view.map.identity));
        write!(text, "snapshot {records:016x}-{map:016x}")
    })
}

/// Whose address decided, and how it was known.
fn client(text: &mut Text, task: &Task<'_>, by_ecs: bool) -> fmt::Result {
    let asked = task.asked.ecs.as_ref().filter(|_| by_ecs);
    let (address, is_ipv6, bits, how) = match asked.map(|ecs| (ecs.address(), ecs.source_bits)) {
        Some(((address, true), bits)) => (address, true, bits, "ecs"),
        Some(((address, false), bits)) => (address >> 96, false, bits, "ecs"),
        None if task.source >> 32 == MAPPED => (task.source, false, 32, "resolver"),
        None => (task.source, true, 128, "resolver"),
    };
    text.push(b"client ");
    if is_ipv6 {
        for index in 0..8 {
            let group = (address >> (112 - 16 * index)) as u16;
            write!(text, "{}{group:x}", if index > 0 { ":" } else { "" })?;
        }
    } else {
        write!(text, "{}", Ipv4Addr::from(address as u32))?;
    }
    write!(text, "/{bits} by {how}")
}

fn words(message: &mut Message<'_>, what: &[u8], label: &[u8]) -> Result<(), Full> {
    string(message, |text| {
        text.push(what);
        text.push(label);
        Ok(())
    })
}

/// Writes one character-string.
fn string(message: &mut Message<'_>, fill: impl FnOnce(&mut Text) -> fmt::Result) -> Result<(), Full> {
    let mut text = Text { octets: [0; MAX_STRING_BYTES], length: 0 };
    let filled = fill(&mut text);
    debug_assert!(filled.is_ok(), "a text takes whatever it is given");
    message.put(&[text.length as u8])?;
    message.put(&text.octets[..text.length])
}
