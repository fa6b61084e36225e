//! The same as `tests`, for what only the full world has.
use std::sync::LazyLock;

use super::builder::{SignatureTables, World, full_world, small_world};
use super::format::{LABELLED_COUNT, NONE, ZONE_SIGNED};
use super::*;

const SIGNED: usize = 2; // the signed zone
static WORLD: LazyLock<World> = LazyLock::new(full_world);

/// The sentence with which a spoilt world is refused.
fn refusal(spoil: impl FnOnce(&mut World)) -> String {
    let mut world = WORLD.clone();
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

fn signatures(world: &mut World) -> &mut SignatureTables {
    world.signatures.as_mut().unwrap()
}

#[test]
fn the_full_world_is_proved() {
    assert!(full_world().load().is_ok(), "{:?}", full_world().load().err());
}

refused! {
    nsid_too_long: |w| w.records.settings.nsid_bytes = 101 => "nsid has 101 octets";
    id_server_too_long: |w| w.records.settings.id_server_bytes = 256 => "id_server has 256 octets";
    version_outside: |w| w.records.settings.version_offset = u32::MAX => "passes the end";
    cookies_without_a_secret: |w| w.records.cookie_secrets.clear() => "there is no secret";
    too_many_secrets: |w| w.records.cookie_secrets.resize(5, [0; 16]) => "5 cookie secrets";
    notify_of_no_zone: |w| w.records.notify_sources[0].zone = 9 => "no zone 9";
    notify_out_of_order: |w| { let mut one = w.records.notify_sources[0]; one.low = 1;
        w.records.notify_sources.push(one) } => "NOTIFY sources are not sorted";
    label_of_no_counter: |w| w.records.labels[0].counter = LABELLED_COUNT as u32 => "no counter";
    label_outside: |w| w.records.labels[0].bytes = u32::MAX => "passes the end";
    labels_out_of_order: |w| w.records.labels.swap(0, 1) => "labels are not sorted";
    labels_twice: |w| w.records.labels[1].counter = w.records.labels[0].counter => "labels are not sorted";

    node_without_nsec: |w| { let nodes = &mut w.records.nodes;
        let node = nodes.iter().position(|node| node.zone == SIGNED as u32);
        nodes[node.unwrap()].nsec = NONE } => "is no NSEC of its zone";
    node_with_another_nsec: |w| { let nodes = &mut w.records.nodes;
        let node = nodes.iter().position(|node| node.zone == SIGNED as u32);
        nodes[node.unwrap()].nsec_wildcard = 0 } => "is no NSEC of its zone";
    unsigned_node_with_nsec: |w| w.records.nodes[0].nsec = w.records.nsec_chain[0] => "is no NSEC of";
    signed_without_a_chain: |w| w.records.zones[SIGNED].nsec_count = 0 => "has an NSEC chain, another none";
    unsigned_with_a_chain: |w| w.records.zones[0].nsec_count = 1 => "has an NSEC chain, another none";
    chain_outside: |w| w.records.zones[SIGNED].nsec_count = 9_999 => "passes the end";
    chain_of_something_else: |w| w.records.nsec_chain[1] = 0 => "is no NSEC";
    chain_of_nothing: |w| w.records.nsec_chain[1] = 9_999 => "is no NSEC";
    chain_that_starts_elsewhere: |w| { w.records.zones[SIGNED].nsec_offset = 1;
        w.records.zones[SIGNED].nsec_count -= 1 } => "starts elsewhere";
    chain_out_of_order: |w| w.records.nsec_chain.swap(1, 2) => "is not sorted";
    chain_that_leaves_the_zone: |w| { let id = w.records.nsec_chain[1] as usize;
        w.records.rrsets[id].name = w.records.zones[0].apex } => "leaves it";

    steered_with_unknown_flags: |w| w.records.steered[0].flags = 16 => "flags are 16";
    steered_with_hosts_and_addresses: |w| w.records.steered[0].flags = 5 => "flags are 5";
    steered_with_rrsets_outside: |w| w.records.steered[0].rrset_count = 9_999 => "passes the end";
    steered_with_rrsets_out_of_order: |w| w.records.steered_rrsets.swap(0, 1) => "types are not sorted";
    steered_rrset_of_nothing: |w| w.records.steered_rrsets[0].template_count = 0 => "is empty";
    steered_rrset_outside: |w| w.records.steered_rrsets[0].template_offset = 9_999 => "passes the end";
    template_starts_outside: |w| w.records.templates[0].before_offset = u32::MAX => "start of template 0";
    template_between_outside: |w| w.records.templates[0].between_bytes = u32::MAX => "middle of template 0";
    template_ends_outside: |w| w.records.templates[1].after_offset = u32::MAX => "end of template 1";
    host_of_no_name: |w| w.records.cname_hosts[1] = 9_999 => "no name 9999";

    zone_in_no_state: |w| w.choices.zone_states[0] = 3 => "zone 0 is in state 3";
    states_of_other_zones: |w| { w.choices.zone_states.pop(); } => "states of 5 zones for 6";
    choice_of_no_host: |w| w.choices.choices[0].cname = 2 => "use 3 CNAME hosts, the records have 2";

    static_of_other_rrsets: |w| { signatures(w).static_signatures.pop(); } => "signatures of";
    static_outside: |w| signatures(w).static_signatures[0].offset = u32::MAX => "passes the end";
    static_too_many: |w| signatures(w).static_signatures[0].count = 5 => "has 5 signatures";
    signature_outside: |w| signatures(w).signatures[0].offset = u32::MAX => "passes the end";
    set_of_no_name: |w| signatures(w).sets[0].steered = 9_999 => "no steered name";
    set_with_its_key_outside: |w| signatures(w).sets[0].key_bytes = u32::MAX => "passes the end";
    set_with_signatures_outside: |w| signatures(w).sets[0].signature_offset = u32::MAX => "passes the end";
    set_with_too_many: |w| signatures(w).sets[0].signature_count = 5 => "has 5 signatures";
    signature_hash_not_a_power_of_two: |w| signatures(w).hash.push(NONE) => "power of two";
    signature_hash_too_full: |w| signatures(w).hash.fill(1) => "half full";
    signature_hash_of_no_set: |w| { let slot = signatures(w).hash.iter().position(|&slot| slot != NONE);
        signatures(w).hash[slot.unwrap()] = 9_999 } => "no set 9999";
    set_that_is_not_found: |w| { let slot = signatures(w).hash.iter().position(|&slot| slot != NONE);
        signatures(w).hash[slot.unwrap()] = NONE } => "is looked for";
    set_twice: |w| { let set = signatures(w).sets[0]; signatures(w).sets.push(set) } => "is looked for";

    no_signatures: |w| w.signatures = None => "there are no signatures";
    signatures_of_other_records: |w| signatures(w).signed.records_identity[0] ^= 1 => "of other records";
    signatures_of_other_names: |w| signatures(w).signed.steered_count += 1 => "of other records";
    signatures_of_nothing: |w| *w = World { signatures: w.signatures.take(), ..small_world() }
        => "no zone is signed";
}

#[test]
fn a_zone_may_be_signed_without_wildcards_or_cuts() {
    let mut world = full_world();
    assert_eq!(world.records.zones[SIGNED].flags, ZONE_SIGNED);
    world.records.zones[SIGNED].flags = 0;
    assert!(world.load().is_err(), "its nodes have NSEC");
}

#[test]
fn what_covers_a_name_is_the_last_below_it() {
    let snapshot = full_world().load().unwrap();
    let records = snapshot.view().records;
    let chain = records.nsec_chain_of(records.zone(SIGNED as u32));
    let key = |name: &str| {
        let labels: Vec<Vec<u8>> =
            name.rsplit('.').map(|label| [&[label.len() as u8], label.as_bytes()].concat()).collect();
        CanonicalKey::of_labels(labels.iter().map(Vec::as_slice))
    };
    let plain = |id: u32| {
        let (mut name, mut labels) = (records.rrset(id).name, Vec::new());
        while name != ROOT {
            labels.push(records.label(name)[1..].to_vec());
            name = records.parent(name);
        }
        labels.reverse();
        labels
    };
    for name in ["a", "zzz", "q.wild", "A.Missing", "x.y.z", "\u{1}", "!", "~.~", "ent.x", "text0", "tex"] {
        let name = format!("{name}.signed.example");
        let labels: Vec<Vec<u8>> =
            name.to_ascii_lowercase().rsplit('.').map(|label| label.as_bytes().to_vec()).collect();
        let due = chain.iter().copied().rfind(|&id| plain(id) < labels);
        assert_eq!(records.covering_nsec(SIGNED as u32, &key(&name)), due, "{name}");
        assert!(due.is_some());
    }
    assert_eq!(records.covering_nsec(0, &key("x.cdn.example")), None, "not signed");
    assert_eq!(records.covering_nsec(SIGNED as u32, &key("example")), None, "not in the zone");
}

#[test]
fn keys_sort_as_names_do() {
    // RFC 4034 section 6.1.
    let names: [&[&[u8]]; 9] = [
        &[b"\x07example"],
        &[b"\x07example", b"\x01a"],
        &[b"\x07example", b"\x01a", b"\x08yljkjljk"],
        &[b"\x07example", b"\x01a", b"\x01Z"],
        &[b"\x07example", b"\x01a", b"\x01z", b"\x01\x00"],
        &[b"\x07example", b"\x01b"],
        &[b"\x07example", b"\x01z", b"\x01\x01"],
        &[b"\x07example", b"\x01z", b"\x01*"],
        &[b"\x07example", b"\x01z", b"\x01\xc8"],
    ];
    let keys: Vec<CanonicalKey> =
        names.iter().map(|labels| CanonicalKey::of_labels(labels.iter().copied())).collect();
    assert!(keys.is_sorted_by(|a, b| a.octets() < b.octets()));
    let longest = vec![b"\x01\x00".as_slice(); 127];
    assert_eq!(CanonicalKey::of_labels(longest.into_iter()).octets().len(), 381);
    let longest = [63, 63, 63, 61].map(|length| [&[length as u8][..], &vec![0; length]].concat());
    assert_eq!(CanonicalKey::of_labels(longest.iter().map(Vec::as_slice)).octets().len(), 504);
}

#[test]
fn signatures_are_found_by_what_is_answered() {
    let snapshot = full_world().load().unwrap();
    let (view, world) = (snapshot.view(), full_world());
    let (part, tables) = (view.signatures.unwrap(), world.signatures.unwrap());
    for set in &tables.sets {
        let octets = &tables.bytes[set.key_offset as usize..][..set.key_bytes as usize];
        // In whatever pieces.
        let (first, second) = octets.split_at(octets.len() / 2);
        let whole = SetKey { steered: set.steered, kind: set.kind, count: &[], first: octets, second: &[] };
        let split = usize::from(set.kind >= 64 && !octets.is_empty());
        let (count, rest) = octets.split_at(split);
        let ipv4_bytes = count.first().map_or(rest.len(), |&count| 4 * usize::from(count));
        let (ipv4, ipv6) = rest.split_at(ipv4_bytes);
        let key = SetKey { count, first: ipv4, second: ipv6, ..whole };
        let found = part.of_set(&key);
        assert_eq!((found.len(), found[0]), (1, tables.signatures[set.signature_offset as usize]));
        assert_eq!(part.rdata(&found[0])[..2], set.kind.to_be_bytes());
        part.touch(&[part.home_of(&key)]);
        let other = SetKey { steered: set.steered + 1000, ..key };
        assert!(part.of_set(&other).is_empty());
        assert!(part.of_set(&SetKey { first, second: &second[1.min(second.len())..], ..whole }).len() < 2);
    }
}
