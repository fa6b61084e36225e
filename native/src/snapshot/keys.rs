//! Keys of the map: 64 bits that stand for an address of either family.

/// Which direct table a key is looked up in.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Family {
    /// The address in the upper 32 bits.
    #[default]
    V4 = 0,
    /// The upper half of the address.
    V6 = 1,
}

/// Whose address a unit is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Domain {
    /// A client's, from ECS.
    Client = b'c' as isize,
    /// A resolver's.
    Resolver = b'r' as isize,
}

/// What is hashed for shares: an address masked to `bits`.
#[derive(Clone, Copy, Debug)]
pub struct Unit {
    /// Family of the key.
    pub family: Family,
    /// Its bits after the first `bits` do not count.
    pub key: u64,
    /// Unit length: 0 to 32 for IPv4, 0 to 64 for IPv6.
    pub bits: u8,
    /// Whose address.
    pub domain: Domain,
}
