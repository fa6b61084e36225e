//! Inputs in hexadecimal, one a line, to what the engine makes of them, one a line: the reply in hexadecimal or
//! `-`, then every counter that moved as `name=by`, labelled ones as `#index=by`, notified zones as `@zone`, and
//! what was observed as `~what=`: units as family:start, 0:0 for none.
use std::io::{self, BufRead, Write};
use std::path::Path;

use _native::answer::{COUNTER_NAMES, Observations, SeenUnit};
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
        write_observations(&mut out, &fuzzed.take_observations())?;
        writeln!(out)?;
        out.flush()?;
        before = after;
    }
    Ok(())
}

fn write_observations(out: &mut impl Write, observed: &Observations) -> io::Result<()> {
    let unit = |unit: SeenUnit| format!("{}:{}", unit.family(), unit.start);
    let client = |named: Option<SeenUnit>| named.map_or("0:0".into(), unit);
    for &(asking, count) in &observed.demand {
        write!(out, " ~demand={}:{}:{count}", unit(asking), u8::from(asking.is_resolver))?;
    }
    for &(source, named, count) in &observed.arrivals {
        write!(out, " ~arrival={}:{}:{count}", unit(source), client(named))?;
    }
    for (label, source, named) in &observed.joins {
        let label: String = label.iter().map(|octet| format!("{octet:02x}")).collect();
        write!(out, " ~join={label}:{}:{}", unit(*source), client(*named))?;
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
