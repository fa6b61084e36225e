//! The hash of shares: which arm and which of several weighted choices a unit takes (DESIGN section 4).
//! Integers throughout, so that both engines agree to the last bit.
use std::hash::Hasher;

use siphasher::sip::SipHasher24;

use super::format::Alternative;
use super::keys::{Family, Unit};

/// Keys the hash: SipHash-2-4.
#[derive(Clone, Copy, Debug)]
pub struct DeploymentKey(SipHasher24);

impl DeploymentKey {
    /// From 16 bytes.
    pub fn new(key: &[u8; 16]) -> Self {
        Self(SipHasher24::new_with_key(key))
    }

    /// Hash of a whole message.
    pub fn hash(&self, message: &[u8]) -> u64 {
        let mut hasher = self.0;
        hasher.write(message);
        hasher.finish()
    }

    /// Hash of a unit after a prefix (stage, zero, name, zero).
    pub fn hash_unit(&self, prefix: &[u8], unit: Unit) -> u64 {
        let mut tail = [0_u8; 18];
        tail[0] = unit.domain as u8;
        tail[1] = unit.bits;
        let masked = if unit.bits == 0 { 0 } else { unit.key & (u64::MAX << (64 - u32::from(unit.bits))) };
        match unit.family {
            Family::V4 => {
                tail[12..14].fill(0xff);
                tail[14..18].copy_from_slice(&((masked >> 32) as u32).to_be_bytes());
            }
            Family::V6 => tail[2..10].copy_from_slice(&masked.to_be_bytes()),
        }
        let mut hasher = self.0;
        hasher.write(prefix);
        hasher.write(&tail);
        hasher.finish()
    }
}

/// 2^32 times -log2((hash + 1) / 2^64), rounded up: 0 to 64 * 2^32.
pub fn rendezvous_cost(hash: u64) -> u64 {
    let x = u128::from(hash) + 1;
    let log2 = 127 - x.leading_zeros();
    let mut mantissa = if log2 == 64 { 1_u64 << 63 } else { (x as u64) << (63 - log2) };
    let mut bits = 0_u64;
    for _ in 0..32 {
        let square = (u128::from(mantissa) * u128::from(mantissa)) >> 63;
        let bit = (square >> 64) as u64;
        mantissa = (square >> bit) as u64;
        bits = bits << 1 | bit;
    }
    (64 << 32) - (u64::from(log2) << 32 | bits)
}

/// The alternative that a unit takes, by weighted rendezvous: the least cost / weight, ties to the earlier. A
/// unit's costs do not depend on who else stands for choice, so that a dead target moves only its own units.
pub fn winner<'a>(
    key: &DeploymentKey,
    unit: Unit,
    candidates: impl Iterator<Item = (&'a Alternative, &'a [u8])>,
) -> Option<&'a Alternative> {
    let mut best: Option<(u64, &Alternative)> = None;
    for (alternative, prefix) in candidates {
        let cost = rendezvous_cost(key.hash_unit(prefix, unit));
        let is_less = best.is_none_or(|(least, leader)| {
            u128::from(cost) * u128::from(leader.weight) < u128::from(least) * u128::from(alternative.weight)
        });
        if is_less {
            best = Some((cost, alternative));
        }
    }
    best.map(|(_, alternative)| alternative)
}
