//! Builds parts for tests and the fuzz target, the plain way: tables as vectors, which a test can spoil at
//! will.
mod full_world;
mod map_tables;
mod signing;
mod world;
mod zones;

use bytemuck::Pod;

use super::format::{
    AddressSet, Alternative, Arm, Choice, Condition, Header, Label, Name, Node, NotifySource, PartKind,
    Record, Rrset, Section, Selector, Settings, Signature, SignatureSpan, Signed, SignedSet, Steered,
    SteeredRrset, TableEntry, Template, Zone,
};

use super::part::VERSION;

pub use full_world::{FULL_NAMES, full_world};
pub use map_tables::{Leaf, MapTables, whole_space};
pub use world::{World, small_world};
pub use zones::{Data, Steering, ZoneBuilder};

const ALIGNMENT: usize = 64;

/// Sections of a part to come.
#[derive(Clone, Debug)]
pub struct PartBuilder {
    kind: PartKind,
    sections: Vec<(u32, usize, Vec<u8>)>,
}

impl PartBuilder {
    /// A part without sections.
    pub fn new(kind: PartKind) -> Self {
        Self { kind, sections: Vec::new() }
    }

    /// Adds a section.
    #[must_use]
    pub fn with<T: Pod>(mut self, section: Section, items: &[T]) -> Self {
        self.sections.push((section as u32, size_of::<T>(), bytemuck::cast_slice(items).to_vec()));
        self
    }

    /// The part's bytes.
    pub fn build(&self) -> Vec<u8> {
        let table_end = size_of::<Header>() + self.sections.len() * size_of::<TableEntry>();
        let mut offset = table_end.next_multiple_of(ALIGNMENT);
        let (mut table, mut sections) = (Vec::new(), vec![0; offset - table_end]);
        for (section, item_bytes, bytes) in &self.sections {
            let count = (bytes.len() / item_bytes) as u64;
            let entry = TableEntry {
                section: *section,
                item_bytes: *item_bytes as u32,
                offset: offset as u64,
                count,
            };
            table.extend_from_slice(bytemuck::bytes_of(&entry));
            sections.extend_from_slice(bytes);
            offset += bytes.len().next_multiple_of(ALIGNMENT);
            sections.resize(offset - table_end, 0);
        }
        let body = [table, sections].concat();
        let header = Header {
            magic: *b"STEERSNP",
            version: VERSION,
            part: self.kind as u32,
            section_count: self.sections.len() as u32,
            crc32: crc32fast::hash(&body),
            total_bytes: offset as u64,
            identity: *b"built for a test",
            reserved: [0; 16],
        };
        [bytemuck::bytes_of(&header).to_vec(), body].concat()
    }
}

/// The tables of `records`.
#[derive(Clone, Debug, Default)]
#[allow(missing_docs, reason = "docs/snapshot_format.md explains each")]
pub struct RecordTables {
    pub settings: Settings,
    pub names: Vec<Name>,
    pub name_hash: Vec<u32>,
    pub nodes: Vec<Node>,
    pub node_rrsets: Vec<u32>,
    pub rrsets: Vec<Rrset>,
    pub records: Vec<Record>,
    pub additional: Vec<u32>,
    pub zones: Vec<Zone>,
    pub steered: Vec<Steered>,
    pub selectors: Vec<Selector>,
    pub arms: Vec<Arm>,
    pub bytes: Vec<u8>,
    pub nsec_chain: Vec<u32>,
    pub steered_rrsets: Vec<SteeredRrset>,
    pub templates: Vec<Template>,
    pub cname_hosts: Vec<u32>,
    pub cookie_secrets: Vec<[u8; 16]>,
    pub notify_sources: Vec<NotifySource>,
    pub labels: Vec<Label>,
}

impl RecordTables {
    /// The part's bytes.
    pub fn build(&self) -> Vec<u8> {
        PartBuilder::new(PartKind::Records)
            .with(Section::Settings, &[self.settings])
            .with(Section::Names, &self.names)
            .with(Section::NameHash, &self.name_hash)
            .with(Section::Nodes, &self.nodes)
            .with(Section::NodeRrsets, &self.node_rrsets)
            .with(Section::Rrsets, &self.rrsets)
            .with(Section::Records, &self.records)
            .with(Section::Additional, &self.additional)
            .with(Section::Zones, &self.zones)
            .with(Section::Steered, &self.steered)
            .with(Section::Selectors, &self.selectors)
            .with(Section::Arms, &self.arms)
            .with(Section::Bytes, &self.bytes)
            .with(Section::NsecChain, &self.nsec_chain)
            .with(Section::SteeredRrsets, &self.steered_rrsets)
            .with(Section::Templates, &self.templates)
            .with(Section::CnameHosts, &self.cname_hosts)
            .with(Section::CookieSecrets, &self.cookie_secrets)
            .with(Section::NotifySources, &self.notify_sources)
            .with(Section::Labels, &self.labels)
            .build()
    }
}

/// The tables of `choices`.
#[derive(Clone, Debug, Default)]
#[allow(missing_docs, reason = "docs/snapshot_format.md explains each")]
pub struct ChoiceTables {
    pub choices: Vec<Choice>,
    pub alternatives: Vec<Alternative>,
    pub sets: Vec<AddressSet>,
    pub addresses: Vec<u8>,
    pub forced: Vec<u32>,
    pub bytes: Vec<u8>,
    pub condition: Condition,
    pub zone_states: Vec<u32>,
}

impl ChoiceTables {
    /// The part's bytes.
    pub fn build(&self) -> Vec<u8> {
        PartBuilder::new(PartKind::Choices)
            .with(Section::Choices, &self.choices)
            .with(Section::Alternatives, &self.alternatives)
            .with(Section::Sets, &self.sets)
            .with(Section::Addresses, &self.addresses)
            .with(Section::Forced, &self.forced)
            .with(Section::ChoiceBytes, &self.bytes)
            .with(Section::Condition, &[self.condition])
            .with(Section::ZoneStates, &self.zone_states)
            .build()
    }
}

/// The tables of `signatures`.
#[derive(Clone, Debug, Default)]
#[allow(missing_docs, reason = "docs/snapshot_format.md explains each")]
pub struct SignatureTables {
    pub signed: Signed,
    pub static_signatures: Vec<SignatureSpan>,
    pub hash: Vec<u32>,
    pub sets: Vec<SignedSet>,
    pub signatures: Vec<Signature>,
    pub bytes: Vec<u8>,
}

impl SignatureTables {
    /// The part's bytes.
    pub fn build(&self) -> Vec<u8> {
        PartBuilder::new(PartKind::Signatures)
            .with(Section::Signed, &[self.signed])
            .with(Section::StaticSignatures, &self.static_signatures)
            .with(Section::SignatureHash, &self.hash)
            .with(Section::SignedSets, &self.sets)
            .with(Section::Signatures, &self.signatures)
            .with(Section::SignatureBytes, &self.bytes)
            .build()
    }
}
