//! Inputs in hexadecimal, one a line, to what the engine makes of them, one a line: the reply in hexadecimal or
//! `-`, then every counter that moved as `name=by`, labelled ones as `#index=by`, notified zones as `@zone`.
use std::io::{self, BufRead, Write};
use std::path::Path;

use _native::answer::COUNTER_NAMES;
use steer_native_fuzz::{Fuzzed, Input, WORLDS};

const LABELLED: usize = 500; // the worlds' are below it

fn main() -> io::Result<()> {
    let mut fuzzed = Fuzzed::load(Path::new(WORLDS));
    let mut before = moved(&fuzzed);
    let mut out = io::BufWriter::new(io::stdout().lock());
    for line in io::stdin().lock().lines() {
        let octets = octets_of(line?.trim());
        let input = Input::read(&octets).ok_or(io::ErrorKind::UnexpectedEof)?;
        let reply = fuzzed.answer(&input);
        if reply.is_empty() {
            write!(out, "-")?;
        }
        for octet in reply {
            write!(out, "{octet:02x}")?;
        }
        let after = moved(&fuzzed);
        let names = COUNTER_NAMES.iter().map(ToString::to_string);
        let names = names.chain((0..LABELLED).map(|index| format!("#{index}")));
        for (name, (after, before)) in names.zip(after.iter().zip(&before)) {
            if after != before {
                write!(out, " {name}={}", after - before)?;
            }
        }
        for zone in fuzzed.notified.take() {
            write!(out, " @{zone}")?;
        }
        writeln!(out)?;
        out.flush()?;
        before = after;
    }
    Ok(())
}

fn moved(fuzzed: &Fuzzed) -> Vec<u64> {
    let labelled = (0..LABELLED).map(|index| fuzzed.counters.labelled(index));
    fuzzed.counters.plain().into_iter().chain(labelled).collect()
}

fn octets_of(hexadecimal: &str) -> Vec<u8> {
    let digits: Vec<u8> =
        hexadecimal.chars().filter_map(|digit| digit.to_digit(16)).map(|d| d as u8).collect();
    digits.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}
