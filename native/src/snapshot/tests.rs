//! Every proof refuses what it is there to refuse; walks agree with a plain search.
use super::builder::{Leaf, MapTables, PartBuilder, World, small_world, whole_space};
use super::format::{MapShape, NONE, PartKind, ROW, SPECIAL, Section, SourceStart, TrieNode};
use super::*;

/// The sentence with which a spoilt world is refused.
fn refusal(spoil: impl FnOnce(&mut World)) -> String {
    let mut world = small_world();
    spoil(&mut world);
    world.load().err().map(|fault| fault.0).unwrap_or_default()
}

/// Checks each (what is spoilt, how, a part of the sentence).
macro_rules! refused {
    ($($name:ident: |$world:ident| $spoil:expr => $sentence:literal;)+) => {$(
        #[test]
        fn $name() {
            let sentence = refusal(|$world| { $spoil; });
            assert!(sentence.contains($sentence), "got: {sentence:?}");
        }
    )+};
}

#[test]
fn the_small_world_is_proved() {
    assert!(small_world().load().is_ok(), "{:?}", small_world().load().err());
}

refused! {
    udp_bytes_too_small: |w| w.records.settings.udp_bytes = 511 => "udp_bytes";
    udp_bytes_too_large: |w| w.records.settings.udp_bytes = 4097 => "udp_bytes";
    no_names: |w| w.records.names.clear() => "not a root";
    root_with_a_parent: |w| w.records.names[0].parent = 1 => "not a root";
    root_with_a_label: |w| w.records.names[0].label_offset = 1 => "zero octet";
    parent_after_its_child: |w| w.records.names[1].parent = 1 => "does not stand before";
    label_outside: |w| w.records.names[1].label_offset = u32::MAX => "no label";
    label_cut_off: |w| { w.records.bytes.push(63);
        w.records.names[1].label_offset = w.records.bytes.len() as u32 - 1 } => "cut off";
    label_too_long: |w| { w.records.bytes.push(64);
        w.records.names[1].label_offset = w.records.bytes.len() as u32 - 1 } => "no label";
    label_in_upper_case: |w| { let start = w.records.names[1].label_offset as usize;
        w.records.bytes[start + 1] = b'E' } => "lower case";
    name_too_long: |w| { let start = w.records.bytes.len() as u32;
        w.records.bytes.push(63); w.records.bytes.extend([b'x'; 63]);
        for _ in 0..5 { let mut name = w.records.names[1]; name.label_offset = start;
            name.parent = w.records.names.len() as u32 - 1; w.records.names.push(name); } } => "octets";
    name_without_its_node: |w| w.records.names[1].node = 9999 => "no node";
    name_without_its_cut: |w| w.records.names[1].cut_node = 9999 => "no cut node";
    hash_not_a_power_of_two: |w| w.records.name_hash.push(NONE) => "power of two";
    hash_too_full: |w| w.records.name_hash.fill(1) => "half full";
    hash_of_an_unknown_name: |w| { let slot = w.records.name_hash.iter().position(|&slot| slot != NONE);
        w.records.name_hash[slot.unwrap()] = 9999 } => "no name 9999";
    name_that_is_not_found: |w| { let slot = w.records.name_hash.iter().position(|&slot| slot != NONE);
        w.records.name_hash[slot.unwrap()] = NONE } => "is looked for";
    node_of_no_zone: |w| w.records.nodes[0].zone = 9 => "no zone";
    node_without_its_wildcard: |w| w.records.nodes[0].wildcard = 9999 => "no wildcard";
    node_without_its_steered: |w| w.records.nodes[0].steered = 9999 => "no steered";
    node_with_rrsets_outside: |w| w.records.nodes[0].rrset_count = 9999 => "passes the end";
    node_with_an_unknown_rrset: |w| w.records.node_rrsets[0] = 9999 => "no rrset";
    node_with_rrsets_out_of_order: |w| w.records.node_rrsets.swap(0, 1) => "sorted";
    node_apex_and_cut: |w| w.records.nodes[0].flags = 3 => "both apex and cut";
    node_cut_without_ns: |w| { let node = w.records.nodes.iter().position(|node| node.flags == 0);
        w.records.nodes[node.unwrap()].flags = 2 } => "type 2";
    node_alias_without_cname: |w| { let node = w.records.nodes.iter().position(|node| node.flags == 0);
        w.records.nodes[node.unwrap()].flags = 4 } => "type 5";
    rrset_without_its_name: |w| w.records.rrsets[0].name = 9999 => "no name";
    rrset_with_records_outside: |w| w.records.rrsets[0].record_offset = u32::MAX => "passes the end";
    rrset_without_records: |w| w.records.rrsets[0].record_count = 0 => "is empty";
    rrset_with_additional_outside: |w| w.records.rrsets[1].additional_count = 9999 => "passes the end";
    rrset_with_additional_of_no_addresses: |w| w.records.additional[0] = 0 => "has no addresses";
    rrset_with_unknown_additional: |w| w.records.additional[0] = 9999 => "has no addresses";
    alias_of_two_names: |w| { let alias = w.records.rrsets.iter().position(|rrset| rrset.kind == 5);
        w.records.rrsets[alias.unwrap()].record_count = 2 } => "a CNAME has one record";
    alias_of_no_name: |w| { let alias = w.records.rrsets.iter().find(|rrset| rrset.kind == 5);
        w.records.records[alias.unwrap().record_offset as usize].name_1 = NONE } => "a CNAME has one record";
    record_with_prefix_outside: |w| w.records.records[0].prefix_bytes = u32::MAX => "prefix of record";
    record_with_suffix_outside: |w| w.records.records[0].suffix_offset = u32::MAX => "suffix of record";
    record_without_its_name: |w| w.records.records[0].name_2 = 9999 => "no name";
    record_too_long: |w| { w.records.bytes.resize(70_000, 0); w.records.records[3].prefix_offset = 0;
        w.records.records[3].prefix_bytes = 65_536 } => "too long";
    zone_without_its_apex: |w| w.records.zones[0].apex = 9999 => "no name";
    zone_without_its_soa: |w| w.records.zones[0].soa = NONE => "no rrset";
    steered_without_its_selector: |w| w.records.steered[0].selector = 9 => "no selector";
    steered_without_its_counter: |w| w.records.steered[0].counter = 65_536 => "no counter";
    selector_beyond_the_slots: |w| w.records.selectors[0].slot = 2 => "no slot";
    selector_with_arms_outside: |w| w.records.selectors[1].arm_count = 3 => "passes the end";
    selector_with_hash_outside: |w| w.records.selectors[1].hash_bytes = u32::MAX => "passes the end";
    selector_with_a_long_unit: |w| w.records.selectors[1].unit4_bits = 33 => "unit too long";
    arms_out_of_order: |w| w.records.arms.swap(0, 1) => "not sorted";
    arms_that_leave_hashes_over: |w| w.records.arms[1].last -= 1 => "leaves hashes over";
    arm_beyond_the_slots: |w| w.records.arms[0].slot = 2 => "no slot";
    arm_without_its_counter: |w| w.records.arms[0].counter = 65_536 => "no counter";

    map_without_partitions: |w| w.map.shape.partition_count = 0 => "is 0";
    map_without_classes: |w| w.map.shape.class_count = 0 => "is 0";
    map_with_a_short_direct_table: |w| { w.map.direct[1].pop(); } => "V6_DIRECT";
    map_with_a_wrong_node_count: |w| w.map.shape.node_count += 1 => "TRIE_NODES";
    map_with_short_rows: |w| w.map.shape.row_bytes = 6 => "cannot hold";
    map_with_a_wrong_row_count: |w| w.map.shape.row_count += 1 => "LEAF_ROWS";
    map_with_too_few_plans_of_class: |w| { w.map.plan_of_class.pop(); } => "PLAN_OF_CLASS";
    map_with_too_few_fallbacks: |w| { w.map.fallback_plan.pop(); } => "FALLBACK_PLAN";
    map_with_too_few_views: |w| { w.map.views.pop(); } => "VIEWS";
    map_with_too_few_source_classes: |w| { w.map.source_classes.pop(); } => "SOURCE_CLASSES";
    direct_entry_beyond_the_rows: |w| w.map.direct[0][5] = ROW | 9_999 => "no row";
    direct_entry_beyond_the_nodes: |w| w.map.direct[0][5] = 9_999 => "no node";
    node_before_its_child: |w| { let node = w.map.nodes.iter().position(|node| node.children != 0);
        w.map.nodes[node.unwrap()].first_child = 0 } => "children at";
    node_with_children_outside: |w| { let node = w.map.nodes.iter().position(|node| node.children != 0);
        w.map.nodes[node.unwrap()].first_child = 9_999 } => "children at";
    node_with_a_slot_of_no_row: |w| w.map.nodes[0].leaves &= !1 => "has no row";
    node_with_rows_outside: |w| w.map.nodes[0].first_row = 9_999 => "no row";
    row_of_no_class: |w| w.map.rows[0] = 200 => "no class";
    row_too_deep: |w| w.map.rows[4] = 65 => "depth 65";
    plan_beyond_the_plans: |w| w.map.plan_of_class[3] = 5 => "beyond 5 plans";
    fallback_beyond_the_plans: |w| w.map.fallback_plan[1] = 5 => "beyond 5 plans";
    view_of_no_partition: |w| w.map.views[2] = 3 => "no partition";
    source_starts_after_zero: |w| w.map.source_starts[0].low = 1 => "first is not 0";
    source_starts_out_of_order: |w| w.map.source_starts.swap(1, 2) => "not sorted";
    source_of_no_class: |w| w.map.source_classes[1] = 2 => "no class";

    choice_without_its_set: |w| w.choices.choices[1].set_a = 9_999 => "no set";
    choice_with_addresses_outside: |w| w.choices.sets[2].offset = 9_999 => "end of the addresses";
    choice_with_ipv4_taken_for_ipv6: |w| w.choices.choices[7].set_aaaa = 16 => "no set";
    set_of_nothing: |w| w.choices.sets[0].count = 0 => "of 0 addresses";
    set_too_large: |w| { w.choices.addresses.resize(4096, 0);
        w.choices.sets[0].count = 65 } => "of 65 addresses";
    choice_without_its_counters: |w| w.choices.choices[0].rule_counter = 65_536 => "no counter";
    choice_without_its_target_counter: |w| w.choices.choices[0].target_counter = NONE => "no counter";
    choice_with_a_long_unit: |w| w.choices.choices[0].unit6_bits = 65 => "unit too long";
    choice_with_alternatives_outside: |w| w.choices.choices[4].alternative_count = 3 => "passes the end";
    alternative_without_weight: |w| w.choices.alternatives[0].weight = 0 => "no weight";
    alternative_of_no_choice: |w| w.choices.alternatives[0].choice = 8 => "no choice";
    alternative_with_hash_outside: |w| w.choices.alternatives[1].hash_bytes = 14 => "passes the end";
    forced_to_no_choice: |w| w.choices.forced[0] = 8 => "no choice";

    fewer_choices_than_plans: |w| { w.choices.choices.truncate(4); w.choices.alternatives.clear();
        w.choices.forced.fill(NONE) } => "4 choices for 5 plans";
    forced_for_other_names: |w| w.choices.forced.push(NONE) => "7 names for 6";
    records_with_more_slots_than_the_map: |w| { w.map.shape.slot_count = 1;
        w.map.views.truncate(4) } => "2 slots";
}

#[test]
fn a_way_of_nine_nodes_is_refused() {
    let mut tables = MapTables::new([&whole_space(0), &whole_space(0)], 1, 1);
    tables.nodes = (0..9)
        .map(|index| TrieNode {
            children: u64::from(index < 8) << 63,
            leaves: 1,
            first_child: index + 1,
            first_row: 0,
        })
        .collect();
    tables.direct[1][7] = 0;
    tables.shape.node_count = 9;
    let load = |tables: &MapTables| Map::load(Box::new(AlignedBytes::new(&tables.build())), true);
    let sentence = load(&tables).err().unwrap().0;
    assert!(sentence.contains("8 nodes deep"), "{sentence}");
    tables.direct[1][7] = 1; // one less on the way
    assert!(load(&tables).is_ok());
}

#[test]
fn a_frame_is_refused_at_each_fault() {
    let whole = PartBuilder::new(PartKind::Choices).with(Section::Forced, &[1_u32]).build();
    let open =
        |data: &[u8]| part::Part::open(data, PartKind::Choices, true).map(|_| ()).map_err(|fault| fault.0);
    assert_eq!(open(&whole), Ok(()));
    let spoilt = |at: usize, octet: u8| {
        let mut data = whole.clone();
        data[at] ^= octet;
        open(&data).unwrap_err()
    };
    assert!(open(&whole[..63]).unwrap_err().contains("too few"));
    assert!(open(&whole[..whole.len() - 1]).unwrap_err().contains("bytes, got"));
    for (at, sentence) in
        [(0, "not a snapshot"), (8, "not a snapshot"), (12, "for part 3"), (24, "got"), (130, "checksum")]
    {
        assert!(spoilt(at, 1).contains(sentence), "{at}: {}", spoilt(at, 1));
    }
    // With the checksum unchecked, the table is still proved.
    let table = |at: usize, octet: u8| {
        let mut data = whole.clone();
        data[at] = octet;
        part::Part::open(&data, PartKind::Choices, false).map(|part| part.span::<u32>(Section::Forced))
    };
    assert!(table(64 + 4, 8).refused_or(|span| span.is_err())); // items of 8 bytes run past the end
    assert!(table(64 + 8, 64).refused_or(|_| false), "inside the table");
    assert!(table(64 + 8, 129).refused_or(|_| false), "not aligned");
    assert!(table(64 + 16, 200).refused_or(|_| false), "past the end");
    assert!(table(64 + 23, 0xff).refused_or(|_| false), "overflows");
    assert!(table(64, 99).refused_or(|span| span.is_err()), "absent");
    assert!(table(18, 0xff).refused_or(|_| false), "table cut off");
}

/// Whether a result is an error, or its value one by the caller's measure.
trait RefusedOr<T> {
    fn refused_or(self, is_bad: impl FnOnce(&T) -> bool) -> bool;
}

impl<T, E> RefusedOr<T> for Result<T, E> {
    fn refused_or(self, is_bad: impl FnOnce(&T) -> bool) -> bool {
        self.map_or(true, |value| is_bad(&value))
    }
}

/// Leaves from cutting a space at random, deeper where earlier cuts were.
fn random_leaves(
    random: &mut impl FnMut() -> u64,
    key: u64,
    bits: u32,
    most_bits: u32,
    leaves: &mut Vec<Leaf>,
) {
    let cut = bits < most_bits && (bits < 4 || random() % 100 < if bits < 30 { 55 } else { 70 });
    if cut && leaves.len() < 3000 {
        random_leaves(random, key, bits + 1, most_bits, leaves);
        random_leaves(random, key | 1 << (63 - bits), bits + 1, most_bits, leaves);
    } else {
        leaves.push(Leaf { key, bits, class: (random() % 7) as u32, is_special: random() % 9 == 0 });
    }
}

#[test]
fn the_map_finds_what_a_plain_search_finds() {
    for seed in 1..6_u64 {
        let mut state = seed;
        let mut random = move || {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            state >> 33
        };
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        random_leaves(&mut random, 0, 0, 32, &mut v4);
        random_leaves(&mut random, 0, 0, 64, &mut v6);
        let tables = MapTables::new([&v4, &v6], 7, 3);
        let map = Map::load(Box::new(AlignedBytes::new(&tables.build())), true).unwrap();
        let view = map.view();
        let edges = |leaves: &[Leaf], family: Family| -> Vec<(Family, u64)> {
            let last = |leaf: &Leaf| leaf.key | u64::MAX.checked_shr(leaf.bits).unwrap_or(0);
            leaves.iter().flat_map(|leaf| [(family, leaf.key), (family, last(leaf))]).collect()
        };
        let keys = [edges(&v4, Family::V4), edges(&v6, Family::V6)].concat();
        let expected = |&(family, key): &(Family, u64)| {
            let leaves = if family == Family::V4 { &v4 } else { &v6 };
            leaves.iter().rev().find(|leaf| leaf.key <= key).copied().unwrap()
        };
        for batch in keys.chunks(64) {
            let (mut rows, mut pending) = ([0; 64], [0; 64]);
            view.find_rows(batch, &mut rows[..batch.len()], &mut pending[..batch.len()]);
            for (key, row) in batch.iter().zip(rows) {
                let (row, leaf) = (view.row(row), expected(key));
                assert_eq!((row.class, row.is_special), (leaf.class, leaf.is_special), "{key:x?}");
                assert_eq!(row.depths, &[leaf.bits as u8; 3], "{key:x?}");
                assert_eq!(view.find_row(key.0, key.1).marked_class(), row.marked_class());
            }
        }
    }
}

#[test]
fn source_classes_are_those_of_the_last_start() {
    let snapshot = small_world().load().unwrap();
    let map = snapshot.view().map;
    let start = 0xffff_c000_0200_u128; // ::ffff:192.0.2.0
    for (source, partition) in
        [(0, 0), (start - 1, 0), (start, 1), (start + 255, 1), (start + 256, 0), (u128::MAX, 0)]
    {
        assert_eq!(map.partition(0, source, true), partition, "{source:x}");
        assert_eq!(map.partition(0, source, false), 0, "{source:x}");
        assert_eq!(map.partition(1, source, true), 2, "{source:x}");
    }
}

#[test]
fn rendezvous_costs_are_whole_numbers_of_the_logarithm() {
    assert_eq!(rendezvous_cost(u64::MAX), 0);
    assert_eq!(rendezvous_cost(0), 64 << 32);
    assert_eq!(rendezvous_cost((1 << 63) - 1), 1 << 32); // log2 of a half
    assert_eq!(rendezvous_cost((1 << 32) - 1), 32 << 32);
    for hash in [1, 2, 1000, 0xa45f_2bda_18ad_9286, u64::MAX - 1] {
        let exact = 64.0 - (hash as f64 + 1.0).log2();
        let cost = rendezvous_cost(hash) as f64 / 2_f64.powi(32);
        assert!((cost - exact).abs() < 1e-6, "{hash}: {cost} against {exact}");
    }
}

#[test]
fn the_hash_of_a_unit_is_that_of_its_message() {
    // The first two of tests/vectors/unit_hash.json.
    let key = DeploymentKey::new(&std::array::from_fn(|index| index as u8));
    let unit = |key: u64, domain: Domain| Unit { family: Family::V4, key, bits: 24, domain };
    let prefix = b"arm\0cdn.example/img-unicast\0";
    assert_eq!(key.hash_unit(prefix, unit(0x8501_0042 << 32, Domain::Client)), 0xa45f_2bda_18ad_9286);
    assert_eq!(key.hash_unit(prefix, unit(0xcb00_7107 << 32, Domain::Resolver)), 0x54f8_ca83_e5cb_9c55);
    assert_eq!(rendezvous_cost(0xa45f_2bda_18ad_9286), 2_745_262_900);
    let wide = |bits: u8| Unit { family: Family::V6, key: u64::MAX, bits, domain: Domain::Client };
    let mut message = [prefix.as_slice(), &[b'c', 60], &[0xff; 8], &[0; 8]].concat();
    let last = message.len() - 9;
    message[last] = 0xf0;
    assert_eq!(key.hash_unit(prefix, wide(60)), key.hash(&message));
    assert_ne!(key.hash_unit(prefix, wide(0)), key.hash_unit(prefix, wide(64)));
}

#[test]
fn the_winner_has_the_least_cost_for_its_weight() {
    let snapshot = small_world().load().unwrap();
    let view = snapshot.view();
    let choice = view.choices.choice(4);
    let mut wins = [0_u32; 2];
    for index in 0..4000_u64 {
        let unit = Unit { family: Family::V4, key: index << 40, bits: 24, domain: Domain::Client };
        let candidates: Vec<_> = view.choices.alternatives_with(choice, Sought::Ipv4).collect();
        let costs: Vec<f64> = candidates
            .iter()
            .map(|(alternative, prefix)| {
                let hash = view.records.deployment_key.hash_unit(prefix, unit) as f64;
                -((hash + 1.0) / 2_f64.powi(64)).log2() / f64::from(alternative.weight)
            })
            .collect();
        let won = winner(&view.records.deployment_key, unit, candidates.into_iter()).unwrap();
        let expected = if costs[0] < costs[1] { 5 } else { 6 };
        assert_eq!(won.choice, expected);
        wins[won.choice as usize - 5] += 1;
    }
    assert!((900..1100).contains(&wins[0]), "a quarter of 4000 is due: {wins:?}");
    assert!(
        winner(
            &view.records.deployment_key,
            Unit { family: Family::V6, key: 0, bits: 0, domain: Domain::Client },
            std::iter::empty()
        )
        .is_none()
    );
}

#[test]
fn names_are_found_in_any_case_as_far_as_they_are_known() {
    let snapshot = small_world().load().unwrap();
    let records = snapshot.view().records;
    let walk = |name: &str| {
        let labels: Vec<Vec<u8>> =
            name.rsplit('.').map(|label| [&[label.len() as u8], label.as_bytes()].concat()).collect();
        records.walk(labels.iter().map(Vec::as_slice))
    };
    assert_eq!(walk("wWw.CDN.example").labels, 3);
    assert!(walk("www.cdn.example").whole && walk("www.cdn.example") == walk("WWW.cdn.EXAMPLE"));
    assert_eq!((walk("x.y.cdn.example").labels, walk("x.y.cdn.example").whole), (2, false));
    assert_eq!(records.find(walk("www.cdn.test"), false), Found::NoZone);
    let node = |id: u32| *records.node(id);
    assert!(matches!(records.find(walk("x.y.cdn.example"), false), Found::Nothing(id) if node(id).zone == 0));
    assert!(
        matches!(records.find(walk("x.sub.cdn.example"), false), Found::Nothing(id) if node(id).zone == 1)
    );
    assert!(matches!(records.find(walk("a.b.wild.cdn.example"), false), Found::Wildcard(_)));
    assert!(
        matches!(records.find(walk("ent.cdn.example"), false), Found::Exact(id) if node(id).rrset_count == 0)
    );
    assert!(matches!(records.find(walk("x.cut.cdn.example"), true), Found::Cut(_)));
    assert!(matches!(records.find(walk("cut.cdn.example"), false), Found::Cut(_)));
    assert!(matches!(records.find(walk("cut.cdn.example"), true), Found::Exact(_)));
}

#[test]
fn a_source_start_may_be_absent() {
    let mut world = small_world();
    (world.map.source_starts, world.map.source_classes) = (Vec::new(), Vec::new());
    world.map.shape = MapShape { source_class_count: 1, ..world.map.shape };
    world.map.views.truncate(4);
    let snapshot = world.load().unwrap();
    assert_eq!(snapshot.view().map.partition(1, 5, false), 0);
    world.map.source_starts = vec![SourceStart { high: 0, low: 0 }];
    assert!(world.load().is_err());
    assert_eq!(SPECIAL, 1 << 31);
}
