//! steer's native engine: the Python face of the packet loop, and the only file that names pyo3.
pub mod answer;
pub mod snapshot;
pub mod sockets;
pub mod wire;

/// The packet loop of steer: snapshots proved at load, and threads that answer from them.
#[cfg(feature = "python")]
#[pyo3::pymodule]
mod _native {
    use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
    use std::path::Path;
    use std::sync::{Arc, LazyLock};

    use pyo3::exceptions::PyValueError;
    use pyo3::prelude::*;
    use pyo3::types::PyBytes;

    use crate::answer::{Answerer, COUNTER_NAMES, Counters, Request, UDP_REPLY_BYTES};
    use crate::snapshot::{self, AlignedBytes, BadPart, DeploymentKey, Family};
    use crate::sockets::MappedFile;
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
        /// Maps the file into memory and proves it. Nobody may write to the file afterwards. `check_crc32`: False where
        /// whoever wrote the file has just done so. OSError, or ValueError that says which invariant fails.
        #[staticmethod]
        fn open(py: Python<'_>, path: &str, check_crc32: bool) -> PyResult<Self> {
            py.detach(|| {
                let storage = Box::new(MappedFile::open(Path::new(path))?);
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

    /// The one immutable value from which the engine answers: three parts, shared with whoever else holds them.
    ///
    /// ValueError where they do not fit together.
    #[pyclass(frozen)]
    struct Snapshot(Arc<snapshot::Snapshot>);

    #[pymethods]
    impl Snapshot {
        #[new]
        fn new(records: &Records, map: &Map, choices: &Choices) -> PyResult<Self> {
            snapshot::Snapshot::new(records.0.clone(), map.0.clone(), choices.0.clone())
                .map(|snapshot| Self(Arc::new(snapshot)))
                .map_err(refused)
        }

        /// The reply to one message, or None where it gets none. `source`: 4 or 16 octets of the address it came from.
        /// `now_s`: Unix time; nothing depends on it yet. Counts nothing.
        #[expect(unused_variables, reason = "cookies will look at the time")]
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
                let view = self.0.view();
                Answerer::default().answer(&view, &UNREAD, &[request], &mut buffer, stride, &mut length);
                length[0]
            });
            Ok((length > 0).then(|| PyBytes::new(py, &buffer[..length])))
        }

        /// The class of a key (with the mark of special-purpose blocks) and its leaf's depth in each partition.
        /// `family`: 4 or 6. `key`: an IPv4 address << 32, or the upper half of an IPv6 address.
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

    /// Takes the counts of answers that nobody counts.
    static UNREAD: LazyLock<Counters> = LazyLock::new(Counters::default);

    fn refused(fault: BadPart) -> PyErr {
        PyValueError::new_err(fault.0)
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
