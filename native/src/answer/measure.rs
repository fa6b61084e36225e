//! Measures answering alone, from memory to memory; and tells what is observed by it.
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use super::{
    Answerer, BATCH, Context, Counters, Limiter, Notified, Now, Observations, Observer, Request,
    UDP_REPLY_BYTES, Writing,
};
use crate::snapshot::Snapshot;
use crate::wire::MAX_MESSAGE_BYTES;

/// How long `threads` threads take to answer all requests `rounds` times each. `limiter`: is asked about each,
/// and better lets them pass. `observes`: whether it is observed who asks.
pub fn measure(
    snapshot: &Snapshot,
    limiter: Option<&Limiter>,
    observes: bool,
    requests: &[Request<'_>],
    threads: usize,
    rounds: usize,
) -> Duration {
    const STRIDE: usize = UDP_REPLY_BYTES + 64;
    let barrier = Barrier::new(threads + 1);
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                let (mut answerer, counters, notified) =
                    (Answerer::default(), Counters::default(), Notified::default());
                let observer = observes.then(Observer::default);
                let (mut buffers, mut lengths) = (vec![0; BATCH * STRIDE], [0; BATCH]);
                barrier.wait();
                for _ in 0..rounds {
                    for batch in requests.chunks(BATCH) {
                        let writing = observer.as_ref().map(Observer::begin);
                        let context = Context {
                            view: snapshot.view(),
                            counters: &counters,
                            limiter,
                            notified: &notified,
                            observed: writing.as_ref().map(Writing::side),
                            now: Now::default(),
                        };
                        answerer.answer(&context, batch, &mut buffers, STRIDE, &mut lengths);
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

/// What one thread observes of requests that come one by one.
pub fn observe(snapshot: &Snapshot, requests: &[Request<'_>], now: Now) -> Observations {
    let (observer, mut observations) = (Observer::default(), Observations::default());
    let (counters, notified) = (Counters::default(), Notified::default());
    let (mut answerer, mut buffer, mut length) = (Answerer::default(), vec![0; MAX_MESSAGE_BYTES], [0]);
    for &request in requests {
        let writing = observer.begin();
        let context = Context {
            view: snapshot.view(),
            counters: &counters,
            limiter: None,
            notified: &notified,
            observed: Some(writing.side()),
            now,
        };
        answerer.answer(&context, &[request], &mut buffer, MAX_MESSAGE_BYTES, &mut length);
    }
    observer.take(&mut observations);
    observations
}
