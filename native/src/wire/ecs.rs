//! EDNS Client Subnet (RFC 7871), and how an address is read: which IPv4 address an IPv6 one stands for.

const FAMILY_IPV4: u16 = 1;
const FAMILY_IPV6: u16 = 2;
/// Bits before the IPv4 address in ::ffff:0:0/96, 64:ff9b::/96 and Teredo addresses.
pub const TRANSLATED_BITS: u8 = 96;
const HEADER_BYTES: usize = 4; // FAMILY, SOURCE PREFIX-LENGTH, SCOPE PREFIX-LENGTH

/// A well-formed client subnet of a query.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Ecs {
    /// IPv6, else IPv4; of no meaning when `source_bits` is 0.
    is_ipv6: bool,
    /// SOURCE PREFIX-LENGTH.
    pub source_bits: u8,
    /// Octets of ADDRESS.
    address_bytes: u8,
    /// Where the option's data starts in the packet.
    offset: u16,
    /// ADDRESS extended by zeros, left-aligned.
    address: u128,
}

/// An address as the map looks it up.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ClientAddress {
    /// The key is of the IPv6 table.
    pub is_ipv6: bool,
    /// IPv4: the address in the upper 32 bits. IPv6: the upper half of the address.
    pub key: u64,
    /// Bits of the asked address that come before those of the key: 0, 16 or TRANSLATED_BITS.
    pub added_bits: u8,
}

impl Ecs {
    /// Reads an option's data, which starts at `offset` of the packet; nothing where RFC 7871 wants FORMERR.
    #[inline(always)] // its value is written where it is to stay, not copied there
    pub fn read(data: &[u8], offset: u16) -> Option<Self> {
        let (&[family_high, family_low, source_bits, scope_bits], octets) = data.split_first_chunk()?;
        // Section 7.2.1, and section 6 for the length of ADDRESS and SCOPE; ECS-21 for family 0.
        let (is_ipv6, most_bits) = match u16::from_be_bytes([family_high, family_low]) {
            0 => (false, 0),
            FAMILY_IPV4 => (false, 32),
            FAMILY_IPV6 => (true, 128),
            _ => return None,
        };
        if source_bits > most_bits || scope_bits != 0 || octets.len() != usize::from(source_bits).div_ceil(8)
        {
            return None;
        }
        let (high, low) = octets.split_at(octets.len().min(8));
        let address = u128::from(left_aligned(high)) << 64 | u128::from(left_aligned(low));
        let past_source = if source_bits % 8 == 0 { 0 } else { 0xff_u8 >> (source_bits % 8) };
        if octets.last().is_some_and(|last| last & past_source != 0) {
            return None;
        }
        Some(Self { is_ipv6, source_bits, address_bytes: octets.len() as u8, offset, address })
    }

    /// Octets of the option in a reply, code and length included.
    pub fn option_bytes(&self) -> usize {
        4 + HEADER_BYTES + usize::from(self.address_bytes)
    }

    /// The option as it goes into the reply: code 8, length, FAMILY and SOURCE as asked, SCOPE; then ADDRESS
    /// as asked (ECS-3), from the query's `packet`.
    pub fn option<'p>(&self, packet: &'p [u8], scope_bits: u8) -> ([u8; 8], &'p [u8]) {
        let start = usize::from(self.offset);
        let data =
            packet.get(start..start + HEADER_BYTES + usize::from(self.address_bytes)).unwrap_or(&[0; 4]);
        let head = [0, 8, 0, data.len() as u8, data[0], data[1], data[2], scope_bits];
        (head, &data[HEADER_BYTES..])
    }

    /// ADDRESS extended by zeros, left-aligned, and whether it is IPv6.
    pub fn address(&self) -> (u128, bool) {
        (self.address, self.is_ipv6)
    }

    /// How the map looks the subnet up; nothing for a subnet of a translated block that is too short to say
    /// which IPv4 address it stands for (ECS-23).
    pub fn client(&self) -> Option<ClientAddress> {
        if self.is_ipv6 {
            read_ipv6(self.address, self.source_bits == 128)
        } else {
            Some(ipv4((self.address >> 96) as u32, 0))
        }
    }
}

/// How the map looks a source address up. `source`: IPv4 as ::ffff:a.b.c.d.
pub fn read_source(source: u128) -> ClientAddress {
    read_ipv6(source, true).unwrap_or(ClientAddress {
        is_ipv6: true,
        key: (source >> 64) as u64,
        added_bits: 0,
    })
}

/// At most eight octets as the first of a number. (A buffer to copy them to would stall its reader on the
/// writes.)
fn left_aligned(octets: &[u8]) -> u64 {
    let number = octets.iter().fold(0, |number, &octet| number << 8 | u64::from(octet));
    number.checked_shl(64 - 8 * octets.len() as u32).unwrap_or(0)
}

/// Reads through 6to4 (RFC 3056), mapped (RFC 4291), NAT64 (RFC 6052) and Teredo (RFC 4380) addresses;
/// nothing for one of the last three that is not `whole`, nor for their neighbours in the same /64.
fn read_ipv6(address: u128, whole: bool) -> Option<ClientAddress> {
    let (high, low) = ((address >> 64) as u64, address as u64);
    if high >> 48 == 0x2002 {
        return Some(ipv4((high >> 16) as u32, 16));
    }
    let embedded = match (high, low >> 32) {
        (0, 0xffff) | (0x0064_ff9b_0000_0000, 0) => low as u32,
        _ if high >> 32 == 0x2001_0000 => !(low as u32),
        // What is left of the /64s around ::ffff:0:0/96 and 64:ff9b::/96 must not share their scope with
        // them.
        _ if high == 0 || high == 0x0064_ff9b_0000_0000 => return None,
        _ => return Some(ClientAddress { is_ipv6: true, key: high, added_bits: 0 }),
    };
    whole.then(|| ipv4(embedded, TRANSLATED_BITS))
}

fn ipv4(address: u32, added_bits: u8) -> ClientAddress {
    ClientAddress { is_ipv6: false, key: u64::from(address) << 32, added_bits }
}
