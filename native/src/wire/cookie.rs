//! DNS cookies (RFC 7873), made and checked in the way that servers of all makes share (RFC 9018): whoever
//! shows a cookie that we made has got a reply of ours at its address.
use siphasher::sip::SipHasher24;

/// Octets of a cookie secret.
pub const SECRET_BYTES: usize = 16;
/// Octets of the COOKIE option's data in a reply: client and server cookie.
pub const COOKIE_REPLY_BYTES: usize = CLIENT_BYTES + SERVER_BYTES;

const CLIENT_BYTES: usize = 8;
const SERVER_BYTES: usize = 16; // of ours; RFC 7873 section 4.2 lets others have 8 to 32
const FOREIGN_SERVER_BYTES: std::ops::RangeInclusive<usize> = 8..=32;
const VERSION: u8 = 1; // RFC 9018 section 4.1
const OLDEST_S: i32 = 3600; // RFC 9018 section 4.3, as are the next two
const FUTURE_S: i32 = 300;
const RENEWED_AFTER_S: i32 = 1800;
const IPV4_PREFIX: u128 = 0xffff; // ::ffff:a.b.c.d, above the address
const INPUT_BYTES: usize = CLIENT_BYTES + SERVER_BYTES / 2 + 16; // that are hashed, for IPv6

/// What a query's COOKIE option says.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Cookie {
    client: [u8; CLIENT_BYTES],
    /// Where one of our length was sent; all others are not ours.
    server: Option<[u8; SERVER_BYTES]>,
}

/// What a cookie turned out to be, and what to send back.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Judged {
    /// The client can read what is sent to its address.
    pub is_valid: bool,
    /// The option's data in the reply.
    pub reply: [u8; COOKIE_REPLY_BYTES],
}

impl Cookie {
    /// Reads the option's data; none where it has neither 8 nor 16 to 40 octets, which is a FORMERR (RFC 7873
    /// section 5.2.2).
    pub fn read(data: &[u8]) -> Option<Self> {
        let (&client, server) = data.split_first_chunk()?;
        if server.is_empty() || FOREIGN_SERVER_BYTES.contains(&server.len()) {
            Some(Self { client, server: server.try_into().ok() })
        } else {
            None
        }
    }

    /// Checks the server cookie and says what goes back: the same one while it is young, else a fresh one of
    /// the first secret. `secrets`: any of them verifies, so that they can be rolled over (RFC 9018 section
    /// 5); none: nothing is valid, and the reply is made with zeros, not to be sent. `source`: IPv4 as
    /// ::ffff:a.b.c.d. `now_s`: Unix time modulo 2^32.
    pub fn judge(&self, secrets: &[[u8; SECRET_BYTES]], source: u128, now_s: u32) -> Judged {
        let verified = self.server.and_then(|server| {
            let age_s = age_s(&server, now_s)?;
            let [head, hash] = halves(server);
            let secret = secrets.iter().position(|secret| self.hash(head, source, secret) == hash)?;
            Some((server, secret == 0 && age_s <= RENEWED_AFTER_S))
        });
        let server = match (verified, secrets.first()) {
            (Some((server, true)), _) => server,
            (_, Some(secret)) => self.fresh(source, secret, now_s),
            (_, None) => [0; SERVER_BYTES],
        };
        let mut reply = [0; COOKIE_REPLY_BYTES];
        reply[..CLIENT_BYTES].copy_from_slice(&self.client);
        reply[CLIENT_BYTES..].copy_from_slice(&server);
        Judged { is_valid: verified.is_some(), reply }
    }

    fn fresh(&self, source: u128, secret: &[u8; SECRET_BYTES], now_s: u32) -> [u8; SERVER_BYTES] {
        let [a, b, c, d] = now_s.to_be_bytes();
        let head = [VERSION, 0, 0, 0, a, b, c, d];
        let mut server = [0; SERVER_BYTES];
        server[..8].copy_from_slice(&head);
        server[8..].copy_from_slice(&self.hash(head, source, secret));
        server
    }

    /// RFC 9018 section 4.4. `head`: version, reserved octets as they were sent, time.
    fn hash(&self, head: [u8; 8], source: u128, secret: &[u8; SECRET_BYTES]) -> [u8; 8] {
        let mut input = [0; INPUT_BYTES];
        input[..8].copy_from_slice(&self.client);
        input[8..16].copy_from_slice(&head);
        let length = if source >> 32 == IPV4_PREFIX {
            input[16..20].copy_from_slice(&(source as u32).to_be_bytes());
            20
        } else {
            input[16..].copy_from_slice(&source.to_be_bytes());
            INPUT_BYTES
        };
        SipHasher24::new_with_key(secret).hash(&input[..length]).to_le_bytes()
    }
}

/// How old a server cookie of our version says it is, where that is neither too old nor too far in the future:
/// serial numbers (RFC 1982), so that 2106 is a year as any other.
fn age_s(server: &[u8; SERVER_BYTES], now_s: u32) -> Option<i32> {
    let &[version, _, _, _, a, b, c, d, ..] = server;
    let age_s = now_s.wrapping_sub(u32::from_be_bytes([a, b, c, d])) as i32;
    (version == VERSION && (-FUTURE_S..=OLDEST_S).contains(&age_s)).then_some(age_s)
}

/// A server cookie's head and its hash.
fn halves(server: [u8; SERVER_BYTES]) -> [[u8; 8]; 2] {
    bytemuck::cast(server)
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv6Addr};

    use super::*;

    const SECRET: &str = "e5e973e5a6b2a43f48e7dc849e37bfcf";

    fn octets<const N: usize>(hexadecimal: &str) -> [u8; N] {
        std::array::from_fn(|at| u8::from_str_radix(&hexadecimal[2 * at..2 * at + 2], 16).unwrap())
    }

    fn source(address: &str) -> u128 {
        match address.parse().unwrap() {
            IpAddr::V4(address) => address.to_ipv6_mapped().into(),
            IpAddr::V6(address) => address.into(),
        }
    }

    fn judge(sent: &str, secrets: &[&str], address: &str, now_s: u32) -> Judged {
        let data: Vec<u8> = (0..sent.len() / 2).map(|at| octets::<1>(&sent[2 * at..])[0]).collect();
        let secrets: Vec<[u8; SECRET_BYTES]> = secrets.iter().map(|secret| octets(secret)).collect();
        Cookie::read(&data).unwrap().judge(&secrets, source(address), now_s)
    }

    /// RFC 9018 appendix A.
    #[test]
    fn the_vectors_of_rfc_9018() {
        let (old, new) = ("dd3bdf9344b678b185a6f5cb60fca715", "445536bcd2513298075a5d379663c962");
        let (first, ipv6) = ("198.51.100.100", "2001:db8:220:1:59de:d0f4:8769:82b8");
        let a1 = "2464c4abcf10c957010000005cf79f111f8130c3eee29480";
        let a3 = "fc93fc62807ddb8601abcdef5cf78f71a314227b6679ebf5";
        let a4 = "22681ab97d52c298010000005cf7c57926556bd0934c72f8";
        for (sent, secrets, address, now_s, is_valid, reply) in [
            ("2464c4abcf10c957", &[SECRET][..], first, 1_559_731_985, false, a1),
            (a1, &[SECRET], first, 1_559_734_385, true, "2464c4abcf10c957010000005cf7a871d4a564a1442aca77"),
            // The example takes it for valid at that age, 6715 s; section 4.3 says 3600 s. The reply is the same.
            (
                a3,
                &[SECRET],
                "203.0.113.203",
                1_559_734_700,
                false,
                "fc93fc62807ddb86010000005cf7a9acf73a7810aca2381e",
            ),
            (a3, &[SECRET], "203.0.113.203", 1_559_727_985, true, a3), // the reserved octets stay
            (a4, &[new, old], ipv6, 1_559_741_961, true, "22681ab97d52c298010000005cf7c609a6bb79d16625507a"),
            (a4, &[old, new], ipv6, 1_559_741_961, true, a4),
        ] {
            let due = Judged { is_valid, reply: octets(reply) };
            assert_eq!(judge(sent, secrets, address, now_s), due, "{sent} at {now_s}");
        }
    }

    #[test]
    fn a_cookie_lives_an_hour_and_is_renewed_after_half() {
        let made_s = 1_559_731_985_u32;
        let sent = "2464c4abcf10c957010000005cf79f111f8130c3eee29480";
        for (age_s, is_valid, is_kept) in [
            (0, true, true),
            (1800, true, true),
            (1801, true, false),
            (3600, true, false),
            (3601, false, false),
            (-300, true, true),
            (-301, false, false),
            (i32::MAX, false, false),
            (i32::MIN, false, false),
        ] {
            let judged = judge(sent, &[SECRET], "198.51.100.100", made_s.wrapping_add_signed(age_s));
            let kept = judged.reply == octets(sent);
            assert_eq!((judged.is_valid, kept), (is_valid, is_kept), "{age_s} s old");
        }
    }

    #[test]
    fn time_goes_round() {
        let cookie = Cookie { client: [7; 8], server: None };
        let secret = [[9; SECRET_BYTES]];
        let reply = cookie.judge(&secret, 1, u32::MAX - 9).reply;
        let again = Cookie::read(&reply).unwrap();
        assert_eq!(again.judge(&secret, 1, 1790), Judged { is_valid: true, reply });
        assert!(!again.judge(&secret, 1, 3591).is_valid);
    }

    #[test]
    fn another_source_secret_version_or_client_is_not_valid() {
        let sent = "2464c4abcf10c957010000005cf79f111f8130c3eee29480";
        let (home, now_s) = ("198.51.100.100", 1_559_731_985);
        assert!(judge(sent, &[SECRET], home, now_s).is_valid);
        assert!(judge(sent, &["00112233445566778899aabbccddeeff", SECRET], home, now_s).is_valid);
        assert!(!judge(sent, &[SECRET], "198.51.100.101", now_s).is_valid);
        assert!(!judge(sent, &[SECRET], "::198.51.100.100", now_s).is_valid);
        assert!(!judge(sent, &["00112233445566778899aabbccddeeff"], home, now_s).is_valid);
        assert!(!judge(sent, &[], home, now_s).is_valid);
        for at in (0..sent.len()).step_by(2) {
            let changed =
                format!("{}{:02x}{}", &sent[..at], octets::<1>(&sent[at..])[0] ^ 1, &sent[at + 2..]);
            assert!(!judge(&changed, &[SECRET], home, now_s).is_valid, "octet {}", at / 2);
        }
        assert!(!judge(&format!("{sent}00"), &[SECRET], home, now_s).is_valid);
        assert!(!judge(&sent[..46], &[SECRET], home, now_s).is_valid);
    }

    #[test]
    fn a_mapped_source_is_ipv4() {
        let mapped: Ipv6Addr = "::ffff:198.51.100.100".parse().unwrap();
        assert_eq!(source("198.51.100.100"), u128::from(mapped));
    }

    #[test]
    fn lengths() {
        for length in 0..64 {
            let is_read = Cookie::read(&vec![1; length]).is_some();
            assert_eq!(is_read, length == 8 || (16..=40).contains(&length), "{length} octets");
        }
    }
}
