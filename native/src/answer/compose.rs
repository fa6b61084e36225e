//! Step 14 of docs/snapshot_format.md: writes the sections of a reply.
use super::choose::Chosen;
use super::counters::{Counter, Counters};
use super::resolve::{End, Owner, Resolved, target};
use crate::snapshot::format::{NONE, Rrset};
use crate::snapshot::{Known, Records};
use crate::wire::{
    Asked, Compressor, Full, HEADER_BYTES, Labels, Message, NameTree, Outcome, Rcode, Section, kinds,
};

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

/// Writes names; learns the question's only when a name is to be written at all.
pub(super) struct Composer<'a> {
    records: &'a Records,
    compressor: &'a mut Compressor,
    labels: &'a mut Labels,
    query: &'a [u8],
    known: Known,
    has_started: bool,
}

impl<'a> Composer<'a> {
    /// Writes for one query. `known`: how far the question's name is known; `labels` need not be its own.
    pub(super) fn new(
        records: &'a Records,
        compressor: &'a mut Compressor,
        labels: &'a mut Labels,
        query: &'a [u8],
        known: Known,
    ) -> Self {
        Self { records, compressor, labels, query, known, has_started: false }
    }

    /// Writes all sections; says what header and OPT are to be.
    pub(super) fn compose(
        &mut self,
        message: &mut Message<'_>,
        asked: &Asked,
        resolved: &Resolved,
        chosen: Option<&Chosen<'_>>,
        counters: &Counters,
    ) -> Outcome {
        let end = match (resolved.end, chosen) {
            (End::Steered(_, zone), Some(Chosen { addresses: None, .. }) | None) => End::NoData(zone),
            (end, _) => end,
        };
        match end {
            End::NoData(_) => counters.count(Counter::AnswersNodata),
            End::Referral(_) => counters.count(Counter::AnswersReferral),
            _ => {}
        }
        let is_truncated = self.sections(message, asked, resolved, end, chosen).is_err();
        if is_truncated {
            message.empty();
        }
        Outcome {
            rcode: match end {
                End::Refused => Rcode::Refused,
                End::NxDomain(_) => Rcode::NxDomain, // of the last name, RFC 6604
                _ => Rcode::NoError,
            },
            is_authoritative: resolved.is_authoritative(),
            is_truncated,
            scope_bits: chosen.map_or(0, |chosen| chosen.scope_bits),
        }
    }

    /// Answer, authority, additional; Full where what must be there does not fit.
    fn sections(
        &mut self,
        message: &mut Message<'_>,
        asked: &Asked,
        resolved: &Resolved,
        end: End,
        chosen: Option<&Chosen<'_>>,
    ) -> Result<(), Full> {
        let records = self.records;
        let mut owner = Owner::Question;
        for &id in resolved.chain() {
            let rrset = records.rrset(id);
            self.rrset(message, Section::Answer, owner, rrset, rrset.ttl_s)?;
            owner = Owner::Name(target(records, rrset));
        }
        match end {
            End::Refused | End::Chain => Ok(()),
            End::Any => {
                message.put_question_pointer()?;
                message.put_type_and_ttl(kinds::HINFO, ANY_TTL_S)?;
                message.put_rdata(|message| message.put(ANY_RDATA))?;
                message.count(Section::Answer, 1);
                Ok(())
            }
            End::Steered(..) => {
                chosen.map_or(Ok(()), |chosen| self.addresses(message, asked, resolved.owner, chosen))
            }
            End::Rrset(id) => {
                let rrset = records.rrset(id);
                self.rrset(message, Section::Answer, resolved.owner, rrset, rrset.ttl_s)?;
                self.additional_that_fits(message, records.additional_of(rrset).iter().copied());
                Ok(())
            }
            End::NoData(zone) | End::NxDomain(zone) => {
                let zone = records.zone(zone);
                let soa = records.rrset(zone.soa);
                // RFC 2308 section 3
                self.rrset(message, Section::Authority, Owner::Name(soa.name), soa, zone.negative_ttl_s)
            }
            End::Referral(id) => {
                let rrset = records.rrset(id);
                self.rrset(message, Section::Authority, Owner::Name(rrset.name), rrset, rrset.ttl_s)?;
                // RFC 9471 section 3: glue in the domain that is delegated sets TC where it does not fit.
                let is_in_domain = |&id: &u32| records.is_at_or_below(records.rrset(id).name, rrset.name);
                let ids = records.additional_of(rrset).iter().copied();
                ids.clone().filter(is_in_domain).try_for_each(|id| self.additional(message, id))?;
                self.additional_that_fits(message, ids.filter(|id| !is_in_domain(id)));
                Ok(())
            }
        }
    }

    fn additional_that_fits(&mut self, message: &mut Message<'_>, ids: impl Iterator<Item = u32>) {
        for id in ids {
            let mark = message.mark();
            if self.additional(message, id).is_err() {
                message.go_back(mark);
                return;
            }
        }
    }

    fn additional(&mut self, message: &mut Message<'_>, id: u32) -> Result<(), Full> {
        let rrset = self.records.rrset(id);
        self.rrset(message, Section::Additional, Owner::Name(rrset.name), rrset, rrset.ttl_s)
    }

    fn addresses(
        &mut self,
        message: &mut Message<'_>,
        asked: &Asked,
        owner: Owner,
        chosen: &Chosen<'_>,
    ) -> Result<(), Full> {
        let addresses = chosen.addresses.unwrap_or_default();
        let size = if asked.kind == kinds::AAAA { 16 } else { 4 };
        if owner == Owner::Question {
            return message.put_addresses(asked.kind, chosen.ttl_s, addresses, size);
        }
        for address in addresses.chunks_exact(size) {
            self.owner(message, owner)?;
            message.put_type_and_ttl(asked.kind, chosen.ttl_s)?;
            message.put_rdata(|message| message.put(address))?;
            message.count(Section::Answer, 1);
        }
        Ok(())
    }

    fn rrset(
        &mut self,
        message: &mut Message<'_>,
        section: Section,
        owner: Owner,
        rrset: &Rrset,
        ttl_s: u32,
    ) -> Result<(), Full> {
        let records = self.records;
        for record in records.records_of(rrset) {
            self.owner(message, owner)?;
            message.put_type_and_ttl(rrset.kind, ttl_s)?;
            let (prefix, suffix) = records.affixes(record);
            message.put_rdata(|message| {
                message.put(prefix)?;
                for name in [record.name_1, record.name_2] {
                    if name != NONE {
                        self.name(message, name)?;
                    }
                }
                message.put(suffix)
            })?;
            message.count(section, 1);
        }
        Ok(())
    }

    fn owner(&mut self, message: &mut Message<'_>, owner: Owner) -> Result<(), Full> {
        match owner {
            Owner::Question => message.put_question_pointer(),
            Owner::Name(name) => self.name(message, name),
        }
    }

    fn name(&mut self, message: &mut Message<'_>, name: u32) -> Result<(), Full> {
        if !self.has_started {
            self.has_started = true;
            self.labels.read(self.query, HEADER_BYTES);
            self.compressor.start(self.records, self.labels, self.known.name, self.known.labels);
        }
        self.compressor.write(message, self.records, name)
    }
}
