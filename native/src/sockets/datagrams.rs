//! Batches of datagrams: one system call receives up to 64, one sends all replies. All buffers are made once.
use std::io::{self, ErrorKind};
use std::mem;
use std::net::UdpSocket;
use std::ops::Range;
use std::os::fd::AsRawFd;
use std::ptr;

use super::bind::{Fragmentation, set_fragmentation};
use crate::answer::{BATCH, Request, UDP_REPLY_BYTES};

/// No datagram is cut: its length fits in 16 bits. Memory that none reaches is never touched.
const PACKET_BYTES: usize = 65_535;
/// Buffers are a cache line more than whole pages apart: their starts would else all compete for the same
/// lines of L1.
const PACKET_STRIDE: usize = PACKET_BYTES.next_multiple_of(PAGE_BYTES) + LINE_BYTES;
const REPLY_STRIDE: usize = UDP_REPLY_BYTES.next_multiple_of(PAGE_BYTES) + LINE_BYTES;
const PAGE_BYTES: usize = 4096;
const LINE_BYTES: usize = 64;
/// Holds one IP_PKTINFO or IPV6_PKTINFO.
const CONTROL_BYTES: usize = 64;

/// Ancillary data of one datagram: on which address it came.
#[derive(Clone, Copy)]
#[repr(C, align(8))]
struct Control([u8; CONTROL_BYTES]);

/// Room for a batch of datagrams and their replies. Pointers inside lead from headers to the other fields,
/// whose heap blocks stay where they are as long as the batch lives.
pub(super) struct Datagrams {
    packets: Box<[u8]>,
    replies: Box<[u8]>,
    sources: Box<[libc::sockaddr_in6]>, // large enough for sockaddr_in too
    controls: Box<[Control]>,
    packet_vectors: Box<[libc::iovec]>,
    reply_vectors: Box<[libc::iovec]>,
    incoming: Box<[libc::mmsghdr]>,
    outgoing: Box<[libc::mmsghdr]>,
    reply_lengths: [usize; BATCH],
    received: usize,
    has_controls: bool,
}

// SAFETY: the pointers inside lead to heap blocks that the value itself owns, wherever it is moved.
unsafe impl Send for Datagrams {}

impl Datagrams {
    /// Room for 64. `has_controls`: replies are to leave from the address that was asked.
    pub(super) fn new(has_controls: bool) -> Self {
        // SAFETY: all three are plain C structs of integers and pointers, of which all bits zero is a value.
        let (source, vector, header) =
            unsafe { (mem::zeroed::<libc::sockaddr_in6>(), mem::zeroed::<libc::iovec>(), mem::zeroed()) };
        let mut room = Self {
            packets: vec![0; BATCH * PACKET_STRIDE].into(),
            replies: vec![0; BATCH * REPLY_STRIDE].into(),
            sources: vec![source; BATCH].into(),
            controls: vec![Control([0; CONTROL_BYTES]); BATCH].into(),
            packet_vectors: vec![vector; BATCH].into(),
            reply_vectors: vec![vector; BATCH].into(),
            incoming: vec![header; BATCH].into(),
            outgoing: vec![header; BATCH].into(),
            reply_lengths: [0; BATCH],
            received: BATCH,
            has_controls,
        };
        for (index, packet) in room.packets.chunks_exact_mut(PACKET_STRIDE).enumerate() {
            room.packet_vectors[index] =
                libc::iovec { iov_base: packet.as_mut_ptr().cast(), iov_len: PACKET_BYTES };
            let header = &mut room.incoming[index].msg_hdr;
            header.msg_name = (&raw mut room.sources[index]).cast();
            header.msg_iov = &raw mut room.packet_vectors[index];
            header.msg_iovlen = 1;
            if has_controls {
                header.msg_control = (&raw mut room.controls[index]).cast();
            }
        }
        room
    }

    /// Waits for at least one datagram, and takes those that are there, at most 64. `flags`: MSG_WAITFORONE
    /// or MSG_DONTWAIT.
    pub(super) fn receive(&mut self, socket: &UdpSocket, flags: libc::c_int) -> io::Result<usize> {
        for header in &mut self.incoming[..self.received] {
            // The kernel has shortened both.
            header.msg_hdr.msg_namelen = size_of::<libc::sockaddr_in6>() as libc::socklen_t;
            header.msg_hdr.msg_controllen = if self.has_controls { CONTROL_BYTES } else { 0 };
        }
        self.received = 0;
        // SAFETY: the headers are as many as said, and lead to buffers of the stated lengths that nobody else
        // borrows.
        let received = unsafe {
            libc::recvmmsg(
                socket.as_raw_fd(),
                self.incoming.as_mut_ptr(),
                BATCH as libc::c_uint,
                flags,
                ptr::null_mut(),
            )
        };
        self.received = usize::try_from(received).map_err(|_| io::Error::last_os_error())?;
        Ok(self.received)
    }

    /// Has `answer` turn the datagrams received into replies: it gets the requests, the reply buffers, how
    /// far apart these are, and where to put the replies' lengths.
    pub(super) fn answer(&mut self, answer: impl FnOnce(&[Request<'_>], &mut [u8], usize, &mut [usize])) {
        let empty = Request { packet: &[], source: 0, is_tcp: false };
        let mut requests = [empty; BATCH];
        let packets = self.packets.chunks_exact(PACKET_STRIDE).zip(&self.incoming).zip(&self.sources);
        for (request, ((packet, header), source)) in requests[..self.received].iter_mut().zip(packets) {
            let length = (header.msg_len as usize).min(PACKET_BYTES);
            *request = Request { packet: &packet[..length], source: address_of(source), is_tcp: false };
        }
        answer(
            &requests[..self.received],
            &mut self.replies,
            REPLY_STRIDE,
            &mut self.reply_lengths[..self.received],
        );
    }

    /// Sends the replies; returns how many could not be sent.
    pub(super) fn send(&mut self, socket: &UdpSocket) -> u64 {
        let count = self.prepare_replies();
        let (mut sent, mut failed) = (0, 0);
        while sent < count {
            match self.send_some(socket, sent..count) {
                Ok(step) => sent += step,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => {
                    // The first of the rest is at fault.
                    let is_large = error.raw_os_error() == Some(libc::EMSGSIZE);
                    let is_sent = is_large && self.send_in_fragments(socket, sent);
                    (sent, failed) = (sent + 1, failed + u64::from(!is_sent));
                }
            }
        }
        failed
    }

    /// Sends a reply that is larger than the interface's MTU: whoever sets `udp_bytes` so high wants it sent
    /// all the same.
    fn send_in_fragments(&mut self, socket: &UdpSocket, index: usize) -> bool {
        let is_ipv6 = libc::c_int::from(self.sources[0].sin6_family) == libc::AF_INET6;
        let is_sent = set_fragmentation(socket, is_ipv6, Fragmentation::IfNeeded)
            .and_then(|()| self.send_some(socket, index..index + 1))
            .is_ok();
        set_fragmentation(socket, is_ipv6, Fragmentation::Never).is_ok() && is_sent
    }

    fn send_some(&mut self, socket: &UdpSocket, range: Range<usize>) -> io::Result<usize> {
        let headers = &mut self.outgoing[range];
        // SAFETY: as for receiving; all headers in the range were made for this batch.
        let sent = unsafe {
            libc::sendmmsg(socket.as_raw_fd(), headers.as_mut_ptr(), headers.len() as libc::c_uint, 0)
        };
        usize::try_from(sent).ok().filter(|&sent| sent > 0).ok_or_else(io::Error::last_os_error)
    }

    fn prepare_replies(&mut self) -> usize {
        let mut count = 0;
        for (index, reply) in self.replies.chunks_exact_mut(REPLY_STRIDE).enumerate().take(self.received) {
            let length = self.reply_lengths[index];
            if length == 0 {
                continue;
            }
            self.reply_vectors[count] = libc::iovec { iov_base: reply.as_mut_ptr().cast(), iov_len: length };
            let asked = &self.incoming[index].msg_hdr;
            let header = &mut self.outgoing[count].msg_hdr;
            header.msg_name = asked.msg_name;
            header.msg_namelen = asked.msg_namelen;
            header.msg_iov = &raw mut self.reply_vectors[count];
            header.msg_iovlen = 1;
            if self.has_controls {
                let control = &mut self.controls[index].0;
                header.msg_controllen = leave_route_open(control, asked.msg_controllen);
                header.msg_control =
                    if header.msg_controllen > 0 { asked.msg_control } else { ptr::null_mut() };
            }
            count += 1;
        }
        count
    }
}

/// The address of a datagram; IPv4 as ::ffff:a.b.c.d.
fn address_of(source: &libc::sockaddr_in6) -> u128 {
    if libc::c_int::from(source.sin6_family) == libc::AF_INET6 {
        return u128::from_be_bytes(source.sin6_addr.s6_addr);
    }
    // A sockaddr_in has its address where a sockaddr_in6 has its flow information, after family and port.
    0xffff_0000_0000 | u128::from(u32::from_be(source.sin6_flowinfo))
}

/// Turns "came in on this address and interface" into "leave from this address": the interface is routing's
/// to choose, except for link-local addresses. Returns how many octets of ancillary data go out.
fn leave_route_open(control: &mut [u8; CONTROL_BYTES], length: usize) -> usize {
    const HEADER: usize = size_of::<libc::cmsghdr>();
    let number =
        |at: usize| control[at..].first_chunk().map_or(0, |&octets| libc::c_int::from_ne_bytes(octets));
    let level_at = mem::offset_of!(libc::cmsghdr, cmsg_level);
    let kind = (number(level_at), number(mem::offset_of!(libc::cmsghdr, cmsg_type)));
    let interface_at = match kind {
        _ if length < HEADER + size_of::<libc::in_pktinfo>() => return 0,
        (libc::IPPROTO_IP, libc::IP_PKTINFO) => HEADER + mem::offset_of!(libc::in_pktinfo, ipi_ifindex),
        (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO)
            if control[HEADER] == 0xfe && control[HEADER + 1] & 0xc0 == 0x80 =>
        {
            return length;
        }
        (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO) => HEADER + mem::offset_of!(libc::in6_pktinfo, ipi6_ifindex),
        _ => return 0,
    };
    control[interface_at..interface_at + size_of::<libc::c_int>()].fill(0);
    length
}
