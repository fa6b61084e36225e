//! The thread that answers over TCP: one event loop for all listeners and connections.
use std::collections::HashMap;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, Shutdown, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token, Waker};

use super::connection::{Connection, Next};
use super::engine::Shared;
use crate::answer::{Answerer, Context, Counter, Counters, Request};
use crate::wire::MAX_MESSAGE_BYTES;

const TICK: Duration = Duration::from_millis(250); // between looks for connections that are overdue
const EVENTS: usize = 256;
const WAKER: Token = Token(usize::MAX);
const SOURCE4_BITS: u32 = 24; // prefixes whose connections are counted together
const SOURCE6_BITS: u32 = 48;

/// Bounds of the TCP service.
#[derive(Clone, Copy, Debug)]
pub struct TcpSettings {
    /// How long a connection may go without a whole query (RFC 7766 section 6.2.3).
    pub idle_limit: Duration,
    /// Most connections.
    pub connections: usize,
    /// Most connections from one /24 or /48.
    pub connections_per_prefix: usize,
}

/// Listeners, connections, and what answering needs.
pub(super) struct TcpServer {
    poll: Poll,
    waker: Arc<Waker>,
    listeners: Vec<TcpListener>,
    slots: Vec<Option<Peer>>,
    free: Vec<usize>,
    per_prefix: HashMap<u128, usize>,
    ready: Vec<usize>,
    settings: TcpSettings,
    counters: Arc<Counters>,
    answerer: Answerer,
    reply: Box<[u8]>,
}

/// A connection and whose it is.
struct Peer {
    connection: Connection<TcpStream>,
    source: u128,
    prefix: u128,
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
            per_prefix: HashMap::new(),
            ready: Vec::new(),
            settings,
            counters,
            answerer: Answerer::default(),
            reply: vec![0; MAX_MESSAGE_BYTES].into(),
        })
    }

    /// Ends the wait for events.
    pub(super) fn waker(&self) -> Arc<Waker> {
        Arc::clone(&self.waker)
    }

    /// Answers until told to stop; then gives every connection a last turn.
    pub(super) fn serve(&mut self, shared: &Shared) {
        let mut events = Events::with_capacity(EVENTS);
        let mut next_tick = Instant::now() + TICK;
        while !shared.is_stopping.load(Ordering::Relaxed) {
            let wait = if self.ready.is_empty() { TICK } else { Duration::ZERO };
            if self.poll.poll(&mut events, Some(wait)).is_err() {
                events.clear(); // interrupted
            }
            let mut turns = std::mem::take(&mut self.ready);
            for event in &events {
                match event.token() {
                    WAKER => {}
                    Token(index) if index < self.listeners.len() => self.accept(index, Instant::now()),
                    Token(index) => turns.push(index - self.listeners.len()),
                }
            }
            turns.sort_unstable();
            turns.dedup();
            for &slot in &turns {
                self.turn(slot, shared);
            }
            let now = Instant::now();
            if now >= next_tick {
                self.tick(now);
                next_tick = now + TICK;
            }
        }
        for slot in 0..self.slots.len() {
            self.turn(slot, shared);
            self.close(slot);
        }
    }

    /// Closes what is overdue; accepts what an earlier fault (no descriptors left) kept waiting.
    fn tick(&mut self, now: Instant) {
        for slot in 0..self.slots.len() {
            if self.slots[slot].as_ref().is_some_and(|peer| peer.connection.is_overdue(now)) {
                self.counters.count(Counter::TcpTimeouts);
                self.close(slot);
            }
        }
        for listener in 0..self.listeners.len() {
            self.accept(listener, now);
        }
    }

    /// Takes all connections that wait; those above a bound are closed at once.
    fn accept(&mut self, listener: usize, now: Instant) {
        loop {
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
    }

    fn add(&mut self, mut stream: TcpStream, address: SocketAddr, now: Instant) -> io::Result<()> {
        let (source, prefix) = source_and_prefix(address.ip());
        let taken = self.per_prefix.get(&prefix).copied().unwrap_or(0);
        if taken >= self.settings.connections_per_prefix {
            return Err(ErrorKind::QuotaExceeded.into());
        }
        let slot = self.free.last().copied().ok_or(ErrorKind::QuotaExceeded)?;
        stream.set_nodelay(true)?; // replies are written whole
        let token = Token(self.listeners.len() + slot);
        self.poll.registry().register(&mut stream, token, Interest::READABLE | Interest::WRITABLE)?;
        self.free.pop();
        self.per_prefix.insert(prefix, taken + 1);
        let connection = Connection::new(stream, now, self.settings.idle_limit);
        self.slots[slot] = Some(Peer { connection, source, prefix });
        Ok(())
    }

    fn turn(&mut self, slot: usize, shared: &Shared) {
        let Some(peer) = self.slots.get_mut(slot).and_then(Option::as_mut) else {
            return; // closed since its event
        };
        let snapshot = shared.snapshot.load();
        let (answerer, reply) = (&mut self.answerer, &mut self.reply);
        let context = Context {
            view: snapshot.view(),
            counters: &self.counters,
            limiter: None, // whoever has completed a handshake is who he says
            notified: &shared.notified,
            now: shared.now(),
        };
        let source = peer.source;
        let next = peer.connection.turn(Instant::now(), &mut |packet, output| {
            let (stride, mut length) = (reply.len(), [0]);
            answerer.answer(
                &context,
                &[Request { packet, source, is_tcp: true }],
                reply,
                stride,
                &mut length,
            );
            output.extend_from_slice(&reply[..length[0]]);
            length[0] > 0
        });
        match next {
            Next::Wait => {}
            Next::Again => self.ready.push(slot),
            Next::Close => self.close(slot),
        }
    }

    fn close(&mut self, slot: usize) {
        let Some(mut peer) = self.slots[slot].take() else { return };
        let stream = peer.connection.stream_mut();
        let _ = self.poll.registry().deregister(stream); // closing does the same
        let _ = stream.shutdown(Shutdown::Write); // it may be closed already
        self.free.push(slot);
        if let Some(taken) = self.per_prefix.get_mut(&peer.prefix) {
            *taken -= 1;
            if *taken == 0 {
                self.per_prefix.remove(&peer.prefix);
            }
        }
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
