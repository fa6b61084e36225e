//! The nameserver as a function: packets, sources and a snapshot in, replies out. No socket, clock or Python;
//! no lock and no allocation.
//!
//! A batch goes through in stages: read all packets and find their nodes, look all clients up together, find
//! all plans, write all replies. The cache misses of one query so hide behind those of the others.
mod choose;
mod compose;
mod counters;
#[cfg(test)]
mod full_tests;
mod limit;
mod measure;
mod notified;
mod observed;
mod resolve;
#[cfg(test)]
mod tests;
mod turn;

pub use counters::{COUNTER_NAMES, Counter, Counters};
pub use limit::{BadLimit, LimitSettings, Limiter, Verdict};
pub use measure::{measure, observe};
pub use notified::Notified;
pub use observed::{Observations, Observer, SeenUnit, Side, UnitKey, Writing};

use crate::snapshot::{Family, Known, SetKey, Signatures, View};
use crate::wire::{Asked, COOKIE_REPLY_BYTES, kinds};
use choose::{Client, Placed};
use compose::Naming;
use resolve::{Resolved, Wanted};
use turn::{Begun, Turn};

/// Most queries in a batch.
pub const BATCH: usize = 64;
/// Most queries of a batch that are observed: batches are large under load alone, when a few tell as much.
const DEMAND_OF_BATCH: usize = 4;
const ARRIVALS_OF_BATCH: usize = 2;
/// Octets that the largest reply over UDP takes, whatever a snapshot's `udp_bytes`.
pub const UDP_REPLY_BYTES: usize = 4096;

/// A query and whence it came.
#[derive(Clone, Copy, Debug)]
pub struct Request<'p> {
    /// The message.
    pub packet: &'p [u8],
    /// The source address; IPv4 as ::ffff:a.b.c.d.
    pub source: u128,
    /// It came over TCP.
    pub is_tcp: bool,
}

/// The time at which a batch is answered.
#[derive(Clone, Copy, Debug, Default)]
pub struct Now {
    /// Unix time modulo 2^32, for cookies and the validity of signatures.
    pub unix_s: u32,
    /// Of a clock that does not go back, for rates.
    pub monotonic_ns: u64,
}

/// What the queries of a batch are answered with.
#[derive(Clone, Copy)]
pub struct Context<'c> {
    /// The snapshot.
    pub view: View<'c>,
    /// Counts what happens.
    pub counters: &'c Counters,
    /// Says which replies over UDP are not sent; none: all are.
    pub limiter: Option<&'c Limiter>,
    /// Is told which zones were notified.
    pub notified: &'c Notified,
    /// Is told who asks; none: nobody is.
    pub observed: Option<&'c Side>,
    /// The time.
    pub now: Now,
}

/// What answering needs beside its arguments; one per thread.
pub struct Answerer {
    slots: Vec<Slot>,
    waiting: Vec<u8>, // indices of slots, and of their requests
    keys: [(Family, u64); BATCH],
    rows: [u32; BATCH],
    pending: [u8; BATCH],
    homes: [u32; BATCH], // where signatures are looked for
    naming: Naming,
}

/// A query between the stages.
#[derive(Clone, Copy, Debug, Default)]
struct Slot {
    asked: Asked,
    known: Known,
    resolved: Resolved,
    wanted: Wanted,
    steered: u32,
    client: Client,
    placed: Placed,
    plan: u32,
    /// Of a reply to a query with a cookie; of no meaning in others.
    cookie: [u8; COOKIE_REPLY_BYTES],
    has_valid_cookie: bool,
    worth: Worth,
}

/// What of a query is worth observing.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
struct Worth {
    /// Nobody can have forged its source.
    is_arrival: bool,
    /// It is for a steered name, and its client was looked up.
    is_placed: bool,
    /// It is for a steered name, and its client did not matter.
    is_forced: bool,
}

impl Default for Answerer {
    fn default() -> Self {
        Self {
            slots: vec![Slot::default(); BATCH],
            waiting: Vec::with_capacity(BATCH),
            keys: [(Family::V4, 0); BATCH],
            rows: [0; BATCH],
            pending: [0; BATCH],
            homes: [0; BATCH],
            naming: Naming::default(),
        }
    }
}

impl Answerer {
    /// Answers at most `BATCH` queries. `buffers`: one per request, `stride` octets apart and as long:
    /// `UDP_REPLY_BYTES` for UDP, 65535 for TCP. `lengths`: octets of each reply, 0 where there is none.
    pub fn answer(
        &mut self,
        context: &Context<'_>,
        requests: &[Request<'_>],
        buffers: &mut [u8],
        stride: usize,
        lengths: &mut [usize],
    ) {
        self.waiting.clear();
        let batch = requests.iter().zip(buffers.chunks_exact_mut(stride)).zip(lengths.iter_mut());
        for (index, (((request, buffer), length), slot)) in batch.zip(&mut self.slots).enumerate() {
            let mut turn = Turn { context, request, buffer, slot, naming: &mut self.naming };
            match turn.begin() {
                Begun::Replied(octets) => *length = octets,
                Begun::Waits => self.waiting.push(index as u8),
            }
        }
        self.place_all(&context.view, context.counters, requests);
        let mut buffers = buffers.chunks_exact_mut(stride).enumerate();
        for &index in &self.waiting {
            let index = usize::from(index);
            let Some((_, buffer)) = buffers.find(|&(number, _)| number == index) else { break };
            let (request, slot) = (&requests[index], &mut self.slots[index]);
            lengths[index] = Turn { context, request, buffer, slot, naming: &mut self.naming }.finish();
        }
        if let Some(observed) = context.observed {
            self.observe(&context.view, observed, requests);
        }
        let octets_in: usize = requests.iter().map(|request| request.packet.len()).sum();
        let octets_out: usize = lengths.iter().take(requests.len()).sum();
        context.counters.add(Counter::BytesIn, octets_in as u64);
        context.counters.add(Counter::BytesOut, octets_out as u64);
    }

    /// Looks the clients of all that wait up, and their plans.
    fn place_all(&mut self, view: &View<'_>, counters: &Counters, requests: &[Request<'_>]) {
        let count = self.waiting.len();
        for (key, &index) in self.keys.iter_mut().zip(&self.waiting) {
            let client = &self.slots[usize::from(index)].client;
            *key = (client.family, client.key);
        }
        view.map.find_rows(&self.keys[..count], &mut self.rows[..count], &mut self.pending[..count]);
        view.map.touch_rows(&self.rows[..count]);
        for (&row, &index) in self.rows.iter().zip(&self.waiting) {
            let slot = &mut self.slots[usize::from(index)];
            let steered = view.records.steered(slot.steered);
            let source = requests[usize::from(index)].source;
            slot.placed = choose::place(view, steered, source, slot.client, view.map.row(row), counters);
        }
        for &index in &self.waiting {
            let slot = &mut self.slots[usize::from(index)];
            slot.plan = choose::plan_at(view, &slot.placed);
        }
        view.choices.touch(self.waiting.iter().map(|&index| self.slots[usize::from(index)].plan));
        if let Some(signatures) = view.signatures {
            self.touch_signatures(view, signatures);
        }
    }

    /// Who asks: all of a small batch; of a large one a few at equal distances, in the place of all.
    #[inline(never)] // once per batch; inside, it would cost all that is around it registers
    fn observe(&self, view: &View<'_>, observed: &Side, requests: &[Request<'_>]) {
        let batch = || requests.iter().zip(&self.slots);
        let (first, step) = observed.sample(requests.len(), DEMAND_OF_BATCH);
        for (request, Slot { asked, placed, worth, .. }) in batch().skip(first).step_by(step) {
            if worth.is_placed {
                observed.add_demand(placed.unit_key(), step as u32);
            } else if worth.is_forced {
                let unit = choose::unit_of(view, asked.ecs.as_ref(), request.source);
                observed.add_demand(unit, step as u32);
            }
        }
        let (first, step) = observed.sample(requests.len(), ARRIVALS_OF_BATCH);
        for (request, Slot { asked, worth, .. }) in batch().skip(first).step_by(step) {
            if worth.is_arrival {
                let client = asked.ecs.as_ref().and_then(choose::named_unit);
                observed.add_arrival(choose::source_unit(request.source), client, step as u32);
            }
        }
    }

    /// Brings the signatures that will be asked for into the cache.
    fn touch_signatures(&mut self, view: &View<'_>, signatures: &Signatures) {
        let mut count = 0;
        for &index in &self.waiting {
            let Slot { asked, wanted, steered, plan, .. } = &self.slots[usize::from(index)];
            if let Some(addresses) = choose::expected_addresses(view, *wanted, *plan)
                && asked.is_dnssec_ok()
            {
                let key = addresses_key(*steered, asked.kind, addresses);
                self.homes[count] = signatures.home_of(&key);
                count += 1;
            }
        }
        signatures.touch(&self.homes[..count]);
    }
}

/// What addresses are signed under.
fn addresses_key(steered: u32, kind: u16, addresses: &[u8]) -> SetKey<'_> {
    SetKey { steered, kind, count: &[], first: addresses, second: &[] }
}

/// Octets of an address of type A or AAAA.
fn address_bytes(kind: u16) -> usize {
    if kind == kinds::AAAA { 16 } else { 4 }
}
