//! The engine: threads that answer from one snapshot, which is swapped by one pointer.
use std::io;
use std::net::SocketAddr;
use std::panic::{self, AssertUnwindSafe};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use arc_swap::{ArcSwap, ArcSwapOption};

use super::bind::{BindError, Listener};
use super::tcp::{TcpAnswers, TcpServer, TcpSettings};
use super::udp::UdpServer;
use crate::answer::{COUNTER_NAMES, Counters, Limiter, Notified, Now, Observations, Observer};
use crate::snapshot::Snapshot;

const RELEASE_WAIT: Duration = Duration::from_secs(1);
const RELEASE_STEP: Duration = Duration::from_micros(50);

/// What all threads of an engine look at.
pub(super) struct Shared {
    /// The one pointer. Its Arc is the engine's own, so that its count says whether a thread still answers
    /// from it.
    pub(super) snapshot: ArcSwap<Snapshot>,
    /// Replaced as a whole when its settings change.
    pub(super) limiter: Arc<ArcSwapOption<Limiter>>,
    /// Zones whose primaries have news.
    pub(super) notified: Arc<Notified>,
    /// Set once, to end.
    pub(super) is_stopping: AtomicBool,
    /// From where the monotonic clock counts.
    started: Instant,
}

impl Shared {
    pub(super) fn new(
        snapshot: &Snapshot,
        limiter: Arc<ArcSwapOption<Limiter>>,
        notified: Arc<Notified>,
    ) -> Self {
        Self {
            snapshot: ArcSwap::from_pointee(snapshot.clone()),
            limiter,
            notified,
            is_stopping: AtomicBool::new(false),
            started: Instant::now(),
        }
    }

    /// The time, to be asked for once per batch. A wall clock that stands before 1970 counts as 1970.
    pub(super) fn now(&self) -> Now {
        let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Now { unix_s: unix.as_secs() as u32, monotonic_ns: self.started.elapsed().as_nanos() as u64 }
    }
}

/// A nameserver's sockets and threads.
pub struct Engine {
    ports: Vec<u16>,
    counters: Vec<Arc<Counters>>,
    observers: Mutex<Vec<Arc<Observer>>>, // one reader at a time
    limiter: Arc<ArcSwapOption<Limiter>>,
    notified: Arc<Notified>,
    state: Mutex<State>,
}

/// Where in its life an engine is.
enum State {
    Bound(Vec<Listener>, TcpSettings),
    Serving { shared: Arc<Shared>, threads: Vec<JoinHandle<()>>, waker: Arc<mio::Waker> },
    Stopped,
}

impl Engine {
    /// Opens all sockets; `threads`: UDP sockets and threads per address, at least 1.
    /// # Errors
    /// The first address that cannot be listened on.
    pub fn bind(addresses: &[SocketAddr], threads: usize, tcp: TcpSettings) -> Result<Self, BindError> {
        let threads = threads.max(1);
        let listeners: Vec<Listener> =
            addresses.iter().map(|&address| Listener::bind(address, threads)).collect::<Result<_, _>>()?;
        let ports = listeners.iter().map(|listener| listener.port).collect();
        let answering = 0..=listeners.len() * threads; // one more for TCP
        let counters = answering.clone().map(|_| Arc::new(Counters::default())).collect();
        let observers = Mutex::new(answering.map(|_| Arc::new(Observer::default())).collect());
        let state = Mutex::new(State::Bound(listeners, tcp));
        Ok(Self { ports, counters, observers, limiter: Arc::default(), notified: Arc::default(), state })
    }

    /// The port of each address.
    pub fn ports(&self) -> &[u16] {
        &self.ports
    }

    /// Starts all threads.
    /// # Errors
    /// When it has been started before, or the system has no thread or event queue to give.
    pub fn start(&self, snapshot: &Snapshot) -> io::Result<()> {
        let mut state = self.state();
        let State::Bound(listeners, tcp) = std::mem::replace(&mut *state, State::Stopped) else {
            return Err(io::Error::other("the engine was started before"));
        };
        let shared = Arc::new(Shared::new(snapshot, Arc::clone(&self.limiter), Arc::clone(&self.notified)));
        let mut threads = Vec::new();
        match self.start_threads(listeners, tcp, &shared, &mut threads) {
            Ok(waker) => {
                *state = State::Serving { shared, threads, waker };
                Ok(())
            }
            Err(error) => {
                end(&shared, threads); // none may answer on for an engine that does not
                Err(error)
            }
        }
    }

    fn start_threads(
        &self,
        listeners: Vec<Listener>,
        tcp: TcpSettings,
        shared: &Arc<Shared>,
        threads: &mut Vec<JoinHandle<()>>,
    ) -> io::Result<Arc<mio::Waker>> {
        let observers = self.observers();
        let mut own = self.counters.iter().zip(observers.iter());
        let mut own = || {
            own.next().map_or_else(Default::default, |(counters, observer)| {
                (Arc::clone(counters), Arc::clone(observer))
            })
        };
        let mut tcp_listeners = Vec::new();
        for listener in listeners {
            for socket in listener.udp {
                let (counters, observer) = own();
                let mut server = UdpServer::new(socket, listener.is_wildcard, counters, observer);
                threads.push(spawn("steer-udp", shared, move |shared| server.serve(shared))?);
            }
            tcp_listeners.push(listener.tcp);
        }
        let (counters, observer) = own();
        let mut answers = TcpAnswers::new(Arc::clone(&counters), observer);
        let mut server = TcpServer::new(tcp_listeners, tcp, counters)?;
        let waker = server.waker();
        threads.push(spawn("steer-tcp", shared, move |shared| {
            server
                .serve(shared, &mut |packet, source, output| answers.answer(shared, packet, source, output));
        })?);
        Ok(waker)
    }

    /// Answers from another snapshot from now on. Returns when no thread answers from the old one any longer,
    /// so that freeing it delays no query.
    /// # Errors
    /// When it does not serve.
    pub fn swap(&self, snapshot: &Snapshot) -> io::Result<()> {
        let shared = match &*self.state() {
            State::Serving { shared, .. } => Arc::clone(shared),
            _ => return Err(io::Error::other("the engine does not serve")),
        };
        let old = shared.snapshot.swap(Arc::new(snapshot.clone()));
        let give_up = Instant::now() + RELEASE_WAIT;
        while Arc::strong_count(&old) > 1 && Instant::now() < give_up {
            thread::sleep(RELEASE_STEP);
        }
        Ok(())
    }

    /// Limits responses over UDP in this way from now on; none: no more. May be called at any time, before the
    /// start too.
    pub fn set_limiter(&self, limiter: Option<Arc<Limiter>>) {
        self.limiter.store(limiter);
    }

    /// Zones, by the indices of the snapshots that were asked, whose primaries have said since this was last
    /// called that there is something new (RFC 1996).
    pub fn take_notified(&self) -> Vec<usize> {
        self.notified.take()
    }

    /// Answers what has come, ends all threads, closes all sockets. Does nothing the second time.
    pub fn stop(&self) {
        let state = std::mem::replace(&mut *self.state(), State::Stopped);
        if let State::Serving { shared, threads, waker } = state {
            shared.is_stopping.store(true, Ordering::Relaxed);
            let _ = waker.wake(); // else the thread looks at the flag by itself a little later
            end(&shared, threads);
        }
    }

    /// The counters, summed over threads, in order.
    pub fn counters(&self) -> [u64; COUNTER_NAMES.len()] {
        let mut sums = [0; COUNTER_NAMES.len()];
        for counters in &self.counters {
            for (sum, count) in sums.iter_mut().zip(counters.plain()) {
                *sum += count;
            }
        }
        sums
    }

    /// A labelled counter, summed over threads.
    pub fn labelled(&self, index: usize) -> u64 {
        self.counters.iter().map(|counters| counters.labelled(index)).sum()
    }

    /// What all threads saw since this was last called.
    pub fn take_observations(&self) -> Observations {
        let mut observations = Observations::default();
        for observer in self.observers().iter() {
            observer.take(&mut observations);
        }
        observations
    }

    fn observers(&self) -> MutexGuard<'_, Vec<Arc<Observer>>> {
        self.observers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.stop();
    }
}

fn end(shared: &Shared, threads: Vec<JoinHandle<()>>) {
    shared.is_stopping.store(true, Ordering::Relaxed);
    for thread in threads {
        let _ = thread.join();
    }
}

/// Runs `serve` until it ends by itself. A panic is a fault of ours: it costs the batch in hand, never the
/// thread.
fn spawn(
    name: &str,
    shared: &Arc<Shared>,
    mut serve: impl FnMut(&Shared) + Send + 'static,
) -> io::Result<JoinHandle<()>> {
    let shared = Arc::clone(shared);
    thread::Builder::new()
        .name(name.into())
        .spawn(move || while panic::catch_unwind(AssertUnwindSafe(|| serve(&shared))).is_err() {})
}
