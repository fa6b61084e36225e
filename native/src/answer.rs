//! The nameserver as a function: packets, sources and a snapshot in, replies out. No socket, clock or Python;
//! no lock and no allocation.
//!
//! A batch goes through in stages: read all packets and find their nodes, look all clients up together, find
//! all plans, write all replies. The cache misses of one query so hide behind those of the others.
mod choose;
mod compose;
mod counters;
mod limit;
mod measure;
mod notified;
mod resolve;
#[cfg(test)]
mod tests;

pub use counters::{COUNTER_NAMES, Counter, Counters};
pub use limit::{BadLimit, LimitSettings, Limiter, Verdict};
pub use measure::measure;
pub use notified::Notified;

use crate::snapshot::{Family, Known, View};
use crate::wire::{
    Asked, Compressor, Dropped, Labels, MAX_MESSAGE_BYTES, Message, Outcome, PLAIN_UDP_BYTES, Parsed,
    bare_reply, kinds, parse,
};
use choose::{Chosen, Client, Placed};
use compose::Composer;
use resolve::{End, Resolved, resolve};

/// Most queries in a batch.
pub const BATCH: usize = 64;
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
    writer: Writer,
}

/// A query between the stages.
#[derive(Clone, Copy, Debug, Default)]
struct Slot {
    asked: Asked,
    known: Known,
    resolved: Resolved,
    steered: u32,
    client: Client,
    placed: Placed,
    plan: u32,
}

/// What reading and writing names needs.
#[derive(Default)]
struct Writer {
    labels: Labels,
    compressor: Compressor,
}

impl Default for Answerer {
    fn default() -> Self {
        Self {
            slots: vec![Slot::default(); BATCH],
            waiting: Vec::with_capacity(BATCH),
            keys: [(Family::V4, 0); BATCH],
            rows: [0; BATCH],
            pending: [0; BATCH],
            writer: Writer::default(),
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
        let (view, counters) = (&context.view, context.counters);
        self.waiting.clear();
        let batch = requests.iter().zip(buffers.chunks_exact_mut(stride)).zip(lengths.iter_mut());
        for (index, (((request, buffer), length), slot)) in batch.zip(&mut self.slots).enumerate() {
            match self.writer.begin(view, counters, request, buffer, slot) {
                Begun::Replied(octets) => *length = octets,
                Begun::Waits => self.waiting.push(index as u8),
            }
        }
        self.place_all(view, counters, requests);
        let mut buffers = buffers.chunks_exact_mut(stride).enumerate();
        for &index in &self.waiting {
            let index = usize::from(index);
            let Some((_, buffer)) = buffers.find(|&(number, _)| number == index) else { break };
            lengths[index] = self.writer.finish(view, counters, &requests[index], buffer, &self.slots[index]);
        }
        let octets_in: usize = requests.iter().map(|request| request.packet.len()).sum();
        let octets_out: usize = lengths.iter().take(requests.len()).sum();
        counters.add(Counter::BytesIn, octets_in as u64);
        counters.add(Counter::BytesOut, octets_out as u64);
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
    }
}

/// What became of a query in the first stage.
enum Begun {
    /// It was answered in so many octets, or in none.
    Replied(usize),
    /// Its client is to be looked up.
    Waits,
}

impl Writer {
    /// Answers whatever needs no look-up of a client; what does, waits in its slot.
    fn begin(
        &mut self,
        view: &View<'_>,
        counters: &Counters,
        request: &Request<'_>,
        buffer: &mut [u8],
        slot: &mut Slot,
    ) -> Begun {
        counters.count(if request.is_tcp { Counter::QueriesTcp } else { Counter::QueriesUdp });
        match parse(request.packet, &mut slot.asked, &mut self.labels, view.records.steers()) {
            Parsed::Dropped(dropped) => {
                counters.count(match dropped {
                    Dropped::Short => Counter::DroppedShort,
                    Dropped::Response => Counter::DroppedResponse,
                });
                return Begun::Replied(0);
            }
            Parsed::Bare(rcode) => {
                counters.count_rcode(rcode);
                return Begun::Replied(bare_reply(buffer, request.packet, rcode));
            }
            Parsed::Asked => {}
        }
        let asked = &slot.asked;
        if asked.ecs.is_some() {
            counters.count(Counter::EcsQueries);
        }
        if asked.ecs_malformed {
            counters.count(Counter::EcsMalformed);
        }
        if let Some(rcode) = asked.verdict {
            counters.count_rcode(rcode);
            let outcome = Outcome { rcode, is_authoritative: false, is_truncated: false, scope_bits: 0 };
            let mut message = Message::reply(buffer, request.packet, asked, MAX_MESSAGE_BYTES);
            return Begun::Replied(message.finish(request.packet, asked, outcome, view.records.udp_bytes));
        }
        slot.known = view
            .records
            .known_whole(asked.name(request.packet), self.labels.count())
            .unwrap_or_else(|| view.records.walk(self.labels.from_the_right(request.packet)));
        resolve(view.records, slot.known, asked, &mut slot.resolved);
        let End::Steered(steered, _) = slot.resolved.end else {
            return Begun::Replied(self.reply(view, counters, request, buffer, slot, None));
        };
        if let Some(chosen) = choose::forced(view, steered, asked.kind == kinds::AAAA, counters) {
            return Begun::Replied(self.reply(view, counters, request, buffer, slot, Some(&chosen)));
        }
        slot.steered = steered;
        slot.client = Client::new(asked.ecs.as_ref(), request.source, counters);
        Begun::Waits
    }

    /// Chooses and writes the answer of one that waited.
    fn finish(
        &mut self,
        view: &View<'_>,
        counters: &Counters,
        request: &Request<'_>,
        buffer: &mut [u8],
        slot: &Slot,
    ) -> usize {
        let steered = view.records.steered(slot.steered);
        let is_ipv6 = slot.asked.kind == kinds::AAAA;
        let chosen = choose::choose(view, steered, slot.placed, slot.plan, is_ipv6, counters);
        self.reply(view, counters, request, buffer, slot, Some(&chosen))
    }

    fn reply(
        &mut self,
        view: &View<'_>,
        counters: &Counters,
        request: &Request<'_>,
        buffer: &mut [u8],
        slot: &Slot,
        chosen: Option<&Chosen<'_>>,
    ) -> usize {
        let (asked, udp_bytes) = (&slot.asked, view.records.udp_bytes);
        let limit = limit_bytes(asked, request.is_tcp, udp_bytes);
        let mut message = Message::reply(buffer, request.packet, asked, limit);
        let (compressor, labels) = (&mut self.compressor, &mut self.labels);
        let mut composer = Composer::new(view.records, compressor, labels, request.packet, slot.known);
        let outcome = composer.compose(&mut message, asked, &slot.resolved, chosen, counters);
        counters.count_rcode(outcome.rcode);
        if outcome.is_truncated {
            counters.count(Counter::AnswersTruncated);
        }
        message.finish(request.packet, asked, outcome, udp_bytes)
    }
}

/// Most octets of a reply: RFC 1035 sections 4.2.1 and 4.2.2, RFC 6891 section 6.2.3.
fn limit_bytes(asked: &Asked, is_tcp: bool, udp_bytes: u16) -> usize {
    match asked.edns {
        _ if is_tcp => MAX_MESSAGE_BYTES,
        None => usize::from(PLAIN_UDP_BYTES),
        Some(edns) => usize::from(edns.udp_bytes.max(PLAIN_UDP_BYTES).min(udp_bytes)),
    }
}
