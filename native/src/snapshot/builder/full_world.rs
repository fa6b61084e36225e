//! A world with everything that the small one leaves out: signed zones, hints, hosts, explanations, cookies,
//! identity, zones that are stale or not ready.
use super::world::{World, finished, small_world, zones};
use super::zones::{Data, Steering, ZoneBuilder};
use super::{ChoiceTables, RecordTables, SignatureTables};
use crate::snapshot::format::{
    CONDITION_STALE, Condition, Label, NONE, NotifySource, SETTINGS_COOKIES, STEERED_A, STEERED_AAAA,
    STEERED_CNAME, STEERED_EXPLAIN, TEMPLATE_HINTS, ZONE_NOT_READY, ZONE_SERVING, ZONE_STALE,
};

const POLICY: u32 = 0;
const EXPERIMENT: u32 = 1;
const BOTH: u32 = STEERED_A | STEERED_AAAA;
const SIGNED_ZONE: u32 = 2;
const TYPE_A: u16 = 1;
const TYPE_NS: u16 = 2;
const TYPE_CNAME: u16 = 5;
const TYPE_TXT: u16 = 16;
const TYPE_AAAA: u16 = 28;
const TYPE_DS: u16 = 43;
const TYPE_DNSKEY: u16 = 48;
const TYPE_SVCB: u16 = 64;
const TYPE_HTTPS: u16 = 65;

/// Names to ask that the world has, or lacks, beside those of the small one.
pub const FULL_NAMES: &[&str] = &[
    "signed.example",
    "www.signed.example",
    "q.st.signed.example",
    "host.signed.example",
    "six.signed.example",
    "text.signed.example",
    "missing.signed.example",
    "a.missing.signed.example",
    "zzz.signed.example",
    "ent.signed.example",
    "q.wild.signed.example",
    "q.cw.signed.example",
    "alias.signed.example",
    "towild.signed.example",
    "tosteered.signed.example",
    "tohost.signed.example",
    "tocdn.signed.example",
    "togone.signed.example",
    "toold.signed.example",
    "tocut.signed.example",
    "tomissing.signed.example",
    "host.insecure.signed.example",
    "secure.signed.example",
    "fat.signed.example",
    "who.explain.example",
    "arm.explain.example",
    "host.explain.example",
    "www.gone.example",
    "text.old.example",
    "www.old.example",
    "id.server",
    "version.bind",
];

/// The world: the small one, three zones more and their settings.
pub fn full_world() -> World {
    let mut zones = zones();
    add_signed_zone(&mut zones);
    add_other_zones(&mut zones);
    let identity = ["steer-1", "fra1.example", "steer"].map(|text| zones.text(text.as_bytes()));
    let labels = [(11, "half"), (300, "default"), (400, "pop:fra")];
    let labels = labels.map(|(counter, text)| (counter, zones.text(text.as_bytes())));
    let mut records = finished(zones);
    let settings = &mut records.settings;
    settings.flags |= SETTINGS_COOKIES;
    (settings.nsid_offset, settings.nsid_bytes) = identity[0];
    (settings.id_server_offset, settings.id_server_bytes) = identity[1];
    (settings.version_offset, settings.version_bytes) = identity[2];
    records.cookie_secrets = vec![*b"the first secret", *b"another, also 16"];
    let source = NotifySource { high: 0, low: 0xffff_c000_0207, zone: SIGNED_ZONE, reserved: 0 };
    records.notify_sources = vec![source];
    records.labels = labels.map(|(counter, (offset, bytes))| Label { counter, offset, bytes }).to_vec();
    let choices = choices(&records);
    let signatures = SignatureTables::of(&records, &answers(&records, &choices));
    World { records, choices, signatures: Some(signatures), ..small_world() }
}

fn add_signed_zone(zones: &mut ZoneBuilder) {
    zones.zone("signed.example").sign();
    zones.add("signed.example", TYPE_NS, &[Data(&[], &["ns1.signed.example"], &[])]);
    zones.add("signed.example", TYPE_DNSKEY, &[Data(&[1, 1, 3, 13, 7, 7], &[], &[])]);
    zones.add("ns1.signed.example", TYPE_A, &[Data(&[192, 0, 2, 54], &[], &[])]);
    zones.add("ns1.signed.example", TYPE_AAAA, &[Data(&[0x20; 16], &[], &[])]);
    zones.add("text.signed.example", TYPE_TXT, &[Data(b"\x06signed", &[], &[])]);
    zones.add("a.ent.signed.example", TYPE_TXT, &[Data(b"\x05below", &[], &[])]);
    zones.add("*.wild.signed.example", TYPE_TXT, &[Data(b"\x03any", &[], &[])]);
    for (owner, target) in [
        ("alias", "text.signed.example"),
        ("*.cw", "towild.signed.example"),
        ("towild", "x.wild.signed.example"),
        ("tosteered", "www.signed.example"),
        ("tohost", "host.signed.example"),
        ("tocdn", "alias.cdn.example"),
        ("togone", "www.gone.example"),
        ("toold", "text.old.example"),
        ("tocut", "host.insecure.signed.example"),
        ("tomissing", "gone.signed.example"),
    ] {
        zones.add(&format!("{owner}.signed.example"), TYPE_CNAME, &[Data(&[], &[target], &[])]);
    }
    zones.add("insecure.signed.example", TYPE_NS, &[Data(&[], &["ns.insecure.signed.example"], &[])]);
    zones.add("ns.insecure.signed.example", TYPE_A, &[Data(&[192, 0, 2, 81], &[], &[])]);
    zones.add("secure.signed.example", TYPE_NS, &[Data(&[], &["ns1.signed.example"], &[])]);
    zones.add("secure.signed.example", TYPE_DS, &[Data(&[0, 1, 13, 2, 9, 9], &[], &[])]);
    let fat: Vec<[u8; 200]> = (0..4).map(|number| [number; 200]).collect();
    let fat: Vec<Data<'_>> = fat.iter().map(|rdata| Data(rdata, &[], &[])).collect();
    zones.add("fat.signed.example", TYPE_TXT, &fat);
    let service = (TYPE_HTTPS, TEMPLATE_HINTS, [&b"\0\x01\0\0\x01\0\x03\x02h2"[..], b"", b""]);
    let alias = (TYPE_SVCB, 0, [&b"\0\0\0"[..], b"", b""]);
    let www = Steering { selector: POLICY, flags: BOTH, services: &[alias, service] };
    let six = Steering { selector: POLICY, flags: STEERED_AAAA, services: &[service] };
    let host = Steering { selector: POLICY, flags: STEERED_CNAME, services: &[] };
    zones.steer_as("www.signed.example", www).steer_as("*.st.signed.example", www);
    zones.steer_as("six.signed.example", six).steer_as("host.signed.example", host);
    zones.cname_host("a.elsewhere.test").cname_host("text.signed.example");
}

fn add_other_zones(zones: &mut ZoneBuilder) {
    zones.zone("explain.example");
    for (owner, selector, flags) in [
        ("who.explain.example", POLICY, BOTH),
        ("arm.explain.example", EXPERIMENT, STEERED_AAAA),
        ("host.explain.example", POLICY, STEERED_CNAME),
    ] {
        let flags = flags | STEERED_EXPLAIN;
        zones.steer_as(owner, Steering { selector, flags, services: &[] });
    }
    zones.zone("gone.example");
    zones.add("www.gone.example", TYPE_A, &[Data(&[192, 0, 2, 99], &[], &[])]);
    zones.zone("old.example");
    zones.add("text.old.example", TYPE_TXT, &[Data(b"\x03old", &[], &[])]);
    zones.steer("www.old.example", POLICY);
}

fn choices(records: &RecordTables) -> ChoiceTables {
    let mut choices = small_world().choices;
    for (index, choice) in choices.choices.iter_mut().enumerate() {
        choice.cname = index as u32 % 2;
    }
    choices.forced.resize(records.steered.len(), NONE);
    choices.condition = Condition { flags: CONDITION_STALE, reserved: 0 };
    choices.zone_states = vec![ZONE_SERVING; records.zones.len()];
    choices.zone_states[4] = ZONE_NOT_READY;
    choices.zone_states[5] = ZONE_STALE;
    choices
}

/// Whatever a steered name can answer.
fn answers(records: &RecordTables, choices: &ChoiceTables) -> Vec<(u32, u16, Vec<u8>)> {
    let addresses = |set: u32, bytes: usize| {
        let set = choices.sets[set as usize];
        choices.addresses[set.offset as usize..][..set.count as usize * bytes].to_vec()
    };
    let mut answers = Vec::new();
    for node in records.nodes.iter().filter(|node| node.zone == SIGNED_ZONE && node.steered != NONE) {
        let (index, steered) = (node.steered, &records.steered[node.steered as usize]);
        for choice in &choices.choices {
            let (ipv4, ipv6) = (addresses(choice.set_a, 4), addresses(choice.set_aaaa, 16));
            let ipv4 = if steered.flags & STEERED_A != 0 { ipv4 } else { Vec::new() };
            let hints = [vec![(ipv4.len() / 4) as u8], ipv4.clone(), ipv6.clone()].concat();
            let host = choice.cname.to_le_bytes().to_vec();
            let kinds = [TYPE_A, TYPE_AAAA, TYPE_SVCB, TYPE_HTTPS, TYPE_CNAME];
            for (kind, key) in kinds.into_iter().zip([ipv4, ipv6, hints.clone(), hints, host]) {
                answers.push((index, kind, key));
            }
        }
    }
    answers.sort();
    answers.dedup();
    answers
}
