//! Which zones' primaries have said that there is something new (RFC 1996), kept for whoever transfers them.
use std::sync::atomic::{AtomicU64, Ordering};

/// Zones that are kept apart: those of a higher index share the last place.
const ZONES: usize = WORDS * 64;
const WORDS: usize = 16;

/// A set of zones, by their indices in the snapshot that was asked. All threads add to it, one takes.
#[derive(Debug, Default)]
pub struct Notified([AtomicU64; WORDS]);

impl Notified {
    /// Adds a zone.
    pub fn add(&self, zone: u32) {
        let place = (zone as usize).min(ZONES - 1);
        let (word, bit) = (&self.0[place / 64], 1 << (place % 64));
        if word.load(Ordering::Relaxed) & bit == 0 {
            word.fetch_or(bit, Ordering::Relaxed); // not each time: a flood leaves the line with all threads
        }
    }

    /// The zones added since this was last called, in order.
    pub fn take(&self) -> Vec<usize> {
        let words = self.0.iter().map(|word| word.swap(0, Ordering::Relaxed)).enumerate();
        words
            .flat_map(|(at, word)| {
                (0..64).filter(move |bit| word >> bit & 1 != 0).map(move |bit| at * 64 + bit)
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_zone_is_taken_once() {
        let notified = Notified::default();
        assert!(notified.take().is_empty());
        for zone in [999, 0, 63, 64, 999, u32::MAX] {
            notified.add(zone);
        }
        assert_eq!(notified.take(), [0, 63, 64, 999, 1023]);
        assert!(notified.take().is_empty());
    }
}
