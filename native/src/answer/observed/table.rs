//! Counts per key in fixed memory, exact for as long as it lasts and unbiased beyond.
//!
//! **Method**: Unbiased Space-Saving (Ting, "Data Sketches for Disaggregated Subset Sum and Frequent Item
//! Estimation", SIGMOD 2018) in buckets of one cache line each, as d-way Space-Saving and RAP have them (Ben
//! Basat et al., INFOCOM 2017). A key has one bucket. There it is found and counted, or takes a free place.
//! Where none is free, the least count of the bucket rises by the weight w (1, or more where w queries are
//! sampled by one) to c, and the key takes that place over with probability w/c. So
//!
//! * up to `WAYS` keys in a bucket all counts are exact;
//! * the counts always sum to what was added, and the expectation of any key's count, and of any sum over keys,
//!   is the truth;
//! * a flood of n keys that come once each lifts the least counts of every bucket to n / (buckets * `WAYS`): a
//!   key counted more often than that is not touched, and one below loses its place with probability 1/c each
//!   time. Nobody can aim at a bucket, since the hash has a secret.
//!
//! One thread writes, and another may read only while that one does not.
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};

/// Counts of keys of `WORDS` words each, the first never 0. `WAYS`: as many as fit a cache line.
#[derive(Debug)]
pub(super) struct Table<const WORDS: usize, const WAYS: usize> {
    buckets: Box<[Bucket<WORDS, WAYS>]>,
    shift: u32,
    secrets: [u64; 2],
    chance: Chance,
}

/// Places are taken in order.
#[derive(Debug)]
#[repr(align(64))]
struct Bucket<const WORDS: usize, const WAYS: usize> {
    keys: [[AtomicU64; WORDS]; WAYS],
    counts: [AtomicU32; WAYS],
}

/// Random numbers of one thread; good enough to draw lots (xorshift64*, Vigna 2016).
#[derive(Debug)]
pub(super) struct Chance(AtomicU64);

impl<const WORDS: usize, const WAYS: usize> Table<WORDS, WAYS> {
    /// An empty one of 2^`bucket_bits` buckets, `bucket_bits` at least 1.
    pub(super) fn new(bucket_bits: u32) -> Self {
        Self {
            buckets: (0..1_usize << bucket_bits).map(|_| Bucket::default()).collect(),
            shift: u64::BITS - bucket_bits,
            secrets: [secret(), secret() | 1],
            chance: Chance::default(),
        }
    }

    /// Counts so many.
    #[inline(always)]
    pub(super) fn add(&self, key: [u64; WORDS], weight: u32) {
        let bucket = &self.buckets[self.home(key)];
        for (held, count) in bucket.keys.iter().zip(&bucket.counts) {
            if held[0].load(Relaxed) == 0 {
                put(held, key);
                return count.store(weight, Relaxed);
            }
            if is_held(held, key) {
                return count.store(count.load(Relaxed).saturating_add(weight), Relaxed);
            }
        }
        self.add_to_full(bucket, key, weight);
    }

    /// Gives away what was counted, and starts anew.
    pub(super) fn drain(&self, mut take: impl FnMut([u64; WORDS], u32)) {
        for bucket in &self.buckets {
            for (held, count) in bucket.keys.iter().zip(&bucket.counts) {
                let key: [u64; WORDS] = std::array::from_fn(|word| held[word].load(Relaxed));
                if key[0] == 0 {
                    break;
                }
                take(key, count.load(Relaxed));
                put(held, [0; WORDS]);
            }
        }
    }

    #[inline(never)]
    fn add_to_full(&self, bucket: &Bucket<WORDS, WAYS>, key: [u64; WORDS], weight: u32) {
        let counts = bucket.counts.iter().map(|count| count.load(Relaxed));
        let Some((way, least)) = counts.enumerate().min_by_key(|&(_, count)| count) else { return };
        let risen = least.saturating_add(weight);
        bucket.counts[way].store(risen, Relaxed);
        if self.chance.below(risen.into()) < u64::from(weight) {
            put(&bucket.keys[way], key);
        }
    }

    /// The bucket of a key: its words multiplied in one after another, both halves of each product kept.
    #[inline(always)]
    fn home(&self, key: [u64; WORDS]) -> usize {
        let [start, factor] = self.secrets;
        let hash = key.iter().fold(start, |hash, &word| {
            let product = u128::from(hash ^ word) * u128::from(factor);
            (product >> 64) as u64 ^ product as u64
        });
        (hash >> self.shift) as usize
    }
}

impl<const WORDS: usize, const WAYS: usize> Default for Bucket<WORDS, WAYS> {
    fn default() -> Self {
        const { assert!(size_of::<Self>() == 64, "a bucket is a cache line") };
        Self {
            keys: std::array::from_fn(|_| std::array::from_fn(|_| AtomicU64::new(0))),
            counts: std::array::from_fn(|_| AtomicU32::new(0)),
        }
    }
}

impl Default for Chance {
    fn default() -> Self {
        Self(AtomicU64::new(secret() | 1))
    }
}

impl Chance {
    /// One of 0 to `count` - 1; `count` at least 1.
    pub(super) fn below(&self, count: u64) -> u64 {
        let mut state = self.0.load(Relaxed);
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        self.0.store(state, Relaxed);
        let drawn = state.wrapping_mul(0x2545_f491_4f6c_dd1d);
        ((u128::from(drawn) * u128::from(count)) >> 64) as u64
    }
}

/// Drawn by the standard library from the system's source of randomness.
fn secret() -> u64 {
    RandomState::new().hash_one(())
}

#[inline(always)]
fn is_held<const WORDS: usize>(held: &[AtomicU64; WORDS], key: [u64; WORDS]) -> bool {
    held.iter().zip(key).all(|(held, word)| held.load(Relaxed) == word)
}

#[inline(always)]
fn put<const WORDS: usize>(held: &[AtomicU64; WORDS], key: [u64; WORDS]) {
    for (held, word) in held.iter().zip(key) {
        held.store(word, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    fn drained(table: &Table<1, 5>) -> HashMap<u64, u64> {
        let mut counts = HashMap::new();
        table.drain(|[key], count| *counts.entry(key).or_default() += u64::from(count));
        counts
    }

    #[test]
    fn few_keys_are_counted_exactly_and_then_forgotten() {
        let table = Table::<1, 5>::new(8);
        for key in 1..=5_u64 {
            (0..key * 10).for_each(|_| table.add([key], 1));
        }
        assert_eq!(drained(&table), (1..=5).map(|key| (key, key * 10)).collect());
        assert_eq!(drained(&table), HashMap::new());
        table.add([7], 1);
        assert_eq!(drained(&table), HashMap::from([(7, 1)]), "a place that was freed starts from 0");
    }

    #[test]
    fn both_words_of_a_key_count() {
        let table = Table::<2, 3>::new(1);
        [[1, 0], [1, 9], [2, 9], [1, 9]].into_iter().for_each(|key| table.add(key, 1));
        let mut seen = Vec::new();
        table.drain(|key, count| seen.push((key, count)));
        seen.sort_unstable();
        assert_eq!(seen, [([1, 0], 1), ([1, 9], 2), ([2, 9], 1)]);
    }

    /// 200,000 forged keys, once each, over 1,280 places: 156 a place. Keys that came 400 times stay, with
    /// counts that a bucket's other keys lift by chance alone.
    #[test]
    fn a_flood_of_strangers_does_not_push_out_who_came_often() {
        let table = Table::<1, 5>::new(8);
        let often: Vec<u64> = (1..=100).collect();
        for round in 0..400_u64 {
            for forged in 0..500 {
                table.add([1_000_000 + round * 500 + forged], 1);
            }
            often.iter().for_each(|&key| table.add([key], 1));
        }
        let counts = drained(&table);
        assert_eq!(counts.values().sum::<u64>(), 240_000, "nothing is lost");
        let kept = often.iter().filter(|key| counts.contains_key(key)).count();
        assert!(kept >= 97, "{kept} of 100"); // five of them in one bucket would have to give way
        let known: u64 = often.iter().filter_map(|key| counts.get(key)).sum();
        assert!((38_000..46_000).contains(&known), "{known} for 40000");
    }

    /// Sums over many keys that no place was for are right in expectation.
    #[test]
    fn sums_over_keys_that_came_seldom_are_unbiased() {
        let (runs, mut sum) = (300, 0);
        for _ in 0..runs {
            let table = Table::<1, 5>::new(4);
            for key in (1..=800_u64).chain(1..=400) {
                table.add([key], 1 + key as u32 % 2); // the first half twice
            }
            let counts = drained(&table);
            sum += counts.iter().filter(|&(&key, _)| key <= 400).map(|(_, count)| count).sum::<u64>();
        }
        let mean = sum as f64 / f64::from(runs);
        assert!((mean - 1200.0).abs() < 30.0, "{mean} for 1200"); // standard error about 5
    }
}
