//! Proves what the part `records` says of the whole deployment.
use super::format::{LABELLED_COUNT, Settings};
use super::part::{BadPart, prove, prove_slice};
use super::records::Records;

const UDP_BYTES: std::ops::RangeInclusive<u32> = 512..=4096;
const MAX_NSID_BYTES: u32 = 100;
const MAX_TEXT_BYTES: u32 = 255; // of one character-string
const MAX_SECRETS: usize = 4;

/// The UDP size of the settings.
/// # Errors
/// When no response buffer is that large, or RFC 1035 promises more.
pub(super) fn udp_bytes(settings: &Settings) -> Result<u16, BadPart> {
    prove!(
        UDP_BYTES.contains(&settings.udp_bytes),
        "udp_bytes is {}, 512 to 4096 will do",
        settings.udp_bytes
    );
    Ok(settings.udp_bytes as u16)
}

/// Proves texts, secrets and sorted tables.
/// # Errors
/// The first invariant that fails.
pub(super) fn prove(records: &Records) -> Result<(), BadPart> {
    let Settings { nsid_offset, nsid_bytes, id_server_offset, id_server_bytes, .. } = records.settings;
    let Settings { version_offset, version_bytes, .. } = records.settings;
    for (what, offset, count, most) in [
        ("nsid", nsid_offset, nsid_bytes, MAX_NSID_BYTES),
        ("id_server", id_server_offset, id_server_bytes, MAX_TEXT_BYTES),
        ("version", version_offset, version_bytes, MAX_TEXT_BYTES),
    ] {
        prove!(count <= most, "{what} has {count} octets, at most {most} are due");
        prove_slice(what, 0, offset, count, records.bytes.len())?;
    }
    let secrets = records.cookie_secrets.len();
    prove!(secrets <= MAX_SECRETS, "{secrets} cookie secrets, at most {MAX_SECRETS} are due");
    prove!(secrets > 0 || !records.has_cookies(), "cookies are to be answered, and there is no secret");
    for (index, source) in records.notify_sources.iter().enumerate() {
        let zone = source.zone;
        prove!((zone as usize) < records.zones.len(), "NOTIFY source {index}: no zone {zone}");
    }
    let is_sorted = records.notify_sources.is_sorted_by_key(|source| (source.high, source.low, source.zone));
    prove!(is_sorted, "NOTIFY sources are not sorted");
    for (index, label) in records.labels.iter().enumerate() {
        prove!((label.counter as usize) < LABELLED_COUNT, "label {index}: no counter {}", label.counter);
        prove_slice("label", index, label.offset, label.bytes, records.bytes.len())?;
    }
    let is_sorted = records.labels.is_sorted_by(|a, b| a.counter < b.counter);
    prove!(is_sorted, "labels are not sorted by counter");
    Ok(())
}
