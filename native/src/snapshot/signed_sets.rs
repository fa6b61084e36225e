//! Finds the signatures of an answer in one or two cache misses; made when the signatures are loaded, no part
//! of the format.
use super::format::{NONE, SignatureSpan, SignedSet};

const MULTIPLIER: u64 = 0x9e37_79b9_7f4a_7c15; // 2^64 / golden ratio, odd
const CHUNK: usize = size_of::<u64>();
const MAX_KEY_BYTES: usize = 1 + 64 * (4 + 16); // a count, and two full sets of addresses
const WHOLE_KINDS: [u16; 3] = [1, 5, 28]; // A, CNAME and AAAA, whose key is one piece

/// Which answer of a steered name: its type, and a key whose pieces stand one after another.
#[derive(Clone, Copy, Debug)]
pub struct SetKey<'k> {
    /// The steered name.
    pub steered: u32,
    /// The type that is answered.
    pub kind: u16,
    /// Of SVCB and HTTPS the number of IPv4 addresses; else nothing.
    pub count: &'k [u8],
    /// Addresses, IPv4 where there are both; or a host's index.
    pub first: &'k [u8],
    /// IPv6 addresses of SVCB and HTTPS.
    pub second: &'k [u8],
}

/// Signed sets by hash of their keys: open addressing, a power of two, at most half full.
#[derive(Debug)]
pub(super) struct SignedSets {
    slots: Vec<Slot>,
}

/// A signed set, and where its key and its signatures stand.
#[derive(Clone, Copy, Debug)]
pub(super) struct Slot {
    steered: u32,
    kind: u16,
    key_bytes: u16,
    pub(super) key_offset: u32,
    pub(super) signatures: SignatureSpan,
}

const EMPTY: Slot = Slot {
    steered: NONE,
    kind: 0,
    key_bytes: 0,
    key_offset: 0,
    signatures: SignatureSpan { offset: 0, count: 0 },
};

impl SignedSets {
    /// Holds all sets whose key some answer can have.
    pub(super) fn new(sets: &[SignedSet], bytes: &[u8]) -> Self {
        let mut made = Self { slots: vec![EMPTY; (2 * sets.len()).next_power_of_two().max(2)] };
        for set in sets.iter().filter(|set| set.key_bytes as usize <= MAX_KEY_BYTES) {
            let key = &bytes[set.key_offset as usize..][..set.key_bytes as usize];
            let mut slot = made.home_of(&SetKey::of(set, key)) as usize;
            while made.slots[slot].steered != NONE {
                slot = (slot + 1) & (made.slots.len() - 1);
            }
            made.slots[slot] = Slot {
                steered: set.steered,
                kind: set.kind,
                key_bytes: set.key_bytes as u16,
                key_offset: set.key_offset,
                signatures: SignatureSpan { offset: set.signature_offset, count: set.signature_count },
            };
        }
        made
    }

    /// The signatures of a set; none where there is no such set. `bytes`: where the keys stand.
    pub(super) fn find(&self, key: &SetKey<'_>, bytes: &[u8]) -> SignatureSpan {
        let mut slot = self.home_of(key);
        loop {
            let set = self.at(slot);
            if set.steered == NONE {
                return EMPTY.signatures;
            }
            let octets = &bytes[set.key_offset as usize..][..usize::from(set.key_bytes)];
            if set.steered == key.steered && set.kind == key.kind && key.is(octets) {
                return set.signatures;
            }
            slot = (slot + 1) & (self.slots.len() as u32 - 1); // ends: half of the slots are empty
        }
    }

    /// The slot of a number below the table's size.
    pub(super) fn at(&self, slot: u32) -> &Slot {
        &self.slots[slot as usize]
    }

    /// Where a key is looked for first.
    pub(super) fn home_of(&self, key: &SetKey<'_>) -> u32 {
        key.hash() as u32 & (self.slots.len() as u32 - 1)
    }
}

impl<'k> SetKey<'k> {
    /// The key of a set as a snapshot has it.
    fn of(set: &SignedSet, octets: &'k [u8]) -> Self {
        let is_whole = WHOLE_KINDS.contains(&set.kind) || octets.is_empty();
        let (count, rest) = octets.split_at(usize::from(!is_whole));
        let first_bytes = count.first().map_or(rest.len(), |&count| 4 * usize::from(count)).min(rest.len());
        let (first, second) = rest.split_at(first_bytes);
        Self { steered: set.steered, kind: set.kind, count, first, second }
    }

    /// Whether octets are these pieces, one after another.
    fn is(&self, octets: &[u8]) -> bool {
        let rest = octets.strip_prefix(self.count).and_then(|rest| rest.strip_prefix(self.first));
        rest == Some(self.second)
    }

    fn hash(&self) -> u64 {
        let start = u64::from(self.steered) << 32 | u64::from(self.kind) << 16;
        [self.count, self.first, self.second].into_iter().fold(start, mix)
    }
}

/// Takes octets into a hash.
fn mix(hash: u64, octets: &[u8]) -> u64 {
    let step = |hash: u64, chunk: u64| {
        let product = (hash ^ chunk).wrapping_mul(MULTIPLIER);
        product ^ product >> 32
    };
    if octets.is_empty() {
        return hash;
    }
    let mut chunks = octets.chunks_exact(CHUNK);
    let last =
        chunks.remainder().iter().fold(octets.len() as u64, |last, &octet| last << 8 | u64::from(octet));
    let whole =
        chunks.by_ref().filter_map(|chunk| chunk.first_chunk().map(|&octets| u64::from_le_bytes(octets)));
    step(whole.fold(hash, step), last)
}
