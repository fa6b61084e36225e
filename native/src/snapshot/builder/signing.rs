//! NSEC chains, and signatures that are none but look like some.
use super::zones::ZoneBuilder;
use super::{Data, RecordTables, SignatureTables};
use crate::snapshot::format::{NODE_CUT, NONE, Signature, SignatureSpan, Signed, SignedSet, ZONE_SIGNED};
use crate::snapshot::signatures::home_slot;

const TYPE_DS: u16 = 43;
const TYPE_NSEC: u16 = 47;
const EXPIRES_S: u32 = 2_000_000_000;

impl ZoneBuilder {
    /// Signs the zone started last.
    pub fn sign(&mut self) -> &mut Self {
        if let Some(zone) = self.tables.zones.last_mut() {
            zone.flags |= ZONE_SIGNED;
        }
        self
    }

    /// An NSEC rrset at every name of a signed zone that has data.
    pub(super) fn add_denials(&mut self) {
        let is_signed = |zone: u32| self.tables.zones[zone as usize].flags & ZONE_SIGNED != 0;
        let with_data = self.pending.iter().map(|pending| (pending.owner, pending.zone));
        let with_data = with_data.chain(self.steered.iter().map(|&(name, zone, _)| (name, zone)));
        let mut owners: Vec<(u32, u32)> = with_data.filter(|&(_, zone)| is_signed(zone)).collect();
        owners.sort_unstable();
        owners.dedup();
        owners.retain(|&(name, zone)| !self.is_glue(name, zone));
        for (name, zone) in owners {
            self.add_to(zone, name, TYPE_NSEC, &[Data(b"\0next", &[], &[])]);
        }
    }

    /// Chains, and every node's NSEC.
    pub(super) fn link_denials(&mut self) {
        for zone in 0..self.tables.zones.len() {
            let rrsets = self.tables.rrsets.iter().enumerate();
            let mut chain: Vec<(Vec<String>, u32)> = rrsets
                .filter(|(id, rrset)| {
                    rrset.kind == TYPE_NSEC && self.zone_of(*id as u32) == Some(zone as u32)
                })
                .map(|(id, rrset)| (self.canonical(&self.names[rrset.name as usize]), id as u32))
                .collect();
            chain.sort();
            self.tables.zones[zone].nsec_offset = self.tables.nsec_chain.len() as u32;
            self.tables.zones[zone].nsec_count = chain.len() as u32;
            self.tables.nsec_chain.extend(chain.iter().map(|&(_, id)| id));
            let covering = |name: &str| {
                let after = chain.partition_point(|(owner, _)| *owner <= self.canonical(name));
                after.checked_sub(1).map_or(NONE, |index| chain[index].1)
            };
            let denials: Vec<(u32, u32, u32)> = (0..self.names.len())
                .map(|name| (self.tables.names[name].node, &self.names[name]))
                .filter(|&(node, _)| node != NONE && self.tables.nodes[node as usize].zone == zone as u32)
                .map(|(node, name)| (node, covering(name), covering(&format!("*.{name}"))))
                .collect();
            for (node, nsec, nsec_wildcard) in denials {
                let node = &mut self.tables.nodes[node as usize];
                (node.nsec, node.nsec_wildcard) = (nsec, nsec_wildcard);
            }
        }
    }

    fn is_glue(&self, name: u32, zone: u32) -> bool {
        let is_cut = |name: u32| {
            let node = self.tables.names[name as usize].node;
            let apex = self.tables.zones[zone as usize].apex;
            name != apex && node != NONE && self.has_ns(name, zone)
        };
        let mut above = name;
        while above != 0 {
            above = self.tables.names[above as usize].parent;
            if is_cut(above) {
                return true;
            }
        }
        false
    }

    fn zone_of(&self, rrset: u32) -> Option<u32> {
        self.pending.iter().find(|pending| pending.rrset == rrset).map(|pending| pending.zone)
    }

    /// Labels from the right.
    fn canonical(&self, name: &str) -> Vec<String> {
        name.rsplit('.').map(str::to_owned).collect()
    }
}

impl SignatureTables {
    /// For all rrsets of these records in signed zones, and these answers: (steered name, type, key).
    pub fn of(records: &RecordTables, answers: &[(u32, u16, Vec<u8>)]) -> Self {
        let mut tables = Self {
            signed: Signed {
                records_identity: *b"built for a test",
                rrset_count: records.rrsets.len() as u32,
                steered_count: records.steered.len() as u32,
            },
            static_signatures: vec![SignatureSpan::default(); records.rrsets.len()],
            ..Self::default()
        };
        for node in &records.nodes {
            let is_signed = records.zones[node.zone as usize].flags & ZONE_SIGNED != 0;
            let ids = &records.node_rrsets[node.rrset_offset as usize..][..node.rrset_count as usize];
            for &id in ids.iter().filter(|_| is_signed) {
                let kind = records.rrsets[id as usize].kind;
                if node.flags & NODE_CUT == 0 || kind == TYPE_NSEC || kind == TYPE_DS {
                    tables.static_signatures[id as usize] = tables.sign(kind, 1 + id % 2);
                }
            }
        }
        for (steered, kind, key) in answers {
            let span = tables.sign(*kind, 1);
            let key_offset = tables.bytes.len() as u32;
            tables.bytes.extend_from_slice(key);
            tables.sets.push(SignedSet {
                steered: *steered,
                kind: *kind,
                reserved: 0,
                key_offset,
                key_bytes: key.len() as u32,
                signature_offset: span.offset,
                signature_count: span.count,
            });
        }
        tables.hash = tables.hashed();
        tables
    }

    fn sign(&mut self, kind: u16, count: u32) -> SignatureSpan {
        let span = SignatureSpan { offset: self.signatures.len() as u32, count };
        for number in 0..count as u8 {
            let offset = self.bytes.len() as u32;
            self.bytes.extend_from_slice(&kind.to_be_bytes());
            self.bytes.extend_from_slice(&[13, 3, 0, 0, 0x0e, 0x10]);
            self.bytes.extend_from_slice(&EXPIRES_S.to_be_bytes());
            self.bytes.extend_from_slice(&[0, 0, 0, 0, 0, number, 0]);
            self.bytes.extend_from_slice(&[number; 64]);
            let bytes = self.bytes.len() as u32 - offset;
            self.signatures.push(Signature { expires_s: EXPIRES_S, offset, bytes, reserved: 0 });
        }
        span
    }

    fn hashed(&self) -> Vec<u32> {
        let mut slots = vec![NONE; (2 * self.sets.len()).next_power_of_two().max(2)];
        for (index, set) in self.sets.iter().enumerate() {
            let key = &self.bytes[set.key_offset as usize..][..set.key_bytes as usize];
            let mut slot = home_slot(set.steered, set.kind, key) as usize % slots.len();
            while slots[slot] != NONE {
                slot = (slot + 1) % slots.len();
            }
            slots[slot] = index as u32;
        }
        slots
    }
}
