//! The items of a snapshot's sections, as `steer/publish/format.py` has them; little-endian, no padding.
use bytemuck::{Pod, Zeroable};

#[cfg(target_endian = "big")]
compile_error!("sections are used in place, and they are little-endian");

/// "No such index", wherever an index is optional.
pub const NONE: u32 = u32::MAX;
/// Set in a leaf's class: a special-purpose block.
pub const SPECIAL: u32 = 1 << 31;
/// Set in a direct-table entry: the rest is a row, not a node.
pub const ROW: u32 = 1 << 31;
/// Address bits that the direct tables resolve at once.
pub const DIRECT_BITS: u32 = 18;
/// Address bits that one node resolves.
pub const STRIDE_BITS: u32 = 6;
/// Nodes on the longest way down: 18 + 8 * 6 bits cover the key's 64.
pub const MAX_NODES_DEEP: u8 = 8;
/// Octets of a leaf row before its depths.
pub const CLASS_BYTES: usize = 4;
/// Labelled counters: every index in a snapshot is below.
pub const LABELLED_COUNT: usize = 65_536;

/// Flag of `Settings`: some zone steers something.
pub const SETTINGS_STEERS: u32 = 1;
/// Flag of `Settings`: cookies are answered.
pub const SETTINGS_COOKIES: u32 = 2;
/// Flag of `Node`: a zone's apex.
pub const NODE_APEX: u32 = 1;
/// Flag of `Node`: a delegation.
pub const NODE_CUT: u32 = 2;
/// Flag of `Node`: its data is a CNAME.
pub const NODE_CNAME: u32 = 4;
/// Flag of `Node`: a wildcard, below which a beacon's labels stand.
pub const NODE_BEACON: u32 = 8;
/// Flag of `Rrset`: a CNAME whose target is steered.
pub const RRSET_STEERED_TARGET: u16 = 1;
/// Flag of `Zone`: answers to DO carry signatures and proofs.
pub const ZONE_SIGNED: u32 = 1;
/// Flag of `Steered`: the name has addresses of type A.
pub const STEERED_A: u32 = 1;
/// Flag of `Steered`: the name has addresses of type AAAA.
pub const STEERED_AAAA: u32 = 2;
/// Flag of `Steered`: the name is a CNAME and nothing else.
pub const STEERED_CNAME: u32 = 4;
/// Flag of `Steered`: the name explains its choice, and has no other type.
pub const STEERED_EXPLAIN: u32 = 8;
/// Flag of `Template`: the hints stand there.
pub const TEMPLATE_HINTS: u32 = 1;
/// Flag of `Condition`: the states of the POPs are old.
pub const CONDITION_STALE: u32 = 1;
/// A zone's state: it is served.
pub const ZONE_SERVING: u32 = 0;
/// A zone's state: its primary has been silent too long.
pub const ZONE_STALE: u32 = 1;
/// A zone's state: it has no data, or they have expired.
pub const ZONE_NOT_READY: u32 = 2;

/// Which of a snapshot's parts a buffer holds.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum PartKind {
    /// What depends on neither client nor POPs.
    Records = 1,
    /// What depends on the client.
    Map = 2,
    /// What depends on the POPs.
    Choices = 3,
    /// What depends on keys and the calendar.
    Signatures = 4,
}

/// Declares the section numbers; unique over all parts.
macro_rules! sections {
    ($($name:ident = $number:literal),+ $(,)?) => {
        /// A section's number in the table of a part.
        #[derive(Clone, Copy, Debug, Eq, PartialEq)]
        #[allow(missing_docs, reason = "docs/snapshot_format.md explains each")]
        pub enum Section { $($name = $number),+ }
    };
}
sections! {
    Settings = 1, Names = 2, NameHash = 3, Nodes = 4, NodeRrsets = 5, Rrsets = 6, Records = 7, Additional = 8,
    Zones = 9, Steered = 10, Selectors = 11, Arms = 12, Bytes = 13, NsecChain = 14, SteeredRrsets = 15,
    Templates = 16, CnameHosts = 17, CookieSecrets = 18, NotifySources = 19, Labels = 20,
    V4Direct = 32, V6Direct = 33, TrieNodes = 34, LeafRows = 35, PlanOfClass = 36, FallbackPlan = 37,
    SourceStarts = 38, SourceClasses = 39, Views = 40, MapShape = 41,
    Choices = 64, Alternatives = 65, Sets = 66, Addresses = 67, Forced = 68, ChoiceBytes = 69,
    Condition = 70, ZoneStates = 71,
    Signed = 80, StaticSignatures = 81, SignatureHash = 82, SignedSets = 83, Signatures = 84,
    SignatureBytes = 85,
}

/// Declares an item of a section: plain values, used in place.
macro_rules! item {
    ($(#[$doc:meta])* $name:ident: $size:literal { $($field:ident: $kind:ty),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Pod, Zeroable)]
        #[repr(C)]
        #[allow(missing_docs, reason = "docs/snapshot_format.md explains each")]
        pub struct $name { $(pub $field: $kind),+ }
        const _: () = assert!(size_of::<$name>() == $size);
    };
}
item! { /** First bytes of a part. */ Header: 64 {
    magic: [u8; 8], version: u32, part: u32, section_count: u32, crc32: u32, total_bytes: u64,
    identity: [u8; 16], reserved: [u8; 16],
} }
item! { /** Where a section lies. */ TableEntry: 24 {
    section: u32, item_bytes: u32, offset: u64, count: u64,
} }
item! { /** What holds for the whole deployment. */ Settings: 56 {
    deployment_key: [u8; 16], flags: u32, udp_bytes: u32, slot_count: u32, nsid_offset: u32, nsid_bytes: u32,
    id_server_offset: u32, id_server_bytes: u32, version_offset: u32, version_bytes: u32, reserved: u32,
} }
item! { /** A name in the tree. */ Name: 16 { parent: u32, label_offset: u32, node: u32, cut_node: u32 } }
item! { /** What stands at a name in a zone. */ Node: 32 {
    zone: u32, flags: u32, wildcard: u32, steered: u32, rrset_offset: u32, rrset_count: u32,
    nsec: u32, nsec_wildcard: u32,
} }
item! { /** Records of one name and type. */ Rrset: 28 {
    name: u32, kind: u16, flags: u16, ttl_s: u32, record_offset: u32, record_count: u32,
    additional_offset: u32, additional_count: u32,
} }
item! { /** RDATA: prefix, two names, suffix. */ Record: 24 {
    prefix_offset: u32, prefix_bytes: u32, name_1: u32, name_2: u32, suffix_offset: u32, suffix_bytes: u32,
} }
item! { /** A zone. */ Zone: 24 {
    apex: u32, soa: u32, negative_ttl_s: u32, flags: u32, nsec_offset: u32, nsec_count: u32,
} }
item! { /** A steered name. */ Steered: 24 {
    ttl_s: u32, flags: u32, selector: u32, counter: u32, rrset_offset: u32, rrset_count: u32,
} }
item! { /** A further type of a steered name. */ SteeredRrset: 16 {
    kind: u16, reserved: u16, ttl_s: u32, template_offset: u32, template_count: u32,
} }
item! { /** RDATA with places for addresses. */ Template: 32 {
    flags: u32, before_offset: u32, before_bytes: u32, between_offset: u32, between_bytes: u32,
    after_offset: u32, after_bytes: u32, reserved: u32,
} }
item! { /** Who may send NOTIFY for a zone. */ NotifySource: 24 {
    high: u64, low: u64, zone: u32, reserved: u32,
} }
item! { /** The text of a labelled counter. */ Label: 12 { counter: u32, offset: u32, bytes: u32 } }
item! { /** A policy, or an experiment over several. */ Selector: 24 {
    slot: u32, arm_offset: u32, arm_count: u32, hash_offset: u32, hash_bytes: u32,
    unit4_bits: u8, unit6_bits: u8, reserved: u16,
} }
item! { /** A range of hashes of an experiment. */ Arm: 16 { last: u64, slot: u32, counter: u32 } }
item! { /** Counts of the map's tables. */ MapShape: 32 {
    partition_count: u32, class_count: u32, plan_count: u32, row_bytes: u32, slot_count: u32,
    source_class_count: u32, row_count: u32, node_count: u32,
} }
item! { /** The next 6 bits of a key. */ TrieNode: 24 {
    children: u64, leaves: u64, first_child: u32, first_row: u32,
} }
item! { /** Start of a range of source addresses. */ SourceStart: 16 { high: u64, low: u64 } }
item! { /** What a plan comes to. */ Choice: 32 {
    set_a: u32, set_aaaa: u32, ttl_cap_s: u32, rule_counter: u32, target_counter: u32,
    alternative_offset: u32, alternative_count: u16, unit4_bits: u8, unit6_bits: u8, cname: u32,
} }
item! { /** What holds for all choices. */ Condition: 8 { flags: u32, reserved: u32 } }
item! { /** One of a weighted choice. */ Alternative: 16 {
    weight: u32, choice: u32, hash_offset: u32, hash_bytes: u32,
} }
item! { /** Addresses answered together. */ AddressSet: 8 { offset: u32, count: u32 } }
item! { /** Which records were signed. */ Signed: 24 {
    records_identity: [u8; 16], rrset_count: u32, steered_count: u32,
} }
item! { /** Signatures that stand one after another. */ SignatureSpan: 8 { offset: u32, count: u32 } }
item! { /** What can be answered at a steered name. */ SignedSet: 24 {
    steered: u32, kind: u16, reserved: u16, key_offset: u32, key_bytes: u32, signature_offset: u32,
    signature_count: u32,
} }
item! { /** RDATA of an RRSIG. */ Signature: 16 { expires_s: u32, offset: u32, bytes: u32, reserved: u32 } }
