//! One input of fuzzing, and the worlds that it is asked in; `tests/fuzz/inputs.py` reads inputs likewise.
//!
//! An input is a header of 21 octets, then the packet. Octet 0: bit 0 over TCP, bit 1 from IPv6, bits 2 and 3
//! the rate limit (`Limit`), bits 4 and 5 which world. Then Unix time (4), source address (16; of IPv4 the
//! first 4).
use std::cell::Cell;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use _native::answer::{
    Answerer, BATCH, Context, Counters, LimitSettings, Limiter, Notified, Now, Observations, Observer,
    Request, Verdict,
};
use _native::snapshot::{AlignedBytes, Choices, Map, Records, Signatures, Snapshot};

/// Octets of the largest reply, and between the buffers of a batch.
pub const REPLY_BYTES: usize = 65_535;
/// Where `python -m tests.fuzz` writes the worlds.
pub const WORLDS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/worlds");
const HEADER_BYTES: usize = 21;
const KEY: [u8; 16] = *b"0123456789abcdef"; // of the rate limit's hash
const EXEMPT: (u128, u8) = (0xffff_0a00_0000, 104); // 10.0.0.0/8
const STEP_NS: u64 = 2_000_000_000; // after which the limit has forgotten: it lets one pass in a second

/// What the rate limit is to do.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Limit {
    /// There is none.
    None,
    /// The source has asked nothing yet.
    Fresh,
    /// The source has had its share: drop.
    Drop,
    /// The source has had its share: slip.
    Slip,
}

/// An input, read.
#[derive(Clone, Copy, Debug)]
pub struct Input<'i> {
    /// The query.
    pub request: Request<'i>,
    /// Unix time.
    pub now_s: u32,
    /// What the rate limit is to do.
    pub limit: Limit,
    /// Which world is asked, 0 to 3.
    pub world: usize,
}

impl<'i> Input<'i> {
    /// Reads an input; none where the header is not whole.
    pub fn read(input: &'i [u8]) -> Option<Self> {
        let (&[flags, ref rest @ ..], packet) = input.split_first_chunk::<HEADER_BYTES>()?;
        let (&now_s, address) = rest.split_first_chunk::<4>()?;
        let (&ipv4, address) = (address.first_chunk::<4>()?, address.first_chunk::<16>()?);
        let is_ipv6 = flags & 2 != 0;
        let mapped = 0xffff_0000_0000 | u128::from(u32::from_be_bytes(ipv4));
        let source = if is_ipv6 { u128::from_be_bytes(*address) } else { mapped };
        Some(Self {
            request: Request { packet, source, is_tcp: flags & 1 != 0 },
            now_s: u32::from_be_bytes(now_s),
            limit: [Limit::None, Limit::Fresh, Limit::Drop, Limit::Slip][usize::from(flags >> 2 & 3)],
            world: usize::from(flags >> 4 & 3),
        })
    }
}

/// The engine before every world, with what one thread has.
pub struct Fuzzed {
    worlds: Vec<Snapshot>,
    limiters: [Limiter; 2],
    clock_ns: Cell<u64>,
    answerer: Answerer,
    buffers: Vec<u8>,
    /// All counters since the start.
    pub counters: Counters,
    /// Zones that were notified.
    pub notified: Notified,
    observer: Observer,
}

impl Fuzzed {
    /// Loads the worlds 0, 1 and so on: the parts `0.records`, `0.map` and so on in one directory.
    /// # Panics
    /// When there is none, or a part is refused.
    pub fn load(directory: &Path) -> Self {
        let worlds: Vec<Snapshot> = (0..).map_while(|number| load_world(directory, number)).collect();
        assert!(!worlds.is_empty(), "`python -m tests.fuzz --prepare` writes the worlds");
        let limiter = |slip| {
            let (ipv4_bits, ipv6_bits) = (24, 56);
            let exempt = vec![EXEMPT];
            let settings = LimitSettings { per_second: 1, burst: 0, slip, ipv4_bits, ipv6_bits, exempt };
            Limiter::new(&KEY, &settings).expect("settings in their ranges")
        };
        Self {
            worlds,
            limiters: [limiter(0), limiter(1)],
            clock_ns: Cell::new(0),
            answerer: Answerer::default(),
            buffers: vec![0xaa; BATCH * REPLY_BYTES],
            counters: Counters::default(),
            notified: Notified::default(),
            observer: Observer::default(),
        }
    }

    /// What was observed since this was last called.
    pub fn take_observations(&self) -> Observations {
        let mut observations = Observations::default();
        self.observer.take(&mut observations);
        observations
    }

    /// The reply, of no octets where there is none. What an earlier input left in the engine stays there.
    pub fn answer(&mut self, input: &Input<'_>) -> &[u8] {
        self.answer_all(input, &[input.request]).next().unwrap_or_default()
    }

    /// The replies to queries that come together, with the input's time, limit and world.
    pub fn answer_all(&mut self, input: &Input<'_>, requests: &[Request<'_>]) -> impl Iterator<Item = &[u8]> {
        let limiter = match input.limit {
            Limit::None => None,
            Limit::Fresh | Limit::Drop => Some(&self.limiters[0]),
            Limit::Slip => Some(&self.limiters[1]),
        };
        self.clock_ns.set(self.clock_ns.get() + STEP_NS);
        let now = Now { unix_s: input.now_s, monotonic_ns: self.clock_ns.get() };
        if let (Some(limiter), Limit::Drop | Limit::Slip) = (limiter, input.limit) {
            let first = limiter.check(input.request.source, now.monotonic_ns);
            assert_eq!(first, Verdict::Pass, "the limit has forgotten");
        }
        let world = &self.worlds[input.world % self.worlds.len()];
        let (counters, notified) = (&self.counters, &self.notified);
        let writing = self.observer.begin();
        let observed = Some(writing.side());
        let context = Context { view: world.view(), counters, limiter, notified, observed, now };
        let mut lengths = [0; BATCH];
        self.answerer.answer(&context, requests, &mut self.buffers, REPLY_BYTES, &mut lengths);
        let replies = self.buffers.chunks_exact(REPLY_BYTES).zip(lengths);
        replies.take(requests.len()).map(|(buffer, length)| &buffer[..length])
    }
}

fn load_world(directory: &Path, number: usize) -> Option<Snapshot> {
    let read = |part: &str| fs::read(directory.join(format!("{number}.{part}"))).ok();
    let records = Records::load(&read("records")?).expect("records");
    let map = Map::load(Box::new(AlignedBytes::new(&read("map")?)), true).expect("map");
    let choices = Choices::load(&read("choices")?).expect("choices");
    let signatures = read("signatures").map(|data| Arc::new(Signatures::load(&data).expect("signatures")));
    let snapshot = Snapshot::new(Arc::new(records), Arc::new(map), Arc::new(choices), signatures);
    Some(snapshot.expect("parts that fit together"))
}
