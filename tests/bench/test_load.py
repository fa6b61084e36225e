import pytest

from bench.load import parse_dnsperf

REPORT = """Statistics:

  Queries sent:         1000
  Queries completed:    990 (99.00%)
  Queries lost:         10 (1.00%)

  Response codes:       NOERROR 891 (90.00%), NXDOMAIN 99 (10.00%)
  Average packet size:  request 53, response 69
  Run time (s):         2.000000
  Queries per second:   495.000000

  Average Latency (s):  0.000329 (min 0.000014, max 0.016217)
"""


def test_reads_what_dnsperf_reports() -> None:
    load = parse_dnsperf(REPORT)
    assert (load.sent, load.answered, load.seconds, load.noerror_share) == (1000, 990, 2.0, 0.9)
    assert load.lost_share == pytest.approx(0.01)
    assert load.queries_per_second == 495


def test_a_report_cut_short_is_refused() -> None:
    with pytest.raises(ValueError, match="Queries completed"):
        parse_dnsperf(REPORT.split("Queries completed")[0] + "Run time (s): 2.0")
