//! Measures answering alone, from memory to memory.
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use super::{Answerer, BATCH, Context, Counters, Limiter, Notified, Now, Request, UDP_REPLY_BYTES};
use crate::snapshot::Snapshot;

/// How long `threads` threads take to answer all requests `rounds` times each. `limiter`: is asked about each,
/// and better lets them pass.
pub fn measure(
    snapshot: &Snapshot,
    limiter: Option<&Limiter>,
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
                let (mut buffers, mut lengths) = (vec![0; BATCH * STRIDE], [0; BATCH]);
                barrier.wait();
                for _ in 0..rounds {
                    for batch in requests.chunks(BATCH) {
                        let context = Context {
                            view: snapshot.view(),
                            counters: &counters,
                            limiter,
                            notified: &notified,
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
