//! Response rate limiting (WIRE DNS-10): how many UDP responses a source prefix gets that has not shown by a
//! cookie that it is who it says. No socket and no clock; one table for all threads, without a lock.
//!
//! **The rule**, exactly, in unsigned 64-bit integers, so that another engine may follow it bit for bit:
//!
//! 1. A source inside an `exempt` prefix passes and leaves no trace.
//! 2. Its prefix is the source masked to `ipv4_bits` (of ::ffff:a.b.c.d, the 32 bits of IPv4) or `ipv6_bits`.
//!    H = SipHash-2-4 under the key over 17 octets: the masked address as 16 octets, IPv4 as ::ffff:a.b.c.d,
//!    then the one octet `ipv4_bits` or `ipv6_bits`. Bits 0 to 15 of H are its cell in the first array, bits
//!    16 to 31 that in the second. A cell holds a time in ns, 0 at first.
//! 3. `interval` = floor(10^9 / `per_second`) ns. `taken` = max(the lesser of the two cells, `now`).
//! 4. The response is limited when `taken` - `now` > `burst` * `interval`: both cells stay as they are. The
//!    n-th limited response of all, n counting from 1, slips when `slip` is not 0 and divides n; else it is
//!    dropped.
//! 5. Else it passes, and each of the two cells becomes max(itself, `taken` + `interval`).
//!
//! This is the generic cell rate algorithm: a cell holds the time at which all that was sent is paid for, so a
//! prefix has `burst` + 1 responses at once and `per_second` from then on.
//!
//! **Why two arrays of cells** instead of a table of prefixes: it never grows, and nothing is ever evicted, so
//! a flood from forged sources cannot push out what is known of others. A prefix that shares a cell with a
//! flooding one is limited only if its other cell is full too, since the lesser decides. Raising a cell only
//! as far as the lesser demands (conservative update) keeps the sums of strangers out. With m prefixes each
//! asking for more than its rate, an innocent one is limited with probability (1 - e^(-m/65536))^2: 0.02 %
//! for m = 1000, 2 % for 10,000. Forged sources that each ask seldom fill no cell until together they ask for
//! about 65,536 times `per_second`. Whoever does not know the key cannot choose prefixes that collide.
//!
//! **Threads** may read a cell at the same instant and then count several responses as one; a cell only ever
//! rises, so nothing that was counted is lost. A clock that goes back limits whoever is in debt for as long as
//! it went back, and nobody else.
use std::sync::atomic::{AtomicU64, Ordering};

use siphasher::sip::SipHasher24;

const CELLS: usize = 1 << 16; // of each array: a cell's number has 16 bits
const MAX_EXEMPT: usize = 1024;
const MAX_PER_SECOND: u32 = 1_000_000_000; // an interval has at least 1 ns
const NS_PER_S: u64 = 1_000_000_000;
const MAPPED_BITS: u8 = 96; // of ::ffff:0:0/96
const MAPPED: u128 = 0xffff; // above an IPv4 address

/// What becomes of a response.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Verdict {
    /// It is sent.
    Pass = 0,
    /// Nothing is sent.
    Drop = 1,
    /// It is sent truncated and empty, so that whoever really asked comes back over TCP or with a cookie.
    Slip = 2,
}

/// How much a prefix gets.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct LimitSettings {
    /// Responses per second to one prefix in the long run: 1 to 10^9.
    pub per_second: u32,
    /// Responses at once, after one.
    pub burst: u32,
    /// Every so many limited responses one is a slip; 0: none is.
    pub slip: u32,
    /// Length of an IPv4 prefix: 0 to 32.
    pub ipv4_bits: u8,
    /// Length of an IPv6 prefix: 0 to 128.
    pub ipv6_bits: u8,
    /// (network, length): sources that are never limited, at most 1024; IPv4 as ::ffff:a.b.c.d and 96 more.
    pub exempt: Vec<(u128, u8)>,
}

/// A setting out of its range, said in one sentence.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct BadLimit(pub &'static str);

/// Counts responses per source prefix.
#[derive(Debug)]
pub struct Limiter {
    hasher: SipHasher24,
    interval_ns: u64,
    debt_limit_ns: u64,
    slip: u64,
    ipv4_bits: u8,
    ipv6_bits: u8,
    exempt: Box<[(u128, u128)]>, // first and last address, in order, disjoint
    cells: [Box<[AtomicU64]>; 2],
    limited: AtomicU64,
}

impl Limiter {
    /// A limiter that has seen nothing. `key`: drawn at random, known to nobody else.
    /// # Errors
    /// The first setting out of its range.
    pub fn new(key: &[u8; 16], settings: &LimitSettings) -> Result<Self, BadLimit> {
        let LimitSettings { per_second, burst, slip, ipv4_bits, ipv6_bits, ref exempt } = *settings;
        for (is_right, otherwise) in [
            ((1..=MAX_PER_SECOND).contains(&per_second), "per_second is 1 to 1000000000"),
            (ipv4_bits <= 32, "ipv4_bits is 0 to 32"),
            (ipv6_bits <= 128, "ipv6_bits is 0 to 128"),
            (exempt.len() <= MAX_EXEMPT, "there are at most 1024 exempt prefixes"),
            (exempt.iter().all(|&(_, bits)| bits <= 128), "an exempt prefix has 0 to 128 bits"),
        ] {
            if !is_right {
                return Err(BadLimit(otherwise));
            }
        }
        let interval_ns = NS_PER_S / u64::from(per_second);
        Ok(Self {
            hasher: SipHasher24::new_with_key(key),
            interval_ns,
            debt_limit_ns: u64::from(burst) * interval_ns,
            slip: slip.into(),
            ipv4_bits,
            ipv6_bits,
            exempt: ranges(exempt),
            cells: std::array::from_fn(|_| (0..CELLS).map(|_| AtomicU64::new(0)).collect()),
            limited: AtomicU64::new(0),
        })
    }

    /// What becomes of one more response to this source. `source`: IPv4 as ::ffff:a.b.c.d. `now_ns`: of a
    /// clock that does not go back, whatever it started from.
    pub fn check(&self, source: u128, now_ns: u64) -> Verdict {
        if self.is_exempt(source) {
            return Verdict::Pass;
        }
        let hash = self.hash_prefix(source);
        let cells = [&self.cells[0][hash as usize % CELLS], &self.cells[1][(hash >> 16) as usize % CELLS]];
        let [first, second] = cells.map(|cell| cell.load(Ordering::Relaxed));
        let taken_ns = first.min(second).max(now_ns);
        if taken_ns - now_ns > self.debt_limit_ns {
            return self.limited();
        }
        let raised_ns = taken_ns.saturating_add(self.interval_ns);
        for cell in cells {
            cell.fetch_max(raised_ns, Ordering::Relaxed); // a store could undo what another thread counts
        }
        Verdict::Pass
    }

    #[cold]
    fn limited(&self) -> Verdict {
        let number = self.limited.fetch_add(1, Ordering::Relaxed).wrapping_add(1);
        if self.slip > 0 && number % self.slip == 0 { Verdict::Slip } else { Verdict::Drop }
    }

    fn is_exempt(&self, source: u128) -> bool {
        let after = self.exempt.partition_point(|&(first, _)| first <= source);
        after > 0 && source <= self.exempt[after - 1].1
    }

    fn hash_prefix(&self, source: u128) -> u64 {
        let (bits, whole_bits) = if source >> 32 == MAPPED {
            (self.ipv4_bits, MAPPED_BITS + self.ipv4_bits)
        } else {
            (self.ipv6_bits, self.ipv6_bits)
        };
        let mut input = [bits; 17];
        input[..16].copy_from_slice(&(source & mask(whole_bits)).to_be_bytes());
        self.hasher.hash(&input)
    }
}

/// The bits of a prefix of this length.
fn mask(bits: u8) -> u128 {
    u128::MAX.checked_shl(128 - u32::from(bits)).unwrap_or(0)
}

/// Prefixes as (first, last) address, in order; those inside others are left out.
fn ranges(prefixes: &[(u128, u8)]) -> Box<[(u128, u128)]> {
    let mut ranges: Vec<(u128, u128)> =
        prefixes.iter().map(|&(network, bits)| (network & mask(bits), network | !mask(bits))).collect();
    ranges.sort_unstable_by_key(|&(first, last)| (first, std::cmp::Reverse(last)));
    let mut end = None; // prefixes never overlap in part
    ranges.retain(|&(_, last)| {
        let is_new = end.is_none_or(|end| last > end);
        end = if is_new { Some(last) } else { end };
        is_new
    });
    ranges.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    const INTERVAL_NS: u64 = 100_000_000; // 10 a second
    const START_NS: u64 = 7_000_000_000_000;
    const CLIENT: u128 = 0xffff_c633_6407; // ::ffff:198.51.100.7

    fn limiter(burst: u32, slip: u32, exempt: &[(u128, u8)]) -> Limiter {
        settings(10, burst, slip, exempt).unwrap()
    }

    fn settings(per_second: u32, burst: u32, slip: u32, exempt: &[(u128, u8)]) -> Result<Limiter, BadLimit> {
        let exempt = exempt.to_vec();
        let settings = LimitSettings { per_second, burst, slip, ipv4_bits: 24, ipv6_bits: 56, exempt };
        Limiter::new(b"an unguessed key", &settings)
    }

    /// How many of so many responses at one time pass.
    fn passed(limiter: &Limiter, source: u128, now_ns: u64, responses: usize) -> usize {
        (0..responses).filter(|_| limiter.check(source, now_ns) == Verdict::Pass).count()
    }

    #[test]
    fn a_prefix_has_its_burst_and_then_its_rate() {
        for start_ns in [0, START_NS] {
            let limiter = limiter(5, 0, &[]);
            assert_eq!(passed(&limiter, CLIENT, start_ns, 100), 6);
            assert_eq!(passed(&limiter, CLIENT, start_ns + INTERVAL_NS - 1, 100), 0);
            assert_eq!(passed(&limiter, CLIENT, start_ns + INTERVAL_NS, 100), 1);
            assert_eq!(passed(&limiter, CLIENT, start_ns + 4 * INTERVAL_NS, 100), 3);
            assert_eq!(passed(&limiter, CLIENT, start_ns + 1000 * INTERVAL_NS, 100), 6, "it saves no more");
        }
        let limiter = limiter(0, 0, &[]);
        let asked_each_ms = (0..100_000).map(|ms| START_NS + ms * 1_000_000);
        assert_eq!(asked_each_ms.map(|now_ns| passed(&limiter, CLIENT, now_ns, 1)).sum::<usize>(), 1000);
    }

    #[test]
    fn a_prefix_is_one_and_its_neighbour_another() {
        let limiter = limiter(1, 0, &[]);
        let ipv6 = 0x2001_0db8_0000_0100_0000_0000_0000_0001_u128;
        for (source, same, other) in
            [(CLIENT, CLIENT ^ 0xff, CLIENT ^ 0x100), (ipv6, ipv6 ^ 0xff << 64, ipv6 ^ 0x100 << 64)]
        {
            assert_eq!(passed(&limiter, source, START_NS, 9), 2);
            assert_eq!(passed(&limiter, same, START_NS, 9), 0);
            assert_eq!(passed(&limiter, other, START_NS, 9), 2);
        }
    }

    #[test]
    fn every_nth_limited_response_of_all_slips() {
        for (slip, due) in
            [(0, [1, 1, 1, 1, 1, 1]), (1, [2; 6]), (2, [1, 2, 1, 2, 1, 2]), (3, [1, 1, 2, 1, 1, 2])]
        {
            let limiter = limiter(0, slip, &[]);
            let sources = [CLIENT, CLIENT + 0x100];
            assert!(sources.iter().all(|&source| passed(&limiter, source, START_NS, 1) == 1));
            let verdicts: [u8; 6] =
                std::array::from_fn(|number| limiter.check(sources[number % 2], START_NS) as u8);
            assert_eq!(verdicts, due, "slip {slip}");
        }
    }

    #[test]
    fn what_is_exempt_passes_and_leaves_no_trace() {
        let (loopback, wide) = (0xffff_7f00_0000, 0x2001_0db8 << 96);
        let exempt = [(wide | 5 << 64, 64), (1, 128), (wide | 77, 32), (loopback, 104), (wide | 6 << 64, 64)];
        for (source, is_exempt) in [
            (0, false),
            (1, true),
            (2, false),
            (loopback - 1, false),
            (loopback, true),
            (loopback | 0xff_ffff, true),
            (loopback + 0x100_0000, false),
            (wide - 1, false),
            (wide, true),
            (wide | 5 << 64 | 9, true),
            (wide | 1 << 95, true),
            (wide + (1 << 96) - 1, true),
            (wide + (1 << 96), false),
            (u128::MAX, false),
        ] {
            let due = if is_exempt { 50 } else { 1 };
            assert_eq!(passed(&limiter(0, 0, &exempt), source, START_NS, 50), due, "{source:x}");
        }
        let all = limiter(0, 0, &[(CLIENT, 128), (0, 0), (u128::MAX, 128)]);
        assert_eq!(passed(&all, u128::MAX, START_NS, 50) + passed(&all, CLIENT, START_NS, 50), 100);
    }

    /// 10^6 forged prefixes, one query each in a second: 15.3 a cell. An innocent prefix that asks as often
    /// as it may is limited only where both its cells are at their bound as well.
    #[test]
    fn an_innocent_prefix_is_served_beside_a_flood_of_forged_ones() {
        const FORGED: u64 = 1_000_000;
        const INNOCENT: u64 = 1000;
        let innocent = |number: u64| 0xffff_0a00_0000 | u128::from(number << 8);
        let limited_of_all = |per_second: u32, seconds: u64| {
            let limiter = settings(per_second, 20, 2, &[]).unwrap();
            let mut limited = 0;
            for number in 0..FORGED * seconds {
                let now_ns = START_NS + number * (NS_PER_S / FORGED);
                let forged = 0x2001_0db8 << 96 | u128::from(number % FORGED) << 72;
                limiter.check(forged, now_ns);
                if number % (FORGED / INNOCENT) == 0 {
                    let source = innocent(number / (FORGED / INNOCENT) % INNOCENT);
                    limited += usize::from(limiter.check(source, now_ns) != Verdict::Pass);
                }
            }
            limited
        };
        assert_eq!(limited_of_all(20, 2), 0, "the flood is below 65536 times the rate");
        let limited = limited_of_all(1, 4);
        assert!(limited > 1000, "{limited} of 4000: a flood of 15 times what all cells bear fills them");
    }

    /// The formula of the module's text, for prefixes that each ask for far more than they get.
    #[test]
    fn flooding_prefixes_hurt_whom_they_collide_with_twice() {
        for flooding in [1000_u64, 10_000] {
            let limiter = limiter(4, 0, &[]);
            for number in 0..flooding * 20 {
                let forged = 0x2001_0db8 << 96 | u128::from(number % flooding) << 72;
                limiter.check(forged, START_NS);
            }
            let innocent = 100_000_usize;
            let limited = (0..innocent as u128)
                .filter(|number| limiter.check(0x2a00 << 112 | number << 72, START_NS) != Verdict::Pass)
                .count();
            // Innocent ones fill cells too, at most one response each: they raise nobody above his bound of 4,
            // but where three of them and more meet.
            let due = innocent as f64 * (1.0 - (-(flooding as f64) / CELLS as f64).exp()).powi(2);
            let spread = 6.0 * due.sqrt() + 5.0;
            assert!((limited as f64 - due).abs() < spread, "{limited} for {due}");
        }
    }

    #[test]
    fn a_clock_that_goes_back_holds_up_only_who_is_in_debt() {
        let limiter = limiter(5, 0, &[]);
        assert_eq!(passed(&limiter, CLIENT, START_NS, 100), 6);
        let back_ns = START_NS - 20 * INTERVAL_NS;
        assert_eq!(passed(&limiter, CLIENT, back_ns, 9), 0);
        assert_eq!(passed(&limiter, CLIENT + 0x100, back_ns, 9), 6);
        assert_eq!(passed(&limiter, CLIENT, START_NS + INTERVAL_NS, 9), 1, "never longer than it went back");
    }

    #[test]
    fn bounds_hold_at_the_ends_of_the_ranges() {
        let widest = settings(1, u32::MAX, u32::MAX, &[]).unwrap();
        assert_eq!(passed(&widest, CLIENT, u64::MAX, 100), 100);
        let quickest = settings(MAX_PER_SECOND, 0, 1, &[]).unwrap();
        assert_eq!(passed(&quickest, CLIENT, START_NS, 5), 1);
        assert_eq!(passed(&quickest, CLIENT, START_NS + 1, 5), 1);
        assert!(settings(0, 1, 1, &[]).is_err() && settings(MAX_PER_SECOND + 1, 1, 1, &[]).is_err());
        assert!(settings(1, 1, 1, &[(0, 129)]).is_err());
        assert!(settings(1, 1, 1, &[(0, 128); MAX_EXEMPT]).is_ok());
        assert!(settings(1, 1, 1, &[(0, 128); MAX_EXEMPT + 1]).is_err());
        for (ipv4_bits, ipv6_bits, is_right) in
            [(33, 0, false), (0, 129, false), (32, 128, true), (0, 0, true)]
        {
            let settings =
                LimitSettings { per_second: 1, burst: 0, slip: 0, ipv4_bits, ipv6_bits, exempt: vec![] };
            let made = Limiter::new(&[0; 16], &settings);
            assert_eq!(made.is_ok(), is_right);
            if let Ok(limiter) = made {
                assert_eq!(passed(&limiter, CLIENT, START_NS, 5), 1);
                assert_eq!(passed(&limiter, CLIENT ^ 1, START_NS, 5), usize::from(ipv4_bits == 32));
                assert_eq!(passed(&limiter, 1, START_NS, 5), 1);
                assert_eq!(passed(&limiter, 2, START_NS, 5), usize::from(ipv6_bits == 128));
            }
        }
    }

    #[test]
    fn threads_share_one_table() {
        let limiter = limiter(1000, 0, &[]);
        let total: usize = std::thread::scope(|scope| {
            let asking: Vec<_> =
                (0..4).map(|_| scope.spawn(|| passed(&limiter, CLIENT, START_NS, 10_000))).collect();
            asking.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        assert!((1001..=4 * 1001).contains(&total), "{total}: at worst all count as one");
    }
}
