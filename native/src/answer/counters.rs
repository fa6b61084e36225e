//! What the engine counts: one set of counters per thread, which alone writes them; readers may look at any
//! time.
use std::sync::atomic::{AtomicU64, Ordering};

use crate::snapshot::format::LABELLED_COUNT;
use crate::wire::Rcode;

/// Declares the counters, in the order of `steer/telemetry/counters.py`.
macro_rules! counters {
    ($($variant:ident = $name:literal),+ $(,)?) => {
        /// A counter that every engine has.
        #[derive(Clone, Copy, Debug, Eq, PartialEq)]
        #[allow(missing_docs, reason = "docs/snapshot_format.md says what each counts")]
        pub enum Counter { $($variant),+ }

        /// The counters' names, in order.
        pub const COUNTER_NAMES: &[&str] = &[$($name),+];
    };
}
counters! {
    QueriesUdp = "queries_udp", QueriesTcp = "queries_tcp",
    DroppedShort = "dropped_short", DroppedResponse = "dropped_response",
    AnswersNoError = "answers_noerror", AnswersFormErr = "answers_formerr",
    AnswersServFail = "answers_servfail", AnswersNxDomain = "answers_nxdomain",
    AnswersNotImp = "answers_notimp", AnswersRefused = "answers_refused",
    AnswersBadVers = "answers_badvers",
    AnswersSteered = "answers_steered", AnswersForced = "answers_forced", AnswersNodata = "answers_nodata",
    AnswersReferral = "answers_referral", AnswersTruncated = "answers_truncated",
    EcsQueries = "ecs_queries", EcsUsed = "ecs_used",
    EcsSpecial = "ecs_special", EcsMalformed = "ecs_malformed",
    BytesIn = "bytes_in", BytesOut = "bytes_out",
    TcpConnections = "tcp_connections", TcpRefused = "tcp_refused", TcpTimeouts = "tcp_timeouts",
    SendErrors = "send_errors", ReceiveErrors = "receive_errors",
    CookiesValid = "cookies_valid", CookiesNew = "cookies_new", CookiesMalformed = "cookies_malformed",
    RateDropped = "rate_dropped", RateSlipped = "rate_slipped", Notifies = "notifies",
    AnswersSigned = "answers_signed", TcpEvicted = "tcp_evicted",
}

/// One thread's counters.
#[derive(Debug)]
pub struct Counters {
    plain: [AtomicU64; COUNTER_NAMES.len()],
    labelled: Box<[AtomicU64]>,
}

impl Default for Counters {
    fn default() -> Self {
        Self {
            plain: std::array::from_fn(|_| AtomicU64::new(0)),
            labelled: (0..LABELLED_COUNT).map(|_| AtomicU64::new(0)).collect(),
        }
    }
}

impl Counters {
    /// Counts one.
    pub fn count(&self, counter: Counter) {
        self.add(counter, 1);
    }

    /// Counts several.
    pub fn add(&self, counter: Counter, amount: u64) {
        add(&self.plain[counter as usize], amount);
    }

    /// Counts one for a label, by the index that the snapshot has.
    pub fn count_labelled(&self, index: u32) {
        if let Some(counter) = self.labelled.get(index as usize) {
            add(counter, 1);
        }
    }

    /// Counts an answer by its rcode.
    pub fn count_rcode(&self, rcode: Rcode) {
        self.count(match rcode {
            Rcode::NoError => Counter::AnswersNoError,
            Rcode::FormErr => Counter::AnswersFormErr,
            Rcode::ServFail => Counter::AnswersServFail,
            Rcode::NxDomain => Counter::AnswersNxDomain,
            Rcode::NotImp => Counter::AnswersNotImp,
            Rcode::Refused => Counter::AnswersRefused,
            Rcode::BadVers => Counter::AnswersBadVers,
        });
    }

    /// The counters, in order.
    pub fn plain(&self) -> [u64; COUNTER_NAMES.len()] {
        std::array::from_fn(|index| self.plain[index].load(Ordering::Relaxed))
    }

    /// A labelled counter; 0 for an index that no snapshot may have.
    pub fn labelled(&self, index: usize) -> u64 {
        self.labelled.get(index).map_or(0, |counter| counter.load(Ordering::Relaxed))
    }
}

/// Adds without locking the bus: no other thread writes this counter.
fn add(counter: &AtomicU64, amount: u64) {
    counter.store(counter.load(Ordering::Relaxed).wrapping_add(amount), Ordering::Relaxed);
}
