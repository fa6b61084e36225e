//! Writes rrsets of the records, and the signatures of whatever has been written.
use super::super::resolve::Owner;
use super::Composer;
use crate::snapshot::format::{NONE, Signature};
use crate::wire::{Full, HEADER_BYTES, Message, Section, kinds};

impl<'a> Composer<'a> {
    /// Writes an rrset under its own name.
    pub(super) fn own_rrset(
        &mut self,
        message: &mut Message<'_>,
        section: Section,
        id: u32,
    ) -> Result<(), Full> {
        let rrset = self.records.rrset(id);
        self.rrset(message, section, Owner::Name(rrset.name), id, rrset.ttl_s)
    }

    /// Writes an rrset, and its signatures where they are wanted; `ttl_s`: unless these end before.
    pub(super) fn rrset(
        &mut self,
        message: &mut Message<'_>,
        section: Section,
        owner: Owner,
        id: u32,
        ttl_s: u32,
    ) -> Result<(), Full> {
        let signatures = self.signatures_of(id);
        let ttl_s = self.capped(ttl_s, signatures);
        self.records(message, section, owner, id, ttl_s)?;
        self.signatures(message, section, owner, signatures, ttl_s)
    }

    /// Writes rrsets of addresses as long as they fit whole; without their signatures where these do not fit.
    pub(super) fn additional_that_fits(&mut self, message: &mut Message<'_>, ids: impl Iterator<Item = u32>) {
        for id in ids {
            let (mark, had_signatures) = (message.mark(), self.has_signatures);
            if self.own_rrset(message, Section::Additional, id).is_ok() {
                continue;
            }
            self.has_signatures = had_signatures;
            message.go_back(mark);
            self.naming.compressor.forget_from(message.length());
            let rrset = self.records.rrset(id);
            let ttl_s = self.capped(rrset.ttl_s, self.signatures_of(id));
            if self.records(message, Section::Additional, Owner::Name(rrset.name), id, ttl_s).is_err() {
                message.go_back(mark);
                return;
            }
        }
    }

    /// Writes the signatures of an rrset as the answer.
    pub(super) fn signatures_alone(&mut self, message: &mut Message<'_>, id: u32) -> Result<(), Full> {
        let Some(part) = self.task.view.signatures else { return Ok(()) };
        let ttl_s = self.capped(self.records.rrset(id).ttl_s, self.signatures_of(id));
        self.signatures(message, Section::Answer, self.task.resolved.owner, part.of_rrset(id), ttl_s)
    }

    /// Writes the RRSIG records of what has been written, where there are any.
    #[inline(always)]
    pub(super) fn signatures(
        &mut self,
        message: &mut Message<'_>,
        section: Section,
        owner: Owner,
        signatures: &[Signature],
        ttl_s: u32,
    ) -> Result<(), Full> {
        if signatures.is_empty() {
            return Ok(());
        }
        self.some_signatures(message, section, owner, signatures, ttl_s)
    }

    fn some_signatures(
        &mut self,
        message: &mut Message<'_>,
        section: Section,
        owner: Owner,
        signatures: &[Signature],
        ttl_s: u32,
    ) -> Result<(), Full> {
        let Some(part) = self.task.view.signatures else { return Ok(()) };
        for signature in signatures {
            self.owner(message, owner)?;
            message.put_type_and_ttl(kinds::RRSIG, ttl_s)?;
            message.put_rdata(|message| message.put(part.rdata(signature)))?;
            message.count(section, 1);
            self.has_signatures = true;
        }
        Ok(())
    }

    /// A TTL that ends before the signatures do (RFC 4035 section 5.3.3), where they are wanted.
    #[inline(always)]
    pub(super) fn capped(&self, ttl_s: u32, signatures: &[Signature]) -> u32 {
        self.signing.map_or(ttl_s, |signing| capped(ttl_s, signatures, signing.now_s))
    }

    /// Writes a name, or the pointer that stands for the question's.
    pub(super) fn owner(&mut self, message: &mut Message<'_>, owner: Owner) -> Result<(), Full> {
        match owner {
            Owner::Question => message.put_question_pointer(),
            Owner::Name(name) => self.name(message, name),
        }
    }

    /// Writes a name, as short as what stands in the message allows.
    pub(super) fn name(&mut self, message: &mut Message<'_>, name: u32) -> Result<(), Full> {
        if !self.has_started {
            self.read_question();
            let known = self.task.known;
            let naming = &mut *self.naming;
            naming.compressor.start(self.records, &naming.labels, known.name, known.labels);
            self.has_started = true;
        }
        self.naming.compressor.write(message, self.records, name)
    }

    /// Makes the labels the question's.
    pub(super) fn read_question(&mut self) {
        self.naming.labels.read(self.task.query, HEADER_BYTES);
    }

    fn signatures_of(&self, id: u32) -> &'a [Signature] {
        self.signing.map_or(&[], |signing| signing.signatures.of_rrset(id))
    }

    fn records(
        &mut self,
        message: &mut Message<'_>,
        section: Section,
        owner: Owner,
        id: u32,
        ttl_s: u32,
    ) -> Result<(), Full> {
        let records = self.records;
        let rrset = records.rrset(id);
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
}

/// A TTL that ends before the signatures do.
pub(in super::super) fn capped(ttl_s: u32, signatures: &[Signature], now_s: u32) -> u32 {
    signatures.iter().map(|signature| signature.expires_s.saturating_sub(now_s)).fold(ttl_s, u32::min)
}
