//! The nameserver as a function: packets, sources and a snapshot in, replies out. No socket, clock or Python; no lock
//! and no allocation.
//!
//! A batch goes through in stages: read all packets and find their nodes, look all clients up together, find all plans,
//! write all replies. The cache misses of one query so hide behind those of the others.
mod choose;
mod compose;
mod counters;
mod resolve;
#[cfg(test)]
mod tests;

pub use counters::{COUNTER_NAMES, Counter, Counters};

use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use crate::snapshot::{Family, Known, Snapshot, View};
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

/// What answering needs beside its arguments; one per thread.
pub struct Answerer {
    labels: Labels,
    compressor: Compressor,
    waiting: Vec<Waiting>,
    keys: [(Family, u64); BATCH],
    rows: [u32; BATCH],
    pending: [u8; BATCH],
}

/// A query for a steered name, between the stages.
#[derive(Clone, Copy, Debug)]
struct Waiting {
    index: u8,
    asked: Asked,
    known: Known,
    resolved: Resolved,
    steered: u32,
    client: Client,
    placed: Option<Placed>,
    plan: u32,
}

impl Default for Answerer {
    fn default() -> Self {
        Self {
            labels: Labels::default(),
            compressor: Compressor::default(),
            waiting: Vec::with_capacity(BATCH),
            keys: [(Family::V4, 0); BATCH],
            rows: [0; BATCH],
            pending: [0; BATCH],
        }
    }
}

impl Answerer {
    /// Answers at most `BATCH` queries. `buffers`: one per request, `stride` octets apart and as long: `UDP_REPLY_BYTES` for
    /// UDP, 65535 for TCP. `lengths`: octets of each reply, 0 where there is none.
    pub fn answer(
        &mut self,
        view: &View<'_>,
        counters: &Counters,
        requests: &[Request<'_>],
        buffers: &mut [u8],
        stride: usize,
        lengths: &mut [usize],
    ) {
        self.waiting.clear();
        for (index, ((request, buffer), length)) in requests
            .iter()
            .zip(buffers.chunks_exact_mut(stride))
            .zip(lengths.iter_mut())
            .take(BATCH)
            .enumerate()
        {
            *length = self.begin(view, counters, request, buffer, index as u8);
        }
        self.place_all(view, counters, requests);
        let mut buffers = buffers.chunks_exact_mut(stride).enumerate();
        let waiting = std::mem::take(&mut self.waiting);
        for waiting in &waiting {
            let index = usize::from(waiting.index);
            let Some((_, buffer)) = buffers.find(|(number, _)| *number == index) else {
                continue;
            };
            lengths[index] = self.finish(view, counters, &requests[index], buffer, waiting);
        }
        self.waiting = waiting;
        let octets = |lengths: &mut dyn Iterator<Item = usize>| lengths.sum::<usize>() as u64;
        counters.add(Counter::BytesIn, octets(&mut requests.iter().map(|request| request.packet.len())));
        counters.add(Counter::BytesOut, octets(&mut lengths[..requests.len()].iter().copied()));
    }

    /// Answers whatever needs no look-up of a client; what does, waits.
    fn begin(
        &mut self,
        view: &View<'_>,
        counters: &Counters,
        request: &Request<'_>,
        buffer: &mut [u8],
        index: u8,
    ) -> usize {
        counters.count(if request.is_tcp { Counter::QueriesTcp } else { Counter::QueriesUdp });
        let asked = match parse(request.packet, &mut self.labels, view.records.steers) {
            Parsed::Dropped(dropped) => {
                counters.count(match dropped {
                    Dropped::Short => Counter::DroppedShort,
                    Dropped::Response => Counter::DroppedResponse,
                });
                return 0;
            }
            Parsed::Bare(rcode) => {
                counters.count_rcode(rcode);
                return bare_reply(buffer, request.packet, rcode);
            }
            Parsed::Asked(asked) => asked,
        };
        if asked.ecs.is_some() {
            counters.count(Counter::EcsQueries);
        }
        if asked.ecs_malformed {
            counters.count(Counter::EcsMalformed);
        }
        if let Some(rcode) = asked.verdict {
            counters.count_rcode(rcode);
            let outcome = Outcome { rcode, is_authoritative: false, is_truncated: false, scope_bits: 0 };
            let message = Message::reply(buffer, request.packet, &asked, MAX_MESSAGE_BYTES);
            return message.finish(request.packet, &asked, outcome, view.records.udp_bytes);
        }
        let known = view
            .records
            .known_whole(asked.name(request.packet), self.labels.count())
            .unwrap_or_else(|| view.records.walk(self.labels.from_the_right(request.packet)));
        let resolved = resolve(view.records, known, &asked);
        let End::Steered(steered, _) = resolved.end else {
            return self.reply(view, counters, request, buffer, (&asked, known, &resolved, None));
        };
        if let Some(chosen) = choose::forced(view, steered, asked.kind == kinds::AAAA, counters) {
            return self.reply(view, counters, request, buffer, (&asked, known, &resolved, Some(&chosen)));
        }
        let client = Client::new(asked.ecs, request.source, counters);
        self.waiting.push(Waiting { index, asked, known, resolved, steered, client, placed: None, plan: 0 });
        0
    }

    /// Looks the clients of all that wait up, and their plans.
    fn place_all(&mut self, view: &View<'_>, counters: &Counters, requests: &[Request<'_>]) {
        let count = self.waiting.len();
        for (key, waiting) in self.keys.iter_mut().zip(&self.waiting) {
            *key = (waiting.client.family, waiting.client.key);
        }
        view.map.find_rows(&self.keys[..count], &mut self.rows[..count], &mut self.pending[..count]);
        view.map.touch_rows(&self.rows[..count]);
        for (waiting, &row) in self.waiting.iter_mut().zip(&self.rows) {
            let steered = view.records.steered(waiting.steered);
            let source = requests[usize::from(waiting.index)].source;
            waiting.placed =
                Some(choose::place(view, steered, source, waiting.client, view.map.row(row), counters));
        }
        for waiting in &mut self.waiting {
            waiting.plan = waiting.placed.map_or(0, |placed| choose::plan_at(view, &placed));
        }
        view.choices.touch(self.waiting.iter().map(|waiting| waiting.plan));
    }

    /// Chooses and writes the answer of one that waited.
    fn finish(
        &mut self,
        view: &View<'_>,
        counters: &Counters,
        request: &Request<'_>,
        buffer: &mut [u8],
        waiting: &Waiting,
    ) -> usize {
        let steered = view.records.steered(waiting.steered);
        let is_ipv6 = waiting.asked.kind == kinds::AAAA;
        let chosen = waiting
            .placed
            .map(|placed| choose::choose(view, steered, placed, waiting.plan, is_ipv6, counters));
        let what = (&waiting.asked, waiting.known, &waiting.resolved, chosen.as_ref());
        self.reply(view, counters, request, buffer, what)
    }

    fn reply(
        &mut self,
        view: &View<'_>,
        counters: &Counters,
        request: &Request<'_>,
        buffer: &mut [u8],
        (asked, known, resolved, chosen): (&Asked, Known, &Resolved, Option<&Chosen<'_>>),
    ) -> usize {
        let limit = limit_bytes(asked, request.is_tcp, view.records.udp_bytes);
        let mut message = Message::reply(buffer, request.packet, asked, limit);
        let mut composer =
            Composer::new(view.records, &mut self.compressor, &mut self.labels, request.packet, known);
        let outcome = composer.compose(&mut message, asked, resolved, chosen, counters);
        counters.count_rcode(outcome.rcode);
        if outcome.is_truncated {
            counters.count(Counter::AnswersTruncated);
        }
        message.finish(request.packet, asked, outcome, view.records.udp_bytes)
    }
}

/// How long `threads` threads take to answer all requests `rounds` times each.
pub fn measure(snapshot: &Snapshot, requests: &[Request<'_>], threads: usize, rounds: usize) -> Duration {
    const STRIDE: usize = UDP_REPLY_BYTES + 64;
    let barrier = Barrier::new(threads + 1);
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                let (mut answerer, counters) = (Answerer::default(), Counters::default());
                let (mut buffers, mut lengths) = (vec![0; BATCH * STRIDE], [0; BATCH]);
                barrier.wait();
                for _ in 0..rounds {
                    for batch in requests.chunks(BATCH) {
                        let view = snapshot.view();
                        answerer.answer(&view, &counters, batch, &mut buffers, STRIDE, &mut lengths);
                    }
                }
                barrier.wait();
            });
        }
        barrier.wait();
        let start = Instant::now();
        barrier.wait();
        start.elapsed()
    })
}

/// Most octets of a reply: RFC 1035 sections 4.2.1 and 4.2.2, RFC 6891 section 6.2.3.
fn limit_bytes(asked: &Asked, is_tcp: bool, udp_bytes: u16) -> usize {
    match asked.edns {
        _ if is_tcp => MAX_MESSAGE_BYTES,
        None => usize::from(PLAIN_UDP_BYTES),
        Some(edns) => usize::from(edns.udp_bytes.max(PLAIN_UDP_BYTES).min(udp_bytes)),
    }
}
