"""A running server takes up what is learned, and explains it."""

import json

from steer.control.directories import summaries_file
from steer.publish.evidence_file import write_summaries
from tests.control.cdn import ADDRESS, TOKYO, Cdn, wait_for
from tests.control.test_explain_evidence import EVIDENCE

ZONE = """\
zone: cdn.example
zonefile: cdn.example.zone
names: {www: {policy: web, ttl: 30s}}
policies: {web: {rules: [{answer: auto}], auto: {holdout: 0%}}}
"""


def test_a_server_takes_up_what_is_learned_and_explains_it(cdn: Cdn) -> None:
    cdn.write("cdn.example.yaml", ZONE)
    server = cdn.serve()
    try:
        assert server.ask(TOKYO) == (ADDRESS["anycast"],)
        path = summaries_file(cdn.state)
        path.parent.mkdir(exist_ok=True)
        write_summaries(path, {"default": EVIDENCE})
        server.wait_for_answer("nrt", TOKYO)
        assert server.ask("133.1.2.0/24") == (ADDRESS["anycast"],)
        said = json.loads(server.get(f"/v1/explain?name=www.cdn.example&type=A&client={TOKYO}"))
        assert said["origin"].startswith("the running server")
        assert said["agrees"] is True
        assert said["reasons"]["evidence"]["groups"][0]["first"] == "pop:nrt"
        maps = cdn.state / "maps"
        wait_for(lambda: list(maps.glob("*.evidence.npz")), "what the verdicts rest on")
        path.write_bytes(b"torn")
        wait_for(lambda: "no whole file of evidence" in server.log, "a refusal")
        assert server.ask(TOKYO) == (ADDRESS["nrt"],), "the last good one goes on serving"
    finally:
        server.end()
    again = cdn.start()
    try:
        again.wait_until_ready()
        assert again.ask(TOKYO) == (ADDRESS["nrt"],), "after a restart too"
    finally:
        again.end()
