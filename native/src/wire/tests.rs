//! Reading rules, one by one, and what is written back.
use super::*;

const NAME: &[u8] = b"\x03www\x03cdn\x07example\x00";

/// A query for www.cdn.example A with these counts of further records, and their octets.
fn query(counts: [u16; 3], kind: u16, rest: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x12, 0x34, 0x01, 0x10, 0, 1];
    packet.extend(counts.iter().flat_map(|count| count.to_be_bytes()));
    packet.extend_from_slice(NAME);
    packet.extend_from_slice(&kind.to_be_bytes());
    packet.extend_from_slice(&[0, 1]);
    packet.extend_from_slice(rest);
    packet
}

fn opt(version: u8, options: &[u8]) -> Vec<u8> {
    [&[0, 0, 41, 0x10, 0, 0, version, 0x80, 0, 0, options.len() as u8], options].concat()
}

fn option(code: u8, data: &[u8]) -> Vec<u8> {
    [&[0, code, 0, data.len() as u8], data].concat()
}

const ALL: Reads = Reads { ecs: true, cookies: true };
const FORMERR: Place = Place::Fault(Rcode::FormErr);

fn read(packet: &[u8]) -> Parsed {
    parse(packet, &mut Asked::default(), &mut Labels::default(), ALL)
}

fn asked(packet: &[u8]) -> Asked {
    let mut asked = Asked::default();
    assert_eq!(parse(packet, &mut asked, &mut Labels::default(), ALL), Parsed::Asked);
    asked
}

/// Where a query is answered whose OPT has this option 8, and what was read of it.
fn ecs(data: &[u8]) -> (Place, Option<Ecs>) {
    let asked = asked(&query([0, 0, 1], kinds::A, &opt(0, &option(8, data))));
    assert_eq!(asked.malformed == Malformed::Ecs, asked.place == FORMERR);
    assert!(asked.edns.is_some(), "a FORMERR carries the OPT");
    (asked.place, asked.ecs)
}

#[test]
fn a_plain_query_is_read() {
    let packet = query([0, 0, 0], kinds::AAAA, &[]);
    let asked = asked(&packet);
    assert_eq!((asked.kind, asked.place, asked.edns, asked.ecs), (kinds::AAAA, Place::Zones, None, None));
    assert_eq!(usize::from(asked.question_end), packet.len());
    let mut labels = Labels::default();
    parse(&packet, &mut Asked::default(), &mut labels, ALL);
    let right: Vec<&[u8]> = labels.from_the_right(&packet).collect();
    assert_eq!(right, [b"\x07example".as_slice(), b"\x03cdn", b"\x03www"]);
}

#[test]
fn what_gets_no_reply() {
    let packet = query([0, 0, 0], kinds::A, &[]);
    for length in 0..12 {
        assert_eq!(read(&packet[..length]), Parsed::Dropped(Dropped::Short));
    }
    let mut response = packet.clone();
    response[2] |= 0x80;
    assert_eq!(read(&response), Parsed::Dropped(Dropped::Response));
}

#[test]
fn what_gets_a_bare_reply() {
    let packet = query([0, 0, 0], kinds::A, &[]);
    for length in 12..packet.len() {
        assert_eq!(read(&packet[..length]), Parsed::Bare(Rcode::FormErr), "cut at {length}");
    }
    for opcode in (1..16).filter(|&opcode| opcode != 4) {
        let mut other = packet.clone();
        other[2] |= opcode << 3;
        assert_eq!(read(&other), Parsed::Bare(Rcode::NotImp));
    }
    for count in [0, 2, 255] {
        let mut other = packet.clone();
        other[5] = count;
        assert_eq!(read(&other), Parsed::Bare(Rcode::FormErr), "{count} questions");
    }
    for label_type in [0x40, 0x80, 0xc0] {
        let mut other = packet.clone();
        other[12] = label_type;
        assert_eq!(read(&other), Parsed::Bare(Rcode::FormErr), "label type {label_type:x}");
    }
}

#[test]
fn a_question_has_at_most_255_octets() {
    let with_name = |lengths: &[usize]| {
        let mut packet = query([0, 0, 0], kinds::A, &[])[..12].to_vec();
        for &length in lengths {
            packet.push(length as u8);
            packet.extend(vec![b'x'; length]);
        }
        packet.extend([0, 0, 1, 0, 1]);
        read(&packet)
    };
    assert!(matches!(with_name(&[63, 63, 63, 61]), Parsed::Asked));
    assert_eq!(with_name(&[63, 63, 63, 62]), Parsed::Bare(Rcode::FormErr));
    assert!(matches!(with_name(&[1; 127]), Parsed::Asked));
    assert_eq!(with_name(&[1; 128]), Parsed::Bare(Rcode::FormErr));
    assert!(matches!(with_name(&[]), Parsed::Asked));
}

#[test]
fn sections_that_a_query_cannot_have() {
    let record = [0, 0, 1, 0, 1, 0, 0, 0, 0, 0, 0];
    assert_eq!(asked(&query([1, 0, 0], kinds::A, &record)).place, FORMERR);
    assert_eq!(asked(&query([0, 1, 0], kinds::A, &record)).place, FORMERR);
    assert_eq!(asked(&query([0, 1, 0], kinds::IXFR, &record)).place, Place::Prohibited);
    assert_eq!(asked(&query([0, 0, 0], kinds::AXFR, &[])).place, Place::Prohibited);
    assert_eq!(asked(&query([0, 0, 1], kinds::A, &record)).place, Place::Zones);
}

#[test]
fn records_are_skipped_to_the_last_octet() {
    let long = [&[3, b'a', b'b', b'c', 0xc0, 12, 0, 16, 0, 1, 0, 0, 0, 0, 0, 2], b"xy".as_slice()].concat();
    let packet = query([0, 0, 2], kinds::A, &[long.clone(), opt(0, &[])].concat());
    assert_eq!(asked(&packet).place, Place::Zones);
    assert!(asked(&packet).edns.is_some());
    let end = usize::from(asked(&packet).question_end);
    for length in end..packet.len() {
        assert_eq!(asked(&packet[..length]).place, FORMERR, "cut at {length}");
    }
    let left_over = [packet, vec![0]].concat();
    assert_eq!(asked(&left_over).place, FORMERR);
    assert!(asked(&left_over).edns.is_some(), "it was read whole before the fault");
    for label_type in [0x40, 0x80] {
        let mut other = long.clone();
        other[4] = label_type;
        assert_eq!(asked(&query([0, 0, 1], kinds::A, &other)).place, FORMERR);
    }
}

#[test]
fn an_opt_is_the_roots_and_alone() {
    let mut named = opt(0, &[]);
    named.splice(0..1, [1, b'a', 0]);
    let one = asked(&query([0, 0, 1], kinds::A, &named));
    assert_eq!((one.place, one.edns), (FORMERR, None));
    let two = asked(&query([0, 0, 2], kinds::A, &[opt(0, &[]), opt(0, &[])].concat()));
    assert_eq!(two.place, FORMERR);
    assert!(two.edns.is_some());
    let in_authority = asked(&query([0, 1, 0], kinds::IXFR, &opt(0, &[])));
    assert_eq!((in_authority.place, in_authority.edns), (Place::Prohibited, None));
}

#[test]
fn edns_versions_flags_and_sizes() {
    let edns = asked(&query([0, 0, 1], kinds::A, &opt(0, &[]))).edns.unwrap();
    assert_eq!((edns.udp_bytes, edns.dnssec_ok), (4096, true));
    let malformed_options = [0, 8, 0, 99];
    let newer = asked(&query([0, 0, 1], kinds::A, &opt(1, &malformed_options)));
    assert_eq!((newer.place, newer.ecs), (Place::Fault(Rcode::BadVers), None));
    assert_eq!(asked(&query([0, 0, 1], kinds::A, &opt(0, &malformed_options))).place, FORMERR);
    let unknown = [option(11, b"12345678"), option(99, b"")].concat();
    assert_eq!(asked(&query([0, 0, 1], kinds::A, &opt(0, &unknown))).place, Place::Zones);
    assert_eq!(asked(&query([0, 0, 1], kinds::OPT, &opt(0, &[]))).place, Place::Opt);
}

#[test]
fn cookies_and_nsid_are_read_where_they_are_wanted() {
    let with = |options: &[u8]| asked(&query([0, 0, 1], kinds::A, &opt(0, options)));
    for length in 0..50 {
        let read = with(&option(10, &vec![7; length]));
        let is_good = length == 8 || (16..=40).contains(&length);
        let due = if is_good { (Place::Zones, Malformed::Other) } else { (FORMERR, Malformed::Cookie) };
        assert_eq!((read.place, read.malformed, read.has_cookie()), (due.0, due.1, is_good), "{length}");
    }
    let first = [option(10, b"01234567"), option(10, b"x"), option(3, b"ignored")].concat();
    let packet = query([0, 0, 1], kinds::A, &opt(0, &first));
    let read = asked(&packet);
    assert_eq!((read.place, read.wants_nsid), (Place::Zones, true));
    assert_eq!(read.cookie(&packet), Cookie::read(b"01234567"));
    // What is wrong afterwards takes back what was read.
    let fault = with(&[first.clone(), vec![0]].concat());
    assert_eq!((fault.place, fault.has_cookie(), fault.wants_nsid), (FORMERR, false, false));
    let mut unread = Asked::default();
    let packet = query([0, 0, 1], kinds::A, &opt(0, &option(10, b"x")));
    assert_eq!(parse(&packet, &mut unread, &mut Labels::default(), Reads::default()), Parsed::Asked);
    assert_eq!((unread.place, unread.has_cookie()), (Place::Zones, false));
}

#[test]
fn a_cookie_may_be_asked_for_alone() {
    let alone = |options: &[u8]| {
        let opt = opt(0, options);
        [&[0x12, 0x34, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1][..], &opt].concat()
    };
    let packet = alone(&option(10, b"01234567"));
    assert_eq!(read(&packet), Parsed::CookieAlone);
    let without = Reads { ecs: true, cookies: false };
    let read_without = parse(&packet, &mut Asked::default(), &mut Labels::default(), without);
    assert_eq!(read_without, Parsed::Bare(Rcode::FormErr));
    for (at, octet) in [(2, 0x20), (5, 2), (7, 1), (9, 1), (11, 2), (12, 1), (18, 1), (22, 9)] {
        let mut other = packet.clone();
        other[at] = octet; // NOTIFY, other counts, a name, EDNS version 1, a longer RDATA
        assert_eq!(read(&other), Parsed::Bare(Rcode::FormErr), "octet {at}");
    }
    assert_eq!(read(&alone(&[])), Parsed::Bare(Rcode::FormErr));
    assert_eq!(read(&alone(&option(10, b"0123456"))), Parsed::Bare(Rcode::FormErr));
    assert_eq!(read(&[packet, vec![0]].concat()), Parsed::Bare(Rcode::FormErr));
}

#[test]
fn a_notify_may_carry_the_new_soa() {
    let record = [0, 0, 6, 0, 1, 0, 0, 0, 0, 0, 0];
    let notify = |counts: [u16; 3], kind: u16, rest: &[u8]| {
        let mut packet = query(counts, kind, rest);
        packet[2] |= 4 << 3;
        asked(&packet)
    };
    assert_eq!(notify([0, 0, 0], kinds::SOA, &[]).place, Place::Notify);
    assert_eq!(notify([1, 1, 0], kinds::SOA, &[record, record].concat()).place, Place::Notify);
    assert_eq!(notify([1, 0, 0], kinds::SOA, &[]).place, FORMERR);
    assert_eq!(notify([0, 0, 0], kinds::A, &[]).place, Place::Prohibited);
    assert_eq!(notify([0, 0, 0], kinds::OPT, &[]).place, Place::Prohibited);
    let with_ecs = opt(0, &option(8, &[9]));
    let read = notify([1, 0, 1], kinds::SOA, &[record.to_vec(), with_ecs].concat());
    assert_eq!((read.place, read.ecs, read.edns.is_some()), (Place::Notify, None, true));
    let opt_in_answer = opt(0, &[]);
    assert_eq!(notify([1, 0, 0], kinds::SOA, &opt_in_answer).edns, None);
}

#[test]
fn a_client_subnet_is_read_or_refused() {
    for good in [
        &[0, 1, 24, 0, 133, 1, 0][..],
        &[0, 1, 0, 0],
        &[0, 1, 32, 0, 1, 2, 3, 4],
        &[0, 1, 9, 0, 133, 0x80],
        &[0, 2, 56, 0, 0x20, 1, 0x0d, 0xb8, 0, 0, 0],
        &[0, 2, 0, 0],
        &[0, 0, 0, 0], // ECS-21
    ] {
        let (place, read) = ecs(good);
        assert_eq!(place, Place::Zones, "{good:?}");
        let read = read.unwrap();
        assert_eq!((read.source_bits, read.option_bytes()), (good[2], good.len() + 4));
    }
    for bad in [
        &[][..],
        &[0, 1, 0],                    // no SCOPE
        &[0, 3, 0, 0],                 // ECS-4: family
        &[1, 1, 0, 0],                 // ECS-4: family
        &[0, 1, 33, 0, 1, 2, 3, 4, 0], // ECS-4: SOURCE
        &[0, 2, 129, 0, 1],            // ECS-4: SOURCE
        &[0, 1, 24, 0, 133, 1],        // ECS-5: too few octets
        &[0, 1, 24, 0, 133, 1, 0, 0],  // ECS-5: too many
        &[0, 1, 23, 0, 133, 1, 1],     // ECS-5: a bit past SOURCE
        &[0, 1, 24, 1, 133, 1, 0],     // ECS-6: SCOPE
        &[0, 0, 8, 0, 1],              // ECS-21: family 0 with an address
    ] {
        assert_eq!(ecs(bad), (FORMERR, None), "{bad:?}");
    }
    let one = option(8, &[0, 1, 8, 0, 133]);
    let twice = asked(&query([0, 0, 1], kinds::A, &opt(0, &[one.clone(), one.clone()].concat())));
    assert_eq!((twice.place, twice.ecs, twice.malformed), (FORMERR, None, Malformed::Ecs)); // ECS-22
    let cut = asked(&query([0, 0, 1], kinds::A, &opt(0, &[one.clone(), vec![0]].concat())));
    assert_eq!((cut.place, cut.ecs, cut.malformed), (FORMERR, None, Malformed::Other));
    // Another class, or nothing that steers: not looked at.
    let mut chaos = query([0, 0, 1], kinds::A, &opt(0, &option(8, &[9])));
    let mut unread = Asked::default();
    assert_eq!(parse(&chaos, &mut unread, &mut Labels::default(), Reads::default()), Parsed::Asked);
    assert_eq!((unread.place, unread.ecs), (Place::Zones, None));
    chaos[12 + NAME.len() + 3] = 3;
    assert_eq!((asked(&chaos).place, asked(&chaos).malformed), (Place::OtherClass, Malformed::Other));
}

#[test]
fn addresses_are_read_through_their_translations() {
    let client = |family: u8, source_bits: u8, address: &[u8]| {
        let octets = &address[..usize::from(source_bits).div_ceil(8)];
        ecs(&[&[0, family, source_bits, 0], octets].concat()).1.unwrap().client()
    };
    let v6 = |text: &str| text.parse::<std::net::Ipv6Addr>().unwrap().octets();
    let v4 =
        |key: u32, added_bits| Some(ClientAddress { is_ipv6: false, key: u64::from(key) << 32, added_bits });
    assert_eq!(client(1, 24, &[133, 1, 2]), v4(0x8501_0200, 0));
    assert_eq!(client(2, 40, &v6("2002:8501:0200::")), v4(0x8501_0200, 16));
    assert_eq!(client(2, 16, &v6("2002::")), v4(0, 16));
    assert_eq!(client(2, 128, &v6("::ffff:133.1.2.3")), v4(0x8501_0203, 96));
    assert_eq!(client(2, 128, &v6("64:ff9b::133.1.2.3")), v4(0x8501_0203, 96));
    assert_eq!(client(2, 128, &v6("2001:0:1:2:3:4:7afe:fdfc")), v4(0x8501_0203, 96));
    for (address, source_bits) in
        [("::ffff:133.1.0.0", 112), ("64:ff9b::", 96), ("2001::", 32), ("2001::", 17)]
    {
        assert_eq!(client(2, source_bits, &v6(address)), None, "{address}/{source_bits}");
    }
    let plain = |key| Some(ClientAddress { is_ipv6: true, key, added_bits: 0 });
    assert_eq!(client(2, 56, &v6("2001:db8:1:ff00::")), plain(0x2001_0db8_0001_ff00));
    assert_eq!(client(2, 128, &v6("64:ff9b:1::133.1.2.3")), plain(0x0064_ff9b_0001_0000));
    assert_eq!(client(2, 1, &v6("8000::")), plain(1 << 63));
    let source = |text: &str| read_source(u128::from_be_bytes(v6(text)));
    assert_eq!(Some(source("::ffff:1.2.3.4")), v4(0x0102_0304, 96));
    assert_eq!(Some(source("2001:db8::1")), plain(0x2001_0db8_0000_0000));
}

/// Names by number: 1 example, 2 cdn.example, 3 www.cdn.example, 4 ns.cdn.example, 5 test.
struct Tree;

impl NameTree for Tree {
    fn parent(&self, name: u32) -> u32 {
        [0, 0, 1, 2, 2, 0][name as usize]
    }

    fn label(&self, name: u32) -> &[u8] {
        [&[0][..], b"\x07example", b"\x03cdn", b"\x03www", b"\x02ns", b"\x04test"][name as usize]
    }
}

#[test]
fn names_are_compressed_to_their_longest_known_suffix() {
    let packet = query([0, 0, 0], kinds::A, &[]);
    let (mut labels, mut compressor, mut buffer) = (Labels::default(), Compressor::default(), [0; 600]);
    let asked = asked(&packet);
    labels.read(&packet, HEADER_BYTES);
    compressor.start(&Tree, &labels, 3, 3);
    let start = packet.len();
    let mut message = Message::reply(&mut buffer, &packet, asked.question_end, 600, 0);
    for name in [3, 4, 4, 5, 5, 2, 0] {
        compressor.write(&mut message, &Tree, name).unwrap();
    }
    let end = message.length();
    let ns_at = (start + 2) as u8;
    let test_at = (start + 2 + 5 + 2) as u8;
    let expected = [
        &[0xc0, 12, 2, b'n', b's', 0xc0, 16, 0xc0, ns_at][..],
        b"\x04test\x00",
        &[0xc0, test_at, 0xc0, 16, 0],
    ]
    .concat();
    assert_eq!(&buffer[start..end], expected);
    // Only so much of the question is known.
    compressor.start(&Tree, &labels, 1, 1);
    let mut message = Message::reply(&mut buffer, &packet, asked.question_end, 600, 0);
    compressor.write(&mut message, &Tree, 2).unwrap();
    let end = message.length();
    assert_eq!(&buffer[start..end], [3, b'c', b'd', b'n', 0xc0, 20]);
}

#[test]
fn a_message_keeps_its_limit_and_room_for_opt() {
    let packet = query([0, 0, 1], kinds::A, &opt(0, &option(8, &[0, 1, 8, 0, 133])));
    let (asked, mut buffer) = (asked(&packet), [0xaa; 600]);
    let options = ReplyOptions {
        ecs: asked.ecs.as_ref(),
        scope_bits: 24,
        cookie: Some(&[0xcc; COOKIE_REPLY_BYTES]),
        nsid: b"fra1",
        error: Some(ExtendedError::Stale),
    };
    let end = asked.question_end;
    let mut message = Message::reply(&mut buffer, &packet, end, 512, options.opt_bytes());
    let mark = message.mark();
    assert_eq!(message.put(&[0; 512]), Err(Full));
    let room = 512 - usize::from(end) - 11 - 9 - 28 - 8 - 6;
    message.put(&vec![7; room]).unwrap();
    assert_eq!(message.put(&[0]), Err(Full));
    message.count(Section::Answer, 3);
    message.go_back(mark);
    message.put_addresses(kinds::A, 60, &[1, 2, 3, 4], 4).unwrap();
    let outcome = Outcome { rcode: Rcode::BadVers, is_authoritative: true, is_truncated: true };
    let length = message.finish(&packet, asked.edns, &options, outcome, 1232);
    let end = usize::from(end);
    assert_eq!(buffer[..12], [0x12, 0x34, 0x87, 0x10, 0, 1, 0, 1, 0, 0, 0, 1], "RD and CD are copied");
    assert_eq!(buffer[12..end], packet[12..end]);
    assert_eq!(buffer[end..end + 16], [0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 1, 2, 3, 4]);
    let opt = [0, 0, 41, 4, 0xd0, 1, 0, 0x80, 0, 0, 51];
    let ecs = option(8, &[0, 1, 8, 24, 133]);
    let rest = [option(10, &[0xcc; 24]), option(3, b"fra1"), option(15, &[0, 3])].concat();
    assert_eq!(buffer[end + 16..length], [opt.to_vec(), ecs, rest].concat());
}

#[test]
fn a_bare_reply_copies_identity_opcode_and_rd() {
    let mut packet = query([0, 0, 0], kinds::A, &[]);
    packet[2] = 0x2f; // opcode 5, AA, TC, RD
    packet[3] = 0xff; // RA, Z, AD, CD, rcode 15
    let mut buffer = [0xaa; 12];
    assert_eq!(bare_reply(&mut buffer, &packet, Rcode::NotImp), 12);
    assert_eq!(buffer, [0x12, 0x34, 0xa9, 0x14, 0, 0, 0, 0, 0, 0, 0, 0]);
}
