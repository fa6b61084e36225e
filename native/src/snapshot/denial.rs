//! The canonical order of names (RFC 4034 section 6.1), and which NSEC of a zone covers a name.
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

    fn push(&mut self, octet: u8) {
        if let Some(place) = self.octets.get_mut(self.length) {
            *place = octet;
            self.length += 1;
        }
    }
}

impl Records {
    /// Ids of all NSEC rrsets of a zone, in the canonical order of their owners.
    pub fn nsec_chain_of(&self, zone: &Zone) -> &[u32] {
        slice(&self.nsec_chain, zone.nsec_offset, zone.nsec_count)
    }
}
