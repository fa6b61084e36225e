//! The canonical order of names (RFC 4034 section 6.1), and which NSEC of a zone covers a name.
use std::cmp::Ordering;

use super::format::Zone;
use super::records::{ROOT, Records, slice};

const MAX_LABELS: usize = 128;
const MAX_KEY_BYTES: usize = 510; // every octet of a name escaped
const END_OF_LABEL: u8 = 0; // below every octet of a label, so that a name sorts before what is below it
const ESCAPE: u8 = 1; // before it and END_OF_LABEL, both raised by one

/// A name as octets that sort as names do: labels from the right, in lower case.
#[derive(Clone, Copy, Debug)]
pub struct CanonicalKey {
    octets: [u8; MAX_KEY_BYTES],
    length: usize,
}

impl CanonicalKey {
    /// The key of a name in the tree.
    pub fn of_name(records: &Records, name: u32) -> Self {
        let (mut names, mut count, mut name) = ([ROOT; MAX_LABELS], 0, name);
        while name != ROOT && count < MAX_LABELS {
            names[count] = name;
            (name, count) = (records.parent(name), count + 1);
        }
        Self::of_labels(names[..count].iter().rev().map(|&name| records.label(name)))
    }

    /// The key of a name of these labels, length octets included, the rightmost first.
    pub fn of_labels<'l>(labels: impl Iterator<Item = &'l [u8]>) -> Self {
        let mut key = Self { octets: [0; MAX_KEY_BYTES], length: 0 };
        for label in labels {
            for octet in label.iter().skip(1).map(u8::to_ascii_lowercase) {
                if octet <= ESCAPE {
                    key.push(ESCAPE);
                    key.push(octet + 1);
                } else {
                    key.push(octet);
                }
            }
            key.push(END_OF_LABEL);
        }
        key
    }

    /// What is compared.
    pub fn octets(&self) -> &[u8] {
        &self.octets[..self.length]
    }

    fn after(&self, octets: usize) -> &[u8] {
        self.octets().get(octets..).unwrap_or_default()
    }

    fn push(&mut self, octet: u8) {
        if let Some(place) = self.octets.get_mut(self.length) {
            *place = octet;
            self.length += 1;
        }
    }
}

/// The NSEC records of a zone, to be searched; made when the records are loaded, no part of the format.
#[derive(Debug)]
pub(super) struct Denial {
    entries: Vec<Entry>,
    keys: Vec<u8>,
    apex_bytes: usize, // of every key: those of the apex, which are the same in all
}

/// An NSEC rrset.
#[derive(Clone, Copy, Debug)]
struct Entry {
    /// The first octets of its key after the apex's: most names differ there, so that the rest is not read.
    first: u64,
    start: u32,
    end: u32,
    rrset: u32,
}

impl Denial {
    /// Of a zone whose chain is proved to be in order and inside the zone.
    pub(super) fn new(records: &Records, zone: &Zone) -> Self {
        let apex_bytes = CanonicalKey::of_name(records, zone.apex).length;
        let mut denial = Self { entries: Vec::new(), keys: Vec::new(), apex_bytes };
        for &rrset in records.nsec_chain_of(zone) {
            let key = CanonicalKey::of_name(records, records.rrset(rrset).name);
            let tail = key.after(apex_bytes);
            let start = denial.keys.len() as u32;
            denial.keys.extend_from_slice(tail);
            let end = denial.keys.len() as u32;
            denial.entries.push(Entry { first: first_octets(tail), start, end, rrset });
        }
        denial
    }

    /// The rrset of the last owner below a name.
    fn find_below(&self, key: &CanonicalKey) -> Option<u32> {
        let tail = key.after(self.apex_bytes);
        let first = first_octets(tail);
        let count = self.entries.partition_point(|entry| match entry.first.cmp(&first) {
            Ordering::Equal => &self.keys[entry.start as usize..entry.end as usize] < tail,
            order => order == Ordering::Less,
        });
        count.checked_sub(1).map(|index| self.entries[index].rrset)
    }
}

/// Eight octets as a number that sorts as they do.
fn first_octets(octets: &[u8]) -> u64 {
    let mut first = [0; 8];
    let count = octets.len().min(first.len());
    first[..count].copy_from_slice(&octets[..count]);
    u64::from_be_bytes(first)
}

impl Records {
    /// The id of the NSEC rrset that covers a name which has no node in a zone: that of the last owner
    /// canonically below it. Nothing where the zone is not signed.
    pub fn covering_nsec(&self, zone: u32, key: &CanonicalKey) -> Option<u32> {
        self.denials[zone as usize].find_below(key)
    }

    /// Ids of all NSEC rrsets of a zone, in the canonical order of their owners.
    pub fn nsec_chain_of(&self, zone: &Zone) -> &[u32] {
        slice(&self.nsec_chain, zone.nsec_offset, zone.nsec_count)
    }
}
