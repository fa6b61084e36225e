//! Writes what was chosen for a steered name: addresses, a CNAME, SVCB and HTTPS with hints, an explanation.
use super::super::choose::{Chosen, Given, Reason};
use super::super::resolve::Owner;
use super::super::{address_bytes, addresses_key};
use super::Composer;
use crate::snapshot::SetKey;
use crate::snapshot::format::{Signature, SteeredRrset, TEMPLATE_HINTS};
use crate::wire::{Full, Message, Section, kinds};

const KEY_IPV4HINT: u16 = 4; // RFC 9460 section 14.3.2
const KEY_IPV6HINT: u16 = 6;

impl<'a> Composer<'a> {
    /// Writes the answer of a steered name, by its id.
    pub(super) fn steered(&mut self, message: &mut Message<'_>, id: u32) -> Result<(), Full> {
        let (Some(chosen), kind) = (self.task.chosen, self.task.asked.kind) else { return Ok(()) };
        let owner = self.task.resolved.owner;
        match chosen.given {
            Given::Nothing => Ok(()),
            Given::Addresses(addresses) => {
                let signatures = self.signatures_of_set(&addresses_key(id, kind, addresses));
                let ttl_s = self.capped(chosen.ttl_s, signatures);
                self.addresses(message, owner, kind, ttl_s, addresses)?;
                self.signatures(message, Section::Answer, owner, signatures, ttl_s)
            }
            Given::Host(index) => {
                let key = index.to_le_bytes();
                let signatures = self.signatures_of_set(&SetKey {
                    steered: id,
                    kind: kinds::CNAME,
                    count: &[],
                    first: &key,
                    second: &[],
                });
                let ttl_s = self.capped(chosen.ttl_s, signatures);
                self.owner(message, owner)?;
                message.put_type_and_ttl(kinds::CNAME, ttl_s)?;
                let host = self.records.cname_host(index);
                message.put_rdata(|message| self.name(message, host))?;
                message.count(Section::Answer, 1);
                self.signatures(message, Section::Answer, owner, signatures, ttl_s)
            }
            Given::Hints(rrset, hints) => {
                let count = &[(hints[0].len() / address_bytes(kinds::A)) as u8];
                let [first, second] = hints;
                let signatures = self.signatures_of_set(&SetKey { steered: id, kind, count, first, second });
                let ttl_s = self.capped(chosen.ttl_s, signatures);
                self.services(message, owner, rrset, ttl_s, hints)?;
                self.signatures(message, Section::Answer, owner, signatures, ttl_s)
            }
            Given::Explanation(ref reason) => self.explanation(message, owner, chosen, reason),
        }
    }

    fn addresses(
        &mut self,
        message: &mut Message<'_>,
        owner: Owner,
        kind: u16,
        ttl_s: u32,
        addresses: &[u8],
    ) -> Result<(), Full> {
        let size = address_bytes(kind);
        if owner == Owner::Question {
            return message.put_addresses(kind, ttl_s, addresses, size);
        }
        for address in addresses.chunks_exact(size) {
            self.owner(message, owner)?;
            message.put_type_and_ttl(kind, ttl_s)?;
            message.put_rdata(|message| message.put(address))?;
            message.count(Section::Answer, 1);
        }
        Ok(())
    }

    fn services(
        &mut self,
        message: &mut Message<'_>,
        owner: Owner,
        rrset: &SteeredRrset,
        ttl_s: u32,
        [ipv4, ipv6]: [&[u8]; 2],
    ) -> Result<(), Full> {
        for template in self.records.templates_of(rrset) {
            let [before, between, after] = self.records.template_parts(template);
            let has_hints = template.flags & TEMPLATE_HINTS != 0;
            self.owner(message, owner)?;
            message.put_type_and_ttl(rrset.kind, ttl_s)?;
            message.put_rdata(|message| {
                message.put(before)?;
                put_hint(message, KEY_IPV4HINT, if has_hints { ipv4 } else { &[] })?;
                message.put(between)?;
                put_hint(message, KEY_IPV6HINT, if has_hints { ipv6 } else { &[] })?;
                message.put(after)
            })?;
            message.count(Section::Answer, 1);
        }
        Ok(())
    }

    fn explanation(
        &mut self,
        message: &mut Message<'_>,
        owner: Owner,
        chosen: &Chosen<'_>,
        reason: &Reason,
    ) -> Result<(), Full> {
        self.owner(message, owner)?;
        message.put_type_and_ttl(kinds::TXT, chosen.ttl_s)?;
        message.put_rdata(|message| super::explain::put(message, &self.task, chosen.scope_bits, reason))?;
        message.count(Section::Answer, 1);
        Ok(())
    }

    fn signatures_of_set(&self, key: &SetKey<'_>) -> &'a [Signature] {
        self.signing.map_or(&[], |signing| signing.signatures.of_set(key))
    }
}

/// Writes a parameter whose value is addresses; nothing where there are none.
fn put_hint(message: &mut Message<'_>, key: u16, addresses: &[u8]) -> Result<(), Full> {
    if addresses.is_empty() {
        return Ok(());
    }
    message.put_u16(key)?;
    message.put_u16(addresses.len() as u16)?;
    message.put(addresses)
}
