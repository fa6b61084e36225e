//! Questions about the server itself, in class CH (RFC 4892).

const ID_SERVER: [&[u8]; 2] = [b"\x02id\x06server", b"\x08hostname\x04bind"];
const VERSION: [&[u8]; 2] = [b"\x07version\x06server", b"\x07version\x04bind"];

/// What is asked of the server.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ServerText {
    /// Which of several it is.
    Identity,
    /// Of which make it is.
    Version,
}

impl ServerText {
    /// By the name that is asked, of either case, without the root's zero octet.
    pub fn by_name(name: &[u8]) -> Option<Self> {
        let is_one_of = |known: [&[u8]; 2]| known.iter().any(|known| known.eq_ignore_ascii_case(name));
        if is_one_of(ID_SERVER) { Some(Self::Identity) } else { is_one_of(VERSION).then_some(Self::Version) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_four_names_of_either_case() {
        assert_eq!(ServerText::by_name(b"\x02iD\x06serVER"), Some(ServerText::Identity));
        assert_eq!(ServerText::by_name(b"\x08hostname\x04bind"), Some(ServerText::Identity));
        assert_eq!(ServerText::by_name(b"\x07version\x04BIND"), Some(ServerText::Version));
        assert_eq!(ServerText::by_name(b"\x07version\x06server"), Some(ServerText::Version));
        for other in [&b""[..], b"\x02id", b"\x06server", b"\x02id\x04bind", b"\x01x\x02id\x06server"] {
            assert_eq!(ServerText::by_name(other), None);
        }
    }
}
