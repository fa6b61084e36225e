//! TCP framing over a stream that gives and takes as a test says; the engine over loopback.
use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket};
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::connection::{Connection, Next};
use super::*;
use crate::answer::Counter;
use crate::snapshot::builder::small_world;

const IDLE: Duration = Duration::from_secs(10);
const LONG: Duration = Duration::from_secs(1000);
const QUERY: &[u8] =
    b"\x12\x34\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x03www\x03cdn\x07example\x00\x00\x01\x00\x01";

/// What a peer sends, and how much it takes.
#[derive(Default)]
struct Peer {
    sends: VecDeque<Vec<u8>>,
    has_ended: bool,
    takes: usize,
    taken: Vec<u8>,
}

#[derive(Clone, Default)]
struct Stream(Rc<RefCell<Peer>>);

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut peer = self.0.borrow_mut();
        let Some(mut piece) = peer.sends.pop_front() else {
            return if peer.has_ended { Ok(0) } else { Err(ErrorKind::WouldBlock.into()) };
        };
        let count = piece.len().min(buffer.len());
        buffer[..count].copy_from_slice(&piece[..count]);
        if count < piece.len() {
            peer.sends.push_front(piece.split_off(count));
        }
        Ok(count)
    }
}

impl Write for Stream {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        let mut peer = self.0.borrow_mut();
        let count = buffer.len().min(peer.takes);
        peer.takes -= count;
        peer.taken.extend_from_slice(&buffer[..count]);
        if count > 0 { Ok(count) } else { Err(ErrorKind::WouldBlock.into()) }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn framed(message: &[u8]) -> Vec<u8> {
    [&(message.len() as u16).to_be_bytes(), message].concat()
}

/// Answers with the message backwards; nothing to one that is empty or starts with a zero.
fn echo(message: &[u8], output: &mut Vec<u8>) -> bool {
    output.extend(message.iter().rev());
    message.first().is_some_and(|&first| first != 0)
}

fn connected(takes: usize) -> (Connection<Stream>, Stream, Instant) {
    let (stream, now) = (Stream::default(), Instant::now());
    stream.0.borrow_mut().takes = takes;
    (Connection::new(stream.clone(), now), stream, now)
}

#[test]
fn messages_are_answered_in_order_however_they_are_cut() {
    let messages: Vec<Vec<u8>> =
        [1_usize, 12, 300, 5000, 65_535, 2].iter().map(|&length| vec![b'x'; length]).collect();
    let input: Vec<u8> = messages.iter().flat_map(|message| framed(message)).collect();
    for piece in [1, 2, 3, 7, 4096, usize::MAX] {
        let (mut connection, stream, now) = connected(usize::MAX);
        for piece in input.chunks(piece.min(input.len())) {
            stream.0.borrow_mut().sends.push_back(piece.to_vec());
            while connection.turn(now, &mut echo) == Next::Again {}
        }
        assert_eq!(stream.0.borrow().taken, input, "in pieces of {piece}");
    }
}

#[test]
fn a_message_without_an_answer_ends_the_connection_after_those_before() {
    let (mut connection, stream, now) = connected(usize::MAX);
    stream.0.borrow_mut().sends.push_back([framed(b"first"), framed(b"\0"), framed(b"never")].concat());
    assert_eq!(connection.turn(now, &mut echo), Next::Close);
    assert_eq!(stream.0.borrow().taken, framed(b"tsrif"));
    let (mut connection, stream, now) = connected(usize::MAX);
    stream.0.borrow_mut().sends.push_back(framed(b""));
    assert_eq!(connection.turn(now, &mut echo), Next::Close);
}

#[test]
fn a_peer_that_ends_still_gets_its_answers() {
    let (mut connection, stream, now) = connected(3);
    stream.0.borrow_mut().sends.push_back([framed(b"question"), vec![0, 9, 1]].concat());
    stream.0.borrow_mut().has_ended = true;
    assert_eq!(connection.turn(now, &mut echo), Next::Wait);
    stream.0.borrow_mut().takes = usize::MAX;
    assert_eq!(connection.turn(now, &mut echo), Next::Close);
    assert_eq!(stream.0.borrow().taken, framed(b"noitseuq"));
}

#[test]
fn a_slow_reader_is_not_read_from() {
    let (mut connection, stream, now) = connected(0);
    let message = framed(&[b'x'; 1000]);
    stream.0.borrow_mut().sends.extend(std::iter::repeat_n(message.clone(), 200));
    for _ in 0..50 {
        assert_eq!(connection.turn(now, &mut echo), Next::Wait);
    }
    assert!(stream.0.borrow().sends.len() > 150, "it was read on");
    stream.0.borrow_mut().takes = usize::MAX;
    while connection.turn(now, &mut echo) == Next::Again {}
    assert_eq!(stream.0.borrow().taken.len(), 200 * message.len());
}

#[test]
fn many_queries_take_several_turns() {
    let (mut connection, stream, now) = connected(usize::MAX);
    let input: Vec<u8> = (0..1000).flat_map(|_| framed(b"xy")).collect();
    stream.0.borrow_mut().sends.push_back(input);
    let mut turns = 1;
    while connection.turn(now, &mut echo) == Next::Again {
        turns += 1;
    }
    assert!(turns >= 1000 / 64);
    assert_eq!(stream.0.borrow().taken.len(), 4000);
}

#[test]
fn only_whole_queries_and_taken_replies_are_progress() {
    let (mut connection, stream, start) = connected(0);
    let after = |seconds| start + Duration::from_secs(seconds);
    let turn = |connection: &mut Connection<Stream>, seconds| {
        assert_eq!(connection.turn(after(seconds), &mut echo), Next::Wait);
        connection.progressed()
    };
    for (seconds, octet) in [(1, 0), (2, 2), (3, b'a')] {
        stream.0.borrow_mut().sends.push_back(vec![octet]);
        assert_eq!(turn(&mut connection, seconds), start, "an octet is no query");
    }
    assert!(!connection.has_asked() && !connection.is_settled());
    stream.0.borrow_mut().sends.push_back(vec![b'b']);
    assert_eq!(turn(&mut connection, 4), after(4));
    assert!(connection.has_asked() && !connection.is_settled());
    for seconds in 5..8 {
        stream.0.borrow_mut().takes = 1;
        assert_eq!(turn(&mut connection, seconds), after(4), "an octet is no reply");
    }
    stream.0.borrow_mut().takes = 1;
    assert_eq!(turn(&mut connection, 8), after(8));
    assert!(connection.is_settled());
    assert_eq!(connection.age(after(9)), Duration::from_secs(9));
}

#[test]
fn a_claimed_length_takes_no_memory() {
    let (mut connection, stream, now) = connected(usize::MAX);
    let message = framed(&[b'x'; 65_535]);
    let mut sent = 0;
    for piece in message.chunks(1000) {
        stream.0.borrow_mut().sends.push_back(piece.to_vec());
        sent += piece.len();
        assert_eq!(connection.turn(now, &mut echo), Next::Wait);
        assert!(connection.buffered_bytes() <= (2 * sent).max(4096) + 4096, "after {sent}");
    }
    assert_eq!(stream.0.borrow().taken.len(), message.len());
    assert!(connection.buffered_bytes() <= 8192, "and gives it back");
}

/// TCP bounds low enough to meet.
fn bounds(idle_limit: Duration) -> TcpSettings {
    TcpSettings { idle_limit, total_limit: LONG, connections: 3, connections_per_prefix: 2 }
}

/// An engine on free ports of these addresses.
fn engine(addresses: &[SocketAddr], threads: usize, idle_limit: Duration) -> Engine {
    let engine = Engine::bind(addresses, threads, bounds(idle_limit)).unwrap();
    engine.start(&small_world().load().unwrap()).unwrap();
    engine
}

fn counter(engine: &Engine, counter: Counter) -> u64 {
    engine.counters()[counter as usize]
}

/// Waits for something that another thread does, at most some seconds.
fn eventually(is_so: impl Fn() -> bool) -> bool {
    let give_up = Instant::now() + Duration::from_secs(5);
    while !is_so() && Instant::now() < give_up {
        std::thread::sleep(Duration::from_millis(5));
    }
    is_so()
}

fn exchange(bind: SocketAddr, server: SocketAddr) -> (Vec<u8>, SocketAddr) {
    let socket = UdpSocket::bind(bind).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    socket.send_to(QUERY, server).unwrap();
    let mut reply = [0; 600];
    let (length, from) = socket.recv_from(&mut reply).unwrap();
    (reply[..length].to_vec(), from)
}

#[test]
fn wildcards_answer_from_the_address_that_was_asked() {
    let any4 = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
    let any6 = SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0));
    let engine = engine(&[any4, any6], 2, IDLE);
    let server4 = SocketAddr::from(([127, 0, 0, 9], engine.ports()[0]));
    let server6 = SocketAddr::from((Ipv6Addr::LOCALHOST, engine.ports()[1]));
    for (bind, server) in [(any4, server4), (any6, server6)] {
        for _ in 0..20 {
            let (reply, from) = exchange(bind, server);
            assert_eq!((from, &reply[..2], reply[7]), (server, &QUERY[..2], 1));
        }
    }
    engine.stop();
    assert_eq!(counter(&engine, Counter::QueriesUdp), 40);
    assert_eq!(counter(&engine, Counter::SendErrors), 0);
}

#[test]
fn a_swap_changes_answers_and_a_stop_ends_threads() {
    let engine = engine(&[SocketAddr::from(([127, 0, 0, 1], 0))], 1, IDLE);
    let server = SocketAddr::from(([127, 0, 0, 1], engine.ports()[0]));
    let bind = SocketAddr::from(([127, 0, 0, 1], 0));
    assert_eq!(exchange(bind, server).0.last(), Some(&0));
    let mut world = small_world();
    world.choices.choices[0].set_a = 10;
    let other = world.load().unwrap();
    engine.swap(&other).unwrap();
    assert_eq!(exchange(bind, server).0.last(), Some(&5));
    assert!(engine.start(&other).is_err());
    engine.stop();
    engine.stop();
    assert!(engine.swap(&other).is_err());
}

#[test]
fn tcp_answers_and_keeps_its_bounds() {
    let engine = engine(&[SocketAddr::from(([127, 0, 0, 1], 0))], 1, IDLE);
    let server = SocketAddr::from(([127, 0, 0, 1], engine.ports()[0]));
    let mut first = TcpStream::connect(server).unwrap();
    first.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    first.write_all(&[framed(QUERY), framed(QUERY)].concat()).unwrap();
    let mut replies = vec![0; 2 * (2 + QUERY.len() + 16)];
    first.read_exact(&mut replies).unwrap();
    assert_eq!(replies[2..4], QUERY[..2]);
    let _second = TcpStream::connect(server).unwrap();
    let mut third = TcpStream::connect(server).unwrap();
    third.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    assert!(matches!(third.read(&mut [0]), Ok(0) | Err(_)), "a third from one /24 is closed at once");
    assert!(eventually(|| counter(&engine, Counter::TcpRefused) == 1));
    drop(first);
    assert!(eventually(
        || TcpStream::connect(server).is_ok() && counter(&engine, Counter::TcpConnections) > 2
    ));
}

#[test]
fn tcp_ends_what_is_idle() {
    let engine = engine(&[SocketAddr::from(([127, 0, 0, 1], 0))], 1, Duration::from_millis(1));
    let server = SocketAddr::from(([127, 0, 0, 1], engine.ports()[0]));
    let mut idle = TcpStream::connect(server).unwrap();
    idle.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    assert_eq!(idle.read(&mut [0]).unwrap_err().kind(), ErrorKind::ConnectionReset);
    assert!(eventually(|| counter(&engine, Counter::TcpTimeouts) == 1));
}

#[test]
fn tcp_ends_what_is_no_query() {
    let engine = engine(&[SocketAddr::from(([127, 0, 0, 1], 0))], 1, IDLE);
    let server = SocketAddr::from(([127, 0, 0, 1], engine.ports()[0]));
    let mut short = TcpStream::connect(server).unwrap();
    short.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    short.write_all(&framed(b"short")).unwrap();
    assert_eq!(short.read(&mut [0]).unwrap(), 0);
    assert!(eventually(|| counter(&engine, Counter::DroppedShort) == 1));
}

#[test]
fn an_address_that_is_taken_is_named() {
    let address = SocketAddr::from(([127, 0, 0, 1], 0));
    let tcp = bounds(IDLE);
    let first = Engine::bind(&[address], 1, tcp).unwrap();
    let taken = SocketAddr::from(([127, 0, 0, 1], first.ports()[0]));
    let fault = Engine::bind(&[taken], 1, tcp).err().unwrap();
    assert_eq!((fault.address, fault.error.kind()), (taken, ErrorKind::AddrInUse));
    assert!(fault.to_string().starts_with(&taken.to_string()));
}

#[test]
fn a_file_is_loaded_whole_or_refused() {
    let path = std::env::temp_dir().join(format!("steer-loaded-{}", std::process::id()));
    std::fs::write(&path, b"some bytes").unwrap();
    assert_eq!(&LoadedFile::open(&path).unwrap()[..], b"some bytes");
    std::fs::write(&path, b"").unwrap();
    assert!(LoadedFile::open(&path).is_err());
    std::fs::remove_file(&path).unwrap();
    assert_eq!(LoadedFile::open(&path).unwrap_err().kind(), ErrorKind::NotFound);
}
