//! Tables of records, from names and RDATA.
use super::RecordTables;
use crate::snapshot::format::{
    NODE_APEX, NODE_CNAME, NODE_CUT, NONE, Name, Node, RRSET_STEERED_TARGET, Record, Rrset, SETTINGS_STEERS,
    STEERED_A, STEERED_AAAA, Selector, Steered, SteeredRrset, Template, Zone,
};
use crate::snapshot::records::home_slot;

const TYPES_WITH_ADDRESSES: [u16; 2] = [1, 28];
const TYPE_NS: u16 = 2;
const TYPE_CNAME: u16 = 5;
const TYPE_SOA: u16 = 6;

/// RDATA: octets, names, octets.
#[derive(Clone, Copy, Debug)]
pub struct Data<'d>(pub &'d [u8], pub &'d [&'d str], pub &'d [u8]);

/// One rrset on its way.
pub(super) struct Pending {
    pub(super) owner: u32,
    kind: u16,
    pub(super) zone: u32,
    pub(super) rrset: u32,
}

/// Collects zones; names are in lower case, without the final dot.
#[derive(Default)]
pub struct ZoneBuilder {
    pub(super) tables: RecordTables,
    pub(super) names: Vec<String>,
    pub(super) pending: Vec<Pending>,
    pub(super) steered: Vec<(u32, u32, u32)>, // name, zone, index
}

/// What a steered name is to have.
#[derive(Clone, Copy, Debug)]
pub struct Steering<'d> {
    /// Its selector.
    pub selector: u32,
    /// `STEERED_A` and its like.
    pub flags: u32,
    /// Further types, by rising type: octets before, between and after the hints of one record, with flags.
    pub services: &'d [(u16, u32, [&'d [u8]; 3])],
}

impl ZoneBuilder {
    /// No zones yet.
    pub fn new() -> Self {
        let mut builder = Self::default();
        builder.tables.bytes.push(0);
        builder.tables.names.push(Name { parent: 0, label_offset: 0, node: NONE, cut_node: NONE });
        builder.names.push(String::new());
        builder.tables.settings.udp_bytes = 1232;
        builder
    }

    /// Starts a zone, with its SOA.
    pub fn zone(&mut self, apex: &str) -> &mut Self {
        let zone = self.tables.zones.len() as u32;
        let apex_name = self.name(apex);
        self.tables.zones.push(Zone { apex: apex_name, soa: NONE, negative_ttl_s: 300, ..Zone::default() });
        let soa = self.tables.rrsets.len() as u32;
        let (server, hostmaster) = (format!("ns1.{apex}"), format!("hostmaster.{apex}"));
        self.add(apex, TYPE_SOA, &[Data(&[], &[&server, &hostmaster], &[1; 20])]);
        self.tables.zones[zone as usize].soa = soa;
        self
    }

    /// Adds an rrset to the zone started last.
    pub fn add(&mut self, owner: &str, kind: u16, records: &[Data<'_>]) -> &mut Self {
        let (owner, zone) = (self.name(owner), self.tables.zones.len() as u32 - 1);
        self.add_to(zone, owner, kind, records);
        self
    }

    /// Adds an rrset to a zone.
    pub(super) fn add_to(&mut self, zone: u32, owner: u32, kind: u16, records: &[Data<'_>]) {
        let record_offset = self.tables.records.len() as u32;
        for &Data(prefix, names, suffix) in records {
            let mut names = names.iter().map(|name| self.name(name)).collect::<Vec<_>>().into_iter();
            let (prefix_offset, suffix_offset) = (self.bytes(prefix), self.bytes(suffix));
            self.tables.records.push(Record {
                prefix_offset,
                prefix_bytes: prefix.len() as u32,
                name_1: names.next().unwrap_or(NONE),
                name_2: names.next().unwrap_or(NONE),
                suffix_offset,
                suffix_bytes: suffix.len() as u32,
            });
        }
        let rrset = self.tables.rrsets.len() as u32;
        self.tables.rrsets.push(Rrset {
            name: owner,
            kind,
            ttl_s: 3600,
            record_offset,
            record_count: records.len() as u32,
            ..Rrset::default()
        });
        self.pending.push(Pending { owner, kind, zone, rrset });
    }

    /// Whether an owner in a zone has NS.
    pub(super) fn has_ns(&self, owner: u32, zone: u32) -> bool {
        let here = |pending: &&Pending| pending.owner == owner && pending.zone == zone;
        self.pending.iter().filter(here).any(|pending| pending.kind == TYPE_NS)
    }

    /// Adds a selector; returns its index. `hash`: what an experiment hashes before the unit.
    pub fn selector(&mut self, mut selector: Selector, hash: &[u8]) -> u32 {
        selector.hash_offset = self.bytes(hash);
        selector.hash_bytes = hash.len() as u32;
        self.tables.selectors.push(selector);
        self.tables.selectors.len() as u32 - 1
    }

    /// Steers a name of the zone started last, both types.
    pub fn steer(&mut self, owner: &str, selector: u32) -> &mut Self {
        self.steer_as(owner, Steering { selector, flags: STEERED_A | STEERED_AAAA, services: &[] })
    }

    /// Steers a name of the zone started last.
    pub fn steer_as(&mut self, owner: &str, steering: Steering<'_>) -> &mut Self {
        let index = self.tables.steered.len() as u32;
        let (owner, zone) = (self.name(owner), self.tables.zones.len() as u32 - 1);
        let rrset_offset = self.tables.steered_rrsets.len() as u32;
        for &(kind, flags, parts) in steering.services {
            let [before, between, after] = parts.map(|part| (self.bytes(part), part.len() as u32));
            let template_offset = self.tables.templates.len() as u32;
            let rrset = SteeredRrset { kind, ttl_s: 300, template_offset, template_count: 1, reserved: 0 };
            self.tables.steered_rrsets.push(rrset);
            self.tables.templates.push(Template {
                flags,
                before_offset: before.0,
                before_bytes: before.1,
                between_offset: between.0,
                between_bytes: between.1,
                after_offset: after.0,
                after_bytes: after.1,
                reserved: 0,
            });
        }
        self.tables.steered.push(Steered {
            ttl_s: 60,
            flags: steering.flags,
            selector: steering.selector,
            counter: 100 + index,
            rrset_offset,
            rrset_count: steering.services.len() as u32,
        });
        self.steered.push((owner, zone, index));
        self.tables.settings.flags |= SETTINGS_STEERS;
        self
    }

    /// Adds a name that choices may lead to.
    pub fn cname_host(&mut self, name: &str) -> &mut Self {
        let name = self.name(name);
        self.tables.cname_hosts.push(name);
        self
    }

    /// Adds octets to `BYTES`; returns where they stand, and how many.
    pub fn text(&mut self, text: &[u8]) -> (u32, u32) {
        (self.bytes(text), text.len() as u32)
    }

    /// The tables, to be completed or spoilt.
    pub fn tables(mut self) -> RecordTables {
        self.add_nodes();
        self.add_denials();
        self.fill_nodes();
        self.link_denials();
        self.link_targets();
        let slots = (self.tables.names.len() * 2).next_power_of_two();
        self.tables.name_hash = vec![NONE; slots];
        for index in 1..self.tables.names.len() {
            let name = self.tables.names[index];
            let label = self.names[index].split('.').next().unwrap_or("");
            let label = [&[label.len() as u8], label.as_bytes()].concat();
            let mut slot = home_slot(name.parent, &label) as usize % slots;
            while self.tables.name_hash[slot] != NONE {
                slot = (slot + 1) % slots;
            }
            self.tables.name_hash[slot] = index as u32;
        }
        self.tables
    }

    /// A node for every owner and every name between it and its apex.
    fn add_nodes(&mut self) {
        let owners = self.pending.iter().map(|pending| (pending.owner, pending.zone));
        let owners: Vec<(u32, u32)> =
            owners.chain(self.steered.iter().map(|&(name, zone, _)| (name, zone))).collect();
        for (owner, zone) in owners {
            let mut name = owner;
            loop {
                self.node_at(name, zone);
                if name == self.tables.zones[zone as usize].apex || name == 0 {
                    break;
                }
                name = self.tables.names[name as usize].parent;
            }
        }
    }

    /// Gives every node its rrsets, wildcard and steered name.
    fn fill_nodes(&mut self) {
        for index in 0..self.tables.nodes.len() {
            let name = (0..self.names.len()).find(|&name| self.tables.names[name].node == index as u32);
            let Some(name) = name else { continue };
            let zone = self.tables.nodes[index].zone;
            let mut here: Vec<&Pending> = self
                .pending
                .iter()
                .filter(|pending| pending.owner == name as u32 && pending.zone == zone)
                .collect();
            here.sort_by_key(|pending| pending.kind);
            let node = &mut self.tables.nodes[index];
            node.rrset_offset = self.tables.node_rrsets.len() as u32;
            node.rrset_count = here.len() as u32;
            let is_apex = self.tables.zones[zone as usize].apex == name as u32;
            for pending in here {
                self.tables.node_rrsets.push(pending.rrset);
                node.flags |= match pending.kind {
                    TYPE_SOA => NODE_APEX,
                    TYPE_NS if !is_apex => NODE_CUT,
                    TYPE_CNAME => NODE_CNAME,
                    _ => 0,
                };
            }
            let wildcard = format!("*.{}", self.names[name]);
            if let Some(wildcard) = self.names.iter().position(|known| *known == wildcard) {
                self.tables.nodes[index].wildcard = self.tables.names[wildcard].node;
            }
        }
        for &(name, _, index) in &self.steered {
            let node = self.tables.names[name as usize].node as usize;
            self.tables.nodes[node].steered = index;
        }
    }

    /// Additional data, and the marks of aliases of steered names.
    fn link_targets(&mut self) {
        for index in 0..self.tables.rrsets.len() {
            let rrset = self.tables.rrsets[index];
            let records = &self.tables.records[rrset.record_offset as usize..][..rrset.record_count as usize];
            let targets: Vec<u32> = records.iter().map(|record| record.name_1).collect();
            if rrset.kind == TYPE_CNAME {
                let is_steered = self.steered.iter().any(|&(name, ..)| name == targets[0]);
                self.tables.rrsets[index].flags = if is_steered { RRSET_STEERED_TARGET } else { 0 };
            } else if rrset.kind != TYPE_SOA {
                self.tables.rrsets[index].additional_offset = self.tables.additional.len() as u32;
                for target in targets.into_iter().filter(|&target| target != NONE) {
                    let addresses = self.pending.iter().filter(|pending| {
                        pending.owner == target && TYPES_WITH_ADDRESSES.contains(&pending.kind)
                    });
                    self.tables.additional.extend(addresses.map(|pending| pending.rrset));
                }
                let end = self.tables.additional.len() as u32;
                self.tables.rrsets[index].additional_count =
                    end - self.tables.rrsets[index].additional_offset;
            }
        }
    }

    fn node_at(&mut self, name: u32, zone: u32) {
        if self.tables.names[name as usize].node == NONE {
            self.tables.names[name as usize].node = self.tables.nodes.len() as u32;
            let nowhere =
                Node { wildcard: NONE, steered: NONE, nsec: NONE, nsec_wildcard: NONE, ..Node::default() };
            self.tables.nodes.push(Node { zone, ..nowhere });
        }
    }

    fn name(&mut self, text: &str) -> u32 {
        if let Some(known) = self.names.iter().position(|known| known == text) {
            return known as u32;
        }
        let (label, rest) = text.split_once('.').unwrap_or((text, ""));
        let parent = self.name(rest);
        let label_offset = self.bytes(&[&[label.len() as u8], label.as_bytes()].concat());
        self.tables.names.push(Name { parent, label_offset, node: NONE, cut_node: NONE });
        self.names.push(text.into());
        self.names.len() as u32 - 1
    }

    fn bytes(&mut self, bytes: &[u8]) -> u32 {
        let offset = self.tables.bytes.len() as u32;
        self.tables.bytes.extend_from_slice(bytes);
        offset
    }
}
