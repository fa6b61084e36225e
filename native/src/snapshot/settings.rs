//! What the records say of the whole deployment: identity, cookies, who may send NOTIFY, names of counters.
use super::format::{SETTINGS_COOKIES, SETTINGS_STEERS};
use super::records::{Records, slice};

impl Records {
    /// Some zone steers something, so ECS is answered (ECS-8).
    pub fn steers(&self) -> bool {
        self.settings.flags & SETTINGS_STEERS != 0
    }

    /// Cookies are answered; there is a secret.
    pub fn has_cookies(&self) -> bool {
        self.settings.flags & SETTINGS_COOKIES != 0
    }

    /// The first makes cookies, any verifies.
    pub fn cookie_secrets(&self) -> &[[u8; 16]] {
        &self.cookie_secrets
    }

    /// The data of NSID; empty: not told.
    pub fn nsid(&self) -> &[u8] {
        slice(&self.bytes, self.settings.nsid_offset, self.settings.nsid_bytes)
    }

    /// What `id.server` is answered with; empty: not told.
    pub fn id_server(&self) -> &[u8] {
        slice(&self.bytes, self.settings.id_server_offset, self.settings.id_server_bytes)
    }

    /// What `version.server` is answered with; empty: not told.
    pub fn version(&self) -> &[u8] {
        slice(&self.bytes, self.settings.version_offset, self.settings.version_bytes)
    }

    /// Whether an address may send NOTIFY for a zone. `source`: IPv4 as ::ffff:a.b.c.d.
    pub fn may_notify(&self, source: u128, zone: u32) -> bool {
        let key = ((source >> 64) as u64, source as u64, zone);
        self.notify_sources.binary_search_by_key(&key, |known| (known.high, known.low, known.zone)).is_ok()
    }

    /// The text of a labelled counter, if it has one.
    pub fn label_of(&self, counter: u32) -> Option<&[u8]> {
        let index = self.labels.binary_search_by_key(&counter, |label| label.counter).ok()?;
        let label = &self.labels[index];
        Some(slice(&self.bytes, label.offset, label.bytes))
    }
}
