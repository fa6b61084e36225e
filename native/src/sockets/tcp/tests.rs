//! The TCP service over loopback, with a clock that the tests turn: no event is waited for, and none is lost.
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream as Client};
use std::os::fd::AsRawFd;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::mpsc;
use std::thread;

use socket2::{Domain, Socket, Type};

use super::super::bind::Listener;
use super::*;
use crate::snapshot::builder::small_world;

const IDLE: Duration = Duration::from_secs(10);
const TOTAL: Duration = Duration::from_secs(300);
const INSTANT: Duration = Duration::from_millis(1);
const PATIENCE: Duration = Duration::from_secs(5); // of a test that hangs

struct World {
    server: TcpServer,
    port: u16,
    now: Instant,
}

impl World {
    /// A server with three places, two for each /24.
    fn new() -> Self {
        let listener = Listener::bind(SocketAddr::from(([127, 0, 0, 1], 0)), 1).unwrap();
        let settings =
            TcpSettings { idle_limit: IDLE, total_limit: TOTAL, connections: 3, connections_per_prefix: 2 };
        let server = TcpServer::new(vec![listener.tcp], settings, Arc::default()).unwrap();
        Self { server, port: listener.port, now: Instant::now() }
    }

    /// Connects from 127.`network`.0.1, has it accepted, and lets a millisecond pass.
    fn connect(&mut self, network: u8) -> Client {
        let client = connect(network, self.port);
        self.server.accept(0, self.now);
        self.now += INSTANT;
        client
    }

    /// Sends a message, has it answered, and returns the reply's octets; a millisecond passes.
    fn ask(&mut self, client: &mut Client, message: &[u8]) -> Vec<u8> {
        client.write_all(&framed(message)).unwrap();
        self.turn_all();
        let mut reply = vec![0; message.len() + 2];
        client.read_exact(&mut reply).unwrap();
        reply.split_off(2)
    }

    fn turn_all(&mut self) {
        for slot in 0..3 {
            self.server.turn(slot, self.now, &mut echo);
        }
        self.now += INSTANT;
    }

    /// Lets time pass, and gives a turn to those who then have one.
    fn pass(&mut self, time: Duration) {
        self.now += time;
        self.server.tick(self.now);
        for token in std::mem::take(&mut self.server.ready) {
            if let Some(slot) = token.checked_sub(self.server.listeners.len()) {
                self.server.turn(slot, self.now, &mut echo);
            }
        }
    }

    fn counts<const N: usize>(&self, counters: [Counter; N]) -> [u64; N] {
        counters.map(|counter| self.server.counters.plain()[counter as usize])
    }
}

fn connect(network: u8, port: u16) -> Client {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from(([127, network, 0, 1], 0)).into()).unwrap();
    socket.connect(&SocketAddr::from((Ipv4Addr::LOCALHOST, port)).into()).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket.set_tcp_nodelay(true).unwrap();
    socket.into()
}

fn framed(message: &[u8]) -> Vec<u8> {
    [&(message.len() as u16).to_be_bytes(), message].concat()
}

fn echo(message: &[u8], _source: u128, output: &mut Vec<u8>) -> bool {
    output.extend_from_slice(message);
    true
}

/// How a connection ended, for its client: `Some(false)` by a reset; None where it has not.
fn is_finished(client: &mut Client) -> Option<bool> {
    client.set_nonblocking(true).unwrap();
    let read = client.read(&mut [0]);
    client.set_nonblocking(false).unwrap();
    match read {
        Ok(0) => Some(true),
        Err(error) if error.kind() == ErrorKind::ConnectionReset => Some(false),
        Err(error) if error.kind() == ErrorKind::WouldBlock => None,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_newcomer_takes_the_place_of_the_idlest() {
    let mut world = World::new();
    let mut dribbling = world.connect(1);
    let mut first = world.connect(2);
    let mut second = world.connect(3);
    dribbling.write_all(&framed(b"half")[..4]).unwrap();
    for client in [&mut second, &mut first] {
        assert_eq!(world.ask(client, b"asks"), b"asks");
    }
    let mut fourth = world.connect(4);
    assert_eq!(is_finished(&mut dribbling), Some(false), "an octet is no query");
    assert_eq!(world.ask(&mut second, b"again"), b"again");
    let mut fifth = world.connect(5);
    assert_eq!(is_finished(&mut first), Some(false), "idler than the one whose query is on its way");
    for client in [&mut second, &mut fourth, &mut fifth] {
        assert_eq!(world.ask(client, b"still here"), b"still here");
    }
    let counters = [Counter::TcpConnections, Counter::TcpEvicted, Counter::TcpRefused, Counter::TcpTimeouts];
    assert_eq!(world.counts(counters), [5, 2, 0, 0]);
}

#[test]
fn a_flood_of_silent_connections_leaves_half_of_the_places_to_those_that_ask() {
    let mut world = World::new();
    let mut asking = world.connect(1);
    assert_eq!(world.ask(&mut asking, b"asks"), b"asks");
    let mut silent: Vec<Client> = (2..40).map(|network| world.connect(network)).collect();
    assert_eq!(world.ask(&mut asking, b"is still here"), b"is still here");
    let ended: Vec<_> = silent.iter_mut().map(is_finished).collect();
    assert_eq!(ended[36..], [None, None], "the latest");
    assert!(ended[..36].iter().all(|&ended| ended == Some(false)));
    assert_eq!(world.counts([Counter::TcpConnections, Counter::TcpEvicted]), [39, 36]);
}

#[test]
fn one_prefix_evicts_nobody_beyond_its_share() {
    let mut world = World::new();
    let mut other = world.connect(1);
    let mut own = [world.connect(2), world.connect(2)];
    for _ in 0..20 {
        let mut refused = world.connect(2);
        assert_eq!(is_finished(&mut refused), Some(false));
    }
    assert_eq!(is_finished(&mut other), None);
    assert_eq!(world.ask(&mut own[0], b"served"), b"served");
    assert_eq!(world.counts([Counter::TcpEvicted, Counter::TcpRefused]), [0, 20]);
    drop(own);
    world.turn_all();
    let mut again = world.connect(2);
    assert_eq!(world.ask(&mut again, b"free again"), b"free again");
    assert!(world.server.per_prefix.len() <= 2);
}

#[test]
fn what_makes_no_progress_is_reset() {
    let mut world = World::new();
    let (mut silent, mut dribbling, mut asking) = (world.connect(1), world.connect(2), world.connect(3));
    let octets = [&framed(&[1; 300])[..], &[0]].concat();
    for octet in octets.iter().take(9) {
        dribbling.write_all(&[*octet]).unwrap();
        world.turn_all();
        assert_eq!(world.ask(&mut asking, b"asks"), b"asks");
        world.pass(Duration::from_secs(1));
        assert_eq!(is_finished(&mut silent), None);
    }
    world.pass(Duration::from_secs(1));
    assert_eq!((is_finished(&mut silent), is_finished(&mut dribbling)), (Some(false), Some(false)));
    assert_eq!(world.ask(&mut asking, b"asks"), b"asks");
    assert_eq!(world.counts([Counter::TcpTimeouts, Counter::TcpEvicted]), [2, 0]);
}

#[test]
fn after_its_time_a_connection_ends_once_all_is_answered() {
    let mut world = World::new();
    let (mut resting, mut busy, mut greedy) = (world.connect(1), world.connect(2), world.connect(3));
    greedy.write_all(&framed(b"begun")[..4]).unwrap();
    let mut asked = Duration::ZERO;
    while asked < TOTAL {
        for client in [&mut resting, &mut busy] {
            assert_eq!(world.ask(client, b"asks"), b"asks");
        }
        greedy.write_all(&[b"gun", &framed(b"begun")[..4]].concat()).unwrap();
        (world.now, asked) = (world.now + IDLE / 2, asked + IDLE / 2);
        assert_eq!(is_finished(&mut resting), None);
    }
    busy.write_all(&framed(b"last")).unwrap();
    world.pass(Duration::ZERO);
    assert_eq!(is_finished(&mut resting), Some(true), "not by a reset");
    let mut last = Vec::new();
    busy.read_to_end(&mut last).unwrap();
    assert_eq!(last, framed(b"last"));
    assert_eq!(world.counts([Counter::TcpTimeouts]), [2]);
    let mut ended = Duration::ZERO;
    while world.server.slots[2].is_some() {
        greedy.write_all(&[b"gun", &framed(b"begun")[..4]].concat()).unwrap();
        world.turn_all();
        world.pass(IDLE / 5);
        ended += IDLE / 5;
    }
    assert!(ended <= IDLE, "always half a query on the way helps nobody");
}

#[test]
fn what_was_asked_in_time_is_answered_after_it() {
    let mut world = World::new();
    let mut client = world.connect(1);
    world.now += TOTAL - Duration::from_secs(1);
    let start = world.ask(&mut client, b"in time");
    assert_eq!(start, b"in time");
    client.write_all(&framed(b"a query in two pieces")[..9]).unwrap();
    world.turn_all();
    world.pass(Duration::from_secs(2));
    assert_eq!(is_finished(&mut client), None);
    client.write_all(&framed(b"a query in two pieces")[9..]).unwrap();
    world.turn_all();
    let mut reply = Vec::new();
    client.read_to_end(&mut reply).unwrap();
    assert_eq!(reply, framed(b"a query in two pieces"));
    assert_eq!(world.counts([Counter::TcpTimeouts]), [1]);
}

/// The bound of the module's text, for a peer that never reads.
#[test]
fn the_kernel_keeps_little_for_who_does_not_read() {
    let mut world = World::new();
    let client = world.connect(1);
    client.set_nonblocking(true).unwrap();
    let message = framed(&[7; 60_000]);
    let mut sent = 0;
    for _ in 0..2000 {
        sent += (&client).write(&message[sent % message.len()..]).unwrap_or(0);
        world.turn_all();
    }
    let peer = world.server.slots[0].as_mut().unwrap();
    assert!(!peer.connection.is_settled(), "it should have filled up");
    assert!(peer.connection.buffered_bytes() < 150 << 10, "{}", peer.connection.buffered_bytes());
    let stream = peer.connection.stream_mut();
    let unsent = queued(stream, libc::SIOCOUTQNSD);
    assert!(unsent <= 80 << 10, "{unsent} octets unsent in the kernel");
    let received = queued(stream, libc::FIONREAD);
    assert!(received <= 64 << 10, "{received} octets received in the kernel");
    let socket = SockRef::from(&*stream);
    assert_eq!(
        (socket.recv_buffer_size().unwrap(), socket.send_buffer_size().unwrap()),
        (64 << 10, 64 << 10)
    );
    assert!(socket.tcp_nodelay().unwrap());
    assert_eq!(socket.linger().unwrap(), Some(Duration::ZERO));
}

/// Octets in a queue of the kernel's.
fn queued(stream: &TcpStream, which: libc::c_ulong) -> libc::c_int {
    let mut octets = 0;
    // SAFETY: the descriptor is open, and the kernel writes one int, which lives through the call.
    let result = unsafe { libc::ioctl(stream.as_raw_fd(), which, &raw mut octets) };
    assert_eq!(result, 0);
    octets
}

/// The connection that is in hand dies; the others' events, which are lost with the stack, are made up for.
#[test]
fn a_panic_costs_one_connection() {
    let World { mut server, port, .. } = World::new();
    let listening = server.waker();
    let shared = Arc::new(Shared::new(&small_world().load().unwrap(), Arc::default(), Arc::default()));
    let (at_work, is_at_work) = mpsc::channel();
    let (go_on, may_go_on) = mpsc::channel::<()>();
    let mut answer = move |message: &[u8], source: u128, output: &mut Vec<u8>| {
        match message {
            b"wait" => {
                at_work.send(()).unwrap();
                may_go_on.recv().unwrap();
            }
            b"panic" => resume_unwind(Box::new("asked for")), // without a message
            _ => {}
        }
        echo(message, source, output)
    };
    let serving =
        {
            let shared = Arc::clone(&shared);
            thread::spawn(move || {
                while catch_unwind(AssertUnwindSafe(|| server.serve(&shared, &mut answer))).is_err() {}
            })
        };
    let mut busy = connect(1, port);
    let mut doomed = connect(2, port); // connected last, it has its turn before the other
    let queries = [framed(b"wait"), framed(b"many").repeat(200)].concat();
    busy.write_all(&queries).unwrap();
    is_at_work.recv_timeout(PATIENCE).unwrap();
    doomed.write_all(&framed(b"panic")).unwrap();
    go_on.send(()).unwrap();
    let mut replies = vec![0; queries.len()];
    busy.read_exact(&mut replies).unwrap();
    assert_eq!(replies, queries);
    assert_eq!(doomed.read(&mut [0]).unwrap_err().kind(), ErrorKind::ConnectionReset);
    shared.is_stopping.store(true, Ordering::Relaxed);
    listening.wake().unwrap();
    serving.join().unwrap();
}
