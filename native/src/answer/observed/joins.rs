//! Queries for names below a beacon's wildcard: which label was asked for by whom.
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::table::Chance;

const MAX_LABEL_BYTES: usize = 63;
const LABEL_WORDS: usize = 8; // a length octet and 63 more

/// A bounded sample of what was asked: all of it as long as there is room, then each query with the same
/// chance (reservoir sampling, algorithm R of Vitter 1985), so that a flood leaves its share to others.
#[derive(Debug)]
pub(super) struct Joins {
    entries: Box<[Entry]>,
    seen: AtomicU64,
    chance: Chance,
}

#[derive(Debug, Default)]
struct Entry {
    label: [AtomicU64; LABEL_WORDS],
    source: AtomicU64,
    client: AtomicU64,
}

impl Joins {
    /// Room for so many.
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            entries: (0..capacity).map(|_| Entry::default()).collect(),
            seen: AtomicU64::new(0),
            chance: Chance::default(),
        }
    }

    /// Keeps a query. `label`: its octets, at most 63.
    pub(super) fn add(&self, label: &[u8], source: u64, client: u64) {
        let before = self.seen.load(Relaxed);
        self.seen.store(before + 1, Relaxed);
        let is_full = before >= self.entries.len() as u64;
        let place = if is_full { self.chance.below(before + 1) } else { before };
        let Some(entry) = self.entries.get(place as usize) else { return };
        for (word, octets) in entry.label.iter().zip(packed(label)) {
            word.store(octets, Relaxed);
        }
        entry.source.store(source, Relaxed);
        entry.client.store(client, Relaxed);
    }

    /// Gives away what was kept, and starts anew; returns how many there were in all.
    pub(super) fn drain(&self, mut take: impl FnMut(Vec<u8>, u64, u64)) -> u64 {
        let seen = self.seen.swap(0, Relaxed);
        for entry in self.entries.iter().take(seen as usize) {
            let words: [u64; LABEL_WORDS] = std::array::from_fn(|word| entry.label[word].load(Relaxed));
            let octets: [u8; 1 + MAX_LABEL_BYTES] = bytemuck::cast(words);
            let end = 1 + usize::from(octets[0]).min(MAX_LABEL_BYTES);
            take(octets[1..end].to_vec(), entry.source.load(Relaxed), entry.client.load(Relaxed));
        }
        seen
    }
}

/// A label in lower case, after its length.
fn packed(label: &[u8]) -> [u64; LABEL_WORDS] {
    let mut octets = [0; 1 + MAX_LABEL_BYTES];
    let label = &label[..label.len().min(MAX_LABEL_BYTES)];
    octets[0] = label.len() as u8;
    for (octet, given) in octets[1..].iter_mut().zip(label) {
        *octet = given.to_ascii_lowercase();
    }
    bytemuck::cast(octets)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_come_back_in_lower_case_and_whole() {
        let joins = Joins::new(4);
        let long = [b'Q'; 63];
        joins.add(b"aB-9", 1, 2);
        joins.add(&long, 3, 0);
        let mut taken = Vec::new();
        assert_eq!(joins.drain(|label, source, client| taken.push((label, source, client))), 2);
        assert_eq!(taken, [(b"ab-9".to_vec(), 1, 2), (long.to_ascii_lowercase(), 3, 0)]);
        assert_eq!(joins.drain(|_, _, _| panic!("it was emptied")), 0);
    }

    #[test]
    fn each_of_too_many_has_the_same_chance() {
        let (runs, mut early) = (200, 0);
        for _ in 0..runs {
            let joins = Joins::new(100);
            (0..1000_u64).for_each(|number| joins.add(b"x", number, 0));
            let mut kept = 0;
            let seen = joins.drain(|_, source, _| {
                kept += 1;
                early += u32::from(source < 500);
            });
            assert_eq!((seen, kept), (1000, 100));
        }
        assert!((9_000..11_000).contains(&early), "{early} of 20000 from the first half");
    }
}
