"""The parameters of the simulated world, each with the prior that it is fitted to.

One set for the real world and the synthetic ones. Frozen before `auto` was tuned in them; it changes only
where the fit to the priors is wrong, never for `auto`'s figures. Priors: [B] Calder et al., Analyzing the
Performance of an Anycast CDN, IMC 2015; [W] WonderNetwork's city-to-city round trips, 2018; [A] APNIC Labs'
IPv6 and resolver measurements.
`python -m steer.lab.world_check` shows how well the world agrees with them."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PublicResolver:
    """A public resolver service: AS number, share of users, number of sites, and whether it sends ECS."""

    name: str
    asn: int
    share: float
    sites: int
    sends_ecs: bool


PUBLIC_RESOLVERS = (  # [A]
    PublicResolver("google", 15169, 0.16, 32, True),
    PublicResolver("cloudflare", 13335, 0.05, 96, False),
    PublicResolver("opendns", 36692, 0.01, 24, True),
    PublicResolver("quad9", 19281, 0.01, 64, False),
)


@dataclass(frozen=True, slots=True)
class Parameters:
    """Lengths in km, times in ms or hours (`_h`), shares 0..1; `sigma`, `spread`: of a logarithm."""

    # The CDN's sessions and the routing of anycast: 55 / 75 / 90 % of clients at most 0 / 400 / 1375 km
    # behind the nearest POP [B]. That CDN's POPs were three times closer to its clients, so that the nearest
    # was easier to miss: 60 to 75 / 73 to 82 / 92 to 96 % here, which keeps what a miss costs in ms as it was
    customers_for_presence: int = 3  # at home in a metro: their provider has a router there
    unscoped_share: float = 0.0  # of local providers told to announce anycast to the world
    far_session_km: float = 1500.0  # behind the POP nearest to the peer's home: is far
    far_session_share: float = 0.08
    near_session_share: float = 0.75  # of ASes that peer at the POPs near their routers
    near_session_km: float = 950.0  # that a POP may be further than the nearest, on average
    igp_spread: float = 0.3  # of an AS's idea of distance
    igp_base_km: float = 50.0
    cold_share: float = 0.03  # of (AS, metro) that break ties without regard to distance
    # Round-trip time over light in straight fibre: p5 1.44, median 2.05, p95 4.78 [W]
    stretch_excess: float = 0.8  # of a leg's round trip beyond light's: the median
    stretch_sigma: float = 0.5
    detour_share: float = 0.06  # of legs that are longer by `detour_excess`
    detour_excess: float = 2.5
    hop_ms: float = 0.4
    # The last mile, and what is particular to a block's path
    access_ms: float = 8.0
    access_sigma: float = 0.7
    block_ms: float = 1.0
    block_sigma: float = 1.0
    # Daily wave of congestion
    congested_share: float = 0.12  # of paths
    wave_ms: float = 8.0
    wave_sigma: float = 0.8
    # Delays: 20 % of users at least 25 ms, just under 10 % at least 100 ms slower by anycast than by the best
    # of three; about 60 % of bad paths last a day or less, 5 % five days on end [B]
    delay_per_day: float = 0.16  # onsets per client and target
    delay_as_share: float = 0.2  # of these, for an area: an AS in a country, or a part of a large one
    delay_block_share: float = 0.2  # for one block alone
    delay_ms: float = 90.0
    delay_sigma: float = 1.1
    duration_h: float = 18.0  # the median, as of all
    duration_sigma: float = 0.66
    shared_share: float = 0.25  # of anycast's delays that hit the unicast path to the same POP as well
    # Changes of front-end: 7 % of clients within a day, 21 % within a week [B]
    flappy_share: float = 0.04  # of pods that switch `flappy_per_day`, for `flap_h_max` at most
    flappy_per_day: float = 2.0
    flap_h_max: float = 12.0
    switch_per_day: float = 0.024
    # Noise of one measurement: IMC 2015's scheme makes 30 % of weighted groups better, 10 % worse [B]
    noise_ms: float = 2.6  # scale: the median client's, at night
    noise_spread: float = 0.7  # between clients
    noise_path_spread: float = 0.6  # between a client's paths
    noise_sigma: float = 1.2  # of the tail
    spike_share: float = 0.01  # of measurements, later by an exponential of `spike_ms`
    spike_ms: float = 150.0
    measurements_per_day: float = 100.0  # of anycast, per unit: the median
    measurements_sigma: float = 1.0
    # Clients and resolvers [A]
    ipv6_share: float = 0.45  # of draws in cells that have any
    misplaced_share: float = 0.08  # prefixes that geodata put into another metro of the AS
    central_resolver_share: float = 0.45  # ISPs with resolvers in one place
    isp_ecs_share: float = 0.08
    pod_share: float = 0.00125  # of all users at most behind one router: they share its luck
    area_share: float = 0.01  # of all users at most in an area: what goes wrong for an AS is there
    ttl_violator_share: float = 0.12  # of ISPs' resolvers: 9 % of users
    second_site_share: float = 0.2  # clients that anycast takes to a public resolver's second nearest site
    bad_ms: float = 10.0  # anycast this much slower than the best POP is a bad path
    bad_run_ms: float = 25.0  # and this much, over half a day, a bad day
