//! Steps 12 to 14 of docs/snapshot_format.md: writes the sections of a reply.
mod denial;
mod explain;
mod rrsets;
mod steered;

use super::Now;
use super::choose::{Chosen, Given};
use super::counters::{Counter, Counters};
use super::resolve::{End, Owner, Resolved, target};
use crate::snapshot::{Known, Records, Signatures, View};
use crate::wire::{Asked, Compressor, Full, Labels, Message, NameTree, Outcome, Rcode, Section, kinds};

pub(super) use rrsets::capped;

const ANY_TTL_S: u32 = 3600;
const ANY_RDATA: &[u8] = b"\x07RFC8482\x00"; // RFC 8482 section 4.2

impl NameTree for Records {
    fn parent(&self, name: u32) -> u32 {
        self.parent(name)
    }

    fn label(&self, name: u32) -> &[u8] {
        self.label(name)
    }
}

/// What names are written with; reused from query to query.
#[derive(Debug, Default)]
pub(super) struct Naming {
    /// The question's labels.
    pub(super) labels: Labels,
    compressor: Compressor,
}

/// A query, and what was found for it.
#[derive(Clone, Copy)]
pub(super) struct Task<'a> {
    /// The snapshot.
    pub(super) view: &'a View<'a>,
    /// The message.
    pub(super) query: &'a [u8],
    /// Its source address; IPv4 as ::ffff:a.b.c.d.
    pub(super) source: u128,
    /// What is asked.
    pub(super) asked: &'a Asked,
    /// How far the question's name is known.
    pub(super) known: Known,
    /// What answers.
    pub(super) resolved: &'a Resolved,
    /// What was chosen, where the name is steered.
    pub(super) chosen: Option<&'a Chosen<'a>>,
}

/// Writes one reply; learns the question's names only when a name is to be written at all.
pub(super) struct Composer<'a> {
    task: Task<'a>,
    records: &'a Records,
    end: End,
    signing: Option<Signing<'a>>,
    naming: &'a mut Naming,
    has_started: bool,
    has_signatures: bool,
}

/// What is added to answers with DO.
#[derive(Clone, Copy)]
struct Signing<'a> {
    signatures: &'a Signatures,
    now_s: u32,
}

impl<'a> Composer<'a> {
    /// Writes for one query. `naming.labels` need not be its own.
    pub(super) fn new(task: Task<'a>, now: Now, naming: &'a mut Naming) -> Self {
        let end = match (task.resolved.end, task.chosen) {
            (End::Steered(.., node), Some(Chosen { given: Given::Nothing, .. }) | None) => End::NoData(node),
            (end, _) => end,
        };
        let wanted = task.view.signatures.filter(|_| task.asked.is_dnssec_ok());
        let signing = wanted.map(|signatures| Signing { signatures, now_s: now.unix_s });
        let records = task.view.records;
        Self { task, records, end, signing, naming, has_started: false, has_signatures: false }
    }

    /// Writes all sections; says what the header is to be.
    pub(super) fn compose(&mut self, message: &mut Message<'_>, counters: &Counters) -> Outcome {
        match self.end {
            End::NoData(_) => counters.count(Counter::AnswersNodata),
            End::Referral(_) => counters.count(Counter::AnswersReferral),
            _ => {}
        }
        let is_truncated = self.sections(message).is_err();
        if is_truncated {
            message.empty();
        } else if self.has_signatures {
            counters.count(Counter::AnswersSigned);
        }
        Outcome {
            rcode: match self.end {
                End::Refused => Rcode::Refused,
                End::NotReady => Rcode::ServFail,
                End::NxDomain(_) => Rcode::NxDomain, // of the last name, RFC 6604
                _ => Rcode::NoError,
            },
            is_authoritative: self.task.resolved.is_authoritative(),
            is_truncated,
        }
    }

    /// Answer, authority, additional; Full where what must be there does not fit.
    fn sections(&mut self, message: &mut Message<'_>) -> Result<(), Full> {
        let (records, resolved) = (self.records, self.task.resolved);
        let mut owner = Owner::Question;
        for &id in resolved.chain() {
            let rrset = records.rrset(id);
            self.rrset(message, Section::Answer, owner, id, rrset.ttl_s)?;
            owner = Owner::Name(target(records, rrset));
        }
        match self.end {
            End::Refused | End::NotReady => return Ok(()),
            End::Steered(_, steered, _) => self.steered(message, steered)?,
            End::Rrset(id) | End::Sample(id) => {
                self.rrset(message, Section::Answer, resolved.owner, id, records.rrset(id).ttl_s)?;
            }
            End::Signatures(id) => self.signatures_alone(message, id)?,
            End::Any => {
                self.owner(message, resolved.owner)?;
                message.put_type_and_ttl(kinds::HINFO, ANY_TTL_S)?;
                message.put_rdata(|message| message.put(ANY_RDATA))?;
                message.count(Section::Answer, 1);
            }
            End::NoData(node) | End::NxDomain(node) => {
                let zone = records.zone(records.node(node).zone);
                let owner = Owner::Name(records.rrset(zone.soa).name);
                // RFC 2308 section 3
                self.rrset(message, Section::Authority, owner, zone.soa, zone.negative_ttl_s)?;
            }
            End::Referral(node) => self.delegation(message, node)?,
            End::Chain => {}
        }
        if self.signing.is_some() {
            self.proofs(message)?;
        }
        match self.end {
            End::Rrset(id) => {
                let ids = records.additional_of(records.rrset(id));
                self.additional_that_fits(message, ids.iter().copied());
                Ok(())
            }
            End::Referral(node) => self.glue(message, node),
            _ => Ok(()),
        }
    }

    /// The NS rrset of a delegation, and its DS rrset.
    fn delegation(&mut self, message: &mut Message<'_>, node: u32) -> Result<(), Full> {
        let node = self.records.node(node);
        if let Some((id, _)) = self.records.rrset_at(node, kinds::NS) {
            self.own_rrset(message, Section::Authority, id)?;
        }
        match self.delegation_signer(node) {
            Some(id) => self.own_rrset(message, Section::Authority, id),
            None => Ok(()),
        }
    }

    /// The addresses that go with a delegation: those in the domain that is delegated set TC where they do not
    /// fit (RFC 9471 section 3).
    fn glue(&mut self, message: &mut Message<'_>, node: u32) -> Result<(), Full> {
        let records = self.records;
        let Some((_, rrset)) = records.rrset_at(records.node(node), kinds::NS) else { return Ok(()) };
        let is_in_domain = |&id: &u32| records.is_at_or_below(records.rrset(id).name, rrset.name);
        let ids = records.additional_of(rrset).iter().copied();
        ids.clone()
            .filter(is_in_domain)
            .try_for_each(|id| self.own_rrset(message, Section::Additional, id))?;
        self.additional_that_fits(message, ids.filter(|id| !is_in_domain(id)));
        Ok(())
    }
}
