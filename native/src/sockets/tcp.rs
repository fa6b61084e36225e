//! The thread that answers over TCP (RFC 7766): one event loop for all listeners and connections.
//!
//! **Bounds.** There are at most `connections`, of which `connections_per_prefix` from one /24 or /48; where
//! all are taken, a newcomer takes the place of another. Each takes at most about 150 KiB of ours (see
//! `connection`), and of the kernel's 64 KiB for what it receives, and 16 KiB and one write (64 KiB at worst)
//! for what its peer does not read. It ends when it makes no progress for `idle_limit`; after `total_limit`,
//! as soon as all that has come was answered, and in any case one `idle_limit` later.
//!
//! **Who gives way to a newcomer** (RFC 7766 section 6.2.3 has servers close what is idle): where those that
//! never asked hold more than half of all places, the one of them that has waited longest; else the idlest of
//! all. So a flood of silent connections leaves half of the places to those that ask; and where an attacker
//! has asked on all of his and keeps them, a newcomer whose query is still on its way is not the first to go.
//!
//! Whoever is turned away, evicted or late is reset (RFC 1035 section 4.2.2 allows it), which leaves the
//! kernel nothing to keep or send again.
use std::collections::HashMap;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, Shutdown, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token, Waker};
use socket2::SockRef;

use super::connection::{Connection, Next};
use super::engine::Shared;
use super::order::Order;
use crate::answer::{Answerer, Context, Counter, Counters, Observer, Request};
use crate::wire::MAX_MESSAGE_BYTES;

#[cfg(test)]
mod tests;

const TICK: Duration = Duration::from_millis(250); // between looks for connections whose time is over
const EVENTS: usize = 256;
const ACCEPTS_PER_TURN: usize = 16; // so that those accepted have asked before others need their places
const WAKER: Token = Token(usize::MAX);
const SOURCE4_BITS: u32 = 24; // prefixes whose connections are counted together
const SOURCE6_BITS: u32 = 48;

/// Bounds of the TCP service.
#[derive(Clone, Copy, Debug)]
pub struct TcpSettings {
    /// How long a connection may go without a whole query (RFC 7766 section 6.2.3).
    pub idle_limit: Duration,
    /// How long a connection may stay, however much it asks.
    pub total_limit: Duration,
    /// Most connections.
    pub connections: usize,
    /// Most connections from one /24 or /48.
    pub connections_per_prefix: usize,
}

/// Listeners and connections.
pub(super) struct TcpServer {
    poll: Poll,
    waker: Arc<Waker>,
    listeners: Vec<TcpListener>,
    slots: Vec<Option<Peer>>,
    free: Vec<usize>,
    order: Order,
    per_prefix: HashMap<u128, usize>,
    ready: Vec<usize>, // tokens that have more to do without a further event
    in_hand: Option<usize>,
    settings: TcpSettings,
    counters: Arc<Counters>,
}

/// Answers single messages.
pub(super) struct TcpAnswers {
    answerer: Answerer,
    counters: Arc<Counters>,
    observer: Arc<Observer>,
    reply: Box<[u8]>,
}

/// A connection and whose it is.
struct Peer {
    connection: Connection<TcpStream>,
    source: u128,
    prefix: u128,
}

/// How a connection is closed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Ending {
    /// What was sent arrives.
    Finish,
    /// At once, with nothing left behind.
    Reset,
}

impl TcpServer {
    pub(super) fn new(
        listeners: Vec<std::net::TcpListener>,
        settings: TcpSettings,
        counters: Arc<Counters>,
    ) -> io::Result<Self> {
        let poll = Poll::new()?;
        let waker = Arc::new(Waker::new(poll.registry(), WAKER)?);
        let mut listeners: Vec<TcpListener> = listeners.into_iter().map(TcpListener::from_std).collect();
        for (index, listener) in listeners.iter_mut().enumerate() {
            poll.registry().register(listener, Token(index), Interest::READABLE)?;
        }
        Ok(Self {
            poll,
            waker,
            listeners,
            slots: (0..settings.connections).map(|_| None).collect(),
            free: (0..settings.connections).rev().collect(),
            order: Order::new(settings.connections),
            per_prefix: HashMap::new(),
            ready: Vec::new(),
            in_hand: None,
            settings,
            counters,
        })
    }

    /// Ends the wait for events.
    pub(super) fn waker(&self) -> Arc<Waker> {
        Arc::clone(&self.waker)
    }

    /// Answers until told to stop; then gives every connection a last turn. `answer`: appends the reply to a
    /// message from a source; returns false where there is none.
    ///
    /// May be called again after a panic: it drops the connection that was in hand, and gives all others a
    /// turn, since their events may be lost.
    pub(super) fn serve(
        &mut self,
        shared: &Shared,
        answer: &mut impl FnMut(&[u8], u128, &mut Vec<u8>) -> bool,
    ) {
        if let Some(slot) = self.in_hand.take() {
            self.close(slot, Ending::Reset);
        }
        self.ready.clear();
        self.ready.extend(0..self.listeners.len() + self.slots.len());
        let (mut events, mut turns) = (Events::with_capacity(EVENTS), Vec::new());
        let mut next_tick = Instant::now() + TICK;
        while !shared.is_stopping.load(Ordering::Relaxed) {
            let wait = if self.ready.is_empty() { TICK } else { Duration::ZERO };
            if self.poll.poll(&mut events, Some(wait)).is_err() {
                events.clear(); // interrupted
            }
            turns.clear();
            turns.append(&mut self.ready);
            turns.extend(
                events.iter().map(|event| event.token()).filter(|&token| token != WAKER).map(usize::from),
            );
            turns.sort_unstable();
            turns.dedup();
            // Listeners last: whoever has asked is not to be taken for one who has not.
            for &token in turns.iter().rev() {
                match token.checked_sub(self.listeners.len()) {
                    None => self.accept(token, Instant::now()),
                    Some(slot) => self.turn(slot, Instant::now(), answer),
                }
            }
            let now = Instant::now();
            if now >= next_tick {
                self.tick(now);
                next_tick = now + TICK;
            }
        }
        for slot in 0..self.slots.len() {
            self.turn(slot, Instant::now(), answer);
            self.close(slot, Ending::Finish);
        }
    }

    /// Resets those that are late; gives a last turn to those that were there long enough, and to listeners,
    /// which an earlier fault (no descriptors left) may have kept waiting.
    fn tick(&mut self, now: Instant) {
        self.ready.extend(0..self.listeners.len());
        for slot in 0..self.slots.len() {
            let Some(peer) = &self.slots[slot] else { continue };
            if self.settings.is_late(&peer.connection, now) {
                self.counters.count(Counter::TcpTimeouts);
                self.close(slot, Ending::Reset);
            } else if peer.connection.age(now) >= self.settings.total_limit {
                self.ready.push(self.listeners.len() + slot);
            }
        }
    }

    /// Takes connections that wait.
    fn accept(&mut self, listener: usize, now: Instant) {
        for _ in 0..ACCEPTS_PER_TURN {
            match self.listeners[listener].accept() {
                Ok((stream, address)) => {
                    let counter = match self.add(stream, address, now) {
                        Ok(()) => Counter::TcpConnections,
                        Err(_) => Counter::TcpRefused,
                    };
                    self.counters.count(counter);
                }
                Err(error)
                    if matches!(error.kind(), ErrorKind::Interrupted | ErrorKind::ConnectionAborted) => {}
                Err(_) => return, // none waits, or no descriptor is left: a tick tries again
            }
        }
        self.ready.push(listener);
    }

    /// Gives a connection a place, or resets it.
    fn add(&mut self, mut stream: TcpStream, address: SocketAddr, now: Instant) -> io::Result<()> {
        let (source, prefix) = source_and_prefix(address.ip());
        if self.per_prefix.get(&prefix).is_some_and(|&taken| taken >= self.settings.connections_per_prefix) {
            return Err(ErrorKind::QuotaExceeded.into());
        }
        if let (true, Some(idlest)) = (self.free.is_empty(), self.idlest()) {
            self.counters.count(Counter::TcpEvicted);
            self.close(idlest, Ending::Reset);
        }
        let slot = self.free.last().copied().ok_or(ErrorKind::QuotaExceeded)?;
        let token = Token(self.listeners.len() + slot);
        self.poll.registry().register(&mut stream, token, Interest::READABLE | Interest::WRITABLE)?;
        self.free.pop();
        *self.per_prefix.entry(prefix).or_default() += 1;
        self.order.touch(slot, false);
        self.slots[slot] = Some(Peer { connection: Connection::new(stream, now), source, prefix });
        Ok(())
    }

    /// The connection that gives way.
    fn idlest(&self) -> Option<usize> {
        let [waiting, asking] = [false, true].map(|has_asked| self.order.first(has_asked));
        let progressed = |slot: usize| self.slots[slot].as_ref().map(|peer| peer.connection.progressed());
        match (waiting, asking) {
            (Some(waiting), Some(asking)) => {
                let is_flood = self.order.count(false) > self.settings.connections / 2;
                let is_waiting_idler = progressed(waiting) <= progressed(asking);
                Some(if is_flood || is_waiting_idler { waiting } else { asking })
            }
            (waiting, asking) => waiting.or(asking),
        }
    }

    fn turn(
        &mut self,
        slot: usize,
        now: Instant,
        answer: &mut impl FnMut(&[u8], u128, &mut Vec<u8>) -> bool,
    ) {
        let Some(peer) = self.slots.get_mut(slot).and_then(Option::as_mut) else {
            return; // closed since its event
        };
        self.in_hand = Some(slot);
        let (source, progressed) = (peer.source, peer.connection.progressed());
        let next = peer.connection.turn(now, &mut |message, output| answer(message, source, output));
        self.in_hand = None;
        if peer.connection.progressed() != progressed {
            self.order.touch(slot, peer.connection.has_asked());
        }
        match next {
            Next::Wait => {
                if peer.connection.age(now) >= self.settings.total_limit && peer.connection.is_settled() {
                    self.counters.count(Counter::TcpTimeouts);
                    self.close(slot, Ending::Finish);
                }
            }
            Next::Again => self.ready.push(self.listeners.len() + slot),
            Next::Close => self.close(slot, Ending::Finish),
        }
    }

    fn close(&mut self, slot: usize, ending: Ending) {
        let Some(mut peer) = self.slots[slot].take() else { return };
        let stream = peer.connection.stream_mut();
        let _ = self.poll.registry().deregister(stream); // closing does the same
        if ending == Ending::Finish {
            let _ = SockRef::from(&*stream).set_linger(None);
            let _ = stream.shutdown(Shutdown::Write); // it may be closed already
        } // else it is reset, as its listener was told
        self.free.push(slot);
        self.order.remove(slot);
        if let Some(taken) = self.per_prefix.get_mut(&peer.prefix) {
            *taken -= 1;
            if *taken == 0 {
                self.per_prefix.remove(&peer.prefix);
            }
        }
    }
}

impl TcpAnswers {
    pub(super) fn new(counters: Arc<Counters>, observer: Arc<Observer>) -> Self {
        let reply = vec![0; MAX_MESSAGE_BYTES].into();
        Self { answerer: Answerer::default(), counters, observer, reply }
    }

    /// Appends the reply to a message; returns false where there is none.
    pub(super) fn answer(
        &mut self,
        shared: &Shared,
        packet: &[u8],
        source: u128,
        output: &mut Vec<u8>,
    ) -> bool {
        let (snapshot, writing) = (shared.snapshot.load(), self.observer.begin());
        let context = Context {
            view: snapshot.view(),
            counters: &self.counters,
            limiter: None, // whoever has completed a handshake is who he says
            notified: &shared.notified,
            observed: Some(writing.side()),
            now: shared.now(),
        };
        let (stride, mut length) = (self.reply.len(), [0]);
        let request = Request { packet, source, is_tcp: true };
        self.answerer.answer(&context, &[request], &mut self.reply, stride, &mut length);
        output.extend_from_slice(&self.reply[..length[0]]);
        length[0] > 0
    }
}

impl TcpSettings {
    /// Whether a connection has gone without progress, or stayed, for too long.
    fn is_late(&self, connection: &Connection<TcpStream>, now: Instant) -> bool {
        now.saturating_duration_since(connection.progressed()) >= self.idle_limit
            || connection.age(now) >= self.total_limit.saturating_add(self.idle_limit)
    }
}

/// A peer's address as 128 bits, IPv4 as ::ffff:a.b.c.d, and its /24 or /48.
fn source_and_prefix(address: IpAddr) -> (u128, u128) {
    match address {
        IpAddr::V4(address) => {
            let source = u128::from(address.to_ipv6_mapped());
            (source, source >> (32 - SOURCE4_BITS) << (32 - SOURCE4_BITS))
        }
        IpAddr::V6(address) => {
            let source = u128::from(address);
            (source, source >> (128 - SOURCE6_BITS) << (128 - SOURCE6_BITS))
        }
    }
}
