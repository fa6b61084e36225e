//! Finds whole names at once: most questions ask for a name that has a node, and walking to it label by label
//! costs as much as all the rest of reading them. Made when the records are loaded; no part of the format.
use super::format::NONE;
use super::records::{ROOT, Records};

const CHUNK: usize = size_of::<u64>();
const MAX_CHUNKS: usize = 32; // of a name of 255 octets
const MULTIPLIER: u64 = 0x9e37_79b9_7f4a_7c15; // 2^64 / golden ratio, odd

/// Names by hash of all labels: open addressing, a power of two, at most half full.
#[derive(Debug, Default)]
pub(super) struct WholeNames {
    slots: Vec<Slot>,
    chunks: Vec<u64>,
}

/// A name and where its octets stand, eight to a chunk.
#[derive(Clone, Copy, Debug)]
struct Slot {
    name: u32,
    first_chunk: u32,
    chunk_count: u32,
}

impl WholeNames {
    /// Holds all names with a node, but for the root.
    pub(super) fn new(records: &Records) -> Self {
        let names: Vec<u32> = (1..records.name_count()).filter(|&name| records.has_node(name)).collect();
        let empty = Slot { name: NONE, first_chunk: 0, chunk_count: 0 };
        let slot_count = (2 * names.len()).next_power_of_two().max(2);
        let mut whole = Self { slots: vec![empty; slot_count], chunks: Vec::new() };
        for name in names {
            let mut buffer = [0; MAX_CHUNKS];
            let octets = octets_of(records, name);
            let Some((chunks, hash)) = lower_case_chunks(&octets, &mut buffer) else { continue };
            let mut slot = hash as usize & (slot_count - 1);
            while whole.slots[slot].name != NONE {
                slot = (slot + 1) & (slot_count - 1);
            }
            let first_chunk = whole.chunks.len() as u32;
            whole.slots[slot] = Slot { name, first_chunk, chunk_count: chunks.len() as u32 };
            whole.chunks.extend_from_slice(chunks);
        }
        whole
    }

    /// The name with these octets, of either case.
    pub(super) fn find(&self, octets: &[u8]) -> Option<u32> {
        let mask = self.slots.len().checked_sub(1)?;
        let mut buffer = [0; MAX_CHUNKS];
        let (chunks, hash) = lower_case_chunks(octets, &mut buffer)?;
        let mut index = hash as usize & mask;
        loop {
            let slot = &self.slots[index];
            if slot.name == NONE {
                return None;
            }
            let known = &self.chunks[slot.first_chunk as usize..][..slot.chunk_count as usize];
            // Padding is no matter: the length octets say where a name ends.
            if known.len() == chunks.len()
                && known.iter().zip(chunks.iter()).all(|(known, chunk)| known == chunk)
            {
                return Some(slot.name);
            }
            index = (index + 1) & mask; // ends: half of the slots are empty
        }
    }
}

fn octets_of(records: &Records, name: u32) -> Vec<u8> {
    let (mut name, mut octets) = (name, Vec::new());
    while name != ROOT {
        octets.extend_from_slice(records.label(name));
        name = records.parent(name);
    }
    octets
}

/// The octets in lower case, padded with zeros, and their hash; nothing for more than a name may have.
fn lower_case_chunks<'b>(octets: &[u8], buffer: &'b mut [u64; MAX_CHUNKS]) -> Option<(&'b [u64], u64)> {
    let chunks = buffer.get_mut(..octets.len().div_ceil(CHUNK))?;
    let mut hash = octets.len() as u64;
    let mut whole = octets.chunks_exact(CHUNK);
    let last = whole.remainder().iter().rev().fold(0, |chunk, &octet| chunk << 8 | u64::from(octet));
    let whole =
        whole.by_ref().map(|chunk| chunk.first_chunk().map_or(0, |&octets| u64::from_le_bytes(octets)));
    for (to, chunk) in chunks.iter_mut().zip(whole.chain(Some(last))) {
        *to = lower_case(chunk);
        let product = (hash ^ *to).wrapping_mul(MULTIPLIER);
        hash = product ^ product >> 32;
    }
    Some((chunks, hash))
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
