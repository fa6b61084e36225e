//! The signatures of a snapshot: RRSIG records of everything that can be answered with DO, made beforehand.
use super::format::{NONE, PartKind, Section, Signature, SignatureSpan, Signed, SignedSet};
use super::part::{BadPart, Part, prove, prove_slice};
use super::records::slice;

const MAX_STATIC: u32 = 4;

/// The proved part `signatures`.
#[derive(Debug)]
pub struct Signatures {
    /// 16 bytes that name the part's inputs.
    pub identity: [u8; 16],
    /// The records that were signed, and their counts.
    pub(super) signed: Signed,
    static_signatures: Vec<SignatureSpan>,
    hash: Vec<u32>,
    sets: Vec<SignedSet>,
    signatures: Vec<Signature>,
    bytes: Vec<u8>,
}

impl Signatures {
    /// Proves a part and copies it.
    /// # Errors
    /// The first invariant of `docs/snapshot_format.md` that fails.
    pub fn load(data: &[u8]) -> Result<Self, BadPart> {
        let part = Part::open(data, PartKind::Signatures, true)?;
        let signatures = Self {
            identity: part.identity,
            signed: part.single(Section::Signed)?,
            static_signatures: part.items(Section::StaticSignatures)?,
            hash: part.items(Section::SignatureHash)?,
            sets: part.items(Section::SignedSets)?,
            signatures: part.items(Section::Signatures)?,
            bytes: part.items(Section::SignatureBytes)?,
        };
        signatures.prove()?;
        Ok(signatures)
    }

    /// Signatures of an rrset of the records, by rising algorithm and key tag; none where it is unsigned.
    pub fn of_rrset(&self, rrset: u32) -> &[Signature] {
        let span = self.static_signatures[rrset as usize];
        slice(&self.signatures, span.offset, span.count)
    }

    /// Signatures of what a steered name answers: `key`, in pieces, says which addresses, or which host.
    pub fn of_set(&self, steered: u32, kind: u16, key: [&[u8]; 3]) -> &[Signature] {
        match self.find(steered, kind, key) {
            NONE => &[],
            index => {
                let set = &self.sets[index as usize];
                slice(&self.signatures, set.signature_offset, set.signature_count)
            }
        }
    }

    /// RDATA of a signature's RRSIG.
    pub fn rdata(&self, signature: &Signature) -> &[u8] {
        slice(&self.bytes, signature.offset, signature.bytes)
    }

    fn find(&self, steered: u32, kind: u16, key: [&[u8]; 3]) -> u32 {
        let mask = self.hash.len() - 1;
        let mut slot = home_slot(steered, kind, key) as usize & mask;
        loop {
            let index = self.hash[slot];
            if index == NONE {
                return NONE;
            }
            let set = &self.sets[index as usize];
            if set.steered == steered && set.kind == kind && is_made_of(self.key(set), key) {
                return index;
            }
            slot = (slot + 1) & mask; // ends: the proof left empty slots
        }
    }

    fn key(&self, set: &SignedSet) -> &[u8] {
        slice(&self.bytes, set.key_offset, set.key_bytes)
    }

    fn prove(&self) -> Result<(), BadPart> {
        let (counted, due) = (self.static_signatures.len(), self.signed.rrset_count);
        prove!(counted == due as usize, "signatures of {counted} rrsets for {due}");
        for (index, span) in self.static_signatures.iter().enumerate() {
            prove!(span.count <= MAX_STATIC, "rrset {index} has {} signatures", span.count);
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
            let found = self.find(set.steered, set.kind, [&[], self.key(set), &[]]);
            prove!(found as usize == index, "signature hash: set {index} is looked for and {found} found");
        }
        Ok(())
    }
}

/// Whether octets are these pieces, one after another.
fn is_made_of(octets: &[u8], pieces: [&[u8]; 3]) -> bool {
    let mut rest = Some(octets);
    for piece in pieces {
        rest = rest.and_then(|rest| rest.strip_prefix(piece));
    }
    rest.is_some_and(<[u8]>::is_empty)
}

/// Home slot of a signed set before masking: FNV-1a 64, folded.
pub(super) fn home_slot(steered: u32, kind: u16, key: [&[u8]; 3]) -> u64 {
    let step = |hash: u64, octet: u8| (hash ^ u64::from(octet)).wrapping_mul(0x0000_0100_0000_01b3);
    let hash = steered.to_le_bytes().into_iter().fold(0xcbf2_9ce4_8422_2325, step);
    let hash = kind.to_le_bytes().into_iter().fold(hash, step);
    let hash = key.into_iter().flatten().copied().fold(hash, step);
    hash ^ (hash >> 32)
}
