"""The zones that the wire tests ask, as master files."""

from tests.dataplane.signing import ZoneKey, ds_text

SIGNED_KEYS = (ZoneKey.of("ECDSAP256SHA256", 1), ZoneKey.of("ED25519", 2))  # a rollover of algorithms
KID_KEYS = (ZoneKey.of("ECDSAP256SHA256", 3),)
DIGEST = "0123456789012345678901234567890123456789012345678901234567890123"

CDN = f"""
$TTL 3600
@         SOA ns1 hostmaster 7 3600 600 86400 300
@         NS ns1
@         NS ns2.other.example.
@         MX 10 www
@         MX 20 mail
@         HTTPS 0 www
ns1       A 192.0.2.53
ns1       AAAA 2001:db8:53::1
mail      A 192.0.2.25
text      TXT "plain"
text      60 A 192.0.2.99
x.ent     TXT "below an empty non-terminal"
*.wild    A 192.0.2.77
*.wild    TXT "any name"
not.wild  TXT "this one exists"
*.went.x  TXT "x exists, as went.x does"
alias     CNAME www
alias2    CNAME plain
plain     CNAME text
tosteered CNAME alias
outside   CNAME www.elsewhere.test.
nowhere   CNAME missing
towild    CNAME foo.wild
tocut     CNAME host.cut
tochild   CNAME text.child
*.cwild   CNAME text
loop      CNAME pool
pool      CNAME loop
self      CNAME self
c1 CNAME c2
c2 CNAME c3
c3 CNAME c4
c4 CNAME c5
c5 CNAME c6
c6 CNAME c7
c7 CNAME c8
c8 CNAME c9
c9 CNAME text
d1 CNAME d2
d2 CNAME d3
d3 CNAME d4
d4 CNAME d5
d5 CNAME d6
d6 CNAME d7
d7 CNAME d8
d8 CNAME multi
tomulti   CNAME multi
tostale   CNAME text.stale.example.
tounready CNAME text.unready.example.
tosigned  CNAME text.signed.example.
cut       NS ns.cut
cut       NS ns.else.test.
cut       DS 1 13 2 {DIGEST}
ns.cut    A 192.0.2.80
ns.cut    AAAA 2001:db8:80::1
deep.under.cut TXT "occluded"
child     NS ns.child
child     DS 2 13 2 {DIGEST}
ns.child  A 192.0.2.81
srv       SRV 1 2 443 www
srv       SRV 1 2 443 mail.other.example.
ptr       PTR www
odd       TYPE65280 \\# 4 0a000001
odd       TYPE1 \\# 4 c0000242
signed    A 192.0.2.90
signed    RRSIG A 13 3 3600 20300101000000 20200101000000 1 @ AAAA
Upper     TXT "compiled in lower case"
www       60 HTTPS 1 . alpn=h2,h3 port=8443
www       60 HTTPS 2 www.elsewhere.test. alpn=h2 ipv4hint=203.0.113.1
www       60 SVCB 1 www.cdn.example. alpn=h2 key65000=x
v4        60 HTTPS 1 . alpn=h2 ipv4hint=192.0.2.9 ipv6hint=2001:db8::9
weights   60 HTTPS 1 .
long      300 HTTPS 1 .
img       60 HTTPS 1 . no-default-alpn alpn=h3
forced    60 HTTPS 1 .
*.steered 60 HTTPS 1 . alpn=h2
plainsvc  HTTPS 1 . alpn=h2 ipv4hint=192.0.2.9
"""
CDN += "".join(f"big TXT {'x' * 200}{number}\n" for number in range(10))
CDN += "".join(f"fat NS ns{number}.fat\nns{number}.fat A 192.0.2.{number}\n" for number in range(1, 60))
CDN += "".join(f"sib NS ns{number}.fat\n" for number in range(1, 46)) + "sib NS ns.sib\nns.sib A 192.0.2.99\n"
CDN += "".join(f"many MX {number} mx{number}\nmx{number} A 192.0.2.{number}\n" for number in range(1, 20))

CHILD = """
$TTL 600
@         SOA ns hostmaster 1 3600 600 86400 30
@         NS ns
ns        A 192.0.2.82
text      TXT "the child's"
"""

OTHER = """
$TTL 300
@         SOA ns2 hostmaster 1 3600 600 86400 900
@         NS ns2
ns2       A 192.0.2.54
mail      AAAA 2001:db8:25::1
back      CNAME text.cdn.example.
sub.far   NS ns2
"""

SIGNED = f"""
$TTL 3600
@         SOA ns1 hostmaster 5 3600 600 86400 300
@         NS ns1
@         MX 10 mail
ns1       A 192.0.2.53
mail      A 192.0.2.25
text      A 192.0.2.91
text      TXT "signed"
x.ent     TXT "below an empty non-terminal"
*.wild    A 192.0.2.92
*.wild    TXT "any name"
not.wild  TXT "this one exists"
*.went.x  TXT "x exists, as went.x does"
*.cwild   CNAME text
*.wref    CNAME host.insecure
*.nowhere CNAME missing
plain     CNAME text
alias     CNAME www
chain     CNAME any.wild
chain2    CNAME one.cwild
chain3    CNAME two.wref
chain4    CNAME three.nowhere
tocdn     CNAME text.cdn.example.
tokid     CNAME text.kid
tosecure  CNAME host.secure
secure    NS ns.secure
secure    DS 1 13 2 {DIGEST}
ns.secure A 192.0.2.93
insecure  NS ns.insecure
insecure  NS mail
ns.insecure A 192.0.2.94
kid       NS ns.kid
kid       DS {ds_text("kid.signed.example", KID_KEYS[0])}
ns.kid    A 192.0.2.95
www       HTTPS 1 . alpn=h2
*.steered HTTPS 1 . alpn=h2
"""
SIGNED += "".join(f"big TXT {'x' * 200}{number}\n" for number in range(5))
SIGNED += "".join(f"many MX {number} mx{number}\nmx{number} A 192.0.2.{number}\n" for number in range(1, 9))

KID = """
$TTL 600
@         SOA ns hostmaster 1 3600 600 86400 30
@         NS ns
ns        A 192.0.2.95
text      TXT "the kid's"
*         TXT "anything"
up        CNAME plain.signed.example.
"""

EXPLAINING = """
$TTL 60
@         SOA ns1.cdn.example. hostmaster.cdn.example. 1 3600 600 86400 30
@         NS ns1.cdn.example.
"""

PLAIN = """
$TTL 600
@         SOA ns hostmaster 1 3600 600 86400 30
@         NS ns
ns        A 192.0.2.82
text      TXT "here"
text      A 192.0.2.83
cut       NS ns.cut
ns.cut    A 192.0.2.84
"""
