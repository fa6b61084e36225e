//! Writes the NSEC records that prove what there is not (RFC 4035 section 3.1.3).
use super::super::resolve::{End, target};
use super::Composer;
use crate::snapshot::CanonicalKey;
use crate::snapshot::format::{NONE, Node, ZONE_SIGNED};
use crate::wire::{Full, Message, Section, kinds};

const MAX_PROOFS: usize = 12; // nine names that wildcards answered, and two for the end

/// Ids of NSEC rrsets, in order, none twice.
#[derive(Default)]
struct Proofs {
    ids: [u32; MAX_PROOFS],
    count: usize,
}

impl Proofs {
    fn add(&mut self, id: u32) {
        if id != NONE && self.count < MAX_PROOFS && !self.ids[..self.count].contains(&id) {
            self.ids[self.count] = id;
            self.count += 1;
        }
    }
}

impl Composer<'_> {
    /// Writes all NSEC records that the answer needs.
    pub(super) fn proofs(&mut self, message: &mut Message<'_>) -> Result<(), Full> {
        let (records, resolved) = (self.records, self.task.resolved);
        let mut proofs = Proofs::default();
        for position in 0..=resolved.chain().len() {
            if resolved.wildcards >> position & 1 != 0 {
                self.add_covering(&mut proofs, position);
            }
        }
        match self.end {
            End::NoData(node) => proofs.add(records.node(node).nsec),
            End::NxDomain(closest) => {
                self.add_covering(&mut proofs, resolved.chain().len());
                proofs.add(records.node(closest).nsec_wildcard);
            }
            End::Referral(cut) => {
                let cut = records.node(cut);
                if self.delegation_signer(cut).is_none() {
                    proofs.add(cut.nsec);
                }
            }
            _ => {}
        }
        for &id in &proofs.ids[..proofs.count] {
            self.own_rrset(message, Section::Authority, id)?;
        }
        Ok(())
    }

    /// The DS rrset of a delegation from a signed zone, where it is wanted.
    pub(super) fn delegation_signer(&self, cut: &Node) -> Option<u32> {
        self.signing.filter(|_| self.is_signed(cut.zone))?;
        self.records.rrset_at(cut, kinds::DS).map(|(id, _)| id)
    }

    /// The NSEC that covers the name that so many CNAMEs led to, where its zone is signed.
    fn add_covering(&mut self, proofs: &mut Proofs, position: usize) {
        let records = self.records;
        let chained = position.checked_sub(1).map(|last| self.task.resolved.chain()[last]);
        let (name, key) = match chained {
            Some(cname) => {
                let name = target(records, records.rrset(cname));
                (name, CanonicalKey::of_name(records, name))
            }
            None => {
                self.read_question();
                let labels = self.naming.labels.from_the_right(self.task.query);
                (self.task.known.name, CanonicalKey::of_labels(labels))
            }
        };
        let zone = records.zone_above(name).filter(|&zone| self.is_signed(zone));
        proofs.add(zone.and_then(|zone| records.covering_nsec(zone, &key)).unwrap_or(NONE));
    }

    fn is_signed(&self, zone: u32) -> bool {
        self.records.zone(zone).flags & ZONE_SIGNED != 0
    }
}
