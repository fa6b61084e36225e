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

fn read(packet: &[u8]) -> Parsed {
    parse(packet, &mut Asked::default(), &mut Labels::default(), true)
}

fn asked(packet: &[u8]) -> Asked {
    let mut asked = Asked::default();
    assert_eq!(parse(packet, &mut asked, &mut Labels::default(), true), Parsed::Asked);
    asked
}

/// The verdict on a query whose OPT has this option 8, and what was read of it.
fn ecs(data: &[u8]) -> (Option<Rcode>, Option<Ecs>) {
    let asked = asked(&query([0, 0, 1], kinds::A, &opt(0, &option(8, data))));
    assert_eq!(asked.ecs_malformed, asked.verdict == Some(Rcode::FormErr));
    assert!(asked.edns.is_some(), "a FORMERR carries the OPT");
    (asked.verdict, asked.ecs)
}

#[test]
fn a_plain_query_is_read() {
    let packet = query([0, 0, 0], kinds::AAAA, &[]);
    let asked = asked(&packet);
    assert_eq!((asked.kind, asked.verdict, asked.edns, asked.ecs), (kinds::AAAA, None, None, None));
    assert_eq!(usize::from(asked.question_end), packet.len());
    let mut labels = Labels::default();
    parse(&packet, &mut Asked::default(), &mut labels, true);
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
    for opcode in 1..16 {
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
    assert_eq!(asked(&query([1, 0, 0], kinds::A, &record)).verdict, Some(Rcode::FormErr));
    assert_eq!(asked(&query([0, 1, 0], kinds::A, &record)).verdict, Some(Rcode::FormErr));
    assert_eq!(asked(&query([0, 1, 0], kinds::IXFR, &record)).verdict, Some(Rcode::Refused));
    assert_eq!(asked(&query([0, 0, 0], kinds::AXFR, &[])).verdict, Some(Rcode::Refused));
    assert_eq!(asked(&query([0, 0, 1], kinds::A, &record)).verdict, None);
}

#[test]
fn records_are_skipped_to_the_last_octet() {
    let long = [&[3, b'a', b'b', b'c', 0xc0, 12, 0, 16, 0, 1, 0, 0, 0, 0, 0, 2], b"xy".as_slice()].concat();
    let packet = query([0, 0, 2], kinds::A, &[long.clone(), opt(0, &[])].concat());
    assert_eq!(asked(&packet).verdict, None);
    assert!(asked(&packet).edns.is_some());
    let end = usize::from(asked(&packet).question_end);
    for length in end..packet.len() {
        assert_eq!(asked(&packet[..length]).verdict, Some(Rcode::FormErr), "cut at {length}");
    }
    let left_over = [packet, vec![0]].concat();
    assert_eq!(asked(&left_over).verdict, Some(Rcode::FormErr));
    assert!(asked(&left_over).edns.is_some(), "it was read whole before the fault");
    for label_type in [0x40, 0x80] {
        let mut other = long.clone();
        other[4] = label_type;
        assert_eq!(asked(&query([0, 0, 1], kinds::A, &other)).verdict, Some(Rcode::FormErr));
    }
}

#[test]
fn an_opt_is_the_roots_and_alone() {
    let mut named = opt(0, &[]);
    named.splice(0..1, [1, b'a', 0]);
    let one = asked(&query([0, 0, 1], kinds::A, &named));
    assert_eq!((one.verdict, one.edns), (Some(Rcode::FormErr), None));
    let two = asked(&query([0, 0, 2], kinds::A, &[opt(0, &[]), opt(0, &[])].concat()));
    assert_eq!(two.verdict, Some(Rcode::FormErr));
    assert!(two.edns.is_some());
    let in_authority = asked(&query([0, 1, 0], kinds::IXFR, &opt(0, &[])));
    assert_eq!((in_authority.verdict, in_authority.edns), (Some(Rcode::Refused), None));
}

#[test]
fn edns_versions_flags_and_sizes() {
    let edns = asked(&query([0, 0, 1], kinds::A, &opt(0, &[]))).edns.unwrap();
    assert_eq!((edns.udp_bytes, edns.dnssec_ok), (4096, true));
    let malformed_options = [0, 8, 0, 99];
    let newer = asked(&query([0, 0, 1], kinds::A, &opt(1, &malformed_options)));
    assert_eq!((newer.verdict, newer.ecs), (Some(Rcode::BadVers), None));
    assert_eq!(asked(&query([0, 0, 1], kinds::A, &opt(0, &malformed_options))).verdict, Some(Rcode::FormErr));
    let unknown = [option(10, b"12345678"), option(99, b"")].concat();
    assert_eq!(asked(&query([0, 0, 1], kinds::A, &opt(0, &unknown))).verdict, None);
    assert_eq!(asked(&query([0, 0, 1], kinds::OPT, &opt(0, &[]))).verdict, Some(Rcode::FormErr));
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
        let (verdict, read) = ecs(good);
        assert_eq!(verdict, None, "{good:?}");
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
        assert_eq!(ecs(bad), (Some(Rcode::FormErr), None), "{bad:?}");
    }
    let one = option(8, &[0, 1, 8, 0, 133]);
    let twice = asked(&query([0, 0, 1], kinds::A, &opt(0, &[one.clone(), one.clone()].concat())));
    assert_eq!((twice.verdict, twice.ecs, twice.ecs_malformed), (Some(Rcode::FormErr), None, true)); // ECS-22
    let cut = asked(&query([0, 0, 1], kinds::A, &opt(0, &[one.clone(), vec![0]].concat())));
    assert_eq!((cut.verdict, cut.ecs, cut.ecs_malformed), (Some(Rcode::FormErr), None, false));
    // Another class, or nothing that steers: not looked at.
    let mut chaos = query([0, 0, 1], kinds::A, &opt(0, &option(8, &[9])));
    let mut unread = Asked::default();
    assert_eq!(parse(&chaos, &mut unread, &mut Labels::default(), false), Parsed::Asked);
    assert_eq!((unread.verdict, unread.ecs), (None, None));
    chaos[12 + NAME.len() + 3] = 3;
    assert_eq!((asked(&chaos).verdict, asked(&chaos).ecs_malformed), (Some(Rcode::Refused), false));
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
    let mut message = Message::reply(&mut buffer, &packet, &asked, 600);
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
    let mut message = Message::reply(&mut buffer, &packet, &asked, 600);
    compressor.write(&mut message, &Tree, 2).unwrap();
    let end = message.length();
    assert_eq!(&buffer[start..end], [3, b'c', b'd', b'n', 0xc0, 20]);
}

#[test]
fn a_message_keeps_its_limit_and_room_for_opt() {
    let packet = query([0, 0, 1], kinds::A, &opt(0, &option(8, &[0, 1, 8, 0, 133])));
    let (asked, mut buffer) = (asked(&packet), [0xaa; 600]);
    let mut message = Message::reply(&mut buffer, &packet, &asked, 512);
    let mark = message.mark();
    assert_eq!(message.put(&[0; 512]), Err(Full));
    let room = 512 - usize::from(asked.question_end) - 11 - 9;
    message.put(&vec![7; room]).unwrap();
    assert_eq!(message.put(&[0]), Err(Full));
    message.count(Section::Answer, 3);
    message.go_back(mark);
    message.put_addresses(kinds::A, 60, &[1, 2, 3, 4], 4).unwrap();
    let outcome =
        Outcome { rcode: Rcode::BadVers, is_authoritative: true, is_truncated: true, scope_bits: 24 };
    let length = message.finish(&packet, &asked, outcome, 1232);
    let end = usize::from(asked.question_end);
    assert_eq!(buffer[..12], [0x12, 0x34, 0x87, 0, 0, 1, 0, 1, 0, 0, 0, 1]);
    assert_eq!(buffer[12..end], packet[12..end]);
    assert_eq!(buffer[end..end + 16], [0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 1, 2, 3, 4]);
    assert_eq!(
        buffer[end + 16..length],
        [0, 0, 41, 4, 0xd0, 1, 0, 0x80, 0, 0, 9, 0, 8, 0, 5, 0, 1, 8, 24, 133]
    );
}

#[test]
fn a_bare_reply_copies_identity_opcode_and_rd() {
    let mut packet = query([0, 0, 0], kinds::A, &[]);
    packet[2] = 0x2f; // opcode 5, AA, TC, RD
    let mut buffer = [0xaa; 12];
    assert_eq!(bare_reply(&mut buffer, &packet, Rcode::NotImp), 12);
    assert_eq!(buffer, [0x12, 0x34, 0xa9, 4, 0, 0, 0, 0, 0, 0, 0, 0]);
}
