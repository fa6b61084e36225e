//! Answers of the small world, and what they count. Byte for byte both engines are compared by the Python
//! tests; here stand the rules that a batch must not break.
use std::time::Duration;

use super::*;
use crate::snapshot::Snapshot;
use crate::snapshot::builder::small_world;
use crate::snapshot::format::NONE;
use crate::wire::{Labels, MAX_MESSAGE_BYTES, Parsed, Reads, kinds, parse};

pub(super) const RESOLVER: u128 = 0xffff_c000_0207; // ::ffff:192.0.2.7

pub(super) fn query(name: &str, kind: u16, options: Option<&[u8]>) -> Vec<u8> {
    let mut packet = vec![0xab, 0xcd, 0x01, 0, 0, 1, 0, 0, 0, 0, 0, u8::from(options.is_some())];
    for label in name.split('.').filter(|label| !label.is_empty()) {
        packet.push(label.len() as u8);
        packet.extend_from_slice(label.as_bytes());
    }
    packet.push(0);
    packet.extend_from_slice(&kind.to_be_bytes());
    packet.extend_from_slice(&[0, 1]);
    if let Some(options) = options {
        packet.extend_from_slice(&[0, 0, 41, 0x10, 0, 0, 0, 0, 0, 0, options.len() as u8]);
        packet.extend_from_slice(options);
    }
    packet
}

pub(super) fn ecs4(octets: [u8; 3]) -> Vec<u8> {
    [&[0, 8, 0, 7, 0, 1, 24, 0][..], &octets].concat()
}

fn ecs6(octets: [u8; 8], bits: u8) -> Vec<u8> {
    let used = usize::from(bits).div_ceil(8);
    [&[0, 8, 0, 4 + used as u8, 0, 2, bits, 0][..], &octets[..used]].concat()
}

/// Replies to one batch, and the counters that moved.
fn ask(requests: &[Request<'_>]) -> (Vec<Vec<u8>>, Counters) {
    let (replies, counters, _) = ask_of(&small_world().load().unwrap(), None, Now::default(), requests);
    (replies, counters)
}

/// Replies to one batch, the counters that moved, and the zones that were notified.
pub(super) fn ask_of(
    snapshot: &Snapshot,
    limiter: Option<&Limiter>,
    now: Now,
    requests: &[Request<'_>],
) -> (Vec<Vec<u8>>, Counters, Notified) {
    let (counters, notified) = (Counters::default(), Notified::default());
    let mut buffers = vec![0xaa; requests.len() * MAX_MESSAGE_BYTES];
    let mut lengths = vec![0; requests.len()];
    let context = Context {
        view: snapshot.view(),
        counters: &counters,
        limiter,
        notified: &notified,
        observed: None,
        now,
    };
    Answerer::default().answer(&context, requests, &mut buffers, MAX_MESSAGE_BYTES, &mut lengths);
    let replies =
        buffers.chunks(MAX_MESSAGE_BYTES).zip(lengths).map(|(buffer, length)| buffer[..length].to_vec());
    (replies.collect(), counters, notified)
}

fn udp(packet: &[u8]) -> Request<'_> {
    Request { packet, source: RESOLVER, is_tcp: false }
}

/// (rcode, answer count, last octet of the first address or NONE, scope or NONE) of one reply.
fn summary(packet: &[u8]) -> (u8, u16, u32, u32) {
    let (replies, _) = ask(&[udp(packet)]);
    let reply = &replies[0];
    let mut asked = Asked::default();
    let reads = Reads { ecs: true, cookies: true };
    assert_eq!(parse(packet, &mut asked, &mut Labels::default(), reads), Parsed::Asked);
    let count = u16::from_be_bytes([reply[6], reply[7]]);
    let size = if asked.kind == kinds::AAAA { 16 } else { 4 };
    let first = usize::from(asked.question_end) + 12 + size - 1;
    let address = if count > 0 { u32::from(reply[first]) } else { NONE };
    let scope = asked.ecs.map_or(NONE, |ecs| u32::from(reply[reply.len() - ecs.option_bytes() + 7]));
    (reply[3], count, address, scope)
}

#[test]
fn a_steered_name_follows_the_client_and_says_how_far() {
    let a = |options: &[u8]| summary(&query("www.cdn.example", kinds::A, Some(options)));
    assert_eq!(a(&ecs4([133, 1, 5])), (0, 1, 1, 17));
    assert_eq!(a(&ecs4([133, 1, 128])), (0, 1, 2, 24));
    assert_eq!(a(&ecs4([10, 1, 1])), (0, 1, 0, 8)); // special: the resolver's plan, the block's length
    assert_eq!(a(&ecs6([0x20, 1, 0x0d, 0xb8, 0, 0, 0, 0], 56)), (0, 1, 3, 48));
    assert_eq!(a(&ecs6([0x20, 1, 0x0d, 0xb8, 0, 1, 0, 0x10], 60)), (0, 1, 1, 60));
    assert_eq!(a(&ecs6([0x20, 2, 133, 1, 128, 0, 0, 0], 56)), (0, 1, 2, 16 + 24)); // ECS-23
    assert_eq!(a(&ecs6([0x20, 1, 0, 0, 0, 0, 0, 0], 32)), (0, 1, 0, 128)); // Teredo
    assert_eq!(a(&[0, 8, 0, 4, 0, 1, 0, 0]), (0, 1, 0, 0)); // ECS-9
    assert_eq!(summary(&query("www.cdn.example", kinds::AAAA, Some(&ecs4([133, 1, 5])))), (0, 1, 1, 17));
    assert_eq!(summary(&query("x.st.cdn.example", kinds::A, None)), (0, 1, 0, NONE));
    assert_eq!(a(&ecs4([203, 0, 113])).3, 28, "the unit of a weighted choice");
}

#[test]
fn a_forced_choice_beats_the_rules() {
    let packet = query("forced.cdn.example", kinds::A, Some(&ecs4([133, 1, 5])));
    assert_eq!(summary(&packet), (0, 1, 7, 0));
    let (_, counters) = ask(&[udp(&packet)]);
    assert_eq!(counters.plain()[Counter::AnswersForced as usize], 1);
    assert_eq!((counters.labelled(307), counters.labelled(407), counters.labelled(104)), (1, 1, 1));
    assert_eq!(counters.plain()[Counter::EcsUsed as usize], 0);
}

#[test]
fn an_experiment_cuts_by_unit_and_counts_its_arms() {
    let packets: Vec<Vec<u8>> =
        (0..64).map(|number| query("img.cdn.example", kinds::A, Some(&ecs4([133, 1, number])))).collect();
    let requests: Vec<Request<'_>> = packets.iter().map(|packet| udp(packet)).collect();
    let (replies, counters) = ask(&requests);
    assert_eq!(counters.labelled(11) + counters.labelled(12), 64);
    assert!(counters.labelled(11).abs_diff(32) < 20);
    assert!(
        replies.iter().all(|reply| reply[reply.len() - 4] == 24),
        "the unit's length, longer than the leaf's"
    );
}

#[test]
fn a_batch_answers_each_as_if_it_were_alone() {
    let ecs = [
        ecs4([133, 1, 5]),
        ecs4([133, 1, 128]),
        ecs4([10, 0, 0]),
        ecs6([0x20, 1, 0x0d, 0xb8, 0, 0, 0, 0], 48),
    ];
    let names =
        ["www.cdn.example", "x.cdn.example", "WWW.sub.cdn.example", "alias.cdn.example", "img.cdn.example"];
    let mut packets: Vec<Vec<u8>> = vec![vec![1, 2, 3], query("www.cdn.example", kinds::A, None)];
    for index in 0..60 {
        let kind = if index % 3 == 0 { kinds::AAAA } else { kinds::A };
        packets.push(query(names[index % 5], kind, Some(&ecs[index % 4])));
        packets.last_mut().unwrap()[0] = index as u8;
    }
    let requests: Vec<Request<'_>> = packets.iter().map(|packet| udp(packet)).collect();
    let (together, counters) = ask(&requests);
    for (request, reply) in requests.iter().zip(&together) {
        assert_eq!(ask(&[*request]).0[0], *reply);
    }
    assert!(together[0].is_empty());
    let plain = counters.plain();
    assert_eq!(plain[Counter::QueriesUdp as usize], 62);
    assert_eq!(plain[Counter::DroppedShort as usize], 1);
    assert_eq!(
        plain[Counter::BytesIn as usize],
        packets.iter().map(|packet| packet.len() as u64).sum::<u64>()
    );
    assert_eq!(
        plain[Counter::BytesOut as usize],
        together.iter().map(|reply| reply.len() as u64).sum::<u64>()
    );
}

#[test]
fn chains_end_where_they_must() {
    let with_ecs = ecs4([133, 1, 5]);
    let counts = |name: &str, kind: u16, options: Option<&[u8]>| {
        let reply = ask(&[udp(&query(name, kind, options))]).0.remove(0);
        (reply[3] & 15, reply[2] & 4 != 0, reply[7], reply[9])
    };
    assert_eq!(counts("alias.cdn.example", kinds::A, None), (0, true, 2, 0));
    assert_eq!(counts("alias.cdn.example", kinds::A, Some(&with_ecs)), (0, true, 1, 0)); // ECS-12
    assert_eq!(counts("plain.cdn.example", 16, Some(&with_ecs)), (0, true, 2, 0));
    assert_eq!(counts("loop.cdn.example", kinds::A, None), (0, true, 2, 0));
    assert_eq!(counts("out.cdn.example", kinds::A, None), (0, true, 1, 0));
    assert_eq!(counts("nowhere.cdn.example", kinds::A, None), (3, true, 1, 1));
    assert_eq!(counts("tocut.cdn.example", kinds::A, None), (0, true, 1, 1));
    assert_eq!(counts("q.cwild.cdn.example", 16, None), (0, true, 2, 0));
    assert_eq!(counts("alias.cdn.example", kinds::CNAME, None), (0, true, 1, 0));
    assert_eq!(counts("alias.cdn.example", kinds::ANY, None), (0, true, 1, 0));
}

#[test]
fn names_exist_or_not_or_are_delegated() {
    let what = |name: &str, kind: u16| {
        let reply = ask(&[udp(&query(name, kind, None))]).0.remove(0);
        (reply[3] & 15, reply[2] & 4 != 0, reply[7], reply[9], reply[11])
    };
    assert_eq!(what("missing.cdn.example", kinds::A), (3, true, 0, 1, 0));
    assert_eq!(what("ent.cdn.example", kinds::A), (0, true, 0, 1, 0));
    assert_eq!(what("x.ent.cdn.example", kinds::A), (3, true, 0, 1, 0));
    assert_eq!(what("text.cdn.example", kinds::A), (0, true, 0, 1, 0));
    assert_eq!(what("text.cdn.example", kinds::ANY), (0, true, 1, 0, 0));
    assert_eq!(what("www.cdn.example", kinds::ANY), (0, true, 1, 0, 0));
    assert_eq!(what("ent.cdn.example", kinds::ANY), (0, true, 0, 1, 0));
    assert_eq!(what("a.b.wild.cdn.example", 16), (0, true, 1, 0, 0));
    assert_eq!(what("cut.cdn.example", kinds::A), (0, false, 0, 1, 1));
    assert_eq!(what("a.cut.cdn.example", kinds::DS), (0, false, 0, 1, 1));
    assert_eq!(what("cut.cdn.example", kinds::DS), (0, true, 1, 0, 0));
    assert_eq!(what("cdn.example", kinds::NS), (0, true, 2, 0, 2));
    assert_eq!(what("cdn.test", kinds::A), (5, false, 0, 0, 0));
    assert_eq!(what("", kinds::NS), (5, false, 0, 0, 0));
}

#[test]
fn what_does_not_fit_is_truncated_and_tcp_has_room() {
    let packet = query("many.cdn.example", 15, None);
    let (replies, counters) = ask(&[udp(&packet), Request { is_tcp: true, ..udp(&packet) }]);
    assert_eq!((replies[0][2] & 2, replies[0].len()), (2, packet.len()));
    assert_eq!((replies[1][2] & 2, replies[1][7]), (0, 40));
    assert_eq!(counters.plain()[Counter::AnswersTruncated as usize], 1);
    let asked = |size: u16| {
        let mut packet = query("many.cdn.example", 15, Some(&[]));
        let at = packet.len() - 8;
        packet[at..at + 2].copy_from_slice(&size.to_be_bytes());
        ask(&[udp(&packet)]).0[0][2] & 2
    };
    assert_eq!((asked(0), asked(600), asked(1232), asked(65_535)), (2, 2, 0, 0));
}

#[test]
fn every_packet_cut_or_changed_is_answered_or_dropped() {
    let whole = query("alias.cdn.example", kinds::A, Some(&ecs4([133, 1, 5])));
    let mut packets: Vec<Vec<u8>> = (0..whole.len()).map(|length| whole[..length].to_vec()).collect();
    for at in 0..whole.len() {
        for octet in [0, 1, 0x3f, 0x40, 0x80, 0xc0, 0xff] {
            packets.push(whole.clone());
            packets.last_mut().unwrap()[at] = octet;
        }
    }
    for batch in packets.chunks(BATCH) {
        let requests: Vec<Request<'_>> = batch.iter().map(|packet| udp(packet)).collect();
        for (packet, reply) in batch.iter().zip(ask(&requests).0) {
            let is_dropped = packet.len() < 12 || packet[2] & 0x80 != 0;
            assert_eq!(reply.is_empty(), is_dropped, "{packet:?}");
            assert!(is_dropped || (reply[..2] == packet[..2] && reply[2] & 0x80 != 0 && reply.len() >= 12));
        }
    }
}

#[test]
fn measuring_answers_takes_time() {
    let snapshot = small_world().load().unwrap();
    let packet = query("www.cdn.example", kinds::A, None);
    assert!(measure(&snapshot, None, true, &[udp(&packet); 100], 2, 10) > Duration::ZERO);
}
