//! Answers of the full world: cookies, the rate limit, identity, DNSSEC, hints, hosts, explanations. Byte for
//! byte both engines are compared by the Python tests.
use std::sync::LazyLock;

use super::tests::{RESOLVER, ask_of, ecs4, query};
use super::*;
use crate::snapshot::Snapshot;
use crate::snapshot::builder::full_world;
use crate::wire::kinds;

const HTTPS: u16 = 65;
const NOW: Now = Now { unix_s: 1_700_000_000, monotonic_ns: 1_000_000_000 };
const EXPIRES_S: u32 = 2_000_000_000;

static WORLD: LazyLock<Snapshot> = LazyLock::new(|| full_world().load().unwrap());

/// What a reply says: rcode, AA, TC; (type, TTL, RDATA) of each record of each section; the OPT's options.
#[derive(Debug)]
struct Said {
    flags: (u8, bool, bool),
    sections: [Vec<(u16, u32, Vec<u8>)>; 3],
    options: Vec<u8>,
}

impl Said {
    /// Types, those of neighbours that are equal once.
    fn kinds(&self, section: usize) -> Vec<u16> {
        let mut kinds: Vec<u16> = self.sections[section].iter().map(|(kind, ..)| *kind).collect();
        kinds.dedup();
        kinds
    }

    fn option(&self, code: u8) -> Option<&[u8]> {
        let mut rest = &self.options[..];
        while let Some((head, after)) = rest.split_first_chunk::<4>() {
            let (data, next) = after.split_at(usize::from(head[3]));
            if head[1] == code {
                return Some(data);
            }
            rest = next;
        }
        None
    }
}

fn name_end(reply: &[u8], mut at: usize) -> usize {
    while reply[at] != 0 && reply[at] < 0xc0 {
        at += 1 + usize::from(reply[at]);
    }
    at + 1 + usize::from(reply[at] != 0)
}

fn read(reply: &[u8]) -> Said {
    let count = |at: usize| u16::from_be_bytes([reply[at], reply[at + 1]]);
    let flags = (reply[3] & 15, reply[2] & 4 != 0, reply[2] & 2 != 0);
    let mut said = Said { flags, sections: Default::default(), options: Vec::new() };
    let mut at = if count(4) > 0 { name_end(reply, 12) + 4 } else { 12 };
    for (section, counted) in [6, 8, 10].into_iter().enumerate() {
        for _ in 0..count(counted) {
            at = name_end(reply, at);
            let (kind, length) = (count(at), usize::from(count(at + 8)));
            let ttl_s = u32::from_be_bytes(*reply[at + 4..].first_chunk().unwrap());
            let rdata = reply[at + 10..at + 10 + length].to_vec();
            at += 10 + length;
            if kind == kinds::OPT {
                said.options = rdata;
            } else {
                said.sections[section].push((kind, ttl_s, rdata));
            }
        }
    }
    assert_eq!(at, reply.len());
    said
}

/// The replies to packets over UDP or TCP, and what was counted.
fn ask(limiter: Option<&Limiter>, is_tcp: bool, packets: &[Vec<u8>]) -> (Vec<Vec<u8>>, Counters, Notified) {
    let requests: Vec<Request<'_>> =
        packets.iter().map(|packet| Request { packet, source: RESOLVER, is_tcp }).collect();
    ask_of(&WORLD, limiter, NOW, &requests)
}

fn with_options(name: &str, kind: u16, options: &[u8], dnssec_ok: bool) -> Vec<u8> {
    let mut packet = query(name, kind, Some(options));
    let flags = packet.len() - options.len() - 4;
    packet[flags] = if dnssec_ok { 0x80 } else { 0 };
    packet
}

/// What is said to a query with DO over TCP, where there is always room.
fn signed(name: &str, kind: u16) -> Said {
    read(&ask(None, true, &[with_options(name, kind, &[], true)]).0[0])
}

fn plain(name: &str, kind: u16) -> Said {
    read(&ask(None, true, &[with_options(name, kind, &[], false)]).0[0])
}

fn cookie(data: &[u8]) -> Vec<u8> {
    [&[0, 10, 0, data.len() as u8], data].concat()
}

#[test]
fn a_cookie_is_given_and_known_again() {
    let (replies, counters, _) =
        ask(None, false, &[with_options("www.cdn.example", 1, &cookie(b"01234567"), false)]);
    let given = read(&replies[0]).option(10).unwrap().to_vec();
    assert_eq!((given.len(), &given[..8]), (24, &b"01234567"[..]));
    assert_eq!(counters.plain()[Counter::CookiesNew as usize], 1);
    let again = with_options("nowhere.cdn.test", 1, &cookie(&given), false);
    let malformed = with_options("www.cdn.example", 1, &cookie(b"short"), false);
    let alone = [&[0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1][..], &again[again.len() - 11 - 28..]].concat();
    let (replies, counters, _) = ask(None, false, &[again, malformed, alone.clone()]);
    assert_eq!(read(&replies[0]).option(10).unwrap(), given);
    assert!(read(&replies[1]).options.is_empty(), "FORMERR");
    assert_eq!((replies[2][3], read(&replies[2]).option(10).unwrap()), (0, &given[..]));
    let plain = counters.plain();
    assert_eq!((plain[Counter::CookiesValid as usize], plain[Counter::CookiesMalformed as usize]), (2, 1));
    let mut spoilt = alone;
    spoilt.pop();
    let (replies, ..) = ask(None, false, &[spoilt]);
    assert_eq!((replies[0].len(), replies[0][3]), (12, 1));
}

#[test]
fn what_is_limited_slips_or_is_dropped() {
    let settings =
        LimitSettings { per_second: 1, burst: 0, slip: 2, ipv4_bits: 24, ipv6_bits: 56, exempt: vec![] };
    let limiter = Limiter::new(&[0; 16], &settings).unwrap();
    let asked = with_options("www.cdn.example", 1, &cookie(b"01234567"), false);
    let known = read(&ask(None, false, std::slice::from_ref(&asked)).0[0]).option(10).unwrap().to_vec();
    let known = with_options("www.cdn.example", 1, &cookie(&known), false);
    let bare = vec![0, 1, 0x28, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    let formerr = with_options("www.cdn.example", 1, &[1], false);
    let packets = [asked.clone(), asked.clone(), asked.clone(), known, bare.clone(), bare, asked, formerr];
    let (replies, counters, _) = ask(Some(&limiter), false, &packets);
    let lengths: Vec<bool> = replies.iter().map(|reply| !reply.is_empty()).collect();
    assert_eq!(lengths, [true, false, true, true, false, true, false, true]);
    let (whole, slip) = (read(&replies[0]), read(&replies[2]));
    assert_eq!((whole.flags, whole.kinds(0)), ((0, true, false), vec![1]));
    assert_eq!((slip.flags, slip.kinds(0), slip.option(10).is_some()), ((0, false, true), vec![], true));
    assert_eq!(read(&replies[3]).kinds(0), [1], "it has shown a cookie");
    assert_eq!(replies[5][3], 4, "a bare reply goes out as it is");
    assert_eq!(read(&replies[7]).flags, (0, false, true));
    let plain = counters.plain();
    assert_eq!((plain[Counter::RateDropped as usize], plain[Counter::RateSlipped as usize]), (3, 3));
    assert_eq!((plain[Counter::AnswersNoError as usize], plain[Counter::AnswersTruncated as usize]), (4, 2));
    assert_eq!(plain[Counter::AnswersNotImp as usize], 1);
    let over_tcp = ask(Some(&limiter), true, &packets[..2]).0;
    assert!(over_tcp.iter().all(|reply| read(reply).kinds(0) == [1]));
}

#[test]
fn a_primary_may_say_that_there_is_news() {
    let notify = |name: &str| {
        let mut packet = query(name, kinds::SOA, Some(&[]));
        packet[2] |= 4 << 3;
        packet
    };
    let names = ["SIGNED.example", "www.signed.example", "cdn.example", "x.signed.example", ""];
    let (replies, counters, notified) = ask(None, false, &names.map(notify));
    assert_eq!(read(&replies[0]).flags, (0, true, false));
    assert!(replies[1..].iter().all(|reply| read(reply).flags == (5, false, false)));
    assert!(replies[1..].iter().all(|reply| read(reply).option(15) == Some(&[0, 18])));
    assert_eq!((notified.take(), counters.plain()[Counter::Notifies as usize]), (vec![2], 1));
    assert_eq!(replies[0][2] & 0x78, 4 << 3);
}

#[test]
fn the_server_says_who_it_is() {
    let chaos = |name: &str, kind: u16| {
        let mut packet = query(name, kind, Some(&[0, 3, 0, 0]));
        let class = packet.len() - 4 - 11 - 1;
        packet[class] = 3;
        read(&ask(None, false, &[packet]).0[0])
    };
    assert_eq!(chaos("ID.server", 16).sections[0], [(16, 0, b"\x0cfra1.example".to_vec())]);
    assert_eq!(chaos("version.bind", 255).sections[0], [(16, 0, b"\x05steer".to_vec())]);
    assert_eq!(chaos("id.server", 16).option(3), Some(&b"steer-1"[..]));
    for (name, kind) in [("id.server", 1), ("other.bind", 16), ("cdn.example", 16)] {
        let said = chaos(name, kind);
        assert_eq!((said.flags, said.option(15)), ((5, false, false), Some(&[0, 20][..])));
    }
    assert_eq!(plain("www.cdn.example", 252).option(15), Some(&[0, 18][..]));
    assert_eq!(plain("www.elsewhere.test", 1).option(15), Some(&[0, 20][..]));
}

#[test]
fn zones_may_be_stale_or_not_ready() {
    let subnet = [&[0, 3, 0, 0][..], &ecs4([133, 1, 5])].concat();
    let gone = read(&ask(None, true, &[with_options("x.gone.example", 1, &subnet, false)]).0[0]);
    assert_eq!((gone.flags, gone.option(15)), ((2, false, false), Some(&[0, 14][..])));
    assert_eq!((gone.option(8), gone.option(3).is_some()), (None, true));
    let chained = plain("togone.signed.example", 1);
    assert_eq!((chained.flags, chained.kinds(0), chained.option(15)), ((0, true, false), vec![5], None));
    let old = plain("text.old.example", 16);
    assert_eq!((old.flags, old.kinds(0), old.option(15)), ((0, true, false), vec![16], Some(&[0, 3][..])));
    assert_eq!(plain("toold.signed.example", 16).option(15), Some(&[0, 3][..]));
    assert_eq!(plain("www.cdn.example", 1).option(15), Some(&[0, 3][..]), "the POPs' states are old");
    assert_eq!(plain("text.cdn.example", 16).option(15), None);
}

#[test]
fn signatures_follow_what_they_sign() {
    let a = signed("www.signed.example", 1);
    assert_eq!((a.kinds(0), a.sections[0][1].2[1], a.option(15)), (vec![1, 46], 1, Some(&[0, 3][..])));
    assert_eq!(signed("www.signed.example", 28).sections[0][1].2[1], 28);
    assert_eq!(plain("www.signed.example", 1).kinds(0), [1]);
    assert_eq!(signed("www.cdn.example", 1).kinds(0), [1], "not signed");
    let wild = signed("q.st.signed.example", 1);
    assert_eq!((wild.kinds(0), wild.kinds(1)), (vec![1, 46], vec![47, 46]));
    let chained = signed("tosteered.signed.example", 1);
    assert_eq!((chained.kinds(0), chained.kinds(1)), (vec![5, 46, 1, 46], vec![]));
    let https = signed("www.signed.example", HTTPS);
    assert_eq!((https.kinds(0), https.sections[0][1].2[1]), (vec![HTTPS, 46], HTTPS as u8));
    let host = signed("host.signed.example", 1);
    assert_eq!((host.kinds(0), host.sections[0][1].2[1]), (vec![5, 46], 5));
    assert_eq!(signed("tocdn.signed.example", 1).kinds(0), [5, 46, 5, 1], "each zone by its own");
    let (_, counters, _) = ask(
        None,
        true,
        &[with_options("www.signed.example", 1, &[], true), query("www.signed.example", 1, None)],
    );
    assert_eq!(counters.plain()[Counter::AnswersSigned as usize], 1);
}

#[test]
fn what_there_is_not_is_proved() {
    let shape = |name: &str, kind: u16| {
        let said = signed(name, kind);
        assert_eq!(
            plain(name, kind).kinds(1).len(),
            said.kinds(1).iter().filter(|&&k| k == 6 || k == 2).count()
        );
        (
            said.flags.0,
            said.kinds(0),
            said.kinds(1).into_iter().filter(|&kind| kind != 46).collect::<Vec<_>>(),
        )
    };
    assert_eq!(shape("text.signed.example", 1), (0, vec![], vec![6, 47]));
    assert_eq!(shape("ent.signed.example", 1), (0, vec![], vec![6, 47]));
    assert_eq!(
        shape("q.wild.signed.example", 1),
        (0, vec![], vec![6, 47]),
        "the wildcard's covers the name too"
    );
    assert_eq!(shape("missing.signed.example", 1), (3, vec![], vec![6, 47, 47]));
    assert_eq!(shape("0.signed.example", 1), (3, vec![], vec![6, 47]), "one NSEC for both");
    assert_eq!(shape("host.insecure.signed.example", 1), (0, vec![], vec![2, 47]));
    assert_eq!(shape("host.secure.signed.example", 1), (0, vec![], vec![2, 43]));
    assert_eq!(signed("secure.signed.example", 43).kinds(0)[..2], [43, 46]);
    assert_eq!(shape("insecure.signed.example", 43), (0, vec![], vec![6, 47]));
    assert_eq!(shape("tocut.signed.example", 1), (0, vec![5, 46], vec![2, 47]));
    assert_eq!(shape("tomissing.signed.example", 1), (3, vec![5, 46], vec![6, 47, 47]));
    let chain = shape("q.cw.signed.example", 16);
    assert_eq!((chain.0, chain.2), (0, vec![47, 47]));
}

#[test]
fn signatures_are_asked_for_by_type() {
    let any = signed("text.signed.example", 255);
    assert_eq!((any.kinds(0)[0], any.kinds(0).contains(&46)), (16, true));
    assert_eq!(plain("text.signed.example", 255).kinds(0), [13]);
    assert_eq!(signed("text.cdn.example", 255).kinds(0), [13]);
    assert!(signed("text.signed.example", 46).kinds(0).iter().all(|&kind| kind == 46));
    assert_eq!(plain("text.signed.example", 46).kinds(0), signed("text.signed.example", 46).kinds(0));
    assert!(signed("ent.signed.example", 46).kinds(0).is_empty());
    assert_eq!(signed("alias.signed.example", 47).kinds(0)[0], 47, "the alias has one of its own");
    assert_eq!(signed("host.signed.example", 47).kinds(0)[0], 47);
    assert_eq!(signed("host.signed.example", 16).kinds(0), [5, 46]);
}

#[test]
fn no_answer_outlives_its_signatures() {
    for (left_s, due_s) in [(10, 10), (0, 0), (-5, 0), (1000, 60)] {
        let now = Now { unix_s: EXPIRES_S.wrapping_sub_signed(left_s), ..NOW };
        for (name, kind, due_s) in [
            ("www.signed.example", 1, due_s),
            ("tosteered.signed.example", 1, due_s),
            ("ns1.signed.example", 1, due_s.max(left_s.max(0) as u32)),
        ] {
            let packet = with_options(name, kind, &[], true);
            let requests = [Request { packet: &packet, source: RESOLVER, is_tcp: true }];
            let said = read(&ask_of(&WORLD, None, now, &requests).0[0]);
            let last = said.sections[0].last().unwrap();
            assert_eq!((last.0, last.1), (46, due_s), "{name}");
            let before = &said.sections[0][said.sections[0].len() - 2];
            assert_eq!(before.1, due_s);
        }
    }
}

#[test]
fn hints_agree_with_the_addresses() {
    let subnet = ecs4([133, 1, 5]);
    let said =
        |kind: u16| read(&ask(None, true, &[with_options("www.signed.example", kind, &subnet, false)]).0[0]);
    let (a, aaaa, https) = (said(1), said(28), said(HTTPS));
    let due = [
        &b"\0\x01\0\0\x01\0\x03\x02h2\0\x04\0\x04"[..],
        &a.sections[0][0].2,
        &[0, 6, 0, 16],
        &aaaa.sections[0][0].2,
    ];
    assert_eq!(https.sections[0][0].2, due.concat());
    assert_eq!(https.option(8), a.option(8));
    assert_eq!(said(64).sections[0][0].2, b"\0\0\0", "an alias has none");
    let six = read(&ask(None, true, &[with_options("six.signed.example", HTTPS, &subnet, true)]).0[0]);
    assert_eq!(
        six.sections[0][0].2,
        [&b"\0\x01\0\0\x01\0\x03\x02h2\0\x06\0\x10"[..], &aaaa.sections[0][0].2].concat()
    );
    assert_eq!(six.kinds(0), [HTTPS, 46]);
}

#[test]
fn a_name_explains_its_choice() {
    let texts = |name: &str, options: &[u8]| {
        let said = read(&ask(None, true, &[with_options(name, 16, options, true)]).0[0]);
        let (mut rest, mut texts) = (&said.sections[0][0].2[..], Vec::new());
        while let Some((&length, after)) = rest.split_first() {
            let (text, next) = after.split_at(usize::from(length));
            texts.push(String::from_utf8(text.to_vec()).unwrap());
            rest = next;
        }
        texts
    };
    let built = "snapshot 6275696c7420666f-6275696c7420666f";
    let by_resolver = ["client 192.0.2.7/32 by resolver", "rule default", "target pop:fra", "scope 0", built];
    assert_eq!(texts("who.explain.example", &[]), by_resolver);
    let by_ecs = ["client 133.1.5.0/24 by ecs", "rule -", "target -", "scope 17", built];
    assert_eq!(texts("who.explain.example", &ecs4([133, 1, 5])), by_ecs);
    let armed = texts("arm.explain.example", &ecs4([133, 1, 6]));
    assert!(armed[1] == "arm half" || armed[1] == "arm -", "{armed:?}");
    assert_eq!(texts("host.explain.example", &[]), by_resolver);
    assert_eq!(plain("who.explain.example", 1).kinds(1), [6]);
    let packet = with_options("who.explain.example", 16, &[], false);
    let source = 0x2001_0db8_0000_0000_00ff_0000_0000_0001;
    let requests = [Request { packet: &packet, source, is_tcp: true }];
    let reply = ask_of(&WORLD, None, NOW, &requests).0.remove(0);
    let text = b"client 2001:db8:0:0:ff:0:0:1/128 by resolver";
    assert!(reply.windows(text.len()).any(|window| window == text));
}

#[test]
fn additional_data_goes_without_signatures_where_these_do_not_fit() {
    let packet = |size: u16| {
        let mut packet = with_options("signed.example", kinds::NS, &[], true);
        let at = packet.len() - 8;
        packet[at..at + 2].copy_from_slice(&size.to_be_bytes());
        packet
    };
    let mut seen = Vec::new();
    for size in 512..=1232 {
        let (replies, ..) = ask(None, false, &[packet(size)]);
        let said = read(&replies[0]);
        assert!(replies[0].len() <= usize::from(size) && !said.flags.2);
        seen.push(said.kinds(2));
    }
    seen.dedup();
    let whole = read(&ask(None, true, &[packet(512)]).0[0]).kinds(2);
    assert_eq!(seen.last(), Some(&whole));
    assert_eq!(whole, [1, 46, 28, 46]);
    assert_eq!(seen[0], [1, 46, 28]);
}
