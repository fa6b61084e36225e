//! Opens the sockets of a nameserver: per listen address one UDP socket per thread, and one TCP listener.
use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener, UdpSocket};
use std::os::fd::AsRawFd;
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};

const SOCKET_BUFFER_BYTES: usize = 4 << 20; // hides a tick's pause of some milliseconds at full load
const TCP_BACKLOG: i32 = 1024;
const TCP_BUFFER_BYTES: usize = 32 << 10; // the kernel doubles it; what is set does not grow by itself
const TCP_UNSENT_BYTES: libc::c_int = 16 << 10;
const PORT_TRIES: usize = 16; // a port that is free for UDP can be taken for TCP
/// How long a blocking call may take before its thread looks whether it is to stop.
const WAKE_INTERVAL: Duration = Duration::from_millis(100);

/// A listen address, open.
#[derive(Debug)]
pub(super) struct Listener {
    pub(super) port: u16,
    pub(super) udp: Vec<UdpSocket>,
    pub(super) tcp: TcpListener,
    /// Any local address may be asked: the kernel has to say which, and replies leave from it.
    pub(super) is_wildcard: bool,
}

/// An address that could not be listened on.
#[derive(Debug)]
pub struct BindError {
    /// Address and port.
    pub address: SocketAddr,
    /// What the system said.
    pub error: io::Error,
}

impl fmt::Display for BindError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.address, self.error)
    }
}

impl std::error::Error for BindError {}

impl Listener {
    /// Opens all sockets of an address; port 0: one that is free for UDP and TCP.
    pub(super) fn bind(address: SocketAddr, threads: usize) -> Result<Self, BindError> {
        let tries = if address.port() == 0 { PORT_TRIES } else { 1 };
        let mut result = Self::try_bind(address, threads);
        for _ in 1..tries {
            if result.is_ok() {
                break;
            }
            result = Self::try_bind(address, threads);
        }
        result.map_err(|error| BindError { address, error })
    }

    fn try_bind(mut address: SocketAddr, threads: usize) -> io::Result<Self> {
        let mut udp = Vec::with_capacity(threads);
        for _ in 0..threads {
            let socket = udp_socket(address)?;
            address.set_port(socket.local_addr()?.port());
            udp.push(socket);
        }
        let tcp = tcp_listener(address)?;
        let port = tcp.local_addr()?.port();
        Ok(Self { port, udp, tcp, is_wildcard: address.ip().is_unspecified() })
    }
}

fn udp_socket(address: SocketAddr) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    only_own_family(&socket, address)?;
    socket.set_reuse_port(true)?;
    enlarge_buffers(&socket);
    set_fragmentation(&socket, address.is_ipv6(), Fragmentation::Never)?;
    match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => set_flag(&socket, libc::IPPROTO_IP, libc::IP_PKTINFO)?,
        IpAddr::V6(ip) if ip.is_unspecified() => {
            set_flag(&socket, libc::IPPROTO_IPV6, libc::IPV6_RECVPKTINFO)?
        }
        _ => {}
    }
    socket.set_read_timeout(Some(WAKE_INTERVAL))?;
    socket.set_write_timeout(Some(WAKE_INTERVAL))?;
    socket.bind(&address.into())?;
    Ok(socket.into())
}

/// Whatever is set here, Linux hands on to the connections that are accepted.
fn tcp_listener(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    only_own_family(&socket, address)?;
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.set_recv_buffer_size(TCP_BUFFER_BYTES)?;
    socket.set_send_buffer_size(TCP_BUFFER_BYTES)?;
    set_option(&socket, libc::IPPROTO_TCP, libc::TCP_NOTSENT_LOWAT, TCP_UNSENT_BYTES)?;
    socket.set_tcp_nodelay(true)?; // replies are written whole
    socket.set_linger(Some(Duration::ZERO))?; // closing resets, unless told otherwise
    socket.bind(&address.into())?;
    socket.listen(TCP_BACKLOG)?;
    Ok(socket.into())
}

/// So that `[::]` and `0.0.0.0` can be listened on together, whatever the system's default.
fn only_own_family(socket: &Socket, address: SocketAddr) -> io::Result<()> {
    if address.is_ipv6() { socket.set_only_v6(true) } else { Ok(()) }
}

/// As large as the system allows; a smaller one serves too.
fn enlarge_buffers(socket: &Socket) {
    let forced =
        set_option(socket, libc::SOL_SOCKET, libc::SO_RCVBUFFORCE, SOCKET_BUFFER_BYTES as libc::c_int);
    if forced.is_err() {
        let _ = socket.set_recv_buffer_size(SOCKET_BUFFER_BYTES); // up to net.core.rmem_max
    }
    let _ = socket.set_send_buffer_size(SOCKET_BUFFER_BYTES);
}

/// What becomes of a datagram that is larger than a link on its way.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Fragmentation {
    /// It is lost there, or refused here, whatever was ever heard of the path's MTU (RFC 9715 section 3.1):
    /// whoever forges "too big" messages gains nothing. It also saves the kernel the making of an
    /// identification for each datagram.
    Never,
    /// It is cut into fragments.
    IfNeeded,
}

/// Says how datagrams are sent from now on.
pub(super) fn set_fragmentation(
    socket: &impl AsRawFd,
    is_ipv6: bool,
    fragmentation: Fragmentation,
) -> io::Result<()> {
    let (level, option, value) = match (is_ipv6, fragmentation) {
        (false, Fragmentation::Never) => (libc::IPPROTO_IP, libc::IP_MTU_DISCOVER, libc::IP_PMTUDISC_PROBE),
        (false, Fragmentation::IfNeeded) => (libc::IPPROTO_IP, libc::IP_MTU_DISCOVER, libc::IP_PMTUDISC_DONT),
        (true, Fragmentation::Never) => {
            (libc::IPPROTO_IPV6, libc::IPV6_MTU_DISCOVER, libc::IPV6_PMTUDISC_PROBE)
        }
        (true, Fragmentation::IfNeeded) => {
            (libc::IPPROTO_IPV6, libc::IPV6_MTU_DISCOVER, libc::IPV6_PMTUDISC_DONT)
        }
    };
    set_option(socket, level, option, value)
}

fn set_flag(socket: &Socket, level: libc::c_int, option: libc::c_int) -> io::Result<()> {
    set_option(socket, level, option, 1)
}

fn set_option(
    socket: &impl AsRawFd,
    level: libc::c_int,
    option: libc::c_int,
    value: libc::c_int,
) -> io::Result<()> {
    let length = size_of_val(&value) as libc::socklen_t;
    // SAFETY: the descriptor is open, and the option is read from `length` bytes that live through the call.
    let result =
        unsafe { libc::setsockopt(socket.as_raw_fd(), level, option, (&raw const value).cast(), length) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
