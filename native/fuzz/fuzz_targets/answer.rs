//! Claims: whatever comes, the reply is nothing or one whole DNS message to it, within its limit, and the same
//! when it is asked again and among others; and answering allocates nothing.
#![no_main]
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::{Cell, RefCell};
use std::path::Path;

use _native::answer::Request;
use libfuzzer_sys::fuzz_target;
use steer_native_fuzz::{Fuzzed, Input, Limit, REPLY_BYTES, WORLDS};

const HEADER_BYTES: usize = 12;
const UDP_BYTES: [usize; 4] = [1232, 1232, 1232, 4096]; // by world
const OTHER: &[u8] = b"\x12\x34\x01\0\0\x01\0\0\0\0\0\0\x03www\x03cdn\x07example\0\0\x1c\0\x01"; // steered

const OPT: u16 = 41;
const RRSIG: u16 = 46;
const OPTIONS: [u16; 4] = [8, 10, 3, 15]; // ECS, COOKIE, NSID, EDE: in this order

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
    static FUZZED: RefCell<Fuzzed> = RefCell::new(Fuzzed::load(Path::new(WORLDS)));
}

/// Counts what is allocated.
struct Counting;

// SAFETY: both functions only pass on what they are given.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.with(|count| count.set(count.get() + 1));
        // SAFETY: as the caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as the caller promises.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fuzz_target!(|octets: &[u8]| {
    let Some(input) = Input::read(octets) else { return };
    FUZZED.with_borrow_mut(|fuzzed| {
        let allocated = ALLOCATIONS.with(Cell::get);
        let reply = fuzzed.answer(&input);
        assert_eq!(ALLOCATIONS.with(Cell::get), allocated, "answering allocates nothing");
        let reply = reply.to_vec();
        check(&input, &reply);
        assert_eq!(fuzzed.answer(&input), reply, "the same again");
        if input.limit == Limit::None {
            let other = Request { packet: OTHER, ..input.request };
            let together = [other, input.request, other, input.request];
            let replies = fuzzed.answer_all(&input, &together);
            assert!(replies.skip(1).step_by(2).all(|again| again == reply), "the same among others");
        }
    });
});

fn check(input: &Input<'_>, reply: &[u8]) {
    let Request { packet: query, is_tcp, .. } = input.request;
    if query.len() < HEADER_BYTES || query[2] & 0x80 != 0 {
        assert!(reply.is_empty(), "no query, so no reply");
        return;
    }
    if reply.is_empty() {
        assert!(input.limit == Limit::Drop && !is_tcp, "only the rate limit drops");
        return;
    }
    let limit = if is_tcp { REPLY_BYTES } else { UDP_BYTES[input.world] };
    assert!((HEADER_BYTES..=limit).contains(&reply.len()), "{} octets", reply.len());
    assert_eq!(reply[..2], query[..2], "ID");
    assert_eq!(reply[2] & 0xf9, query[2] & 0x79 | 0x80, "QR is set, opcode and RD are copied");
    assert_eq!(reply[3] & 0xf0, query[3] & 0x10, "CD is copied; RA, Z and AD are 0");
    let [questions, answers, authorities, additionals] = [4, 6, 8, 10].map(|at| u16_at(reply, at));
    assert!(questions <= 1);
    let mut at = HEADER_BYTES;
    for _ in 0..questions {
        at = name_end(reply, at) + 4;
        assert_eq!(reply[HEADER_BYTES..at], query[HEADER_BYTES..at], "the question as it was asked");
    }
    let (mut opts, records, mut before) = (0, answers + authorities + additionals, 0);
    for number in 0..records {
        at = name_end(reply, at);
        let kind = u16_at(reply, at);
        let rdata = &reply[at + 10..][..usize::from(u16_at(reply, at + 8))];
        match kind {
            OPT => {
                opts += 1;
                assert_eq!(number, records - 1, "OPT comes last");
                check_options(rdata);
            }
            RRSIG if before != 0 && before != RRSIG => assert_eq!(u16_at(rdata, 0), before, "what it signs"),
            _ => {}
        }
        before = kind;
        at += 10 + rdata.len();
    }
    assert_eq!(at, reply.len(), "all sections and nothing else");
    assert!(opts <= 1);
    assert!(reply[2] & 2 == 0 || records == opts, "what is truncated is empty");
}

/// The options stand in their order, none twice.
fn check_options(mut rest: &[u8]) {
    let mut next = 0;
    while !rest.is_empty() {
        let code = u16_at(rest, 0);
        let place = OPTIONS.iter().position(|&known| known == code).expect("an option that is known");
        assert!(place >= next, "option {code} stands too late");
        next = place + 1;
        rest = &rest[4 + usize::from(u16_at(rest, 2))..];
    }
}

/// Where a name ends; it may point back, to where a name stands, and has at most 255 octets.
fn name_end(reply: &[u8], start: usize) -> usize {
    let (mut at, mut end, mut octets) = (start, None, 1);
    loop {
        let length = usize::from(reply[at]);
        match length {
            0 => return end.unwrap_or(at + 1),
            1..=63 => (at, octets) = (at + 1 + length, octets + 1 + length),
            _ => {
                assert!(length >= 0xc0, "label type");
                let target = usize::from(u16_at(reply, at) & 0x3fff);
                assert!((HEADER_BYTES..at).contains(&target), "a pointer leads back");
                (at, end) = (target, end.or(Some(at + 2)));
            }
        }
        assert!(octets <= 255);
    }
}

fn u16_at(octets: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([octets[at], octets[at + 1]])
}
