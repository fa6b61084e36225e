//! One query's turn: steps 1 to 8 of docs/snapshot_format.md before the look-ups of the batch, its reply after
//! them.
use super::choose::{self, Chosen, Client, Given};
use super::compose::{Composer, Naming, Task, capped};
use super::counters::Counter;
use super::limit::Verdict;
use super::resolve::{End, resolve};
use super::{Context, Request, Slot, Worth, address_bytes, addresses_key};
use crate::snapshot::Signatures;
use crate::wire::{
    Asked, Dropped, ExtendedError, Full, MAX_MESSAGE_BYTES, Malformed, Message, Outcome, PLAIN_UDP_BYTES,
    Parsed, Place, Rcode, Reads, ReplyOptions, Section, ServerText, bare_reply, kinds, parse,
};

/// What became of a query in the first stage.
pub(super) enum Begun {
    /// It was answered in so many octets, or in none.
    Replied(usize),
    /// Its client is to be looked up.
    Waits,
}

/// A query, what is known of it, and where its reply goes.
pub(super) struct Turn<'t> {
    pub(super) context: &'t Context<'t>,
    pub(super) request: &'t Request<'t>,
    pub(super) buffer: &'t mut [u8],
    pub(super) slot: &'t mut Slot,
    pub(super) naming: &'t mut Naming,
}

impl Turn<'_> {
    /// Answers whatever needs no look-up of a client; what does, waits in its slot.
    pub(super) fn begin(&mut self) -> Begun {
        let (request, counters, records) = (self.request, self.context.counters, self.context.view.records);
        counters.count(if request.is_tcp { Counter::QueriesTcp } else { Counter::QueriesUdp });
        self.slot.worth = Worth::default();
        let reads = Reads { ecs: records.steers(), cookies: records.has_cookies() };
        let parsed = parse(request.packet, &mut self.slot.asked, &mut self.naming.labels, reads);
        match parsed {
            Parsed::Dropped(dropped) => {
                counters.count(match dropped {
                    Dropped::Short => Counter::DroppedShort,
                    Dropped::Response => Counter::DroppedResponse,
                });
                return Begun::Replied(0);
            }
            Parsed::Bare(rcode) => return Begun::Replied(self.bare(rcode)),
            Parsed::CookieAlone | Parsed::Asked => {}
        }
        self.count_options();
        let is_known = self.judge_cookie();
        self.slot.worth.is_arrival = is_known || request.is_tcp; // such a source is where BGP brings it
        match self.verdict(is_known) {
            Verdict::Pass => {}
            Verdict::Drop => return Begun::Replied(self.dropped()),
            Verdict::Slip => return Begun::Replied(self.slip()),
        }
        let is_in_zones = matches!(self.slot.asked.place, Place::Zones);
        if parsed == Parsed::CookieAlone || !is_in_zones {
            return Begun::Replied(self.elsewhere(parsed));
        }
        self.begin_in_zones()
    }

    /// Chooses and writes the answer of one that waited.
    pub(super) fn finish(&mut self) -> usize {
        let (slot, context) = (&*self.slot, self.context);
        let (wanted, kind) = (slot.wanted, slot.asked.kind);
        let chosen = choose::choose(
            &context.view,
            wanted,
            kind,
            slot.steered,
            &slot.placed,
            slot.plan,
            context.counters,
        );
        match chosen.given {
            Given::Addresses(addresses) if slot.resolved.is_question_own() => {
                let signing = context.view.signatures.filter(|_| slot.asked.is_dnssec_ok());
                match signing {
                    None => self.reply_addresses(&chosen, addresses),
                    Some(_) if slot.resolved.wildcards > 0 => self.reply(Some(&chosen)),
                    Some(part) => self.reply_signed(&chosen, addresses, part),
                }
            }
            _ => self.reply(Some(&chosen)),
        }
    }

    fn begin_in_zones(&mut self) -> Begun {
        let (request, context) = (self.request, self.context);
        let (view, counters) = (&context.view, context.counters);
        let (slot, labels) = (&mut *self.slot, &self.naming.labels);
        let asked = &slot.asked;
        slot.known = view
            .records
            .known_whole(asked.name(request.packet), labels.count())
            .unwrap_or_else(|| view.records.walk(labels.from_the_right(request.packet)));
        resolve(view, slot.known, asked, &mut slot.resolved);
        if slot.resolved.is_beacon {
            observe_join(context, request, asked);
        }
        let End::Steered(wanted, steered, _) = slot.resolved.end else {
            return Begun::Replied(self.reply(None));
        };
        if let Some(chosen) = choose::forced(view, wanted, asked.kind, steered, counters) {
            slot.worth.is_forced = true;
            return Begun::Replied(self.reply(Some(&chosen)));
        }
        (slot.wanted, slot.steered) = (wanted, steered);
        slot.client = Client::new(asked.ecs.as_ref(), request.source, counters);
        slot.worth.is_placed = true;
        Begun::Waits
    }

    fn count_options(&self) {
        let (asked, counters) = (&self.slot.asked, self.context.counters);
        if asked.ecs.is_some() {
            counters.count(Counter::EcsQueries);
        }
        match asked.malformed {
            Malformed::Other => {}
            Malformed::Ecs => counters.count(Counter::EcsMalformed),
            Malformed::Cookie => counters.count(Counter::CookiesMalformed),
        }
    }

    /// Whether the client has shown a valid cookie; what it gets back is kept.
    fn judge_cookie(&mut self) -> bool {
        let Some(cookie) = self.slot.asked.cookie(self.request.packet) else { return false };
        let secrets = self.context.view.records.cookie_secrets();
        let judged = cookie.judge(secrets, self.request.source, self.context.now.unix_s);
        (self.slot.cookie, self.slot.has_valid_cookie) = (judged.reply, judged.is_valid);
        judged.is_valid
    }

    /// Whether the reply is sent (DNS-10): over TCP, or with a valid cookie, nobody can forge a source.
    fn verdict(&self, is_known: bool) -> Verdict {
        match self.context.limiter {
            Some(limiter) if !is_known && !self.request.is_tcp => {
                limiter.check(self.request.source, self.context.now.monotonic_ns)
            }
            _ => Verdict::Pass,
        }
    }

    #[cold]
    fn dropped(&self) -> usize {
        self.context.counters.count(Counter::RateDropped);
        0
    }

    /// An empty reply with TC = 1: whoever really asked comes back over TCP.
    #[cold]
    fn slip(&mut self) -> usize {
        self.context.counters.count(Counter::RateSlipped);
        self.empty(Outcome { is_truncated: true, ..header(Rcode::NoError, false) }, None)
    }

    /// A header alone.
    #[cold]
    fn bare(&mut self, rcode: Rcode) -> usize {
        let counters = self.context.counters;
        if self.slot.asked.malformed == Malformed::Cookie {
            counters.count(Counter::CookiesMalformed);
        }
        match self.verdict(false) {
            Verdict::Pass => {}
            Verdict::Drop => return self.dropped(),
            Verdict::Slip => counters.count(Counter::RateSlipped),
        }
        counters.count_rcode(rcode);
        bare_reply(self.buffer, self.request.packet, rcode)
    }

    /// Step 7: what no zone has a say in.
    #[cold]
    fn elsewhere(&mut self, parsed: Parsed) -> usize {
        if parsed == Parsed::CookieAlone {
            return self.empty(header(Rcode::NoError, false), None);
        }
        match self.slot.asked.place {
            Place::Fault(rcode) => self.empty(header(rcode, false), None),
            Place::Opt => self.empty(header(Rcode::FormErr, false), None),
            Place::Notify if self.is_notified() => self.empty(header(Rcode::NoError, true), None),
            Place::Notify | Place::Prohibited => self.refuse(ExtendedError::Prohibited),
            Place::Chaos => self.chaos(),
            Place::Zones | Place::OtherClass => self.refuse(ExtendedError::NotAuthoritative),
        }
    }

    /// RFC 1996: whether a primary of a zone says that there is something new; it is passed on.
    fn is_notified(&self) -> bool {
        let (records, labels) = (self.context.view.records, &self.naming.labels);
        let known = records.walk(labels.from_the_right(self.request.packet));
        let zone = records.apex_at(known).map(|node| node.zone);
        let Some(zone) = zone.filter(|&zone| records.may_notify(self.request.source, zone)) else {
            return false;
        };
        self.context.counters.count(Counter::Notifies);
        self.context.notified.add(zone);
        true
    }

    /// RFC 4892: the server itself is asked.
    fn chaos(&mut self) -> usize {
        let records = self.context.view.records;
        let text = match ServerText::by_name(self.slot.asked.name(self.request.packet)) {
            Some(ServerText::Identity) => records.id_server(),
            Some(ServerText::Version) => records.version(),
            None => return self.refuse(ExtendedError::NotAuthoritative),
        };
        if text.is_empty() {
            return self.refuse(ExtendedError::Prohibited);
        }
        self.write(Rcode::NoError, 0, None, |message, _| {
            let written = put_chaos_text(message, text);
            whole_or_truncated(message, written)
        })
    }

    fn refuse(&mut self, error: ExtendedError) -> usize {
        self.empty(header(Rcode::Refused, false), Some(error))
    }

    /// A reply of no records.
    fn empty(&mut self, outcome: Outcome, error: Option<ExtendedError>) -> usize {
        self.write(outcome.rcode, 0, error, |_, _| outcome)
    }

    /// The reply to most questions of all: addresses under the question's name, and nothing else.
    fn reply_addresses(&mut self, chosen: &Chosen<'_>, addresses: &[u8]) -> usize {
        let kind = self.slot.asked.kind;
        self.write(Rcode::NoError, chosen.scope_bits, self.error_of_choice(), |message, _| {
            let written = message.put_addresses(kind, chosen.ttl_s, addresses, address_bytes(kind));
            whole_or_truncated(message, written)
        })
    }

    /// The same, with the signatures.
    fn reply_signed(&mut self, chosen: &Chosen<'_>, addresses: &[u8], part: &Signatures) -> usize {
        let (kind, context) = (self.slot.asked.kind, self.context);
        let signatures = part.of_set(&addresses_key(self.slot.steered, kind, addresses));
        let ttl_s = capped(chosen.ttl_s, signatures, context.now.unix_s);
        self.write(Rcode::NoError, chosen.scope_bits, self.error_of_choice(), |message, _| {
            let written = message.put_addresses(kind, ttl_s, addresses, address_bytes(kind)).and_then(|()| {
                let mut rdata = signatures.iter().map(|signature| part.rdata(signature));
                rdata.try_for_each(|rdata| message.put_answer(kinds::RRSIG, ttl_s, rdata))
            });
            if written.is_ok() && !signatures.is_empty() {
                context.counters.count(Counter::AnswersSigned);
            }
            whole_or_truncated(message, written)
        })
    }

    /// The extended error of an answer that was chosen.
    fn error_of_choice(&self) -> Option<ExtendedError> {
        let is_stale = self.context.view.choices.is_stale();
        if is_stale { Some(ExtendedError::Stale) } else { self.slot.resolved.error }
    }

    /// The reply to a question in the zones.
    #[inline(never)]
    fn reply(&mut self, chosen: Option<&Chosen<'_>>) -> usize {
        let is_given = chosen.is_some_and(|chosen| !matches!(chosen.given, Given::Nothing));
        let (expected, error) = match self.slot.resolved.end {
            End::Refused => (Rcode::Refused, Some(ExtendedError::NotAuthoritative)),
            End::NotReady => (Rcode::ServFail, Some(ExtendedError::NotReady)),
            _ if is_given => (Rcode::NoError, self.error_of_choice()),
            _ => (Rcode::NoError, self.slot.resolved.error),
        };
        let scope_bits = chosen.map_or(0, |chosen| chosen.scope_bits);
        let context = self.context;
        self.write(expected, scope_bits, error, |message, (request, slot, naming)| {
            let task = Task {
                view: &context.view,
                query: request.packet,
                source: request.source,
                asked: &slot.asked,
                known: slot.known,
                resolved: &slot.resolved,
                chosen,
            };
            Composer::new(task, context.now, naming).compose(message, context.counters)
        })
    }

    /// Steps 14 and 15: a message of whatever `fill` writes, with its OPT. `expected`: the rcode as far as the
    /// options depend on it.
    #[inline(always)]
    fn write(
        &mut self,
        expected: Rcode,
        scope_bits: u8,
        error: Option<ExtendedError>,
        fill: impl FnOnce(&mut Message<'_>, (&Request<'_>, &Slot, &mut Naming)) -> Outcome,
    ) -> usize {
        let (request, slot) = (self.request, &*self.slot);
        let (records, counters) = (self.context.view.records, self.context.counters);
        let asked = &slot.asked;
        let is_read = !matches!(expected, Rcode::FormErr | Rcode::BadVers);
        let has_cookie = is_read && asked.has_cookie();
        let options = ReplyOptions {
            ecs: asked.ecs.as_ref().filter(|_| is_read && expected != Rcode::ServFail), // ECS-8
            scope_bits,
            cookie: has_cookie.then_some(&slot.cookie),
            nsid: if is_read && asked.wants_nsid { records.nsid() } else { &[] },
            error,
        };
        let opt_bytes = if asked.edns.is_some() { options.opt_bytes() } else { 0 };
        let limit = limit_bytes(asked, request.is_tcp, records.udp_bytes);
        let mut message = Message::reply(self.buffer, request.packet, asked.question_end, limit, opt_bytes);
        let outcome = fill(&mut message, (request, slot, self.naming));
        counters.count_rcode(outcome.rcode);
        if outcome.is_truncated {
            counters.count(Counter::AnswersTruncated);
        }
        if has_cookie {
            let is_valid = slot.has_valid_cookie;
            counters.count(if is_valid { Counter::CookiesValid } else { Counter::CookiesNew });
        }
        message.finish(request.packet, asked.edns, &options, outcome, records.udp_bytes)
    }
}

/// A beacon's label tells, with what its page says later, which resolver a client has.
#[cold]
fn observe_join(context: &Context<'_>, request: &Request<'_>, asked: &Asked) {
    let Some(observed) = context.observed else { return };
    let Some((&length, rest)) = asked.name(request.packet).split_first() else { return };
    if let (kinds::A | kinds::AAAA, Some(label)) = (asked.kind, rest.get(..usize::from(length))) {
        let client = asked.ecs.as_ref().and_then(choose::named_unit);
        observed.add_join(label, choose::source_unit(request.source), client);
    }
}

/// What the header of a whole reply says.
fn header(rcode: Rcode, is_authoritative: bool) -> Outcome {
    Outcome { rcode, is_authoritative, is_truncated: false }
}

/// What the header of an answer says of which all has been written, or not.
fn whole_or_truncated(message: &mut Message<'_>, written: Result<(), Full>) -> Outcome {
    if written.is_err() {
        message.empty();
    }
    Outcome { is_truncated: written.is_err(), ..header(Rcode::NoError, true) }
}

/// Writes the TXT record of class CH; there is always room for it.
fn put_chaos_text(message: &mut Message<'_>, text: &[u8]) -> Result<(), Full> {
    message.put_question_pointer()?;
    message.put_head(kinds::TXT, kinds::CH, 0)?;
    message.put_rdata(|message| {
        message.put(&[text.len() as u8])?;
        message.put(text)
    })?;
    message.count(Section::Answer, 1);
    Ok(())
}

/// Most octets of a reply: RFC 1035 sections 4.2.1 and 4.2.2, RFC 6891 section 6.2.3.
fn limit_bytes(asked: &Asked, is_tcp: bool, udp_bytes: u16) -> usize {
    match asked.edns {
        _ if is_tcp => MAX_MESSAGE_BYTES,
        None => usize::from(PLAIN_UDP_BYTES),
        Some(edns) => usize::from(edns.udp_bytes.max(PLAIN_UDP_BYTES).min(udp_bytes)),
    }
}
