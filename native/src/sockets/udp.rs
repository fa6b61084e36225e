//! A thread that answers over UDP: receive a batch, answer it from one snapshot, send the replies.
use std::io::ErrorKind;
use std::net::UdpSocket;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use super::datagrams::Datagrams;
use super::engine::Shared;
use crate::answer::{Answerer, Context, Counter, Counters, Observer};

const DRAINED_BATCHES: usize = 1024; // when stopping; more than a full socket buffer holds
const FAULT_PAUSE: Duration = Duration::from_millis(1); // a fault that stays must not take a whole core

/// One thread's socket and buffers.
pub(super) struct UdpServer {
    socket: UdpSocket,
    datagrams: Datagrams,
    answerer: Answerer,
    counters: Arc<Counters>,
    observer: Arc<Observer>,
}

impl UdpServer {
    /// `is_wildcard`: the socket is bound to no one address, and says of each datagram to which it came.
    pub(super) fn new(
        socket: UdpSocket,
        is_wildcard: bool,
        counters: Arc<Counters>,
        observer: Arc<Observer>,
    ) -> Self {
        let datagrams = Datagrams::new(is_wildcard);
        Self { socket, datagrams, answerer: Answerer::default(), counters, observer }
    }

    /// Answers until told to stop, and then what has come by that time.
    pub(super) fn serve(&mut self, shared: &Shared) {
        while !shared.is_stopping.load(Ordering::Relaxed) {
            self.turn(shared, libc::MSG_WAITFORONE);
        }
        for _ in 0..DRAINED_BATCHES {
            if !self.turn(shared, libc::MSG_DONTWAIT) {
                return;
            }
        }
    }

    /// One batch; false when there was none.
    fn turn(&mut self, shared: &Shared, flags: libc::c_int) -> bool {
        match self.datagrams.receive(&self.socket, flags) {
            Ok(_) => {}
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {
                return false;
            }
            Err(_) => {
                self.counters.count(Counter::ReceiveErrors);
                thread::sleep(FAULT_PAUSE);
                return false;
            }
        }
        let (answerer, counters, observer) = (&mut self.answerer, &self.counters, &self.observer);
        self.datagrams.answer(|requests, replies, stride, lengths| {
            let (snapshot, limiter) = (shared.snapshot.load(), shared.limiter.load()); // for this batch alone
            let writing = observer.begin();
            let context = Context {
                view: snapshot.view(),
                counters,
                limiter: limiter.as_deref(),
                notified: &shared.notified,
                observed: Some(writing.side()),
                now: shared.now(),
            };
            answerer.answer(&context, requests, replies, stride, lengths);
        });
        let failed = self.datagrams.send(&self.socket);
        if failed > 0 {
            self.counters.add(Counter::SendErrors, failed);
        }
        true
    }
}
