//! What a nameserver learns from its queries, beside answering them: demand per unit, who arrives here, and
//! which resolver asks for a beacon's label (docs/snapshot_format.md, "Observations"). In bounded memory, no
//! allocation and no lock; no address leaves it longer than a /24 or /48.
//!
//! Each thread has two sides: it writes one, while the other is read. Reading turns them over, waits for the
//! end of the batch in hand, and then has the side that was written for itself.
mod joins;
mod table;

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::snapshot::Family;
use joins::Joins;
use table::{Chance, Table};

const DEMAND_BUCKET_BITS: u32 = 12; // 20,480 units between two readings, 256 KiB
const ARRIVAL_BUCKET_BITS: u32 = 10; // 5,120 units, 64 KiB
const PAIR_BUCKET_BITS: u32 = 10; // 3,072 pairs, 64 KiB
const JOINS: usize = 2048; // 160 KiB
const WAIT_MAX: Duration = Duration::from_secs(1); // a batch takes less than a millisecond
const WAIT_STEP: Duration = Duration::from_micros(50);

/// One thread's observations.
#[derive(Debug)]
pub struct Observer {
    sides: [Side; 2],
    written: AtomicUsize,
    turn: AtomicU64, // odd while a batch is answered
}

/// What is seen between two readings.
#[derive(Debug)]
pub struct Side {
    demand: Table<1, 5>,
    arrivals: Table<1, 5>,
    pairs: Table<2, 3>,
    joins: Joins,
    chance: Chance,
}

/// A side in the hands of its thread, for one batch.
#[derive(Debug)]
pub struct Writing<'o> {
    observer: &'o Observer,
    side: &'o Side,
}

/// A /24 or /48, as one word that is never 0.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct UnitKey(u64);

/// A unit as it is told. `start`: its first address as a key, IPv4 << 32 or the upper half of IPv6.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct SeenUnit {
    /// IPv6, else IPv4.
    pub is_ipv6: bool,
    /// The unit of a resolver, else of a client.
    pub is_resolver: bool,
    /// Its first address.
    pub start: u64,
}

/// What all threads saw between two readings; a key may stand there several times.
#[derive(Debug, Default)]
pub struct Observations {
    /// Queries for steered names per unit.
    pub demand: Vec<(SeenUnit, u32)>,
    /// Queries of whom nobody can have forged, per source; the unit that their ECS named, if one was told.
    pub arrivals: Vec<(SeenUnit, Option<SeenUnit>, u32)>,
    /// A beacon's labels: who asked, and the unit that the ECS named.
    pub joins: Vec<(Vec<u8>, SeenUnit, Option<SeenUnit>)>,
    /// How many queries for beacons there were.
    pub joins_seen: u64,
}

impl Observations {
    /// Demand as rows of 24 octets: start, count, family, whether a resolver's, 6 zeros.
    pub fn demand_rows(&self) -> Vec<u8> {
        let row = |&(unit, count): &(SeenUnit, u32)| {
            row(&[unit.start, count.into()], [unit.family(), unit.is_resolver.into()])
        };
        self.demand.iter().flat_map(row).collect()
    }

    /// Arrivals as rows of 32 octets: source's start, client's start, count, source's family, client's family
    /// or 0, 6 zeros.
    pub fn arrival_rows(&self) -> Vec<u8> {
        let row = |&(source, client, count): &(SeenUnit, Option<SeenUnit>, u32)| {
            let (start, family) = client.map_or((0, 0), |client| (client.start, client.family()));
            row(&[source.start, start, count.into()], [source.family(), family])
        };
        self.arrivals.iter().flat_map(row).collect()
    }
}

impl SeenUnit {
    /// 4 or 6.
    pub fn family(&self) -> u8 {
        if self.is_ipv6 { 6 } else { 4 }
    }
}

/// Little-endian words, then two octets and 6 zeros.
fn row(words: &[u64], octets: [u8; 2]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_le_bytes()).chain(octets).chain([0; 6]).collect()
}

impl Default for Observer {
    fn default() -> Self {
        Self { sides: [Side::new(), Side::new()], written: AtomicUsize::new(0), turn: AtomicU64::new(0) }
    }
}

impl Observer {
    /// For the batch that begins; the observer's own thread alone may call it.
    pub fn begin(&self) -> Writing<'_> {
        let turn = self.turn.load(Ordering::Relaxed);
        self.turn.store(turn.wrapping_add(1) | 1, Ordering::SeqCst); // before the side is looked up
        Writing { observer: self, side: &self.sides[self.written.load(Ordering::SeqCst) & 1] }
    }

    /// Adds what was seen since the last reading. One reader at a time, and never from within a batch.
    pub fn take(&self, into: &mut Observations) {
        let side = &self.sides[self.written.fetch_xor(1, Ordering::SeqCst) & 1];
        let turn = self.turn.load(Ordering::SeqCst);
        let give_up = Instant::now() + WAIT_MAX;
        while turn & 1 == 1 && self.turn.load(Ordering::SeqCst) == turn && Instant::now() < give_up {
            thread::sleep(WAIT_STEP);
        }
        side.drain(into);
    }
}

impl Writing<'_> {
    /// Where to write.
    pub fn side(&self) -> &Side {
        self.side
    }
}

impl Drop for Writing<'_> {
    fn drop(&mut self) {
        let turn = self.observer.turn.load(Ordering::Relaxed);
        self.observer.turn.store(turn.wrapping_add(1), Ordering::Release);
    }
}

impl Side {
    fn new() -> Self {
        Self {
            demand: Table::new(DEMAND_BUCKET_BITS),
            arrivals: Table::new(ARRIVAL_BUCKET_BITS),
            pairs: Table::new(PAIR_BUCKET_BITS),
            joins: Joins::new(JOINS),
            chance: Chance::default(),
        }
    }

    /// Which of `count` queries to look at, so that they are at most `most`: the first, drawn at random, and
    /// every so many. Each has the same chance, and stands for as many as the step is long.
    pub(super) fn sample(&self, count: usize, most: usize) -> (usize, usize) {
        let step = count.div_ceil(most).max(1);
        let first = if step > 1 { self.chance.below(step as u64) as usize } else { 0 };
        (first, step)
    }

    /// So many queries for steered names.
    #[inline(always)]
    pub(super) fn add_demand(&self, unit: UnitKey, queries: u32) {
        self.demand.add([unit.0], queries);
    }

    /// So many queries whose source nobody can have forged.
    #[inline(always)]
    pub(super) fn add_arrival(&self, source: UnitKey, client: Option<UnitKey>, queries: u32) {
        self.arrivals.add([source.0], queries);
        if let Some(client) = client {
            self.pairs.add([source.0, client.0], queries);
        }
    }

    /// A query for a name below a beacon's. `label`: the first of the question.
    pub(super) fn add_join(&self, label: &[u8], source: UnitKey, client: Option<UnitKey>) {
        self.joins.add(label, source.0, client.map_or(0, |client| client.0));
    }

    fn drain(&self, into: &mut Observations) {
        let seen = |word: u64| (word != 0).then(|| UnitKey(word).seen());
        self.demand.drain(|[unit], count| into.demand.push((UnitKey(unit).seen(), count)));
        self.arrivals.drain(|[source], count| into.arrivals.push((UnitKey(source).seen(), None, count)));
        self.pairs.drain(|[source, client], count| {
            into.arrivals.push((UnitKey(source).seen(), seen(client), count));
        });
        into.joins_seen += self.joins.drain(|label, source, client| {
            into.joins.push((label, UnitKey(source).seen(), seen(client)));
        });
    }
}

impl UnitKey {
    const TAKEN: u64 = 1 << 63;
    const IPV6: u64 = 1 << 62;
    const RESOLVER: u64 = 1 << 61;
    const PREFIX: u64 = (1 << 48) - 1;
    const SHIFT4: u32 = 40; // of a key, down to the /24
    const SHIFT6: u32 = 16; // down to the /48

    /// The unit in which a key lies.
    #[inline(always)]
    pub(super) fn new(family: Family, key: u64, is_resolver: bool) -> Self {
        let unit = match family {
            Family::V4 => key >> Self::SHIFT4,
            Family::V6 => key >> Self::SHIFT6 | Self::IPV6,
        };
        Self(unit | Self::TAKEN | if is_resolver { Self::RESOLVER } else { 0 })
    }

    fn seen(self) -> SeenUnit {
        let is_ipv6 = self.0 & Self::IPV6 != 0;
        let shift = if is_ipv6 { Self::SHIFT6 } else { Self::SHIFT4 };
        let start = (self.0 & Self::PREFIX) << shift;
        SeenUnit { is_ipv6, is_resolver: self.0 & Self::RESOLVER != 0, start }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;

    use super::*;

    fn taken(observer: &Observer) -> Observations {
        let mut observations = Observations::default();
        observer.take(&mut observations);
        observations
    }

    #[test]
    fn units_are_a_24_or_a_48() {
        for (family, key, start) in [
            (Family::V4, 0xc633_6407_0000_0000, 0xc633_6400_0000_0000),
            (Family::V4, u64::MAX, 0xffff_ff00_0000_0000),
            (Family::V6, 0x2001_0db8_0001_0203, 0x2001_0db8_0001_0000),
            (Family::V6, 0, 0),
        ] {
            for is_resolver in [false, true] {
                let due = SeenUnit { is_ipv6: family == Family::V6, is_resolver, start };
                assert_eq!(UnitKey::new(family, key, is_resolver).seen(), due);
            }
        }
    }

    #[test]
    fn what_is_seen_is_told_once() {
        let observer = Observer::default();
        let (source, client) =
            (UnitKey::new(Family::V4, 7 << 40, true), UnitKey::new(Family::V6, 9 << 16, false));
        {
            let writing = observer.begin();
            writing.side().add_demand(client, 1);
            writing.side().add_demand(client, 3);
            writing.side().add_arrival(source, Some(client), 1);
            writing.side().add_join(b"Label", source, None);
        }
        let seen = taken(&observer);
        assert_eq!(seen.demand, [(client.seen(), 4)]);
        assert_eq!(seen.arrivals, [(source.seen(), None, 1), (source.seen(), Some(client.seen()), 1)]);
        assert_eq!(seen.joins, [(b"label".to_vec(), source.seen(), None)]);
        assert_eq!(seen.joins_seen, 1);
        let seen = taken(&observer);
        assert!(seen.demand.is_empty() && seen.arrivals.is_empty() && seen.joins.is_empty());
    }

    /// A thread that writes without a pause, and a reader that turns the sides over without a pause.
    #[test]
    fn nothing_is_lost_or_told_twice_while_it_is_read() {
        const BATCHES: u64 = 20_000;
        let (observer, is_done) = (Observer::default(), AtomicBool::new(false));
        let unit = |number: u64| UnitKey::new(Family::V4, (number % 100) << 40, false);
        let mut told = 0;
        thread::scope(|scope| {
            scope.spawn(|| {
                for batch in 0..BATCHES {
                    let writing = observer.begin();
                    (0..10).for_each(|number| writing.side().add_demand(unit(batch + number), 1));
                }
                is_done.store(true, Ordering::SeqCst);
            });
            while !is_done.load(Ordering::SeqCst) {
                told += taken(&observer).demand.iter().map(|&(_, count)| u64::from(count)).sum::<u64>();
            }
        });
        for _ in 0..2 {
            told += taken(&observer).demand.iter().map(|&(_, count)| u64::from(count)).sum::<u64>();
        }
        assert_eq!(told, BATCHES * 10);
    }

    #[test]
    fn a_batch_that_panicked_holds_nobody_up() {
        let observer = Observer::default();
        let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let _writing = observer.begin();
            panic!("a fault of ours");
        }));
        assert!(panicked.is_err());
        let begun = Instant::now();
        taken(&observer);
        assert!(begun.elapsed() < WAIT_MAX);
    }
}
