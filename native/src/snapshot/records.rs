//! The records of a snapshot: a tree of names, the nodes at them, their rrsets; found by hashing label by
//! label. Knows tables, not messages: a label is a length octet and octets, of either case when it is looked
//! for.
use super::denial::Denial;
use super::format::{
    Arm, Label, NODE_APEX, NODE_CUT, NONE, Name, Node, NotifySource, PartKind, Record, Rrset, Section,
    Selector, Settings, Steered, SteeredRrset, Template, ZONE_SIGNED, Zone,
};
use super::part::{BadPart, Part};
use super::shares::DeploymentKey;
use super::whole_names::WholeNames;
use super::{records_proof, settings_proof, steered_proof};

/// The root's name.
pub const ROOT: u32 = 0;

/// The proved part `records`.
#[derive(Debug)]
pub struct Records {
    /// 16 bytes that name the part's inputs.
    pub identity: [u8; 16],
    /// Keys the hash of shares.
    pub deployment_key: DeploymentKey,
    /// Largest UDP response, and the size offered in OPT, in octets.
    pub udp_bytes: u16,
    /// All slots of the selectors and arms are below.
    pub slots_used: u32,
    pub(super) settings: Settings,
    pub(super) cookie_secrets: Vec<[u8; 16]>,
    pub(super) notify_sources: Vec<NotifySource>,
    pub(super) labels: Vec<Label>,
    pub(super) names: Vec<Name>,
    pub(super) name_hash: Vec<u32>,
    pub(super) nodes: Vec<Node>,
    pub(super) node_rrsets: Vec<u32>,
    pub(super) rrsets: Vec<Rrset>,
    pub(super) records: Vec<Record>,
    pub(super) additional: Vec<u32>,
    pub(super) zones: Vec<Zone>,
    pub(super) denials: Vec<Denial>,
    pub(super) nsec_chain: Vec<u32>,
    pub(super) steered: Vec<Steered>,
    pub(super) steered_rrsets: Vec<SteeredRrset>,
    pub(super) templates: Vec<Template>,
    pub(super) cname_hosts: Vec<u32>,
    pub(super) selectors: Vec<Selector>,
    pub(super) arms: Vec<Arm>,
    pub(super) bytes: Vec<u8>,
    whole_names: WholeNames,
}

/// How far down the tree a name is known.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Known {
    /// The deepest known name: the name itself, or its longest known suffix.
    pub name: u32,
    /// Labels of that suffix.
    pub labels: u8,
    /// All labels are known.
    pub whole: bool,
}

/// What stands where in the zone that holds a name; nodes by their ids.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Found {
    /// No zone served holds the name.
    NoZone,
    /// A delegation at or above the name; the node has an NS rrset.
    Cut(u32),
    /// The name's own node.
    Exact(u32),
    /// The node of the wildcard that stands for the name.
    Wildcard(u32),
    /// The name does not exist; the closest node that does.
    Nothing(u32),
}

impl Records {
    /// Proves a part and copies it.
    /// # Errors
    /// The first invariant of `docs/snapshot_format.md` that fails.
    pub fn load(data: &[u8]) -> Result<Self, BadPart> {
        let part = Part::open(data, PartKind::Records, true)?;
        let settings: Settings = part.single(Section::Settings)?;
        let mut records = Self {
            identity: part.identity,
            deployment_key: DeploymentKey::new(&settings.deployment_key),
            udp_bytes: 0,
            slots_used: 0,
            settings,
            cookie_secrets: part.items(Section::CookieSecrets)?,
            notify_sources: part.items(Section::NotifySources)?,
            labels: part.items(Section::Labels)?,
            names: part.items(Section::Names)?,
            name_hash: part.items(Section::NameHash)?,
            nodes: part.items(Section::Nodes)?,
            node_rrsets: part.items(Section::NodeRrsets)?,
            rrsets: part.items(Section::Rrsets)?,
            records: part.items(Section::Records)?,
            additional: part.items(Section::Additional)?,
            zones: part.items(Section::Zones)?,
            denials: Vec::new(),
            nsec_chain: part.items(Section::NsecChain)?,
            steered: part.items(Section::Steered)?,
            steered_rrsets: part.items(Section::SteeredRrsets)?,
            templates: part.items(Section::Templates)?,
            cname_hosts: part.items(Section::CnameHosts)?,
            selectors: part.items(Section::Selectors)?,
            arms: part.items(Section::Arms)?,
            bytes: part.items(Section::Bytes)?,
            whole_names: WholeNames::default(),
        };
        records.udp_bytes = settings_proof::udp_bytes(&settings)?;
        settings_proof::prove(&records)?;
        records_proof::prove(&records)?;
        records.slots_used = steered_proof::prove(&records)?;
        records.denials = records.zones.iter().map(|zone| Denial::new(&records, zone)).collect();
        records.whole_names = WholeNames::new(&records);
        Ok(records)
    }

    /// A name that has a node, found at once. `octets`: all its labels with their length octets, without the
    /// root's zero.
    pub fn known_whole(&self, octets: &[u8], labels: u8) -> Option<Known> {
        let name = self.whole_names.find(octets)?;
        Some(Known { name, labels, whole: true })
    }

    /// Whether a name has a node.
    pub(super) fn has_node(&self, name: u32) -> bool {
        self.names[name as usize].node != NONE
    }

    /// Which names there are, the root among them.
    pub(super) fn name_count(&self) -> u32 {
        self.names.len() as u32
    }

    /// Walks down from the root as far as labels match; `labels`: length octet and label, the rightmost
    /// first.
    pub fn walk<'l>(&self, labels: impl Iterator<Item = &'l [u8]>) -> Known {
        let mut known = Known { name: ROOT, labels: 0, whole: true };
        for label in labels {
            let child = self.child(known.name, label);
            if child == NONE {
                return Known { whole: false, ..known };
            }
            known = Known { name: child, labels: known.labels + 1, whole: true };
        }
        known
    }

    /// What answers for a name. `asks_parent`: the type is DS, so that a cut or an apex is asked for the side
    /// above it (RFC 4035 section 3.1.4.1).
    pub fn find(&self, known: Known, asks_parent: bool) -> Found {
        let Some((apex, apex_node)) = self.apex_above(known.name) else {
            return Found::NoZone;
        };
        let at_apex = known.whole && apex == known.name;
        let cut = self.names[apex as usize].cut_node;
        if at_apex && asks_parent && cut != NONE {
            return Found::Exact(cut);
        }
        let zone = self.node(apex_node).zone;
        let (mut closest, mut cut) = (None, None);
        let mut name = known.name;
        while name != apex {
            let id = self.names[name as usize].node;
            if let Some(node) = self.nodes.get(id as usize).filter(|node| node.zone == zone) {
                closest = closest.or(Some((name, id)));
                if node.flags & NODE_CUT != 0 && !(asks_parent && known.whole && name == known.name) {
                    cut = Some(id); // the last one met is the first from the apex down
                }
            }
            name = self.names[name as usize].parent;
        }
        let (closest_name, closest) = closest.unwrap_or((apex, apex_node));
        match (cut, self.node(closest).wildcard) {
            (Some(cut), _) => Found::Cut(cut),
            (None, _) if known.whole && closest_name == known.name => Found::Exact(closest),
            (None, NONE) => Found::Nothing(closest),
            (None, wildcard) => Found::Wildcard(wildcard),
        }
    }

    /// The node at a name, if the name is a zone's apex.
    pub fn apex_at(&self, known: Known) -> Option<&Node> {
        let node = self.nodes.get(self.names[known.name as usize].node as usize)?;
        (known.whole && node.flags & NODE_APEX != 0).then_some(node)
    }

    /// The zone that holds a name.
    pub fn zone_above(&self, name: u32) -> Option<u32> {
        self.apex_above(name).map(|(_, node)| self.node(node).zone)
    }

    /// A node by its id.
    pub fn node(&self, id: u32) -> &Node {
        &self.nodes[id as usize]
    }

    /// The name itself, known whole.
    pub fn known(&self, name: u32) -> Known {
        Known { name, labels: 0, whole: true }
    }

    /// The parent of a name; the root is its own.
    pub fn parent(&self, name: u32) -> u32 {
        self.names[name as usize].parent
    }

    /// Whether a name is `other` or lies below it.
    pub fn is_at_or_below(&self, mut name: u32, other: u32) -> bool {
        while name > other {
            name = self.parent(name); // which is less
        }
        name == other
    }

    /// Length octet and label of a name, in lower case; a zero octet for the root.
    pub fn label(&self, name: u32) -> &[u8] {
        let start = self.names[name as usize].label_offset as usize;
        &self.bytes[start..=start + usize::from(self.bytes[start])]
    }

    /// The rrset of a type at a node.
    pub fn rrset_at(&self, node: &Node, kind: u16) -> Option<(u32, &Rrset)> {
        let ids = slice(&self.node_rrsets, node.rrset_offset, node.rrset_count);
        ids.iter().map(|&id| (id, self.rrset(id))).find(|(_, rrset)| rrset.kind == kind)
    }

    /// An rrset by its id.
    pub fn rrset(&self, id: u32) -> &Rrset {
        &self.rrsets[id as usize]
    }

    /// The first rrset of a node, by type.
    pub fn first_rrset(&self, node: &Node) -> Option<u32> {
        slice(&self.node_rrsets, node.rrset_offset, node.rrset_count).first().copied()
    }

    /// The records of an rrset, at least one.
    pub fn records_of(&self, rrset: &Rrset) -> &[Record] {
        slice(&self.records, rrset.record_offset, rrset.record_count)
    }

    /// Ids of the rrsets that go with an rrset into the additional section.
    pub fn additional_of(&self, rrset: &Rrset) -> &[u32] {
        slice(&self.additional, rrset.additional_offset, rrset.additional_count)
    }

    /// Octets of RDATA before the first name of a record, and after the last.
    pub fn affixes(&self, record: &Record) -> (&[u8], &[u8]) {
        (
            slice(&self.bytes, record.prefix_offset, record.prefix_bytes),
            slice(&self.bytes, record.suffix_offset, record.suffix_bytes),
        )
    }

    /// Which rrsets there are.
    pub(super) fn rrset_count(&self) -> usize {
        self.rrsets.len()
    }

    /// Which zones there are.
    pub(super) fn zone_count(&self) -> usize {
        self.zones.len()
    }

    /// Whether some zone is signed.
    pub(super) fn has_signed_zone(&self) -> bool {
        self.zones.iter().any(|zone| zone.flags & ZONE_SIGNED != 0)
    }

    /// A zone by its id.
    pub fn zone(&self, id: u32) -> &Zone {
        &self.zones[id as usize]
    }

    /// The child of a name with this label, or NONE.
    pub(super) fn child(&self, parent: u32, label: &[u8]) -> u32 {
        let mask = self.name_hash.len() - 1;
        let mut slot = home_slot(parent, label) as usize & mask;
        loop {
            let name = self.name_hash[slot];
            if name == NONE {
                return NONE;
            }
            if self.names[name as usize].parent == parent && self.label(name).eq_ignore_ascii_case(label) {
                return name;
            }
            slot = (slot + 1) & mask; // ends: the proof left empty slots
        }
    }

    /// The closest apex at or above a name, and its node.
    fn apex_above(&self, mut name: u32) -> Option<(u32, u32)> {
        loop {
            let id = self.names[name as usize].node;
            match self.nodes.get(id as usize) {
                Some(node) if node.flags & NODE_APEX != 0 => return Some((name, id)),
                _ if name == ROOT => return None,
                _ => name = self.names[name as usize].parent,
            }
        }
    }
}

/// `count` items from `offset`; proved at load to lie inside.
pub(super) fn slice<T>(items: &[T], offset: u32, count: u32) -> &[T] {
    &items[offset as usize..offset as usize + count as usize]
}

/// Home slot of (parent, label) before masking: FNV-1a 64, folded.
pub(super) fn home_slot(parent: u32, label: &[u8]) -> u64 {
    let step = |hash: u64, octet: u8| (hash ^ u64::from(octet)).wrapping_mul(0x0000_0100_0000_01b3);
    let hash = parent.to_le_bytes().into_iter().fold(0xcbf2_9ce4_8422_2325, step);
    let hash = label.iter().map(u8::to_ascii_lowercase).fold(hash, step);
    hash ^ (hash >> 32)
}
