//! A small world with one of everything: what the tests and the fuzz target ask.
use std::sync::Arc;

use super::{ChoiceTables, Data, Leaf, MapTables, RecordTables, SignatureTables, ZoneBuilder};
use crate::snapshot::format::{
    AddressSet, Alternative, Arm, Choice, NONE, Selector, SourceStart, ZONE_SERVING,
};
use crate::snapshot::{AlignedBytes, BadPart, Choices, Map, Records, Signatures, Snapshot};

/// Tables of all three parts.
#[derive(Clone, Debug)]
pub struct World {
    /// Zones cdn.example and sub.cdn.example.
    pub records: RecordTables,
    /// 133.1.0.0/16 is class 1 but for 133.1.128.0/24, class 2; 10.0.0.0/8 is special; 2001:db8::/32 is class
    /// 3, a /60 in it class 1; all else is class 0. Class 4 has the weighted plan, everywhere in
    /// 203.0.113.0/24.
    pub map: MapTables,
    /// Choice c answers with 198.51.100.c and 2001:db8::c; 4 is weighted between 5 and 6; 7 is forced.
    pub choices: ChoiceTables,
    /// Where a zone is signed.
    pub signatures: Option<SignatureTables>,
}

/// The world.
pub fn small_world() -> World {
    World { records: finished(zones()), map: map(), choices: choices(), signatures: None }
}

impl World {
    /// Loads all parts.
    /// # Errors
    /// The first invariant that fails.
    pub fn load(&self) -> Result<Snapshot, BadPart> {
        let map = Map::load(Box::new(AlignedBytes::new(&self.map.build())), true)?;
        let records = Records::load(&self.records.build())?;
        let choices = Choices::load(&self.choices.build())?;
        let signatures = self.signatures.as_ref().map(|tables| Signatures::load(&tables.build()));
        let signatures = signatures.transpose()?.map(Arc::new);
        Snapshot::new(Arc::new(records), Arc::new(map), Arc::new(choices), signatures)
    }
}

/// Zones cdn.example and sub.cdn.example. Selector 0 is a policy, 1 an experiment.
pub(super) fn zones() -> ZoneBuilder {
    let mut zones = ZoneBuilder::new();
    let policy = zones.selector(Selector::default(), b"");
    let experiment =
        Selector { arm_offset: 0, arm_count: 2, unit4_bits: 24, unit6_bits: 48, ..Selector::default() };
    let experiment = zones.selector(experiment, b"arm\0cdn.example/img\0");
    let many: Vec<[u8; 2]> = (0..40).map(|number| [192, number]).collect();
    let many: Vec<Data<'_>> = many.iter().map(|prefix| Data(prefix, &["mail.cdn.example"], &[])).collect();
    zones.zone("cdn.example");
    zones.add(
        "cdn.example",
        2,
        &[Data(&[], &["ns1.cdn.example"], &[]), Data(&[], &["ns.elsewhere.test"], &[])],
    );
    zones.add("ns1.cdn.example", 1, &[Data(&[192, 0, 2, 53], &[], &[])]);
    zones.add("ns1.cdn.example", 28, &[Data(&[0x20; 16], &[], &[])]);
    zones.add("mail.cdn.example", 1, &[Data(&[192, 0, 2, 25], &[], &[])]);
    zones.add("many.cdn.example", 15, &many);
    zones.add("text.cdn.example", 16, &[Data(b"\x05plain", &[], &[])]);
    zones.add("a.ent.cdn.example", 16, &[Data(b"\x05below", &[], &[])]);
    zones.add("*.wild.cdn.example", 16, &[Data(b"\x03any", &[], &[])]);
    zones.add("*.cwild.cdn.example", 5, &[Data(&[], &["text.cdn.example"], &[])]);
    zones.add("alias.cdn.example", 5, &[Data(&[], &["www.cdn.example"], &[])]);
    zones.add("plain.cdn.example", 5, &[Data(&[], &["text.cdn.example"], &[])]);
    zones.add("loop.cdn.example", 5, &[Data(&[], &["pool.cdn.example"], &[])]);
    zones.add("pool.cdn.example", 5, &[Data(&[], &["loop.cdn.example"], &[])]);
    zones.add("out.cdn.example", 5, &[Data(&[], &["www.elsewhere.test"], &[])]);
    zones.add("nowhere.cdn.example", 5, &[Data(&[], &["missing.cdn.example"], &[])]);
    zones.add("tocut.cdn.example", 5, &[Data(&[], &["host.cut.cdn.example"], &[])]);
    zones.add("cut.cdn.example", 2, &[Data(&[], &["ns.cut.cdn.example"], &[])]);
    zones.add("cut.cdn.example", 43, &[Data(&[0, 1, 13, 2, 9, 9], &[], &[])]);
    zones.add("ns.cut.cdn.example", 1, &[Data(&[192, 0, 2, 80], &[], &[])]);
    for (owner, selector) in
        [("cdn.example", policy), ("www.cdn.example", policy), ("*.st.cdn.example", policy)]
    {
        zones.steer(owner, selector);
    }
    zones.steer("img.cdn.example", experiment).steer("forced.cdn.example", policy);
    zones.zone("sub.cdn.example");
    zones.add("sub.cdn.example", 2, &[Data(&[], &["ns1.cdn.example"], &[])]);
    zones.steer("www.sub.cdn.example", policy);
    zones
}

/// The tables of zones, with what both selectors need.
pub(super) fn finished(zones: ZoneBuilder) -> RecordTables {
    let mut tables = zones.tables();
    tables.settings.deployment_key = *b"sixteen byte key";
    tables.settings.slot_count = 2;
    let half = Arm { last: u64::MAX / 2, slot: 0, counter: 11 };
    tables.arms = vec![half, Arm { last: u64::MAX, slot: 1, counter: 12 }];
    tables
}

/// Leaves: (first key, bits, class, special), by rising key; the gaps between are filled with class 0.
fn filled(given: &[(u64, u32, u32, bool)]) -> Vec<Leaf> {
    let mut leaves = Vec::new();
    let mut next = Some(0_u64);
    for &(key, bits, class, is_special) in given {
        fill(&mut leaves, next, key);
        leaves.push(Leaf { key, bits, class, is_special });
        next = (key | u64::MAX.checked_shr(bits).unwrap_or(0)).checked_add(1);
    }
    if let Some(start) = next {
        fill(&mut leaves, Some(start), u64::MAX);
        let last = leaves.last().copied();
        let end = last.map_or(0, |leaf| leaf.key | u64::MAX.checked_shr(leaf.bits).unwrap_or(0));
        if end != u64::MAX {
            leaves.push(Leaf { key: u64::MAX, bits: 64, class: 0, is_special: false });
        }
    }
    leaves
}

/// The largest blocks from `start` up to but not including `end`.
fn fill(leaves: &mut Vec<Leaf>, start: Option<u64>, end: u64) {
    let mut next = start;
    while let Some(key) = next.filter(|&key| key < end) {
        let mut size_bits = if key == 0 { 63 } else { key.trailing_zeros() };
        while key.checked_add((1 << size_bits) - 1).is_none_or(|last| last >= end) {
            size_bits -= 1;
        }
        leaves.push(Leaf { key, bits: 64 - size_bits, class: 0, is_special: false });
        next = key.checked_add(1 << size_bits);
    }
}

fn map() -> MapTables {
    let ipv4 = |octets: [u8; 4]| u64::from(u32::from_be_bytes(octets)) << 32;
    let v4 = filled(&[
        (ipv4([10, 0, 0, 0]), 8, 0, true),
        (ipv4([133, 1, 0, 0]), 17, 1, false),
        (ipv4([133, 1, 128, 0]), 24, 2, false),
        (ipv4([133, 1, 129, 0]), 24, 1, false),
        (ipv4([203, 0, 113, 0]), 24, 4, false),
    ]);
    let v6 = filled(&[
        (0x2001_0db8_0000_0000, 48, 3, false),
        (0x2001_0db8_0001_0010, 60, 1, false),
        (0xfc00_0000_0000_0000, 7, 0, true),
    ]);
    let mut tables = MapTables::new([&v4, &v6], 5, 3);
    tables.shape.slot_count = 2;
    tables.shape.source_class_count = 2;
    tables.fallback_plan = vec![3, 2, 1];
    let start = u128::from(u32::from_be_bytes([192, 0, 2, 0])) | 0xffff_0000_0000;
    let starts = [0, start, start + 256];
    tables.source_starts =
        starts.iter().map(|&start| SourceStart { high: (start >> 64) as u64, low: start as u64 }).collect();
    tables.source_classes = vec![0, 1, 0];
    tables.views = vec![0, 0, 0, 1, 2, 2, 2, 2];
    tables
}

fn choices() -> ChoiceTables {
    let mut tables =
        ChoiceTables { bytes: b"weight\0pop:a\0weight\0pop:b\0".to_vec(), ..ChoiceTables::default() };
    for index in 0..8_u8 {
        let offset = tables.addresses.len() as u32;
        tables.addresses.extend_from_slice(&[198, 51, 100, index]);
        tables.addresses.extend_from_slice(&[0x20, 1, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, index]);
        tables.sets.extend([AddressSet { offset, count: 1 }, AddressSet { offset: offset + 4, count: 1 }]);
        let index = u32::from(index);
        tables.choices.push(Choice {
            set_a: index * 2,
            set_aaaa: index * 2 + 1,
            ttl_cap_s: if index == 2 { 10 } else { 3600 },
            rule_counter: 300 + index,
            target_counter: 400 + index,
            cname: NONE,
            ..Choice::default()
        });
    }
    tables.alternatives = vec![
        Alternative { weight: 1, choice: 5, hash_offset: 0, hash_bytes: 13 },
        Alternative { weight: 3, choice: 6, hash_offset: 13, hash_bytes: 13 },
    ];
    let weighted = &mut tables.choices[4];
    (weighted.alternative_count, weighted.unit4_bits, weighted.unit6_bits) = (2, 28, 56);
    tables.forced = vec![NONE, NONE, NONE, NONE, 7, NONE];
    tables.zone_states = vec![ZONE_SERVING; 2];
    tables
}
