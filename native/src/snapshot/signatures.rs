//! The signatures of a snapshot: RRSIG records of everything that can be answered with DO, made beforehand.
use std::hint::black_box;

use super::format::{NONE, PartKind, Section, Signature, SignatureSpan, Signed, SignedSet};
use super::part::{BadPart, Part, prove, prove_slice};
use super::records::slice;
use super::signed_sets::{SetKey, SignedSets};

const MAX_SIGNATURES: u32 = 4; // of one rrset
const LINE_BYTES: usize = 64;

/// The proved part `signatures`.
#[derive(Debug)]
pub struct Signatures {
    /// 16 bytes that name the part's inputs.
    pub identity: [u8; 16],
    /// The records that were signed, and their counts.
    pub(super) signed: Signed,
    static_signatures: Vec<SignatureSpan>,
    sets: SignedSets,
    signatures: Vec<Signature>,
    bytes: Vec<u8>,
}

impl Signatures {
    /// Proves a part and copies it.
    /// # Errors
    /// The first invariant of `docs/snapshot_format.md` that fails.
    pub fn load(data: &[u8]) -> Result<Self, BadPart> {
        let part = Part::open(data, PartKind::Signatures, true)?;
        let tables = Tables {
            signed: part.single(Section::Signed)?,
            hash: part.items(Section::SignatureHash)?,
            sets: part.items(Section::SignedSets)?,
            static_signatures: part.items(Section::StaticSignatures)?,
            signatures: part.items(Section::Signatures)?,
            bytes: part.items(Section::SignatureBytes)?,
        };
        tables.prove()?;
        let Tables { signed, sets, static_signatures, signatures, bytes, .. } = tables;
        let sets = SignedSets::new(&sets, &bytes);
        Ok(Self { identity: part.identity, signed, static_signatures, sets, signatures, bytes })
    }

    /// Signatures of an rrset of the records, by rising algorithm and key tag; none where it is unsigned.
    pub fn of_rrset(&self, rrset: u32) -> &[Signature] {
        let span = self.static_signatures[rrset as usize];
        slice(&self.signatures, span.offset, span.count)
    }

    /// Signatures of what a steered name answers; none where it was not signed.
    pub fn of_set(&self, key: &SetKey<'_>) -> &[Signature] {
        let span = self.sets.find(key, &self.bytes);
        slice(&self.signatures, span.offset, span.count)
    }

    /// RDATA of a signature's RRSIG.
    pub fn rdata(&self, signature: &Signature) -> &[u8] {
        slice(&self.bytes, signature.offset, signature.bytes)
    }

    /// Brings what is to be found for several keys into the cache, level by level, so that the cache misses of
    /// one hide behind those of the others. `homes`: of each key, by `home_of`.
    pub fn touch(&self, homes: &[u32]) {
        black_box(homes.iter().fold(0, |sum, &home| sum ^ self.sets.at(home).key_offset));
        black_box(homes.iter().fold(0, |sum, &home| {
            let set = self.sets.at(home);
            let signature = self.signatures.get(set.signatures.offset as usize);
            let key = self.bytes.get(set.key_offset as usize).copied().unwrap_or(0);
            sum ^ u32::from(key) ^ signature.map_or(0, |signature| signature.offset)
        }));
        black_box(homes.iter().fold(0, |sum, &home| {
            let set = self.sets.at(home);
            let offset = self.signatures.get(set.signatures.offset as usize).map_or(0, |one| one.offset);
            let octet = |at: usize| self.bytes.get(offset as usize + at).copied().unwrap_or(0);
            sum ^ octet(0) ^ octet(LINE_BYTES)
        }));
    }

    /// Where a key is looked for first.
    pub fn home_of(&self, key: &SetKey<'_>) -> u32 {
        self.sets.home_of(key)
    }
}

/// The part's tables, to be proved.
struct Tables {
    signed: Signed,
    hash: Vec<u32>,
    sets: Vec<SignedSet>,
    static_signatures: Vec<SignatureSpan>,
    signatures: Vec<Signature>,
    bytes: Vec<u8>,
}

impl Tables {
    fn prove(&self) -> Result<(), BadPart> {
        let (counted, due) = (self.static_signatures.len(), self.signed.rrset_count);
        prove!(counted == due as usize, "signatures of {counted} rrsets for {due}");
        for (index, span) in self.static_signatures.iter().enumerate() {
            prove!(span.count <= MAX_SIGNATURES, "rrset {index} has {} signatures", span.count);
            prove_slice("signatures of rrset", index, span.offset, span.count, self.signatures.len())?;
        }
        for (index, signature) in self.signatures.iter().enumerate() {
            prove_slice("signature", index, signature.offset, signature.bytes, self.bytes.len())?;
        }
        for (index, set) in self.sets.iter().enumerate() {
            let steered = set.steered;
            prove!(steered < self.signed.steered_count, "signed set {index}: no steered name {steered}");
            prove_slice("key of signed set", index, set.key_offset, set.key_bytes, self.bytes.len())?;
            let (offset, count) = (set.signature_offset, set.signature_count);
            prove!(count <= MAX_SIGNATURES, "signed set {index} has {count} signatures");
            prove_slice("signatures of signed set", index, offset, count, self.signatures.len())?;
        }
        self.prove_hash()
    }

    /// Every set is found and some slot is empty, so that every search ends.
    fn prove_hash(&self) -> Result<(), BadPart> {
        let slots = self.hash.len();
        prove!(slots.is_power_of_two(), "signature hash of {slots} slots, a power of two is due");
        let taken = self.hash.iter().filter(|&&slot| slot != NONE).count();
        prove!(taken * 2 <= slots, "signature hash more than half full: {taken} of {slots}");
        let lost = self.hash.iter().find(|&&slot| slot != NONE && slot as usize >= self.sets.len());
        prove!(lost.is_none(), "signature hash: no set {}", lost.copied().unwrap_or_default());
        for (index, set) in self.sets.iter().enumerate() {
            let found = self.find(set);
            prove!(found as usize == index, "signature hash: set {index} is looked for and {found} found");
        }
        Ok(())
    }

    fn find(&self, sought: &SignedSet) -> u32 {
        let (mask, key) = (self.hash.len() - 1, self.key(sought));
        let mut slot = home_slot(sought.steered, sought.kind, key) as usize & mask;
        loop {
            let index = self.hash[slot];
            if index == NONE {
                return NONE;
            }
            let set = &self.sets[index as usize];
            if set.steered == sought.steered && set.kind == sought.kind && self.key(set) == key {
                return index;
            }
            slot = (slot + 1) & mask; // ends: half of the slots are empty
        }
    }

    fn key(&self, set: &SignedSet) -> &[u8] {
        slice(&self.bytes, set.key_offset, set.key_bytes)
    }
}

/// Home slot of a signed set before masking: FNV-1a 64, folded.
pub(super) fn home_slot(steered: u32, kind: u16, key: &[u8]) -> u64 {
    let step = |hash: u64, octet: u8| (hash ^ u64::from(octet)).wrapping_mul(0x0000_0100_0000_01b3);
    let hash = steered.to_le_bytes().into_iter().fold(0xcbf2_9ce4_8422_2325, step);
    let hash = kind.to_le_bytes().into_iter().fold(hash, step);
    let hash = key.iter().copied().fold(hash, step);
    hash ^ (hash >> 32)
}
