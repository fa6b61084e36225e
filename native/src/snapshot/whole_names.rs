//! Finds whole names at once: most questions ask for a name that has a node, and walking to it label by label costs as
//! much as all the rest of reading them. Made when the records are loaded; no part of the format.
use super::format::NONE;
use super::records::{ROOT, Records};

const CHUNK: usize = size_of::<u64>();
const MULTIPLIER: u64 = 0x9e37_79b9_7f4a_7c15; // 2^64 / golden ratio, odd

/// Name ids by hash of all labels: open addressing, a power of two, at most half full.
#[derive(Debug, Default)]
pub(super) struct WholeNames {
    slots: Vec<u32>,
}

impl WholeNames {
    /// Holds all names with a node, but for the root.
    pub(super) fn new(records: &Records) -> Self {
        let names: Vec<u32> = (1..records.name_count()).filter(|&name| records.has_node(name)).collect();
        let mut slots = vec![NONE; (2 * names.len()).next_power_of_two().max(2)];
        let mask = slots.len() - 1;
        for name in names {
            let mut slot = hash(&octets_of(records, name)) as usize & mask;
            while slots[slot] != NONE {
                slot = (slot + 1) & mask;
            }
            slots[slot] = name;
        }
        Self { slots }
    }

    /// The name with these octets, of either case.
    pub(super) fn find(&self, records: &Records, octets: &[u8]) -> Option<u32> {
        let mask = self.slots.len().checked_sub(1)?;
        let mut slot = hash(octets) as usize & mask;
        loop {
            let name = self.slots[slot];
            if name == NONE || is_name(records, name, octets) {
                return (name != NONE).then_some(name);
            }
            slot = (slot + 1) & mask; // ends: half of the slots are empty
        }
    }
}

/// Whether a name consists of exactly these labels.
fn is_name(records: &Records, name: u32, octets: &[u8]) -> bool {
    let (mut name, mut rest) = (name, octets);
    while name != ROOT {
        let label = records.label(name);
        match rest.split_at_checked(label.len()) {
            Some((front, after)) if front.eq_ignore_ascii_case(label) => rest = after,
            _ => return false,
        }
        name = records.parent(name);
    }
    rest.is_empty()
}

fn octets_of(records: &Records, name: u32) -> Vec<u8> {
    let (mut name, mut octets) = (name, Vec::new());
    while name != ROOT {
        octets.extend_from_slice(records.label(name));
        name = records.parent(name);
    }
    octets
}

/// Eight octets at a time, in lower case.
fn hash(octets: &[u8]) -> u64 {
    let mut hash = octets.len() as u64;
    let mut chunks = octets.chunks_exact(CHUNK);
    for chunk in &mut chunks {
        hash = mix(hash, chunk);
    }
    let mut last = [0; CHUNK];
    for (to, from) in last.iter_mut().zip(chunks.remainder()) {
        *to = *from;
    }
    mix(hash, &last)
}

fn mix(hash: u64, chunk: &[u8]) -> u64 {
    let chunk = chunk.first_chunk().map_or(0, |&octets| u64::from_le_bytes(octets));
    let product = (hash ^ lower_case(chunk)).wrapping_mul(MULTIPLIER);
    product ^ product >> 32
}

/// Eight octets in lower case; length octets are below every letter.
fn lower_case(octets: u64) -> u64 {
    const EACH: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = 0x80 * EACH;
    let low = octets & !HIGH;
    let from_a = low + (0x80 - b'A' as u64) * EACH; // high bit: at least A
    let after_z = low + (0x7f - b'Z' as u64) * EACH; // high bit: above Z
    octets | (from_a & !after_z & !octets & HIGH) >> 2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_and_nothing_else_become_lower_case() {
        for octet in 0..=255_u8 {
            let octets = [octet, b'A', octet, b'z', octet, b'[', octet, 0xc1];
            assert_eq!(
                lower_case(u64::from_le_bytes(octets)).to_le_bytes(),
                octets.map(|o| o.to_ascii_lowercase())
            );
        }
    }

    fn find(records: &Records, octets: &[u8]) -> Option<u32> {
        records.known_whole(octets, 0).map(|known| known.name)
    }

    #[test]
    fn names_with_nodes_are_found_as_by_walking() {
        let snapshot = crate::snapshot::builder::small_world().load().unwrap();
        let records = snapshot.view().records;
        let mut found = 0;
        for name in 1..records.name_count() {
            let octets = octets_of(records, name);
            let expected = records.has_node(name).then_some(name);
            assert_eq!(find(records, &octets), expected);
            assert_eq!(find(records, &octets.to_ascii_uppercase()), expected);
            assert_eq!(find(records, &octets[..octets.len() - 1]), None);
            assert_eq!(find(records, &[&octets[..], b"\x01x"].concat()), None);
            found += u32::from(expected.is_some());
        }
        assert!(found > 20 && found < records.name_count());
        assert_eq!(find(records, b""), None);
    }
}
