//! steer's native engine: the Python face of the packet loop, and the only file that names pyo3.
pub mod answer;
pub mod snapshot;
pub mod sockets;
pub mod wire;

/// The packet loop of steer: snapshots proved at load, and threads that answer from them.
#[cfg(feature = "python")]
#[pyo3::pymodule]
mod _native {
    use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
    use std::path::Path;
    use std::sync::{Arc, LazyLock};
    use std::time::Duration;

    use pyo3::exceptions::{PyOSError, PyValueError};
    use pyo3::prelude::*;
    use pyo3::types::PyBytes;

    use crate::answer::{
        Answerer, BadLimit, COUNTER_NAMES, Context, Counters, LimitSettings, Notified, Now, Observations,
        Request, SeenUnit, UDP_REPLY_BYTES, measure, observe,
    };
    use crate::snapshot::{self, AlignedBytes, BadPart, DeploymentKey, Family};
    use crate::sockets::{self, LoadedFile, TcpSettings};
    use crate::wire::MAX_MESSAGE_BYTES;

    /// What depends on neither client nor POPs: zones, names, rrsets, settings.
    ///
    /// `data`: a part as `steer.publish.format.pack_part` writes it. ValueError says which invariant fails.
    #[pyclass(frozen)]
    struct Records(Arc<snapshot::Records>);

    #[pymethods]
    impl Records {
        #[new]
        fn new(py: Python<'_>, data: &[u8]) -> PyResult<Self> {
            py.detach(|| snapshot::Records::load(data)).map(|part| Self(Arc::new(part))).map_err(refused)
        }

        /// 16 bytes that name the part's inputs.
        #[getter]
        fn identity<'p>(&self, py: Python<'p>) -> Bound<'p, PyBytes> {
            PyBytes::new(py, &self.0.identity)
        }
    }

    /// What depends on the client: leaves, classes, plans.
    #[pyclass(frozen)]
    struct Map(Arc<snapshot::Map>);

    #[pymethods]
    impl Map {
        /// Reads the file into memory and proves it. `check_crc32`: False where whoever wrote the file has
        /// just done so. OSError, or ValueError that says which invariant fails.
        #[staticmethod]
        fn open(py: Python<'_>, path: &str, check_crc32: bool) -> PyResult<Self> {
            py.detach(|| {
                let storage = Box::new(LoadedFile::open(Path::new(path))?);
                Ok(snapshot::Map::load(storage, check_crc32))
            })
            .and_then(|loaded| loaded.map(|part| Self(Arc::new(part))).map_err(refused))
        }

        /// Copies the part and proves it. ValueError says which invariant fails.
        #[staticmethod]
        fn from_bytes(py: Python<'_>, data: &[u8]) -> PyResult<Self> {
            py.detach(|| snapshot::Map::load(Box::new(AlignedBytes::new(data)), true))
                .map(|part| Self(Arc::new(part)))
                .map_err(refused)
        }

        /// 16 bytes that name the part's inputs.
        #[getter]
        fn identity<'p>(&self, py: Python<'p>) -> Bound<'p, PyBytes> {
            PyBytes::new(py, &self.0.identity)
        }

        /// Partitions: one per distinct policy and view.
        #[getter]
        fn partition_count(&self) -> u32 {
            self.0.shape.partition_count
        }

        /// Plans of all partitions.
        #[getter]
        fn plan_count(&self) -> u32 {
            self.0.shape.plan_count
        }

        /// Classes of addresses that every partition treats alike.
        #[getter]
        fn class_count(&self) -> u32 {
            self.0.shape.class_count
        }

        /// Leaf rows.
        #[getter]
        fn row_count(&self) -> u32 {
            self.0.shape.row_count
        }
    }

    /// What depends on the POPs: the addresses that each plan comes to.
    ///
    /// `data`: a part as `steer.publish.format.pack_part` writes it. ValueError says which invariant fails.
    #[pyclass(frozen)]
    struct Choices(Arc<snapshot::Choices>);

    #[pymethods]
    impl Choices {
        #[new]
        fn new(py: Python<'_>, data: &[u8]) -> PyResult<Self> {
            py.detach(|| snapshot::Choices::load(data)).map(|part| Self(Arc::new(part))).map_err(refused)
        }

        /// 16 bytes that name the part's inputs.
        #[getter]
        fn identity<'p>(&self, py: Python<'p>) -> Bound<'p, PyBytes> {
            PyBytes::new(py, &self.0.identity)
        }
    }

    /// What depends on keys and the calendar: signatures of everything that can be answered.
    ///
    /// `data`: a part as `steer.publish.format.pack_part` writes it. ValueError says which invariant fails.
    #[pyclass(frozen)]
    struct Signatures(Arc<snapshot::Signatures>);

    #[pymethods]
    impl Signatures {
        #[new]
        fn new(py: Python<'_>, data: &[u8]) -> PyResult<Self> {
            py.detach(|| snapshot::Signatures::load(data)).map(|part| Self(Arc::new(part))).map_err(refused)
        }

        /// 16 bytes that name the part's inputs.
        #[getter]
        fn identity<'p>(&self, py: Python<'p>) -> Bound<'p, PyBytes> {
            PyBytes::new(py, &self.0.identity)
        }
    }

    /// The one immutable value from which the engine answers: its parts, shared with whoever else holds them.
    ///
    /// `signatures`: where a zone is signed, and only there. ValueError where they do not fit together.
    #[pyclass(frozen)]
    struct Snapshot(Arc<snapshot::Snapshot>);

    #[pymethods]
    impl Snapshot {
        #[new]
        #[pyo3(signature = (records, map, choices, signatures = None))]
        fn new(
            records: &Records,
            map: &Map,
            choices: &Choices,
            signatures: Option<&Signatures>,
        ) -> PyResult<Self> {
            let signatures = signatures.map(|part| part.0.clone());
            snapshot::Snapshot::new(records.0.clone(), map.0.clone(), choices.0.clone(), signatures)
                .map(|snapshot| Self(Arc::new(snapshot)))
                .map_err(refused)
        }

        /// The reply to one message, or None where it gets none. `source`: 4 or 16 octets of the address it
        /// came from. `now_s`: Unix time. Counts nothing, and no rate limit applies.
        fn answer<'p>(
            &self,
            py: Python<'p>,
            packet: &[u8],
            source: &[u8],
            tcp: bool,
            now_s: u64,
        ) -> PyResult<Option<Bound<'p, PyBytes>>> {
            let request = Request { packet, source: address(source)?, is_tcp: tcp };
            let mut buffer = vec![0; if tcp { MAX_MESSAGE_BYTES } else { UDP_REPLY_BYTES }];
            let length = py.detach(|| {
                let (stride, mut length) = (buffer.len(), [0]);
                let context = Context {
                    view: self.0.view(),
                    counters: &UNREAD.0,
                    limiter: None,
                    notified: &UNREAD.1,
                    observed: None,
                    now: Now { unix_s: now_s as u32, monotonic_ns: 0 },
                };
                Answerer::default().answer(&context, &[request], &mut buffer, stride, &mut length);
                length[0]
            });
            Ok((length > 0).then(|| PyBytes::new(py, &buffer[..length])))
        }

        /// The class of a key (with the mark of special-purpose blocks) and its leaf's depth in each
        /// partition. `family`: 4 or 6. `key`: an IPv4 address << 32, or the upper half of an IPv6 address.
        fn scopes(&self, family: u8, key: u64) -> PyResult<(u32, Vec<u32>)> {
            let family = match family {
                4 => Family::V4,
                6 => Family::V6,
                _ => return Err(PyValueError::new_err(format!("family is 4 or 6, not {family}"))),
            };
            let row = self.0.view().map.find_row(family, key);
            Ok((row.marked_class(), row.depths.iter().copied().map(u32::from).collect()))
        }
    }

    /// The rate limit of responses over UDP, and its table, empty at first (docs/snapshot_format.md, Rate
    /// limit).
    ///
    /// `key`: 16 random bytes. `per_second`: responses to one prefix, 1 to 10^9. `burst`: responses at once.
    /// `slip`: every so many limited responses one goes out truncated; 0: none. `exempt`: at most 1024
    /// prefixes, each as 4 or 16 octets of its network and its length. ValueError names the setting that is
    /// out of its range.
    #[pyclass(frozen)]
    struct Limiter(Arc<crate::answer::Limiter>);

    #[pymethods]
    impl Limiter {
        #[new]
        fn new(
            key: [u8; 16],
            per_second: u32,
            burst: u32,
            slip: u32,
            ipv4_bits: u8,
            ipv6_bits: u8,
            exempt: Vec<(Vec<u8>, u8)>,
        ) -> PyResult<Self> {
            let exempt = prefixes(exempt)?;
            let settings = LimitSettings { per_second, burst, slip, ipv4_bits, ipv6_bits, exempt };
            crate::answer::Limiter::new(&key, &settings)
                .map(|limiter| Self(Arc::new(limiter)))
                .map_err(out_of_range)
        }

        /// What becomes of one more response: 0 it passes, 1 it is dropped, 2 it slips. `source`: 4 or 16
        /// octets.
        fn check(&self, source: &[u8], now_ns: u64) -> PyResult<u8> {
            Ok(self.0.check(address(source)?, now_ns) as u8)
        }
    }

    /// Sockets and threads that answer from one snapshot.
    ///
    /// `listen`: addresses and ports, all opened at once for UDP and TCP; port 0: one that is free.
    /// `threads`: UDP sockets and threads per address; one more thread answers all TCP. `tcp_idle_s`: how
    /// long a connection may go without a whole query. `tcp_total_s`: how long it may stay, until what it
    /// asked is answered, or `tcp_idle_s` more. `tcp_connections`: most in all, the idlest giving way to
    /// newcomers; `tcp_per_prefix`: most from one /24 or /48. OSError names the address.
    #[pyclass(frozen)]
    struct Engine(sockets::Engine);

    #[pymethods]
    impl Engine {
        #[new]
        #[pyo3(signature = (
            listen, threads, *, tcp_idle_s = 10.0, tcp_total_s = 300.0, tcp_connections = 1024,
            tcp_per_prefix = 64,
        ))]
        fn new(
            listen: Vec<(IpAddr, u16)>,
            threads: usize,
            tcp_idle_s: f64,
            tcp_total_s: f64,
            tcp_connections: usize,
            tcp_per_prefix: usize,
        ) -> PyResult<Self> {
            let addresses: Vec<SocketAddr> = listen.into_iter().map(SocketAddr::from).collect();
            let tcp = TcpSettings {
                idle_limit: duration("tcp_idle_s", tcp_idle_s)?,
                total_limit: duration("tcp_total_s", tcp_total_s)?,
                connections: tcp_connections,
                connections_per_prefix: tcp_per_prefix,
            };
            sockets::Engine::bind(&addresses, threads, tcp).map(Self).map_err(|fault| {
                let number = fault.error.raw_os_error();
                PyOSError::new_err((number, fault.error.to_string(), fault.address.to_string()))
            })
        }

        /// Starts all threads. OSError when it was started before, or there are no threads to be had.
        fn start(&self, py: Python<'_>, snapshot: &Snapshot) -> PyResult<()> {
            Ok(py.detach(|| self.0.start(&snapshot.0))?)
        }

        /// Answers from another snapshot from now on; returns when no thread answers from the old one any
        /// longer. OSError when the engine does not serve.
        fn swap(&self, py: Python<'_>, snapshot: &Snapshot) -> PyResult<()> {
            Ok(py.detach(|| self.0.swap(&snapshot.0))?)
        }

        /// Limits responses over UDP in this way from now on; None: no more. At any time, before the start too.
        #[pyo3(signature = (limiter))]
        fn set_limiter(&self, limiter: Option<&Limiter>) {
            self.0.set_limiter(limiter.map(|limiter| Arc::clone(&limiter.0)));
        }

        /// Zones whose primaries have said since this was last called that there is something new (RFC
        /// 1996), by the indices of the snapshots that were asked.
        fn take_notified(&self) -> Vec<usize> {
            self.0.take_notified()
        }

        /// Who asked since this was last called: see `observe_answers`.
        fn take_observations<'p>(&self, py: Python<'p>) -> Observed<'p> {
            told(py, py.detach(|| self.0.take_observations()))
        }

        /// Answers what has come, ends all threads and closes all sockets; does nothing the second time.
        fn stop(&self, py: Python<'_>) {
            py.detach(|| self.0.stop());
        }

        /// The port of each listen address.
        fn ports(&self) -> Vec<u16> {
            self.0.ports().to_vec()
        }

        /// All counters, summed over threads, in the order of `counter_names`.
        fn counters(&self) -> Vec<u64> {
            self.0.counters().to_vec()
        }

        /// Labelled counters, summed over threads, by the indices that the snapshots have.
        fn labelled(&self, indices: Vec<usize>) -> Vec<u64> {
            indices.into_iter().map(|index| self.0.labelled(index)).collect()
        }
    }

    /// Seconds that `threads` threads take to answer all queries `rounds` times each, from memory, over UDP
    /// as it were. `queries`: packets, and 4 or 16 octets of their sources. `limiter`: is asked about each,
    /// and better lets them pass. `observes`: whether it is observed who asks.
    #[pyfunction]
    #[pyo3(signature = (snapshot, queries, threads, rounds, limiter = None, observes = true))]
    fn measure_answers(
        py: Python<'_>,
        snapshot: &Snapshot,
        queries: Vec<(Vec<u8>, Vec<u8>)>,
        threads: usize,
        rounds: usize,
        limiter: Option<&Limiter>,
        observes: bool,
    ) -> PyResult<f64> {
        let requests: Vec<Request<'_>> = queries
            .iter()
            .map(|(packet, source)| Ok(Request { packet, source: address(source)?, is_tcp: false }))
            .collect::<PyResult<_>>()?;
        let limiter = limiter.map(|limiter| &*limiter.0);
        let elapsed = py.detach(|| measure(&snapshot.0, limiter, observes, &requests, threads, rounds));
        Ok(elapsed.as_secs_f64())
    }

    /// What is observed of who asks, where one thread answers these at once: `requests` are packets, 4 or 16
    /// octets of their sources, and whether they came over TCP.
    ///
    /// Rows of 24 octets of demand (start, count as u64, family, whether a resolver's, 6 zeros); rows of 32
    /// of arrivals (source's start, client's start, count as u64, source's and client's family or 0, 6
    /// zeros); joins (label, source's family and start, client's family or 0 and start), and how many
    /// there were of these.
    #[pyfunction]
    fn observe_answers<'p>(
        py: Python<'p>,
        snapshot: &Snapshot,
        requests: Vec<(Vec<u8>, Vec<u8>, bool)>,
        now_s: u64,
    ) -> PyResult<Observed<'p>> {
        let requests: Vec<Request<'_>> = requests
            .iter()
            .map(|(packet, source, tcp)| Ok(Request { packet, source: address(source)?, is_tcp: *tcp }))
            .collect::<PyResult<_>>()?;
        let now = Now { unix_s: now_s as u32, monotonic_ns: 0 };
        let observations = py.detach(|| observe(&snapshot.0, &requests, now));
        Ok(told(py, observations))
    }

    /// The names of the engine's counters, in the order of `Engine.counters`.
    #[pyfunction]
    fn counter_names() -> Vec<&'static str> {
        COUNTER_NAMES.to_vec()
    }

    /// The hash of shares: SipHash-2-4 of a whole message. `key`: 16 bytes.
    #[pyfunction]
    fn unit_hash(key: &[u8], message: &[u8]) -> PyResult<u64> {
        let key = key.try_into().map_err(|_| PyValueError::new_err("the key has 16 bytes"))?;
        Ok(DeploymentKey::new(key).hash(message))
    }

    /// The cost of a hash in the weighted rendezvous: 2^32 times -log2((hash + 1) / 2^64), as an integer.
    #[pyfunction]
    fn rendezvous_cost(hash: u64) -> u64 {
        snapshot::rendezvous_cost(hash)
    }

    /// Takes the counts and notices of answers that nobody counts.
    static UNREAD: LazyLock<(Counters, Notified)> = LazyLock::new(Default::default);

    /// A label, its source, and the client that was named.
    type Join<'p> = (Bound<'p, PyBytes>, u8, u64, u8, u64);
    type Observed<'p> = (Bound<'p, PyBytes>, Bound<'p, PyBytes>, Vec<Join<'p>>, u64);

    /// Observations as Python takes them.
    fn told(py: Python<'_>, observations: Observations) -> Observed<'_> {
        let client = |unit: Option<SeenUnit>| unit.map_or((0, 0), |unit| (unit.family(), unit.start));
        let (demand, arrivals) = (observations.demand_rows(), observations.arrival_rows());
        let joins = observations
            .joins
            .into_iter()
            .map(|(label, source, named)| {
                let (client_family, client_start) = client(named);
                (PyBytes::new(py, &label), source.family(), source.start, client_family, client_start)
            })
            .collect();
        (PyBytes::new(py, &demand), PyBytes::new(py, &arrivals), joins, observations.joins_seen)
    }

    fn refused(fault: BadPart) -> PyErr {
        PyValueError::new_err(fault.0)
    }

    fn out_of_range(fault: BadLimit) -> PyErr {
        PyValueError::new_err(fault.0)
    }

    fn duration(name: &str, seconds: f64) -> PyResult<Duration> {
        Duration::try_from_secs_f64(seconds)
            .map_err(|error| PyValueError::new_err(format!("{name} {seconds}: {error}")))
    }

    /// Prefixes, each as the network's 4 or 16 octets and its length, with IPv4 as ::ffff:a.b.c.d.
    fn prefixes(prefixes: Vec<(Vec<u8>, u8)>) -> PyResult<Vec<(u128, u8)>> {
        prefixes
            .into_iter()
            .map(|(network, bits)| {
                let mapped_bits = if network.len() == 4 { bits.saturating_add(96) } else { bits };
                Ok((address(&network)?, mapped_bits))
            })
            .collect()
    }

    /// A source address as 128 bits, IPv4 as ::ffff:a.b.c.d.
    fn address(octets: &[u8]) -> PyResult<u128> {
        let address = <[u8; 4]>::try_from(octets)
            .map(|octets| IpAddr::from(Ipv4Addr::from(octets)))
            .or_else(|_| <[u8; 16]>::try_from(octets).map(|octets| Ipv6Addr::from(octets).into()))
            .map_err(|_| PyValueError::new_err("an address has 4 or 16 octets"))?;
        Ok(match address {
            IpAddr::V4(address) => address.to_ipv6_mapped().into(),
            IpAddr::V6(address) => address.into(),
        })
    }
}
